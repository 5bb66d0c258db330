use std::io;

use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
use tokio::process::Command;

/// Ends a child with this process, however that ends: who runs a program again must not find the first one still at work. To
/// be started from a thread that lives as long as the process, since the kernel looks at the thread.
pub fn kill_with_parent(command: &mut Command) {
    let parent = getpid();
    let prepare = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // It may have ended before the signal was asked for.
        if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    };
    // SAFETY: between fork and exec only async-signal-safe calls are made (prctl, getppid), and nothing is allocated.
    unsafe {
        command.pre_exec(prepare);
    }
}
