use std::time::Duration;

use flink_console::{accumulators_of_user, finished, human};
use flink_graph::{Accumulators, JobGraph, JobId, JobStatus};
use flink_protocol::client::JobResult;
use serde::Serialize;

use crate::error::{ClientError, Exit, Result};
use crate::output::{self, Format};
use crate::program::Program;

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

/// How a job is called.
pub(super) fn named(graph: &JobGraph) -> String {
    flink_console::named(&graph.name, graph.job_id)
}

/// Says that a job was submitted, for whose end nobody waits.
pub(super) fn tell_submitted(format: Format, graph: &JobGraph) -> Result<()> {
    match format {
        Format::Text => output::line(format!("Job has been submitted with JobID {}", graph.job_id)),
        Format::Json => output::json(&json_job(&graph.name, graph.job_id, None)),
    }
}

/// Tells how a job ended; gives back what went wrong with one that did not finish.
pub(super) fn tell_end(format: Format, name: &str, result: &JobResult) -> Result<Option<ClientError>> {
    let named = flink_console::named(name, result.job);
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

/// What the end of a program means that has submitted nothing.
pub(super) fn without_job(program: &Program, crash: Option<ClientError>) -> Result<()> {
    if crash.is_none() {
        output::notice(format!("{} ended without executing a job", program.name()));
    }
    crash.map_or(Ok(()), Err)
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
