use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::launch;
use super::process::ProcessId;
use crate::cluster_directory::{ClusterDirectoryOption, ClusterRecord, ProcessRecord};
use crate::error::{ClientError, Result};
use crate::output::{self, Format};
use crate::run::block_on;

/// Time that a process has to end in an orderly way.
const TERM_TIMEOUT: Duration = Duration::from_secs(10);

/// Time after SIGKILL; more is needed only by a process that hangs in the kernel.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// First and longest pause before it is looked again whether a process has ended.
const POLL_INTERVALS: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(50));

/// Options of `standalone stop`.
#[derive(Debug, Args)]
pub(super) struct StopOptions {
    /// How the result is written
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,

    #[command(flatten)]
    directory: ClusterDirectoryOption,
}

/// What became of the processes of a cluster.
#[derive(Serialize)]
struct JsonStopped {
    stopped: usize,
    processes: usize,
}

impl StopOptions {
    /// How result and errors are told.
    pub(super) fn format(&self) -> Format {
        self.output
    }
}

/// Runs the command.
pub(super) fn execute(options: &StopOptions) -> Result<()> {
    let directory = options.directory.folder()?;
    if directory.read()?.is_none() {
        if options.output == Format::Json {
            return output::json(&JsonStopped { stopped: 0, processes: 0 });
        }
        return output::line(format!("No cluster runs in {}", directory.path().display()));
    }
    let _lock = directory.lock()?;
    let Some(record) = directory.read()? else { return Ok(()) };
    let ended = end_all(&record)?;
    directory.remove_record()?;
    if options.output == Format::Json {
        return output::json(&JsonStopped { stopped: ended, processes: record.processes.len() });
    }
    let gone = record.processes.len() - ended;
    let note = if gone == 0 { String::new() } else { format!(" ({gone} had ended before)") };
    output::line(format!("Stopped {ended} of {} processes{note}", record.processes.len()))
}

/// Ends TaskManagers, then the JobManager; gives the number of those that still ran.
pub(super) fn end_all(record: &ClusterRecord) -> Result<usize> {
    let (managers, task_managers): (Vec<_>, Vec<_>) =
        record.processes.iter().partition(|process| process.name == "jobmanager");
    let mut ended = 0;
    for group in [task_managers, managers] {
        let (here, elsewhere): (Vec<_>, Vec<_>) = group.into_iter().partition(|process| process.host.is_none());
        let ids: Vec<ProcessId> = here.into_iter().map(|process| process.id.clone()).collect();
        ended += end_here(&ids)?;
        for process in elsewhere {
            ended += usize::from(end_elsewhere(process)?);
        }
    }
    Ok(ended)
}

/// Ends one process of this host; true when it still ran.
pub(super) fn end(id: &ProcessId) -> Result<bool> {
    Ok(end_here(std::slice::from_ref(id))? > 0)
}

fn end_here(ids: &[ProcessId]) -> Result<usize> {
    let asked = ids.iter().filter(|id| id.terminate()).count();
    for left in wait(ids, TERM_TIMEOUT) {
        output::notice(format!("process {} does not end; it is killed", left.pid));
        left.kill();
    }
    match wait(ids, KILL_TIMEOUT).first() {
        None => Ok(asked),
        Some(left) => Err(ClientError::failed(format!("process {} cannot be ended", left.pid))
            .hint("it belongs to another user, or hangs in the kernel; try again later")),
    }
}

/// Waits for the end of processes; gives those that have not ended.
fn wait(ids: &[ProcessId], timeout: Duration) -> Vec<&ProcessId> {
    let until = Instant::now() + timeout;
    let mut pause = POLL_INTERVALS.0;
    loop {
        let left: Vec<_> = ids.iter().filter(|id| id.is_alive()).collect();
        if left.is_empty() || Instant::now() > until {
            return left;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(POLL_INTERVALS.1);
    }
}

fn end_elsewhere(process: &ProcessRecord) -> Result<bool> {
    let host = process.host.as_deref().unwrap_or_default();
    let (pid, start) = (process.id.pid.to_string(), process.id.start_time.to_string());
    block_on(launch::ssh(host, &["standalone", "end", &pid, &start, &process.id.boot], &[]))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_ignores_sigterm_is_seen_to_remain() {
        let mut child = std::process::Command::new("/bin/sh")
            .args(["-c", "trap '' TERM; echo; while :; do sleep 0.05; done"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // The first byte comes once the signal is ignored.
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        let id = ProcessId::of(i32::try_from(child.id()).unwrap()).unwrap();
        assert!(id.terminate());
        assert_eq!(wait(std::slice::from_ref(&id), Duration::from_millis(50)), [&id]);
        id.kill();
        assert!(wait(std::slice::from_ref(&id), Duration::from_secs(5)).is_empty());
        child.wait().unwrap();
        assert!(!end(&id).unwrap());
    }
}
