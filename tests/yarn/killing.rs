use flink_test_hadoop::{Cluster, ContainerProcess, Role, Variant};

use crate::process::{Running, eventually, signal};
use crate::programs::program;
use crate::user::{User, application_in, expected};

/// Copies of the text: some seconds of work, slowed down by small splits.
const COPIES: usize = 40_000;

/// A WordCount that runs for a while in an application of its own, disturbed by `disturb` once its workers run. The result
/// must be that of an undisturbed run.
fn disturbed(user: &User<'_>, settings: &[&str], disturb: impl FnOnce(&User<'_>, &str)) {
    let input = user.put_text("text", COPIES);
    let mut words = vec!["run", "-t", "yarn-application", "-p", "2", "-d", "-D", "source.file.split-size=16 kb"];
    settings.iter().for_each(|setting| words.extend(["-D", setting]));
    let (program, output) = (program("wordcount"), user.uri("counts"));
    words.extend([&*program, "--input", &input, "--output", &output]);
    let ended = user.call(&words).expect(0, &[]);
    let application = application_in(&format!("{}{}", ended.stdout, ended.stderr));
    eventually("workers run", || workers(user, &application).len() == 2);
    disturb(user, &application);
    let (status, diagnostics) = user.end_of(&application);
    assert_eq!(status, "SUCCEEDED", "{diagnostics}");
    assert!(user.lines("counts") == expected(COPIES as u64), "another result than undisturbed");
    user.assert_tidy(&application);
}

fn named(user: &User<'_>, application: &str, what: &str) -> Vec<ContainerProcess> {
    let mut found = user.containers(application);
    found.retain(|process| process.command.contains(what) && !process.command.starts_with("/bin/bash"));
    found
}

/// Their programs go by their hashes. The container of the ApplicationMaster, where `main` runs, is the first of its attempt.
fn workers(user: &User<'_>, application: &str) -> Vec<ContainerProcess> {
    let mut found = named(user, application, " --input ");
    found.retain(|process| !process.container.ends_with("_000001"));
    found
}

#[test]
fn a_killed_worker_is_replaced() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "kill-worker");
    disturbed(&user, &[], |user, application| signal("KILL", workers(user, application)[0].pid));
}

#[test]
fn a_killed_task_manager_is_replaced() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "kill-task-manager");
    disturbed(&user, &[], |user, application| {
        signal("KILL", named(user, application, "flink-yarn taskmanager")[0].pid);
    });
}

#[test]
fn a_second_attempt_takes_over() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "kill-master");
    disturbed(&user, &["yarn.application-attempts=3"], |user, application| {
        signal("KILL", named(user, application, "flink-yarn appmaster")[0].pid);
    });
}

#[test]
fn a_restarted_resource_manager_finds_its_applications() {
    let cluster = Cluster::exclusive(Variant::Plain);
    let user = User::new(&cluster, "restart-rm");
    disturbed(&user, &[], |user, _| user.cluster.restart(Role::ResourceManager));
}

#[test]
fn a_lost_node_is_replaced_by_the_other() {
    let cluster = Cluster::exclusive(Variant::Plain);
    let user = User::new(&cluster, "lose-node");
    disturbed(&user, &["yarn.application-attempts=3"], |user, _| {
        user.cluster.kill_with_containers(Role::NodeManager2);
    });
}

#[test]
fn reading_survives_a_lost_data_node() {
    let cluster = Cluster::exclusive(Variant::Plain);
    let user = User::new(&cluster, "lose-data");
    disturbed(&user, &[], |user, _| user.cluster.kill(Role::DataNode1));
}

#[test]
fn the_client_cancels_what_it_waits_for() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "interrupted");
    let words =
        ["run", "-t", "yarn-application", &program("keyed_count"), "--events", "1000000000000", "--rate", "1000"];
    let running: Running = user.spawn(&words);
    let mut application = String::new();
    eventually("a worker runs", || {
        let all = user.cluster.container_processes();
        let worker = all.iter().find(|process| process.command.contains("keyed_count --events"));
        if let Some(worker) = worker {
            let parts: Vec<&str> = worker.container.split('_').collect();
            application = format!("application_{}_{}", parts[parts.len() - 4], parts[parts.len() - 3]);
        }
        worker.is_some()
    });
    signal("INT", running.pid());
    running.wait().expect(130, &[]);
    user.end_of(&application);
    user.assert_tidy(&application);
}
