use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::misbehaving::MISBEHAVE;
use crate::process::{Ended, Running, children, eventually};
use crate::programs::program;

/// The cluster of one test: a folder of its own, free ports, and an end with the test.
pub(crate) struct Cluster {
    folder: tempfile::TempDir,
    /// Started beside `standalone start`; killed before the folder goes.
    extra: Vec<Running>,
}

/// Failures are noticed soon.
const SETTINGS: &[&str] = &[
    "jobmanager.rpc.port=0",
    "rest.port=0",
    "heartbeat.interval=200 ms",
    "heartbeat.timeout=2 s",
    "restart-strategy.fixed-delay.delay=100 ms",
    "restart-strategy.fixed-delay.attempts=20",
    "task.cancellation.timeout=1 s",
];

impl Cluster {
    /// A folder in which no cluster runs.
    pub(crate) fn none() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), extra: Vec::new() }
    }

    #[track_caller]
    pub(crate) fn start(task_managers: u32, slots: u32, settings: &[&str]) -> Self {
        let cluster = Self::none();
        let (task_managers, slots) = (task_managers.to_string(), slots.to_string());
        let mut words = vec!["standalone", "start", "-n", &task_managers, "-s", &slots];
        for setting in SETTINGS.iter().chain(settings) {
            words.extend(["-D", setting]);
        }
        cluster.call(&words).expect(0, &[]);
        cluster
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A folder or file that does not exist yet, as an argument.
    pub(crate) fn place(&self, name: &str) -> String {
        self.path().join(name).display().to_string()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program("flink-yarn"));
        command.args(words).env("XDG_STATE_HOME", self.path()).env_remove("FLINK_CONF_DIR").current_dir(self.path());
        command
    }

    /// Starts a command.
    pub(crate) fn spawn(&self, words: &[&str]) -> Running {
        Running::start(&mut self.command(words))
    }

    /// Starts a command at a terminal.
    pub(crate) fn spawn_at_terminal(&self, words: &[&str]) -> Running {
        Running::at_terminal(&self.command(words))
    }

    /// Runs a command to its end.
    #[track_caller]
    pub(crate) fn call(&self, words: &[&str]) -> Ended {
        self.spawn(words).wait()
    }

    /// The same with a variable of the environment.
    #[track_caller]
    pub(crate) fn call_with(&self, variable: &str, value: &str, words: &[&str]) -> Ended {
        Running::start(self.command(words).env(variable, value)).wait()
    }

    /// Runs one of the misbehaving programs to its end.
    #[track_caller]
    pub(crate) fn misbehave(&self, options: &[&str], arguments: &[&str]) -> Ended {
        self.start_misbehaving(options, arguments).wait()
    }

    pub(crate) fn start_misbehaving(&self, options: &[&str], arguments: &[&str]) -> Running {
        self.spawn(&[&["run"], options, &[MISBEHAVE], arguments].concat())
    }

    /// Runs another process of the cluster in the foreground: the command, and the name that the one had which it replaces.
    pub(crate) fn replace(&mut self, command: &str, name: &str, settings: &[&str]) {
        let folder = self.path().join("flink-yarn");
        let configuration = folder.join(name).display().to_string();
        let mut words = vec![command, "--config-dir", &configuration];
        for setting in settings {
            words.extend(["-D", setting]);
        }
        let running = self.spawn(&words);
        self.extra.push(running);
    }

    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&self.call(&["standalone", "status", "--output", "json"]).stdout).unwrap()
    }

    /// The address of the JobManager.
    pub(crate) fn address(&self) -> String {
        self.status()["address"].as_str().unwrap().to_owned()
    }

    /// Process 0 is the JobManager, the TaskManagers follow.
    pub(crate) fn pid(&self, process: usize) -> u32 {
        u32::try_from(self.status()["processes"][process]["pid"].as_u64().unwrap()).unwrap()
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        let status = self.status();
        let processes = status["processes"].as_array().unwrap().iter();
        processes.map(|process| u32::try_from(process["pid"].as_u64().unwrap()).unwrap()).collect()
    }

    /// A TaskManager that has a worker, and the worker.
    pub(crate) fn busy_task_manager(&self) -> (u32, u32) {
        let task_managers = self.pids().into_iter().skip(1);
        let mut workers = task_managers.flat_map(|pid| children(pid).into_iter().map(move |child| (pid, child)));
        workers.next().expect("there is a worker")
    }

    #[track_caller]
    pub(crate) fn wait_for_task_managers(&self, number: u64) {
        eventually("the TaskManagers are there", || self.status()["overview"]["task_managers"] == number);
    }

    /// Where the REST API is.
    pub(crate) fn rest_address(&self) -> String {
        self.status()["rest"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned()
    }

    /// What the REST API answers.
    #[track_caller]
    pub(crate) fn rest(&self, path: &str) -> Value {
        get(&self.rest_address(), path)
    }

    /// The whole answer of the REST API to a PATCH with this token.
    #[track_caller]
    pub(crate) fn patch(&self, path: &str, token: &str) -> String {
        exchange(&self.rest_address(), "PATCH", path, &format!("Authorization: Bearer {token}\r\n"))
    }

    /// Waits until all tasks of the newest job run, and gives its id.
    #[track_caller]
    pub(crate) fn wait_until_running(&self) -> String {
        let address = self.rest_address();
        let mut id = String::new();
        eventually("all tasks run", || {
            let overview = get(&address, "/v1/jobs/overview");
            let jobs = overview["jobs"].as_array().unwrap();
            let Some(job) = jobs.iter().max_by_key(|job| job["start-time"].as_i64()) else { return false };
            job["jid"].as_str().unwrap().clone_into(&mut id);
            job["state"] == "RUNNING" && job["tasks"]["running"] == job["tasks"]["total"]
        });
        id
    }

    /// The state of a job.
    pub(crate) fn state(&self, job: &str) -> String {
        self.rest(&format!("/v1/jobs/{job}"))["state"].as_str().unwrap().to_owned()
    }

    /// The failures that a job has had.
    pub(crate) fn failures(&self, job: &str) -> Vec<String> {
        let answer = self.rest(&format!("/v1/jobs/{job}/exceptions"));
        let entries = answer["exceptionHistory"]["entries"].as_array().unwrap().iter();
        entries.map(|entry| entry.to_string()).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.extra.clear();
        let _ = self.command(&["standalone", "stop"]).output();
    }
}

/// What the REST API at an address answers.
#[track_caller]
pub(crate) fn get(address: &str, path: &str) -> Value {
    let body = get_text(address, path);
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
}

/// The same as it is.
#[track_caller]
pub(crate) fn get_text(address: &str, path: &str) -> String {
    let answer = exchange(address, "GET", path, "");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    body.to_owned()
}

#[track_caller]
fn exchange(address: &str, method: &str, path: &str, header: &str) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n{header}Connection: close\r\n\r\n");
    socket.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

/// The lines of all files of a folder that are no hidden ones, sorted; none when there is no folder.
pub(crate) fn lines(folder: &str) -> Vec<String> {
    let mut lines: Vec<String> = visible(folder)
        .iter()
        .flat_map(|file| std::fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    lines.sort_unstable();
    lines
}

/// The files of a folder that are no hidden ones.
pub(crate) fn visible(folder: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let hidden = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with('.');
    entries.flatten().map(|entry| entry.path()).filter(|path| !hidden(path)).collect()
}
