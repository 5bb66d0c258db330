//! The commands as processes, against a program and a cluster that only pretend.
//!
//! This one binary plays all parts: the tests start it again as `flink-yarn`, and that starts it as the user's program, as
//! JobManager and as TaskManager. The real ones are tested where everything meets, in `dist/flink-yarn`.

// Everything here is a test, but not every function stands in a `#[test]`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

/// The user's program.
mod program;

/// JobManager and TaskManager.
mod cluster;

/// Starts commands and looks at what they say.
mod harness;

/// `run` and `info`.
mod run_tests;

/// Everything around them.
mod cluster_tests;

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::var_os(flink_protocol::program::REQUEST_VARIABLE).is_some() {
        return program::main();
    }
    if std::env::var_os(harness::COMMAND_VARIABLE).is_some() {
        return flink_yarn_client::execute(std::env::args_os(), &cluster::PretendedDaemons).into();
    }
    let tests = [run_tests::TESTS, cluster_tests::TESTS].concat();
    harness::run(&tests)
}
