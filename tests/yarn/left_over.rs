use std::path::Path;

use flink_test_hadoop::{Cluster, ContainerProcess, Role, Variant};

use crate::application::Application;
use crate::daemons::{Copying, put_lines};
use crate::process::{eventually, signal};
use crate::user::{TROUBLED, User, expected};

/// Lines enough for a minute with a closed gate.
const COPIES: usize = 200;

/// The NodeManager of a container.
fn node_of(process: &ContainerProcess) -> Role {
    if process.host == "127.0.0.2" { Role::NodeManager1 } else { Role::NodeManager2 }
}

fn is_gone(process: &ContainerProcess) -> bool {
    !Path::new(&format!("/proc/{}", process.pid)).exists()
}

/// A TaskManager on another node than the ApplicationMaster's: the input is on both.
#[track_caller]
fn elsewhere(session: &Application<'_>) -> ContainerProcess {
    let master = session.master();
    let mut all = session.task_managers().into_iter();
    all.find(|process| process.host != master.host).expect("a TaskManager on either node")
}

/// Waits until a job has what it wants, in YARN's books as well: two TaskManagers and the ApplicationMaster.
#[track_caller]
fn wait_for_two(session: &Application<'_>, job: &str) {
    eventually("it runs on two TaskManagers", || session.runs(job) && session.task_managers().len() == 2);
    eventually("YARN counts no others", || session.containers_held() == 3);
}

/// What is nobody's failure: one would be too many.
const NO_FAILURE: [&str; 2] = ["-D", "resourcemanager.start-worker.max-failure-rate=0"];

/// YARN gives containers up that live on, with nobody who could end them: their NodeManager is dead.
#[test]
fn containers_that_were_given_up_do_not_come_back() {
    let cluster = Cluster::exclusive(Variant::Plain);
    let user = User::new(&cluster, "given-up");
    put_lines(&user);
    let session = Application::session(&user, &NO_FAILURE);
    let copying = Copying::start(&user, &session, "lost");
    let lost = elsewhere(&session);
    cluster.kill(node_of(&lost));
    session.wait_for_failure(&copying.job, &[&lost.container, "its node was lost"]);
    eventually("its TaskManager is sent away", || is_gone(&lost));
    wait_for_two(&session, &copying.job);
    copying.gate.wait_for_lines(50);
    cluster.restart(node_of(&lost));
    copying.end();
    session.end();
}

/// Hadoop's default. After a crash of the NodeManager the containers live on, and nobody could end them; one that is stopped
/// in an orderly way ends them first.
#[test]
fn a_node_manager_without_recovery_is_started_again() {
    let cluster = Cluster::exclusive(Variant::Strict);
    let user = User::new(&cluster, "no-recovery");
    put_lines(&user);
    for name in ["crashed", "stopped"] {
        let session = Application::session(&user, &NO_FAILURE);
        let copying = Copying::start(&user, &session, name);
        let lost = elsewhere(&session);
        if name == "crashed" {
            cluster.kill(node_of(&lost));
        }
        // One that runs is stopped first.
        cluster.restart(node_of(&lost));
        session.wait_for_failure(&copying.job, &[&lost.container, "its node was lost"]);
        eventually("its TaskManager is sent away", || is_gone(&lost));
        wait_for_two(&session, &copying.job);
        copying.gate.wait_for_lines(50);
        copying.end();
        session.end();
    }
}

/// The node of the ApplicationMaster is cut off, and the ApplicationMaster stands still: it goes on when the next attempt
/// leads, and finds TaskManagers that YARN has given up.
#[test]
fn an_attempt_that_goes_on_too_late_changes_nothing() {
    let cluster = Cluster::exclusive(Variant::Plain);
    let user = User::new(&cluster, "too-late");
    let (input, gate) = (user.put_text("text", COPIES), user.gate("it"));
    let soon = ["-D", "resourcemanager.taskmanager-registration.timeout=20 s"];
    let session = Application::session(&user, &soon);
    let running = user.spawn(&["run", "-p", "2", TROUBLED, "copy", &input, &user.uri("copied"), gate.path()]);
    let job = session.wait_until_runs("copy");
    session.task_managers().iter().for_each(|process| cluster.yarn().wait_until_runs(&process.container));

    let first = session.master();
    signal("STOP", first.pid);
    cluster.kill(node_of(&first));
    session.wait_for_attempt(2);
    // Nobody but the ApplicationMaster can end the TaskManagers on that node.
    let is_left = || session.task_managers().iter().any(|process| process.host == first.host);
    eventually("the TaskManagers of the lost node are sent away", || !is_left());
    wait_for_two(&session, &job);
    assert!(!is_gone(&first), "it is to go on");
    signal("CONT", first.pid);
    eventually("it sees that another one leads", || is_gone(&first));

    assert_eq!(session.look(), Some(2));
    let staging = format!("{}/.flink-yarn/{}", cluster.hdfs().home(), session.id);
    let names: Vec<String> = cluster.hdfs().list(&staging).into_iter().map(|file| file.name).collect();
    assert!(names.iter().any(|name| name == "jobs.2") && !names.iter().any(|name| name == "jobs.1"), "{names:?}");
    wait_for_two(&session, &job);
    gate.open();
    running.wait().expect(0, &["finished in"]);
    assert_eq!(user.lines("copied"), user.lines_of("text"));
    cluster.restart(node_of(&first));
    session.end();
}

/// It knows nothing of the ApplicationMaster when it is back, and there is no other attempt.
#[test]
fn an_application_ends_while_the_resource_manager_is_away() {
    let cluster = Cluster::exclusive(Variant::Plain);
    let user = User::new(&cluster, "away");
    let (input, gate, output) = (user.put_text("text", COPIES), user.gate("it"), user.uri("counts"));
    let name = user.name("away");
    let words = ["run", "-d", "-t", "yarn-application", "-ynm", &name, "-D", "yarn.application-attempts=1", "-p", "2"];
    user.call(&[&words[..], &[TROUBLED, "count", &input, &output, gate.path()]].concat()).expect(0, &[]);
    let application = Application::named(&user, &name);
    application.wait_until_runs("count");
    cluster.kill(Role::ResourceManager);
    gate.open();
    eventually("the job is over", || application.task_managers().is_empty());
    cluster.restart(Role::ResourceManager);
    let (status, diagnostics) = user.end_of(&application.id);
    assert_eq!(status, "SUCCEEDED", "{diagnostics}");
    assert_eq!(user.lines("counts"), expected(COPIES as u64));
    user.assert_tidy(&application.id);
}

/// Containers come in several rounds, while heartbeats ask for the rest.
#[test]
fn no_more_containers_are_held_than_wanted_and_one_round() {
    const WANTED: i64 = 12;
    let cluster = Cluster::exclusive(Variant::Plain);
    let user = User::new(&cluster, "many");
    let (input, gate) = (user.put_text("text", COPIES), user.gate("it"));
    let session = Application::session(&user, &[]);
    let running = user.spawn(&["run", "-p", "12", TROUBLED, "count", &input, &user.uri("counts"), gate.path()]);
    let mut most = 0;
    eventually("they have come", || {
        most = most.max(session.containers_held());
        session.jobs().iter().any(|job| session.runs(job["jid"].as_str().unwrap_or_default()))
    });
    // A round may bring all that was asked for; what is too much is given back with the next heartbeat.
    assert!(most <= 1 + 2 * WANTED, "{most} containers were held");
    eventually("as many as wanted stay, and the ApplicationMaster's", || session.containers_held() == 1 + WANTED);
    assert_eq!(session.task_managers().len(), 12);
    gate.open();
    running.wait().expect(0, &["finished in"]);
    session.end();
}
