use flink_test_hadoop::{Cluster, Variant};

use crate::application::Application;
use crate::daemons::{Copying, put_lines};
use crate::process::{eventually, signal};
use crate::user::User;

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
