use flink_api::executor::finished;
use flink_api::{ExecuteError, JobClient, JobId, JobResult, JobStatus};
use flink_protocol::wire;

/// A job that has ended: an earlier action of the program, whose result is replayed.
pub(crate) struct EndedJob(JobResult);

impl EndedJob {
    /// From what the client kept of the action.
    pub(crate) fn replay(encoded: &[u8]) -> Result<Box<dyn JobClient>, ExecuteError> {
        let result = wire::decode(encoded)
            .map_err(|error| ExecuteError::Cluster(format!("the result of an earlier action is damaged: {error}")))?;
        Ok(Box::new(Self(result)))
    }
}

impl JobClient for EndedJob {
    fn job_id(&self) -> JobId {
        self.0.job
    }

    fn status(&self) -> Result<JobStatus, ExecuteError> {
        Ok(self.0.status)
    }

    fn cancel(&self) -> Result<(), ExecuteError> {
        Ok(())
    }

    fn wait(&self) -> Result<JobResult, ExecuteError> {
        finished(self.0.clone())
    }
}
