use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::plain::eventually;

const NAME: &str = "test-owner";

#[test]
fn a_cluster_ends_after_its_owner() {
    let mut owner = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap();
    let started = hadoop(&["start", "--name", NAME, "--owner-pid", &owner.id().to_string()]);
    assert!(started.status.success(), "{started:?}");
    assert_eq!(hadoop(&["status", "--name", NAME]).status.code(), Some(0));
    let environment = String::from_utf8(hadoop(&["env", "--name", NAME, "--raw"]).stdout).unwrap();
    let mark = environment.lines().find_map(|line| line.strip_prefix("HADOOP_CLUSTER_MARK=")).unwrap();
    assert_eq!(marked(mark), 6);
    owner.kill().unwrap();
    owner.wait().unwrap();
    eventually(|| hadoop(&["status", "--name", NAME]).status.code() == Some(3));
    assert_eq!(marked(mark), 0);
    assert!(hadoop(&["stop", "--name", NAME, "--delete"]).status.success());
}

#[test]
fn mistakes_are_answered_in_words() {
    for (words, expected) in [
        (&["start", "--variant", "fast"][..], "there is no variant `fast`"),
        (&["start", "--name", "../x"], "cannot name a cluster"),
        (&["start", "-D", "key"], "`key` is not KEY=VALUE"),
        (&["kill", "namenode", "--name", "nowhere"], "cluster nowhere does not run"),
    ] {
        let output = hadoop(words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(expected), "{words:?}: {said}");
        assert_eq!(output.status.code(), Some(1), "{words:?}");
    }
}

fn hadoop(words: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/hadoop");
    Command::new(script).args(words).stdin(Stdio::null()).output().unwrap()
}

/// Daemons and containers.
fn marked(mark: &str) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let environments = entries.filter_map(|entry| std::fs::read(entry.path().join("environ")).ok());
    environments.filter(|all| all.split(|byte| *byte == 0).any(|line| line == mark.as_bytes())).count()
}
