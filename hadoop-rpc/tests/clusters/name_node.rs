use flink_test_hadoop::{Cluster, Layout, Variant};
use hadoop_rpc::hdfs::NameNode;
use hadoop_rpc::{Credentials, User};

use crate::master::configuration;

#[tokio::test]
async fn blocks_are_found_by_range() {
    const BLOCK: u64 = 1 << 20;
    let cluster = Cluster::shared(Variant::Plain);
    let (hdfs, path) = (cluster.hdfs_as("alice"), "/user/alice/rpc-blocks/a-file");
    hdfs.put_laid_out(
        path,
        &vec![7; 3_500_000],
        Layout { block_size: Some(BLOCK), replication: Some(2), ..Layout::default() },
    );
    let name_node = NameNode::new(&configuration(&cluster), &User::simple("alice"), &Credentials::new(), "").unwrap();
    let all = name_node.block_locations(path, 0, u64::MAX).await.unwrap();
    assert_eq!((all.file_length, all.under_construction, all.blocks.len()), (3_500_000, false, 4));
    assert_eq!(all.blocks.iter().map(|block| block.offset).collect::<Vec<_>>(), [0, BLOCK, 2 * BLOCK, 3 * BLOCK]);
    assert_eq!(all.blocks[3].length, 3_500_000 - 3 * BLOCK);
    let expect: Vec<Vec<String>> = hdfs.blocks(path).into_iter().map(|block| sorted(block.hosts)).collect();
    let hosts = all.blocks.iter().map(|block| sorted(block.replicas.iter().map(|r| r.host.clone()).collect()));
    assert_eq!(hosts.collect::<Vec<_>>(), expect);
    let replica = &all.blocks[0].replicas[0];
    assert!(replica.port > 0 && replica.rack == "/default-rack" && !all.blocks[0].corrupt, "{replica:?}");

    let some = name_node.block_locations(path, BLOCK + 5, BLOCK).await.unwrap();
    assert_eq!(some.blocks.iter().map(|block| block.offset).collect::<Vec<_>>(), [BLOCK, 2 * BLOCK]);
    assert!(hdfs.delete("/user/alice/rpc-blocks"));
    let error = name_node.block_locations(path, 0, 1).await.unwrap_err();
    assert!(error.is_remote("FileNotFoundException"), "{error}");

    let defaults = name_node.server_defaults().await.unwrap();
    assert_eq!((defaults.block_size, defaults.replication, defaults.encrypt_data_transfer), (128 << 20, 2, false));
    assert_eq!(name_node.delegation_token("yarn").await.unwrap(), None, "there is no security, and so no token");
}

fn sorted(mut hosts: Vec<String>) -> Vec<String> {
    hosts.sort();
    hosts
}
