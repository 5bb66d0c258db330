use std::time::Duration;

use flink_console::{accumulators_of_user, finished, human, named as named_job};
use flink_graph::{Accumulators, Artifact, Configuration, JobGraph, JobId, JobStatus};
use flink_protocol::client::{ClientRequestBody, ClientResponseBody, JobResult};
use flink_protocol::deployment::JOB_IDS_VARIABLE;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::driver;
use super::signals::Signals;
use crate::connection::{Cluster, Connection, unexpected};
use crate::error::{ClientError, Exit, Result};
use crate::output::{self, Format};
use crate::program::{self, Planned, Planner, Program, StandardOutput};

/// A run on a cluster.
pub(super) struct RemoteRun {
    pub(super) cluster: Cluster,
    pub(super) attached: bool,
    pub(super) format: Format,
    pub(super) plan_timeout: Duration,
}

/// A job that is told about as JSON.
#[derive(Serialize)]
struct JsonJob<'a> {
    #[serde(rename = "job-id")]
    job: JobId,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<JobStatus>,
    #[serde(rename = "net-runtime", skip_serializing_if = "Option::is_none")]
    net_runtime_ms: Option<u64>,
    #[serde(rename = "accumulator-results")]
    accumulators: Vec<JsonAccumulator<'a>>,
    failure: Option<&'a str>,
    detached: bool,
}

#[derive(Serialize)]
struct JsonAccumulator<'a> {
    name: &'a str,
    r#type: &'static str,
    value: String,
}

impl RemoteRun {
    /// Runs the program here, and its jobs on the cluster.
    pub(super) async fn run(&self, program: Program, configuration: Configuration) -> Result<()> {
        let signals = Signals::new()?;
        let stdout = if self.format == Format::Json { StandardOutput::Error } else { StandardOutput::Own };
        let planner = Planner::new(program.clone(), configuration, stdout, self.plan_timeout)
            .with_tasks_here(self.cluster.on_this_host);
        if self.attached {
            driver::drive(self, &planner, &program, signals).await
        } else {
            self.run_first_job(&planner, &program, signals).await
        }
    }

    async fn run_first_job(&self, planner: &Planner, program: &Program, mut signals: Signals) -> Result<()> {
        let first = async { Ok(tokio::join!(planner.plan(), program::describe(program), self.cluster.connect())) };
        let (planned, artifact, connection) = signals.unless_interrupted(first).await?;
        let Planned::Graph(mut graph) = planned? else {
            no_job(program);
            return Ok(());
        };
        let (artifact, mut connection) = (artifact?, connection?);
        signals.unless_interrupted(program::upload(&mut connection, program, &artifact)).await?;
        identify(&mut graph, &artifact)?;
        match self.submit(&mut connection, &graph).await? {
            Ok(()) => self.leave(&graph),
            Err(reason) => Err(refused(&graph, reason)),
        }
    }

    /// Submits a job; a refusal comes back with its reason.
    pub(super) async fn submit(
        &self,
        connection: &mut Connection,
        graph: &JobGraph,
    ) -> Result<std::result::Result<(), String>> {
        let request = ClientRequestBody::SubmitJob { graph: Box::new(graph.clone()), detached: !self.attached };
        // The JobManager answers when graph and program are in its store, which may be a busy HDFS.
        match connection.request_slow(request, self.cluster.patience()).await? {
            ClientResponseBody::JobSubmitSuccess(_) => Ok(Ok(())),
            ClientResponseBody::JobSubmitFailure(reason) => Ok(Err(reason)),
            _ => Err(unexpected("SubmitJob")),
        }
    }

    /// In detached mode nobody waits for the result that the program would go on with.
    fn leave(&self, graph: &JobGraph) -> Result<()> {
        match self.format {
            Format::Text => {
                output::line(format!("Job has been submitted with JobID {}", graph.job_id))?;
                output::notice(
                    "detached: what the program does after this job does not happen; run it attached if it has \
                     several jobs or waits for a result",
                );
                Ok(())
            }
            Format::Json => output::json(&json_job(&graph.name, graph.job_id, None)),
        }
    }

    /// Tells how a job ended; gives back what went wrong with one that did not finish.
    pub(super) fn conclude(&self, graph: &JobGraph, result: &JobResult) -> Result<Option<ClientError>> {
        tell_end(self.format, &graph.name, result)
    }
}

/// Tells how a job ended; gives back what went wrong with one that did not finish.
pub(super) fn tell_end(format: Format, name: &str, result: &JobResult) -> Result<Option<ClientError>> {
    let named = named_job(name, result.job);
    match format {
        Format::Json => output::json(&json_job(name, result.job, Some(result)))?,
        Format::Text if result.status == JobStatus::Finished => output::notice(finished(&named, result)),
        Format::Text => {}
    }
    let after = human::duration(Duration::from_millis(result.net_runtime_ms));
    Ok(match result.status {
        JobStatus::Finished => None,
        JobStatus::Canceled => {
            Some(ClientError::new(Exit::Canceled, format!("job {named} was canceled after {after}")))
        }
        status => {
            let reason = result.failure.clone().unwrap_or_else(|| format!("it ended as {status}"));
            let error = ClientError::failed(format!("job {named} failed after {after}"));
            let hint = format!("what its tasks printed: flink-yarn logs --job {}", result.job);
            Some(error.because_text(reason).hint(hint))
        }
    })
}

/// The cluster did not accept a job.
pub(super) fn refused(graph: &JobGraph, reason: String) -> ClientError {
    ClientError::failed(format!("the cluster refused the job {}", named(graph))).because_text(reason)
}

/// Says that there was nothing to run.
pub(super) fn no_job(program: &Program) {
    output::notice(format!("{} ended without executing a job", program.name()));
}

/// Gives a graph what it needs on a cluster.
pub(super) fn identify(graph: &mut JobGraph, artifact: &Artifact) -> Result<()> {
    graph.job_id = match kept_job_id(graph.action) {
        Some(id) => id,
        None => random_job_id()?,
    };
    graph.program = Some(artifact.clone());
    Ok(())
}

fn random_job_id() -> Result<JobId> {
    let bytes = flink_transport::token::random_bytes::<16>()
        .ok_or_else(|| ClientError::failed("the operating system gives no random bytes for the job's id"))?;
    Ok(JobId::from_u128(u128::from_be_bytes(bytes)))
}

/// The id of an action of a program that an ApplicationMaster runs: the same under each of its attempts.
pub(super) fn kept_job_id(action: u32) -> Option<JobId> {
    Some(derived_job_id(&std::env::var(JOB_IDS_VARIABLE).ok()?, action))
}

fn derived_job_id(text: &str, action: u32) -> JobId {
    let digest = Sha256::digest(format!("{text} {action}"));
    JobId::from_u128(digest.iter().take(16).fold(0, |id, byte| id << 8 | u128::from(*byte)))
}

pub(super) fn named(graph: &JobGraph) -> String {
    named_job(&graph.name, graph.job_id)
}

fn json_job<'a>(name: &'a str, job: JobId, result: Option<&'a JobResult>) -> JsonJob<'a> {
    JsonJob {
        job,
        name,
        status: result.map(|result| result.status),
        net_runtime_ms: result.map(|result| result.net_runtime_ms),
        accumulators: result.map(|result| json_accumulators(&result.accumulators)).unwrap_or_default(),
        failure: result.and_then(|result| result.failure.as_deref()),
        detached: result.is_none(),
    }
}

fn json_accumulators(accumulators: &Accumulators) -> Vec<JsonAccumulator<'_>> {
    accumulators_of_user(accumulators)
        .map(|(name, value)| JsonAccumulator { name, r#type: value.kind(), value: value.to_string() })
        .collect()
}
