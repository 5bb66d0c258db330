use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::process::{children, eventually, signal};

/// The program of this crate that goes wrong in every way that it is told to.
pub(crate) const MISBEHAVE: &str = env!("CARGO_BIN_EXE_misbehave");

/// The cluster is as good as new.
#[track_caller]
fn assert_unharmed(cluster: &Cluster) {
    cluster.misbehave(&[], &["trivial"]).expect(0, &["finished in"]);
    let status = cluster.status();
    assert_eq!(status["overview"]["slots_available"], status["overview"]["slots_total"]);
    assert!(status["processes"].as_array().unwrap().iter().all(|process| process["running"] == true));
}

#[test]
fn failures_of_user_code_reach_the_user_with_operator_and_subtask() {
    let cluster = Cluster::start(1, 2, &[]);
    let parts = ["number 77 is not to my taste", "Picky", "(1/1)"];
    cluster.misbehave(&[], &["fail", "77"]).expect(1, &parts);
    cluster.misbehave(&["-t", "local", "-p", "1"], &["fail", "77"]).expect(1, &parts);
    cluster.misbehave(&[], &["panic", "77"]).expect(1, &["never expected 77", "Surprised", "(1/1)"]);
    cluster.misbehave(&[], &["exit", "77"]).expect(1, &["exit status 7"]);
    assert_unharmed(&cluster);
}

#[test]
fn restarts_do_not_help_against_what_fails_each_time() {
    let cluster = Cluster::start(1, 1, &[]);
    let twice = ["-D", "restart-strategy.type=fixed-delay", "-D", "restart-strategy.fixed-delay.attempts=2"];
    cluster.misbehave(&twice, &["exit", "77"]).expect(1, &["exit status 7"]);
    let jobs = cluster.rest("/v1/jobs/overview");
    let job = jobs["jobs"][0]["jid"].as_str().unwrap();
    assert_eq!(cluster.failures(job).len(), 3);
}

#[test]
fn an_endless_loop_ends_with_its_cancellation() {
    let cluster = Cluster::start(1, 1, &[]);
    let running = cluster.start_misbehaving(&[], &["loop"]);
    let job = cluster.wait_until_running();
    cluster.call(&["cancel", &job]).expect(0, &[]);
    running.wait().expect(5, &["was canceled"]);
    assert_eq!(cluster.state(&job), "CANCELED");
    assert_unharmed(&cluster);
}

#[test]
fn ctrl_c_cancels() {
    let cluster = Cluster::start(1, 1, &[]);
    let running = cluster.start_misbehaving(&[], &["endless"]);
    let job = cluster.wait_until_running();
    signal("INT", running.pid());
    running.wait().expect(130, &["Canceling job", "was canceled"]);
    assert_eq!(cluster.state(&job), "CANCELED");
    assert_unharmed(&cluster);
}

#[test]
fn a_second_ctrl_c_does_not_wait() {
    let cluster = Cluster::start(1, 1, &["task.cancellation.timeout=8 s"]);
    let running = cluster.start_misbehaving(&[], &["loop"]);
    let job = cluster.wait_until_running();
    signal("INT", running.pid());
    eventually("the job is being canceled", || cluster.state(&job) == "CANCELLING");
    let second = Instant::now();
    signal("INT", running.pid());
    running.wait().expect(130, &["left while job"]);
    assert!(second.elapsed() < Duration::from_secs(4));
    eventually("it ends all the same", || cluster.state(&job) == "CANCELED");
}

#[test]
fn a_program_that_takes_too_much_memory_goes_alone() {
    let cluster = Cluster::start(1, 2, &["taskmanager.memory.process.size=400 mb"]);
    let neighbour = cluster.start_misbehaving(&["-d"], &["endless"]);
    neighbour.wait().expect(0, &[]);
    let job = cluster.wait_until_running();
    cluster.misbehave(&[], &["allocate"]).expect(1, &["taskmanager.memory.process.size"]);
    assert_eq!(cluster.state(&job), "RUNNING");
    cluster.call(&["cancel", &job]).expect(0, &[]);
    eventually("its slots are free", || cluster.status()["overview"]["slots_available"] == 2);
    assert_unharmed(&cluster);
}

#[test]
fn a_gigabyte_of_output_does_not_fill_the_disk() {
    let cluster = Cluster::start(1, 1, &["taskmanager.log.max-size=2 mb"]);
    cluster.misbehave(&[], &["print", "1024"]).expect(0, &[]);
    let jobs = cluster.rest("/v1/jobs/overview");
    let log = cluster.call(&["logs", "--job", jobs["jobs"][0]["jid"].as_str().unwrap()]).expect(0, &[]).stdout;
    assert!(log.contains("and that is all"), "{} bytes", log.len());
    assert!(log.len() < 6 << 20, "{} bytes of log are kept", log.len());
    let folder = cluster.path().join("flink-yarn").display().to_string();
    let logs = std::process::Command::new("du").args(["-sk", "--exclude=artifacts", &folder]).output().unwrap();
    let kilobytes: u64 = String::from_utf8(logs.stdout).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    // The TaskManager's copy of the program is there, too.
    let program = std::fs::metadata(MISBEHAVE).unwrap().len() >> 10;
    assert!(kilobytes < program + (16 << 10), "{kilobytes} KB in the cluster's folder");
}

#[test]
fn logs_can_be_followed_to_the_end_of_the_job() {
    let cluster = Cluster::start(1, 1, &[]);
    let detached = cluster.misbehave(&["-d", "--output", "json"], &["says"]).expect(0, &[]);
    let job =
        serde_json::from_str::<serde_json::Value>(&detached.stdout).unwrap()["job-id"].as_str().unwrap().to_owned();
    let log = cluster.call(&["logs", "--job", &job, "--follow"]).expect(0, &[]).stdout;
    assert_eq!(log, (0..20).map(|n| format!("{n}\n")).collect::<String>());
}

#[test]
fn another_graph_on_the_worker_is_refused_with_the_place() {
    let cluster = Cluster::start(1, 1, &[]);
    let restarts = ["-D", "restart-strategy.type=fixed-delay"];
    cluster.misbehave(&restarts, &["differ"]).expect(1, &["Only on the worker"]);
    let jobs = cluster.rest("/v1/jobs/overview");
    assert_eq!(cluster.failures(jobs["jobs"][0]["jid"].as_str().unwrap()).len(), 1, "no restart helps");
    assert_unharmed(&cluster);
}

#[test]
fn drivers_and_accumulators_give_the_same_everywhere() {
    let cluster = Cluster::start(2, 1, &[]);
    for options in [&["-t", "local", "-p", "2"][..], &["-p", "2"]] {
        let driven = cluster.misbehave(options, &["driver"]).expect(0, &[]);
        assert_eq!(driven.stdout, "found 10\nsquares [1, 4, 9, 16, 25, 36, 49, 64, 81, 100]\n");
        assert_eq!(cluster.misbehave(options, &["accumulate", "1001"]).expect(0, &[]).stdout, "even = 500\n");
    }
    let ended = cluster.misbehave(&["--output", "json", "-p", "2"], &["accumulate", "10"]).expect(0, &[]);
    let told: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(told["status"], "FINISHED");
    assert_eq!(told["accumulator-results"][0]["value"], "5");
}

#[test]
fn workers_end_with_their_jobs() {
    let cluster = Cluster::start(1, 2, &[]);
    cluster.misbehave(&[], &["trivial"]).expect(0, &[]);
    eventually("no worker is left", || children(cluster.pid(1)).is_empty());
}

/// `main` runs once, goes on while its job runs, and handles a failure, in the same way everywhere.
#[test]
fn main_goes_on_in_every_mode() {
    let cluster = Cluster::start(2, 1, &[]);
    for options in [&["-t", "local", "-p", "1"][..], &["-p", "1"]] {
        let ended = cluster.misbehave(options, &["async"]).expect(0, &[]);
        assert_eq!(ended.stdout, "found 30, canceled true\nCANCELED\n", "{options:?}");
        let ended = cluster.misbehave(options, &["handles"]).expect(0, &[]);
        assert_eq!(ended.stdout, "failed: true\ncollected 5\n", "{options:?}");
        let ended = cluster.misbehave(options, &["leaves"]).expect(0, &[]);
        assert_eq!(ended.stdout, "left\n", "{options:?}");
    }
    let jobs = cluster.rest("/v1/jobs/overview");
    let states: Vec<&str> = jobs["jobs"].as_array().unwrap().iter().map(|job| job["state"].as_str().unwrap()).collect();
    for (state, number) in [("FINISHED", 4), ("CANCELED", 1), ("FAILED", 1)] {
        assert_eq!(states.iter().filter(|found| **found == state).count(), number, "{states:?}");
    }
    assert_unharmed(&cluster);
}

#[test]
fn a_worker_that_never_starts_is_given_up() {
    let cluster = Cluster::start(1, 1, &["taskmanager.worker.start-timeout=1500 ms"]);
    cluster.misbehave(&[], &["stuck"]).expect(1, &["taskmanager.worker.start-timeout", "must not wait"]);
    assert_unharmed(&cluster);
}

#[test]
fn lines_that_are_left_out_are_counted_where_everybody_sees_it() {
    let cluster = Cluster::start(1, 2, &[]);
    let input = cluster.place("lines.txt");
    std::fs::write(&input, b"good\nb\xffd\ngood\n\xc3\n").unwrap();
    cluster.misbehave(&["-p", "2"], &["skips", &input]).expect(0, &["skipped_lines: 2"]);
    let job = cluster.rest("/v1/jobs/overview")["jobs"][0]["jid"].as_str().unwrap().to_owned();
    let told = cluster.rest(&format!("/v1/jobs/{job}/accumulators")).to_string();
    assert!(told.contains("skipped_lines") && told.contains(r#""value":"2""#), "{told}");
}
