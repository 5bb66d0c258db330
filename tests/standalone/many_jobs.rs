use std::time::Instant;

use flink_graph::JobStatus;

use crate::client::{self, Client};
use crate::cluster::Cluster;
use crate::process::Holdings;

/// Jobs one after another: as many as this variable says, or 300.
const NUMBER_VARIABLE: &str = "FLINK_YARN_TEST_JOBS";

#[test]
fn jobs_one_after_another_leave_nothing_behind() {
    let number: u32 = std::env::var(NUMBER_VARIABLE).map_or(300, |number| number.parse().unwrap());
    // Few enough ended jobs and logs are remembered that their number is constant at the first look.
    let cluster = Cluster::start(1, 1, &["jobstore.max-capacity=20"]);
    let graph = client::graph(&cluster, &["trivial"]);
    let mut client = Client::connect(&cluster);
    let begin = Instant::now();
    let mut run = |jobs: u32| {
        (0..jobs).for_each(|_| {
            let job = client.submit(&graph);
            assert_eq!(client.wait(job), JobStatus::Finished);
        })
    };
    run(number / 3);
    let pids = cluster.pids();
    let before: Vec<Holdings> = pids.iter().map(|pid| Holdings::of(*pid)).collect();
    run(number - number / 3);
    eprintln!("{number} jobs, {:.1} ms each", begin.elapsed().as_secs_f64() * 1000.0 / f64::from(number));
    for (pid, before) in pids.iter().zip(before) {
        let after = Holdings::of(*pid);
        eprintln!("process {pid}: {before:?}, then {after:?}");
        assert!(after.resident_kb < before.resident_kb + 4096, "memory grows: {before:?}, then {after:?}");
        assert!(after.threads <= before.threads + 2, "threads grow: {before:?}, then {after:?}");
        assert!(after.descriptors <= before.descriptors + 4, "descriptors grow: {before:?}, then {after:?}");
    }
}

#[test]
fn fifty_jobs_at_once_queue_for_four_slots() {
    let cluster = Cluster::start(2, 2, &[]);
    let graph = client::graph(&cluster, &["nap", "50"]);
    let mut client = Client::connect(&cluster);
    let jobs: Vec<_> = (0..50).map(|_| client.submit(&graph)).collect();
    for job in jobs {
        assert_eq!(client.wait(job), JobStatus::Finished);
    }
    assert_eq!(cluster.status()["overview"]["slots_available"], 4);
}
