use serde_json::Value;

use crate::cluster::Cluster;
use crate::misbehaving::MISBEHAVE;
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
    run("remote").expect(4, &[&input, "No such file"]);
    run("local").expect(1, &[&input, "No such file"]);
    std::fs::write(&input, "to be or not to be\n").unwrap();
    run("remote").expect(0, &[]);
    run("remote").expect(4, &[&output, "not empty"]);
    run("local").expect(1, &[&output, "not empty"]);
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
    told(&[&["cancel"], &json[..], &[&job]].concat(), 0);
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
