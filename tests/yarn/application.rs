use std::cell::RefCell;
use std::time::Duration;

use flink_test_hadoop::ContainerProcess;
use serde_json::Value;

use crate::process::{children, eventually, signal};
use crate::rest::Rest;
use crate::user::User;

/// An application of a user's that runs, seen through its REST API, YARN's and its processes.
pub(crate) struct Application<'u> {
    user: &'u User<'u>,
    pub(crate) id: String,
    /// Where its JobManager was when it was last looked for, and the token for it.
    leader: RefCell<Option<Rest>>,
}

impl<'u> Application<'u> {
    pub(crate) fn new(user: &'u User<'u>, id: &str) -> Self {
        Self { user, id: id.to_owned(), leader: RefCell::default() }
    }

    /// Starts a session, with more options where wanted.
    #[track_caller]
    pub(crate) fn session(user: &'u User<'u>, options: &[&str]) -> Self {
        let told = user.json(&[&["session", "-d", "--output", "json"], options].concat());
        Self::new(user, told["application-id"].as_str().unwrap())
    }

    /// Waits until YARN knows an application of that name.
    #[track_caller]
    pub(crate) fn named(user: &'u User<'u>, name: &str) -> Self {
        let mut id = String::new();
        eventually("the application is submitted", || {
            let all = user.cluster.yarn().applications();
            let found = all.iter().find(|application| application["name"] == name);
            found.inspect(|application| application["id"].as_str().unwrap().clone_into(&mut id)).is_some()
        });
        Self::new(user, &id)
    }

    // --- its JobManager ---

    /// Reads from HDFS which attempt leads; its number.
    #[track_caller]
    pub(crate) fn look(&self) -> Option<u64> {
        let found = Rest::find(self.user, &self.id)?;
        let attempt = found.attempt;
        *self.leader.borrow_mut() = Some(found);
        attempt
    }

    /// Waits until an attempt leads.
    #[track_caller]
    pub(crate) fn wait_for_attempt(&self, number: u64) {
        eventually("the attempt leads", || self.look() == Some(number));
    }

    /// What the REST API answers; none when nobody does. Does not need HDFS once the leader is known.
    pub(crate) fn rest(&self, path: &str) -> Option<Value> {
        if self.leader.borrow().is_none() {
            self.look();
        }
        let leader = self.leader.borrow().clone()?;
        let words = ["--max-time", "20", "--header", &leader.authorization()];
        let answer = leader.ask(&format!("{}{path}", leader.url), &words);
        (answer.status == 200).then(|| serde_json::from_str(&answer.body).ok())?
    }

    /// All jobs as `/v1/jobs/overview` shows them.
    pub(crate) fn jobs(&self) -> Vec<Value> {
        let overview = self.rest("/v1/jobs/overview").unwrap_or_default();
        overview["jobs"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until the tasks of a job of that name run; its id.
    #[track_caller]
    pub(crate) fn wait_until_runs(&self, name: &str) -> String {
        let mut id = String::new();
        eventually("the tasks run", || {
            let jobs = self.jobs();
            let Some(job) = jobs.iter().find(|job| job["name"] == name && runs(job)) else { return false };
            job["jid"].as_str().unwrap().clone_into(&mut id);
            true
        });
        id
    }

    /// Whether the tasks of a job run now.
    pub(crate) fn runs(&self, id: &str) -> bool {
        self.jobs().iter().any(|job| job["jid"] == id && runs(job))
    }

    /// Why a job has failed so far, the newest failure first.
    pub(crate) fn failures(&self, job: &str) -> Vec<String> {
        let told = self.rest(&format!("/v1/jobs/{job}/exceptions")).unwrap_or_default();
        let entries = told["exceptionHistory"]["entries"].as_array().cloned().unwrap_or_default();
        entries.iter().map(|entry| entry["stacktrace"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Waits until a job has failed for a reason in which all parts occur, and gives the reason.
    #[track_caller]
    pub(crate) fn wait_for_failure(&self, job: &str, parts: &[&str]) {
        let mut seen = Vec::new();
        let until = std::time::Instant::now() + Duration::from_secs(180);
        while !seen.iter().any(|reason: &String| parts.iter().all(|part| reason.contains(part))) {
            assert!(std::time::Instant::now() < until, "{parts:?} is not among the failures: {seen:#?}");
            std::thread::sleep(Duration::from_millis(50));
            seen = self.failures(job);
        }
    }

    // --- its containers ---

    /// The ApplicationMaster's process.
    #[track_caller]
    pub(crate) fn master(&self) -> ContainerProcess {
        let found = self.processes("appmaster");
        found.into_iter().next().unwrap_or_else(|| panic!("{} has no ApplicationMaster", self.id))
    }

    /// The TaskManagers' processes, by container.
    pub(crate) fn task_managers(&self) -> Vec<ContainerProcess> {
        self.processes("taskmanager")
    }

    /// Ends the ApplicationMaster as a crash does, when all containers of TaskManagers are such that they outlive it.
    /// Gives those.
    #[track_caller]
    pub(crate) fn kill_master(&self) -> Vec<ContainerProcess> {
        let containers = self.task_managers();
        containers.iter().for_each(|process| self.user.cluster.yarn().wait_until_runs(&process.container));
        signal("KILL", self.master().pid);
        containers
    }

    fn processes(&self, command: &str) -> Vec<ContainerProcess> {
        let mut found = self.user.containers(&self.id);
        found.retain(|process| process.command.starts_with(&format!("./flink-yarn {command}")));
        found.sort_by(|a, b| a.container.cmp(&b.container));
        found
    }

    /// The workers' processes.
    pub(crate) fn workers(&self) -> Vec<u32> {
        self.task_managers().iter().flat_map(|process| children(process.pid)).collect()
    }

    /// Containers that YARN counts as the application's, the ApplicationMaster's included.
    #[track_caller]
    pub(crate) fn containers_held(&self) -> i64 {
        self.user.cluster.yarn().application(&self.id)["runningContainers"].as_i64().unwrap_or_default()
    }

    /// Ends it, and checks that nothing is left.
    #[track_caller]
    pub(crate) fn end(self) {
        self.user.call(&["kill", &self.id]).expect(0, &[]);
        self.user.assert_tidy(&self.id);
    }
}

/// All that can run does: what reads a blocking shuffle waits for its end.
fn runs(job: &Value) -> bool {
    let tasks = |state: &str| job["tasks"][state].as_u64().unwrap_or_default();
    let moving = ["scheduled", "deploying", "initializing", "reconciling", "canceling", "failed", "canceled"];
    job["state"] == "RUNNING" && tasks("running") > 0 && moving.iter().all(|state| tasks(state) == 0)
}
