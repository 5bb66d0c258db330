use std::os::unix::process::CommandExt;
use std::process::Command;

use flink_graph::Configuration;
use flink_protocol::program::{DRIVER_DESCRIPTOR_VARIABLE, MODE_VARIABLE, OUTCOME_VARIABLE, REQUEST_VARIABLE};

use crate::error::Result;
use crate::program::{InheritedFile, Program, cannot_start};

/// Becomes the program: terminal and exit code are its own, it shows its jobs and listens for signals itself, and nothing stays
/// behind to pass them on.
pub(super) fn run(program: &Program, configuration: &Configuration) -> Result<()> {
    let request = InheritedFile::request(configuration, true)?;
    let error = Command::new(&program.path)
        .args(&program.arguments)
        .env_remove(MODE_VARIABLE)
        .env_remove(OUTCOME_VARIABLE)
        .env_remove(DRIVER_DESCRIPTOR_VARIABLE)
        .env(REQUEST_VARIABLE, request.path())
        .exec();
    Err(cannot_start(program, &error))
}
