use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use flink_graph::{AccumulatorLookupError, AccumulatorValue, Accumulators, JobGraph, JobId, JobStatus};

use crate::overview::{ClusterOverview, JobDetails, JobSummary, LogPiece, TaskManagerSummary};

/// From a client to the JobManager. Each request has one response, matched by number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientRequest {
    /// Number within the connection.
    pub number: u64,
    /// What is asked.
    pub body: ClientRequestBody,
}

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ClientRequestBody {
    /// Which of these artifacts (SHA-256) does the cluster lack?
    RequestMissingArtifacts(Vec<String>),
    /// A piece of an artifact, in order from offset 0.
    PutArtifact {
        /// Which artifact.
        sha256: String,
        /// Where the piece begins.
        offset: u64,
        /// The bytes.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
        /// True for the last piece: its hash is checked now.
        last: bool,
    },
    /// Run a job. Submitting a job id that is known already is answered like the first time.
    SubmitJob {
        /// The job.
        graph: Box<JobGraph>,
        /// Whether the client will go without waiting for the result.
        detached: bool,
    },
    /// The result of a job: answered when the job has ended, or after the wait with its state.
    RequestJobResult {
        /// The job.
        job: JobId,
        /// Longest wait, milliseconds.
        wait_ms: u64,
    },
    /// End a job.
    CancelJob(JobId),
    /// The jobs that are known.
    RequestJobs,
    /// Everything about one job.
    RequestJobDetails(JobId),
    /// The cluster as a whole.
    RequestClusterOverview,
    /// The TaskManagers.
    RequestTaskManagers,
    /// A piece of what the workers of a job, or a TaskManager, wrote.
    RequestLog(LogRequest),
    /// End the cluster.
    ShutDownCluster,
}

/// Which log a client wants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRequest {
    /// The TaskManager that has it; `None` for the JobManager's own.
    pub task_manager: Option<String>,
    /// The job whose worker wrote it; `None` for the process's own log.
    pub job: Option<JobId>,
    /// Where to begin, bytes.
    pub offset: u64,
}

/// From the JobManager to a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientResponse {
    /// Number of the request.
    pub number: u64,
    /// The answer, or why there is none.
    pub body: Result<ClientResponseBody, String>,
}

/// What a client is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ClientResponseBody {
    /// The artifacts that must be put first.
    MissingArtifacts(Vec<String>),
    /// The piece is stored.
    ArtifactStored,
    /// The job is accepted.
    JobSubmitSuccess(JobId),
    /// The job is refused.
    JobSubmitFailure(String),
    /// The job has ended.
    JobResult(Box<JobResult>),
    /// The job has not ended yet; progress for display.
    JobRunning(Box<JobDetails>),
    /// The cancellation has begun.
    CancellationSuccess(JobId),
    /// The job cannot be canceled.
    CancellationFailure(String),
    /// The jobs that are known.
    Jobs(Vec<JobSummary>),
    /// Everything about one job.
    JobDetails(Box<JobDetails>),
    /// The cluster as a whole.
    ClusterOverview(ClusterOverview),
    /// The TaskManagers.
    TaskManagers(Vec<TaskManagerSummary>),
    /// A piece of a log.
    Log(LogPiece),
    /// The cluster is ending.
    ShuttingDown,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobResult {
    /// The job.
    pub job: JobId,
    /// FINISHED, CANCELED or FAILED.
    pub status: JobStatus,
    /// From submission to end, milliseconds.
    pub net_runtime_ms: u64,
    /// Merged accumulators.
    pub accumulators: Accumulators,
    /// Why it failed, with operator and subtask.
    pub failure: Option<String>,
}

impl JobResult {
    /// The merged value of an accumulator.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn accumulator(&self, name: &str) -> Result<&AccumulatorValue, AccumulatorLookupError> {
        self.accumulators.value(name)
    }

    /// The value of a whole number: a `LongCounter`, a `LongMinimum` or a `LongMaximum`.
    ///
    /// # Errors
    /// There is none of that name, or it is of another kind.
    pub fn long(&self, name: &str) -> Result<i64, AccumulatorLookupError> {
        self.accumulators.long(name)
    }

    /// The value of a number: a `DoubleCounter`, or the mean of an average (`NaN` where nothing was added).
    ///
    /// # Errors
    /// There is none of that name, or it is of another kind.
    pub fn double(&self, name: &str) -> Result<f64, AccumulatorLookupError> {
        self.accumulators.double(name)
    }

    /// How often each value was added to a histogram.
    ///
    /// # Errors
    /// There is none of that name, or it is of another kind.
    pub fn histogram(&self, name: &str) -> Result<&BTreeMap<i64, u64>, AccumulatorLookupError> {
        self.accumulators.histogram(name)
    }
}
