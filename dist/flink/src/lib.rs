//! The crate that a program depends on.
//!
//! ```no_run
//! use flink::prelude::*;
//!
//! fn main() -> Result<(), ExecuteError> {
//!     let env = StreamExecutionEnvironment::get_execution_environment()?;
//!     env.from_sequence(1, 100).filter(|n| n % 3 == 0).map(|n| n * n).print();
//!     env.execute("squares")?;
//!     Ok(())
//! }
//! ```
//!
//! The same program runs in its own process (`cargo run`), and on a cluster (`flink-yarn run`): there its `main` runs once on the
//! client, which runs its jobs for it, and once in each worker of a job, up to that job, to have the operators.

pub use flink_api::*;

/// Everything that a program usually names.
pub mod prelude {
    pub use flink_api::connected::CoProcessFunction;
    pub use flink_api::functions::Collector;
    pub use flink_api::sequence::SequenceSource;
    pub use flink_api::sink::{Sink, SinkContext, SinkWriter};
    pub use flink_api::source::{
        Boundedness, EnumeratorContext, ReaderContext, ReaderStatus, Source, SourceReader, SourceSplit,
    };
    pub use flink_api::sources::{GeneratorSource, Tick};
    pub use flink_api::{
        BoxError, Chain, Configuration, Data, DataStream, ExecuteError, JobClient, JobResult, Key, Output, OutputTag,
        ProcessContext, ProcessFunction, RuntimeContext, RuntimeMode, Str, StreamExecutionEnvironment,
    };

    pub use crate::configuration_file::LoadConfiguration;
    pub use crate::environment::GetExecutionEnvironment;
    pub use crate::files::{FileSinks, FileSources};
}

/// How a program gets its environment.
pub mod environment;

/// Configuration from a file.
pub mod configuration_file;

/// Text files as sources and sinks.
pub mod files;

/// The file systems that URIs of programs can name.
mod file_systems;

/// Local mode: a cluster in the process of the program.
mod local;

/// Plan mode: JobGraphs for the client.
mod plan;

/// The client that runs the jobs of a program in plan mode.
mod driver;

/// Worker mode: the operators for a TaskManager.
mod worker;

/// The engine's log in programs.
mod logging;

/// An action that has run already.
mod replay;
