//! `run -t yarn-application` and `run -t yarn-per-job`: a program in applications of its own.

use std::time::{Duration, Instant};

use flink_console::{Progress, human, named};
use flink_graph::{Configuration, JobGraph, JobId, JobStatus};
use flink_protocol::client::{ClientRequestBody, ClientResponseBody, JobResult};
use flink_protocol::program::{DriverRequest, DriverResponse, EarlierAction};
use flink_protocol::wire;
use hadoop_rpc::yarn::{ApplicationReport, ApplicationState, FinalStatus};
use serde::Serialize;

use super::follow;
use super::remote::{self, no_job};
use super::signals::{Signals, interrupted};
use crate::connection::{Cluster, Connection, unexpected};
use crate::error::{ClientError, Exit, Result};
use crate::output::{self, Format};
use crate::program::{Planned, Planner, Program, ProgramEvent, StandardOutput};
use crate::yarn::application::{Application, END_TIMEOUT, outcome};
use crate::yarn::deployment::{Deployment, Timings, Work};
use crate::yarn::plan::{Kind, Plan};
use crate::yarn::shutdown::cancel_all;
use crate::yarn::{artifacts, diagnostics, last_lines, start};

/// Pause between two questions for what has happened to an application.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The same when nothing has happened for a while.
const LONG_PAUSE: Duration = Duration::from_millis(500);

/// Longest wait for jobs to be canceled before the application is ended.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(15);

/// A run in applications of its own.
pub(super) struct YarnRun {
    pub(super) kind: Kind,
    pub(super) attached: bool,
    pub(super) format: Format,
    pub(super) plan_timeout: Duration,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct JsonApplication<'a> {
    application_id: String,
    state: String,
    final_status: String,
    tracking_url: &'a str,
    timings: Timings,
    detached: bool,
}

impl YarnRun {
    pub(super) async fn run(&self, program: Program, configuration: Configuration) -> Result<()> {
        match self.kind {
            Kind::PerJob if self.attached => self.drive(&program, configuration).await,
            Kind::PerJob => self.first_job(&program, configuration).await,
            Kind::Application | Kind::Session => self.application(&program, configuration).await,
        }
    }

    /// `main` runs in the cluster; here it is only looked after.
    async fn application(&self, program: &Program, configuration: Configuration) -> Result<()> {
        let mut signals = Signals::new()?;
        let arguments = arguments(program)?;
        let mut deployment = self.deployment(program, &configuration)?;
        let work = Work::Main { program: staged(program), arguments };
        let (application, report) = start::deploy(&mut deployment, work, &mut signals).await?;
        let timings = deployment.timings();
        self.tell_started(&report, timings)?;
        if !self.attached {
            return Ok(());
        }
        let (configuration, application) = (&configuration, &application);
        let mut watch = Watch { run: self, application, configuration, cluster: None, told: Vec::new(), failure: None };
        let ended = tokio::select! {
            ended = watch.until_end() => Some(ended),
            () = signals.end_wanted(|| Some(format!("End application {}?", application.id()))) => None,
        };
        match ended {
            Some(report) => watch.conclude(&report?, timings).await,
            None => Err(watch.interrupt(&mut signals).await),
        }
    }

    fn deployment(&self, program: &Program, configuration: &Configuration) -> Result<Deployment> {
        let plan = Plan::new(self.kind, configuration, Some(&program.name()))?;
        let deployment = Deployment::new(plan, configuration.clone())?;
        deployment.tell_rounding()?;
        Ok(deployment)
    }

    fn tell_started(&self, report: &ApplicationReport, timings: Timings) -> Result<()> {
        match self.format {
            Format::Text if self.attached => {
                output::notice(format!("Application {} is {}: {}", report.id, report.state, report.tracking_url));
                Ok(())
            }
            Format::Text => {
                output::line(format!("Application {} is {}: {}", report.id, report.state, report.tracking_url))?;
                output::notice(format!(
                    "it runs on; look at it with flink-yarn list --application-id {0}, end it with flink-yarn kill {0}",
                    report.id
                ));
                Ok(())
            }
            Format::Json if self.attached => Ok(()),
            Format::Json => output::json(&json(report, timings, true)),
        }
    }

    fn planner(&self, program: &Program, configuration: &Configuration) -> Planner {
        let stdout = if self.format == Format::Json { StandardOutput::Error } else { StandardOutput::Own };
        Planner::new(program.clone(), configuration.clone(), stdout, self.plan_timeout)
    }

    /// An application for the first job, and nobody who waits for it.
    async fn first_job(&self, program: &Program, configuration: Configuration) -> Result<()> {
        let mut signals = Signals::new()?;
        let planned = signals.unless_interrupted(self.planner(program, &configuration).plan()).await?;
        let Planned::Graph(mut graph) = planned else {
            no_job(program);
            return Ok(());
        };
        graph.job_id = new_job_id()?;
        let mut deployment = self.deployment(program, &configuration)?;
        let work = Work::Job { program: staged(program), graph: graph.clone() };
        let (_, report) = start::deploy(&mut deployment, work, &mut signals).await?;
        self.tell_started(&report, deployment.timings())?;
        if self.format == Format::Text {
            output::line(format!("Job has been submitted with JobID {}", graph.job_id))?;
        }
        Ok(())
    }

    /// `main` runs here, and each of its jobs in an application of its own.
    async fn drive(&self, program: &Program, configuration: Configuration) -> Result<()> {
        let signals = Signals::new()?;
        let mut driven = self.planner(program, &configuration).drive()?;
        let mut jobs = Jobs { run: self, program, configuration, signals, jobs: Vec::new(), failure: None };
        loop {
            let said = tokio::select! {
                said = driven.next() => said?,
                () = jobs.signals.end_wanted(|| question(&jobs.jobs)) => {
                    jobs.end_all().await;
                    return Err(interrupted("interrupted while the program ran"));
                }
            };
            match said {
                ProgramEvent::Asks(request) => {
                    let response = jobs.answer(request).await;
                    if response.is_err() {
                        jobs.end_all().await;
                    }
                    driven.answer(&response?).await?;
                }
                ProgramEvent::Ended { crash: Some(crash), last_words } => {
                    jobs.end_all().await;
                    return Err(match jobs.failure.take() {
                        Some(failure) => failure.shown(&last_words).await,
                        None => crash,
                    });
                }
                ProgramEvent::Ended { crash: None, .. } if jobs.jobs.is_empty() => {
                    no_job(program);
                    return Ok(());
                }
                ProgramEvent::Ended { crash: None, .. } => return jobs.finish().await,
            }
        }
    }
}

fn json(report: &ApplicationReport, timings: Timings, detached: bool) -> JsonApplication<'_> {
    JsonApplication {
        application_id: report.id.to_string(),
        state: report.state.to_string(),
        final_status: report.final_status.to_string(),
        tracking_url: &report.tracking_url,
        timings,
        detached,
    }
}

fn staged(program: &Program) -> artifacts::Program {
    artifacts::Program { path: program.path.clone(), name: program.name() }
}

fn arguments(program: &Program) -> Result<Vec<String>> {
    let text = |argument: &std::ffi::OsString| {
        argument.to_str().map(str::to_owned).ok_or_else(|| {
            ClientError::usage(format!("the argument {} of the program is not UTF-8", argument.to_string_lossy()))
                .hint("arguments travel to the cluster as text; -t yarn-per-job runs main here")
        })
    };
    program.arguments.iter().map(text).collect()
}

fn new_job_id() -> Result<JobId> {
    let bytes = flink_transport::token::random_bytes::<16>()
        .ok_or_else(|| ClientError::failed("the operating system gives no random bytes for the job's id"))?;
    Ok(JobId::from_u128(u128::from_be_bytes(bytes)))
}

/// An application whose `main` runs in the cluster, and its jobs as they come and go.
struct Watch<'a> {
    run: &'a YarnRun,
    application: &'a Application,
    configuration: &'a Configuration,
    /// Its JobManager, once it was found.
    cluster: Option<Cluster>,
    /// Jobs whose end was told.
    told: Vec<JobId>,
    /// The last job that did not finish, and why.
    failure: Option<(JobId, ClientError)>,
}

impl Watch<'_> {
    /// Shows its jobs until it has ended.
    async fn until_end(&mut self) -> Result<ApplicationReport> {
        let (sender, mut ended) = tokio::sync::oneshot::channel();
        let application = self.application.clone();
        let watching = tokio::spawn(async move {
            let _ = sender.send(wait_for_end(&application).await);
        });
        let report = loop {
            tokio::select! {
                biased;
                report = &mut ended => break report,
                () = self.next_job() => {}
            }
        };
        watching.abort();
        let report = report.map_err(|_| ClientError::failed("the application is not watched any more"))??;
        Ok(report)
    }

    /// Follows the next job to its end; waits a moment where there is none.
    async fn next_job(&mut self) {
        let followed = async {
            self.find_cluster().await?;
            match &self.cluster {
                Some(cluster) => follow_one(cluster, &self.told).await,
                None => Ok(None),
            }
        };
        match followed.await {
            Ok(Some(Followed { name, result })) => {
                self.told.push(result.job);
                let failure = remote::tell_end(self.run.format, &name, &result).unwrap_or_else(Some);
                self.failure = failure.map(|error| (result.job, error));
            }
            Ok(None) => tokio::time::sleep(MIN_POLL_INTERVAL).await,
            // It ends, or another attempt takes over: the ResourceManager says which.
            Err(_) => tokio::time::sleep(LONG_PAUSE).await,
        }
    }

    /// Looks for the JobManager where it was not found yet: one failure is no reason to give up.
    async fn find_cluster(&mut self) -> Result<()> {
        if self.cluster.is_none() {
            self.cluster = Some(self.application.clone().cluster(self.configuration).await?);
        }
        Ok(())
    }

    async fn conclude(self, report: &ApplicationReport, timings: Timings) -> Result<()> {
        if self.run.format == Format::Json {
            output::json(&json(report, timings, false))?;
        }
        let well = report.state == ApplicationState::Finished && report.final_status == FinalStatus::Succeeded;
        if well {
            if self.run.format == Format::Text {
                output::notice(format!("Application {} is {}", report.id, outcome(report)));
            }
            return Ok(());
        }
        self.application.staging().remove().await?;
        if let Some((job, failure)) = self.failure {
            return Err(match failure.exit() {
                Exit::Failed => last_lines::of_ended(self.application, Some(job), failure).await,
                _ => failure.hint(format!("its logs: flink-yarn logs --application-id {}", report.id)),
            });
        }
        let exit = if report.state == ApplicationState::Killed { Exit::Canceled } else { Exit::Failed };
        let error = ClientError::new(exit, format!("application {} ended badly: {}", report.id, outcome(report)));
        let error = error.because_text(diagnostics::cause(&report.diagnostics));
        Err(last_lines::of_ended(self.application, None, error).await)
    }

    /// Cancels the jobs, so that nothing half-written stays, and ends the application.
    async fn interrupt(&mut self, signals: &mut Signals) -> ClientError {
        let id = self.application.id();
        output::notice(format!("Canceling the jobs of application {id}; Ctrl-C again ends it without waiting"));
        let ending = async {
            let _ = self.find_cluster().await;
            let canceled = match &self.cluster {
                Some(cluster) => tokio::time::timeout(CANCEL_TIMEOUT, cancel_all(cluster)).await.unwrap_or(Ok(0)),
                None => Ok(0),
            };
            // Without a job, `main` alone would be waited for.
            let waits = canceled.is_ok_and(|count| count > 0);
            if waits && self.application.wait_for_end(CANCEL_TIMEOUT).await.is_ok() {
                return self.application.staging().remove().await.map(|_| ());
            }
            self.application.kill("ended by the client that submitted it").await.map(|_| ())
        };
        let ended = tokio::select! {
            ended = ending => ended,
            () = signals.next() => self.application.kill("ended by the client that submitted it").await.map(|_| ()),
        };
        match ended {
            Ok(()) => interrupted(&format!("application {id} was ended")),
            Err(error) => interrupted(&format!("application {id} may run on"))
                .because(&error)
                .hint(format!("flink-yarn kill {id}")),
        }
    }
}

async fn wait_for_end(application: &Application) -> Result<ApplicationReport> {
    let begun = Instant::now();
    loop {
        let report = application.report().await?;
        if report.state.is_terminal() {
            return Ok(report);
        }
        // At the beginning much may happen soon; a job that runs for an hour need not be asked for twenty times a second.
        let pause = if begun.elapsed() < Duration::from_secs(10) { MIN_POLL_INTERVAL } else { LONG_PAUSE };
        tokio::time::sleep(pause).await;
    }
}

struct Followed {
    name: String,
    result: JobResult,
}

/// Follows the first job that was not told yet.
async fn follow_one(cluster: &Cluster, told: &[JobId]) -> Result<Option<Followed>> {
    let mut connection = cluster.connect().await?;
    loop {
        let ClientResponseBody::Jobs(jobs) = connection.request(ClientRequestBody::RequestJobs).await? else {
            return Err(unexpected("RequestJobs"));
        };
        let next = jobs.into_iter().filter(|job| !told.contains(&job.id)).min_by_key(|job| job.start_time);
        if let Some(job) = next {
            let progress = Progress::new(named(&job.name, job.id));
            let result = follow::wait(cluster, &mut connection, job.id, &progress).await;
            progress.clear();
            return Ok(Some(Followed { name: job.name, result: result? }));
        }
        tokio::time::sleep(MIN_POLL_INTERVAL).await;
    }
}

/// The jobs of a program whose `main` runs here.
struct Jobs<'a> {
    run: &'a YarnRun,
    program: &'a Program,
    configuration: Configuration,
    signals: Signals,
    jobs: Vec<Job>,
    /// What went wrong last, and was told to the program: it may handle it.
    failure: Option<Failure>,
}

/// Why a job did not finish, and its application, which has ended.
struct Failure {
    application: Application,
    job: JobId,
    error: ClientError,
}

/// One job, and its application.
struct Job {
    graph: JobGraph,
    application: Application,
    cluster: Cluster,
    told: EarlierAction,
}

impl Failure {
    /// One that the program has not handled, with what shows more of it than the program has printed.
    async fn shown(self, last_words: &str) -> ClientError {
        let error = self.error.told_in(last_words);
        match error.exit() {
            Exit::Failed => last_lines::of_ended(&self.application, Some(self.job), error).await,
            _ => error,
        }
    }
}

impl Jobs<'_> {
    async fn answer(&mut self, request: DriverRequest) -> Result<DriverResponse> {
        if let Some(failure) = self.failure.take()
            && self.run.format == Format::Text
        {
            output::notice(failure.error.to_string());
        }
        let action = match request {
            DriverRequest::SubmitJob(graph) => return self.submit(graph).await,
            // `main` runs here, once.
            DriverRequest::FindJob(_) => return Ok(DriverResponse::Found(false)),
            DriverRequest::RequestJobStatus(action)
            | DriverRequest::RequestJobResult(action)
            | DriverRequest::CancelJob(action) => action,
        };
        let index = usize::try_from(action).unwrap_or(usize::MAX);
        let Some(job) = self.jobs.get(index) else {
            return Ok(DriverResponse::Refused(format!("the program has no action number {action}")));
        };
        match (request, &job.told) {
            (DriverRequest::RequestJobResult(_), _) => Ok(DriverResponse::Result(Box::new(self.result(index).await?))),
            (DriverRequest::RequestJobStatus(_), EarlierAction::Ended(result)) => {
                Ok(DriverResponse::Status(result.status))
            }
            (DriverRequest::RequestJobStatus(_), _) => Ok(DriverResponse::Status(self.status(index).await?)),
            (_, EarlierAction::Ended(_)) => Ok(DriverResponse::Canceling),
            _ => {
                follow::cancel(&job.cluster, job.graph.job_id).await?;
                Ok(DriverResponse::Canceling)
            }
        }
    }

    async fn submit(&mut self, mut graph: Box<JobGraph>) -> Result<DriverResponse> {
        graph.job_id = new_job_id()?;
        graph.earlier_results = self.jobs.iter().map(|job| encode(&job.told)).collect::<Result<_>>()?;
        let mut deployment = self.run.deployment(self.program, &self.configuration)?;
        let work = Work::Job { program: staged(self.program), graph: graph.clone() };
        let (application, report) = start::deploy(&mut deployment, work, &mut self.signals).await?;
        self.run.tell_started(&report, deployment.timings())?;
        let cluster = application.clone().cluster(&self.configuration).await?;
        let job = graph.job_id;
        let told = EarlierAction::Submitted { job, status: JobStatus::Created };
        self.jobs.push(Job { graph: *graph, application, cluster, told });
        Ok(DriverResponse::Submitted(job))
    }

    async fn result(&mut self, index: usize) -> Result<JobResult> {
        let job = &mut self.jobs[index];
        if let EarlierAction::Ended(result) = &job.told {
            return Ok((**result).clone());
        }
        let followed = match job.cluster.connect().await {
            Ok(connection) => follow::follow(&job.cluster, connection, &job.graph, &mut self.signals).await,
            Err(error) => Err(error),
        };
        let result = match followed {
            Ok(result) => result,
            Err(error) => return Err(lost(job, error).await),
        };
        let failure = remote::tell_end(self.run.format, &job.graph.name, &result)?;
        self.failure = failure.map(|error| Failure { application: job.application.clone(), job: result.job, error });
        job.told = EarlierAction::Ended(Box::new(result.clone()));
        settle(&job.application).await;
        Ok(result)
    }

    async fn status(&mut self, index: usize) -> Result<JobStatus> {
        let job = &mut self.jobs[index];
        let id = job.graph.job_id;
        let mut connection: Connection = job.cluster.connect().await?;
        let question = ClientRequestBody::RequestJobDetails(id);
        let ClientResponseBody::JobDetails(details) = connection.request(question).await? else {
            return Err(unexpected("RequestJobDetails"));
        };
        let status = details.summary.status;
        job.told = EarlierAction::Submitted { job: id, status };
        Ok(status)
    }

    /// Jobs that the program did not wait for are waited for now.
    async fn finish(mut self) -> Result<()> {
        let mut failure = None;
        for index in 0..self.jobs.len() {
            if matches!(self.jobs[index].told, EarlierAction::Submitted { .. }) {
                self.result(index).await?;
                failure = failure.or(self.failure.take());
            }
        }
        match failure {
            Some(failure) => Err(failure.shown("").await),
            None => Ok(()),
        }
    }

    /// Ends the applications whose jobs have not.
    async fn end_all(&mut self) {
        for job in self.jobs.iter().filter(|job| matches!(job.told, EarlierAction::Submitted { .. })) {
            if let Err(error) = job.application.end(&self.configuration, "ended by the client that submitted it").await
            {
                output::notice(error.to_string());
            }
        }
    }
}

/// What Ctrl-C asks while the program does something else than to wait for a job: nothing where no application runs.
fn question(jobs: &[Job]) -> Option<String> {
    let running = jobs.iter().filter(|job| matches!(job.told, EarlierAction::Submitted { .. }));
    let ids: Vec<_> = running.map(|job| job.application.id().to_string()).collect();
    (!ids.is_empty()).then(|| format!("End application {}?", ids.join(" and application ")))
}

/// The application has ended, and with it the way to the job: YARN knows why.
async fn lost(job: &Job, error: ClientError) -> ClientError {
    if error.exit() == Exit::Interrupted {
        let _ = job.application.kill("ended by the client that submitted it").await;
        return error;
    }
    match job.application.report().await {
        Ok(report) if report.state.is_terminal() => {
            let message = format!("application {} ended before its job {}", report.id, remote::named(&job.graph));
            let error = ClientError::failed(message).because_text(diagnostics::cause(&report.diagnostics));
            last_lines::of_ended(&job.application, Some(job.graph.job_id), error).await
        }
        _ => error,
    }
}

/// Waits until an application whose job has ended has gone, too: what comes next finds its containers free.
async fn settle(application: &Application) {
    let begun = Instant::now();
    match application.wait_for_end(END_TIMEOUT).await {
        Ok(report) => output::notice(format!(
            "Application {} is {} after {}",
            report.id,
            outcome(&report),
            human::duration(begun.elapsed())
        )),
        Err(error) => output::notice(error.to_string()),
    }
}

fn encode(told: &EarlierAction) -> Result<Vec<u8>> {
    wire::encode(told).map_err(|error| ClientError::failed("cannot encode a job's result").because(&error))
}
