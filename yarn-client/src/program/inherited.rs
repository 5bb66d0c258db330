use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::AsRawFd;

use flink_graph::Configuration;
use flink_protocol::program::ProgramRequest;
use flink_protocol::wire;
use rustix::io::FdFlags;

use crate::error::{ClientError, Result};

/// A file without a name, which the programs that are started while it is held inherit. It goes with the last process that has
/// it, however that ends.
#[derive(Debug)]
pub(crate) struct InheritedFile(File);

impl InheritedFile {
    /// One with nothing in it.
    pub(super) fn empty() -> Result<Self> {
        Self::of(&[]).map_err(|error| cannot_write(&error))
    }

    /// What a program is told when it is started.
    pub(crate) fn request(configuration: &Configuration, tasks_run_here: bool) -> Result<Self> {
        let request = ProgramRequest { configuration: configuration.clone(), tasks_run_here };
        let bytes =
            wire::encode(&request).map_err(|error| ClientError::failed("cannot encode the request").because(&error))?;
        Self::of(&bytes).map_err(|error| cannot_write(&error))
    }

    fn of(bytes: &[u8]) -> std::io::Result<Self> {
        let mut file = tempfile::tempfile()?;
        file.write_all(bytes)?;
        file.rewind()?;
        rustix::io::fcntl_setfd(&file, FdFlags::empty())?;
        Ok(Self(file))
    }

    /// The path under which a program that has inherited the file can open it.
    pub(crate) fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.0.as_raw_fd())
    }

    /// The file itself, at its beginning.
    pub(super) fn into_file(self) -> File {
        self.0
    }
}

fn cannot_write(error: &std::io::Error) -> ClientError {
    ClientError::failed("cannot write a temporary file for the program")
        .because(error)
        .hint("is the disk full? TMPDIR names another folder")
}
