use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Test, command, end, eventually, flink_yarn, program};

pub(crate) const TESTS: &[Test] = &[
    ("usage_errors_are_one_message", usage_errors_are_one_message),
    ("bash_completes_behind_commands", bash_completes_behind_commands),
    ("closed_output_is_no_panic", closed_output_is_no_panic),
    ("a_full_disk_is_told", a_full_disk_is_told),
    ("standalone_life", standalone_life),
    ("standalone_json_and_no_tls", standalone_json_and_no_tls),
    ("standalone_start_fails_with_the_log", standalone_start_fails_with_the_log),
    ("standalone_survives_dead_processes", standalone_survives_dead_processes),
    ("standalone_starts_on_other_hosts", standalone_starts_on_other_hosts),
    ("without_a_cluster_commands_say_so", without_a_cluster_commands_say_so),
];

const FREE_PORT: &str = "jobmanager.rpc.port=0";

fn usage_errors_are_one_message() {
    let folder = tempfile::tempdir().unwrap();
    let check = |words: &[&str], expect: &str| {
        let ended = flink_yarn(folder.path(), words).expect(2, expect);
        assert!(ended.stderr.starts_with("error: ") && !ended.stderr.contains("panicked"), "{}", ended.stderr);
    };
    check(&["run"], "no PROGRAM is given");
    check(&["run", "no-such-program"], "no program `no-such-program` in the folders of PATH");
    check(&["run", "./none"], "No such file");
    check(&["run", "-p", "x", "a"], "`x` is not a whole number of at least 1, for example 4");
    check(&["runn"], "'run'");
    check(&["list", "--al"], "--all");
    check(&["list", "-D", "heartbeat.timeout=x"], "is not a duration");
    check(&["list", "--config-dir", "none"], "does not exist");
    check(&["list", "-m", "a:b"], "HOST:PORT");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    check(&["list", "-m", &listener.local_addr().unwrap().to_string()], "security.directory=DIR");
    let closed = flink_yarn(folder.path(), &["list", "-m", "localhost:1"]);
    closed.expect(3, "no JobManager answers at localhost:1 (from -m)");
    check(&["list", "-D", "paralelism.default=2"], "did you mean `parallelism.default`?");
    check(&["run", "-p", "0", "a"], "is not a whole number of at least 1, for example 4");
    check(&["standalone", "start", "-n", "none"], "is not a whole number of at least 1, for example 4");
    check(&["run", "/"], "is a folder");
    check(&["standalone", "start", "--workers", "none"], "hint: name a file with one host a line");
    let json = flink_yarn(folder.path(), &["list", "--al", "--output", "json"]).expect(2, "").stderr;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["error"]["hint"], "a similar argument exists: '--all'", "{json}");
    assert!(flink_yarn(folder.path(), &["--version"]).expect(0, "").stdout.starts_with("flink-yarn "));
    assert!(flink_yarn(folder.path(), &["help", "run"]).expect(0, "").stdout.contains("Examples:"));
    for shell in ["bash", "zsh", "fish"] {
        assert!(flink_yarn(folder.path(), &["completions", shell]).expect(0, "").stdout.contains("standalone"));
    }
}

/// What bash offers, with the script sourced, for the last of these words.
fn completed_by_bash(script: &Path, words: &[&str]) -> Vec<String> {
    let line = "source \"$1\"; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); COMP_LINE=\"$*\"; \
                entry=$(complete -p flink-yarn); entry=${entry#*-F }; ${entry%% *} flink-yarn \"${@: -1}\" \"${@: -2:1}\"; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut bash = std::process::Command::new("bash");
    bash.args(["--norc", "--noprofile", "-c", line, "bash"]).arg(script).arg("flink-yarn").args(words);
    let done = end(bash.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()).expect(0, "");
    done.stdout.split_whitespace().map(str::to_owned).collect()
}

fn bash_completes_behind_commands() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("completions");
    fs::write(&script, flink_yarn(folder.path(), &["completions", "bash"]).expect(0, "").stdout).unwrap();
    let check = |words: &[&str], expect: &[&str]| {
        assert_eq!(completed_by_bash(&script, words), expect, "{words:?}");
    };
    check(&["stand"], &["standalone"]);
    check(&["run", "--par"], &["--parallelism"]);
    check(&["standalone", "s"], &["start", "stop", "status"]);
    check(&["standalone", "start", "--sl"], &["--slots"]);
    check(&["help", "jobm"], &["jobmanager"]);
    let targets = ["local", "remote", "yarn-session", "yarn-application", "yarn-per-job"];
    check(&["run", "-t", ""], &targets);
}

fn closed_output_is_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    for words in [&["--help"][..], &["completions", "bash"], &["standalone", "stop"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = end(command(folder.path(), words).stdout(Stdio::from(writer)).spawn().unwrap());
        assert_eq!(ended.stderr, "", "{words:?}");
        assert!([Some(0), Some(141)].contains(&ended.code), "{words:?}: {:?}", ended.code);
    }
}

fn a_full_disk_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let words = ["completions", "bash"];
    let child = command(folder.path(), &words).stdout(Stdio::from(full)).spawn().unwrap();
    end(child).expect(1, "cannot write to standard output\n  caused by: No space left");
}

/// A folder for the state of a cluster, which is stopped when the test ends, however it ends.
struct StateFolder(tempfile::TempDir);

impl StateFolder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for StateFolder {
    fn drop(&mut self) {
        for cluster in ["flink-yarn", "c"].map(|name| self.path().join(name)).iter().filter(|path| path.exists()) {
            flink_yarn(self.path(), &["standalone", "stop", "--cluster-dir", cluster.to_str().unwrap()]);
        }
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn standalone_life() {
    let state = StateFolder::new();
    let folder = state.path();
    let start = ["standalone", "start", "-n", "2", "-s", "3", "-D", FREE_PORT];
    let started = flink_yarn(folder, &start).expect(0, "");
    assert!(started.stdout.contains("2 TaskManagers with 3 slots each"), "{}", started.stdout);
    let own = folder.join("flink-yarn");
    assert_eq!(mode(&own.join("security")), 0o700);
    for secret in ["security/authority-key.pem", "security/client-key.pem", "security/rest-token"] {
        assert_eq!(mode(&own.join(secret)), 0o600, "{secret}");
    }
    let configuration = fs::read_to_string(own.join("taskmanager-1/config.yaml")).unwrap();
    assert!(configuration.contains("taskmanager.numberOfTaskSlots: '3'"), "{configuration}");
    flink_yarn(folder, &start).expect(1, "a cluster runs already: jobmanager has pid");
    let status = flink_yarn(folder, &["standalone", "status"]).expect(0, "");
    assert_eq!(status.stdout.matches(" running ").count(), 3, "{}", status.stdout);
    flink_yarn(folder, &["list"]).expect(0, "").prints("No jobs (-a shows those that have ended)\n");
    flink_yarn(folder, &["logs"]).expect(0, "").prints("first line\n");
    let unknown = "0123456789abcdef0123456789abcdef";
    flink_yarn(folder, &["cancel", unknown]).expect(1, "it is not known here");
    let ran = flink_yarn(folder, &["run", &program(), "actions", "1"]).expect(0, "finished in");
    assert!(ran.stdout.ends_with("action 0: FINISHED 42\nend\n"), "{}", ran.stdout);
    let listed = flink_yarn(folder, &["list", "-a"]).expect(0, "");
    assert!(listed.stdout.contains("FINISHED") && listed.stdout.contains("pretended"), "{}", listed.stdout);
    flink_yarn(folder, &["standalone", "stop"]).expect(0, "").prints("Stopped 3 of 3 processes\n");
    flink_yarn(folder, &["standalone", "status"]).expect(3, "no cluster runs in");
}

fn standalone_json_and_no_tls() {
    let state = StateFolder::new();
    let folder = state.path();
    let plain = "security.ssl.internal.enabled=false";
    let words = ["standalone", "start", "-D", FREE_PORT, "-D", plain, "--output", "json", "--cluster-dir", "c"];
    let started = flink_yarn(folder, &words).expect(0, "");
    let started: serde_json::Value = serde_json::from_str(&started.stdout).unwrap();
    assert_eq!(started["taskmanagers"], 1);
    assert!(!folder.join("c/security/authority.pem").exists());
    assert_eq!(mode(&folder.join("c/security/rest-token")), 0o600);
    // The record says that there is no TLS; the option need not be repeated.
    flink_yarn(folder, &["list", "--cluster-dir", "c"]).expect(0, "");
    let status = flink_yarn(folder, &["standalone", "status", "--cluster-dir", "c", "--output", "json"]).expect(0, "");
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!((&status["tls"], &status["processes"][1]["running"]), (&false.into(), &true.into()));
    for (stopped, processes) in [(2, 2), (0, 0)] {
        let words = ["standalone", "stop", "--cluster-dir", "c", "--output", "json"];
        let told: serde_json::Value = serde_json::from_str(&flink_yarn(folder, &words).expect(0, "").stdout).unwrap();
        assert_eq!((&told["stopped"], &told["processes"]), (&stopped.into(), &processes.into()));
    }
}

fn standalone_start_fails_with_the_log() {
    let state = StateFolder::new();
    let words = ["standalone", "start", "-D", FREE_PORT, "-D", "test.fail=1"];
    let ended = flink_yarn(state.path(), &words).expect(1, "jobmanager did not start: exit status: 1");
    assert!(ended.stderr.contains("the address is in use") && ended.stderr.contains("hint: its log: /"));
    flink_yarn(state.path(), &["standalone", "status"]).expect(3, "no cluster runs");
}

fn pids(folder: &Path) -> Vec<i32> {
    let text = fs::read_to_string(folder.join("flink-yarn/cluster.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&text).unwrap();
    let processes = record["processes"].as_array().unwrap().iter();
    processes.map(|process| i32::try_from(process["id"]["pid"].as_i64().unwrap()).unwrap()).collect()
}

fn standalone_survives_dead_processes() {
    let state = StateFolder::new();
    let folder = state.path();
    let start = ["standalone", "start", "-D", FREE_PORT];
    flink_yarn(folder, &start).expect(0, "");
    let all = pids(folder);
    let kill = |pid: i32| kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    kill(all[1]);
    eventually("status sees it", || flink_yarn(folder, &["standalone", "status"]).code == Some(1));
    flink_yarn(folder, &["standalone", "status"]).expect(1, "taskmanager-0 ended without being told to");
    kill(all[0]);
    eventually("nobody answers", || flink_yarn(folder, &["list"]).code == Some(3));
    flink_yarn(folder, &["list"]).expect(3, "hint: check the address");
    // A killed process may be there for a moment after its port was closed.
    let mut started = None;
    eventually("another cluster can be started", || {
        let ended = flink_yarn(folder, &start);
        let succeeded = ended.code == Some(0);
        started = Some(ended);
        succeeded
    });
    started.unwrap().expect(0, "has ended without `standalone stop`");
    kill(pids(folder)[1]);
    flink_yarn(folder, &["standalone", "stop"]).expect(0, "");
    flink_yarn(folder, &["standalone", "stop"]).expect(0, "");
}

/// With an `ssh` that runs the command on this host.
fn standalone_starts_on_other_hosts() {
    let state = StateFolder::new();
    let folder = state.path();
    let ssh = folder.join("ssh");
    let script =
        "#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done\necho \"$2\" >> hosts\nshift 2\nexec sh -c \"$*\"\n";
    fs::write(&ssh, script).unwrap();
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(folder.join("workers"), "localhost\nfar.example\n").unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let call = |words: &[&str]| end(command(folder, words).env("PATH", &path).spawn().unwrap());
    let start = ["standalone", "start", "--workers", "workers", "-D", FREE_PORT];
    call(&start).expect(2, "the TaskManager on far.example cannot reach the JobManager at 127.0.0.1");
    let named = [&start[..], &["-D", "jobmanager.rpc.address=this.example"]].concat();
    call(&named).expect(0, "");
    assert_eq!(fs::read_to_string(folder.join("hosts")).unwrap(), "far.example\n");
    let configuration = fs::read_to_string(folder.join("flink-yarn/taskmanager-1/config.yaml")).unwrap();
    assert!(configuration.contains("taskmanager.host: far.example"), "{configuration}");
    call(&["standalone", "stop"]).expect(0, "").prints("Stopped 3 of 3 processes\n");
}

fn without_a_cluster_commands_say_so() {
    let folder = tempfile::tempdir().unwrap();
    for words in [&["list"][..], &["logs"], &["cancel", "0123456789abcdef0123456789abcdef"]] {
        flink_yarn(folder.path(), words).expect(3, "no cluster is known\nhint: start one with");
    }
}
