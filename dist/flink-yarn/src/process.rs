use std::io;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

/// One thread is enough for control messages, and it lives as long as the process: workers are tied to the thread that
/// started them.
pub(crate) fn runtime() -> io::Result<Runtime> {
    share_arena();
    Builder::new_current_thread().enable_all().build()
}

/// All threads take memory from one arena: each further one is 64 MB of addresses, which YARN may count.
fn share_arena() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it sets a number of the allocator, and may be called at any time.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
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
