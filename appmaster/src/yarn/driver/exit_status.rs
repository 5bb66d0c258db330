use flink_graph::configuration::MemorySize;

use super::event::Resource;

/// Who or what a container's end is to be charged to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// Nobody: it was wanted, or is in the nature of a shared cluster (preemption, a lost node).
    Nobody,
    /// The node: its disks, its NodeManager, its kernel.
    Node,
    /// The container: its program, its settings.
    Container,
}

/// The end of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerEnd {
    /// The cause in words, with what to do where something can be done.
    pub reason: String,
    /// What it is charged to.
    pub blame: Blame,
}

/// Longest piece of YARN's own diagnostics in a reason.
const MAX_DIAGNOSTICS_LENGTH: usize = 2_000;

impl ContainerEnd {
    /// Explains an exit status. `resource` is what the container had.
    #[must_use]
    pub fn explain(exit_status: i32, diagnostics: &str, resource: Resource) -> Self {
        let (text, blame, shows_diagnostics) = explain(exit_status, diagnostics, resource);
        let diagnostics = diagnostics.trim();
        let reason = match shows_diagnostics && !diagnostics.is_empty() {
            true => format!("{text}; YARN says: {}", shortened(diagnostics)),
            false => text,
        };
        Self { reason, blame }
    }
}

fn explain(exit_status: i32, diagnostics: &str, resource: Resource) -> (String, Blame, bool) {
    let plain = |text: &str, blame, shows| (text.to_owned(), blame, shows);
    match exit_status {
        0 => plain("its process ended by itself (exit status 0)", Blame::Container, true),
        -100 => plain("its node was lost, or YARN released it (exit status -100)", Blame::Nobody, true),
        -101 => plain("the disks of its node failed (exit status -101)", Blame::Node, true),
        -102 => plain(
            "it was preempted: its place was given to another application or queue (exit status -102)",
            Blame::Nobody,
            true,
        ),
        -103 => (over_memory("virtual", diagnostics, resource), Blame::Container, false),
        -104 => (over_memory("physical", diagnostics, resource), Blame::Container, false),
        -105 => plain("it was ended by the ApplicationMaster (exit status -105)", Blame::Nobody, false),
        -106 => plain("it was ended by the ResourceManager (exit status -106)", Blame::Nobody, true),
        -107 => plain("it was ended with its application (exit status -107)", Blame::Nobody, false),
        -108 => {
            plain("it was ended by its NodeManager to make room for others (exit status -108)", Blame::Nobody, true)
        }
        -109 => plain("it was ended because its logs became too large (exit status -109)", Blame::Container, true),
        -1000 => plain(
            if is_replaced(diagnostics) {
                "it could not be started: a file of the application was replaced or removed in HDFS after its start; start \
                 a new application, or a new session, which takes the file as it is now (exit status -1000)"
            } else {
                "it could not be started: a file for it could not be copied to the node (exit status -1000)"
            },
            Blame::Container,
            true,
        ),
        137 if is_killed_for_memory(diagnostics) => {
            (over_memory("physical", diagnostics, resource), Blame::Container, false)
        }
        137 => plain(
            "its process was killed (SIGKILL, exit status 137): by a user, or by the kernel because it or the host was \
             out of memory",
            Blame::Container,
            true,
        ),
        143 => plain("its process was told to end (SIGTERM, exit status 143)", Blame::Container, true),
        134 => plain("its process aborted (SIGABRT, exit status 134)", Blame::Container, true),
        139 => plain("its process crashed (SIGSEGV, exit status 139)", Blame::Container, true),
        154 => plain(
            "nobody has seen how its process ended: its NodeManager was restarted meanwhile (exit status 154)",
            Blame::Container,
            true,
        ),
        126 | 127 => (
            format!(
                "its command could not be run (exit status {exit_status}): is the binary made for this kind of node?"
            ),
            Blame::Container,
            true,
        ),
        signal if (129..=159).contains(&signal) => {
            (format!("its process was ended by signal {} (exit status {signal})", signal - 128), Blame::Container, true)
        }
        other => (format!("its process ended with exit status {other}"), Blame::Container, true),
    }
}

fn is_killed_for_memory(diagnostics: &str) -> bool {
    let text = diagnostics.to_lowercase();
    text.contains("out-of-memory") || text.contains("oom") || text.contains("'physical' memory limit")
}

/// What YARN says when a file is not the one that the application was submitted with.
fn is_replaced(diagnostics: &str) -> bool {
    diagnostics.contains("changed on src filesystem") || diagnostics.contains("FileNotFoundException")
}

/// `… is running 176947200B beyond the 'PHYSICAL' memory limit. Current usage: 296.8 MB of 128 MB physical memory used; 2.2 GB
/// of 268.8 MB virtual memory used`
fn over_memory(kind: &str, diagnostics: &str, resource: Resource) -> String {
    let over = diagnostics
        .split_once("running ")
        .and_then(|(_, rest)| rest.split_once("B beyond"))
        .and_then(|(bytes, _)| bytes.trim().parse::<u64>().ok());
    let by = over.map_or(String::new(), |bytes| format!(" by {} MB", bytes.div_ceil(1 << 20)));
    let limit = resource.memory_mb << 20;
    let wanted = MemorySize((limit + over.unwrap_or(limit / 2)).div_ceil(64 << 20) * (64 << 20));
    let told = diagnostics.split_once(&format!(" {kind} memory used")).and_then(|(used, _)| used.rsplit_once(" of "));
    let (limit, advice) = match kind {
        "physical" => (
            format!(" of {} MB", resource.memory_mb),
            format!("taskmanager.memory.process.size higher, for example to {wanted}"),
        ),
        // A multiple of what the container has, which the nodes choose.
        _ => (
            told.map_or(String::new(), |(_, limit)| format!(" of {limit}")),
            "taskmanager.memory.process.size higher, or yarn.nodemanager.vmem-pmem-ratio on the nodes".to_owned(),
        ),
    };
    format!(
        "YARN killed it because it went over its {kind} memory{limit}{by}; set {advice}, or let the program hold less"
    )
}

/// The beginning of a text, as one paragraph.
fn shortened(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let text = lines.join(" ");
    let end = text.floor_char_boundary(MAX_DIAGNOSTICS_LENGTH.min(text.len()));
    if end < text.len() { format!("{} …", &text[..end]) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PMEM: &str = "Container [pid=42,containerID=container_1_1_01_2] is running 176947200B beyond the 'PHYSICAL' \
        memory limit. Current usage: 296.8 MB of 128 MB physical memory used; 2.2 GB of 1.5 GB virtual memory used. \
        Killing container.";
    const VMEM: &str = "Container [pid=42,containerID=container_1_1_01_2] is running 1048577B beyond the 'VIRTUAL' memory \
        limit. Current usage: 29.8 MB of 128 MB physical memory used; 269.8 MB of 268.8 MB virtual memory used. Killing \
        container.";

    fn check(exit_status: i32, diagnostics: &str, blame: Blame, contains: &[&str]) {
        let resource = Resource { memory_mb: 128, vcores: 1 };
        let end = ContainerEnd::explain(exit_status, diagnostics, resource);
        assert_eq!(end.blame, blame, "{end:?}");
        for part in contains {
            assert!(end.reason.contains(part), "{} lacks {part}", end.reason);
        }
    }

    #[test]
    fn every_exit_status_has_its_words() {
        check(-104, PMEM, Blame::Container, &["128 MB by 169 MB", "taskmanager.memory.process.size", "320 mb"]);
        check(-103, VMEM, Blame::Container, &["virtual memory of 268.8 MB by 2 MB", "vmem-pmem-ratio"]);
        check(-103, "", Blame::Container, &["its virtual memory; set"]);
        check(137, "Memory usage in cgroup… killed by the OOM killer", Blame::Container, &["over its physical memory"]);
        check(137, "Killed by external signal", Blame::Container, &["SIGKILL", "external signal"]);
        check(-102, "Container preempted by scheduler", Blame::Nobody, &["preempted", "by scheduler"]);
        check(-100, "Container released on a *lost* node", Blame::Nobody, &["lost", "*lost* node"]);
        check(-101, "", Blame::Node, &["disks"]);
        check(-1000, "hdfs://x changed on src filesystem", Blame::Container, &["new session", "changed on src"]);
        check(-1000, "java.io.FileNotFoundException: File does not exist: hdfs://x", Blame::Container, &["removed"]);
        check(-1000, "no space left", Blame::Container, &["could not be copied", "no space left"]);
        check(127, "", Blame::Container, &["could not be run"]);
        check(131, "", Blame::Container, &["signal 3"]);
        check(154, "", Blame::Container, &["NodeManager was restarted"]);
        check(1, "boom\n\n  again", Blame::Container, &["exit status 1; YARN says: boom again"]);
        for status in [-105, -106, -107, -108] {
            check(status, "", Blame::Nobody, &[&status.to_string()]);
        }
    }

    #[test]
    fn long_diagnostics_are_cut_between_characters() {
        let end = ContainerEnd::explain(1, &"ä".repeat(5_000), Resource::default());
        assert!(end.reason.len() < 2_200 && end.reason.ends_with(" …"));
    }
}
