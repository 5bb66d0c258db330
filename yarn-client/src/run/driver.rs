use flink_graph::{Artifact, JobGraph, JobId, JobStatus};
use flink_protocol::client::{ClientRequestBody, ClientResponseBody, JobResult};
use flink_protocol::program::{DriverRequest, DriverResponse, EarlierAction};
use flink_protocol::wire;

use super::follow;
use super::remote::{RemoteRun, identify, kept_job_id, named, no_job, refused};
use super::signals::{Signals, interrupted};
use crate::connection::{Connection, unexpected};
use crate::error::{ClientError, Exit, Result};
use crate::output::{self, Format};
use crate::program::{self, DrivenProgram, Planner, Program, ProgramEvent};
use crate::yarn::last_lines;

/// Runs a program to its end, and its jobs on the cluster. `main` sees each job's result, a failure too, and may go on.
pub(super) async fn drive(run: &RemoteRun, planner: &Planner, program: &Program, mut signals: Signals) -> Result<()> {
    let mut driven = planner.drive()?;
    let first = async { Ok(tokio::join!(driven.next(), program::describe(program), run.cluster.connect())) };
    let (said, artifact, connection) = signals.unless_interrupted(first).await?;
    let request = match said? {
        ProgramEvent::Asks(request) => request,
        ProgramEvent::Ended { crash: Some(crash), .. } => return Err(crash),
        ProgramEvent::Ended { crash: None, .. } => {
            no_job(program);
            return Ok(());
        }
    };
    let (artifact, mut connection) = (artifact?, connection?);
    signals.unless_interrupted(program::upload(&mut connection, program, &artifact)).await?;
    let session = Session { run, artifact, connection: Some(connection), signals, jobs: Vec::new(), failure: None };
    session.serve(&mut driven, request).await
}

/// The jobs of one run of a program.
struct Session<'a> {
    run: &'a RemoteRun,
    artifact: Artifact,
    /// A connection that was just used; one that has lain idle may be dead.
    connection: Option<Connection>,
    signals: Signals,
    jobs: Vec<Job>,
    /// What went wrong last, with which job, and was told to the program: it may handle it.
    failure: Option<(JobId, ClientError)>,
}

/// A job, and what the program knows of it.
struct Job {
    graph: JobGraph,
    told: EarlierAction,
}

impl Job {
    fn runs(&self) -> bool {
        matches!(self.told, EarlierAction::Submitted { .. })
    }
}

impl Session<'_> {
    async fn serve(mut self, program: &mut DrivenProgram, first: DriverRequest) -> Result<()> {
        let mut request = first;
        loop {
            let response = self.answer(request).await?;
            program.answer(&response).await?;
            let said = tokio::select! {
                said = program.next() => said?,
                () = self.signals.end_wanted(|| question(&self.jobs)) => return Err(self.interrupt().await),
            };
            match said {
                ProgramEvent::Asks(next) => request = next,
                ProgramEvent::Ended { crash: None, .. } => return self.finish().await,
                ProgramEvent::Ended { crash: Some(crash), last_words } => {
                    self.cancel_running().await;
                    return Err(match self.failure.take() {
                        Some((job, error)) => self.shown(job, error.told_in(&last_words)).await,
                        None => crash,
                    });
                }
            }
        }
    }

    async fn answer(&mut self, request: DriverRequest) -> Result<DriverResponse> {
        self.tell_what_was_handled();
        if let DriverRequest::FindJob(action) = request {
            return Ok(DriverResponse::Found(self.is_known(action).await?));
        }
        let (DriverRequest::RequestJobStatus(action)
        | DriverRequest::RequestJobResult(action)
        | DriverRequest::CancelJob(action)) = request
        else {
            let DriverRequest::SubmitJob(graph) = request else { return Err(unexpected("nothing")) };
            return self.submit(*graph).await;
        };
        let index = usize::try_from(action).unwrap_or(usize::MAX);
        match self.jobs.get(index).map(|job| &job.told) {
            None => Ok(DriverResponse::Refused(format!("the program has no action number {action}"))),
            Some(EarlierAction::Refused(reason)) => Ok(DriverResponse::Refused(reason.clone())),
            Some(_) => self.answer_about(index, &request).await,
        }
    }

    async fn answer_about(&mut self, index: usize, request: &DriverRequest) -> Result<DriverResponse> {
        match request {
            DriverRequest::RequestJobResult(_) => Ok(DriverResponse::Result(Box::new(self.result(index).await?))),
            DriverRequest::RequestJobStatus(_) => Ok(DriverResponse::Status(self.status(index).await?)),
            _ => self.cancel(index).await,
        }
    }

    /// Whether an earlier run of the program has submitted this action.
    async fn is_known(&mut self, action: u32) -> Result<bool> {
        let Some(job) = kept_job_id(action) else { return Ok(false) };
        let mut connection = self.connect().await?;
        match connection.request(ClientRequestBody::RequestJobResult { job, wait_ms: 0 }).await {
            Ok(answer) => {
                self.connection = Some(connection);
                Ok(matches!(answer, ClientResponseBody::JobResult(_) | ClientResponseBody::JobRunning(_)))
            }
            Err(error) if error.exit() == Exit::Failed => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn submit(&mut self, mut graph: JobGraph) -> Result<DriverResponse> {
        if graph.action as usize != self.jobs.len() {
            let reason = format!("this is action number {}, expected was {}", graph.action, self.jobs.len());
            return Ok(DriverResponse::Refused(format!(
                "{reason}: a program has one environment, of which it may have clones"
            )));
        }
        identify(&mut graph, &self.artifact)?;
        graph.earlier_results = self.jobs.iter().map(|job| encode(&job.told)).collect::<Result<_>>()?;
        let mut connection = self.connect_or_cancel().await?;
        let (told, response) = match self.run.submit(&mut connection, &graph).await? {
            Ok(()) => {
                let (job, status) = (graph.job_id, JobStatus::Created);
                (EarlierAction::Submitted { job, status }, DriverResponse::Submitted(job))
            }
            Err(reason) => {
                self.failure = Some((graph.job_id, refused(&graph, reason.clone())));
                (EarlierAction::Refused(reason.clone()), DriverResponse::Refused(reason))
            }
        };
        self.connection = Some(connection);
        self.jobs.push(Job { graph, told });
        Ok(response)
    }

    async fn connect(&mut self) -> Result<Connection> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => self.signals.unless_interrupted(self.run.cluster.connect()).await,
        }
    }

    /// Ctrl-C while there is no connection ends the jobs that run, as at any other time.
    async fn connect_or_cancel(&mut self) -> Result<Connection> {
        let connected = self.connect().await;
        self.or_cancel(connected).await
    }

    async fn or_cancel<T>(&mut self, done: Result<T>) -> Result<T> {
        match done {
            Err(error) if error.exit() == Exit::Interrupted && self.jobs.iter().any(Job::runs) => {
                Err(self.interrupt().await)
            }
            done => done,
        }
    }

    /// Waits for a job's end.
    async fn result(&mut self, index: usize) -> Result<JobResult> {
        if let EarlierAction::Ended(result) = &self.jobs[index].told {
            return Ok((**result).clone());
        }
        let connection = self.connect_or_cancel().await?;
        let job = &mut self.jobs[index];
        let result = follow::follow(&self.run.cluster, connection, &job.graph, &mut self.signals).await?;
        self.failure = self.run.conclude(&job.graph, &result)?.map(|error| (job.graph.job_id, error));
        job.told = EarlierAction::Ended(Box::new(result.clone()));
        Ok(result)
    }

    async fn status(&mut self, index: usize) -> Result<JobStatus> {
        self.connection = None;
        let job = match &self.jobs[index].told {
            EarlierAction::Ended(result) => return Ok(result.status),
            _ => self.jobs[index].graph.job_id,
        };
        let question = ClientRequestBody::RequestJobDetails(job);
        let asking = async { self.run.cluster.connect().await?.request(question).await };
        let answer = self.signals.unless_interrupted(asking).await;
        let ClientResponseBody::JobDetails(details) = self.or_cancel(answer).await? else {
            return Err(unexpected("RequestJobDetails"));
        };
        let status = details.summary.status;
        self.jobs[index].told = EarlierAction::Submitted { job, status };
        Ok(status)
    }

    async fn cancel(&mut self, index: usize) -> Result<DriverResponse> {
        self.connection = None;
        if self.jobs[index].runs() {
            let job = self.jobs[index].graph.job_id;
            let canceled = self.signals.unless_interrupted(follow::cancel(&self.run.cluster, job)).await;
            self.or_cancel(canceled).await?;
        }
        Ok(DriverResponse::Canceling)
    }

    /// The program goes on after a failure: it was handled there, and is no failure of the run.
    fn tell_what_was_handled(&mut self) {
        if let Some((_, failure)) = self.failure.take()
            && self.run.format == Format::Text
        {
            output::notice(failure.to_string());
        }
    }

    /// The program has ended well. Jobs that it did not wait for are waited for now; nobody but the caller can handle their
    /// failures.
    async fn finish(mut self) -> Result<()> {
        self.tell_what_was_handled();
        let mut failure = None;
        for index in 0..self.jobs.len() {
            if self.jobs[index].runs() {
                self.connection = None;
                self.result(index).await?;
                failure = failure.or(self.failure.take());
            }
        }
        match failure {
            Some((job, error)) => Err(self.shown(job, error).await),
            None => Ok(()),
        }
    }

    /// A failure that the program has not handled, with what shows more of it.
    async fn shown(&self, job: JobId, error: ClientError) -> ClientError {
        last_lines::of_living(&self.run.cluster, job, error).await
    }

    async fn interrupt(&mut self) -> ClientError {
        self.cancel_running().await;
        interrupted("interrupted while the program ran")
    }

    /// Ends the jobs that the program has left behind.
    async fn cancel_running(&self) {
        for job in self.jobs.iter().filter(|job| job.runs()) {
            let name = named(&job.graph);
            match follow::cancel(&self.run.cluster, job.graph.job_id).await {
                Ok(()) => output::notice(format!("Canceled job {name}")),
                Err(error) => output::notice(format!("job {name} may run on: {error}")),
            }
        }
    }
}

/// What Ctrl-C asks while the program does something else than to wait for a job: nothing where no job runs.
fn question(jobs: &[Job]) -> Option<String> {
    let names: Vec<_> = jobs.iter().filter(|job| job.runs()).map(|job| named(&job.graph)).collect();
    (!names.is_empty()).then(|| format!("Cancel job {}?", names.join(" and job ")))
}

fn encode(told: &EarlierAction) -> Result<Vec<u8>> {
    wire::encode(told).map_err(|error| ClientError::failed("cannot encode a job's result").because(&error))
}
