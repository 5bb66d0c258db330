use flink_test_hadoop::{Cluster, Role, Variant};

#[test]
fn the_other_name_node_has_the_same_files() {
    let cluster = Cluster::exclusive(Variant::HighAvailability);
    let hdfs = cluster.hdfs();
    hdfs.put("/tmp/ha/before", b"1");
    let active = cluster.fail_over_name_node();
    assert_eq!(hdfs.get("/tmp/ha/before"), b"1");
    hdfs.put("/tmp/ha/between", b"2");
    cluster.kill(active);
    assert_ne!(cluster.fail_over_name_node(), active);
    assert_eq!(hdfs.get("/tmp/ha/between"), b"2");
    cluster.restart(active);
    assert!(hdfs.delete("/tmp/ha"));
}

#[test]
fn the_other_resource_manager_has_the_same_nodes() {
    let cluster = Cluster::exclusive(Variant::HighAvailability);
    let yarn = cluster.yarn();
    let active = cluster.fail_over_resource_manager();
    assert_eq!(yarn.nodes().len(), 2);
    cluster.pause(active);
    let other = cluster.fail_over_resource_manager();
    assert!(other != active && [Role::ResourceManager, Role::ResourceManager2].contains(&other));
    assert_eq!(yarn.nodes().len(), 2);
}
