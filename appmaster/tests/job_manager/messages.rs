use std::time::Duration;

use flink_appmaster::job_manager::{ClientCall, ConnectionId, Event};
use flink_graph::{AccumulatorValue, Accumulators, ExecutionState, JobId, JobStatus, RuntimeMode};
use flink_protocol::Envelope;
use flink_protocol::client::ClientResponseBody;
use flink_protocol::task_manager::{TaskMetrics, TaskStateUpdate, ToJobManager};

use crate::bench::{Bench, EPOCH, registration};
use crate::graphs::chain;

fn heard(bench: &Bench, message: &str) -> usize {
    bench.tms[0].heard.iter().filter(|other| *other == message).count()
}

#[test]
fn what_is_not_answered_is_sent_again() {
    let mut bench = Bench::new(&[1]);
    bench.tms[0].mute = true;
    let job = bench.submit(chain(1, RuntimeMode::Streaming, "source 1"));
    bench.pass(4, &[]);
    assert_eq!(heard(&bench, "StartWorker"), 4, "at 0, 0.5, 1.5 and 3.5 s");
    assert_eq!(heard(&bench, "SubmitTask"), 0, "not before the worker runs");
    bench.tms[0].workers.push(job);
    bench.from_tm(0, ToJobManager::WorkerStarted { job, data_address: "host-0:1".into() });
    bench.pass(4, &[]);
    assert_eq!((heard(&bench, "SubmitTask"), heard(&bench, "WorkerStartedAcknowledged")), (4, 1));
}

/// Otherwise its TaskManager would report it as lost while the worker still starts.
#[test]
fn an_execution_is_expected_from_its_deployment_on() {
    let mut bench = Bench::new(&[1]);
    bench.tms[0].mute = true;
    let job = bench.submit(chain(1, RuntimeMode::Streaming, "source 1"));
    bench.pass(30, &[]);
    assert_eq!((heard(&bench, "Heartbeat") > 20, bench.tms[0].expected.len()), (true, 0));
    bench.tms[0].mute = false;
    bench.tms[0].workers.push(job);
    bench.from_tm(0, ToJobManager::WorkerStarted { job, data_address: "host-0:1".into() });
    bench.pass(2, &[]);
    assert_eq!((bench.tms[0].expected.len(), bench.attempts(job)), (1, "source: 0R".to_owned()));
}

#[test]
fn cancellation_ends_when_the_task_does_not() {
    let mut bench = Bench::new(&[1]);
    let job = bench.submit(chain(1, RuntimeMode::Streaming, "source 1"));
    bench.tms[0].mute = true;
    bench.call(ClientCall::CancelJob(job));
    assert_eq!(bench.answers.pop(), Some(Ok(ClientResponseBody::CancellationSuccess(job))));
    bench.pass(9, &[]);
    assert_eq!((bench.status(job), heard(&bench, "StopWorker")), (JobStatus::Canceling, 0));
    bench.pass(7, &[]);
    assert!(heard(&bench, "CancelTask") > 3 && heard(&bench, "StopWorker") > 0);
    assert_eq!(bench.status(job), JobStatus::Canceling);
    // Not even that helps: the TaskManager is given up.
    bench.pass(20, &[]);
    assert_eq!(bench.status(job), JobStatus::Canceled);
    assert_eq!(bench.closed.first(), Some(&ConnectionId(0)));
}

#[test]
fn a_task_manager_that_comes_back_in_time_keeps_its_tasks() {
    let mut bench = Bench::new(&[1]);
    let job = bench.submit(chain(1, RuntimeMode::Streaming, "source 1"));
    bench.send(Event::Disconnected { connection: ConnectionId(0) });
    bench.pass(4, &[0]);
    let mut again = registration(0, 1);
    again.last_epoch = EPOCH;
    bench.from_tm(0, ToJobManager::RegisterTaskManager(again));
    assert_eq!(heard(&bench, "AlreadyRegistered"), 1);
    bench.pass(20, &[]);
    assert_eq!(bench.attempts(job), "source: 0R");
}

#[test]
fn other_epochs_are_refused() {
    let mut bench = Bench::new(&[1]);
    let job = bench.submit(chain(1, RuntimeMode::Streaming, "source 1"));
    for epoch in [EPOCH - 1, EPOCH + 1] {
        let message = ToJobManager::WorkerLost { job, reason: "stale".into(), unrecoverable: false };
        bench.send(Event::FromTaskManager { connection: ConnectionId(0), envelope: Envelope { epoch, message } });
        assert_eq!(bench.status(job), JobStatus::Running);
    }
    let newer = ToJobManager::RegisterTaskManager(registration(7, 1));
    let envelope = Envelope { epoch: EPOCH + 1, message: newer };
    bench.send(Event::FromTaskManager { connection: ConnectionId(7), envelope });
    assert_eq!((bench.core.overview().task_managers, bench.closed.pop()), (1, Some(ConnectionId(7))));
}

#[test]
fn a_task_that_is_not_reported_for_long_has_failed() {
    let mut bench = Bench::new(&[1]);
    let job = bench.submit(chain(1, RuntimeMode::Streaming, "source 1"));
    bench.tms[0].tasks.clear();
    bench.pass(3, &[]);
    assert_eq!(bench.status(job), JobStatus::Running);
    bench.pass(4, &[]);
    assert_eq!(bench.status(job), JobStatus::Failed);
    assert!(bench.failure(job).contains("does not know it any more"));
}

#[test]
fn a_submission_that_is_repeated_is_the_same_job() {
    let mut bench = Bench::new(&[1]);
    let graph = chain(1, RuntimeMode::Streaming, "source 1");
    let job = bench.submit(graph.clone());
    bench.submit(graph.clone());
    assert_eq!(bench.core.jobs().len(), 1);
    let attempt = bench.attempt(job, 1, 0);
    bench.state(attempt, ExecutionState::Finished);
    bench.submit(graph);
    assert_eq!((bench.core.jobs().len(), bench.status(job)), (1, JobStatus::Finished));
}

#[test]
fn ended_jobs_are_forgotten_beyond_the_capacity_and_not_run_again() {
    let mut bench = Bench::new(&[1]);
    for number in 1..=101 {
        let job = bench.submit(chain(number, RuntimeMode::Streaming, "source 1"));
        let attempt = bench.attempt(job, 1, 0);
        bench.state(attempt, ExecutionState::Finished);
        bench.report(0);
    }
    assert_eq!(bench.core.jobs().len(), 100);
    let graph = Box::new(chain(1, RuntimeMode::Streaming, "source 1"));
    bench.call(ClientCall::SubmitJob { graph, artifact_present: true });
    assert!(
        matches!(bench.answers.pop(), Some(Ok(ClientResponseBody::JobSubmitFailure(why))) if why.contains("run already"))
    );
}

#[test]
fn a_result_is_answered_at_the_end_or_after_the_wait() {
    let mut bench = Bench::new(&[1]);
    let job = bench.submit(chain(1, RuntimeMode::Streaming, "source 1"));
    bench.answers.clear();
    bench.call(ClientCall::RequestJobResult { job, wait: Duration::from_secs(2) });
    bench.pass(1, &[]);
    assert!(bench.answers.is_empty());
    bench.pass(1, &[]);
    assert!(matches!(bench.answers.pop(), Some(Ok(ClientResponseBody::JobRunning(_)))));
    bench.call(ClientCall::RequestJobResult { job, wait: Duration::from_secs(60) });
    let attempt = bench.attempt(job, 1, 0);
    bench.state(attempt, ExecutionState::Finished);
    assert!(
        matches!(bench.answers.pop(), Some(Ok(ClientResponseBody::JobResult(r))) if r.status == JobStatus::Finished)
    );
    bench.call(ClientCall::RequestJobResult { job: JobId::from_u128(9), wait: Duration::ZERO });
    assert!(bench.answers.pop().is_some_and(|answer| answer.is_err_and(|why| why.contains("is not known here"))));
}

#[test]
fn submissions_that_cannot_run_are_refused() {
    let mut bench = Bench::new(&[1]);
    let mut check = |change: fn(&mut flink_graph::JobGraph), present: bool, expected: &str| {
        let mut graph = chain(1, RuntimeMode::Streaming, "source 1 => reduce 1");
        change(&mut graph);
        bench.call(ClientCall::SubmitJob { graph: Box::new(graph), artifact_present: present });
        match bench.answers.pop() {
            Some(Ok(ClientResponseBody::JobSubmitFailure(reason))) => assert!(reason.contains(expected), "{reason}"),
            other => panic!("{other:?}"),
        }
    };
    check(|_| {}, false, "does not have the program");
    check(|graph| graph.vertices.clear(), true, "has no operators");
    check(
        |graph| {
            graph.configuration.set("restart-strategy.type", "often");
        },
        true,
        "`often` is not none",
    );
    check(|graph| graph.vertices[0].parallelism = 0, true, "parallelism 0");
}

#[test]
fn a_task_manager_with_other_messages_or_no_slots_is_refused() {
    let mut bench = Bench::new(&[0]);
    assert_eq!((heard(&bench, "RefuseRegistration"), bench.core.overview().task_managers), (1, 0));
    let mut other = registration(0, 1);
    other.protocol_version += 1;
    bench.from_tm(0, ToJobManager::RegisterTaskManager(other));
    assert_eq!((heard(&bench, "RefuseRegistration"), bench.core.overview().task_managers), (2, 0));
}

/// Each part fits a message, and all of them together do not: the client would never get its answer.
#[test]
fn a_result_that_fits_no_message_fails_the_job() {
    let mut bench = Bench::new(&[2]);
    let job = bench.submit(chain(1, RuntimeMode::Batch, "source 2"));
    let part = AccumulatorValue::List(vec![vec![0; 40 << 20]]);
    for attempt in bench.running(job) {
        let metrics = TaskMetrics {
            attempt,
            records_in: 0,
            records_out: 0,
            bytes_in: 0,
            bytes_out: 0,
            busy_ms: 0,
            idle_ms: 0,
            backpressured_ms: 0,
            accumulators: Accumulators([("all".into(), part.clone())].into()),
        };
        let state = ExecutionState::Finished;
        let update = TaskStateUpdate { attempt, state, failure: None, metrics: Some(metrics) };
        bench.from_tm(0, ToJobManager::UpdateTaskExecutionState(update));
    }
    assert_eq!(bench.status(job), JobStatus::Failed);
    let failure = bench.failure(job);
    assert!(failure.contains("83886080 bytes") && failure.contains("rpc.framesize"), "{failure}");
}
