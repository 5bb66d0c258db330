//! The DataStream API: what a program is written with.
//!
//! A program builds a graph of operators and calls an action (`execute`, `execute_and_collect`). Operators that follow one
//! another without a shuffle are one generic struct, so the compiler sees through them as through an iterator chain;
//! [`DataStream::boxed`] ends such a typed chain, and with it gives a stream whose type can be named and which can be used
//! more than once.

/// Where a program begins: settings, sources, actions.
pub mod environment;

/// Streams and their transformations.
pub mod datastream;

/// Settings of operators: names, parallelism, chaining.
pub mod settings;

/// Streams by key, and their running aggregates.
pub mod keyed;

/// What takes the records of a keyed stream one by one.
pub mod partitioned;

/// Two streams of different types in one operator.
pub mod connected;

/// The functions that users give, as operators.
pub mod functions;

/// Accumulators: side results of functions.
pub mod accumulators;

/// Side outputs.
pub mod side_output;

/// Partitioning by a function of the user's.
mod partition;

/// The trait of sources.
pub mod source;

/// Sources that come with the engine: collections, sequences, generators.
pub mod sources;

/// Consecutive numbers as a source.
pub mod sequence;

/// The trait of sinks.
pub mod sink;

/// Sinks that come with the engine: print, discard, collect.
pub mod sinks;

/// What runs a program's actions.
pub mod executor;

/// Chains: operators as one generic struct.
mod chain;

/// How the tasks of a vertex are made from its chains.
mod task_builder;

/// The program as a graph of chains.
mod stream_graph;

/// What sinks do when their job has finished.
mod settling;

/// What is refused before anything runs.
mod checks;

/// Random numbers.
mod random;

/// From the stream graph to the JobGraph.
mod translation;

pub use chain::{Chain, Start};
pub use datastream::DataStream;
pub use environment::StreamExecutionEnvironment;
pub use executor::{ExecuteError, Executor, JobClient, Program};
pub use flink_derive::{Data, Key};
pub use flink_graph::{AccumulatorValue, Accumulators, Configuration, JobId, JobStatus, RuntimeMode};
pub use flink_protocol::client::JobResult;
pub use flink_taskmanager::clock::Clock;
pub use flink_taskmanager::data::{self, Data, DecodeError, Key, KeyHasher};
pub use flink_taskmanager::operator::{BoxError, Output, SharedAccumulators, TaskWaker};
pub use functions::{ProcessContext, ProcessFunction, RuntimeContext};
pub use keyed::KeyedStream;
pub use side_output::OutputTag;

/// Text that lies inline up to 24 bytes: the cheap form for words and other short keys.
pub use compact_str::CompactString as Str;
