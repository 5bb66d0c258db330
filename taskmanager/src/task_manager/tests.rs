use std::time::Duration;

use flink_graph::{
    Artifact, Configuration, ExecutionAttemptId, ExecutionState, Fingerprint, InputSplit, JobGraph, JobId, JobVertexId,
    RuntimeMode, TaskManagerId,
};
use flink_protocol::task_manager::{
    DelegationTokens, HardwareDescription, JobInformation, TaskDeploymentDescriptor, TaskStateUpdate, ToJobManager,
    ToTaskManager,
};
use flink_protocol::worker::{FromWorker, ToWorker, WorkerMetrics};
use flink_protocol::{Envelope, PROTOCOL_VERSION};

use super::{Action, Event, TaskManagerConfig, TaskManagerCore, WorkerId};

const JOB: JobId = JobId::from_u128(7);

/// A TaskManager in a test, with its clock.
struct Bench {
    core: TaskManagerCore,
    now: Duration,
    epoch: u64,
}

impl Bench {
    fn new() -> Self {
        let mut configuration = Configuration::default();
        configuration.set("taskmanager.numberOfTaskSlots", "2");
        configuration.set("heartbeat.interval", "1 s").set("heartbeat.timeout", "5 s");
        configuration.set("taskmanager.registration.timeout", "60 s");
        let hardware = HardwareDescription::default();
        let id = TaskManagerId("tm-1".into());
        let mut config = TaskManagerConfig::from_configuration(&configuration, id, "host".into(), hardware).unwrap();
        config.ended_capacity = 8;
        Self { core: TaskManagerCore::new(config, Duration::ZERO), now: Duration::ZERO, epoch: 1 }
    }

    /// Registered, with the heartbeat of the beginning behind it.
    fn registered() -> Self {
        let mut bench = Self::new();
        bench.event(Event::Connected);
        bench.acknowledge();
        bench
    }

    /// Registered, with a running worker that the JobManager knows of.
    fn working() -> Self {
        let mut bench = Self::registered();
        assert_eq!(bench.jm_says(start_worker(None)), ["spawn 0"]);
        assert_eq!(bench.on_worker_message(0, started()), ["jm WorkerStarted"]);
        assert!(bench.jm_says(ToTaskManager::WorkerStartedAcknowledged { job: JOB }).is_empty());
        bench
    }

    /// As [`Self::working`], with one task that runs.
    fn running() -> Self {
        let mut bench = Self::working();
        assert_eq!(bench.jm_says(submit(0)), ["w0 SubmitTask"]);
        bench.state(0, ExecutionState::Running);
        bench
    }

    fn raw(&mut self, event: Event) -> Vec<Action> {
        self.core.on_event(self.now, event)
    }

    fn event(&mut self, event: Event) -> Vec<String> {
        self.raw(event).iter().map(describe).collect()
    }

    fn jm_says(&mut self, message: ToTaskManager) -> Vec<String> {
        let epoch = self.epoch;
        self.event(Event::FromJobManager(Envelope { epoch, message }))
    }

    fn on_worker_message(&mut self, worker: u64, message: FromWorker) -> Vec<String> {
        self.event(Event::FromWorker { worker: WorkerId(worker), message })
    }

    fn acknowledge(&mut self) -> Vec<String> {
        self.jm_says(ToTaskManager::AcknowledgeRegistration {
            heartbeat_interval_ms: 1_000,
            heartbeat_timeout_ms: 5_000,
        })
    }

    fn heartbeat(&mut self, jobs: &[JobId], attempts: &[ExecutionAttemptId]) -> Vec<String> {
        self.jm_says(ToTaskManager::Heartbeat { jobs: jobs.to_vec(), attempts: attempts.to_vec() })
    }

    /// A worker's report of a state, and its acknowledgement.
    fn state(&mut self, subtask: u32, state: ExecutionState) {
        let reported = self.on_worker_message(0, changed(subtask, state));
        assert_eq!(reported, [format!("jm {state} {subtask}")]);
        assert!(self.acknowledge_state(subtask, state, true).is_empty());
    }

    fn acknowledge_state(&mut self, subtask: u32, state: ExecutionState, known: bool) -> Vec<String> {
        self.jm_says(ToTaskManager::TaskStateAcknowledged { attempt: attempt(subtask), state, known })
    }

    /// Lets time pass without the JobManager going silent, and gives what happened except heartbeats.
    fn pass(&mut self, time: Duration) -> Vec<String> {
        let end = self.now + time;
        let mut happened = Vec::new();
        while let Some(next) = self.core.next_deadline().filter(|next| *next <= end) {
            assert!(next >= self.now, "a deadline lies in the past");
            self.now = next;
            happened.extend(self.event(Event::Tick));
            let jobs: Vec<JobId> = self.core.jobs().collect();
            let attempts: Vec<ExecutionAttemptId> = self.core.running().collect();
            happened.extend(self.heartbeat(&jobs, &attempts));
        }
        self.now = end;
        happened.retain(|what| !matches!(what.as_str(), "jm Heartbeat" | "measure" | "w0 RequestMetrics"));
        happened
    }

    /// Lets time pass in which the JobManager says nothing.
    fn silence(&mut self, time: Duration) -> Vec<String> {
        let end = self.now + time;
        let mut happened = Vec::new();
        while let Some(next) = self.core.next_deadline().filter(|next| *next <= end) {
            self.now = next;
            happened.extend(self.event(Event::Tick));
        }
        self.now = end;
        happened
    }
}

fn describe(action: &Action) -> String {
    match action {
        Action::SendToJobManager(envelope) => match &envelope.message {
            ToJobManager::UpdateTaskExecutionState(update) => {
                format!("jm {} {}", update.state, update.attempt.subtask)
            }
            ToJobManager::RequestNextInputSplit { request, .. } => format!("jm split {request}"),
            ToJobManager::RequestArtifact { offset, .. } => format!("jm RequestArtifact {offset}"),
            ToJobManager::RegisterTaskManager(registration) => {
                format!("jm Register epoch {} tasks {}", registration.last_epoch, registration.running.len())
            }
            other => format!("jm {}", name_of(other)),
        },
        Action::SendToWorker { worker, message } => format!("w{} {}", worker.0, name_of(message)),
        Action::SpawnWorker { worker, .. } => format!("spawn {}", worker.0),
        Action::KillWorker { worker, .. } => format!("kill {}", worker.0),
        Action::CloseConnection => "close".into(),
        Action::FindArtifact(_) => "find".into(),
        Action::StoreArtifactPiece { offset, bytes, last, .. } => format!("store {offset}+{} {last}", bytes.len()),
        Action::CollectStatistics => "measure".into(),
        Action::ReadLog { .. } => "log".into(),
        Action::StoreTokens { tokens, .. } => format!("tokens {}", tokens.version),
        Action::Terminate { failed, .. } => format!("terminate {failed}"),
    }
}

fn name_of(message: &impl std::fmt::Debug) -> String {
    let text = format!("{message:?}");
    text.chars().take_while(|c| c.is_alphanumeric()).collect()
}

fn attempt(subtask: u32) -> ExecutionAttemptId {
    ExecutionAttemptId { job: JOB, vertex: JobVertexId::from_u128(1), subtask, attempt: 0, epoch: 1 }
}

fn submit(subtask: u32) -> ToTaskManager {
    let descriptor =
        TaskDeploymentDescriptor { attempt: attempt(subtask), slot: 0, inputs: Vec::new(), outputs: Vec::new() };
    ToTaskManager::SubmitTask(Box::new(descriptor))
}

fn changed(subtask: u32, state: ExecutionState) -> FromWorker {
    let update = TaskStateUpdate { attempt: attempt(subtask), state, failure: None, metrics: None };
    FromWorker::UpdateTaskExecutionState(update)
}

fn started() -> FromWorker {
    FromWorker::Started { protocol_version: PROTOCOL_VERSION, data_address: "host:1".into() }
}

fn start_worker(program: Option<Artifact>) -> ToTaskManager {
    let graph = JobGraph {
        job_id: JOB,
        name: "job".into(),
        mode: RuntimeMode::Batch,
        configuration: Configuration::default(),
        vertices: Vec::new(),
        fingerprint: Fingerprint::default(),
        arguments: Vec::new(),
        action: 0,
        earlier_results: Vec::new(),
        program: program.clone(),
    };
    let information = JobInformation { graph, program, cluster_configuration: Configuration::default() };
    ToTaskManager::StartWorker(Box::new(information))
}

fn exited(worker: u64) -> Event {
    Event::WorkerExited { worker: WorkerId(worker), reason: "exit status 3".into() }
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn registration_repeats_with_growing_pauses_and_ends() {
    let mut bench = Bench::new();
    assert!(bench.silence(seconds(5)).is_empty(), "there is nobody to speak to yet");
    assert_eq!(bench.event(Event::Connected), ["jm Register epoch 0 tasks 0"]);
    let happened = bench.silence(seconds(60));
    let registrations = happened.iter().filter(|what| what.starts_with("jm Register")).count();
    assert!((15..30).contains(&registrations), "{happened:?}");
    assert_eq!(happened.last().map(String::as_str), Some("terminate true"));
    assert_eq!(bench.core.next_deadline(), None);
    assert!(bench.acknowledge().is_empty(), "it has ended");
}

#[test]
fn a_registration_is_acknowledged_refused_or_known_already() {
    let mut bench = Bench::new();
    bench.event(Event::Connected);
    assert_eq!(bench.acknowledge(), ["measure", "jm Heartbeat"]);
    assert!(bench.core.is_operational());
    assert!(bench.acknowledge().is_empty(), "once more is no news");

    let mut bench = Bench::new();
    bench.event(Event::Connected);
    assert_eq!(bench.jm_says(ToTaskManager::AlreadyRegistered), ["measure", "jm Heartbeat"]);

    let mut bench = Bench::new();
    bench.event(Event::Connected);
    assert_eq!(bench.jm_says(ToTaskManager::RefuseRegistration { reason: "no".into() }), ["terminate true"]);

    let mut bench = Bench::running();
    let end = ToTaskManager::RefuseRegistration { reason: "the cluster is shut down".into() };
    assert_eq!(bench.jm_says(end), ["jm DisconnectTaskManager", "w0 Stop"], "the cluster ends");
    assert_eq!(bench.event(exited(0)).last().map(String::as_str), Some("terminate false"));
}

#[test]
fn a_lost_job_manager_is_registered_with_again() {
    let mut bench = Bench::running();
    assert!(bench.event(Event::Disconnected).is_empty());
    assert_eq!(bench.event(Event::Connected), ["jm Register epoch 1 tasks 1"]);
    assert!(bench.jm_says(submit(1)).is_empty(), "not before it is registered");
    let expected = ["measure", "w0 RequestMetrics", "jm Heartbeat", "jm WorkerStarted"];
    assert_eq!(bench.acknowledge(), expected);
}

#[test]
fn silence_of_the_job_manager_ends_the_connection() {
    let mut bench = Bench::running();
    let happened = bench.silence(seconds(6));
    assert!(happened.contains(&"close".to_owned()), "{happened:?}");
    assert!(!bench.core.is_operational());
    assert_eq!(bench.core.running().count(), 1, "its tasks go on");
}

#[test]
fn only_the_present_leader_is_obeyed() {
    let mut bench = Bench::running();
    bench.epoch = 2;
    assert_eq!(bench.jm_says(submit(1)), ["jm Register epoch 1 tasks 1"], "not accepted by the new leader yet");
    assert!(!bench.core.is_operational());
    let happened = bench.acknowledge();
    assert!(happened.contains(&"w0 Stop".to_owned()), "what runs is of no use to the new leader: {happened:?}");
    bench.epoch = 1;
    assert!(bench.jm_says(ToTaskManager::CancelTask(attempt(0))).is_empty(), "the old leader");
    assert!(bench.acknowledge().is_empty());
    bench.epoch = 2;
    let happened = bench.event(exited(0));
    assert!(!happened.iter().any(|what| what.contains("WorkerLost")), "{happened:?}");
    assert_eq!(bench.core.running().count(), 0);
}

#[test]
fn a_zombie_does_not_obey_what_waited_in_its_socket() {
    let mut bench = Bench::running();
    bench.now += seconds(60);
    assert_eq!(bench.jm_says(submit(1)), ["close"]);
    assert_eq!(bench.event(Event::Connected), ["jm Register epoch 1 tasks 1"]);
    bench.acknowledge();
    assert!(bench.heartbeat(&[], &[]).starts_with(&["w0 FailTask".into(), "w0 Stop".into()]));
    assert!(bench.event(exited(0)).contains(&"jm FAILED 0".to_owned()));
    assert_eq!(bench.core.jobs().count() + bench.core.running().count(), 0);
}

#[test]
fn a_program_is_fetched_piece_by_piece() {
    let artifact = Artifact { name: "program".into(), sha256: "ab".into(), size: 10 };
    let piece = |offset, bytes: &[u8]| ToTaskManager::ArtifactPiece {
        sha256: "ab".into(),
        offset,
        bytes: Ok(bytes.to_vec().into()),
    };
    let found = |present| Event::ArtifactFound { sha256: "ab".into(), present };
    let stored = |result| Event::ArtifactStored { sha256: "ab".into(), result };

    let mut bench = Bench::registered();
    assert_eq!(bench.jm_says(start_worker(Some(artifact.clone()))), ["find"]);
    assert_eq!(bench.event(found(false)), ["jm RequestArtifact 0"]);
    assert!(bench.jm_says(start_worker(Some(artifact.clone()))).is_empty());
    assert_eq!(bench.jm_says(piece(0, b"123456")), ["store 0+6 false", "jm RequestArtifact 6"]);
    assert!(bench.jm_says(piece(0, b"123456")).is_empty(), "doubled");
    assert_eq!(bench.pass(seconds(2)), ["jm RequestArtifact 6"], "the piece was lost");
    assert_eq!(bench.jm_says(piece(6, b"7890")), ["store 6+4 true"]);
    assert_eq!(bench.event(stored(Ok(()))), ["spawn 0"]);

    for (answer, name) in [(piece(0, b""), "short"), (piece(0, b"12345678901"), "long")] {
        let mut bench = Bench::registered();
        bench.jm_says(start_worker(Some(artifact.clone())));
        bench.event(found(false));
        assert_eq!(bench.jm_says(answer), ["jm WorkerLost"], "{name}");
    }
    let mut bench = Bench::registered();
    bench.jm_says(start_worker(Some(artifact.clone())));
    assert_eq!(bench.event(found(true)), ["spawn 0"], "here already");

    let mut bench = Bench::registered();
    bench.jm_says(start_worker(Some(artifact.clone())));
    bench.event(found(false));
    assert_eq!(bench.event(stored(Err("disk full".into()))), ["jm WorkerLost"]);

    let mut bench = Bench::registered();
    bench.jm_says(start_worker(Some(artifact)));
    bench.event(found(false));
    assert_eq!(bench.pass(seconds(100)).last().map(String::as_str), Some("jm WorkerLost"), "nobody answers");
    assert_eq!(bench.core.jobs().count(), 0);
}

#[test]
fn a_started_worker_is_told_of_until_acknowledged() {
    let mut bench = Bench::registered();
    bench.jm_says(start_worker(None));
    assert!(bench.jm_says(start_worker(None)).is_empty(), "it starts already");
    assert_eq!(bench.on_worker_message(0, started()), ["jm WorkerStarted"]);
    assert_eq!(bench.pass(seconds(2)), ["jm WorkerStarted", "jm WorkerStarted"]);
    bench.jm_says(ToTaskManager::WorkerStartedAcknowledged { job: JOB });
    assert!(bench.pass(seconds(10)).is_empty());
    assert_eq!(bench.jm_says(start_worker(None)), ["jm WorkerStarted"], "asked for again: told again");
}

#[test]
fn workers_that_do_not_start_are_given_up() {
    let mut bench = Bench::registered();
    bench.jm_says(start_worker(None));
    assert_eq!(bench.pass(seconds(121)), ["kill 0"]);
    let lost = bench.raw(exited(0));
    let lost = lost.iter().find_map(|action| match action {
        Action::SendToJobManager(Envelope { message: ToJobManager::WorkerLost { reason, .. }, .. }) => Some(reason),
        _ => None,
    });
    assert!(lost.is_some_and(|reason| reason.contains("within 120s (taskmanager.worker.start-timeout)")), "{lost:?}");

    let mut bench = Bench::registered();
    bench.jm_says(start_worker(None));
    assert!(bench.on_worker_message(0, FromWorker::Refused { reason: "another graph".into() }).is_empty());
    assert_eq!(bench.pass(seconds(6)), ["kill 0"], "it should have ended by itself");
    let lost = bench.raw(exited(0));
    let Action::SendToJobManager(Envelope { message, .. }) = &lost[0] else { panic!("{lost:?}") };
    let ToJobManager::WorkerLost { reason, unrecoverable: true, .. } = message else { panic!("{message:?}") };
    assert!(reason.contains("another graph") && reason.contains("exit status 3"), "{reason}");

    let mut bench = Bench::registered();
    bench.jm_says(start_worker(None));
    bench.on_worker_message(0, FromWorker::Started { protocol_version: 99, data_address: String::new() });
    assert_eq!(bench.event(exited(0)), ["jm WorkerLost"], "built with another version");
}

#[test]
fn a_lost_worker_takes_its_tasks_along() {
    let mut bench = Bench::running();
    bench.jm_says(submit(1));
    bench.jm_says(ToTaskManager::CancelTask(attempt(1)));
    assert_eq!(bench.event(exited(0)), ["jm WorkerLost", "jm FAILED 0", "jm CANCELED 1"]);
    assert!(bench.event(exited(0)).is_empty());
    bench.acknowledge_state(0, ExecutionState::Failed, true);
    bench.acknowledge_state(1, ExecutionState::Canceled, true);
    assert!(bench.pass(seconds(5)).is_empty());
    // A new worker of the job has another name, and what the old one said late does not count for it.
    assert_eq!(bench.jm_says(start_worker(None)), ["spawn 1"]);
    assert!(bench.on_worker_message(0, started()).is_empty());
    assert_eq!(bench.on_worker_message(1, started()), ["jm WorkerStarted"]);
}

#[test]
fn a_worker_stops_or_is_killed() {
    let mut bench = Bench::running();
    assert_eq!(bench.jm_says(ToTaskManager::StopWorker { job: JOB }), ["w0 Stop"]);
    assert!(bench.jm_says(ToTaskManager::StopWorker { job: JOB }).is_empty());
    assert_eq!(bench.pass(seconds(6)), ["kill 0"]);
    assert_eq!(bench.event(exited(0)), ["jm CANCELED 0"], "it was told to: it is not lost");

    let mut bench = Bench::working();
    bench.jm_says(ToTaskManager::StopWorker { job: JOB });
    assert!(bench.jm_says(start_worker(None)).is_empty(), "the old one must go first");
    assert_eq!(bench.event(exited(0)), ["spawn 1"]);
}

#[test]
fn states_are_reported_until_acknowledged() {
    let mut bench = Bench::working();
    bench.jm_says(submit(0));
    assert_eq!(bench.on_worker_message(0, changed(0, ExecutionState::Initializing)), ["jm INITIALIZING 0"]);
    assert_eq!(bench.on_worker_message(0, changed(0, ExecutionState::Running)), ["jm RUNNING 0"]);
    assert!(bench.acknowledge_state(0, ExecutionState::Initializing, true).is_empty(), "an older state");
    assert_eq!(bench.pass(seconds(2)), ["jm RUNNING 0", "jm RUNNING 0"]);
    bench.acknowledge_state(0, ExecutionState::Running, true);
    assert!(bench.pass(seconds(10)).is_empty());
    assert!(bench.on_worker_message(0, changed(0, ExecutionState::Deploying)).is_empty(), "a life goes forward");
    bench.state(0, ExecutionState::Finished);
    assert!(bench.on_worker_message(0, changed(0, ExecutionState::Failed)).is_empty());
}

#[test]
fn an_execution_that_the_job_manager_does_not_know_ends_in_silence() {
    let mut bench = Bench::running();
    assert_eq!(bench.acknowledge_state(0, ExecutionState::Running, false), ["w0 CancelTask"]);
    assert!(bench.on_worker_message(0, changed(0, ExecutionState::Canceled)).is_empty());
    assert_eq!(bench.core.running().count(), 0);
}

#[test]
fn doubled_and_late_messages_do_no_harm() {
    let mut bench = Bench::running();
    assert_eq!(bench.jm_says(submit(0)), ["jm RUNNING 0"], "known: its state again");
    bench.acknowledge_state(0, ExecutionState::Running, true);
    bench.state(0, ExecutionState::Finished);
    for late in [submit(0), ToTaskManager::CancelTask(attempt(0)), fail(0)] {
        assert_eq!(bench.jm_says(late), ["jm FINISHED 0"], "ended: its end again");
        bench.acknowledge_state(0, ExecutionState::Finished, true);
    }
    assert_eq!(bench.jm_says(ToTaskManager::CancelTask(attempt(1))), ["jm CANCELED 1"], "never seen");
    bench.acknowledge_state(1, ExecutionState::Canceled, true);
    assert_eq!(bench.jm_says(submit(1)), ["jm CANCELED 1"], "it was overtaken by its cancellation");
    assert_eq!(bench.jm_says(fail(2)), ["jm FAILED 2"]);
}

fn fail(subtask: u32) -> ToTaskManager {
    ToTaskManager::FailTask { attempt: attempt(subtask), reason: "test".into() }
}

#[test]
fn what_cannot_run_is_reported_as_failed() {
    let mut bench = Bench::registered();
    assert_eq!(bench.jm_says(submit(0)), ["jm FAILED 0"], "no worker");
    let mut bench = Bench::working();
    let descriptor = TaskDeploymentDescriptor { attempt: attempt(0), slot: 9, inputs: Vec::new(), outputs: Vec::new() };
    assert_eq!(bench.jm_says(ToTaskManager::SubmitTask(Box::new(descriptor))), ["jm FAILED 0"], "no such slot");
}

#[test]
fn a_task_that_does_not_end_costs_its_worker() {
    let mut bench = Bench::running();
    bench.jm_says(submit(1));
    bench.state(1, ExecutionState::Running);
    assert_eq!(bench.jm_says(ToTaskManager::CancelTask(attempt(0))), ["w0 CancelTask"]);
    assert!(bench.pass(seconds(9)).is_empty());
    assert!(bench.jm_says(ToTaskManager::CancelTask(attempt(0))).is_empty());
    assert_eq!(bench.pass(seconds(1)), ["kill 0"]);
    let happened = bench.raw(exited(0));
    assert!(format!("{happened:?}").contains("task.cancellation.timeout"), "{happened:?}");
    let happened: Vec<String> = happened.iter().map(describe).collect();
    assert_eq!(happened, ["jm WorkerLost", "jm CANCELED 0", "jm FAILED 1"]);
}

#[test]
fn splits_are_asked_for_until_they_come() {
    let split = InputSplit { number: 0, descriptor: vec![], description: String::new(), hosts: vec![], length: 1 };
    let answer = |request| ToTaskManager::NextInputSplit { attempt: attempt(0), request, split: Some(split.clone()) };
    let want = |request| FromWorker::RequestNextInputSplit { attempt: attempt(0), request };
    let mut bench = Bench::running();
    assert_eq!(bench.on_worker_message(0, want(0)), ["jm split 0"]);
    assert_eq!(bench.pass(Duration::from_millis(600)), ["jm split 0"]);
    assert_eq!(bench.jm_says(answer(0)), ["w0 NextInputSplit"]);
    assert!(bench.jm_says(answer(0)).is_empty(), "doubled");
    assert_eq!(bench.on_worker_message(0, want(1)), ["jm split 1"]);
    assert!(bench.jm_says(answer(0)).is_empty(), "late");
    assert_eq!(bench.jm_says(answer(1)), ["w0 NextInputSplit"]);
    assert!(bench.pass(seconds(5)).is_empty());
}

#[test]
fn heartbeats_reconcile_both_sides() {
    let mut bench = Bench::running();
    assert!(bench.heartbeat(&[], &[]).is_empty(), "it may have been sent before SubmitTask");
    bench.now += seconds(3);
    bench.event(Event::Tick);
    assert_eq!(bench.heartbeat(&[], &[]), ["w0 FailTask", "w0 Stop"]);

    let mut bench = Bench::running();
    let there = [attempt(0), attempt(1)];
    assert!(bench.heartbeat(&[JOB], &there).is_empty(), "SubmitTask may be on its way");
    let mut happened = Vec::new();
    for _ in 0..4 {
        bench.now += seconds(1);
        happened.extend(bench.heartbeat(&[JOB], &there));
    }
    assert!(happened.contains(&"jm FAILED 1".to_owned()), "{happened:?}");
    bench.acknowledge_state(1, ExecutionState::Failed, true);
    assert_eq!(bench.jm_says(submit(1)), ["jm FAILED 1"], "what was given up does not start late");
}

#[test]
fn heartbeats_carry_what_there_is() {
    let mut bench = Bench::running();
    let metrics = WorkerMetrics { tasks: Vec::new(), network_read_bytes: 5, network_written_bytes: 6 };
    bench.on_worker_message(0, FromWorker::Metrics(metrics));
    bench.now += seconds(1);
    let actions = bench.raw(Event::Tick);
    let report = actions.iter().find_map(|action| match action {
        Action::SendToJobManager(Envelope { message: ToJobManager::Heartbeat(report), epoch: 1 }) => Some(report),
        _ => None,
    });
    let report = report.unwrap();
    assert_eq!((report.tasks.len(), report.workers.as_slice()), (1, [JOB].as_slice()));
    assert_eq!(report.statistics.network_read_bytes, 5);
    assert!(actions.contains(&Action::SendToWorker { worker: WorkerId(0), message: ToWorker::RequestMetrics }));
}

/// Whoever watches a short job sees its figures.
#[test]
fn heartbeats_come_often_while_a_task_is_young() {
    let beats =
        |bench: &mut Bench| bench.silence(Duration::from_secs(4)).iter().filter(|what| *what == "jm Heartbeat").count();
    assert_eq!(beats(&mut Bench::working()), 4);
    let mut bench = Bench::running();
    assert_eq!(beats(&mut bench), 32);
    bench.heartbeat(&[JOB], &[attempt(0)]);
    bench.pass(Duration::from_secs(10));
    assert_eq!(beats(&mut bench), 4);
}

#[test]
fn newer_tokens_are_stored_and_named_in_heartbeats() {
    let mut bench = Bench::registered();
    let update = |version| {
        let file = b"secret".to_vec().into();
        ToTaskManager::UpdateDelegationTokens(DelegationTokens { version, file })
    };
    assert!(!format!("{:?}", update(1)).contains("115"), "tokens are not printed: {:?}", update(1));
    let reported = |bench: &mut Bench| {
        bench.now += seconds(1);
        let actions = bench.raw(Event::Tick);
        let reports = actions.into_iter().filter_map(|action| match action {
            Action::SendToJobManager(Envelope { message: ToJobManager::Heartbeat(report), .. }) => Some(report),
            _ => None,
        });
        reports.map(|report| report.delegation_tokens).next_back().unwrap()
    };
    assert_eq!(bench.jm_says(update(1)), ["tokens 1"]);
    assert_eq!(reported(&mut bench), 0, "they are not in use yet");
    assert_eq!(bench.jm_says(update(1)), ["tokens 1"], "it may have failed");
    assert!(bench.event(Event::TokensStored { epoch: 1, version: 1 }).is_empty());
    assert_eq!(reported(&mut bench), 1);
    assert!(bench.jm_says(update(1)).is_empty(), "they are in use");
    assert_eq!(bench.jm_says(update(3)), ["tokens 3"]);
    bench.event(Event::TokensStored { epoch: 1, version: 3 });
    assert!(bench.jm_says(update(2)).is_empty(), "what was late is older");

    // Another leader counts anew.
    bench.event(Event::Disconnected);
    bench.event(Event::Connected);
    bench.epoch = 2;
    bench.acknowledge();
    bench.event(Event::TokensStored { epoch: 1, version: 3 });
    assert_eq!(reported(&mut bench), 0);
    assert_eq!(bench.jm_says(update(1)), ["tokens 1"]);
}

#[test]
fn a_worker_speaks_only_for_its_own_tasks() {
    let mut bench = Bench::running();
    assert!(bench.on_worker_message(5, changed(0, ExecutionState::Finished)).is_empty());
    assert!(bench.on_worker_message(0, changed(3, ExecutionState::Finished)).is_empty());
    assert!(
        bench.on_worker_message(0, FromWorker::RequestNextInputSplit { attempt: attempt(3), request: 0 }).is_empty()
    );
}

#[test]
fn the_ended_are_remembered_within_bounds() {
    let mut bench = Bench::registered();
    for subtask in 0..100 {
        bench.jm_says(ToTaskManager::CancelTask(attempt(subtask)));
        bench.acknowledge_state(subtask, ExecutionState::Canceled, true);
    }
    let known = (0..100).filter(|subtask| bench.core.ended.state(&attempt(*subtask)).is_some()).count();
    assert_eq!((known, bench.core.reports.len()), (8, 0));
}

#[test]
fn an_orderly_end_stops_the_workers_first() {
    let mut bench = Bench::running();
    let shut_down = || Event::ShutDown { reason: "told to".into() };
    assert_eq!(bench.event(shut_down()), ["jm DisconnectTaskManager", "w0 Stop"]);
    assert!(bench.event(shut_down()).is_empty());
    assert_eq!(bench.event(exited(0)).last().map(String::as_str), Some("terminate false"));

    let mut bench = Bench::running();
    bench.event(shut_down());
    assert_eq!(bench.silence(seconds(6)), ["kill 0"]);
    assert_eq!(Bench::new().event(shut_down()), ["terminate false"]);
}
