use std::io;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

/// One thread is enough for control messages, and it lives as long as the process: workers are tied to the thread that
/// started them.
pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Waits for SIGTERM or SIGINT; from now on they do not end the process by themselves. Gives the reason in words.
pub(crate) fn told_to_end() -> io::Result<impl Future<Output = String>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        format!("the process was told to end by {name}")
    })
}
