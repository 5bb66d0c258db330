use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use flink_console::human;
use flink_graph::{Configuration, JobGraph, JobId};
use flink_protocol::client::{ClientRequestBody, ClientResponseBody, JobResult};

use super::{YarnRun, staged};
use crate::connection::{Cluster, Connection};
use crate::error::{ClientError, Exit, Result};
use crate::output::{self, Format};
use crate::program::{Planned, Planner, Program, StandardOutput};
use crate::run::driver::{Driver, Job, Place};
use crate::run::remote::random_job_id;
use crate::run::signals::{BEFORE_SUBMISSION, Signals};
use crate::run::telling::{named, tell_submitted, without_job};
use crate::yarn::application::{Application, END_TIMEOUT, outcome};
use crate::yarn::deployment::Work;
use crate::yarn::shutdown::ENDED_BY_CLIENT;
use crate::yarn::{diagnostics, last_lines, start};

/// Longest wait for a job's end before it is asked for again.
const WAIT: Duration = Duration::from_secs(60);

/// Pause before a JobManager that does not answer is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs the program here to its end, and its jobs in applications.
pub(super) async fn drive(run: &YarnRun, program: &Program, configuration: Configuration) -> Result<()> {
    let mut signals = Signals::new()?;
    let mut driven = planner(run, program, &configuration).drive()?;
    let first = signals.unless_interrupted(BEFORE_SUBMISSION, driven.next()).await??;
    let place = InApplications { run, program, configuration };
    Driver::new(program, run.format, place, signals).run(driven, first).await
}

/// An application for the first job, and nobody who waits for it.
pub(super) async fn first_job(run: &YarnRun, program: &Program, configuration: Configuration) -> Result<()> {
    let mut signals = Signals::new()?;
    let planning = planner(run, program, &configuration);
    let planned = signals.unless_interrupted(BEFORE_SUBMISSION, planning.plan()).await??;
    let Planned::Graph(mut graph) = planned else { return without_job(program, None) };
    let place = InApplications { run, program, configuration };
    place.deploy(&mut graph, &mut signals).await?;
    match run.format {
        Format::Text => tell_submitted(Format::Text, &graph),
        // The application was told.
        Format::Json => Ok(()),
    }
}

fn planner(run: &YarnRun, program: &Program, configuration: &Configuration) -> Planner {
    Planner::new(program.clone(), configuration.clone(), StandardOutput::beside(run.format), run.plan_timeout)
}

/// An application for each job of a program.
struct InApplications<'a> {
    run: &'a YarnRun,
    program: &'a Program,
    configuration: Configuration,
}

/// An application for one job, and its cluster.
struct Own {
    application: Application,
    cluster: Cluster,
    /// How the job ended, noted when it did: the application goes then, whether the program has asked or not.
    end: Arc<OnceLock<JobResult>>,
}

impl InApplications<'_> {
    /// Starts an application for a job, which gets its id.
    async fn deploy(&self, graph: &mut JobGraph, signals: &mut Signals) -> Result<Application> {
        graph.job_id = random_job_id()?;
        let mut deployment = self.run.deployment(self.program, &self.configuration)?;
        let work = Work::Job { program: staged(self.program), graph: Box::new(graph.clone()) };
        let (application, report) = start::deploy(&mut deployment, work, signals).await?;
        self.run.tell_started(&report, deployment.timings())?;
        Ok(application)
    }
}

impl Place for InApplications<'_> {
    type At = Own;

    const END: &'static str = "End";

    fn to_end(job: &Job<Own>) -> String {
        format!("application {}", job.at.application.id())
    }

    fn cluster<'a>(&'a self, at: &'a Own) -> &'a Cluster {
        &at.cluster
    }

    /// `main` runs here, once.
    async fn find(&mut self, _: u32, _: &mut Signals) -> Result<bool> {
        Ok(false)
    }

    /// The ApplicationMaster submits the job; when that is refused, the application ends.
    async fn submit(&mut self, graph: &mut JobGraph, signals: &mut Signals) -> Result<(Own, Option<String>)> {
        let application = self.deploy(graph, signals).await?;
        let cluster = match application.clone().cluster(&self.configuration).await {
            Ok(cluster) => cluster,
            Err(error) => {
                tell_failed(application.kill(ENDED_BY_CLIENT).await);
                return Err(error);
            }
        };
        let end = Arc::new(OnceLock::new());
        tokio::spawn(note_end(cluster.clone(), graph.job_id, Arc::clone(&end)));
        Ok((Own { application, cluster, end }, None))
    }

    fn noted_end(&self, at: &Own) -> Option<JobResult> {
        at.end.get().cloned()
    }

    async fn connect(&mut self, at: &Own) -> Result<Connection> {
        at.cluster.connect().await
    }

    async fn end(&self, job: &Job<Own>) {
        tell_failed(job.at.application.end(&self.configuration, ENDED_BY_CLIENT).await);
    }

    /// Waits until the application has gone, too: what comes next finds its containers free.
    async fn settle(&self, job: &Job<Own>) {
        let begun = Instant::now();
        let ended = job.at.application.wait_for_end(END_TIMEOUT).await;
        if let Some(report) = tell_failed(ended) {
            let after = human::duration(begun.elapsed());
            output::notice(format!("Application {} is {} after {after}", report.id, outcome(&report)));
        }
    }

    async fn give_up(&self, job: &Job<Own>, error: ClientError) -> ClientError {
        if error.exit() == Exit::Interrupted {
            tell_failed(job.at.application.kill(ENDED_BY_CLIENT).await);
            return error;
        }
        let error = explained(job, error).await;
        self.end(job).await;
        error
    }

    async fn shown(&self, job: &Job<Own>, error: ClientError) -> ClientError {
        match error.exit() {
            Exit::Failed => last_lines::of_ended(&job.at.application, Some(job.graph.job_id), error).await,
            _ => error,
        }
    }
}

/// Waits for the end of a job beside a program that may do something else meanwhile.
async fn note_end(cluster: Cluster, job: JobId, end: Arc<OnceLock<JobResult>>) {
    let wait_ms = u64::try_from(WAIT.as_millis()).unwrap_or(u64::MAX);
    loop {
        let question = ClientRequestBody::RequestJobResult { job, wait_ms };
        let asking = async { cluster.connect().await?.request_slow(question, WAIT).await };
        match asking.await {
            Ok(ClientResponseBody::JobResult(result)) => return drop(end.set(*result)),
            Ok(_) => {}
            Err(_) if cluster.has_ended().await => return,
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Where the application has ended, and with it the way to the job, YARN knows why.
async fn explained(job: &Job<Own>, error: ClientError) -> ClientError {
    let application = &job.at.application;
    match application.report().await {
        Ok(report) if report.state.is_terminal() => {
            let message = format!("application {} ended before its job {}", report.id, named(&job.graph));
            let error = ClientError::failed(message).because_text(diagnostics::cause(&report.diagnostics));
            last_lines::of_ended(application, Some(job.graph.job_id), error).await
        }
        _ => error,
    }
}

/// What is done behind the end of a job is no reason for the run to fail.
fn tell_failed<T>(done: Result<T>) -> Option<T> {
    done.inspect_err(|error| output::notice(error.to_string())).ok()
}
