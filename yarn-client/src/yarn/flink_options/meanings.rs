/// What a word of Apache Flink's commands means here.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meaning {
    /// The option of this name, with a value.
    Renamed(&'static str),
    /// A size in megabytes where it has no unit.
    Memory(&'static str),
    /// These words, without a value.
    Flag(&'static [&'static str]),
    /// `-D key=` and the value.
    Property(&'static str),
    /// `-D` and the value, which is a key and its value.
    AnyProperty,
    /// The number of TaskManagers, which was fixed in Flink 1.5.
    Containers,
    /// A folder or files to ship; in `run` that is what -t is not for.
    Ship,
    /// Nothing: the reason is told. With a value or without.
    Without { value: bool, reason: &'static str },
    /// Refused, with what to write instead.
    Refused(&'static str),
}

use Meaning::{AnyProperty, Containers, Flag, Memory, Property, Refused, Renamed, Ship, Without};

const NO_ZOOKEEPER: Meaning = Without {
    value: true,
    reason: "there is no ZooKeeper: a second attempt of the ApplicationMaster finds its jobs in HDFS",
};
const NO_STREAMING: Meaning = Without { value: false, reason: "a cluster runs streaming and batch programs alike" };
const NO_PYTHON: Meaning = Refused("programs in Python are not available: a program is an executable file");

/// The options of `yarn-session.sh`: letters, long name. In Flink 1.x `flink run` took them with `y` and `yarn` in front.
const SESSION: &[(&str, &str, Meaning)] = &[
    ("n", "container", Containers),
    ("jm", "jobManagerMemory", Memory("--jobmanager-memory")),
    ("tm", "taskManagerMemory", Memory("--taskmanager-memory")),
    ("s", "slots", Renamed("--slots")),
    ("d", "detached", Flag(&["--detached"])),
    ("nm", "name", Property("yarn.application.name")),
    ("at", "applicationType", Property("yarn.application.type")),
    ("q", "query", Flag(&["--query"])),
    ("qu", "queue", Property("yarn.application.queue")),
    ("t", "ship", Ship),
    ("j", "jar", Property("yarn.flink-dist-jar")),
    ("D", "D", AnyProperty),
    ("id", "applicationId", Renamed("--application-id")),
    ("z", "zookeeperNamespace", NO_ZOOKEEPER),
    ("nl", "nodeLabel", Property("yarn.application.node-label")),
    ("st", "streaming", NO_STREAMING),
    ("h", "help", Flag(&["--help"])),
];

/// Words of `flink run` and `flink run-application` that mean something else here, or nothing.
const RUN: &[(&str, Meaning)] = &[
    ("-e", Renamed("--target")),
    ("--executor", Renamed("--target")),
    // The letters that `session` has, where they can mean nothing else.
    ("-jm", Memory("--jobmanager-memory")),
    ("-tm", Memory("--taskmanager-memory")),
    ("--yarndetached", Flag(&["--detached"])),
    ("-sae", Flag(&["-D", "execution.shutdown-on-attached-exit=true"])),
    ("--shutdownOnAttachedExit", Flag(&["-D", "execution.shutdown-on-attached-exit=true"])),
    ("-z", NO_ZOOKEEPER),
    ("--zookeeperNamespace", NO_ZOOKEEPER),
    ("-q", Without { value: false, reason: "logs go to standard error only" }),
    ("--sysoutLogging", Without { value: false, reason: "logs go to standard error only" }),
    ("-c", Refused("a program is an executable file, which has no class to name: leave -c out")),
    ("--class", Refused("a program is an executable file, which has no class to name: leave --class out")),
    ("-C", Refused("there is no class path: link what the program needs, or ship files with --ship")),
    ("--classpath", Refused("there is no class path: link what the program needs, or ship files with --ship")),
    ("-j", Refused("give the program's file without -j: flink-yarn run [OPTIONS] PROGRAM [ARGS]...")),
    ("--jarfile", Refused("give the program's file without --jarfile: flink-yarn run [OPTIONS] PROGRAM [ARGS]...")),
    (
        "-s",
        Refused(
            "in `run`, -s names a savepoint, and there are none yet; slots of a TaskManager are --slots N (or -ys N)",
        ),
    ),
    ("--fromSavepoint", Refused("savepoints are not available yet")),
    (
        "-n",
        Refused(
            "in `run`, -n allows state that is not restored, and there are no savepoints yet; for the number of slots use -p",
        ),
    ),
    ("--allowNonRestoredState", Refused("savepoints are not available yet")),
    ("-cm", Refused("savepoints are not available yet")),
    ("--claimMode", Refused("savepoints are not available yet")),
    ("-rm", Refused("savepoints are not available yet")),
    ("--restoreMode", Refused("savepoints are not available yet")),
    ("-py", NO_PYTHON),
    ("--python", NO_PYTHON),
    ("-pym", NO_PYTHON),
    ("--pyModule", NO_PYTHON),
    ("-pyfs", NO_PYTHON),
    ("--pyFiles", NO_PYTHON),
];

/// Whether what follows the options of this command is a program and its words.
pub(super) fn takes_a_program(command: &str) -> bool {
    matches!(command, "run" | "info")
}

/// The meaning of a word in this command; with the value that stands in the same word.
pub(super) fn meaning(command: &str, word: &str) -> Option<(Meaning, Option<String>)> {
    if matches!(command, "session" | "doctor") {
        return session_word(word, "", "", |letters| !matches!(letters, "h" | "d" | "q"));
    }
    if !matches!(command, "run" | "list" | "cancel" | "logs" | "info" | "kill") {
        return None;
    }
    let ours = match word {
        "-yq" | "--yarnquery" => Some((Refused("nodes, queues and what is free: flink-yarn session -q"), None)),
        "-id" => Some((Renamed("--application-id"), None)),
        _ => session_word(word, "y", "yarn", |_| true),
    };
    let run = || RUN.iter().find(|(name, _)| *name == word).map(|(_, meaning)| (*meaning, None));
    ours.or_else(|| if takes_a_program(command) { run() } else { None })
}

/// A word of `yarn-session.sh` with a prefix, as `wanted` letters.
fn session_word(
    word: &str,
    short: &str,
    long: &str,
    wanted: impl Fn(&str) -> bool,
) -> Option<(Meaning, Option<String>)> {
    if word.starts_with(&format!("-{short}D")) && !short.is_empty() {
        let value = word[2 + short.len()..].to_owned();
        return Some((AnyProperty, Some(value).filter(|value| !value.is_empty())));
    }
    let (name, inside) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (word, None),
    };
    let found = SESSION.iter().find(|(letters, full, _)| {
        let same_short = name.strip_prefix('-').and_then(|rest| rest.strip_prefix(short)) == Some(*letters);
        let same_long = name.strip_prefix("--").and_then(|rest| rest.strip_prefix(long)) == Some(*full);
        // What is written as here needs no translation, and clap's own errors are better.
        let theirs = full.contains(char::is_uppercase) || matches!(*full, "name" | "jar" | "container" | "streaming");
        wanted(letters) && (same_short || (same_long && (!long.is_empty() || theirs)))
    })?;
    // `-D` of this command is ours already.
    if short.is_empty() && found.0 == "D" {
        return None;
    }
    Some((found.2, inside))
}
