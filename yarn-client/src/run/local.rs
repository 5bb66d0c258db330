use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use flink_graph::Configuration;
use flink_protocol::program::{
    DRIVER_DESCRIPTOR_VARIABLE, MODE_VARIABLE, OUTCOME_VARIABLE, ProgramRequest, REQUEST_VARIABLE,
};
use flink_protocol::wire;
use rustix::io::FdFlags;

use crate::error::{ClientError, Result};
use crate::program::{Program, cannot_start};

/// Becomes the program: signals, terminal and exit code are its own, and nothing stays behind to pass them on.
pub(super) fn run(program: &Program, configuration: &Configuration) -> Result<()> {
    let request = request_file(configuration).map_err(|error| {
        ClientError::failed("cannot write the program's configuration to a temporary file")
            .because(&error)
            .hint("is the disk full? TMPDIR names another folder")
    })?;
    let error = Command::new(&program.path)
        .args(&program.arguments)
        .env_remove(MODE_VARIABLE)
        .env_remove(OUTCOME_VARIABLE)
        .env_remove(DRIVER_DESCRIPTOR_VARIABLE)
        .env(REQUEST_VARIABLE, format!("/proc/self/fd/{}", request.as_raw_fd()))
        .exec();
    Err(cannot_start(program, &error))
}

/// A file without a name, which ends with the process that inherits it.
fn request_file(configuration: &Configuration) -> std::io::Result<File> {
    let request = ProgramRequest { configuration: configuration.clone() };
    let bytes = wire::encode(&request).map_err(std::io::Error::other)?;
    let mut file = tempfile::tempfile()?;
    file.write_all(&bytes)?;
    file.rewind()?;
    rustix::io::fcntl_setfd(&file, FdFlags::empty())?;
    Ok(file)
}
