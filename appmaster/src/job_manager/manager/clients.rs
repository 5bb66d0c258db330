use std::time::Duration;

use flink_graph::{JobGraph, JobId, JobStatus};
use flink_protocol::client::{ClientResponseBody, JobResult};

use super::JobManager;
use crate::job_manager::event::{Action, ClientCall, ConnectionId};
use crate::job_manager::job::JobMaster;
use crate::job_manager::timing::Timer;

/// Clients that may wait for results at one time; more are answered at once with the state of the job.
const MAX_WAITERS: usize = 10_000;

/// Longest wait for a result; a client that wants to wait longer asks again.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// Jobs that have not ended; more are refused.
const MAX_JOBS: usize = 10_000;

/// A client that waits for the end of a job.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) connection: ConnectionId,
    number: u64,
    job: JobId,
}

impl JobManager {
    pub(super) fn on_client_call(&mut self, connection: ConnectionId, number: u64, call: ClientCall) {
        let body = match call {
            ClientCall::SubmitJob { graph, artifact_present } => Ok(self.submit(*graph, artifact_present)),
            ClientCall::RequestJobResult { job, wait } => match self.result_now(job, wait) {
                Some(body) => body,
                None => return self.wait_for_result(connection, number, job, wait),
            },
            ClientCall::CancelJob(job) => Ok(self.cancel(job)),
            ClientCall::RequestJobs => Ok(ClientResponseBody::Jobs(self.jobs())),
            ClientCall::RequestJobDetails(job) => self
                .job_details(job)
                .map(|details| ClientResponseBody::JobDetails(Box::new(details)))
                .ok_or_else(|| self.unknown_job(job)),
            ClientCall::RequestClusterOverview => Ok(ClientResponseBody::ClusterOverview(self.overview())),
            ClientCall::RequestTaskManagers => Ok(ClientResponseBody::TaskManagers(self.task_managers())),
        };
        self.cx.actions.push(Action::RespondToClient { connection, number, body });
    }

    fn submit(&mut self, graph: JobGraph, artifact_present: bool) -> ClientResponseBody {
        let job = graph.job_id;
        if self.jobs.contains_key(&job) || self.finished.get(job).is_some() {
            return ClientResponseBody::JobSubmitSuccess(job);
        }
        let name = graph.name.clone();
        match self.accept(graph, artifact_present) {
            Err(reason) => ClientResponseBody::JobSubmitFailure(reason),
            Ok(master) => {
                self.submitted += 1;
                self.jobs.insert(job, master);
                self.cx.touched.insert(job);
                let status = JobStatus::Created;
                self.cx.actions.push(Action::JobStatusChanged { job, name, status, reason: None });
                ClientResponseBody::JobSubmitSuccess(job)
            }
        }
    }

    fn accept(&self, graph: JobGraph, artifact_present: bool) -> Result<JobMaster, String> {
        if self.finished.is_forgotten(graph.job_id) {
            return Err(format!("job {} has run already; submit it under a new id", graph.job_id));
        }
        if self.jobs.len() >= MAX_JOBS {
            return Err(format!("{MAX_JOBS} jobs are waiting or running; submit it again when some have ended"));
        }
        if !artifact_present {
            let program = graph.program.as_ref().map(|program| program.name.as_str()).unwrap_or_default();
            return Err(format!(
                "the cluster does not have the program `{program}`: put it first, then submit the job"
            ));
        }
        JobMaster::new(graph, self.submitted, &self.cx)
    }

    fn cancel(&mut self, job: JobId) -> ClientResponseBody {
        let ended = self.finished.get(job).map(|job| job.details.summary.status);
        match (self.with_job(job, JobMaster::cancel), ended) {
            (Some(Ok(())), _) => ClientResponseBody::CancellationSuccess(job),
            (Some(Err(reason)), _) => ClientResponseBody::CancellationFailure(reason),
            // A repeated request whose first answer was lost is answered like the first.
            (None, Some(JobStatus::Canceled)) => ClientResponseBody::CancellationSuccess(job),
            (None, Some(status)) => ClientResponseBody::CancellationFailure(format!("job {job} is {status} already")),
            (None, None) => ClientResponseBody::CancellationFailure(self.unknown_job(job)),
        }
    }

    fn unknown_job(&self, job: JobId) -> String {
        if self.finished.is_forgotten(job) {
            return format!("job {job} ended a while ago and is not remembered any more (jobstore.max-capacity)");
        }
        format!("job {job} is not known here: it was never submitted, or the JobManager was restarted since")
    }

    /// The answer to a request for a result, unless it has to wait.
    fn result_now(&self, job: JobId, wait: Duration) -> Option<Result<ClientResponseBody, String>> {
        if let Some(finished) = self.finished.get(job) {
            let gone =
                || format!("the records that job {job} collected are not kept any more; its state is still known");
            let result = finished.result.clone().ok_or_else(gone);
            return Some(result.map(|result| ClientResponseBody::JobResult(Box::new(result))));
        }
        let Some(master) = self.jobs.get(&job) else { return Some(Err(self.unknown_job(job))) };
        let at_once = wait.is_zero() || self.waiters.len() >= MAX_WAITERS;
        at_once.then(|| Ok(ClientResponseBody::JobRunning(Box::new(master.details(&self.cx)))))
    }

    fn wait_for_result(&mut self, connection: ConnectionId, number: u64, job: JobId, wait: Duration) {
        let waiter = self.next_waiter;
        self.next_waiter += 1;
        self.waiters.insert(waiter, Waiter { connection, number, job });
        self.cx.agenda.set(self.cx.now.elapsed + wait.min(MAX_WAIT), Timer::Waiter(waiter));
    }

    pub(super) fn on_waiter_timer(&mut self, waiter: u64) {
        let Some(Waiter { connection, number, job }) = self.waiters.remove(&waiter) else { return };
        if let Some(body) = self.result_now(job, Duration::ZERO) {
            self.cx.actions.push(Action::RespondToClient { connection, number, body });
        }
    }

    pub(super) fn answer_waiters(&mut self, job: JobId, result: &JobResult) {
        for (_, waiter) in self.waiters.extract_if(.., |_, waiter| waiter.job == job) {
            self.cx.actions.push(Action::RespondToClient {
                connection: waiter.connection,
                number: waiter.number,
                body: Ok(ClientResponseBody::JobResult(Box::new(result.clone()))),
            });
        }
    }
}
