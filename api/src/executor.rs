//! What runs a program's actions: an embedded cluster, the client that wants the plan, or a worker.

use std::sync::Arc;

use flink_graph::{Configuration, ConfigurationError, GraphError, JobGraph, JobId, JobStatus, UnknownKey};
use flink_protocol::client::JobResult;
use flink_taskmanager::operator::BoxError;
use flink_taskmanager::setup::JobProgram;

/// The environment could not be made, or an action failed. `Debug` is for people, too: a `main` that returns the error
/// prints it that way.
#[derive(thiserror::Error)]
pub enum ExecuteError {
    /// What started the program cannot be reached, or left something that cannot be used.
    #[error("{0}")]
    Environment(String),
    /// The program asks for something that means nothing.
    #[error("{0}")]
    Program(String),
    /// The graph cannot be run.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A setting is wrong.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// A setting has a key that there is not.
    #[error(transparent)]
    UnknownKey(#[from] UnknownKey),
    /// A source or sink refused before anything ran.
    #[error("{operator}: {source}")]
    Prepare {
        /// Name of the operator.
        operator: String,
        /// What it said.
        source: BoxError,
    },
    /// The job ran and failed.
    #[error("job {job} failed: {cause}")]
    Failed {
        /// The job.
        job: JobId,
        /// The first failure, with operator and subtask.
        cause: String,
    },
    /// The job was canceled.
    #[error("job {0} was canceled")]
    Canceled(JobId),
    /// The cluster could not run the job.
    #[error("{0}")]
    Cluster(String),
}

impl std::fmt::Debug for ExecuteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&flink_taskmanager::task::error_chain(self))
    }
}

/// A graph with its operators.
pub struct Program {
    /// The graph.
    pub graph: JobGraph,
    /// Its operators.
    pub runtime: Arc<dyn JobProgram>,
}

/// A submitted job.
pub trait JobClient {
    /// The job.
    fn job_id(&self) -> JobId;

    /// Its state now.
    ///
    /// # Errors
    /// The cluster does not answer.
    fn status(&self) -> Result<JobStatus, ExecuteError>;

    /// Asks for the job's end, without waiting for it.
    ///
    /// # Errors
    /// The cluster does not answer, or the job cannot be canceled.
    fn cancel(&self) -> Result<(), ExecuteError>;

    /// Waits for the job's end.
    ///
    /// # Errors
    /// The job failed or was canceled, or the cluster does not answer.
    fn wait(&self) -> Result<JobResult, ExecuteError>;
}

/// Runs the actions of one program.
pub trait Executor {
    /// Configuration from outside the program, under what the program sets.
    fn configuration(&self) -> Configuration;

    /// Whether this action's splits are to be found and its sinks to be checked: not on a worker, where that has happened.
    fn plans(&self, action: u32) -> bool;

    /// Runs the program's next action.
    ///
    /// # Errors
    /// The job could not be submitted.
    fn submit(&self, program: Program) -> Result<Box<dyn JobClient>, ExecuteError>;
}

/// The result of a job that ended, or the error that it ended with.
///
/// # Errors
/// The job did not finish.
pub fn finished(result: JobResult) -> Result<JobResult, ExecuteError> {
    match result.status {
        JobStatus::Finished => Ok(result),
        JobStatus::Canceled => Err(ExecuteError::Canceled(result.job)),
        _ => {
            let cause = result.failure.unwrap_or_else(|| format!("it is {}", result.status));
            Err(ExecuteError::Failed { job: result.job, cause })
        }
    }
}
