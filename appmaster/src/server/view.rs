use flink_graph::{Configuration, JobId};
use flink_protocol::client::ClientResponseBody;
use flink_protocol::overview::{ClusterOverview, JobDetails, JobSummary, TaskManagerSummary};

use super::handle::{Handle, Stopped};
use crate::job_manager::JobManager;
use crate::rest::{Answer, Cancellation, ClusterView, Unavailable};

impl From<Stopped> for Unavailable {
    fn from(stopped: Stopped) -> Self {
        Self(stopped.to_string())
    }
}

impl ClusterView for Handle {
    fn configuration(&self) -> Configuration {
        Handle::configuration(self).clone()
    }

    fn overview(&self) -> Answer<'_, ClusterOverview> {
        Box::pin(async { Ok(self.query(JobManager::overview).await?) })
    }

    fn jobs(&self) -> Answer<'_, Vec<JobSummary>> {
        Box::pin(async { Ok(self.query(JobManager::jobs).await?) })
    }

    fn job(&self, job: JobId) -> Answer<'_, Option<JobDetails>> {
        Box::pin(async move { Ok(self.query(move |job_manager| job_manager.job_details(job)).await?) })
    }

    fn task_managers(&self) -> Answer<'_, Vec<TaskManagerSummary>> {
        Box::pin(async { Ok(self.query(JobManager::task_managers).await?) })
    }

    fn cancel(&self, job: JobId) -> Answer<'_, Cancellation> {
        Box::pin(async move {
            let is_known = self.query(move |job_manager| job_manager.job_graph(job).is_some()).await?;
            Ok(match self.cancel_job(job).await? {
                Ok(ClientResponseBody::CancellationSuccess(_)) => Cancellation::Accepted,
                _ if !is_known => Cancellation::UnknownJob,
                Ok(ClientResponseBody::CancellationFailure(reason)) | Err(reason) => Cancellation::Refused(reason),
                Ok(_) => Cancellation::Refused("the JobManager gave another answer".to_owned()),
            })
        })
    }
}
