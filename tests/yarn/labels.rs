use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use flink_test_hadoop::{Cluster, Variant};

use crate::process::eventually;
use crate::programs::program;
use crate::user::{User, application_in};

/// The host that has the label `fast`, and the one that has none.
const LABELLED: &str = "127.0.0.2";
const OTHER: &str = "127.0.0.3";

/// Longest time until a mistake is told.
const MAX_DELAY: Duration = Duration::from_secs(10);

/// Arguments of a program that runs for ever.
const ENDLESS: [&str; 4] = ["--events", "1000000000000", "--rate", "1000"];

/// Starts a session with these words, and three TaskManagers in it; where the ApplicationMaster and the TaskManagers are.
#[track_caller]
fn hosts(user: &User<'_>, words: &[&str]) -> (BTreeSet<String>, BTreeSet<String>) {
    let session = user.json(&[&["session", "-d", "-s", "1", "--output", "json"], words].concat());
    user.call(&[&["run", "--detached", "-p", "3", &program("keyed_count")], &ENDLESS[..]].concat()).expect(0, &[]);
    hosts_of(user, session["application-id"].as_str().unwrap())
}

/// Where the containers of an application are, which wants three TaskManagers. It is ended.
#[track_caller]
fn hosts_of(user: &User<'_>, id: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let of = |part: &str| {
        let mut found = user.containers(id);
        found.retain(|process| process.command.contains(part));
        found.into_iter().map(|process| (process.container, process.host)).collect::<BTreeSet<_>>()
    };
    eventually("three TaskManagers run", || of("taskmanager --yarn").len() == 3);
    let [masters, workers] = ["flink-yarn appmaster", "taskmanager --yarn"].map(of);
    user.call(&["kill", id]).expect(0, &[]);
    user.assert_tidy(id);
    let hosts = |found: BTreeSet<(String, String)>| found.into_iter().map(|(_, host)| host).collect();
    (hosts(masters), hosts(workers))
}

#[test]
fn containers_are_on_the_nodes_with_the_label() {
    let cluster = Cluster::shared(Variant::Labels);
    let user = User::new(&cluster, "labels");
    let on = |host: &str| BTreeSet::from([host.to_owned()]);
    // The label is exclusive: who does not ask for it gets nothing there, and who asks gets nothing elsewhere.
    assert_eq!(hosts(&user, &[]), (on(OTHER), on(OTHER)));
    assert_eq!(hosts(&user, &["-D", "yarn.taskmanager.node-label=fast"]), (on(OTHER), on(LABELLED)));
    assert_eq!(hosts(&user, &["-nl", "fast"]), (on(LABELLED), on(LABELLED)));
    assert_eq!(hosts(&user, &["-D", "yarn.application.node-label=fast"]), (on(LABELLED), on(LABELLED)));
    let old = ["run", "-m", "yarn-cluster", "-yd", "-ynl", "fast", "-ys", "1", "-p", "3", &program("keyed_count")];
    let ended = user.call(&[&old[..], &ENDLESS[..]].concat()).expect(0, &[]);
    assert_eq!(hosts_of(&user, &application_in(&ended.stdout)), (on(LABELLED), on(LABELLED)));
}

/// What is told of a label, soon and before anything is uploaded.
#[track_caller]
fn refused(user: &User<'_>, words: &[&str], told: &[&str]) {
    let staging = format!("yarn.staging-directory={}", user.uri("staging"));
    let begun = Instant::now();
    let ended = user.call(&[&["session", "-d", "-D", &staging], words].concat());
    assert_ne!(ended.code, Some(0), "{}", ended.stderr);
    told.iter().for_each(|part| assert!(ended.stderr.contains(part), "`{part}` is missing in:\n{}", ended.stderr));
    assert!(begun.elapsed() < MAX_DELAY, "told after {:?} only", begun.elapsed());
    assert_eq!(user.cluster.hdfs().status(&user.path("staging")), None, "nothing was uploaded");
}

#[test]
fn a_label_that_cannot_be_had_is_told_soon() {
    let cluster = Cluster::shared(Variant::Labels);
    let user = User::new(&cluster, "no-labels");
    refused(&user, &["-nl", "slow"], &["no node label `slow`", "fast"]);
    refused(&user, &["-D", "yarn.taskmanager.node-label=slow"], &["no node label `slow`", "fast"]);
    refused(&user, &["-qu", "other", "-nl", "fast"], &["queue `other`", "`fast`"]);
}

#[test]
fn a_cluster_without_labels_says_so() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "without-labels");
    refused(&user, &["-nl", "fast"], &["no node label `fast`", "yarn.node-labels.enabled"]);
}
