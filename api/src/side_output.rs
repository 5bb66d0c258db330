//! Side outputs: further streams out of one process function, each of its own type.

use std::any::Any;
use std::collections::BTreeMap;
use std::marker::PhantomData;

use flink_taskmanager::data::Data;
use flink_taskmanager::operator::{ChunkConsumer, OperatorContext, OperatorError, Output, Stage};

use crate::task_builder::SharedOutput;

/// Names a side output and its type. Two tags are the same when their names are; then their types must be, too.
pub struct OutputTag<T> {
    name: String,
    record: PhantomData<fn() -> T>,
}

impl<T> OutputTag<T> {
    /// A tag; use one name for one type.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), record: PhantomData }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<T> Clone for OutputTag<T> {
    fn clone(&self) -> Self {
        Self::new(self.name.clone())
    }
}

/// A side output whose type only the tag knows.
pub(crate) trait AnySideOutput: Send {
    fn as_any(&mut self) -> &mut dyn Any;
    fn record_type(&self) -> String;
    fn open(&mut self) -> Result<(), OperatorError>;
    fn end(&mut self) -> bool;
    fn flush(&mut self);
    fn has_room(&mut self) -> bool;
    fn take_error(&mut self) -> Option<OperatorError>;
}

impl<T: Data> AnySideOutput for SharedOutput<T> {
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }

    fn record_type(&self) -> String {
        T::type_name()
    }

    fn open(&mut self) -> Result<(), OperatorError> {
        Stage::open(self)
    }

    fn end(&mut self) -> bool {
        Stage::end(self)
    }

    fn flush(&mut self) {
        Stage::flush(self);
    }

    fn has_room(&mut self) -> bool {
        Stage::has_room(self)
    }

    fn take_error(&mut self) -> Option<OperatorError> {
        Stage::take_error(self)
    }
}

/// The side outputs of one process function in one subtask.
pub(crate) struct SideOutputs {
    outputs: BTreeMap<String, Box<dyn AnySideOutput>>,
    context: OperatorContext,
    error: Option<OperatorError>,
}

impl SideOutputs {
    /// None yet, of the operator of `context`.
    pub(crate) fn new(context: OperatorContext) -> Self {
        Self { outputs: BTreeMap::new(), context, error: None }
    }

    pub(crate) fn insert(&mut self, tag: String, output: Box<dyn AnySideOutput>) {
        self.outputs.insert(tag, output);
    }

    pub(crate) fn emit<T: Data>(&mut self, tag: &OutputTag<T>, record: T) {
        let Some(output) = self.outputs.get_mut(tag.name()) else { return };
        match output.as_any().downcast_mut::<SharedOutput<T>>() {
            Some(output) => output.collect(record),
            None => {
                let read = output.record_type();
                self.refuse(tag.name(), &T::type_name(), &read);
            }
        }
    }

    #[cold]
    fn refuse(&mut self, tag: &str, emitted: &str, read: &str) {
        let text = format!("side output `{tag}` is read as {read}, and a record of {emitted} was emitted to it");
        let operator = self.context.operator.clone();
        self.error.get_or_insert_with(|| OperatorError { operator, source: text.into() });
        self.context.flags.set_failed();
    }

    pub(crate) fn open(&mut self) -> Result<(), OperatorError> {
        self.outputs.values_mut().try_for_each(|output| output.open())
    }

    pub(crate) fn end(&mut self) -> bool {
        // All of them, also behind one that is not done.
        self.outputs.values_mut().filter_map(|output| (!output.end()).then_some(())).count() == 0
    }

    pub(crate) fn flush(&mut self) {
        self.outputs.values_mut().for_each(|output| output.flush());
    }

    pub(crate) fn has_room(&mut self) -> bool {
        // All of them are asked: each remembers that the task waits.
        self.outputs.values_mut().filter_map(|output| (!output.has_room()).then_some(())).count() == 0
    }

    /// The first failure, here or behind one of them.
    pub(crate) fn take_error(&mut self) -> Option<OperatorError> {
        self.error.take().or_else(|| self.outputs.values_mut().find_map(|output| output.take_error()))
    }
}

/// Chunk consumers are what side outputs may be chained to.
pub(crate) type BoxedConsumer<T> = Box<dyn ChunkConsumer<T>>;
