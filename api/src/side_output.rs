//! Side outputs: further streams out of one process function, each of its own type.

use std::any::Any;
use std::collections::BTreeMap;
use std::marker::PhantomData;

use flink_taskmanager::data::Data;
use flink_taskmanager::operator::{BoxError, ChunkConsumer, Output, Stage};

use crate::task_builder::SharedOutput;

/// Names a side output and its type. Two tags are the same when their names are.
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
    fn open(&mut self) -> Result<(), BoxError>;
    fn end(&mut self) -> bool;
    fn flush(&mut self);
    fn has_room(&mut self) -> bool;
}

impl<T: Data> AnySideOutput for SharedOutput<T> {
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }

    fn open(&mut self) -> Result<(), BoxError> {
        Stage::open(self).map_err(|error| error.source)
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
}

/// The side outputs of one process function in one subtask.
#[derive(Default)]
pub(crate) struct SideOutputs(BTreeMap<String, Box<dyn AnySideOutput>>);

impl SideOutputs {
    pub(crate) fn insert(&mut self, tag: String, output: Box<dyn AnySideOutput>) {
        self.0.insert(tag, output);
    }

    pub(crate) fn emit<T: Data>(&mut self, tag: &OutputTag<T>, record: T) {
        let output = self.0.get_mut(tag.name()).and_then(|output| output.as_any().downcast_mut::<SharedOutput<T>>());
        if let Some(output) = output {
            output.collect(record);
        }
    }

    pub(crate) fn open(&mut self) -> Result<(), BoxError> {
        self.0.values_mut().try_for_each(|output| output.open())
    }

    pub(crate) fn end(&mut self) -> bool {
        // All of them, also behind one that is not done.
        self.0.values_mut().filter_map(|output| (!output.end()).then_some(())).count() == 0
    }

    pub(crate) fn flush(&mut self) {
        self.0.values_mut().for_each(|output| output.flush());
    }

    pub(crate) fn has_room(&mut self) -> bool {
        // All of them are asked: each remembers that the task waits.
        self.0.values_mut().filter_map(|output| (!output.has_room()).then_some(())).count() == 0
    }
}

/// Chunk consumers are what side outputs may be chained to.
pub(crate) type BoxedConsumer<T> = Box<dyn ChunkConsumer<T>>;
