use std::collections::BTreeSet;

use flink_test_hadoop::{Cluster, Layout, Role, Variant};

use crate::programs::program;
use crate::rest::Rest;
use crate::user::{User, expected};

/// Copies of the text in each of four pieces of a file, which alternate between the nodes.
const COPIES: usize = 1500;

const BLOCK: u64 = 256 << 10;

/// A file whose blocks are on one node or the other, half of them on each.
fn put_spread(user: &User<'_>, name: &str) -> String {
    let text = std::fs::read(crate::user::text()).unwrap().repeat(4 * COPIES);
    let hdfs = user.cluster.hdfs();
    let piece = text.len().div_ceil(4).next_multiple_of(BLOCK as usize);
    let paths: Vec<String> = (0..4).map(|number| user.path(&format!("{name}.{number}"))).collect();
    for ((path, bytes), node) in
        paths.iter().zip(text.chunks(piece)).zip([Role::DataNode1, Role::DataNode2].iter().cycle())
    {
        let layout = Layout { block_size: Some(BLOCK), replication: Some(1), node: Some(*node) };
        hdfs.put_laid_out(path, bytes, layout);
    }
    hdfs.concat(&paths[0], &paths[1..]);
    hdfs.rename(&paths[0], &user.path(name));
    let blocks = hdfs.blocks(&user.path(name));
    let on = |host: &str| blocks.iter().filter(|block| block.hosts == [host]).count();
    let (one, other) = (on("127.0.0.2"), on("127.0.0.3"));
    assert!(one + other == blocks.len() && one.abs_diff(other) <= blocks.len() / 4, "{one} and {other} blocks");
    user.uri(name)
}

#[test]
fn splits_are_read_where_their_blocks_are() {
    // With others there need not be room where the data is.
    let cluster = Cluster::exclusive(Variant::Plain);
    let user = User::new(&cluster, "local-reads");
    let input = put_spread(&user, "text");
    let session = user.json(&["session", "-d", "-s", "1", "--output", "json"]);
    let id = session["application-id"].as_str().unwrap();
    // On a busy machine one task may be much faster than the other: the one waits for the other's splits to be read.
    let settings = ["-D", "source.file.split-size=256 kb", "-D", "source.split.locality-wait=20 s"];
    let (program, output) = (program("wordcount"), user.uri("counts"));
    let words = ["-p", "2", "--output", "json", &program, "--input", &input, "--output", &output];
    let job = user.json(&[&["run"], &settings[..], &words[..]].concat());
    assert_eq!(user.lines("counts"), expected(4 * COPIES as u64));
    let containers = user.containers(id);
    let hosts: BTreeSet<&str> = containers
        .iter()
        .filter(|process| process.command.contains("taskmanager"))
        .map(|process| process.host.as_str())
        .collect();
    assert_eq!(hosts.len(), 2, "TaskManagers are where the data is: {containers:?}");
    let (rest, job) = (Rest::of(&user, id), job["job-id"].as_str().unwrap());
    let (local, remote) = (rest.job_metric(job, "numSplitsLocal"), rest.job_metric(job, "numSplitsRemote"));
    let all = rest.job_metric(job, "numSplits");
    println!("{local} of {all} splits were read from the own host, {remote} from the other one");
    assert!(local + remote == all && all > 20 && local * 10 >= all * 9, "{local} + {remote} of {all}");
    let bytes = rest.job_metric(job, "splitBytesLocal");
    assert!(bytes * 10 >= cluster.hdfs().status(&user.path("text")).unwrap().length * 9, "{bytes}");
    user.call(&["kill", id]).expect(0, &[]);
    user.assert_tidy(id);
}
