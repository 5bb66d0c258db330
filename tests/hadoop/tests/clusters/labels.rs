use std::collections::BTreeMap;

use flink_test_hadoop::{Cluster, Role, Variant};

/// Labels of the nodes by host, as the ResourceManager knows them.
fn labels(cluster: &Cluster) -> BTreeMap<String, Vec<String>> {
    let told = cluster.yarn().get("nodes");
    let nodes = told["nodes"]["node"].as_array().unwrap();
    let of = |node: &serde_json::Value| {
        let labels = node["nodeLabels"].as_array().cloned().unwrap_or_default();
        let texts = labels.iter().map(|label| label.as_str().unwrap().to_owned()).filter(|label| !label.is_empty());
        (node["nodeHostName"].as_str().unwrap().to_owned(), texts.collect())
    };
    nodes.iter().map(of).collect()
}

#[test]
fn one_of_the_nodes_has_the_label_also_after_a_restart() {
    let cluster = Cluster::exclusive(Variant::Labels);
    let expected =
        BTreeMap::from([("127.0.0.2".to_owned(), vec!["fast".to_owned()]), ("127.0.0.3".to_owned(), vec![])]);
    assert_eq!(labels(&cluster), expected);
    cluster.restart(Role::ResourceManager);
    assert_eq!(labels(&cluster), expected);
}
