use std::time::Duration;

use flink_test_hadoop::{Cluster, Role, Submission, Variant};

use crate::plain::eventually;

#[test]
fn each_daemon_is_killed_and_comes_back() {
    let cluster = Cluster::exclusive(Variant::Plain);
    let hdfs = cluster.hdfs();
    hdfs.put("/tmp/faults/kept", b"still there");
    for role in Role::all(Variant::Plain) {
        cluster.kill(role);
        let status = cluster.command(&["status"]);
        assert!(line_of(&status, role).contains("down"), "{status}");
        cluster.restart(role);
        let status = cluster.command(&["status"]);
        assert!(line_of(&status, role).contains("process"), "{status}");
    }
    assert_eq!(hdfs.get("/tmp/faults/kept"), b"still there");
    assert!(hdfs.delete("/tmp/faults"));
}

#[test]
fn a_container_outlives_its_node_manager_and_the_resource_manager() {
    let cluster = Cluster::exclusive(Variant::Plain);
    let id = cluster.yarn().submit(&Submission::of("exec sleep 1001"));
    let find = || cluster.container_processes().into_iter().find(|process| process.command == "sleep 1001");
    eventually(|| find().is_some());
    let before = find().unwrap();
    for role in [role_of(&before.host), Role::ResourceManager] {
        cluster.kill(role);
        cluster.restart(role);
        assert_eq!(find().as_ref(), Some(&before), "after {role}");
    }
    assert_eq!(cluster.yarn().application(&id)["state"], "ACCEPTED", "its ApplicationMaster never registers");
    // A lost machine takes its containers with it.
    cluster.kill_with_containers(role_of(&before.host));
    assert_eq!(find(), None);
    eventually(|| cluster.yarn().nodes().contains(&(before.host.clone(), "LOST".to_owned())));
    cluster.yarn().wait(&id, Duration::from_secs(60));
}

#[test]
fn an_exclusive_use_ends_with_a_whole_cluster() {
    let cluster = Cluster::exclusive(Variant::Plain);
    cluster.pause(Role::DataNode2);
    assert!(line_of(&cluster.command(&["status"]), Role::DataNode2).contains("paused"));
    cluster.kill(Role::NodeManager2);
    drop(cluster);
    let status = Cluster::shared(Variant::Plain).command(&["status"]);
    assert!(!status.contains("paused") && !status.contains("down"), "{status}");
}

#[test]
#[should_panic(expected = "disturbs others")]
fn who_shares_a_cluster_may_not_disturb_it() {
    Cluster::shared(Variant::Plain).kill(Role::DataNode1);
}

fn role_of(host: &str) -> Role {
    if host == "127.0.0.2" { Role::NodeManager1 } else { Role::NodeManager2 }
}

fn line_of(status: &str, role: Role) -> &str {
    status.lines().find(|line| line.trim_start().starts_with(&format!("{role} "))).unwrap()
}
