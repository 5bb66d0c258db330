use flink_api::executor::finished;
use flink_api::{ExecuteError, JobClient, JobId, JobResult, JobStatus};
use flink_protocol::program::EarlierAction;
use flink_protocol::wire;

/// What an earlier action gave `main` where the program began, from what the client kept of it.
///
/// # Errors
/// As there: the cluster refused the job.
pub(crate) fn replay(encoded: &[u8]) -> Result<Box<dyn JobClient>, ExecuteError> {
    let earlier = wire::decode(encoded)
        .map_err(|error| ExecuteError::Cluster(format!("the result of an earlier action is damaged: {error}")))?;
    match earlier {
        EarlierAction::Refused(reason) => Err(ExecuteError::Cluster(reason)),
        EarlierAction::Submitted { job, status } => Ok(Box::new(EarlierJob { job, status, result: None })),
        EarlierAction::Ended(result) => {
            Ok(Box::new(EarlierJob { job: result.job, status: result.status, result: Some(*result) }))
        }
    }
}

/// A job of an earlier action, as the program knew it when it came to the next one.
struct EarlierJob {
    job: JobId,
    status: JobStatus,
    result: Option<JobResult>,
}

impl JobClient for EarlierJob {
    fn job_id(&self) -> JobId {
        self.job
    }

    fn status(&self) -> Result<JobStatus, ExecuteError> {
        Ok(self.status)
    }

    fn cancel(&self) -> Result<(), ExecuteError> {
        Ok(())
    }

    fn wait(&self) -> Result<JobResult, ExecuteError> {
        let result = self.result.clone().ok_or_else(|| {
            ExecuteError::Cluster(format!(
                "the program waits for job {} here, and did not where it began, before its next action: it must do the \
                 same in every process",
                self.job
            ))
        });
        result.and_then(finished)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replayed(earlier: &EarlierAction) -> Result<Box<dyn JobClient>, ExecuteError> {
        replay(&wire::encode(earlier).unwrap())
    }

    fn ended(status: JobStatus, failure: Option<&str>) -> EarlierAction {
        let job = JobId::from_u128(1);
        let failure = failure.map(str::to_owned);
        EarlierAction::Ended(Box::new(JobResult {
            job,
            status,
            net_runtime_ms: 1,
            failure,
            accumulators: Default::default(),
        }))
    }

    #[test]
    fn main_is_told_the_same_again() {
        let client = replayed(&ended(JobStatus::Finished, None)).unwrap();
        assert_eq!(client.wait().unwrap().status, JobStatus::Finished);
        let client = replayed(&ended(JobStatus::Failed, Some("Map (1/2): boom"))).unwrap();
        assert_eq!(client.status().unwrap(), JobStatus::Failed);
        let Err(ExecuteError::Failed { cause, .. }) = client.wait() else { panic!("it failed") };
        assert_eq!(cause, "Map (1/2): boom");
        assert!(matches!(replayed(&ended(JobStatus::Canceled, None)).unwrap().wait(), Err(ExecuteError::Canceled(_))));
        let refused = replayed(&EarlierAction::Refused("no slots".to_owned()));
        assert!(matches!(refused, Err(ExecuteError::Cluster(reason)) if reason == "no slots"));
        let running = EarlierAction::Submitted { job: JobId::from_u128(2), status: JobStatus::Running };
        let client = replayed(&running).unwrap();
        assert_eq!(client.status().unwrap(), JobStatus::Running);
        assert!(client.wait().unwrap_err().to_string().contains("the same in every process"));
        assert!(replay(b"?").is_err());
    }
}
