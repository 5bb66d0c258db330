use serde::{Deserialize, Serialize};

use flink_graph::{
    Accumulators, Artifact, Configuration, ExecutionAttemptId, ExecutionState, InputSplit, JobGraph, JobId,
    PartitionId, ResultPartitionType, ShipStrategy, TaskManagerId,
};

use crate::overview::LogPiece;
use crate::wire::Epoch;

/// From a TaskManager to the JobManager.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToJobManager {
    /// Registration phase: asks to be accepted, again with growing pauses until it is answered.
    RegisterTaskManager(TaskManagerRegistration),
    /// Operational phase: I live, this is how I am, this is what I run.
    Heartbeat(TaskManagerReport),
    /// The worker of a job runs and listens for data at this address. Sent again until acknowledged.
    WorkerStarted {
        /// The job.
        job: JobId,
        /// `host:port` of the worker's data plane.
        data_address: String,
    },
    /// The worker of a job could not be started or has ended without being told to; its tasks are gone.
    WorkerLost {
        /// The job.
        job: JobId,
        /// Exit status, signal, last words: for the user.
        reason: String,
        /// True when it does not fit the job: another one would not either.
        #[serde(default)]
        unrecoverable: bool,
    },
    /// An execution is in a new state. Sent again until answered by `TaskStateAcknowledged`.
    UpdateTaskExecutionState(TaskStateUpdate),
    /// A source task wants its next split.
    RequestNextInputSplit {
        /// The asking attempt; only the current attempt of a subtask is served.
        attempt: ExecutionAttemptId,
        /// Number of the request within the attempt, from 0. A request with the number of the last one is the same
        /// request once more and gets the same answer, so no split is lost with a message.
        request: u64,
    },
    /// A piece of an artifact is wanted.
    RequestArtifact {
        /// Which artifact.
        sha256: String,
        /// Where the piece begins.
        offset: u64,
    },
    /// The answer to `RequestLog`.
    LogPiece {
        /// Number of the request.
        request: u64,
        /// The piece, or why there is none.
        piece: Result<LogPiece, String>,
    },
    /// The TaskManager ends in an orderly way.
    DisconnectTaskManager {
        /// Why.
        reason: String,
    },
}

/// From the JobManager to a TaskManager.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToTaskManager {
    /// The registration is accepted under the epoch of the envelope.
    AcknowledgeRegistration {
        /// Pause between heartbeats, milliseconds.
        heartbeat_interval_ms: u64,
        /// Silence after which the other side counts as lost, milliseconds.
        heartbeat_timeout_ms: u64,
    },
    /// The same TaskManager is registered already; as good as an acknowledgement.
    AlreadyRegistered,
    /// The registration is refused; the TaskManager ends.
    RefuseRegistration {
        /// Why.
        reason: String,
    },
    /// What the JobManager knows to be there: the TaskManager ends everything else, and reports what it lacks.
    Heartbeat {
        /// Jobs that may have a worker on this TaskManager.
        jobs: Vec<JobId>,
        /// Executions that should be on this TaskManager.
        attempts: Vec<ExecutionAttemptId>,
    },
    /// Start the worker of a job, unless it runs already. Answered by `WorkerStarted` or `WorkerLost`.
    StartWorker(Box<JobInformation>),
    /// End the worker of a job: the job is over, or has no slot here any more.
    StopWorker {
        /// The job.
        job: JobId,
    },
    /// Run a task.
    SubmitTask(Box<TaskDeploymentDescriptor>),
    /// End a task; answered by a state update to CANCELED (or what it came to before).
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
        /// The split; `None` when there is none left, and never will be.
        split: Option<InputSplit>,
    },
    /// The answer to `UpdateTaskExecutionState`.
    TaskStateAcknowledged {
        /// The attempt.
        attempt: ExecutionAttemptId,
        /// The state that is acknowledged.
        state: ExecutionState,
        /// False: the attempt is unknown and must end.
        known: bool,
    },
    /// `WorkerStarted` arrived.
    WorkerStartedAcknowledged {
        /// The job.
        job: JobId,
    },
    /// The answer to `RequestArtifact`.
    ArtifactPiece {
        /// Which artifact.
        sha256: String,
        /// Where the piece begins.
        offset: u64,
        /// The bytes; empty at the end. An error when the JobManager does not have it.
        bytes: Result<serde_bytes::ByteBuf, String>,
    },
    /// A piece of a log is wanted.
    RequestLog {
        /// Number of the request, for the answer.
        request: u64,
        /// The job whose worker wrote it; `None` for the TaskManager's own log.
        job: Option<JobId>,
        /// Where to begin, bytes.
        offset: u64,
    },
    /// A partition is not needed any more.
    ReleasePartitions {
        /// Which ones.
        partitions: Vec<PartitionId>,
    },
    /// Newer tokens for file systems, for the TaskManager and its workers. Sent again after each heartbeat that does not
    /// name them.
    UpdateDelegationTokens(DelegationTokens),
}

/// Tokens that open file systems. They are secret, and never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelegationTokens {
    /// Grows with each that a JobManager hands out; counted anew under each epoch.
    pub version: u64,
    /// A Hadoop token file.
    pub file: serde_bytes::ByteBuf,
}

impl std::fmt::Debug for DelegationTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DelegationTokens({}, ***)", self.version)
    }
}

/// Who wants to register.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskManagerRegistration {
    /// The TaskManager's identity, new at each start.
    pub id: TaskManagerId,
    /// Version of the messages that it speaks.
    pub protocol_version: u32,
    /// Host name as HDFS and YARN know it, for the locality of splits.
    pub host: String,
    /// Number of slots that it offers.
    pub slots: u32,
    /// Its hardware and settings.
    pub hardware: HardwareDescription,
    /// The epoch under which it last was registered; 0 for none.
    pub last_epoch: Epoch,
    /// What it still runs, when it registers again.
    pub running: Vec<RunningTask>,
}

/// What a TaskManager runs on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HardwareDescription {
    /// Processors that it may use.
    pub cpu_cores: f64,
    /// Memory of the host, bytes.
    pub physical_memory: u64,
    /// Memory that the TaskManager with its workers may use, bytes.
    pub process_memory: u64,
}

/// An execution that a TaskManager has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunningTask {
    /// Which one.
    pub attempt: ExecutionAttemptId,
    /// Index of its slot.
    pub slot: u32,
    /// Its state.
    pub state: ExecutionState,
}

/// What a heartbeat of a TaskManager says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskManagerReport {
    /// Memory, disk, network and CPU figures.
    pub statistics: ProcessStatistics,
    /// The executions that it has.
    pub tasks: Vec<RunningTask>,
    /// Figures of the running executions.
    pub metrics: Vec<TaskMetrics>,
    /// Jobs that have a worker here.
    pub workers: Vec<JobId>,
    /// Version of the tokens that the JobManager has sent last and that are in use here; 0 for those of the start.
    #[serde(default)]
    pub delegation_tokens: u64,
}

/// Figures of a TaskManager with its workers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcessStatistics {
    /// Resident memory of the TaskManager process, bytes.
    pub resident_bytes: u64,
    /// Resident memory of its workers, bytes.
    pub workers_resident_bytes: u64,
    /// CPU time of the TaskManager and its workers since their start, milliseconds.
    pub cpu_time_ms: u64,
    /// Load of all processors by these processes since the last heartbeat, 0 to 1.
    pub cpu_load: f64,
    /// Free memory of the host, bytes.
    pub free_memory: u64,
    /// Free bytes under the temporary folders.
    pub free_disk: u64,
    /// Total bytes under the temporary folders.
    pub total_disk: u64,
    /// Bytes received by the workers' data plane.
    pub network_read_bytes: u64,
    /// Bytes sent by the workers' data plane.
    pub network_written_bytes: u64,
    /// Threads of the TaskManager and its workers.
    pub threads: u64,
    /// Open file descriptors of the TaskManager process.
    pub open_files: u64,
}

/// Figures of one execution, since its start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskMetrics {
    /// The execution.
    pub attempt: ExecutionAttemptId,
    /// Records received.
    pub records_in: u64,
    /// Records sent.
    pub records_out: u64,
    /// Bytes received (of local channels the size in memory).
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Time spent processing, milliseconds.
    pub busy_ms: u64,
    /// Time spent without input, milliseconds.
    pub idle_ms: u64,
    /// Time spent waiting for room at the outputs, milliseconds.
    pub backpressured_ms: u64,
    /// The accumulators so far.
    pub accumulators: Accumulators,
}

/// What `UpdateTaskExecutionState` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskStateUpdate {
    /// The execution.
    pub attempt: ExecutionAttemptId,
    /// Its new state.
    pub state: ExecutionState,
    /// Why it failed.
    pub failure: Option<TaskFailure>,
    /// The last figures and accumulators of an execution that ended.
    pub metrics: Option<TaskMetrics>,
}

/// Why an execution failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFailure {
    /// Who can act on it.
    pub kind: FailureKind,
    /// The error with its causes, one a line.
    pub message: String,
}

/// Who can act on a failure, and what a restart may help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// The user's code or data; the operator that it came from.
    User {
        /// Name of the operator.
        operator: String,
    },
    /// The connection to a producer broke; the producer may be well.
    ConnectionLost {
        /// Whose output was being read.
        partition: PartitionId,
    },
    /// The producer of an input failed or released it before the end.
    PartitionUnavailable {
        /// Whose output was being read.
        partition: PartitionId,
    },
    /// The TaskManager or worker was lost.
    TaskManagerLost,
    /// Another program on the worker than on the client: a restart does not help.
    Unrecoverable,
    /// Something outside (disk, file system) or a mistake of ours.
    Runtime,
}

/// What a TaskManager needs to start the worker of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobInformation {
    /// The graph without its input splits.
    pub graph: JobGraph,
    /// The program; `None` when it is the TaskManager's own process.
    pub program: Option<Artifact>,
    /// Configuration of the cluster, under that of the job.
    pub cluster_configuration: Configuration,
}

/// Everything a worker needs to run one subtask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskDeploymentDescriptor {
    /// The execution.
    pub attempt: ExecutionAttemptId,
    /// Index of the slot that it runs in.
    pub slot: u32,
    /// One gate for each input of the vertex.
    pub inputs: Vec<InputGateDescriptor>,
    /// One result for each output of the vertex.
    pub outputs: Vec<ResultPartitionDescriptor>,
}

/// One input of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputGateDescriptor {
    /// One channel for each producer subtask that is read from.
    pub channels: Vec<InputChannelDescriptor>,
}

/// One channel of an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputChannelDescriptor {
    /// The partition that is read.
    pub partition: PartitionId,
    /// Which subpartition of it.
    pub subpartition: u32,
    /// The TaskManager whose worker has it.
    pub task_manager: TaskManagerId,
    /// `host:port` of that worker's data plane.
    pub data_address: String,
}

/// One output of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultPartitionDescriptor {
    /// The partition that is produced.
    pub partition: PartitionId,
    /// How it is handed on.
    pub result_type: ResultPartitionType,
    /// How records choose their subpartition.
    pub ship_strategy: ShipStrategy,
    /// Number of subpartitions: one for each consumer.
    pub subpartitions: u32,
    /// Max parallelism of the consumer: the number of key groups of a HASH edge.
    pub key_groups: u32,
    /// Parallelism of the consumer.
    pub consumer_parallelism: u32,
}
