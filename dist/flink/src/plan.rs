use std::io::Write;
use std::path::PathBuf;

use flink_api::{BoxError, Configuration, ExecuteError, Executor, JobClient, Program};
use flink_protocol::program::{OUTCOME_VARIABLE, PlanOutcome, ProgramRequest, REQUEST_VARIABLE};
use flink_protocol::wire;

use crate::local::set_working_directory;
use crate::replay::EndedJob;

/// What the client said, from the file that it named.
pub(crate) fn read_request() -> Result<Option<ProgramRequest>, BoxError> {
    let Some(path) = std::env::var_os(REQUEST_VARIABLE) else { return Ok(None) };
    let bytes = std::fs::read(&path)
        .map_err(|error| format!("cannot read {} ({REQUEST_VARIABLE}): {error}", PathBuf::from(&path).display()))?;
    Ok(Some(wire::decode(&bytes)?))
}

/// Gives the first action that has not run yet to the client, and ends the program there.
pub(crate) struct PlanExecutor {
    request: ProgramRequest,
    outcome: PathBuf,
}

impl PlanExecutor {
    pub(crate) fn from_environment() -> Result<Self, BoxError> {
        let request =
            read_request()?.ok_or_else(|| format!("plan mode needs {REQUEST_VARIABLE}: flink-yarn sets it"))?;
        let outcome =
            std::env::var_os(OUTCOME_VARIABLE).ok_or_else(|| format!("plan mode needs {OUTCOME_VARIABLE}"))?.into();
        Ok(Self { request, outcome })
    }

    fn write(&self, outcome: &PlanOutcome) -> Result<(), BoxError> {
        let bytes = wire::encode(outcome)?;
        std::fs::write(&self.outcome, bytes)
            .map_err(|error| format!("cannot write the plan to {}: {error}", self.outcome.display()))?;
        Ok(())
    }
}

impl Executor for PlanExecutor {
    fn configuration(&self) -> Configuration {
        let mut configuration = self.request.configuration.clone();
        set_working_directory(&mut configuration);
        configuration
    }

    fn plans(&self, action: u32) -> bool {
        action as usize >= self.request.earlier_results.len()
    }

    fn submit(&self, program: Program) -> Result<Box<dyn JobClient>, ExecuteError> {
        let mut graph = program.graph;
        if let Some(result) = self.request.earlier_results.get(graph.action as usize) {
            return EndedJob::replay(result);
        }
        graph.earlier_results.clone_from(&self.request.earlier_results);
        self.write(&PlanOutcome::Graph(Box::new(graph))).map_err(|error| ExecuteError::Cluster(error.to_string()))?;
        // Behind this point `main` would need the job's result, which this run does not have.
        let _ = std::io::stdout().flush();
        std::process::exit(0);
    }
}
