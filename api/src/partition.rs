//! Partitioning by a function of the user's.

use flink_taskmanager::data::Data;
use flink_taskmanager::operator::{BoxError, OperatorContext, OperatorError, Output, Stage};
use flink_taskmanager::output::ResultWriter;

/// The end of a chain that ships each record to the subtask that a function chooses.
pub(crate) struct CustomRouter<T, F> {
    choose: F,
    writer: ResultWriter<T>,
    context: OperatorContext,
    error: Option<BoxError>,
}

impl<T, F> CustomRouter<T, F> {
    pub(crate) fn new(choose: F, writer: ResultWriter<T>, context: OperatorContext) -> Self {
        Self { choose, writer, context, error: None }
    }
}

impl<T: Data, F: FnMut(&T, usize) -> usize + Send> Output<T> for CustomRouter<T, F> {
    fn collect(&mut self, record: T) {
        let subtasks = self.writer.subpartitions();
        let chosen = (self.choose)(&record, subtasks);
        if chosen < subtasks {
            self.writer.write(chosen, record);
        } else {
            let text =
                format!("the partitioner chose subtask {chosen}, but there are {subtasks} (0 to {})", subtasks - 1);
            self.error.get_or_insert(text.into());
            self.context.flags.set_failed();
        }
    }

    fn is_full(&self) -> bool {
        self.context.flags.interrupted()
    }
}

impl<T: Data, F: FnMut(&T, usize) -> usize + Send> Stage<T> for CustomRouter<T, F> {
    fn open(&mut self) -> Result<(), OperatorError> {
        Ok(())
    }

    fn end(&mut self) -> bool {
        self.writer.end();
        true
    }

    fn flush(&mut self) {
        self.writer.flush();
    }

    fn has_room(&mut self) -> bool {
        self.writer.has_room()
    }

    fn take_error(&mut self) -> Option<OperatorError> {
        let error = self.error.take().or_else(|| self.writer.take_error());
        error.map(|source| OperatorError { operator: self.context.operator.clone(), source })
    }
}
