use serde::{Deserialize, Serialize};

use flink_graph::{
    Accumulators, Configuration, ExecutionState, JobId, JobStatus, JobVertexId, OperatorInfo, RuntimeMode,
};

use crate::TimestampMillis;
use crate::task_manager::{HardwareDescription, ProcessStatistics};

/// The cluster as a whole: `/v1/overview`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ClusterOverview {
    /// Registered TaskManagers.
    pub task_managers: u32,
    /// All slots.
    pub slots_total: u32,
    /// Slots that no job holds.
    pub slots_available: u32,
    /// Jobs that are not in a terminal state.
    pub jobs_running: u32,
    /// Jobs that finished.
    pub jobs_finished: u32,
    /// Jobs that were canceled.
    pub jobs_canceled: u32,
    /// Jobs that failed.
    pub jobs_failed: u32,
}

/// A line of `list`, an entry of `/v1/jobs/overview`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobSummary {
    /// The job.
    pub id: JobId,
    /// Its name.
    pub name: String,
    /// Its state.
    pub status: JobStatus,
    /// STREAMING or BATCH.
    pub mode: RuntimeMode,
    /// When it was submitted.
    pub start_time: TimestampMillis,
    /// When it ended; -1 while it has not.
    pub end_time: TimestampMillis,
    /// When it last changed.
    pub last_modification: TimestampMillis,
    /// Number of executions in each state.
    pub tasks: StateCounts,
}

/// Number of executions in each state, indexed by [`ExecutionState::ALL`]'s order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateCounts(pub [u32; 9]);

impl StateCounts {
    /// Counts one more execution in a state.
    pub fn add(&mut self, state: ExecutionState) {
        self.0[state as usize] += 1;
    }

    /// Number of executions in a state.
    #[must_use]
    pub fn of(&self, state: ExecutionState) -> u32 {
        self.0[state as usize]
    }

    /// Number of executions.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.0.iter().sum()
    }
}

/// Everything about one job: `/v1/jobs/:id` and below.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobDetails {
    /// What `list` shows of it.
    pub summary: JobSummary,
    /// When the job came into each state last; 0 for never. Pairs of state and time.
    pub timestamps: Vec<(JobStatus, TimestampMillis)>,
    /// Configuration of the job.
    pub configuration: Configuration,
    /// The vertices, in the order of the JobGraph.
    pub vertices: Vec<VertexDetails>,
    /// Failures, newest first, bounded.
    pub exceptions: Vec<ExceptionEntry>,
    /// True when older failures were forgotten.
    pub exceptions_truncated: bool,
    /// Number of restarts.
    pub restarts: u32,
    /// Accumulators merged over the running and ended executions that count.
    pub accumulators: Accumulators,
    /// Why the job waits, when it waits: "waits for 2 more slots (4 wanted, 2 free)".
    pub waiting_for: Option<String>,
}

/// One vertex of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VertexDetails {
    /// Its id.
    pub id: JobVertexId,
    /// Its name.
    pub name: String,
    /// Its slot sharing group.
    pub slot_sharing_group: String,
    /// Its operators, head first.
    #[serde(default)]
    pub operators: Vec<OperatorInfo>,
    /// Number of subtasks.
    pub parallelism: u32,
    /// Number of key groups.
    pub max_parallelism: u32,
    /// Input splits of a source: how many there are and how many were handed out, and of those to a host with the data.
    pub splits: Option<SplitCounts>,
    /// The subtasks.
    pub subtasks: Vec<SubtaskDetails>,
    /// What it reads: producer, how it is handed on, how records choose their consumer.
    pub inputs: Vec<(JobVertexId, String, String)>,
}

/// How far a source's splits are handed out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitCounts {
    /// All splits.
    pub total: u32,
    /// Splits handed out.
    pub assigned: u32,
    /// Splits handed to a TaskManager on a host that holds the data.
    pub local: u32,
    /// Splits with data on known hosts that were handed to a TaskManager on another one.
    #[serde(default)]
    pub remote: u32,
    /// Bytes of the local splits.
    #[serde(default)]
    pub local_bytes: u64,
    /// Bytes of the remote splits.
    #[serde(default)]
    pub remote_bytes: u64,
}

impl SplitCounts {
    /// Those of two sources together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            total: self.total.saturating_add(other.total),
            assigned: self.assigned.saturating_add(other.assigned),
            local: self.local.saturating_add(other.local),
            remote: self.remote.saturating_add(other.remote),
            local_bytes: self.local_bytes.saturating_add(other.local_bytes),
            remote_bytes: self.remote_bytes.saturating_add(other.remote_bytes),
        }
    }
}

/// The current execution of a subtask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubtaskDetails {
    /// Index of the subtask.
    pub subtask: u32,
    /// Number of the attempt.
    pub attempt: u32,
    /// State of the execution.
    pub state: ExecutionState,
    /// The TaskManager that has it, and its host.
    pub location: Option<(String, String)>,
    /// When it came into each state; pairs of state and time.
    pub timestamps: Vec<(ExecutionState, TimestampMillis)>,
    /// Its figures.
    pub metrics: SubtaskMetrics,
    /// Its accumulators.
    pub accumulators: Accumulators,
}

/// Figures of an execution; see [`crate::task_manager::TaskMetrics`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubtaskMetrics {
    /// Records received.
    pub records_in: u64,
    /// Records sent.
    pub records_out: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Time spent processing, milliseconds.
    pub busy_ms: u64,
    /// Time spent without input, milliseconds.
    pub idle_ms: u64,
    /// Time spent waiting for room at the outputs, milliseconds.
    pub backpressured_ms: u64,
}

/// One failure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExceptionEntry {
    /// When.
    pub timestamp: TimestampMillis,
    /// The error with its causes.
    pub message: String,
    /// The task: `Map (3/4)`; none for a failure of the whole job.
    pub task: Option<String>,
    /// Where it ran.
    pub task_manager: Option<String>,
}

/// A TaskManager: `/v1/taskmanagers/:id`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskManagerSummary {
    /// Its id.
    pub id: String,
    /// Its address as the JobManager sees it.
    pub address: String,
    /// Its host.
    pub host: String,
    /// All slots.
    pub slots: u32,
    /// Slots that no job holds.
    pub free_slots: u32,
    /// For each job that holds slots here: the job and the number of its tasks in each of those slots.
    pub allocated: Vec<(JobId, u32)>,
    /// When it was heard of last.
    pub last_heartbeat: TimestampMillis,
    /// Its hardware.
    pub hardware: HardwareDescription,
    /// Its figures.
    pub statistics: ProcessStatistics,
}

/// A piece of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPiece {
    /// The text, lossily decoded.
    pub text: String,
    /// Where the next piece begins.
    pub next_offset: u64,
    /// True when no more was written yet.
    pub at_end: bool,
}
