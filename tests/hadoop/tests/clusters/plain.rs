use std::collections::BTreeSet;
use std::time::Duration;

use flink_test_hadoop::{Cluster, Layout, Submission, Variant};

const TIMEOUT: Duration = Duration::from_secs(60);

#[test]
fn a_file_is_read_as_it_was_written() {
    let cluster = Cluster::shared(Variant::Plain);
    let (hdfs, path) = (cluster.hdfs(), "/tmp/plain/numbers");
    let content: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let layout = Layout { block_size: Some(1 << 20), replication: Some(2), ..Layout::default() };
    hdfs.put_laid_out(path, &content, layout);
    assert!(hdfs.get(path) == content, "other bytes came back");
    let status = hdfs.status(path).unwrap();
    assert_eq!((status.length, status.block_size, status.replication), (3_000_000, 1 << 20, 2));
    assert_eq!(status.owner, cluster.user());
    let blocks = hdfs.blocks(path);
    assert_eq!(blocks.iter().map(|block| block.offset).collect::<Vec<_>>(), [0, 1 << 20, 2 << 20]);
    for block in blocks {
        assert_eq!(block.hosts.into_iter().collect::<BTreeSet<_>>(), both_hosts());
    }
    hdfs.rename(path, "/tmp/plain/renamed");
    assert_eq!(hdfs.list("/tmp/plain").iter().map(|file| &*file.name).collect::<Vec<_>>(), ["renamed"]);
    assert!(hdfs.delete("/tmp/plain"));
    assert_eq!(hdfs.status(path), None);
}

#[test]
fn users_are_kept_apart() {
    let cluster = Cluster::shared(Variant::Plain);
    let path = "/user/alice/secret";
    cluster.hdfs_as("alice").put(path, b"mine");
    cluster.hdfs_as("alice").set_permission(path, "600");
    let stolen = std::panic::catch_unwind(|| cluster.hdfs_as("bob").get(path));
    let said = *stolen.expect_err("bob has read it").downcast::<String>().unwrap();
    assert!(said.contains("Permission denied"), "{said}");
    assert!(cluster.hdfs_as("alice").delete(path));
}

#[test]
fn both_nodes_and_both_queues_are_there() {
    let cluster = Cluster::shared(Variant::Plain);
    let nodes = cluster.yarn().nodes();
    assert!(nodes.iter().all(|(_, state)| state == "RUNNING"), "{nodes:?}");
    assert_eq!(nodes.into_iter().map(|(host, _)| host).collect::<BTreeSet<_>>(), both_hosts());
    assert_eq!(cluster.yarn().queues(), ["default", "other"]);
}

#[test]
fn an_application_runs_and_its_log_is_kept() {
    let cluster = Cluster::shared(Variant::Plain);
    let yarn = cluster.yarn_as("alice");
    let mut submission = Submission::of("echo in container $CONTAINER_ID");
    submission.queue = "other".to_owned();
    let id = yarn.submit(&submission);
    let ended = yarn.wait(&id, TIMEOUT);
    assert_eq!(ended["user"], "alice");
    assert_eq!(ended["queue"], "root.other");
    let log = yarn.logs(&id);
    // Between the two is the number of the ResourceManager's restarts, if there were any.
    let line = log.lines().find(|line| line.starts_with("in container container_")).unwrap_or_default();
    assert!(line.ends_with(&format!("{}_01_000001", &id[12..])), "{log}");
    assert!(cluster.container_processes().iter().all(|process| !process.container.contains(&id[12..])));
}

#[test]
fn too_much_memory_ends_a_container() {
    let cluster = Cluster::shared(Variant::Plain);
    let command = "python3 -c 'import time; data = bytes([1]) * 400000000; time.sleep(60)'";
    let id = cluster.yarn().submit(&Submission::of(command));
    let ended = cluster.yarn().wait(&id, TIMEOUT);
    let diagnostics = ended["diagnostics"].as_str().unwrap();
    assert!(diagnostics.contains("beyond the 'PHYSICAL' memory limit"), "{diagnostics}");
}

#[test]
fn processes_of_containers_are_found() {
    let cluster = Cluster::shared(Variant::Plain);
    let id = cluster.yarn().submit(&Submission::of("exec sleep 1000"));
    let mine = |process: &flink_test_hadoop::ContainerProcess| {
        process.container.contains(&id[12..]) && process.command == "sleep 1000"
    };
    eventually(|| cluster.container_processes().iter().any(mine));
    let process = cluster.container_processes().into_iter().find(mine).unwrap();
    assert!(both_hosts().contains(&process.host), "{process:?}");
    cluster.yarn().kill(&id);
    assert_eq!(cluster.yarn().wait(&id, TIMEOUT)["state"], "KILLED");
    eventually(|| !cluster.container_processes().iter().any(mine));
}

fn both_hosts() -> BTreeSet<String> {
    ["127.0.0.2", "127.0.0.3"].map(str::to_owned).into()
}

pub(crate) fn eventually(mut condition: impl FnMut() -> bool) {
    let until = std::time::Instant::now() + TIMEOUT;
    while !condition() {
        assert!(std::time::Instant::now() < until, "timed out");
        std::thread::sleep(Duration::from_millis(50));
    }
}
