use flink_graph::{JobGraph, JobStatus};
use flink_protocol::client::{ClientRequestBody, ClientResponseBody, JobResult};
use flink_protocol::program::{DriverRequest, DriverResponse, EarlierAction};
use flink_protocol::wire;

use super::follow;
use super::signals::{Signals, WHILE_PROGRAM_RAN, interrupted};
use super::telling::{refused, tell_end, without_job};
use crate::connection::{Cluster, Connection, unexpected};
use crate::error::{ClientError, Exit, Result};
use crate::output::{self, Format};
use crate::program::{DrivenProgram, Program, ProgramEvent};

/// Where the jobs of a program run whose `main` runs here: all on one cluster, or each in an application of its own.
pub(super) trait Place {
    /// What is known of where a job runs.
    type At;

    /// What is done to a job that runs when the program ends badly: the beginning of a question.
    const END: &'static str;

    /// What this is done to.
    fn to_end(job: &Job<Self::At>) -> String;

    /// The cluster of a job.
    fn cluster<'a>(&'a self, at: &'a Self::At) -> &'a Cluster;

    /// Whether an earlier run of the program has submitted this action.
    async fn find(&mut self, action: u32, signals: &mut Signals) -> Result<bool>;

    /// Gives a job its id and submits it. Where that was refused, the program is told the reason.
    async fn submit(&mut self, graph: &mut JobGraph, signals: &mut Signals) -> Result<(Self::At, Option<String>)>;

    /// A connection over which a job's end can be waited for.
    async fn connect(&mut self, at: &Self::At) -> Result<Connection>;

    /// How a job ended, where that was noted before the program asked.
    fn noted_end(&self, at: &Self::At) -> Option<JobResult>;

    /// Ends a job, or says that it may run on.
    async fn end(&self, job: &Job<Self::At>);

    /// A job has ended, and its end was told.
    async fn settle(&self, job: &Job<Self::At>);

    /// A job is not waited for any more: Ctrl-C has canceled it, or the way to it is lost. Says more of the reason, and ends
    /// what is left of it.
    async fn give_up(&self, job: &Job<Self::At>, error: ClientError) -> ClientError;

    /// The failure of a job that the program has not handled, with what shows more of it.
    async fn shown(&self, job: &Job<Self::At>, error: ClientError) -> ClientError;
}

/// A job, and what the program knows of it.
pub(super) struct Job<At> {
    pub(super) graph: JobGraph,
    pub(super) at: At,
    told: EarlierAction,
    /// Whether it is to be ended when the program ends badly.
    runs: bool,
}

/// Answers what a program asks while its `main` runs here: to submit its jobs, and how they ended.
pub(super) struct Driver<'a, P: Place> {
    program: &'a Program,
    format: Format,
    place: P,
    signals: Signals,
    /// One for each action.
    jobs: Vec<Job<P::At>>,
    /// What went wrong last, with which job, and was told to the program: it may handle it.
    failure: Option<(usize, ClientError)>,
}

impl<'a, P: Place> Driver<'a, P> {
    pub(super) fn new(program: &'a Program, format: Format, place: P, signals: Signals) -> Self {
        Self { program, format, place, signals, jobs: Vec::new(), failure: None }
    }

    /// Goes along with the program, from the first thing that it did to its end. `main` sees each job's result, a failure too,
    /// and may go on. A run that ends badly leaves no job behind.
    pub(super) async fn run(mut self, mut driven: DrivenProgram, first: ProgramEvent) -> Result<()> {
        let ended = self.serve(&mut driven, first).await;
        if ended.is_err() {
            self.end_running().await;
        }
        ended
    }

    async fn serve(&mut self, driven: &mut DrivenProgram, first: ProgramEvent) -> Result<()> {
        let mut event = first;
        loop {
            match event {
                ProgramEvent::Asks(request) => {
                    let response = self.answer(request).await?;
                    driven.answer(&response).await?;
                }
                ProgramEvent::Ended { crash, .. } if self.jobs.is_empty() => return without_job(self.program, crash),
                ProgramEvent::Ended { crash: None, .. } => return self.finish().await,
                ProgramEvent::Ended { crash: Some(crash), last_words } => {
                    return Err(self.blamed(crash, &last_words).await);
                }
            }
            event = tokio::select! {
                event = driven.next() => event?,
                () = self.signals.end_wanted(|| question::<P>(&self.jobs)) => {
                    return Err(interrupted(WHILE_PROGRAM_RAN));
                }
            };
        }
    }

    async fn answer(&mut self, request: DriverRequest) -> Result<DriverResponse> {
        self.tell_failure();
        let action = match request {
            DriverRequest::FindJob(action) => {
                return Ok(DriverResponse::Found(self.place.find(action, &mut self.signals).await?));
            }
            DriverRequest::SubmitJob(graph) => return self.submit(*graph).await,
            DriverRequest::RequestJobStatus(action)
            | DriverRequest::RequestJobResult(action)
            | DriverRequest::CancelJob(action) => action,
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

    async fn submit(&mut self, mut graph: JobGraph) -> Result<DriverResponse> {
        if graph.action as usize != self.jobs.len() {
            let reason = format!("this is action number {}, expected was {}", graph.action, self.jobs.len());
            return Ok(DriverResponse::Refused(format!(
                "{reason}: a program has one environment, of which it may have clones"
            )));
        }
        graph.earlier_results = self.jobs.iter().map(|job| encode(&job.told)).collect::<Result<_>>()?;
        let (at, refusal) = self.place.submit(&mut graph, &mut self.signals).await?;
        let (job, runs) = (graph.job_id, refusal.is_none());
        let (told, response) = match refusal {
            None => (EarlierAction::Submitted { job, status: JobStatus::Created }, DriverResponse::Submitted(job)),
            Some(reason) => {
                self.failure = Some((self.jobs.len(), refused(&graph, reason.clone())));
                (EarlierAction::Refused(reason.clone()), DriverResponse::Refused(reason))
            }
        };
        self.jobs.push(Job { graph, at, told, runs });
        Ok(response)
    }

    /// Waits for a job's end.
    async fn result(&mut self, index: usize) -> Result<JobResult> {
        if let EarlierAction::Ended(result) = &self.jobs[index].told {
            return Ok((**result).clone());
        }
        let result = match self.place.noted_end(&self.jobs[index].at) {
            Some(result) => result,
            None => self.follow(index).await?,
        };
        let job = &mut self.jobs[index];
        job.runs = false;
        self.failure = tell_end(self.format, &job.graph.name, &result)?.map(|error| (index, error));
        job.told = EarlierAction::Ended(Box::new(result.clone()));
        self.place.settle(job).await;
        Ok(result)
    }

    /// Shows a job until it has ended.
    async fn follow(&mut self, index: usize) -> Result<JobResult> {
        let job = &mut self.jobs[index];
        let connected = self.signals.unless_interrupted(WHILE_PROGRAM_RAN, self.place.connect(&job.at)).await?;
        let followed = match connected {
            Ok(connection) => {
                follow::follow(self.place.cluster(&job.at), connection, &job.graph, &mut self.signals).await
            }
            Err(error) => Err(error),
        };
        job.runs = false;
        match followed {
            Err(error) if error.exit() == Exit::Interrupted => Err(self.place.give_up(job, error).await),
            // The way to it may be lost because it has ended.
            Err(error) => match self.place.noted_end(&job.at) {
                Some(result) => Ok(result),
                None => Err(self.place.give_up(job, error).await),
            },
            ended => ended,
        }
    }

    async fn status(&mut self, index: usize) -> Result<JobStatus> {
        let job = &mut self.jobs[index];
        if let EarlierAction::Ended(result) = &job.told {
            return Ok(result.status);
        }
        if let Some(result) = self.place.noted_end(&job.at) {
            return Ok(result.status);
        }
        let id = job.graph.job_id;
        let question = ClientRequestBody::RequestJobDetails(id);
        let asking = async { self.place.cluster(&job.at).connect().await?.request(question).await };
        let answer = self.signals.unless_interrupted(WHILE_PROGRAM_RAN, asking).await?;
        let ClientResponseBody::JobDetails(details) = answer? else { return Err(unexpected("RequestJobDetails")) };
        let status = details.summary.status;
        job.told = EarlierAction::Submitted { job: id, status };
        Ok(status)
    }

    async fn cancel(&mut self, index: usize) -> Result<DriverResponse> {
        let job = &self.jobs[index];
        if job.runs && self.place.noted_end(&job.at).is_none() {
            let canceling = follow::cancel(self.place.cluster(&job.at), job.graph.job_id);
            self.signals.unless_interrupted(WHILE_PROGRAM_RAN, canceling).await??;
        }
        Ok(DriverResponse::Canceling)
    }

    /// Tells a failure that is not how the run ends: the program goes on after it, and has handled it.
    fn tell_failure(&mut self) {
        if let Some((_, failure)) = self.failure.take()
            && self.format == Format::Text
        {
            output::notice(failure.to_string());
        }
    }

    /// The program has ended well. Jobs that it did not wait for are waited for now; nobody but the caller can handle their
    /// failures.
    async fn finish(&mut self) -> Result<()> {
        self.tell_failure();
        let mut failure = None;
        for index in 0..self.jobs.len() {
            if self.jobs[index].runs {
                self.result(index).await?;
                match failure {
                    // That of the run.
                    None => failure = self.failure.take(),
                    Some(_) => self.tell_failure(),
                }
            }
        }
        match failure {
            Some((index, error)) => Err(self.place.shown(&self.jobs[index], error).await),
            None => Ok(()),
        }
    }

    /// The program has ended with an error: because of the failure that it was told last, or for a reason of its own.
    async fn blamed(&mut self, crash: ClientError, last_words: &str) -> ClientError {
        self.end_running().await;
        match self.failure.take() {
            Some((index, error)) => self.place.shown(&self.jobs[index], error.told_in(last_words)).await,
            None => crash,
        }
    }

    /// Ends the jobs that the program has left behind.
    async fn end_running(&mut self) {
        for job in self.jobs.iter_mut().filter(|job| job.runs) {
            job.runs = false;
            self.place.end(job).await;
        }
    }
}

/// What Ctrl-C asks while the program does something else than to wait for a job: nothing where no job runs.
fn question<P: Place>(jobs: &[Job<P::At>]) -> Option<String> {
    let running: Vec<_> = jobs.iter().filter(|job| job.runs).map(P::to_end).collect();
    (!running.is_empty()).then(|| format!("{} {}?", P::END, running.join(" and ")))
}

fn encode(told: &EarlierAction) -> Result<Vec<u8>> {
    wire::encode(told).map_err(|error| ClientError::failed("cannot encode a job's result").because(&error))
}
