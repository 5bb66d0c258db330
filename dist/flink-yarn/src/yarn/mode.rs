use std::path::PathBuf;
use std::time::Duration;

use flink_appmaster::job_manager::ClientCall;
use flink_appmaster::server::Handle;
use flink_graph::{Artifact, JobGraph, JobId, JobStatus};
use flink_protocol::client::{ClientResponseBody, JobResult};
use flink_protocol::deployment::{ApplicationDescription, ApplicationMode};
use flink_protocol::wire;
use hadoop_rpc::yarn::FinalStatus;

use super::environment::StartError;
use super::program::ProgramRun;

/// Longest wait for a result before it is asked for again.
const WAIT: Duration = Duration::from_secs(600);

/// How an application ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) status: FinalStatus,
    /// Why, for YARN's diagnostics.
    pub(super) diagnostics: String,
}

impl Outcome {
    pub(super) fn succeeded() -> Self {
        Self { status: FinalStatus::Succeeded, diagnostics: String::new() }
    }

    pub(super) fn failed(diagnostics: impl Into<String>) -> Self {
        Self { status: FinalStatus::Failed, diagnostics: diagnostics.into() }
    }
}

/// The JobGraph of an application that runs one job.
pub(super) fn job_graph(description: &ApplicationDescription) -> Result<Option<JobGraph>, StartError> {
    let ApplicationMode::PerJob { job_graph } = &description.mode else { return Ok(None) };
    let bytes = std::fs::read(job_graph).map_err(|error| format!("cannot read {job_graph}: {error}"))?;
    Ok(Some(wire::decode(&bytes).map_err(|error| format!("{job_graph}: {error}"))?))
}

/// The program that is among the files of every container.
pub(super) fn program(description: &ApplicationDescription, graph: Option<&JobGraph>) -> Option<Artifact> {
    match &description.mode {
        ApplicationMode::Session => None,
        ApplicationMode::Application { program, .. } => Some(program.clone()),
        ApplicationMode::PerJob { .. } => graph.and_then(|graph| graph.program.clone()),
    }
}

/// The programs that are files in this folder.
pub(super) fn files(program: Option<&Artifact>) -> Vec<(Artifact, PathBuf)> {
    let file = |program: &Artifact| (program.clone(), PathBuf::from(&program.name));
    program.into_iter().map(file).filter(|(_, path)| path.is_file()).collect()
}

/// Submits the one job of an application; when it is refused, that is how the application ends.
pub(super) async fn submit_job(handle: &Handle, graph: JobGraph) -> Result<Result<JobId, Outcome>, StartError> {
    let call = ClientCall::SubmitJob { graph: Box::new(graph), artifact_present: true };
    Ok(match handle.call(call).await? {
        Ok(ClientResponseBody::JobSubmitSuccess(job)) => Ok(job),
        Ok(ClientResponseBody::JobSubmitFailure(reason)) | Err(reason) => Err(Outcome::failed(reason)),
        Ok(_) => Err(Outcome::failed("the JobManager gave another answer than to the submission of a job")),
    })
}

/// Waits for the end of the one job of an application.
pub(super) async fn follow_job(handle: &Handle, job: JobId) -> Result<Outcome, StartError> {
    Ok(outcome(&result(handle, job).await?))
}

async fn result(handle: &Handle, job: JobId) -> Result<JobResult, StartError> {
    loop {
        match handle.call(ClientCall::RequestJobResult { job, wait: WAIT }).await? {
            Ok(ClientResponseBody::JobResult(result)) => return Ok(*result),
            Ok(_) => {}
            Err(reason) => return Err(reason.into()),
        }
    }
}

fn outcome(result: &JobResult) -> Outcome {
    match result.status {
        JobStatus::Finished => Outcome::succeeded(),
        JobStatus::Canceled => {
            Outcome { status: FinalStatus::Killed, diagnostics: format!("job {} was canceled", result.job) }
        }
        status => {
            let failure = result.failure.as_deref().unwrap_or("it gave no reason");
            Outcome::failed(format!("job {} is {status}: {failure}", result.job))
        }
    }
}

/// Runs the `main` of an application's program.
pub(super) async fn run_program(run: &ProgramRun<'_>) -> Result<Outcome, StartError> {
    let name = &run.program.name;
    let (status, words) = run.run().await?;
    if status.success() {
        return Ok(Outcome::succeeded());
    }
    let end = match status.code() {
        Some(code) => format!("{name} ended with exit code {code}"),
        None => format!("{name} ended: {status}"),
    };
    Ok(Outcome::failed(if words.is_empty() { end } else { format!("{end}:\n{words}") }))
}
