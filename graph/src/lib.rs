//! What is handed over between the processes: the [`JobGraph`], the identifiers of everything in it, the
//! [`Configuration`] and the accumulators. Pure data: no I/O, no async, no knowledge of operators.
//!
//! The reading order is the order of the modules.

/// Identifiers: newtypes, so that a vertex cannot be taken for a job.
pub mod id;

/// Configuration keys (Flink's where they mean the same), their types, defaults and parsing.
pub mod configuration;

/// Ports that a server may listen on.
mod port_range;

/// The text of a configuration file.
#[cfg(feature = "yaml")]
pub mod configuration_file;

/// Which configuration keys and values there are: what is misspelt is refused, what only means something to Apache Flink is left
/// out.
pub mod keys;

/// The nearest known name to a misspelt one.
mod nearest;

/// JobGraph, JobVertex, IntermediateDataSet, JobEdge and input splits.
pub mod job_graph;

/// The fingerprint that a worker compares before it runs a graph.
pub mod fingerprint;

/// A JobGraph as text, JSON (the shape of Flink's REST API) and Graphviz.
pub mod plan;

/// Accumulators: the side results that subtasks report and the JobManager merges.
pub mod accumulator;

/// Lists of byte strings for serde.
mod byte_strings;

/// States of jobs and executions and the transitions that are allowed.
pub mod state;

pub use accumulator::{AccumulatorError, AccumulatorLookupError, AccumulatorValue, Accumulators};
pub use configuration::{ConfigOption, Configuration, ConfigurationError, options};
pub use fingerprint::{Fingerprint, FingerprintMismatch};
pub use id::{ExecutionAttemptId, IntermediateDataSetId, JobId, JobVertexId, PartitionId, SlotId, TaskManagerId};
pub use job_graph::{
    Artifact, DistributionPattern, GraphError, InputSplit, IntermediateDataSet, JobEdge, JobGraph, JobVertex,
    OperatorInfo, ResultPartitionType, RuntimeMode, ShipStrategy,
};
pub use keys::UnknownKey;
pub use port_range::PortRange;
pub use state::{ExecutionState, JobStatus};
