use std::collections::BTreeSet;
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

/// All processes in the containers of the cluster with a mark. What a container's process starts may have lost the mark from
/// its environment; the container's id is enough then, which no other cluster uses.
pub(crate) fn running(mark: &str) -> Vec<ContainerProcess> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let all: Vec<(bool, ContainerProcess)> = pids.filter_map(|pid| describe(pid, mark)).collect();
    let ours: BTreeSet<String> =
        all.iter().filter(|(is_marked, _)| *is_marked).map(|(_, process)| process.container.clone()).collect();
    all.into_iter().map(|(_, process)| process).filter(|process| ours.contains(&process.container)).collect()
}

/// A process in a container of any cluster, and whether it has the mark.
fn describe(pid: u32, mark: &str) -> Option<(bool, ContainerProcess)> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let environment: Vec<_> = environment.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let value = |name: &str| environment.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let container = value("CONTAINER_ID")?.to_owned();
    let is_marked = environment.iter().any(|line| line == mark);
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let command = String::from_utf8_lossy(&command).replace('\0', " ").trim_end().to_owned();
    let host = value("NM_HOST").unwrap_or_default().to_owned();
    Some((is_marked, ContainerProcess { pid, container, host, command }))
}
