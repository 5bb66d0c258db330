use std::fs;

use clap::Args;
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

/// One life of one process on one host: pids are given again, this is not.
#[derive(Debug, Clone, PartialEq, Eq, Args, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    /// Its number.
    pub(crate) pid: i32,
    /// When it was started, in ticks since the host's start.
    pub(crate) start_time: u64,
    /// Which start of the host that was.
    pub(crate) boot: String,
}

impl ProcessId {
    /// The process that has this number now.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        Some(Self { pid, start_time: start_time(pid)?, boot: boot()? })
    }

    /// This process.
    pub(crate) fn own() -> Option<Self> {
        Self::of(i32::try_from(std::process::id()).ok()?)
    }

    /// True while the process runs; one that has ended but that nobody has waited for does not.
    pub(crate) fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    /// Asks the process to end.
    pub(crate) fn terminate(&self) -> bool {
        self.send(Signal::TERM)
    }

    /// Ends the process.
    pub(crate) fn kill(&self) -> bool {
        self.send(Signal::KILL)
    }

    fn send(&self, signal: Signal) -> bool {
        let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.pid > 1 && self.is_alive()) else { return false };
        rustix::process::kill_process(pid, signal).is_ok()
    }
}

fn boot() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|text| text.trim().to_owned())
}

fn start_time(pid: i32) -> Option<u64> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Field 22 of `/proc/PID/stat`; none for a zombie. The second field, the name, may hold blanks and brackets.
fn parse_stat(text: &str) -> Option<u64> {
    let mut fields = text.get(text.rfind(')')? + 1..)?.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_name() {
        let stat = "7 (a) b)) S 1 7 7 0 -1 4194560 100 0 0 0 1 2 3 4 20 0 1 0 4711 1000 10";
        assert_eq!(parse_stat(stat), Some(4711));
        assert_eq!(parse_stat(&stat.replace(" S ", " Z ")), None);
        assert_eq!(parse_stat("rubbish"), None);
    }

    #[test]
    fn another_process_of_the_same_number_is_not_the_same() {
        let own = ProcessId::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(own.is_alive());
        let other = ProcessId { start_time: own.start_time + 1, ..own };
        assert!(!other.is_alive() && !other.kill());
    }

    #[test]
    fn an_ended_process_is_not_alive() {
        let mut child = std::process::Command::new("/bin/sleep").arg("60").spawn().unwrap();
        let id = ProcessId::of(i32::try_from(child.id()).unwrap()).unwrap();
        assert!(id.is_alive() && id.kill());
        child.wait().unwrap();
        assert!(!id.is_alive());
    }
}
