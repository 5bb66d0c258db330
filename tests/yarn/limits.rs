use std::time::{Duration, Instant};

use flink_test_hadoop::{Cluster, Variant};

use crate::application::Application;
use crate::mistakes::all_refused;
use crate::process::eventually;
use crate::resources::{COPIES, assert_counted, count};
use crate::user::User;

/// An application in a queue of that name.
fn own<'w>(name: &'w str, queue: &'w str, task_manager: &'w str) -> [&'w str; 10] {
    let notice = "yarn.client.deployment-notice=1 s";
    ["-t", "yarn-application", "-ynm", name, "-yqu", queue, "-ytm", task_manager, "-D", notice]
}

/// Nodes have room, and the queue has none: 40 % of 8 GB is all that it may have.
#[test]
fn a_queue_at_its_maximum_is_named() {
    let cluster = Cluster::exclusive(Variant::Strict);
    let user = User::new(&cluster, "queue-maximum");
    user.put_text("text", COPIES);
    let [first, second, third] = ["first", "second", "third"].map(|name| user.name(name));
    let let_go = ["-D", "resourcemanager.taskmanager-timeout=1 s"];
    let (holds, gate) = count(&user, "first", &[&own(&first, "other", "1g")[..], &["-p", "2"], &let_go].concat());
    Application::named(&user, &first).wait_until_runs("count");
    // 1 GB is left for it and more, and it wants 1536 MB.
    let (waits, other) = count(&user, "second", &own(&second, "other", "1536m"));
    other.open();
    let waiting = Application::named(&user, &second);
    waiting.wait_for_attempt(1);
    let told = ["waiting for 1 container of 1536 MB", "flink-yarn doctor"];
    eventually("it says what it waits for", || told.iter().all(|part| waits.said().contains(part)));
    assert!(waiting.task_managers().is_empty());
    // An ApplicationMaster finds no room either.
    let (late, another) = count(&user, "third", &[&own(&third, "other", "256m")[..], &["-yjm", "1g"]].concat());
    another.open();
    let told = ["has not started yet (ACCEPTED)", "queue other may have 3277 MB of the cluster and has"];
    eventually("it says what it waits for", || told.iter().all(|part| late.said().contains(part)));
    let doctor = user.call(&["doctor", "-qu", "other", "-tm", "1536m"]).expect(0, &[]).stdout;
    let limited = "no room for a TaskManager (1536 MB and 1 core): queue other may have 3277 MB of the cluster and has";
    assert!(doctor.lines().any(|line| line.starts_with("warning resources") && line.contains(limited)), "{doctor}");
    gate.open();
    assert_counted(&user, holds, "first");
    assert_counted(&user, waits, "second");
    assert_counted(&user, late, "third");
}

/// Nodes and the queue have room, and one user of it may not have more: Hadoop's default.
#[test]
fn a_user_at_the_limit_is_told() {
    let cluster = Cluster::exclusive(Variant::Strict);
    let user = User::new(&cluster, "user-limit");
    user.put_text("text", COPIES);
    let [first, second] = ["first", "second"].map(|name| user.name(name));
    let let_go = ["-D", "resourcemanager.taskmanager-timeout=1 s"];
    let (holds, gate) = count(&user, "first", &[&own(&first, "default", "1792m")[..], &["-p", "3"], &let_go].concat());
    Application::named(&user, &first).wait_until_runs("count");
    let (waits, other) = count(&user, "second", &own(&second, "default", "1792m"));
    other.open();
    let told = ["has not started yet (ACCEPTED)", "this user has all that one user may have of the queue"];
    eventually("it says what it waits for", || told.iter().all(|part| waits.said().contains(part)));
    let doctor = user.call(&["doctor", "-tm", "1792m"]).expect(0, &[]).stdout;
    let limited = "no room for a TaskManager (1792 MB and 1 core): this user has all that one user may have";
    assert!(doctor.lines().any(|line| line.starts_with("warning resources") && line.contains(limited)), "{doctor}");
    gate.open();
    assert_counted(&user, holds, "first");
    assert_counted(&user, waits, "second");
}

/// No container may be larger than yarn.scheduler.maximum-allocation-mb, and none is larger than a node.
#[test]
fn more_memory_than_any_node_has_is_told_soon() {
    let cluster = Cluster::shared(Variant::Strict);
    let user = User::new(&cluster, "larger-than-nodes");
    let program = crate::programs::program("wordcount");
    let run = |options: &[&str]| {
        let words = [&["run", "-t", "yarn-application"], options, &[&program, "--input", "/in", "--output", "/out"]];
        user.prepared(&words.concat())
    };
    // A ResourceManager that has just begun does not know how large nodes are.
    let until = Instant::now() + Duration::from_secs(60);
    let largest = || cluster.yarn().largest_container_mb();
    while largest() > 4096 {
        assert!(Instant::now() < until, "it still grants {} MB", largest());
        std::thread::sleep(Duration::from_millis(200));
    }
    let told = ["is to have 5 GB", "more than 4 GB", "yarn.scheduler.maximum-allocation-mb", "the largest node"];
    all_refused(&mut [run(&["-ytm", "5g"]), run(&["-yjm", "5g"])], &told);
}
