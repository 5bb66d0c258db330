use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::Variant;

/// Set by whoever wants to look at a cluster after the tests, or to have the next run start sooner.
const KEEP: &str = "FLINK_YARN_KEEP_HADOOP";

/// Where clusters are; the same as in `scripts/hadoop`.
pub(crate) fn clusters_folder() -> PathBuf {
    let set = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty());
    let base =
        set.map(PathBuf::from).unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
    base.join("flink-yarn/hadoop/clusters")
}

/// Runs a command of `scripts/hadoop` and returns what it printed.
#[track_caller]
pub(crate) fn run(words: &[&str]) -> String {
    run_as(None, words)
}

/// The same for a user of the cluster, which matters to Hadoop's own programs only.
#[track_caller]
pub(crate) fn run_as(user: Option<&str>, words: &[&str]) -> String {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scripts/hadoop");
    let mut command = Command::new(&script);
    match user {
        Some(user) => command.env("HADOOP_USER_NAME", user),
        None => command.env_remove("HADOOP_USER_NAME"),
    };
    let output = command.args(words).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    let [said, errors] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "scripts/hadoop {}:\n{said}{errors}", words.join(" "));
    said
}

/// Starts or joins the cluster of a variant; what it says to clients.
#[track_caller]
pub(crate) fn start(variant: Variant) -> BTreeMap<String, String> {
    let name = variant.cluster();
    let owner = owner().to_string();
    let mut words = vec!["start", "--name", &name, "--variant", variant.option()];
    if let Some(protection) = variant.protection() {
        words.extend(["--rpc-protection", protection]);
    }
    if std::env::var_os(KEEP).is_none_or(|value| value.is_empty() || value == "0") {
        words.extend(["--owner-pid", &owner, "--idle-seconds", variant.idle_seconds()]);
    }
    run(&words);
    run(&["env", "--name", &name, "--raw"]).lines().filter_map(|line| line.split_once('=')).map(owned).collect()
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// Whether a cluster that has been joined is still the same: one that nobody used has been stopped.
pub(crate) fn still_runs(variant: Variant, mark: &str) -> bool {
    let record = std::fs::read(clusters_folder().join(variant.cluster()).join("cluster.json")).unwrap_or_default();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap_or_default();
    record["running"] == true && record["mark"].as_str().is_some_and(|known| mark.ends_with(&format!("={known}")))
}

/// Cargo lives as long as the whole test run; a test program that is run by hand is alone.
fn owner() -> u32 {
    let parent = std::os::unix::process::parent_id();
    let name = std::fs::read_to_string(format!("/proc/{parent}/comm")).unwrap_or_default();
    if name.starts_with("cargo") { parent } else { std::process::id() }
}
