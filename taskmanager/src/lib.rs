//! What runs on a TaskManager: slots, tasks, input, operators, state, output, network, memory.
//!
//! A task is a state machine that is stepped by the thread of its slot (or by a seeded simulation) and never blocks. It
//! knows no YARN, no HDFS, no SQL and no connector.

/// What records are made of: their size, their wire form and, for keys, their hash.
pub mod data;

/// The hash function for keys.
mod key_hasher;

/// Chunks: the batches of records that tasks hand to one another, and the events between them.
pub mod chunk;

/// The time of day, as operators see it.
pub mod clock;

/// What the operators of a chain see of one another.
pub mod operator;

/// A hash table for keyed state.
pub mod table;

/// Keyed operators: routing, pre-aggregation and aggregation by key.
pub mod keyed;

/// The queue between one producer subtask and one consumer subtask.
pub mod subpartition;

/// The end of a task: result writers.
pub mod output;

/// The inputs of a task: gates of channels.
pub mod input;

/// The result partitions of a worker.
pub mod partitions;

/// Output that is stored in full before it is read.
pub mod blocking_output;

/// What a task does in one step, by the kind of its input.
pub mod driver;

/// A task: one execution of one subtask.
pub mod task;

/// Slots: the threads that step tasks.
pub mod slot;

/// What a program's operators get when a task is built.
pub mod setup;

/// The worker: the tasks of one job on one TaskManager.
pub mod worker;

/// The exchange of data between workers.
pub mod network;

/// Blocking partitions: stored on local disk, read when they are complete.
pub mod blocking;

/// The TaskManager: slots, workers, and its two phases with the JobManager.
pub mod task_manager;
