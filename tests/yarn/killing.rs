use std::path::Path;
use std::time::Duration;

use flink_test_hadoop::{Cluster, Variant};

use crate::application::Application;
use crate::process::{Running, eventually, signal};
use crate::programs::program;
use crate::user::{TROUBLED, User, expected};

/// Lines enough for a minute with a closed gate.
const COPIES: usize = 200;

const LET_GO_SOON: [&str; 2] = ["-D", "resourcemanager.taskmanager-timeout=5 s"];

#[track_caller]
fn wait_until_gone(pid: u32) {
    eventually("the process ends", || !Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn the_client_cancels_what_it_waits_for() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "interrupted");
    let words = ["run", "-t", "yarn-application", "-ynm", &user.name("interrupted"), &program("keyed_count")];
    let words = [&words[..], &["--events", "1000000000000", "--rate", "1000"]].concat();
    let running: Running = user.spawn(&words);
    let application = Application::named(&user, &user.name("interrupted"));
    eventually("a worker runs", || !application.workers().is_empty());
    signal("INT", running.pid());
    running.wait().expect(130, &[]);
    user.end_of(&application.id);
    user.assert_tidy(&application.id);
}

/// `main` runs on the client, and its two jobs at the same time: it waits for one, the client for the other.
#[test]
fn each_of_several_jobs_has_an_application_that_ends_with_the_run() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "several");
    let input = user.put_text("text", COPIES);
    for interrupted in [false, true] {
        let name = user.name(&format!("several-{interrupted}"));
        let outputs = ["first", "second"].map(|output| format!("{output}-{interrupted}"));
        let gates = [user.gate(&outputs[0]), user.gate(&outputs[1])];
        let words = ["run", "-t", "yarn-per-job", "-ynm", &name, TROUBLED, "both", &input];
        let places = [&user.uri(&outputs[0]), &user.uri(&outputs[1]), gates[0].path(), gates[1].path()];
        let running = user.spawn(&[&words[..], &places].concat());
        let mut found = Vec::new();
        eventually("both are submitted", || {
            found = cluster.yarn().applications();
            found.retain(|application| application["name"] == *name);
            found.len() == 2
        });
        let applications: Vec<_> = found.iter().map(|found| found["id"].as_str().unwrap().to_owned()).collect();
        let seen = applications.iter().map(|id| Application::new(&user, id));
        seen.for_each(|application| eventually("it runs", || !application.workers().is_empty()));
        eventually("one is waited for", || running.said().contains(") is RUNNING\n"));
        if interrupted {
            signal("INT", running.pid());
            running.wait().expect(130, &["Canceling job first (", "was canceled"]);
        } else {
            // The program waits for the first one, and hears of the other's end when that has gone with its application.
            gates[1].open();
            eventually("an application has ended", || {
                applications.iter().any(|id| cluster.yarn().application(id)["state"] == "FINISHED")
            });
            gates[0].open();
            running.wait().expect(0, &["Job first (", "Job second (", "finished in"]);
            outputs.iter().for_each(|output| assert_eq!(user.lines(output), user.lines_of("text"), "{output}"));
        }
        for id in &applications {
            let (status, diagnostics) = user.end_of(id);
            assert_eq!(status == "SUCCEEDED", !interrupted, "{status}: {diagnostics}");
            user.assert_tidy(id);
        }
    }
}

#[test]
fn killed_workers_and_containers_are_replaced() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "killed");
    let (input, gate) = (user.put_text("text", COPIES), user.gate("it"));
    let session = Application::session(&user, &LET_GO_SOON);
    let running = user.spawn(&["run", "-p", "2", TROUBLED, "count", &input, &user.uri("counts"), gate.path()]);
    let job = session.wait_until_runs("count");
    // A worker goes alone: its container stays.
    let containers = session.task_managers();
    signal("KILL", session.workers()[0]);
    session.wait_for_failure(&job, &["SIGKILL"]);
    assert_eq!(session.task_managers(), containers);
    eventually("it runs again", || session.runs(&job));
    // A container takes its worker along.
    let (container, workers) = (&containers[0], session.workers());
    signal("KILL", container.pid);
    session.wait_for_failure(&job, &[&container.container, "its process was killed (SIGKILL, exit status 137)"]);
    let mut most = 0;
    eventually("it runs again", || {
        most = most.max(session.containers_held());
        session.runs(&job) && session.task_managers().len() == 2
    });
    assert!(most <= 5, "{most} containers were held where three are wanted");
    workers.into_iter().for_each(|pid| assert!(!session.workers().contains(&pid)));
    gate.open();
    running.wait().expect(0, &["finished in"]);
    assert_eq!(user.lines("counts"), expected(COPIES as u64));
    eventually("idle containers are given back", || session.task_managers().is_empty());
    eventually("YARN has them", || session.containers_held() == 1);
    session.end();
}

#[test]
fn a_second_attempt_takes_over_containers_and_jobs() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "second-attempt");
    let (input, gate) = (user.put_text("text", COPIES), user.gate("it"));
    let session = Application::session(&user, &[]);
    let finished = ["run", "-p", "2", TROUBLED, "count", &input, &user.uri("finished"), "/"];
    user.call(&finished).expect(0, &["finished in"]);
    let before = (session.jobs(), cluster.hdfs().list(&user.path("finished")));
    let running = user.spawn(&["run", "-p", "2", TROUBLED, "copy", &input, &user.uri("copied"), gate.path()]);
    session.wait_until_runs("copy");
    let containers = session.kill_master();
    session.wait_for_attempt(2);
    session.wait_until_runs("copy");
    assert_eq!(session.task_managers(), containers, "the containers were not taken over");
    gate.open();
    running.wait().expect(0, &["finished in"]);
    assert_eq!(user.lines("copied"), user.lines_of("text"));
    let is_first = |job: &serde_json::Value| job["jid"] == before.0[0]["jid"];
    let jobs = session.jobs();
    assert_eq!((jobs.len(), jobs.iter().find(|job| is_first(job))), (2, before.0.first()), "{jobs:#?}");
    assert_eq!(cluster.hdfs().list(&user.path("finished")), before.1, "a finished job was run again");
    session.end();
}

#[test]
fn the_main_of_a_second_attempt_finds_the_jobs_of_the_first() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "second-main");
    let (input, gate) = (user.put_text("text", COPIES), user.gate("it"));
    let outputs = [user.uri("first"), user.uri("second")];
    let words = ["run", "-t", "yarn-application", "-ynm", &user.name("second-main"), "-p", "2", TROUBLED, "two"];
    let running = user.spawn(&[&words[..], &[&input, &outputs[0], &outputs[1], gate.path()]].concat());
    let application = Application::named(&user, &user.name("second-main"));
    application.wait_for_attempt(1);
    application.wait_until_runs("two");
    let first = cluster.hdfs().list(&user.path("first"));
    assert!(!first.is_empty());
    let (master, others) = (application.master(), user.containers(&application.id));
    let beside = others.into_iter().filter(|process| process.container == master.container);
    application.kill_master();
    // What it has started ends with it.
    beside.for_each(|process| wait_until_gone(process.pid));
    application.wait_for_attempt(2);
    application.wait_until_runs("two");
    gate.open();
    running.wait().expect(0, &["finished in"]);
    for output in ["first", "second"] {
        assert_eq!(user.lines(output), expected(COPIES as u64), "{output}");
    }
    assert_eq!(cluster.hdfs().list(&user.path("first")), first, "a finished job was run again");
    let (status, diagnostics) = user.end_of(&application.id);
    assert_eq!(status, "SUCCEEDED", "{diagnostics}");
    user.assert_tidy(&application.id);
}

#[test]
fn an_application_for_one_job_survives_its_master() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "per-job-attempt");
    let (input, gate) = (user.put_text("text", COPIES), user.gate("it"));
    let words = ["run", "-t", "yarn-per-job", "-ynm", &user.name("per-job-attempt"), "-p", "2", TROUBLED, "count"];
    let running = user.spawn(&[&words[..], &[&input, &user.uri("counts"), gate.path()]].concat());
    let application = Application::named(&user, &user.name("per-job-attempt"));
    application.wait_for_attempt(1);
    application.wait_until_runs("count");
    application.kill_master();
    application.wait_for_attempt(2);
    application.wait_until_runs("count");
    gate.open();
    running.wait().expect(0, &["finished in"]);
    assert_eq!(user.lines("counts"), expected(COPIES as u64));
    assert_eq!(user.end_of(&application.id).0, "SUCCEEDED");
    user.assert_tidy(&application.id);
}

#[test]
fn containers_that_fail_again_and_again_end_the_application() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "again");
    let (input, gate) = (user.put_text("text", COPIES), user.gate("it"));
    let words = [
        "run",
        "-t",
        "yarn-application",
        "-ynm",
        &user.name("again"),
        "-D",
        "resourcemanager.start-worker.max-failure-rate=5",
    ];
    let mut running =
        user.spawn(&[&words[..], &[TROUBLED, "count", &input, &user.uri("counts"), gate.path()]].concat());
    let application = Application::named(&user, &user.name("again"));
    // Each container is killed as it comes, until the sixth within a minute is too much.
    let (mut hosts, mut killed) = (Vec::<String>::new(), String::new());
    let until = std::time::Instant::now() + Duration::from_secs(300);
    while !running.has_ended() {
        assert!(std::time::Instant::now() < until, "it goes on after these: {hosts:?}");
        let next = application.task_managers().into_iter().find(|process| process.container > killed);
        let Some(next) = next else {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        signal("KILL", next.pid);
        wait_until_gone(next.pid);
        hosts.push(next.host);
        killed = next.container;
        assert!(hosts.len() < 20, "so many failures are borne: {hosts:?}");
    }
    let told =
        ["6 TaskManagers have failed within a minute", "resourcemanager.start-worker.max-failure-rate", "SIGKILL"];
    running.wait().expect(1, &told);
    // A node on which three have failed is left out.
    let third = |host: &String| hosts.iter().enumerate().filter(|(_, other)| *other == host).nth(2).map(|(at, _)| at);
    let at = hosts.iter().filter_map(third).min().unwrap();
    assert!(hosts[at + 1..].iter().all(|host| *host != hosts[at]), "{hosts:?}");
    assert_eq!(user.end_of(&application.id).0, "FAILED");
    user.assert_tidy(&application.id);
}

/// Whose attempts have all crashed cannot tidy up: the next client of the same user does.
#[test]
fn what_a_crashed_application_has_left_is_removed_by_the_next() {
    let cluster = Cluster::exclusive(Variant::Plain);
    let user = User::new(&cluster, "crashed");
    let folder = |id: &str| format!("{}/.flink-yarn/{id}", cluster.hdfs().home());
    let there = |id: &str| cluster.hdfs().status(&folder(id)).is_some();
    // Of another ResourceManager it is not known whether it runs.
    let foreign = "application_1000000000000_0001";
    cluster.hdfs().create_folder(&folder(foreign), "700");
    // However long the second attempt takes to start.
    let both_count = ["-D", "yarn.application-attempt-failures-validity-interval=-1"];
    let crashed = Application::session(&user, &both_count);
    for attempt in [1, 2] {
        crashed.wait_for_attempt(attempt);
        signal("KILL", crashed.master().pid);
    }
    assert_eq!(user.end_of(&crashed.id).0, "FAILED");
    assert!(there(&crashed.id), "nobody could take it away");
    let doctor = user.call(&["doctor"]).expect(0, &[]).stdout;
    let finding = |id: &str, part: &str| {
        let line = doctor.lines().find(|line| line.contains("left over") && line.contains(id));
        assert!(line.is_some_and(|line| line.contains(part)), "`{part}` of {id} in:\n{doctor}");
    };
    finding(&crashed.id, "has ended");
    finding(foreign, "does not know");
    let next = Application::session(&user, &[]);
    assert!(!there(&crashed.id), "it is left behind");
    assert!(there(foreign) && there(&next.id), "what may run was removed");
    // Nor may it be ended by a command that knows no more.
    user.call(&["kill", foreign]).expect(3, &["knows no application"]);
    assert!(there(foreign));
    cluster.hdfs().delete(&folder(foreign));
    next.end();
}

#[test]
fn who_is_killed_while_writing_leaves_no_half_written_output() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "killed-writing");
    let (input, gate) = (user.put_text("text", COPIES), user.gate("it"));
    let session = Application::session(&user, &[]);
    let copy = ["run", "-d", "-p", "2", TROUBLED, "copy", &input, &user.uri("in-session"), gate.path()];
    user.call(&copy).expect(0, &[]);
    session.wait_until_runs("copy");
    let writes = |folder: &str| user.half_written().iter().any(|path| path.contains(&format!("{folder}/.flink-yarn-")));
    eventually("it writes", || writes("in-session"));
    session.end();
    let name = user.name("killed-writing");
    let own = ["run", "-d", "-t", "yarn-application", "-ynm", &name, "-p", "2", TROUBLED, "copy"];
    user.call(&[&own[..], &[&input, &user.uri("own"), gate.path()]].concat()).expect(0, &[]);
    let own = Application::named(&user, &name);
    own.wait_until_runs("copy");
    eventually("it writes", || writes("own"));
    own.end();
}
