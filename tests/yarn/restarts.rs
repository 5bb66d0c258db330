use flink_test_hadoop::{Cluster, Role, Variant};

use crate::application::Application;
use crate::daemons::{Copying, put_lines};
use crate::process::{eventually, signal};
use crate::user::{TROUBLED, User};

/// Lines enough for a minute with a closed gate.
const COPIES: usize = 200;

const NONE: [&str; 2] = ["-D", "restart-strategy.type=none"];

/// A machine is lost with all that runs on it: nothing that the job did.
#[test]
fn a_lost_node_is_borne_without_a_restart_strategy() {
    let cluster = Cluster::exclusive(Variant::Plain);
    let user = User::new(&cluster, "lost-node").without_strategy();
    put_lines(&user);
    let session = Application::session(&user, &[]);
    let copying = Copying::start(&user, &session, "copied");
    let master = session.master();
    let lost = session.task_managers().into_iter().find(|process| process.host != master.host);
    let lost = lost.expect("a TaskManager on either node");
    let node = if lost.host == "127.0.0.2" { Role::NodeManager1 } else { Role::NodeManager2 };
    cluster.kill_with_containers(node);
    eventually("it runs again", || {
        let places = session.task_managers();
        places.len() == 2 && places.iter().all(|place| place.host == master.host) && session.runs(&copying.job)
    });
    assert!(!copying.end().is_empty(), "it has felt nothing");
    cluster.restart(node);
    session.end();
}

/// What the program may be to blame for ends the job, and it is said what to do.
#[test]
fn a_killed_container_is_not_borne_without_a_restart_strategy() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "killed-once").without_strategy();
    let (input, gate) = (user.put_text("text", COPIES), user.gate("it"));
    let session = Application::session(&user, &[]);
    let running = user.spawn(&["run", "-p", "2", TROUBLED, "copy", &input, &user.uri("copied"), gate.path()]);
    session.wait_until_runs("copy");
    signal("KILL", session.task_managers()[0].pid);
    running.wait().expect(1, &["SIGKILL, exit status 137", "-D restart-strategy.type=fixed-delay"]);
    session.end();
}

/// A job that is taken over is not one that has failed.
#[test]
fn a_second_attempt_takes_over_a_job_that_is_never_restarted() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "never-restarted");
    let (input, gate) = (user.put_text("text", COPIES), user.gate("it"));
    let session = Application::session(&user, &[]);
    let program = ["-p", "2", TROUBLED, "copy", &input, &user.uri("copied"), gate.path()];
    let running = user.spawn(&[&["run"], &NONE[..], &program].concat());
    let job = session.wait_until_runs("copy");
    let containers = session.kill_master();
    session.wait_for_attempt(2);
    assert_eq!(session.wait_until_runs("copy"), job);
    assert_eq!(session.task_managers(), containers, "the containers were not taken over");
    gate.open();
    running.wait().expect(0, &["finished in"]);
    assert_eq!(user.lines("copied"), user.lines_of("text"));
    session.end();
}
