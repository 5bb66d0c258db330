use flink_graph::{ExecutionState, JobGraph, JobStatus, PartitionId, RuntimeMode};
use flink_protocol::task_manager::{FailureKind, ToJobManager};

use crate::bench::Bench;
use crate::graphs::chain;

fn restarting(mode: RuntimeMode, text: &str) -> JobGraph {
    let mut graph = chain(1, mode, text);
    graph.configuration.set("restart-strategy.type", "fixed-delay");
    graph
}

/// Finishes some subtasks (`vertex/subtask`), fails one, and tells which attempts there are after the restart.
fn check(text: &str, finish: &[(u128, u32)], fail: (u128, u32), expected: &str) {
    let mut bench = Bench::new(&[4]);
    let job = bench.submit(restarting(RuntimeMode::Batch, text));
    for (vertex, subtask) in finish {
        let attempt = bench.attempt(job, *vertex, *subtask);
        bench.state(attempt, ExecutionState::Finished);
    }
    let attempt = bench.attempt(job, fail.0, fail.1);
    bench.fail(attempt, FailureKind::Runtime, "it broke");
    assert_eq!(bench.status(job), JobStatus::Restarting);
    bench.pass(2, &[]);
    assert_eq!(bench.status(job), JobStatus::Running);
    assert_eq!(bench.attempts(job), expected, "{text}");
}

#[test]
fn a_failure_restarts_its_region_and_what_comes_after() {
    check("source 2 => reduce 1", &[], (1, 0), "source: 1R 1R; reduce: 1R");
    check("source 2", &[], (1, 0), "source: 1R 0R");
    check("source 2 > map 2", &[(1, 1)], (2, 1), "source: 0R 1R; map: 0R 1R");
    check("source 2 =|> reduce 1", &[(1, 0), (1, 1)], (2, 0), "source: 0F 0F; reduce: 1R");
    check("source 2 =|> reduce 1", &[(1, 0)], (1, 1), "source: 0F 1R; reduce: 0C");
    check("source 2 |> map 2", &[(1, 0), (2, 0)], (1, 1), "source: 0F 1R; map: 0F 0C");
    // map 0 was the only reader of source 0, so that partition is released; it is not needed again.
    check("source 1 |> map 1 |> reduce 1", &[(1, 0), (2, 0)], (3, 0), "source: 0F; map: 0F; reduce: 1R");
}

#[test]
fn a_lost_partition_is_produced_again() {
    let mut bench = Bench::new(&[1, 1]);
    let job = bench.submit(restarting(RuntimeMode::Batch, "source 2 =|> reduce 1"));
    let (first, second) = (bench.attempt(job, 1, 0), bench.attempt(job, 1, 1));
    bench.state(first, ExecutionState::Finished);
    bench.state(second, ExecutionState::Finished);
    let reduce = bench.attempt(job, 2, 0);
    let partition = PartitionId { output: 0, producer: second };
    bench.fail(reduce, FailureKind::PartitionUnavailable { partition }, "gone");
    bench.pass(2, &[]);
    assert_eq!(bench.attempts(job), "source: 0F 1R; reduce: 0F".replace("reduce: 0F", "reduce: 1C"));
}

#[test]
fn a_lost_task_manager_takes_its_finished_data_with_it() {
    let mut bench = Bench::new(&[1, 1]);
    let job = bench.submit(restarting(RuntimeMode::Batch, "source 2 =|> reduce 1"));
    let finished = bench.attempt(job, 1, 1);
    let silent = bench.tm_of(finished);
    bench.state(finished, ExecutionState::Finished);
    bench.pass(6, &[silent]);
    assert_eq!(bench.core.overview().task_managers, 1);
    let exception = bench.details(job).exceptions.remove(0);
    assert!(
        exception.message.contains("source (2/2) failed on TaskManager tm-1 (host-1): no heartbeat for 5s"),
        "{exception:?}"
    );
    bench.pass(2, &[silent]);
    assert_eq!(bench.attempts(job), "source: 0R 1S; reduce: 0C");
}

#[test]
fn the_reason_reaches_the_user() {
    let mut bench = Bench::new(&[4]);
    let job = bench.submit(chain(1, RuntimeMode::Streaming, "source 4 => reduce 3"));
    let (reduce, source) = (bench.attempt(job, 2, 0), bench.attempt(job, 1, 2));
    // The echo is heard of first.
    bench.tms[0].mute = true;
    let partition = PartitionId { output: 0, producer: source };
    bench.fail(reduce, FailureKind::ConnectionLost { partition }, "the connection broke");
    bench.fail(source, FailureKind::User { operator: "Parse".into() }, "line 7 is no number");
    bench.running(job).into_iter().for_each(|attempt| bench.state(attempt, ExecutionState::Canceled));
    assert_eq!(bench.status(job), JobStatus::Failed);
    let expected = "source (3/4) failed on TaskManager tm-0 (host-0) in operator `Parse`: line 7 is no number";
    assert_eq!(bench.failure(job), expected);
    assert_eq!(bench.details(job).exceptions.len(), 2);
}

#[test]
fn what_a_restart_cannot_help_is_not_restarted() {
    let mut bench = Bench::new(&[1]);
    let job = bench.submit(restarting(RuntimeMode::Streaming, "source 1"));
    let attempt = bench.attempt(job, 1, 0);
    bench.fail(attempt, FailureKind::Unrecoverable, "another program");
    assert_eq!(bench.status(job), JobStatus::Failed);
    assert_eq!(bench.details(job).restarts, 0);
}

#[test]
fn the_history_of_failures_is_bounded() {
    let mut bench = Bench::new(&[1]);
    let mut graph = restarting(RuntimeMode::Streaming, "source 1");
    graph.configuration.set("restart-strategy.fixed-delay.attempts", "100");
    let job = bench.submit(graph);
    for _ in 0..20 {
        let attempt = bench.attempt(job, 1, 0);
        bench.fail(attempt, FailureKind::Runtime, "again");
        bench.pass(2, &[]);
    }
    let details = bench.details(job);
    assert_eq!((details.exceptions.len(), details.exceptions_truncated, details.restarts), (16, true, 20));
}

#[test]
fn a_worker_that_refuses_the_job_ends_it() {
    let mut bench = Bench::new(&[1]);
    let job = bench.submit(restarting(RuntimeMode::Streaming, "source 1"));
    let refused = ToJobManager::WorkerLost { job, reason: "another graph".into(), unrecoverable: true };
    bench.from_tm(0, refused);
    bench.pass(2, &[]);
    assert_eq!((bench.status(job), bench.details(job).restarts), (JobStatus::Failed, 0));
    assert!(bench.failure(job).contains("another graph"));
}

#[test]
fn a_lost_worker_restarts_its_tasks() {
    let mut bench = Bench::new(&[1]);
    let job = bench.submit(restarting(RuntimeMode::Streaming, "source 1"));
    bench.tms[0].tasks.clear();
    bench.tms[0].workers.clear();
    let killed = ToJobManager::WorkerLost { job, reason: "killed by signal 9".into(), unrecoverable: false };
    bench.from_tm(0, killed);
    assert!(bench.details(job).exceptions[0].message.contains("its worker was lost: killed by signal 9"));
    bench.pass(2, &[]);
    assert_eq!(bench.attempts(job), "source: 1R");
}
