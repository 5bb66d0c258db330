use std::process::Command;
use std::time::Duration;

use flink_test_hadoop::{Cluster, Role, RpcProtection, Submission, Variant};

const SECURE: Variant = Variant::Kerberos(RpcProtection::Any);

#[test]
fn tickets_open_hdfs_for_their_owner_only() {
    let cluster = Cluster::shared(SECURE);
    let path = "/user/alice/secret";
    cluster.hdfs_as("alice").put(path, b"mine");
    cluster.hdfs_as("alice").set_permission(path, "600");
    assert_eq!(cluster.hdfs_as("alice").get(path), b"mine");
    assert_eq!(cluster.hdfs_as("alice").status(path).unwrap().owner, "alice");
    let stolen = std::panic::catch_unwind(|| cluster.hdfs_as("bob").get(path));
    let said = *stolen.expect_err("bob has read it").downcast::<String>().unwrap();
    assert!(said.contains("Permission denied"), "{said}");
    assert!(cluster.hdfs_as("alice").delete(path));
}

#[test]
fn without_a_ticket_nothing_answers() {
    let cluster = Cluster::shared(SECURE);
    for (role, port, path) in [
        (Role::NameNode, "http", "/webhdfs/v1/?op=LISTSTATUS&user.name=hdfs"),
        (Role::ResourceManager, "web", "/ws/v1/cluster/metrics?user.name=yarn"),
        (Role::NodeManager1, "web", "/ws/v1/node/info"),
    ] {
        let url = format!("http://{}{path}", cluster.address(role, port));
        let words = ["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", &url];
        let status = Command::new("curl").args(words).output().unwrap().stdout;
        assert_eq!(String::from_utf8_lossy(&status), "401", "{url}");
    }
}

#[test]
fn rpc_and_block_transfer_work_with_each_protection() {
    let cluster = Cluster::shared(SECURE);
    let local = cluster.folder().join("protected");
    std::fs::write(&local, "guarded").unwrap();
    for protection in ["authentication", "integrity", "privacy"] {
        let (option, path) = (format!("-Dhadoop.rpc.protection={protection}"), format!("/tmp/kerberos/{protection}"));
        let source = local.display().to_string();
        cluster.command(&["hdfs", "dfs", &option, "-mkdir", "-p", "/tmp/kerberos"]);
        cluster.command(&["hdfs", "dfs", &option, "-put", "-f", &source, &path]);
        assert_eq!(cluster.command(&["hdfs", "dfs", &option, "-cat", &path]), "guarded");
    }
    assert!(cluster.hdfs().delete("/tmp/kerberos"));
}

#[test]
fn an_application_runs_and_its_log_is_kept() {
    let cluster = Cluster::shared(SECURE);
    let id = cluster.yarn().submit(&Submission::of("echo in container $CONTAINER_ID"));
    let ended = cluster.yarn().wait(&id, Duration::from_secs(60));
    assert_eq!(ended["user"], cluster.user());
    let log = cluster.yarn().logs(&id);
    assert!(log.contains("in container container_"), "{log}");
}
