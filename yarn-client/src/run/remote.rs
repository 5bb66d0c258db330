use std::time::{Duration, Instant};

use flink_graph::{Artifact, Configuration, JobGraph, JobId};
use flink_protocol::client::{ClientRequestBody, ClientResponseBody, JobResult};
use flink_protocol::deployment::JOB_IDS_VARIABLE;
use sha2::{Digest, Sha256};

use super::driver::{Driver, Job, Place};
use super::follow;
use super::signals::{BEFORE_SUBMISSION, Signals, interrupted};
use super::telling::{named, refused, tell_submitted, without_job};
use crate::connection::{Cluster, Connection, unexpected};
use crate::error::{ClientError, Exit, Result};
use crate::output::{self, Format};
use crate::program::{self, Planned, Planner, Program, ProgramEvent, StandardOutput};
use crate::yarn::last_lines;

/// A connection that has lain idle for longer may be dead.
const MAX_IDLE: Duration = Duration::from_secs(5);

/// A run on a cluster.
pub(super) struct RemoteRun {
    pub(super) cluster: Cluster,
    pub(super) attached: bool,
    pub(super) format: Format,
    pub(super) plan_timeout: Duration,
}

impl RemoteRun {
    /// Runs the program here, and its jobs on the cluster.
    pub(super) async fn run(&self, program: Program, configuration: Configuration) -> Result<()> {
        let signals = Signals::new()?;
        let planner =
            Planner::new(program.clone(), configuration, StandardOutput::beside(self.format), self.plan_timeout)
                .with_tasks_here(self.cluster.on_this_host);
        if self.attached {
            self.drive(&planner, &program, signals).await
        } else {
            self.run_first_job(&planner, &program, signals).await
        }
    }

    async fn drive(&self, planner: &Planner, program: &Program, mut signals: Signals) -> Result<()> {
        let mut driven = planner.drive()?;
        let first = async { tokio::join!(driven.next(), program::describe(program), self.cluster.connect()) };
        let (event, artifact, connection) = signals.unless_interrupted(BEFORE_SUBMISSION, first).await?;
        let event = match event? {
            // Without a job, it does not matter whether the cluster answers.
            ProgramEvent::Ended { crash, .. } => return without_job(program, crash),
            asks => asks,
        };
        let (artifact, mut connection) = (artifact?, connection?);
        signals.unless_interrupted(BEFORE_SUBMISSION, program::upload(&mut connection, program, &artifact)).await??;
        let place = OnCluster { run: self, artifact, used: Some((connection, Instant::now())) };
        Driver::new(program, self.format, place, signals).run(driven, event).await
    }

    async fn run_first_job(&self, planner: &Planner, program: &Program, mut signals: Signals) -> Result<()> {
        let first = async { tokio::join!(planner.plan(), program::describe(program), self.cluster.connect()) };
        let (planned, artifact, connection) = signals.unless_interrupted(BEFORE_SUBMISSION, first).await?;
        let Planned::Graph(mut graph) = planned? else { return without_job(program, None) };
        let (artifact, mut connection) = (artifact?, connection?);
        signals.unless_interrupted(BEFORE_SUBMISSION, program::upload(&mut connection, program, &artifact)).await??;
        identify(&mut graph, &artifact)?;
        match self.submit(&mut connection, &graph).await? {
            None => self.leave(&graph),
            Some(reason) => Err(refused(&graph, reason)),
        }
    }

    /// Submits a job; gives the reason if it was refused.
    async fn submit(&self, connection: &mut Connection, graph: &JobGraph) -> Result<Option<String>> {
        let request = ClientRequestBody::SubmitJob { graph: Box::new(graph.clone()), detached: !self.attached };
        // The JobManager answers when graph and program are in its store, which may be a busy HDFS.
        match connection.request_slow(request, self.cluster.patience()).await? {
            ClientResponseBody::JobSubmitSuccess(_) => Ok(None),
            ClientResponseBody::JobSubmitFailure(reason) => Ok(Some(reason)),
            _ => Err(unexpected("SubmitJob")),
        }
    }

    /// In detached mode nobody waits for the result that the program would go on with.
    fn leave(&self, graph: &JobGraph) -> Result<()> {
        tell_submitted(self.format, graph)?;
        if self.format == Format::Text {
            output::notice(
                "detached: what the program does after this job does not happen; run it attached if it has several jobs \
                 or waits for a result",
            );
        }
        Ok(())
    }
}

/// One cluster for all jobs of a program.
struct OnCluster<'a> {
    run: &'a RemoteRun,
    artifact: Artifact,
    /// A connection, and when it was used last.
    used: Option<(Connection, Instant)>,
}

impl Place for OnCluster<'_> {
    type At = ();

    const END: &'static str = "Cancel";

    fn to_end(job: &Job<()>) -> String {
        format!("job {}", named(&job.graph))
    }

    fn cluster<'a>(&'a self, (): &'a ()) -> &'a Cluster {
        &self.run.cluster
    }

    async fn find(&mut self, action: u32, signals: &mut Signals) -> Result<bool> {
        let Some(job) = kept_job_id(action) else { return Ok(false) };
        let mut connection = signals.unless_interrupted(BEFORE_SUBMISSION, self.connect(&())).await??;
        match connection.request(ClientRequestBody::RequestJobResult { job, wait_ms: 0 }).await {
            Ok(answer) => {
                self.used = Some((connection, Instant::now()));
                Ok(matches!(answer, ClientResponseBody::JobResult(_) | ClientResponseBody::JobRunning(_)))
            }
            Err(error) if error.exit() == Exit::Failed => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn submit(&mut self, graph: &mut JobGraph, signals: &mut Signals) -> Result<((), Option<String>)> {
        identify(graph, &self.artifact)?;
        let mut connection = signals.unless_interrupted(BEFORE_SUBMISSION, self.connect(&())).await??;
        let submitting = self.run.submit(&mut connection, graph);
        let Ok(refusal) = signals.unless_interrupted(BEFORE_SUBMISSION, submitting).await else {
            let name = named(graph);
            return Err(interrupted(&format!("interrupted while the job {name} was being submitted: it may run"))
                .hint(format!("see it with flink-yarn list, end it with flink-yarn cancel {}", graph.job_id)));
        };
        self.used = Some((connection, Instant::now()));
        Ok(((), refusal?))
    }

    /// Its cluster tells it at any time.
    fn noted_end(&self, (): &()) -> Option<JobResult> {
        None
    }

    async fn connect(&mut self, (): &()) -> Result<Connection> {
        match self.used.take() {
            Some((connection, last)) if last.elapsed() < MAX_IDLE => Ok(connection),
            _ => self.run.cluster.connect().await,
        }
    }

    async fn end(&self, job: &Job<()>) {
        let name = named(&job.graph);
        match follow::cancel(&self.run.cluster, job.graph.job_id).await {
            Ok(()) => output::notice(format!("Canceled job {name}")),
            Err(error) => output::notice(format!("job {name} may run on: {error}")),
        }
    }

    /// The cluster goes on.
    async fn settle(&self, _: &Job<()>) {}

    /// It was canceled, or its cluster does not answer any more.
    async fn give_up(&self, _: &Job<()>, error: ClientError) -> ClientError {
        error
    }

    async fn shown(&self, job: &Job<()>, error: ClientError) -> ClientError {
        last_lines::of_living(&self.run.cluster, job.graph.job_id, error).await
    }
}

/// Gives a graph what it needs on a cluster.
fn identify(graph: &mut JobGraph, artifact: &Artifact) -> Result<()> {
    graph.job_id = match kept_job_id(graph.action) {
        Some(id) => id,
        None => random_job_id()?,
    };
    graph.program = Some(artifact.clone());
    Ok(())
}

pub(super) fn random_job_id() -> Result<JobId> {
    let bytes = flink_transport::token::random_bytes::<16>()
        .ok_or_else(|| ClientError::failed("the operating system gives no random bytes for the job's id"))?;
    Ok(JobId::from_u128(u128::from_be_bytes(bytes)))
}

/// The id of an action of a program that an ApplicationMaster runs: the same under each of its attempts.
fn kept_job_id(action: u32) -> Option<JobId> {
    Some(derived_job_id(&std::env::var(JOB_IDS_VARIABLE).ok()?, action))
}

fn derived_job_id(text: &str, action: u32) -> JobId {
    let digest = Sha256::digest(format!("{text} {action}"));
    JobId::from_u128(digest.iter().take(16).fold(0, |id, byte| id << 8 | u128::from(*byte)))
}
