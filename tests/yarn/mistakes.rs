use std::time::{Duration, Instant};

use flink_test_hadoop::{Cluster, Variant};

use crate::programs::program;
use crate::user::User;

/// Longest time until a mistake is told.
const SOON: Duration = Duration::from_secs(10);

#[track_caller]
fn refused(user: &User<'_>, words: &[&str], told: &[&str]) {
    let begun = Instant::now();
    let program = program("wordcount");
    let all = [&["run", "-t", "yarn-application"], words, &[&program, "--input", "/in", "--output", "/out"]].concat();
    let ended = user.call(&all);
    assert_ne!(ended.code, Some(0), "{}", ended.stderr);
    for part in told {
        assert!(ended.stderr.contains(part), "`{part}` is missing in:\n{}", ended.stderr);
    }
    assert!(begun.elapsed() < SOON, "told after {:?} only", begun.elapsed());
}

#[test]
fn mistakes_are_told_soon() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "mistakes");
    refused(&user, &["-D", "yarn.application.queue=nowhere"], &["nowhere", "default"]);
    refused(&user, &["-D", "taskmanager.memory.process.size=100 gb"], &["100"]);
    refused(&user, &["-D", "yarn.ship-files=/no/such/file"], &["/no/such/file"]);
    refused(&user, &["-D", "flink.hadoop.yarn.resourcemanager.address=127.0.0.1:1"], &["127.0.0.1:1"]);
    refused(&user, &["-D", "flink.hadoop.fs.defaultFS=hdfs://127.0.0.1:1"], &["127.0.0.1:1"]);
}

#[test]
fn free_resources_are_shown() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "query");
    let shown = user.call(&["session", "-q"]).expect(0, &[]).stdout;
    for part in ["127.0.0.2", "127.0.0.3", "default", "other"] {
        assert!(shown.contains(part), "`{part}` is missing in:\n{shown}");
    }
}
