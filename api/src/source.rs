//! Sources: where records come from.

use std::time::Duration;

use flink_taskmanager::clock::Clock;
use flink_taskmanager::data::Data;
use flink_taskmanager::operator::{BoxError, Output, SharedAccumulators, TaskWaker};

use crate::accumulators::{Scope, with_accumulators};

/// Whether a source ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundedness {
    /// Its splits end; a job of such sources can run in BATCH mode.
    Bounded,
    /// It goes on until the job is canceled.
    Unbounded,
}

/// A source of records, read in parallel by splits.
///
/// The value is a description: it is built in the program's `main`, in every process of the job, and must not open
/// anything before [`create_reader`](Self::create_reader).
pub trait Source: Clone + Send + 'static {
    /// What it emits.
    type Record: Data;
    /// A piece that one reader reads alone.
    type Split: Data;
    /// Reads splits.
    type Reader: SourceReader<Record = Self::Record, Split = Self::Split>;

    /// Whether it ends.
    fn boundedness(&self) -> Boundedness;

    /// Finds the splits. Runs once for each submission, on the client, not on the workers.
    ///
    /// # Errors
    /// The input does not exist, cannot be read, or is described wrongly: the message reaches the user before anything
    /// is submitted.
    fn enumerate_splits(&self, context: &EnumeratorContext) -> Result<Vec<SourceSplit<Self::Split>>, BoxError>;

    /// Makes the reader of one subtask.
    ///
    /// # Errors
    /// The reader cannot be made; the task fails.
    fn create_reader(&self, context: ReaderContext) -> Result<Self::Reader, BoxError>;
}

/// What split enumeration may need to know.
#[derive(Debug, Clone)]
pub struct EnumeratorContext {
    /// Number of subtasks of the source.
    pub parallelism: u32,
    /// Configuration of the job.
    pub configuration: flink_graph::Configuration,
}

/// A split with what the scheduler may know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSplit<S> {
    /// What the reader needs.
    pub split: S,
    /// What it is, for people: `file:/data/a.txt [0, 67108864)`.
    pub description: String,
    /// Hosts that hold the data; empty when it is not known or does not matter.
    pub hosts: Vec<String>,
    /// Size in bytes; 0 when it is not known.
    pub length: u64,
}

/// What a reader gets from its task.
#[derive(Debug, Clone)]
pub struct ReaderContext {
    /// Index of the subtask.
    pub subtask: u32,
    /// Number of subtasks.
    pub parallelism: u32,
    /// Configuration of the job.
    pub configuration: flink_graph::Configuration,
    /// Wakes the task after [`ReaderStatus::Pending`].
    pub waker: TaskWaker,
    /// The time of day; [`SourceReader::poll`] is told how long the task has run.
    pub clock: Clock,
    /// Accumulators of the subtask.
    pub accumulators: SharedAccumulators,
}

impl Scope for ReaderContext {
    fn shared(&self) -> &SharedAccumulators {
        &self.accumulators
    }
}

with_accumulators!(ReaderContext);

/// What a reader can say after it was polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReaderStatus {
    /// There may be more at once.
    More,
    /// Nothing now; the waker will be called.
    Pending,
    /// Nothing before this time has passed (rate limits).
    PendingFor(Duration),
    /// The current split is read to its end: the next one is wanted. Also the status before the first split.
    SplitFinished,
}

/// Reads splits, one after another. Driven by one task; never called by two threads at once.
pub trait SourceReader: Send + 'static {
    /// What it emits.
    type Record: Data;
    /// What it reads.
    type Split: Data;

    /// Begins with a split. Only called after [`ReaderStatus::SplitFinished`], or at the start.
    ///
    /// # Errors
    /// The split cannot be opened.
    fn start_split(&mut self, split: Self::Split) -> Result<(), BoxError>;

    /// Emits some records: until `output.is_full()`, or about a thousand, or until it would have to wait. It must not
    /// wait for the network or a clock itself: it says so with its status. Reading a local file is not waiting.
    ///
    /// # Errors
    /// Reading failed; the task fails with the error.
    fn poll(&mut self, now: Duration, output: &mut impl Output<Self::Record>) -> Result<ReaderStatus, BoxError>;
}
