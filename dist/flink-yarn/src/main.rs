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
use std::io::Write;

use flink_yarn_client::{DaemonError, Daemons, JobManagerStart, TaskManagerStart};

fn main() {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let own = yarn::execute(arguments.get(1..).unwrap_or_default());
    leave(own.unwrap_or_else(|| flink_yarn_client::execute(arguments, &RealDaemons)))
}

/// Ends the process at once, without the C library's farewell: that takes apart what other threads may still use. Kerberos's
/// library aborts when it is taken apart in the middle of a login that nobody waits for any more.
fn leave(code: u8) -> ! {
    // What cannot be written any more has no reader.
    let _ = std::io::stdout().flush();
    let _ = std::io::stderr().flush();
    // SAFETY: it only ends the process.
    unsafe { libc::_exit(i32::from(code)) }
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
