use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::web::{Answer, Body};
use crate::{Cluster, Role};

/// Applications, nodes and queues of a cluster, seen as a user.
#[derive(Debug, Clone, Copy)]
pub struct Yarn<'c> {
    cluster: &'c Cluster,
    user: &'c str,
}

/// An application of one container that runs a command of the shell, to fill queues or to try the cluster.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Run by `bash -c "…"`, so without double quotes.
    pub command: String,
    /// `default` or `other`.
    pub queue: String,
    /// Of the container.
    pub memory_mb: u32,
    /// How often it may be tried.
    pub attempts: u32,
}

impl Submission {
    /// In 128 MB of the queue `default`, tried once.
    pub fn of(command: &str) -> Self {
        Self { command: command.to_owned(), queue: "default".to_owned(), memory_mb: 128, attempts: 1 }
    }
}

impl<'c> Yarn<'c> {
    pub(crate) fn new(cluster: &'c Cluster, user: &'c str) -> Self {
        Self { cluster, user }
    }

    /// An answer of the ResourceManager's REST API, for a path below `/ws/v1/cluster`: `metrics`, `nodes`, `scheduler`.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        self.call("GET", path, Body::None).json(path)
    }

    /// Hosts and states of the nodes, `RUNNING` for example.
    #[track_caller]
    pub fn nodes(&self) -> Vec<(String, String)> {
        let nodes = self.get("nodes");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let all = nodes["nodes"]["node"].as_array().cloned().unwrap_or_default();
        all.iter().map(|node| (text(&node["nodeHostName"]), text(&node["state"]))).collect()
    }

    /// Names of the queues.
    #[track_caller]
    pub fn queues(&self) -> Vec<String> {
        let queues = self.get("scheduler")["scheduler"]["schedulerInfo"]["queues"]["queue"].take();
        let name = |queue: &Value| queue["queueName"].as_str().unwrap().to_owned();
        queues.as_array().unwrap().iter().map(name).collect()
    }

    /// All applications that the ResourceManager knows.
    #[track_caller]
    pub fn applications(&self) -> Vec<Value> {
        self.get("apps")["apps"]["app"].as_array().cloned().unwrap_or_default()
    }

    /// What the ResourceManager knows of an application: `state`, `finalStatus`, `diagnostics` and more.
    #[track_caller]
    pub fn application(&self, id: &str) -> Value {
        self.get(&format!("apps/{id}"))["app"].take()
    }

    /// Ends an application.
    #[track_caller]
    pub fn kill(&self, id: &str) {
        self.call("PUT", &format!("apps/{id}/state"), Body::Json(&json!({ "state": "KILLED" }))).expect(id);
    }

    /// Memory of the largest container that can be had.
    #[track_caller]
    pub fn largest_container_mb(&self) -> u64 {
        let answer = self.call("POST", "apps/new-application", Body::None).json("new-application");
        answer["maximum-resource-capability"]["memory"].as_u64().unwrap()
    }

    /// Starts an application and returns its id.
    #[track_caller]
    pub fn submit(&self, submission: &Submission) -> String {
        let answer = self.call("POST", "apps/new-application", Body::None).json("new-application");
        let id = answer["application-id"].as_str().unwrap().to_owned();
        let command = format!("{{ {}; }} 1><LOG_DIR>/stdout 2><LOG_DIR>/stderr", submission.command);
        let body = json!({
            "application-id": id,
            "application-name": "test",
            "queue": submission.queue,
            "max-app-attempts": submission.attempts,
            "resource": { "memory": submission.memory_mb, "vCores": 1 },
            "am-container-spec": { "commands": { "command": command }, "credentials": self.credentials() },
        });
        self.call("POST", "apps", Body::Json(&body)).expect("submit");
        id
    }

    /// What lets the nodes write the application's log, where that takes a token.
    #[track_caller]
    fn credentials(&self) -> Value {
        if !self.cluster.variant().is_secure() {
            return json!({});
        }
        let service = self.cluster.address(Role::NameNode, "rpc").replace("localhost", "127.0.0.1");
        let token = self.cluster.hdfs_as(self.user).delegation_token("yarn", &service);
        json!({ "tokens": { "entry": [{ "key": service, "value": token }] } })
    }

    /// A delegation token of the ResourceManager, as Hadoop writes tokens into texts; it names no service.
    #[track_caller]
    pub fn delegation_token(&self, renewer: &str) -> String {
        let answer = self.call("POST", "delegation-token", Body::Json(&json!({ "renewer": renewer })));
        answer.json("delegation-token")["token"].as_str().unwrap().to_owned()
    }

    /// Waits until an application has ended, one way or another.
    #[track_caller]
    pub fn wait(&self, id: &str, patience: Duration) -> Value {
        let until = Instant::now() + patience;
        loop {
            let application = self.application(id);
            if ["FINISHED", "FAILED", "KILLED"].iter().any(|state| application["state"] == *state) {
                return application;
            }
            assert!(Instant::now() < until, "{id} has not ended within {patience:?}: {application}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the ResourceManager has heard from the NodeManager that a container runs: before, the container does not
    /// outlive its ApplicationMaster. No answer of it says so, but its log does.
    #[track_caller]
    pub fn wait_until_runs(&self, container: &str) {
        let told = format!("{container} Container Transitioned from ACQUIRED to RUNNING");
        let is_known = || {
            let managers = Role::all(self.cluster.variant()).into_iter();
            let mut managers = managers.filter(|role| matches!(role, Role::ResourceManager | Role::ResourceManager2));
            managers.any(|role| self.cluster.log(role).contains(&told))
        };
        let until = Instant::now() + Duration::from_secs(180);
        while !is_known() {
            assert!(Instant::now() < until, "the ResourceManager does not hear that {container} runs");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The aggregated logs of an application that has ended, of all containers one after another.
    #[track_caller]
    pub fn logs(&self, id: &str) -> String {
        let folder = format!("/app-logs/{}/bucket-logs-tfile", self.user);
        let begun = Instant::now();
        // They come after the end, under another name first; when all nodes have told of theirs, the ResourceManager says so.
        while !self.has_logs(&folder, id) || !self.are_collected(id) && begun.elapsed() < Duration::from_secs(30) {
            assert!(begun.elapsed() < Duration::from_secs(120), "the logs of {id} have not come");
            std::thread::sleep(Duration::from_millis(100));
        }
        self.cluster.command_as(self.user, &["yarn", "logs", "-applicationId", id])
    }

    fn are_collected(&self, id: &str) -> bool {
        self.application(id)["logAggregationStatus"] == "SUCCEEDED"
    }

    fn has_logs(&self, folder: &str, id: &str) -> bool {
        let hdfs = self.cluster.hdfs_as(self.user);
        let bucket = id.rsplit('_').next().unwrap();
        let path = format!("{folder}/{bucket}/{id}");
        hdfs.status(&path).is_some() && {
            let files = hdfs.list(&path);
            !files.is_empty() && files.iter().all(|file| !file.name.ends_with(".tmp"))
        }
    }

    /// Asks the ResourceManager, or where there are two the one that is active.
    fn call(&self, method: &str, path: &str, body: Body<'_>) -> Answer {
        let url = |role| format!("http://{}/ws/v1/cluster/{path}", self.cluster.address(role, "web"));
        let web = self.cluster.web(self.user);
        let role = if self.is_standby(Role::ResourceManager) { Role::ResourceManager2 } else { Role::ResourceManager };
        web.call(method, &url(role), body)
    }

    fn is_standby(&self, role: Role) -> bool {
        if !self.cluster.variant().is_highly_available() {
            return false;
        }
        let url = format!("http://{}/ws/v1/cluster/info", self.cluster.address(role, "web"));
        let answer = self.cluster.web(self.user).call("GET", &url, Body::None);
        let info: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        info["clusterInfo"]["haState"] != "ACTIVE"
    }
}
