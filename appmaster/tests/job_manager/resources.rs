use flink_appmaster::job_manager::{ClientCall, Event, TokenFile};
use flink_graph::{ExecutionAttemptId, ExecutionState, JobId, JobStatus, PartitionId, RuntimeMode, TaskManagerId};
use flink_protocol::task_manager::{FailureKind, ToJobManager};

use crate::bench::{Bench, FakeTaskManager, registration};
use crate::graphs::chain;

/// Missing slots, and slots in use of each TaskManager.
fn resources(bench: &Bench) -> (u32, Vec<u32>) {
    let resources = bench.core.resources();
    (resources.missing_slots, resources.task_managers.values().map(|used| used.used).collect())
}

#[test]
fn what_jobs_want_is_counted_by_slots() {
    let mut bench = Bench::new(&[]);
    bench.submit(chain(1, RuntimeMode::Streaming, "source 4 > map 4 => reduce 3"));
    assert_eq!(resources(&bench), (4, vec![]), "vertices share slots");
    bench.submit(chain(2, RuntimeMode::Batch, "source 2 => reduce 1"));
    assert_eq!(resources(&bench).0, 6);
    bench.add_task_manager(4);
    assert_eq!(resources(&bench), (2, vec![4]));
    bench.add_task_manager(4);
    assert_eq!(resources(&bench), (0, vec![4, 2]));
}

#[test]
fn progress_is_that_of_the_jobs_which_have_not_ended() {
    let mut bench = Bench::new(&[8]);
    let progress = |bench: &Bench| bench.core.resources().progress;
    assert_eq!(progress(&bench), 100);
    let job = bench.submit(chain(1, RuntimeMode::Batch, "source 4 =|> reduce 1"));
    assert_eq!(progress(&bench), 0);
    let first = bench.attempt(job, 1, 0);
    bench.state(first, ExecutionState::Finished);
    assert_eq!(progress(&bench), 12, "a quarter of one of two vertices");
    bench.submit(chain(2, RuntimeMode::Batch, "source 1"));
    assert_eq!(progress(&bench), 6);
    bench.call(ClientCall::CancelJob(job));
    assert_eq!(progress(&bench), 0);
}

#[test]
fn the_cause_of_a_lost_container_is_the_jobs_failure() {
    let mut bench = Bench::new(&[1]);
    let job = bench.submit(chain(1, RuntimeMode::Streaming, "source 1"));
    let task_manager = bench.core.resources().task_managers.into_keys().next().unwrap();
    bench.send(Event::TaskManagerLost { task_manager, reason: "container_7 was preempted".into(), by_cluster: true });
    assert_eq!(bench.status(job), JobStatus::Failed);
    assert!(bench.failure(job).contains("container_7 was preempted"));
    bench.send(Event::TaskManagerLost {
        task_manager: TaskManagerId("nobody".into()),
        reason: String::new(),
        by_cluster: true,
    });
    assert_eq!(resources(&bench), (0, vec![]));
}

#[test]
fn when_no_more_task_managers_come_every_job_fails_with_the_reason() {
    let mut bench = Bench::new(&[1]);
    let graphs = ["source 1", "source 2", "source 1"].into_iter().zip(1..);
    let jobs = graphs.map(|(text, number)| bench.submit(chain(number, RuntimeMode::Streaming, text)));
    let jobs: Vec<JobId> = jobs.collect();
    bench.call(ClientCall::CancelJob(jobs[2]));
    bench.send(Event::NoMoreTaskManagers("six have failed within a minute".into()));
    bench.pass(2, &[]);
    for job in &jobs[..2] {
        assert_eq!(bench.status(*job), JobStatus::Failed);
        assert!(bench.failure(*job).contains("six have failed within a minute"));
    }
    assert_eq!(bench.status(jobs[2]), JobStatus::Canceled);
}

#[test]
fn a_job_waits_for_containers_as_long_as_it_takes() {
    let mut bench = Bench::on_demand(&[1]);
    let waits = bench.submit(chain(1, RuntimeMode::Streaming, "source 2"));
    let mut impatient = chain(2, RuntimeMode::Streaming, "source 3");
    impatient.configuration.set("slot.request.timeout", "10 min");
    let impatient = bench.submit(impatient);
    bench.send(Event::ResourceNote(Some("the queue is full".into())));
    bench.pass(3600, &[]);
    assert_eq!(bench.status(waits), JobStatus::Created);
    assert!(bench.details(waits).waiting_for.unwrap().contains("the queue is full"));
    assert_eq!(bench.status(impatient), JobStatus::Failed);
    let failure = bench.failure(impatient);
    assert!(failure.contains("no more than 1 for 600s (slot.request.timeout): the queue is full"), "{failure}");
    bench.add_task_manager(1);
    assert_eq!(bench.status(waits), JobStatus::Running);
    bench.running(waits).into_iter().for_each(|attempt| bench.state(attempt, ExecutionState::Finished));
    assert_eq!(bench.status(waits), JobStatus::Finished);
}

#[test]
fn only_an_idle_task_manager_is_released() {
    let mut bench = Bench::new(&[1, 1]);
    bench.submit(chain(1, RuntimeMode::Streaming, "source 1"));
    let all = bench.core.resources().task_managers;
    let named = |busy: bool| all.iter().find(|(_, used)| used.busy == busy).map(|(id, _)| id.clone()).unwrap();
    let (busy, idle) = (named(true), named(false));
    assert!(bench.core.is_idle(&idle) && !bench.core.is_idle(&busy));
    bench.send(Event::ReleaseTaskManager { task_manager: busy.clone() });
    bench.send(Event::ReleaseTaskManager { task_manager: idle });
    assert_eq!(bench.core.resources().task_managers.into_keys().collect::<Vec<_>>(), [busy]);
}

/// Its NodeManager has died, and it has not.
#[test]
fn who_was_given_up_is_not_let_in_again() {
    let mut bench = Bench::new(&[1, 1]);
    let all: Vec<TaskManagerId> = bench.core.resources().task_managers.into_keys().collect();
    bench.send(Event::TaskManagerLost {
        task_manager: all[0].clone(),
        reason: "its node was lost".into(),
        by_cluster: true,
    });
    bench.send(Event::ReleaseTaskManager { task_manager: all[1].clone() });
    assert!(bench.core.resources().task_managers.is_empty());
    let refused = |bench: &Bench| -> Vec<usize> {
        let of = |tm: &FakeTaskManager| tm.heard.iter().filter(|what| *what == "RefuseRegistration").count();
        bench.tms.iter().map(of).collect()
    };
    let before = refused(&bench);
    (0..2).for_each(|index| bench.from_tm(index, ToJobManager::RegisterTaskManager(registration(index, 1))));
    let after = refused(&bench);
    assert_eq!((after[0], after[1]), (before[0] + 1, before[1] + 1));
    assert!(bench.core.resources().task_managers.is_empty());
    // Others come as ever.
    bench.add_task_manager(1);
    assert_eq!(bench.core.resources().task_managers.len(), 1);
}

#[test]
fn newer_tokens_reach_every_task_manager() {
    let mut bench = Bench::new(&[1, 1]);
    let tokens = |file: &[u8]| Event::DelegationTokens(TokenFile(file.to_vec()));
    assert!(!format!("{:?}", tokens(b"secret")).contains("115"), "they are not printed");
    let heard = |bench: &Bench| {
        let of = |tm: &FakeTaskManager| tm.heard.iter().filter(|what| *what == "UpdateDelegationTokens").count();
        bench.tms.iter().map(of).collect::<Vec<_>>()
    };
    bench.pass(2, &[]);
    assert_eq!(heard(&bench), [0, 0], "there are none");
    bench.send(tokens(b"1"));
    assert_eq!(heard(&bench), [1, 1]);
    bench.tms[0].tokens = 1;
    bench.pass(2, &[]);
    assert_eq!(heard(&bench), [1, 3], "again, until they are in use");
    bench.send(tokens(b"2"));
    assert_eq!(heard(&bench), [2, 4]);
    // Who comes later has those of the start.
    bench.add_task_manager(1);
    bench.tms[0].tokens = 2;
    bench.tms[1].tokens = 2;
    bench.pass(1, &[]);
    assert_eq!(heard(&bench), [2, 4, 1]);
}

#[test]
fn the_cause_of_a_loss_counts_more_than_the_broken_connections_that_came_first() {
    let mut bench = Bench::new(&[1, 1]);
    let job = bench.submit(chain(1, RuntimeMode::Streaming, "source 2 => reduce 2"));
    let (reduce, source) = (bench.attempt(job, 2, 0), bench.attempt(job, 1, 1));
    let (here, lost) = (bench.tm_of(reduce), bench.tm_of(source));
    assert_ne!(here, lost);
    bench.tms[lost].mute = true;
    let partition = PartitionId { output: 0, producer: source };
    bench.fail(reduce, FailureKind::ConnectionLost { partition }, "the connection broke");
    assert_eq!(bench.status(job), JobStatus::Failing);
    let task_manager = bench.core.resources().task_managers.into_keys().nth(lost).unwrap();
    bench.send(Event::TaskManagerLost { task_manager, reason: "killed for memory".into(), by_cluster: false });
    assert_eq!(bench.status(job), JobStatus::Failed);
    assert!(bench.failure(job).contains("killed for memory"));
}

/// Two tasks on a TaskManager each, on a cluster that takes containers back, and the second one's TaskManager.
fn two_places(bench: &mut Bench, strategy: Option<&str>) -> (JobId, ExecutionAttemptId, usize) {
    let mut graph = chain(1, RuntimeMode::Streaming, "source 2 => reduce 2");
    if let Some(strategy) = strategy {
        graph.configuration.set("restart-strategy.type", strategy);
    }
    let job = bench.submit(graph);
    let (reduce, source) = (bench.attempt(job, 2, 0), bench.attempt(job, 1, 1));
    let lost = bench.tm_of(source);
    assert_ne!(bench.tm_of(reduce), lost);
    (job, reduce, lost)
}

fn lose(bench: &mut Bench, index: usize, by_cluster: bool) {
    let task_manager = TaskManagerId(format!("tm-{index}"));
    let reason = if by_cluster { "it was preempted" } else { "killed for memory" };
    bench.send(Event::TaskManagerLost { task_manager, reason: reason.into(), by_cluster });
}

/// The echo of a loss: the other end of a connection is gone.
fn break_connection(bench: &mut Bench, job: JobId, reduce: ExecutionAttemptId) {
    let partition = PartitionId { output: 0, producer: bench.attempt(job, 1, 1) };
    bench.fail(reduce, FailureKind::ConnectionLost { partition }, "the connection broke");
}

#[test]
fn what_the_cluster_takes_is_replaced_without_a_restart_strategy() {
    for echo_first in [false, true] {
        let mut bench = Bench::on_demand(&[1, 1]);
        let (job, reduce, lost) = two_places(&mut bench, None);
        bench.tms[lost].mute = true;
        if echo_first {
            break_connection(&mut bench, job, reduce);
        }
        lose(&mut bench, lost, true);
        assert_eq!(bench.status(job), JobStatus::Restarting, "{echo_first}");
        bench.pass(600, &[]);
        bench.add_task_manager(1);
        assert_eq!(bench.status(job), JobStatus::Running, "{echo_first}");
        assert_eq!(bench.details(job).restarts, 1, "{echo_first}");
        assert_eq!(bench.attempts(job), "source: 1R 1R; reduce: 1R 1R", "{echo_first}");
    }
}

#[test]
fn a_silent_host_is_the_clusters_too() {
    let mut bench = Bench::on_demand(&[1, 1]);
    let (job, _, lost) = two_places(&mut bench, None);
    bench.tms[lost].mute = true;
    bench.pass(7, &[lost]);
    bench.add_task_manager(1);
    bench.pass(2, &[lost]);
    assert_eq!((bench.status(job), bench.details(job).restarts), (JobStatus::Running, 1));
}

#[test]
fn what_the_job_is_to_blame_for_ends_it_without_a_restart_strategy() {
    let advice = "restart-strategy.type=fixed-delay";
    for echo_first in [false, true] {
        let mut bench = Bench::on_demand(&[1, 1]);
        let (job, reduce, lost) = two_places(&mut bench, None);
        bench.tms[lost].mute = true;
        if echo_first {
            break_connection(&mut bench, job, reduce);
            assert_eq!(bench.status(job), JobStatus::Restarting);
        }
        lose(&mut bench, lost, false);
        bench.pass(1, &[]);
        assert_eq!(bench.status(job), JobStatus::Failed, "{echo_first}");
        let failure = bench.failure(job);
        assert!(failure.contains("killed for memory") && failure.contains(advice), "{failure}");
    }
    // A worker that crashed, and the user's own failure, with the echo in front.
    let crash = |bench: &mut Bench, job, _| {
        let crashed = ToJobManager::WorkerLost { job, reason: "killed by signal 11".into(), unrecoverable: false };
        bench.from_tm(bench.tm_of(bench.attempt(job, 1, 1)), crashed);
    };
    let fail = |bench: &mut Bench, _, source| {
        bench.fail(source, FailureKind::User { operator: "Parse".into() }, "no number");
    };
    let check = |happens: &dyn Fn(&mut Bench, JobId, ExecutionAttemptId), told: &str| {
        let mut bench = Bench::on_demand(&[1, 1]);
        let (job, reduce, lost) = two_places(&mut bench, None);
        let source = bench.attempt(job, 1, 1);
        bench.tms[lost].mute = true;
        break_connection(&mut bench, job, reduce);
        happens(&mut bench, job, source);
        bench.pass(20, &[]);
        assert!(bench.failure(job).contains(told), "{}", bench.failure(job));
    };
    check(&crash, "killed by signal 11");
    check(&fail, "no number");
}

/// A worker that was killed since its tasks did not end in time has not failed by itself.
#[test]
fn a_worker_that_is_killed_for_the_restart_is_borne() {
    let mut bench = Bench::on_demand(&[1, 1]);
    let (job, reduce, slow) = two_places(&mut bench, None);
    bench.tms[slow].mute = true;
    break_connection(&mut bench, job, reduce);
    bench.pass(11, &[]);
    bench.tms[slow].tasks.clear();
    bench.tms[slow].workers.clear();
    bench.tms[slow].mute = false;
    let killed = ToJobManager::WorkerLost { job, reason: "killed by signal 9".into(), unrecoverable: false };
    bench.from_tm(slow, killed);
    bench.pass(2, &[]);
    assert_eq!(bench.attempts(job), "source: 1R 1R; reduce: 1R 1R");
}

#[test]
fn none_is_none_also_for_what_the_cluster_takes() {
    for (on_demand, strategy) in [(true, Some("none")), (false, None)] {
        let mut bench = if on_demand { Bench::on_demand(&[1, 1]) } else { Bench::new(&[1, 1]) };
        let (job, _, lost) = two_places(&mut bench, strategy);
        bench.tms[lost].mute = true;
        lose(&mut bench, lost, true);
        bench.pass(1, &[]);
        assert_eq!(bench.status(job), JobStatus::Failed);
        assert!(bench.failure(job).contains("restart-strategy.type=fixed-delay"), "{}", bench.failure(job));
    }
}
