use std::fs;

/// A process in a container of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerProcess {
    /// Its id.
    pub pid: u32,
    /// The container, `container_1795241903338_0001_01_000001` for example.
    pub container: String,
    /// The host of its NodeManager, 127.0.0.2 or 127.0.0.3.
    pub host: String,
    /// Its command line, words separated by blanks.
    pub command: String,
}

/// All processes with a mark in their environment that are in a container.
pub(crate) fn running(mark: &str) -> Vec<ContainerProcess> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| describe(pid, mark)).collect()
}

fn describe(pid: u32, mark: &str) -> Option<ContainerProcess> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let environment: Vec<_> = environment.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let value = |name: &str| environment.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    environment.iter().find(|line| *line == mark)?;
    let container = value("CONTAINER_ID")?.to_owned();
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let command = String::from_utf8_lossy(&command).replace('\0', " ").trim_end().to_owned();
    Some(ContainerProcess { pid, container, host: value("NM_HOST").unwrap_or_default().to_owned(), command })
}
