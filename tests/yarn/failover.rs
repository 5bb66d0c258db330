use std::process::Command;

use flink_test_hadoop::{Cluster, Role, Variant};

use crate::application::Application;
use crate::daemons::{Copying, put_lines};
use crate::mistakes::all_refused;
use crate::process::{eventually, signal};
use crate::programs::program;
use crate::user::{TROUBLED, User, expected};

/// The other one takes over, first from one that gives way, then from one that has died.
#[test]
fn name_nodes_and_resource_managers_take_over() {
    let cluster = Cluster::exclusive(Variant::HighAvailability);
    let user = User::new(&cluster, "failover");
    put_lines(&user);
    let session = Application::session(&user, &[]);

    let copying = Copying::start(&user, &session, "name-nodes");
    let active = cluster.fail_over_name_node();
    copying.gate.wait_for_lines(300);
    cluster.kill(active);
    copying.gate.wait_for_silence();
    cluster.fail_over_name_node();
    copying.gate.wait_for_lines(300);
    cluster.heal();
    copying.end_unharmed();

    let copying = Copying::start(&user, &session, "resource-managers");
    let active = cluster.fail_over_resource_manager();
    let lost = &session.task_managers()[0];
    signal("KILL", lost.pid);
    session.wait_for_failure(&copying.job, &[&lost.container]);
    eventually("it runs again", || session.runs(&copying.job) && session.task_managers().len() == 2);
    cluster.kill(active);
    cluster.fail_over_resource_manager();
    let lost = &session.task_managers()[0];
    signal("KILL", lost.pid);
    session.wait_for_failure(&copying.job, &[&lost.container]);
    eventually("it runs again", || session.runs(&copying.job) && session.task_managers().len() == 2);
    copying.gate.wait_for_lines(50);
    cluster.heal();
    copying.end();
    session.end();
}

/// All that there are of them are dead, or wait.
#[test]
fn that_nobody_leads_is_told_soon() {
    let cluster = Cluster::exclusive(Variant::HighAvailability);
    let user = User::new(&cluster, "nobody-leads");
    let program = program("wordcount");
    let commands = || -> Vec<Command> {
        let run = ["run", "-t", "yarn-application", &program, "--input", "/in", "--output", "/out"];
        let list = ["list", "--application-id", "application_1000000000000_0007"];
        [&run[..], &list, &["doctor"]].into_iter().map(|words| user.prepared(words)).collect()
    };
    for role in [Role::NameNode, Role::NameNode2] {
        cluster.kill(role);
    }
    let mut needing = commands();
    needing.remove(1); // of an application that there is not, nothing is looked for in HDFS
    all_refused(&mut needing, &["dfs.namenode.rpc-address", "Connection refused"]);
    for role in [Role::ResourceManager, Role::ResourceManager2] {
        cluster.kill(role);
    }
    all_refused(&mut commands(), &["yarn.resourcemanager", "Connection refused"]);
}

/// Where everybody has to show who they are, tokens are good for those that take over, too.
#[test]
fn masters_take_over_on_a_secure_cluster() {
    const COPIES: usize = 200;
    let cluster = Cluster::exclusive(Variant::KerberosHighAvailability);
    let user = User::new(&cluster, "secure-failover");
    let (input, gate, name) = (user.put_text("text", COPIES), user.gate("it"), user.name("secure-failover"));
    let words = ["run", "-t", "yarn-application", "-ynm", &name, "-p", "2", TROUBLED, "count"];
    let running = user.spawn(&[&words[..], &[&input, &user.uri("counts"), gate.path()]].concat());
    let application = Application::named(&user, &name);
    let job = application.wait_until_runs("count");
    cluster.fail_over_name_node();
    gate.wait_for_lines(100);
    cluster.fail_over_resource_manager();
    // Both are needed: a container, and the files that are put into it.
    let lost = &application.task_managers()[0];
    signal("KILL", lost.pid);
    application.wait_for_failure(&job, &[&lost.container]);
    eventually("it runs again", || application.runs(&job) && application.task_managers().len() == 2);
    gate.wait_for_lines(100);
    gate.open();
    running.wait().expect(0, &["finished in"]);
    assert_eq!(user.lines("counts"), expected(COPIES as u64));
    assert_eq!(user.end_of(&application.id).0, "SUCCEEDED");
    user.assert_tidy(&application.id);
}
