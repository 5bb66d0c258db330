use std::time::Duration;

use flink_graph::{AccumulatorValue, Accumulators, Artifact, Configuration, JobGraph, JobId, JobStatus};
use flink_protocol::client::{ClientRequestBody, ClientResponseBody, JobResult};
use flink_protocol::wire;
use serde::Serialize;

use super::follow;
use super::progress::Progress;
use super::signals::Signals;
use crate::connection::{Cluster, Connection, unexpected};
use crate::error::{ClientError, Exit, Result};
use crate::human;
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
    /// Runs action after action: each run in plan mode sees the results of those before and gives the next.
    pub(super) async fn run(&self, program: Program, configuration: Configuration) -> Result<()> {
        let mut signals = Signals::new()?;
        let stdout = if self.format == Format::Json { StandardOutput::Error } else { StandardOutput::Own };
        let mut planner = Planner::new(program.clone(), configuration, stdout, self.plan_timeout);
        let first = async {
            let work = tokio::join!(planner.plan(&[]), program::describe(&program), self.cluster.connect());
            Ok(work)
        };
        let (planned, artifact, connection) = signals.unless_interrupted(first).await?;
        let Planned::Graph(mut graph) = planned? else {
            output::notice(format!("{} ended without executing a job", program.name()));
            return Ok(());
        };
        let (artifact, mut connection) = (artifact?, connection?);
        signals.unless_interrupted(program::upload(&mut connection, &program, &artifact)).await?;
        let mut earlier = Vec::new();
        loop {
            identify(&mut graph, &artifact, &earlier)?;
            self.submit(&mut connection, &graph).await?;
            if !self.attached {
                return self.leave(&graph);
            }
            let result = follow::follow(&self.cluster, connection, &graph, &mut signals).await?;
            self.conclude(&graph, &result)?;
            earlier.push(encode(&result)?);
            match signals.unless_interrupted(planner.plan(&earlier)).await? {
                Planned::Ended => return Ok(()),
                Planned::Graph(next) => graph = next,
            }
            connection = signals.unless_interrupted(self.cluster.connect()).await?;
        }
    }

    async fn submit(&self, connection: &mut Connection, graph: &JobGraph) -> Result<()> {
        let request = ClientRequestBody::SubmitJob { graph: Box::new(graph.clone()), detached: !self.attached };
        match connection.request(request).await? {
            ClientResponseBody::JobSubmitSuccess(_) => Ok(()),
            ClientResponseBody::JobSubmitFailure(reason) => {
                Err(ClientError::failed(format!("the cluster refused the job {}", named(graph))).because_text(reason))
            }
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
            Format::Json => output::json(&json_job(graph, None)),
        }
    }

    /// Tells how a job ended; one that did not finish ends the run.
    fn conclude(&self, graph: &JobGraph, result: &JobResult) -> Result<()> {
        match self.format {
            Format::Json => output::json(&json_job(graph, Some(result)))?,
            Format::Text if result.status == JobStatus::Finished => output::notice(finished_text(graph, result)),
            Format::Text => {}
        }
        let after = human::duration(Duration::from_millis(result.net_runtime_ms));
        match result.status {
            JobStatus::Finished => Ok(()),
            JobStatus::Canceled => {
                Err(ClientError::new(Exit::Canceled, format!("job {} was canceled after {after}", named(graph))))
            }
            status => {
                let reason = result.failure.clone().unwrap_or_else(|| format!("it ended as {status}"));
                Err(ClientError::failed(format!("job {} failed after {after}", named(graph)))
                    .because_text(reason)
                    .hint(format!("what its tasks printed: flink-yarn logs --job {}", graph.job_id)))
            }
        }
    }
}

fn identify(graph: &mut JobGraph, artifact: &Artifact, earlier: &[Vec<u8>]) -> Result<()> {
    let bytes = flink_transport::token::random_bytes::<16>()
        .ok_or_else(|| ClientError::failed("the operating system gives no random bytes for the job's id"))?;
    graph.job_id = JobId::from_u128(u128::from_be_bytes(bytes));
    graph.program = Some(artifact.clone());
    // The program knows them as its request; the workers get them with the graph.
    graph.earlier_results = earlier.to_vec();
    Ok(())
}

fn encode(result: &JobResult) -> Result<Vec<u8>> {
    wire::encode(result).map_err(|error| ClientError::failed("cannot encode the job's result").because(&error))
}

pub(super) fn named(graph: &JobGraph) -> String {
    format!("{} ({})", Progress::clean(&graph.name), graph.job_id)
}

fn finished_text(graph: &JobGraph, result: &JobResult) -> String {
    let after = human::duration(Duration::from_millis(result.net_runtime_ms));
    let mut text = format!("Job {} finished in {after}", named(graph));
    for (name, value) in of_the_user(&result.accumulators) {
        text.push_str(&format!("\n  {}: {value}", Progress::clean(name)));
    }
    text
}

/// Without those that the API itself uses, to collect results for example.
fn of_the_user(accumulators: &Accumulators) -> impl Iterator<Item = (&String, &AccumulatorValue)> {
    accumulators.0.iter().filter(|(name, _)| !name.starts_with("__"))
}

fn json_job<'a>(graph: &'a JobGraph, result: Option<&'a JobResult>) -> JsonJob<'a> {
    JsonJob {
        job: graph.job_id,
        name: &graph.name,
        status: result.map(|result| result.status),
        net_runtime_ms: result.map(|result| result.net_runtime_ms),
        accumulators: result.map(|result| json_accumulators(&result.accumulators)).unwrap_or_default(),
        failure: result.and_then(|result| result.failure.as_deref()),
        detached: result.is_none(),
    }
}

fn json_accumulators(accumulators: &Accumulators) -> Vec<JsonAccumulator<'_>> {
    of_the_user(accumulators)
        .map(|(name, value)| JsonAccumulator { name, r#type: value.kind(), value: value.to_string() })
        .collect()
}
