use std::time::Instant;

use flink_graph::JobStatus;

use crate::client::{self, Client};
use crate::cluster::Cluster;
use crate::process::{Holdings, children, eventually};

const JOBS: u32 = 1000;

#[test]
fn a_thousand_jobs_one_after_another_leave_nothing_behind() {
    // Few enough ended jobs are remembered that their number is constant at the first look.
    let cluster = Cluster::start(1, 1, &["jobstore.max-capacity=20"]);
    let graph = client::graph(&cluster, &["trivial"]);
    let mut client = Client::connect(&cluster);
    let begin = Instant::now();
    let mut run = |jobs: u32| {
        for _ in 0..jobs {
            let job = client.submit(&graph);
            assert_eq!(client.wait(job), JobStatus::Finished);
        }
    };
    let pids = cluster.pids();
    run(JOBS / 3);
    let before = holdings(&pids);
    run(JOBS - JOBS / 3);
    eprintln!("{JOBS} jobs, {:.1} ms each", begin.elapsed().as_secs_f64() * 1000.0 / f64::from(JOBS));
    for (before, after) in before.into_iter().zip(holdings(&pids)) {
        eprintln!("{before:?}, then {after:?}");
        assert!(after.resident_kb < before.resident_kb + 2048, "memory grows: {before:?}, then {after:?}");
        assert!(after.threads <= before.threads + 1, "threads grow: {before:?}, then {after:?}");
        assert!(after.descriptors <= before.descriptors + 1, "descriptors grow: {before:?}, then {after:?}");
    }
}

/// What JobManager and TaskManager hold once the last worker has gone.
fn holdings(pids: &[u32]) -> Vec<Holdings> {
    eventually("the last worker is gone", || children(pids[1]).is_empty());
    std::thread::sleep(std::time::Duration::from_millis(500));
    pids.iter().map(|pid| Holdings::of(*pid)).collect()
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
    eventually("all slots are free again", || cluster.status()["overview"]["slots_available"] == 4);
}
