use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::process::{Holdings, children, eventually};

/// 400 MB in all, which are taken within some twenty seconds.
const LINES: &str = "40000";

/// How long workers are looked at.
const WATCHED: Duration = Duration::from_secs(15);

#[test]
fn workers_hold_no_more_than_their_buffers_when_the_sink_is_slow() {
    let cluster = Cluster::start(2, 1, &[]);
    let running = cluster.start_misbehaving(&["-p", "2"], &["swamp", LINES]);
    let job = cluster.wait_until_running();
    let source = || cluster.rest(&format!("/v1/jobs/{job}"))["vertices"][0]["metrics"].clone();
    eventually("the source waits", || source()["accumulated-backpressured-time"].as_u64().is_some_and(|ms| ms > 1000));
    let workers: Vec<u32> = cluster.pids()[1..].iter().flat_map(|pid| children(*pid)).collect();
    assert_eq!(workers.len(), 2);
    let held = || workers.iter().map(|pid| Holdings::of(*pid).resident_kb).collect::<Vec<_>>();
    let (first, begin) = (held(), Instant::now());
    eprintln!("{first:?} kB");
    assert!(first.iter().all(|kilobytes| *kilobytes < 100 << 10), "{first:?} kB");
    while begin.elapsed() < WATCHED {
        let now = held();
        let grown = now.iter().zip(&first).any(|(now, first)| *now > first + (8 << 10));
        assert!(!grown, "memory grows: {first:?} kB, then {now:?} kB");
        std::thread::sleep(Duration::from_millis(500));
    }
    running.wait().expect(0, &["seen: 40000"]);
}
