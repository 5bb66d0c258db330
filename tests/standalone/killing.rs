use std::collections::BTreeMap;

use crate::cluster::{Cluster, lines, visible};
use crate::process::{Ended, children, eventually, signal};

/// About four seconds of work.
const EVENTS: &str = "12000";
const RATE: &str = "3000";

const RESTARTS: [&str; 4] = ["-p", "2", "-D", "restart-strategy.type=fixed-delay"];
const NO_RESTARTS: [&str; 2] = ["-p", "2"];

/// What an undisturbed run counts.
fn undisturbed() -> Vec<String> {
    let mut counts = BTreeMap::<u64, u64>::new();
    (0..EVENTS.parse().unwrap()).for_each(|number: u64| *counts.entry(number % 97).or_default() += 1);
    let mut lines: Vec<String> = counts.iter().map(|(key, count)| format!("{key} {count}")).collect();
    lines.sort_unstable();
    lines
}

/// Runs a job, does something to the cluster in the middle, and gives the job with how it ended.
fn disturb(cluster: &mut Cluster, options: &[&str], output: &str, fault: impl FnOnce(&mut Cluster)) -> (String, Ended) {
    let running = cluster.start_misbehaving(options, &["counts", output, EVENTS, RATE]);
    let job = cluster.wait_until_running();
    fault(cluster);
    (job, running.wait())
}

fn kill_worker(cluster: &mut Cluster) {
    signal("KILL", cluster.busy_task_manager().1);
}

/// The workers of a TaskManager end with it.
fn kill_task_manager(cluster: &mut Cluster) {
    let (task_manager, _) = cluster.busy_task_manager();
    let workers = children(task_manager);
    signal("KILL", task_manager);
    eventually("the workers end", || workers.iter().all(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists()));
}

#[track_caller]
fn assert_recovered(cluster: &Cluster, job: &str, ended: Ended, output: &str) {
    ended.expect(0, &["finished in"]);
    assert_eq!(lines(output), undisturbed());
    assert!(!cluster.failures(job).is_empty(), "the fault was not felt");
}

#[test]
fn a_killed_worker_is_replaced() {
    let mut cluster = Cluster::start(2, 1, &[]);
    let output = cluster.place("out");
    let (job, ended) = disturb(&mut cluster, &RESTARTS, &output, kill_worker);
    assert_recovered(&cluster, &job, ended, &output);
}

#[test]
fn a_killed_worker_fails_a_job_without_restarts() {
    let mut cluster = Cluster::start(2, 1, &[]);
    let output = cluster.place("out");
    let (job, ended) = disturb(&mut cluster, &NO_RESTARTS, &output, kill_worker);
    ended.expect(1, &["SIGKILL"]);
    assert_eq!(cluster.state(&job), "FAILED");
    // The other worker has lost its connection to it, and says so where the job's log is.
    let connection = format!("a data connection ended job={job}");
    let logged = || cluster.call(&["logs", "--job", &job]).expect(0, &[]).stdout.contains(&connection);
    eventually("the broken connection is in the log", logged);
    assert!(visible(&output).is_empty(), "half a result was published");
    cluster.misbehave(&["-p", "2"], &["trivial"]).expect(0, &[]);
}

#[test]
fn a_standby_takes_over_from_a_killed_task_manager() {
    let mut cluster = Cluster::start(3, 1, &[]);
    let output = cluster.place("out");
    let (job, ended) = disturb(&mut cluster, &RESTARTS, &output, kill_task_manager);
    assert_recovered(&cluster, &job, ended, &output);
    cluster.wait_for_task_managers(2);
}

#[test]
fn a_killed_task_manager_can_be_started_again() {
    let mut cluster = Cluster::start(1, 2, &[]);
    let output = cluster.place("out");
    let (job, ended) = disturb(&mut cluster, &RESTARTS, &output, |cluster| {
        kill_task_manager(cluster);
        cluster.replace("taskmanager", "taskmanager-0", &[]);
    });
    assert_recovered(&cluster, &job, ended, &output);
}

#[test]
fn a_killed_task_manager_fails_a_job_without_restarts() {
    let mut cluster = Cluster::start(2, 1, &[]);
    let output = cluster.place("out");
    let (_, ended) = disturb(&mut cluster, &NO_RESTARTS, &output, kill_task_manager);
    ended.expect(1, &["TaskManager"]);
    assert!(visible(&output).is_empty(), "half a result was published");
}

/// It is silent for longer than the heartbeat's time-out, and comes back while the job runs elsewhere.
#[test]
fn a_stopped_task_manager_does_no_harm_when_it_goes_on() {
    let mut cluster = Cluster::start(3, 1, &[]);
    let output = cluster.place("out");
    let (job, ended) = disturb(&mut cluster, &RESTARTS, &output, |cluster| {
        let (task_manager, _) = cluster.busy_task_manager();
        signal("STOP", task_manager);
        cluster.wait_for_task_managers(2);
        cluster.wait_until_running();
        signal("CONT", task_manager);
    });
    assert_recovered(&cluster, &job, ended, &output);
    cluster.wait_for_task_managers(3);
    let log = cluster.call(&["logs", "--jobmanager"]).expect(0, &[]).stdout;
    let said = |what: &str| log.lines().filter(|line| line.contains(what)).collect::<Vec<_>>();
    assert_eq!(said("INFO").iter().filter(|line| line.contains("TaskManager registered")).count(), 4, "{log}");
    assert!(
        matches!(said("TaskManager lost")[..], [line] if line.contains("WARN") && line.contains("no heartbeat")),
        "{log}"
    );
    let failed = said("task failed");
    assert!(
        failed
            .iter()
            .any(|line| ["WARN", &job, "vertex=", "subtask=", "attempt=0"].iter().all(|part| line.contains(part))),
        "{log}"
    );
    let pids = cluster.pids();
    eventually("no worker is left", || pids[1..].iter().all(|pid| children(*pid).is_empty()));
    cluster.misbehave(&["-p", "3"], &["trivial"]).expect(0, &[]);
}

/// The whole host stands still, as a virtual machine does: worker and TaskManager.
#[test]
fn a_stopped_host_does_no_harm_when_it_goes_on() {
    let mut cluster = Cluster::start(3, 1, &[]);
    let output = cluster.place("out");
    let (job, ended) = disturb(&mut cluster, &RESTARTS, &output, |cluster| {
        let (task_manager, worker) = cluster.busy_task_manager();
        [task_manager, worker].iter().for_each(|pid| signal("STOP", *pid));
        cluster.wait_for_task_managers(2);
        cluster.wait_until_running();
        [worker, task_manager].iter().for_each(|pid| signal("CONT", *pid));
    });
    assert_recovered(&cluster, &job, ended, &output);
    cluster.wait_for_task_managers(3);
    cluster.misbehave(&["-p", "3"], &["trivial"]).expect(0, &[]);
}

#[test]
fn task_managers_find_the_job_manager_that_follows_a_killed_one() {
    let mut cluster = Cluster::start(2, 1, &[]);
    let output = cluster.place("out");
    let (_, ended) = disturb(&mut cluster, &RESTARTS, &output, |cluster| {
        let address = cluster.address();
        let port = address.rsplit(':').next().unwrap();
        signal("KILL", cluster.pid(0));
        cluster.replace("jobmanager", "jobmanager", &[&format!("jobmanager.rpc.port={port}")]);
    });
    assert_ne!(ended.code, Some(0), "the new JobManager does not know the job: {ended:?}");
    assert!(ended.stderr.contains("lost the connection to the JobManager"), "{ended:?}");
    assert!(visible(&output).is_empty(), "half a result was published");
    cluster.wait_for_task_managers(2);
    let status = cluster.status();
    assert_eq!(status["processes"][0]["running"], true, "the new JobManager has the place of the old one: {status}");
    let pids = cluster.pids();
    eventually("the workers of the lost job end", || pids[1..].iter().all(|pid| children(*pid).is_empty()));
    cluster.misbehave(&["-p", "2"], &["trivial"]).expect(0, &[]);
}

/// With a folder to keep them in, jobs outlive their JobManager, and their clients see them through.
#[test]
fn a_kept_job_goes_on_under_the_job_manager_that_follows() {
    let store = tempfile::tempdir().unwrap();
    let kept = format!("high-availability.storageDir={}", store.path().display());
    let mut cluster = Cluster::start(2, 1, &[&kept]);
    let output = cluster.place("out");
    let (job, ended) = disturb(&mut cluster, &RESTARTS, &output, |cluster| {
        let address = cluster.address();
        let port = address.rsplit(':').next().unwrap();
        signal("KILL", cluster.pid(0));
        cluster.replace("jobmanager", "jobmanager", &[&format!("jobmanager.rpc.port={port}")]);
    });
    ended.expect(0, &["lost the connection to the JobManager", "finished in"]);
    assert_eq!(lines(&output), undisturbed());
    assert_eq!(cluster.state(&job), "FINISHED");
    let folders =
        std::fs::read_dir(store.path()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let [jobs] = folders.collect::<Vec<_>>().try_into().expect("the last JobManager's folder is the only one");
    let left = std::fs::read_dir(jobs).unwrap().count();
    // Its program goes with the next start.
    assert!(left <= 2, "{left} files are kept of one job that has ended");
}

/// One that stands still is not dead, and may go on at any time: its jobs are run by nobody else meanwhile.
#[test]
fn kept_jobs_are_run_by_one_job_manager_at_a_time() {
    let store = tempfile::tempdir().unwrap();
    let kept = format!("high-availability.storageDir={}", store.path().display());
    let mut cluster = Cluster::start(1, 2, &[&kept]);
    let output = cluster.place("out");
    let configuration = cluster.place("flink-yarn/jobmanager");
    let (job, ended) = disturb(&mut cluster, &RESTARTS, &output, |cluster| {
        let first = cluster.pid(0);
        let another = || {
            let words =
                ["jobmanager", "--config-dir", &configuration, "-D", "jobmanager.rpc.port=0", "-D", "rest.port=0"];
            let used = format!("another JobManager uses it (process {first} on ");
            cluster.call(&words).expect(1, &[&used, "high-availability.storageDir"]);
        };
        another();
        signal("STOP", first);
        another();
        signal("CONT", first);
    });
    ended.expect(0, &["finished in"]);
    assert_eq!(lines(&output), undisturbed());
    assert_eq!(cluster.state(&job), "FINISHED");
}

#[test]
fn a_client_whose_job_manager_stays_away_says_so() {
    let cluster = Cluster::start(1, 2, &[]);
    let output = cluster.place("out");
    let options = [&NO_RESTARTS[..], &["-D", "client.timeout=2 s"]].concat();
    let running = cluster.start_misbehaving(&options, &["counts", &output, EVENTS, RATE]);
    cluster.wait_until_running();
    signal("KILL", cluster.pid(0));
    let told =
        ["lost the connection to the JobManager", "trying to reach it again for 2.0 s (client.timeout)", "hint: "];
    running.wait().expect(3, &told);
    assert!(visible(&output).is_empty(), "half a result was published");
    cluster.call(&["list"]).expect(3, &["no JobManager answers"]);
    // What is left of the cluster ends, and a new one can begin.
    cluster.call(&["standalone", "stop"]).expect(0, &[]);
}
