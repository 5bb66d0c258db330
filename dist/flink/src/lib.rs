//! The crate that a program depends on.
//!
//! ```no_run
//! use flink::prelude::*;
//!
//! fn main() -> Result<(), BoxError> {
//!     let env = StreamExecutionEnvironment::get_execution_environment()?;
//!     env.from_sequence(1, 100).filter(|n| n % 3 == 0).map(|n| n * n).print();
//!     env.execute("squares")?;
//!     Ok(())
//! }
//! ```
//!
//! The same program runs in its own process (`cargo run`), and on a cluster (`flink-yarn run`): there its `main` runs once on the
//! client, to give the JobGraph, and once in each worker, to have the operators.

pub use flink_api::*;

/// Everything that a program usually names.
pub mod prelude {
    pub use flink_api::connected::CoProcessFunction;
    pub use flink_api::functions::Collector;
    pub use flink_api::sink::{Sink, SinkContext, SinkWriter};
    pub use flink_api::source::{
        Boundedness, EnumeratorContext, ReaderContext, ReaderStatus, Source, SourceReader, SourceSplit,
    };
    pub use flink_api::sources::{GeneratorSource, Tick};
    pub use flink_api::{
        BoxError, Chain, Data, DataStream, ExecuteError, JobClient, JobResult, Key, Output, OutputTag, ProcessContext,
        ProcessFunction, RuntimeContext, RuntimeMode, Str, StreamExecutionEnvironment,
    };

    pub use crate::environment::GetExecutionEnvironment;
    pub use crate::files::{FileSinks, FileSources};
}

/// How a program gets its environment.
pub mod environment;

/// Text files as sources and sinks.
pub mod files;

/// Local mode: a cluster in the process of the program.
mod local;

/// Plan mode: the JobGraph for the client.
mod plan;

/// Worker mode: the operators for a TaskManager.
mod worker;

/// An action that has run already.
mod replay;
