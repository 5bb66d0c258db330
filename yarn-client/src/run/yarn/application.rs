use std::ffi::OsString;
use std::time::{Duration, Instant};

use flink_console::{Progress, named};
use flink_graph::{Configuration, JobId};
use flink_protocol::client::{ClientRequestBody, ClientResponseBody, JobResult};
use hadoop_rpc::yarn::{ApplicationReport, ApplicationState, FinalStatus};

use super::{YarnRun, json, staged};
use crate::connection::{Cluster, unexpected};
use crate::error::{ClientError, Exit, Result};
use crate::output::{self, Format};
use crate::program::Program;
use crate::run::follow;
use crate::run::signals::{Signals, interrupted};
use crate::run::telling::tell_end;
use crate::yarn::application::{Application, outcome};
use crate::yarn::deployment::{Timings, Work};
use crate::yarn::shutdown::{ENDED_BY_CLIENT, cancel_all};
use crate::yarn::{diagnostics, last_lines, start};

/// Pause between two questions for what has happened to an application.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The same when nothing has happened for a while.
const LONG_PAUSE: Duration = Duration::from_millis(500);

/// Longest wait for jobs to be canceled before the application is ended.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(15);

/// Starts the application and, attached, shows its jobs until it has ended.
pub(super) async fn run(run: &YarnRun, program: &Program, configuration: Configuration) -> Result<()> {
    let mut signals = Signals::new()?;
    let arguments = arguments(program)?;
    let mut deployment = run.deployment(program, &configuration)?;
    let work = Work::Main { program: staged(program), arguments };
    let (application, report) = start::deploy(&mut deployment, work, &mut signals).await?;
    let timings = deployment.timings();
    run.tell_started(&report, timings)?;
    if !run.attached {
        return Ok(());
    }
    let (configuration, application) = (&configuration, &application);
    let mut watch = Watch { run, application, configuration, cluster: None, told: Vec::new(), failure: None };
    let ended = tokio::select! {
        ended = watch.until_end() => Some(ended),
        () = signals.end_wanted(|| Some(format!("End application {}?", application.id()))) => None,
    };
    match ended {
        Some(report) => watch.conclude(&report?, timings).await,
        None => Err(watch.interrupt(&mut signals).await),
    }
}

fn arguments(program: &Program) -> Result<Vec<String>> {
    let text = |argument: &OsString| {
        argument.to_str().map(str::to_owned).ok_or_else(|| {
            ClientError::usage(format!("the argument {} of the program is not UTF-8", argument.to_string_lossy()))
                .hint("arguments travel to the cluster as text; -t yarn-per-job runs main here")
        })
    };
    program.arguments.iter().map(text).collect()
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
                let failure = tell_end(self.run.format, &name, &result).unwrap_or_else(Some);
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
            self.application.kill(ENDED_BY_CLIENT).await.map(|_| ())
        };
        let ended = tokio::select! {
            ended = ending => ended,
            () = signals.next() => self.application.kill(ENDED_BY_CLIENT).await.map(|_| ()),
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
