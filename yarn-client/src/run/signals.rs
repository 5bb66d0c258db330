use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{ClientError, Exit, Result};

/// Ctrl-C and SIGTERM, taken from the moment that this is made.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn new() -> Result<Self> {
        let failed = |error: std::io::Error| ClientError::failed("cannot watch for Ctrl-C").because(&error);
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Does the work unless a signal comes first.
    pub(crate) async fn unless_interrupted<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            result = work => result,
            () = self.next() => Err(interrupted("interrupted before the job was submitted")),
        }
    }
}

pub(crate) fn interrupted(message: &str) -> ClientError {
    ClientError::new(Exit::Interrupted, message)
}
