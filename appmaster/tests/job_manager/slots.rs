use std::collections::BTreeMap;

use flink_graph::{ExecutionState, JobStatus, RuntimeMode};

use crate::bench::Bench;
use crate::graphs::chain;

#[test]
fn the_worked_example() {
    let mut bench = Bench::new(&[3, 3]);
    let job = bench.submit(chain(1, RuntimeMode::Streaming, "source 4 > map 4 => reduce 3"));
    // Slot → the vertices that have a subtask in it.
    let mut slots: BTreeMap<(usize, u32), Vec<(u128, u32)>> = BTreeMap::new();
    for (index, tm) in bench.tms.iter().enumerate() {
        for task in tm.tasks.values() {
            let subtask = (task.attempt.vertex.as_u128(), task.attempt.subtask);
            slots.entry((index, task.slot)).or_default().push(subtask);
        }
    }
    let expected = [
        ((0, 0), vec![(1, 0), (2, 0), (3, 0)]),
        ((0, 1), vec![(1, 2), (2, 2), (3, 2)]),
        ((1, 0), vec![(1, 1), (2, 1), (3, 1)]),
        ((1, 1), vec![(1, 3), (2, 3)]),
    ];
    assert_eq!(slots, expected.into());
    assert_eq!(bench.status(job), JobStatus::Running);
    let overview = bench.core.overview();
    assert_eq!((overview.slots_total, overview.slots_available), (6, 2));
    let allocated: Vec<Vec<u32>> =
        bench.core.task_managers().iter().map(|tm| tm.allocated.iter().map(|(_, tasks)| *tasks).collect()).collect();
    assert_eq!(allocated, [[3, 3], [3, 2]]);
}

#[test]
fn channels_carry_addresses_and_subpartitions() {
    let mut bench = Bench::new(&[3, 3]);
    let job = bench.submit(chain(1, RuntimeMode::Streaming, "source 4 > map 4 => reduce 3"));
    let reduce = bench.attempt(job, 3, 1);
    let descriptor = &bench.tms[1].tasks[&reduce];
    let channels: Vec<String> = descriptor.inputs[0]
        .channels
        .iter()
        .map(|c| format!("{}/{} {}", c.partition.producer.subtask, c.subpartition, c.data_address))
        .collect();
    assert_eq!(channels, ["0/1 host-0:1", "1/1 host-1:1", "2/1 host-0:1", "3/1 host-1:1"]);
    let map = bench.attempt(job, 2, 3);
    let descriptor = &bench.tms[1].tasks[&map];
    assert_eq!((descriptor.inputs[0].channels.len(), descriptor.inputs[0].channels[0].subpartition), (1, 0));
    assert_eq!(descriptor.outputs[0].subpartitions, 3);
}

#[test]
fn fifty_jobs_on_four_slots_all_finish() {
    let mut bench = Bench::new(&[2, 2]);
    let jobs: Vec<_> =
        (1..=50).map(|n| bench.submit(chain(n, RuntimeMode::Streaming, "source 3 => reduce 2"))).collect();
    assert_eq!(bench.details(jobs[1]).waiting_for.unwrap(), "waits for 2 slots more (3 wanted, 1 free)");
    assert_eq!(bench.details(jobs[3]).waiting_for.unwrap(), "waits for 3 slots behind 2 earlier request(s) (1 free)");
    for _ in 0..100 {
        let running: Vec<_> = bench.tms.iter().flat_map(|tm| tm.tasks.keys().copied()).collect();
        running.into_iter().for_each(|attempt| bench.state(attempt, ExecutionState::Finished));
        bench.pass(1, &[]);
    }
    assert!(jobs.iter().all(|job| bench.status(*job) == JobStatus::Finished));
    assert_eq!(bench.terminated, jobs, "in the order of their submission");
    assert_eq!(bench.core.overview().slots_available, 4);
    assert!(bench.tms.iter().all(|tm| tm.workers.is_empty()));
}

#[test]
fn a_job_that_is_too_large_fails_in_time_and_holds_nobody_up() {
    let mut bench = Bench::new(&[2]);
    let large = bench.submit(chain(1, RuntimeMode::Streaming, "source 3"));
    let small = bench.submit(chain(2, RuntimeMode::Streaming, "source 2"));
    assert_eq!(bench.status(small), JobStatus::Running);
    let waiting = "waits for more TaskManagers: it needs 3 slots at once, the cluster has 2";
    assert_eq!(bench.details(large).waiting_for.unwrap(), waiting);
    bench.pass(299, &[]);
    assert_eq!(bench.status(large), JobStatus::Created);
    bench.pass(2, &[]);
    assert_eq!(bench.status(large), JobStatus::Failed);
    let failure = bench.failure(large);
    assert!(failure.contains("needs 3 slots at once, but the cluster had no more than 2 for 300s"), "{failure}");
}

#[test]
fn a_cluster_that_grows_in_time_saves_the_job() {
    let mut bench = Bench::new(&[2]);
    let job = bench.submit(chain(1, RuntimeMode::Streaming, "source 3"));
    bench.pass(200, &[]);
    bench.add_task_manager(1);
    assert_eq!(bench.status(job), JobStatus::Running);
    bench.pass(200, &[]);
    assert_eq!(bench.status(job), JobStatus::Running);
}

#[test]
fn consumers_of_a_blocking_data_set_start_when_it_is_there_and_near_it() {
    let mut bench = Bench::new(&[2, 2]);
    let job = bench.submit(chain(1, RuntimeMode::Batch, "source 3 |> map 3 =|> reduce 1"));
    assert_eq!(bench.attempts(job), "source: 0R 0R 0R; map: 0C 0C 0C; reduce: 0C");
    let source = bench.attempt(job, 1, 1);
    let place = bench.tm_of(source);
    bench.state(source, ExecutionState::Finished);
    assert_eq!(bench.attempts(job), "source: 0R 0F 0R; map: 0C 0R 0C; reduce: 0C");
    assert_eq!(bench.tm_of(bench.attempt(job, 2, 1)), place);
    for vertex in 1..=3 {
        let running: Vec<_> = bench.running(job).into_iter().filter(|a| a.vertex.as_u128() <= vertex).collect();
        running.into_iter().for_each(|attempt| bench.state(attempt, ExecutionState::Finished));
    }
    assert_eq!(bench.status(job), JobStatus::Finished);
    assert!(bench.tms.iter().any(|tm| tm.heard.iter().any(|message| message == "ReleasePartitions")));
}
