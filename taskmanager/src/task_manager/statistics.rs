use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flink_protocol::task_manager::{HardwareDescription, ProcessStatistics};

/// Figures of one process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessFigures {
    /// Resident memory, bytes.
    pub resident: u64,
    /// Resident memory that is not a mapped file: what the process really holds.
    pub held: u64,
    /// Processor time since its start.
    pub cpu: Duration,
    /// Threads.
    pub threads: u64,
}

/// Reads `/proc/<pid>`; `None` when there is no such process (any more).
#[must_use]
pub fn process_figures(pid: u32) -> Option<ProcessFigures> {
    let memory = process_memory(pid)?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may hold anything; what follows the last one is fields from the third on.
    let fields: Vec<&str> = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().collect();
    let number = |index: usize| fields.get(index - 3).and_then(|field| field.parse::<u64>().ok());
    let ticks = number(14)? + number(15)?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let cpu = Duration::from_millis(ticks.saturating_mul(1000) / per_second);
    Some(ProcessFigures { cpu, threads: number(20)?, ..memory })
}

/// As [`process_figures`], but memory alone: read several times a second.
#[must_use]
pub fn process_memory(pid: u32) -> Option<ProcessFigures> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let mut pages = statm.split_whitespace().skip(1).filter_map(|field| field.parse::<u64>().ok());
    let page = rustix::param::page_size() as u64;
    let (resident, shared) = (pages.next()?, pages.next()?);
    Some(ProcessFigures {
        resident: resident * page,
        held: resident.saturating_sub(shared) * page,
        ..ProcessFigures::default()
    })
}

/// What this host has.
#[must_use]
pub fn hardware(process_memory: u64) -> HardwareDescription {
    #[allow(clippy::cast_precision_loss)] // a number of processors
    let cpu_cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as f64;
    HardwareDescription { cpu_cores, physical_memory: memory_info("MemTotal:"), process_memory }
}

fn memory_info(field: &str) -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(field));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// Measures a TaskManager with its workers.
#[derive(Debug)]
pub struct Meter {
    disk: PathBuf,
    cores: f64,
    /// Processor time of each worker when it was last seen: it counts on after the worker's end.
    workers: HashMap<u32, Duration>,
    cpu_of_ended: Duration,
    last: Option<(Instant, Duration)>,
}

impl Meter {
    /// `disk` is a folder on the disk to measure.
    #[must_use]
    pub fn new(disk: &Path) -> Self {
        Self {
            disk: disk.to_owned(),
            cores: hardware(0).cpu_cores,
            workers: HashMap::new(),
            cpu_of_ended: Duration::ZERO,
            last: None,
        }
    }

    /// The present figures, without those of the network, which only the workers know.
    pub fn measure(&mut self, workers: &[u32]) -> ProcessStatistics {
        let own = process_figures(std::process::id()).unwrap_or_default();
        let figures: Vec<(u32, ProcessFigures)> =
            workers.iter().filter_map(|pid| Some((*pid, process_figures(*pid)?))).collect();
        let cpu = own.cpu + self.workers_cpu(&figures);
        let (free_disk, total_disk) = disk_space(&self.disk);
        ProcessStatistics {
            resident_bytes: own.resident,
            workers_resident_bytes: figures.iter().map(|(_, worker)| worker.resident).sum(),
            cpu_time_ms: u64::try_from(cpu.as_millis()).unwrap_or(u64::MAX),
            cpu_load: self.load(cpu),
            free_memory: memory_info("MemAvailable:"),
            free_disk,
            total_disk,
            network_read_bytes: 0,
            network_written_bytes: 0,
            threads: own.threads + figures.iter().map(|(_, worker)| worker.threads).sum::<u64>(),
            open_files: fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64),
        }
    }

    fn workers_cpu(&mut self, figures: &[(u32, ProcessFigures)]) -> Duration {
        let present: HashMap<u32, Duration> = figures.iter().map(|(pid, worker)| (*pid, worker.cpu)).collect();
        let ended = self.workers.iter().filter(|(pid, _)| !present.contains_key(pid));
        self.cpu_of_ended += ended.map(|(_, cpu)| *cpu).sum::<Duration>();
        self.workers = present;
        self.cpu_of_ended + self.workers.values().sum::<Duration>()
    }

    fn load(&mut self, cpu: Duration) -> f64 {
        let now = Instant::now();
        let before = self.last.replace((now, cpu));
        let Some((then, used)) = before else { return 0.0 };
        let elapsed = now.duration_since(then).as_secs_f64();
        if elapsed <= 0.0 {
            return 0.0;
        }
        (cpu.saturating_sub(used).as_secs_f64() / elapsed / self.cores).clamp(0.0, 1.0)
    }
}

fn disk_space(path: &Path) -> (u64, u64) {
    rustix::fs::statvfs(path).map_or((0, 0), |disk| {
        (disk.f_bavail.saturating_mul(disk.f_frsize), disk.f_blocks.saturating_mul(disk.f_frsize))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_measured() {
        let mut meter = Meter::new(&std::env::temp_dir());
        let first = meter.measure(&[std::process::id()]);
        assert!(first.resident_bytes > 1 << 20 && first.threads >= 2 && first.open_files >= 3, "{first:?}");
        assert!(first.free_memory > 0 && first.total_disk >= first.free_disk && first.total_disk > 0, "{first:?}");
        assert!(first.workers_resident_bytes > 0);
        let second = meter.measure(&[]);
        assert!(second.cpu_time_ms >= first.cpu_time_ms, "time of an ended worker counts on");
        assert!(hardware(5).cpu_cores >= 1.0 && hardware(5).physical_memory > 0);
        assert_eq!(process_figures(u32::MAX), None);
    }
}
