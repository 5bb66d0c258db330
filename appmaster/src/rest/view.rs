use std::pin::Pin;

use flink_graph::{Configuration, JobId};
use flink_protocol::overview::{ClusterOverview, JobDetails, JobSummary, TaskManagerSummary};

/// What a [`ClusterView`] answers, in its own time; the API gives up after ten seconds.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Unavailable>> + Send + 'a>>;

/// The JobManager cannot answer now: it is starting, ending, or no longer the leader.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the JobManager cannot answer: {0}")]
pub struct Unavailable(pub String);

/// What became of the wish to cancel a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancellation {
    /// The cancellation has begun, or the job was canceled before.
    Accepted,
    /// There is no such job.
    UnknownJob,
    /// The job cannot be canceled: why.
    Refused(String),
}

/// The cluster as the API sees it. Every answer is one consistent moment; two answers may be of different moments.
pub trait ClusterView: Send + Sync + 'static {
    /// The cluster's configuration.
    fn configuration(&self) -> Configuration;

    /// The cluster as a whole.
    fn overview(&self) -> Answer<'_, ClusterOverview>;

    /// The jobs that run or are remembered.
    fn jobs(&self) -> Answer<'_, Vec<JobSummary>>;

    /// Everything about one job; none when it is not known.
    fn job(&self, job: JobId) -> Answer<'_, Option<JobDetails>>;

    /// The registered TaskManagers.
    fn task_managers(&self) -> Answer<'_, Vec<TaskManagerSummary>>;

    /// Begins the cancellation of a job; it need not have ended when the answer comes.
    fn cancel(&self, job: JobId) -> Answer<'_, Cancellation>;
}
