use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use flink_api::{Configuration, ExecuteError, Executor, JobClient, Program};
use flink_protocol::program::{OUTCOME_VARIABLE, PlanOutcome, ProgramRequest, REQUEST_VARIABLE};
use flink_protocol::wire;

use crate::driver::Driver;
use crate::local::set_working_directory;

/// A request beyond this is none.
const MAX_REQUEST_BYTES: u64 = 512 << 20;

/// What the client said, from the file that it named.
pub(crate) fn read_request() -> Result<Option<ProgramRequest>, ExecuteError> {
    let Some(path) = std::env::var_os(REQUEST_VARIABLE) else { return Ok(None) };
    let path = PathBuf::from(path);
    let unreadable = |error: &dyn std::fmt::Display| {
        ExecuteError::Environment(format!("cannot read {} ({REQUEST_VARIABLE}): {error}", path.display()))
    };
    let bytes = read(&path).map_err(|error| unreadable(&error))?;
    wire::decode(&bytes).map(Some).map_err(|error| unreadable(&error))
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_REQUEST_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Gives actions to the client instead of running them here.
pub(crate) struct PlanExecutor {
    request: ProgramRequest,
    client: Client,
}

enum Client {
    /// It wants the first action, in this file; the program ends there.
    Looks(PathBuf),
    /// It runs the jobs, and the program goes on with their results.
    Drives(Rc<Driver>),
}

impl PlanExecutor {
    pub(crate) fn from_environment() -> Result<Self, ExecuteError> {
        let missing = |name: &str| ExecuteError::Environment(format!("plan mode needs {name}: flink-yarn sets it"));
        let request = read_request()?.ok_or_else(|| missing(REQUEST_VARIABLE))?;
        if request.tasks_run_here {
            flink_files::tasks_run_on_this_host();
        }
        let client = match Driver::from_environment()? {
            Some(driver) => Client::Drives(Rc::new(driver)),
            None => Client::Looks(std::env::var_os(OUTCOME_VARIABLE).ok_or_else(|| missing(OUTCOME_VARIABLE))?.into()),
        };
        Ok(Self { request, client })
    }
}

fn write(file: &Path, outcome: &PlanOutcome) -> Result<(), ExecuteError> {
    let failed = |error: &dyn std::fmt::Display| {
        ExecuteError::Cluster(format!("cannot write the plan to {}: {error}", file.display()))
    };
    let bytes = wire::encode(outcome).map_err(|error| failed(&error))?;
    std::fs::write(file, bytes).map_err(|error| failed(&error))
}

impl Executor for PlanExecutor {
    fn configuration(&self) -> Configuration {
        let mut configuration = self.request.configuration.clone();
        set_working_directory(&mut configuration);
        configuration
    }

    /// A job that an earlier run of the program has submitted has its splits, and its result may be where it belongs.
    fn plans(&self, action: u32) -> bool {
        match &self.client {
            Client::Drives(driver) => !driver.knows(action),
            Client::Looks(_) => true,
        }
    }

    fn submit(&self, program: Program) -> Result<Box<dyn JobClient>, ExecuteError> {
        match &self.client {
            Client::Drives(driver) => driver.submit(program.graph),
            Client::Looks(file) => {
                write(file, &PlanOutcome::Graph(Box::new(program.graph)))?;
                // Behind this point `main` would need the job's result, which there is not.
                let _ = std::io::stdout().flush();
                std::process::exit(0);
            }
        }
    }
}
