//! A standalone cluster of real processes, as the commands see it.

// Everything here is a test, but not every function stands in a `#[test]`.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A folder for one cluster, which is stopped when the test ends, however it ends.
struct Cluster {
    folder: tempfile::TempDir,
}

struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Cluster {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn started(options: &[&str]) -> Self {
        let cluster = Self::new();
        let free = ["standalone", "start", "-D", "jobmanager.rpc.port=0", "-D", "rest.port=0"];
        cluster.expect(&[&free[..], options].concat(), 0, "");
        cluster
    }

    fn call(&self, words: &[&str]) -> Ended {
        let done = Command::new(env!("CARGO_BIN_EXE_flink-yarn"))
            .args(words)
            .env("XDG_STATE_HOME", self.folder.path())
            .env_remove("FLINK_CONF_DIR")
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ended { code: done.status.code(), stdout: text(done.stdout), stderr: text(done.stderr) }
    }

    /// Calls a command, asserts its exit code and a part of standard error, and gives its standard output.
    fn expect(&self, words: &[&str], code: i32, stderr: &str) -> String {
        let ended = self.call(words);
        assert_eq!(ended.code, Some(code), "{words:?}\nstdout: {}\nstderr: {}", ended.stdout, ended.stderr);
        assert!(ended.stderr.contains(stderr), "{words:?}: {}", ended.stderr);
        ended.stdout
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.call(&["standalone", "status", "--output", "json"]).stdout).unwrap()
    }

    fn pid(&self, process: usize) -> i64 {
        self.status()["processes"][process]["pid"].as_i64().unwrap()
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.call(&["standalone", "stop"]);
    }
}

fn signal(name: &str, pid: i64) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(120);
    while !condition() {
        assert!(Instant::now() < until, "timed out: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sends a request to the REST API and gives status line and body.
fn http(url: &str, method: &str, path: &str, token: Option<&str>) -> (String, String) {
    let address = url.strip_prefix("http://").unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n{authorization}Connection: close\r\n\r\n");
    socket.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

#[test]
fn a_cluster_starts_is_seen_and_stops() {
    let cluster = Cluster::started(&["--taskmanagers", "2", "--slots", "3"]);
    let status = cluster.status();
    assert_eq!(status["overview"]["task_managers"], 2);
    assert_eq!(status["overview"]["slots_total"], 6);
    assert_eq!(cluster.expect(&["list", "-a"], 0, ""), "No jobs\n");
    assert!(!cluster.expect(&["logs"], 0, "").is_empty());
    cluster.expect(&["standalone", "start"], 1, "a cluster runs already");
    cluster.expect(&["cancel", "0123456789abcdef0123456789abcdef"], 1, "error: ");
    let stopped = cluster.expect(&["standalone", "stop"], 0, "");
    assert_eq!(stopped, "Stopped 3 of 3 processes\n");
    cluster.expect(&["standalone", "status"], 3, "no cluster runs");
}

#[test]
fn the_rest_api_shows_the_cluster_and_changes_nothing_without_the_token() {
    let cluster = Cluster::started(&["-s", "2"]);
    let status = cluster.status();
    let url = status["rest"].as_str().unwrap();
    let (line, body) = http(url, "GET", "/v1/overview", None);
    assert!(line.contains("200"), "{line}");
    let overview: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&overview["taskmanagers"], &overview["slots-total"]), (&1.into(), &2.into()));
    let job = "/v1/jobs/0123456789abcdef0123456789abcdef";
    assert!(http(url, "PATCH", job, None).0.contains("401"));
    let token = std::fs::read_to_string(cluster.path().join("flink-yarn/security/rest-token")).unwrap();
    assert!(http(url, "PATCH", job, Some(token.trim())).0.contains("404"));
}

#[test]
fn a_lost_process_is_told() {
    let cluster = Cluster::started(&[]);
    signal("-KILL", cluster.pid(1));
    eventually("the loss is seen", || cluster.call(&["standalone", "status"]).code == Some(1));
    signal("-KILL", cluster.pid(0));
    eventually("nobody answers", || cluster.call(&["list"]).code == Some(3));
    cluster.expect(&["standalone", "start", "-D", "jobmanager.rpc.port=0", "-D", "rest.port=0"], 0, "has ended");
}

#[test]
fn a_taken_port_fails_the_start_with_the_reason() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("jobmanager.rpc.port={}", taken.local_addr().unwrap().port());
    let cluster = Cluster::new();
    let words = ["standalone", "start", "-D", &port, "-D", "rest.port=0"];
    cluster.expect(&words, 1, "jobmanager did not start");
    cluster.expect(&["standalone", "status"], 3, "no cluster runs");
}

#[test]
fn without_tls_a_client_with_tls_is_told_what_is_wrong() {
    let cluster = Cluster::started(&["-D", "security.ssl.internal.enabled=false"]);
    cluster.expect(&["list"], 0, "");
    let address = cluster.status()["address"].as_str().unwrap().to_owned();
    let other = Cluster::started(&[]);
    let keys = format!("security.directory={}/flink-yarn/security", other.path().display());
    other.expect(&["list", "-m", &address, "-D", &keys], 3, "both sides need the same security.ssl.internal.enabled");
    let address = other.status()["address"].as_str().unwrap().to_owned();
    cluster.expect(&["list", "-m", &address, "-D", "security.ssl.internal.enabled=false"], 3, "error: no JobManager");
}
