use std::fs;

/// Figures of this process, from the kernel. What cannot be read is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) resident_bytes: u64,
    pub(super) cpu_time_ms: u64,
    pub(super) threads: u64,
    pub(super) open_files: u64,
}

impl Process {
    /// Reads the figures; a few microseconds, all from memory.
    pub(super) fn read() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let open_files = fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64);
        Self { open_files, ..Self::parse(&stat, rustix::param::page_size(), rustix::param::clock_ticks_per_second()) }
    }

    /// The name of the program stands in brackets and may hold anything, so the fields are counted from its end.
    fn parse(stat: &str, page_size: usize, ticks_per_second: u64) -> Self {
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let field = |place: usize| fields.split_ascii_whitespace().nth(place).and_then(|text| text.parse().ok());
        let number = |place: usize| -> u64 { field(place).unwrap_or(0) };
        Self {
            cpu_time_ms: (number(11) + number(12)).saturating_mul(1000) / ticks_per_second.max(1),
            threads: number(17),
            resident_bytes: number(21).saturating_mul(page_size as u64),
            open_files: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_a_strange_name() {
        let stat = "7 (a) b) S 1 1 1 0 -1 4194560 900 0 0 0 150 50 0 0 20 0 6 0 100 9000000 512 18446744073709551615";
        let process = Process::parse(stat, 4096, 100);
        assert_eq!(process, Process { resident_bytes: 512 * 4096, cpu_time_ms: 2000, threads: 6, open_files: 0 });
        assert_eq!(Process::parse("", 4096, 0), Process::default());
    }

    #[test]
    fn this_process_has_figures() {
        let process = Process::read();
        assert!(process.resident_bytes > 1 << 20 && process.threads > 0 && process.open_files > 0, "{process:?}");
    }
}
