use serde_json::Value;

use crate::cluster::{Cluster, get, get_text};
use crate::process::{children, eventually, signal};

/// A metric by its name.
fn metric(address: &str, path: &str, id: &str) -> f64 {
    let answer = get(address, &format!("{path}?get={id}"));
    let value = answer[0]["value"].as_str().unwrap_or_else(|| panic!("{path} has no {id}: {answer}"));
    value.parse().unwrap()
}

fn positive(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number > 0.0)
}

/// The samples of a metric for Prometheus, by their whole lines.
fn sample(text: &str, name: &str, label: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with(name) && line.contains(label))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// Every path of the API, on a job that runs.
#[test]
fn the_api_tells_of_a_running_job_and_its_cluster() {
    let cluster = Cluster::start(1, 3, &[]);
    let running = cluster.start_misbehaving(&["-p", "2"], &["endless"]);
    let job = cluster.wait_until_running();
    let rest = cluster.rest_address();
    let path = format!("/v1/jobs/{job}");

    let overview = get(&rest, "/v1/overview");
    for (key, expected) in [("taskmanagers", 1), ("slots-total", 3), ("slots-available", 1), ("jobs-running", 1)] {
        assert_eq!(overview[key], expected, "{key}: {overview}");
    }
    let config = get(&rest, "/v1/config");
    assert!(positive(&config["refresh-interval"]) && config["flink-version"].is_string(), "{config}");
    assert_eq!(get(&rest, "/v1/jobs")["jobs"][0]["id"], job.as_str());
    let listed = get(&rest, "/v1/jobs/overview");
    assert_eq!((&listed["jobs"][0]["name"], &listed["jobs"][0]["state"]), (&"endless".into(), &"RUNNING".into()));

    let plan = get(&rest, &format!("{path}/plan"));
    let nodes = plan["plan"]["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 2, "{plan}");
    assert!(nodes.iter().all(|node| node["parallelism"] == 2), "{plan}");
    assert!(nodes.iter().any(|node| node["inputs"][0]["ship_strategy"].is_string()), "{plan}");

    let details = get(&rest, &path);
    assert_eq!(details["vertices"].as_array().unwrap().len(), 2);
    for vertex in details["vertices"].as_array().unwrap() {
        let id = vertex["id"].as_str().unwrap();
        let vertex = get(&rest, &format!("{path}/vertices/{id}"));
        assert_eq!(vertex["subtasks"].as_array().unwrap().len(), 2, "{vertex}");
        assert!(nodes.iter().any(|node| node["id"] == id), "{id} is not in the plan");
    }
    let source = nodes.iter().find(|node| node["description"].as_str().unwrap().contains("Numbers")).unwrap();
    let source = format!("{path}/vertices/{}/metrics", source["id"].as_str().unwrap());
    eventually("records are counted", || metric(&rest, &source, "0.numRecordsOut") > 0.0);
    assert!(metric(&rest, &format!("{path}/metrics"), "uptime") > 0.0);
    assert_eq!(metric(&rest, &format!("{path}/metrics"), "numRestarts"), 0.0);
    assert!(metric(&rest, &format!("{path}/metrics"), "numSplitsAssigned") > 0.0);
    assert_eq!(get(&rest, &format!("{path}/exceptions"))["exceptionHistory"]["entries"], Value::Array(Vec::new()));
    assert!(get(&rest, &format!("{path}/accumulators"))["user-task-accumulators"].is_array());

    task_managers(&rest);
    prometheus(&rest, &job);
    signal("INT", running.pid());
    running.wait().expect(130, &["was canceled"]);
    assert_eq!(cluster.state(&job), "CANCELED");
}

fn task_managers(rest: &str) {
    let all = get(rest, "/v1/taskmanagers");
    let [only] = &all["taskmanagers"].as_array().unwrap()[..] else { panic!("{all}") };
    let id = only["id"].as_str().unwrap();
    let path = format!("/v1/taskmanagers/{id}");
    eventually("its heartbeat brings figures", || {
        metric(rest, &format!("{path}/metrics"), "Status.Memory.Workers") > 0.0
    });
    for shown in [&get(rest, "/v1/taskmanagers")["taskmanagers"][0], &get(rest, &path)] {
        assert_eq!((&shown["id"], &shown["slotsNumber"], &shown["freeSlots"]), (&id.into(), &3.into(), &1.into()));
        assert!(positive(&shown["timeSinceLastHeartbeat"]), "{shown}");
        assert!(positive(&shown["hardware"]["cpuCores"]) && positive(&shown["hardware"]["physicalMemory"]), "{shown}");
        assert!(positive(&shown["hardware"]["freeMemory"]), "{shown}");
    }
    let details = get(rest, &path);
    assert_eq!(details["allocatedSlots"].as_array().unwrap().len(), 2, "{details}");
    assert!(positive(&details["metrics"]["heapUsed"]), "{details}");
    for id in [
        "Status.Memory.TaskManager",
        "Status.JVM.Threads.Count",
        "Status.JVM.FileDescriptor.Open",
        "System.Memory.Total",
        "System.Disk.Available",
        "System.Disk.Total",
    ] {
        assert!(metric(rest, &format!("{path}/metrics"), id) > 0.0, "{id}");
    }
}

fn prometheus(rest: &str, job: &str) {
    let told = || get_text(rest, "/metrics");
    let positive = |name: &str, label: &str| sample(&told(), name, label).is_some_and(|value| value > 0.0);
    assert!(positive("flink_jobmanager_taskSlotsTotal", ""), "{}", told());
    assert!(positive("flink_jobmanager_job_uptime", job), "{}", told());
    assert!(positive("flink_taskmanager_taskSlotsTotal", ""), "{}", told());
    eventually("records are counted", || positive("flink_taskmanager_job_task_numRecordsOut", job));
}

#[test]
fn figures_of_processors_and_network_are_told() {
    let cluster = Cluster::start(2, 1, &[]);
    let running = cluster.start_misbehaving(&["-p", "2"], &["endless"]);
    cluster.wait_until_running();
    let rest = cluster.rest_address();
    let all = get(&rest, "/v1/taskmanagers");
    let ids: Vec<&str> =
        all["taskmanagers"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 2, "{all}");
    for id in ids {
        let path = format!("/v1/taskmanagers/{id}/metrics");
        for figure in ["JVM.CPU.Load", "JVM.CPU.Time", "Network.BytesRead", "Network.BytesWritten"] {
            let figure = format!("Status.{figure}");
            eventually(&figure, || metric(&rest, &path, &figure) > 0.0);
        }
    }
    signal("INT", running.pid());
    running.wait().expect(130, &["was canceled"]);
}

#[test]
fn a_job_is_canceled_with_the_token() {
    let cluster = Cluster::start(1, 1, &[]);
    let running = cluster.start_misbehaving(&[], &["endless"]);
    let job = cluster.wait_until_running();
    let path = format!("/v1/jobs/{job}?mode=cancel");
    assert!(cluster.patch(&path, "not the token").starts_with("HTTP/1.1 401"));
    assert_eq!(cluster.state(&job), "RUNNING");
    let token = std::fs::read_to_string(cluster.place("flink-yarn/security/rest-token")).unwrap();
    let answer = cluster.patch(&path, token.trim());
    assert!(answer.starts_with("HTTP/1.1 202") && answer.ends_with("{}"), "{answer}");
    running.wait().expect(5, &["was canceled"]);
    assert_eq!(cluster.state(&job), "CANCELED");
    let task_manager = cluster.pid(1);
    eventually("its worker ends", || children(task_manager).is_empty());
}

/// That each task came, and how it ended, with job, vertex, subtask and attempt.
#[test]
fn the_log_of_a_task_manager_tells_of_its_tasks() {
    let cluster = Cluster::start(1, 1, &[]);
    cluster.misbehave(&[], &["trivial"]).expect(0, &[]);
    cluster.misbehave(&[], &["fail", "3"]).expect(1, &[]);
    let id = cluster.rest("/v1/taskmanagers")["taskmanagers"][0]["id"].as_str().unwrap().to_owned();
    let log = cluster.call(&["logs", "--taskmanager", &id]).expect(0, &[]).stdout;
    let line = |text: &str| log.lines().find(|line| line.contains(text)).unwrap_or_else(|| panic!("{text}: {log}"));
    assert!(line("registered with the JobManager").contains("INFO"));
    let told = [("DEPLOYING", "INFO", ""), ("FINISHED", "INFO", ""), ("FAILED", "WARN", "number 3 is not to my taste")];
    for (state, level, reason) in told {
        let line = line(&format!("task is {state}"));
        for part in [level, "job=", "vertex=", "subtask=0", "attempt=0", reason] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
}
