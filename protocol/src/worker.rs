use serde::{Deserialize, Serialize};

use flink_graph::{ExecutionAttemptId, InputSplit, PartitionId};

use crate::Epoch;
use crate::task_manager::{JobInformation, TaskDeploymentDescriptor, TaskMetrics, TaskStateUpdate};

/// From a TaskManager to a worker, over the inherited socket pair.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToWorker {
    /// The first message: what to run, and how to listen for data.
    Start(Box<WorkerStart>),
    /// Run a task.
    SubmitTask(Box<TaskDeploymentDescriptor>),
    /// End a task.
    CancelTask(ExecutionAttemptId),
    /// End a task as failed.
    FailTask {
        /// The task.
        attempt: ExecutionAttemptId,
        /// Why.
        reason: String,
    },
    /// The answer to `RequestNextInputSplit`.
    NextInputSplit {
        /// Who asked.
        attempt: ExecutionAttemptId,
        /// Number of the request.
        request: u64,
        /// The split, if one is left.
        split: Option<InputSplit>,
    },
    /// A partition is not needed any more.
    ReleasePartitions {
        /// Which ones.
        partitions: Vec<PartitionId>,
    },
    /// Say how the tasks are; answered by `Metrics`.
    RequestMetrics,
    /// End.
    Stop,
}

/// What a worker is told first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerStart {
    /// The job.
    pub job: JobInformation,
    /// Epoch of the leader that wants the worker: workers of an older one are refused by its peers.
    pub epoch: Epoch,
    /// Host that others reach the data plane at.
    pub host: String,
    /// Address that the data plane listens on.
    pub bind_host: String,
    /// Folder for spilled data and blocking shuffles; removed by the TaskManager.
    pub directory: String,
    /// Keys of the data plane; `None` without TLS.
    pub tls: Option<TlsMaterial>,
    /// What the TaskManager was told to log; the worker logs the same.
    #[serde(default)]
    pub log_filter: Option<String>,
}

/// Certificates and key of one process, PEM. Never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsMaterial {
    /// The cluster's certificate authority.
    pub authority: String,
    /// The process's certificate.
    pub certificate: String,
    /// The process's private key.
    pub private_key: String,
}

impl std::fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsMaterial(***)")
    }
}

/// From a worker to its TaskManager.
// Most messages are state updates, the largest variant: boxing them would cost more than the room saved in the others.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FromWorker {
    /// The graph is built and equals the submitted one; data is listened for here.
    Started {
        /// Version of the messages that the program was built with.
        protocol_version: u32,
        /// `host:port` of the data plane.
        data_address: String,
    },
    /// The worker cannot run the job; it ends.
    Refused {
        /// Why.
        reason: String,
    },
    /// An execution is in a new state.
    UpdateTaskExecutionState(TaskStateUpdate),
    /// A source task wants its next split.
    RequestNextInputSplit {
        /// The asking attempt.
        attempt: ExecutionAttemptId,
        /// Number of the request within the attempt.
        request: u64,
    },
    /// How the tasks are.
    Metrics(WorkerMetrics),
}

/// Figures of a worker.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerMetrics {
    /// Figures of its tasks.
    pub tasks: Vec<TaskMetrics>,
    /// Bytes received by the data plane.
    pub network_read_bytes: u64,
    /// Bytes sent by the data plane.
    pub network_written_bytes: u64,
}
