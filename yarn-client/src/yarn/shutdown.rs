use std::time::Duration;

use flink_graph::Configuration;
use flink_protocol::client::{ClientRequestBody, ClientResponseBody};
use flink_protocol::overview::JobSummary;
use hadoop_rpc::yarn::{ApplicationReport, ApplicationState};

use super::application::{Application, END_TIMEOUT};
use super::orphaned_staging::{Fate, Fates};
use crate::connection::{Cluster, Connection, unexpected};
use crate::error::{ClientError, Result};
use crate::output;

/// Longest wait for jobs to be cancelled before YARN ends an application.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(15);

/// Why an application is ended whose client was interrupted, or cannot go on.
pub(crate) const ENDED_BY_CLIENT: &str = "ended by the client that submitted it";

/// Pause between two looks at jobs that are being cancelled.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

impl Application {
    /// Ends it: its jobs are cancelled, so that they take away what they have half written, and YARN does the rest. None
    /// when the ResourceManager has forgotten it: then only what it has left is taken away.
    pub(crate) async fn end(&self, configuration: &Configuration, reason: &str) -> Result<Option<ApplicationReport>> {
        // The first question of a command: a wrong address is told soon.
        let Some(report) = self.resource_manager().find(self.id()).await? else {
            return self.remove_forgotten().await.map(|()| None);
        };
        if report.state == ApplicationState::Running && !self.is_somebody_elses(&report) {
            // Who cannot be asked to cancel is ended all the same.
            let canceled = tokio::time::timeout(CANCEL_TIMEOUT, self.cancel_jobs(configuration)).await;
            if let Err(reason) = canceled.unwrap_or_else(|_| Err(not_canceled_in_time())) {
                let id = self.id();
                output::notice(format!("{reason}\nYARN ends application {id} without its jobs having been canceled"));
            }
        }
        self.kill(reason).await.map(Some)
    }

    async fn cancel_jobs(&self, configuration: &Configuration) -> Result<()> {
        let mut connection = self.clone().cluster(configuration).await?.connect().await?;
        if cancel_running(&mut connection).await? > 0 {
            while !running(&mut connection).await?.is_empty() {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        }
        Ok(())
    }

    async fn remove_forgotten(&self) -> Result<()> {
        let staging = self.staging();
        let Some(folder) = staging.found().await? else { return Err(self.unknown()) };
        match Fates::new(self.resource_manager()).of(&folder).await? {
            Fate::Ended => staging.remove().await.map(|_| ()),
            Fate::Lives | Fate::Unknown => Err(self.unknown()),
        }
    }

    /// Asks YARN to end it, waits for its end, and takes away what it could not take away itself.
    pub(crate) async fn kill(&self, reason: &str) -> Result<ApplicationReport> {
        let report = self.report().await?;
        if !report.state.is_terminal() {
            self.resource_manager().kill(self.id(), reason).await?;
        }
        let report = self.wait_for_end(END_TIMEOUT).await?;
        self.staging().remove().await?;
        Ok(report)
    }
}

fn not_canceled_in_time() -> ClientError {
    ClientError::failed(format!("they have not ended within {} s", CANCEL_TIMEOUT.as_secs()))
}

/// Asks for the jobs that run to be cancelled; gives their number.
pub(crate) async fn cancel_all(cluster: &Cluster) -> Result<usize> {
    cancel_running(&mut cluster.connect().await?).await
}

async fn cancel_running(connection: &mut Connection) -> Result<usize> {
    let jobs = running(connection).await?;
    for job in &jobs {
        connection.request(ClientRequestBody::CancelJob(job.id)).await?;
    }
    Ok(jobs.len())
}

async fn running(connection: &mut Connection) -> Result<Vec<JobSummary>> {
    let ClientResponseBody::Jobs(mut jobs) = connection.request(ClientRequestBody::RequestJobs).await? else {
        return Err(unexpected("RequestJobs"));
    };
    jobs.retain(|job| !job.status.is_globally_terminal());
    Ok(jobs)
}
