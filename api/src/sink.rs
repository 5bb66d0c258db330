//! Sinks: where records go.

use flink_taskmanager::operator::{BoxError, SharedAccumulators};

use crate::accumulators::{Scope, with_accumulators};

/// A sink of records.
///
/// The value is a description, as with [`Source`](crate::source::Source).
///
/// # Publishing
/// Each writer prepares its part ([`SinkWriter::finish`]). A sink that publishes has one committer task behind its
/// writers, which collects what they prepared and calls [`commit`](Self::commit) when all of them have finished. A
/// committer that ends without that calls [`abort`](Self::abort).
pub trait Sink<T>: Clone + Send + Sync + 'static {
    /// Writes the records of one subtask.
    type Writer: SinkWriter<T>;

    /// Runs once for each submission on the client, before anything is submitted: the place to refuse a target that exists.
    ///
    /// # Errors
    /// The sink cannot be used; the message reaches the user.
    fn prepare(&self, context: &SinkContext) -> Result<(), BoxError> {
        let _ = context;
        Ok(())
    }

    /// Makes the writer of one subtask.
    ///
    /// # Errors
    /// The writer cannot be made; the task fails.
    fn create_writer(&self, context: &SinkContext) -> Result<Self::Writer, BoxError>;

    /// Whether the writers wait for another system, and not only for a disk of their host. The task that they are in has a
    /// thread of its own then, and holds up nobody else in its slot. Asked where the program is built, in every process; the
    /// configuration is the job's, as far as it is known by then. (Committers have a thread of their own in any case.)
    fn blocks(&self, configuration: &flink_graph::Configuration) -> bool {
        let _ = configuration;
        false
    }

    /// Whether there is something to publish: adds the committer task.
    const COMMITS: bool = false;

    /// Publishes what the writers of all subtasks prepared; `committables` are what [`SinkWriter::finish`] gave back, one
    /// for each subtask, in no order. It may run again after a failure in the middle and must then give the same result.
    ///
    /// # Errors
    /// Publishing failed; the task fails.
    fn commit(&self, context: &SinkContext, committables: Vec<Vec<u8>>) -> Result<(), BoxError> {
        let _ = (context, committables);
        Ok(())
    }

    /// Removes what [`commit`](Self::commit) has kept for the case that it runs again: the job has finished, and where that is
    /// recorded nothing runs again. Runs on the client, where `main` waits for the job; so what is kept may stay, when nobody
    /// waits. What fails here is not heard of.
    fn settle(&self, context: &SinkContext) {
        let _ = context;
    }

    /// Removes what the writers of this attempt and of earlier ones have left, as far as that is possible. Runs on the client,
    /// too, with the largest number that there is, when the job has failed or was canceled.
    fn abort(&self, context: &SinkContext) {
        let _ = context;
    }
}

/// Who writes.
#[derive(Debug, Clone)]
pub struct SinkContext {
    /// The job; 0 before it is submitted.
    pub job: flink_graph::JobId,
    /// Index of the subtask; 0 on the client.
    pub subtask: u32,
    /// Number of subtasks.
    pub parallelism: u32,
    /// Number of the attempt; two attempts of one subtask must not write to one place.
    pub attempt: u32,
    /// Configuration of the job.
    pub configuration: flink_graph::Configuration,
    /// Accumulators of the subtask; on the client nobody sees them.
    pub accumulators: SharedAccumulators,
}

impl Scope for SinkContext {
    fn shared(&self) -> &SharedAccumulators {
        &self.accumulators
    }
}

with_accumulators!(SinkContext);

/// Writes the records of one subtask.
pub trait SinkWriter<T>: Send + 'static {
    /// Writes one record, possibly into a buffer.
    ///
    /// # Errors
    /// Writing failed; the task fails.
    fn write(&mut self, record: T) -> Result<(), BoxError>;

    /// Hands buffered records on; called when the task has nothing else to do.
    ///
    /// # Errors
    /// Writing failed; the task fails.
    fn flush(&mut self) -> Result<(), BoxError> {
        Ok(())
    }

    /// The input has ended: makes everything durable, without publishing it. What it gives back reaches
    /// [`Sink::commit`].
    ///
    /// # Errors
    /// Writing failed; the task fails.
    fn finish(&mut self) -> Result<Vec<u8>, BoxError> {
        self.flush()?;
        Ok(Vec::new())
    }
}
