use std::os::unix::fs::DirBuilderExt;

use serde_json::Value;

use crate::cluster::{Cluster, lines};
use crate::misbehaving::MISBEHAVE;
use crate::process::eventually;
use crate::programs::program;

#[test]
fn wrong_words_are_refused_before_anything_is_started() {
    let cluster = Cluster::none();
    cluster.call(&["run", "--fast", MISBEHAVE]).expect(2, &["--fast"]);
    cluster.call(&["run"]).expect(2, &["PROGRAM"]);
    cluster.call(&["run", "no-such-program"]).expect(2, &["no program `no-such-program`"]);
    let setting = ["run", "-t", "local", "-D", "taskmanager.numberOfTaskSlot=2", MISBEHAVE, "trivial"];
    cluster.call(&setting).expect(2, &["taskmanager.numberOfTaskSlot"]);
    let value = ["run", "-t", "local", "-D", "heartbeat.timeout=soon", MISBEHAVE, "trivial"];
    cluster.call(&value).expect(2, &["heartbeat.timeout", "soon"]);
    cluster.call(&["cancel", "12"]).expect(2, &["32 hexadecimal digits"]);
    let json = ["run", "-t", "local", "--output", "json", MISBEHAVE, "trivial"];
    cluster.call(&json).expect(2, &["--output json is for jobs on a cluster"]);
    let local =
        cluster.call(&["run", "-t", "local", MISBEHAVE, "trivial"]).expect(0, &["Job trivial (", "finished in"]);
    assert_eq!(local.stdout, "");
}

#[test]
fn unreachable_clusters_are_told_apart_from_missing_ones() {
    let cluster = Cluster::none();
    cluster.call(&["list"]).expect(3, &["no cluster is known"]);
    cluster.call(&["run", "-t", "remote", MISBEHAVE, "trivial"]).expect(3, &["no cluster is known"]);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let plain = "security.ssl.internal.enabled=false";
    let words = ["run", "-m", &closed, "-D", plain, MISBEHAVE, "trivial"];
    cluster.call(&words).expect(3, &["no JobManager answers", &closed]);
}

#[test]
fn missing_inputs_and_existing_outputs_are_found_before_anything_is_submitted() {
    let cluster = Cluster::start(1, 1, &[]);
    let wordcount = program("wordcount");
    let (input, output) = (cluster.place("in.txt"), cluster.place("out"));
    let run = |target: &str| cluster.call(&["run", "-t", target, &wordcount, "--input", &input, "--output", &output]);
    run("remote").expect(4, &[&input, "No such file", "hint: no job was submitted"]);
    run("local").expect(1, &[&input, "No such file"]);
    std::fs::write(&input, "to be or not to be\n").unwrap();
    run("remote").expect(0, &[]);
    run("remote").expect(4, &[&output, "not empty", "TextFileSink::overwrite is --overwrite here"]);
    run("local").expect(1, &[&output, "not empty", "TextFileSink::overwrite is --overwrite here"]);
    assert_eq!(cluster.rest("/v1/jobs/overview")["jobs"].as_array().unwrap().len(), 1);
}

#[test]
fn what_is_told_as_json_is_json() {
    let cluster = Cluster::start(1, 1, &[]);
    let told = |words: &[&str], code: i32| {
        let ended = cluster.call(words).expect(code, &[]);
        serde_json::from_str::<Value>(&ended.stdout).unwrap_or_else(|error| panic!("{words:?}: {error}: {ended:?}"))
    };
    let json = ["--output", "json"];
    let run = told(&[&["run"], &json[..], &[MISBEHAVE, "trivial"]].concat(), 0);
    assert_eq!(run["status"], "FINISHED");
    let failed = told(&[&["run"], &json[..], &[MISBEHAVE, "fail", "3"]].concat(), 1);
    assert_eq!(failed["status"], "FAILED");
    assert!(failed["failure"].as_str().unwrap().contains("number 3 is not to my taste"), "{failed}");
    assert_eq!(told(&[&["list", "-a"], &json[..]].concat(), 0)["jobs"].as_array().unwrap().len(), 2);
    assert_eq!(told(&[&["info"], &json[..], &[MISBEHAVE, "endless"]].concat(), 0)["name"], "endless");
    let detached = told(&[&["run", "-d"], &json[..], &[MISBEHAVE, "endless"]].concat(), 0);
    let job = detached["job-id"].as_str().unwrap().to_owned();
    assert_eq!(told(&[&["cancel"], &json[..], &[&job]].concat(), 0)["canceling"], true);
    eventually("it is canceled", || cluster.state(&job) == "CANCELED");
    assert_eq!(told(&[&["cancel"], &json[..], &[&job]].concat(), 0)["canceling"], false);
    assert_eq!(cluster.call(&["cancel", &job]).expect(0, &[]).stdout, format!("Job {job} is CANCELED already\n"));
    // An error is the last line of standard error.
    let error_of = |words: &[&str], code: i64| {
        let ended = cluster.call(words).expect(i32::try_from(code).unwrap(), &[]);
        let last = ended.stderr.lines().last().unwrap_or_default();
        let told: Value = serde_json::from_str(last).unwrap_or_else(|error| panic!("{words:?}: {error}: {ended:?}"));
        assert_eq!(told["error"]["exit-code"], code, "{told}");
        told["error"]["message"].as_str().unwrap().to_owned()
    };
    assert!(error_of(&[&["run"], &json[..], &[MISBEHAVE, "fail", "3"]].concat(), 1).contains("failed after"));
    assert!(error_of(&[&["run"], &json[..], &[MISBEHAVE, "nothing"]].concat(), 4).contains("exit code 1"));
    assert!(error_of(&[&["info"], &json[..], &["no-such-program"]].concat(), 2).contains("no-such-program"));
    assert!(error_of(&[&["cancel", "12"], &json[..]].concat(), 2).contains("12"));
    assert!(error_of(&[&["list", "-m", "127.0.0.1:1"], &json[..]].concat(), 3).contains("no JobManager answers"));
    assert!(error_of(&[&["standalone", "start"], &json[..]].concat(), 1).contains("a cluster runs already"));
}

#[test]
fn unknown_jobs_are_not_canceled() {
    let cluster = Cluster::start(1, 1, &[]);
    let unknown = "0123456789abcdef0123456789abcdef";
    cluster.call(&["cancel", unknown]).expect(1, &[unknown]);
    cluster.call(&["logs", "--job", unknown]).expect(1, &[unknown]);
}

/// The program prints what its client knows already: it is told once, with what to do.
#[test]
fn a_failure_is_told_once() {
    let cluster = Cluster::start(1, 1, &[]);
    let ended = cluster.misbehave(&[], &["fail", "3"]).expect(1, &["Error: job ", "hint: what its tasks printed"]);
    assert_eq!(ended.stderr.matches("number 3 is not to my taste").count(), 1, "{}", ended.stderr);
    assert!(!ended.stderr.contains("error: "), "{}", ended.stderr);
}

#[test]
fn a_task_manager_is_ready_when_it_has_registered() {
    let cluster = Cluster::start(1, 1, &[]);
    let configuration = cluster.place("flink-yarn/taskmanager-0");
    let registers = "registers with the JobManager at ";
    let another = cluster.spawn(&["taskmanager", "--config-dir", &configuration]);
    eventually("it is ready", || another.shown() == "TaskManager is ready; Ctrl-C ends it\n");
    assert!(another.said().contains(&format!("{registers}{}", cluster.address())), "{}", another.said());
    assert_eq!(cluster.status()["overview"]["task_managers"], 2);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let soon = "taskmanager.registration.timeout=500 ms";
    let alone = cluster.call(&["taskmanager", "--config-dir", &configuration, "-m", &closed, "-D", soon]);
    let alone = alone.expect(1, &[&format!("{registers}{closed}"), "no JobManager has accepted this TaskManager"]);
    assert_eq!(alone.stdout, "");
}

/// As docs/standalone.md says.
#[test]
fn a_task_manager_by_hand_needs_five_files() {
    let cluster = Cluster::start(1, 1, &[]);
    let (from, keys) = (cluster.path().join("flink-yarn/security"), cluster.path().join("keys"));
    std::fs::DirBuilder::new().mode(0o700).create(&keys).unwrap();
    for file in ["authority.pem", "taskmanager.pem", "taskmanager-key.pem", "worker.pem", "worker-key.pem"] {
        std::fs::copy(from.join(file), keys.join(file)).unwrap();
    }
    let (security, slots) = (format!("security.directory={}", keys.display()), "taskmanager.numberOfTaskSlots=4");
    let _another = cluster.spawn(&["taskmanager", "-m", &cluster.address(), "-D", &security, "-D", slots]);
    cluster.wait_for_task_managers(2);
    cluster.misbehave(&["-p", "5"], &["trivial"]).expect(0, &[]);
}

/// As root, too, for whom every folder is writable.
#[test]
fn a_target_in_which_nothing_can_be_written_is_refused_before_anything_runs() {
    let cluster = Cluster::start(1, 1, &[]);
    let wordcount = program("wordcount");
    let input = cluster.place("in.txt");
    std::fs::write(&input, "to be").unwrap();
    for options in [&["-t", "local"][..], &["-d"]] {
        let words = [&["run"], options, &[&wordcount, "--input", &input, "--output", "/proc/out"]].concat();
        let told = cluster.call(&words);
        assert!(matches!(told.code, Some(1 | 4)), "{told:?}");
        assert!(told.stderr.contains("/proc/out") && told.stderr.contains("nothing can be written there"), "{told:?}");
    }
    assert_eq!(cluster.rest("/v1/jobs/overview")["jobs"].as_array().unwrap().len(), 0);
    assert_eq!(std::fs::read_dir(cluster.path()).unwrap().count(), 2, "something is left of the attempt");
}

#[test]
fn what_is_not_text_fails_is_replaced_or_is_left_out() {
    let cluster = Cluster::none();
    let wordcount = program("wordcount");
    let (input, output) = (cluster.place("in.txt"), cluster.place("out"));
    std::fs::write(&input, b"to be\nor\xff not\n").unwrap();
    let run = |policy: &[&str]| {
        let fixed =
            ["run", "-t", "local", "-p", "1", &wordcount, "--input", &input, "--output", &output, "--overwrite"];
        cluster.call(&[&fixed, policy].concat())
    };
    run(&[]).expect(1, &["byte 8", "TextFileSource::on_invalid_utf8 is --invalid-utf8 here"]);
    run(&["--invalid-utf8", "replace"]).expect(0, &[]);
    assert_eq!(lines(&output), ["be 1", "not 1", "or 1", "to 1"]);
    run(&["--invalid-utf8", "skip"]).expect(0, &["  skipped_lines: 1", "left out that are not UTF-8: 1"]);
    assert_eq!(lines(&output), ["be 1", "to 1"]);
}
