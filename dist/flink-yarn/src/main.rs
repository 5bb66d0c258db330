//! The command `flink-yarn`: where client, JobManager and TaskManager meet.

/// The log of a daemon.
mod logging;

/// Threads and signals of a daemon.
mod process;

/// `flink-yarn jobmanager`
mod job_manager;

/// `flink-yarn taskmanager`
mod task_manager;

/// What runs in the containers of YARN.
mod yarn;

use std::ffi::OsString;
use std::process::ExitCode;

use flink_yarn_client::{DaemonError, Daemons, JobManagerStart, TaskManagerStart};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let own = yarn::execute(arguments.get(1..).unwrap_or_default());
    own.unwrap_or_else(|| flink_yarn_client::execute(arguments, &RealDaemons))
}

/// The daemons that the commands of the client start.
struct RealDaemons;

impl Daemons for RealDaemons {
    fn job_manager(&self, start: JobManagerStart) -> Result<(), DaemonError> {
        logging::start(start.log.as_deref());
        job_manager::run(start)
    }

    fn task_manager(&self, start: TaskManagerStart) -> Result<(), DaemonError> {
        logging::start(start.log.as_deref());
        task_manager::run(start)
    }
}
