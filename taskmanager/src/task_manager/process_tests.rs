//! The shell with real processes: small programs that behave badly, and a test that plays the JobManager.

use std::time::Duration;

use flink_graph::{
    Artifact, Configuration, ExecutionAttemptId, ExecutionState, Fingerprint, JobGraph, JobId, JobVertexId,
    RuntimeMode, TaskManagerId,
};
use flink_protocol::task_manager::{
    JobInformation, TaskDeploymentDescriptor, TaskStateUpdate, ToJobManager, ToTaskManager,
};
use flink_protocol::worker::FromWorker;
use flink_protocol::{Envelope, PROTOCOL_VERSION};
use flink_transport::channels::in_memory;
use flink_transport::{ChannelPair, frame};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{InMemoryConnector, JobManagerLink, ProcessLauncher, TaskManagerError, TaskManagerProcess};

const JOB: JobId = JobId::from_u128(7);
const TIMEOUT: Duration = Duration::from_secs(60);

/// A TaskManager with its JobManager played by the test.
struct Bench {
    link: ChannelPair<Envelope<ToJobManager>, Envelope<ToTaskManager>>,
    shutdown: Option<oneshot::Sender<()>>,
    running: JoinHandle<Result<(), TaskManagerError>>,
    folder: tempfile::TempDir,
    script: Vec<u8>,
}

impl Bench {
    async fn start(script: &str, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut configuration = Configuration::default();
        configuration.set("io.tmp.dirs", folder.path().display().to_string());
        configuration.set("heartbeat.interval", "100 ms");
        for (key, value) in settings {
            configuration.set(*key, *value);
        }
        let (near, far) = in_memory(64);
        let mut far: Option<JobManagerLink> = Some(far);
        let connector = InMemoryConnector::new(move || far.take());
        let id = TaskManagerId("tm".into());
        let process = TaskManagerProcess::new(configuration, id, connector, ProcessLauncher::new(1 << 20));
        let (shutdown, ended) = oneshot::channel();
        let running = tokio::spawn(process.run(async move {
            let _ = ended.await;
            "the test is over".to_owned()
        }));
        let script = format!("#!/bin/bash\n{script}\n").into_bytes();
        let mut bench = Self { link: near, shutdown: Some(shutdown), running, folder, script };
        bench.expect(|message| matches!(message, ToJobManager::RegisterTaskManager(_))).await;
        bench
            .say(ToTaskManager::AcknowledgeRegistration { heartbeat_interval_ms: 100, heartbeat_timeout_ms: 60_000 })
            .await;
        bench
    }

    async fn say(&self, message: ToTaskManager) {
        self.link.outgoing.send(Envelope { epoch: 1, message }).await.unwrap();
    }

    /// Waits for a message; serves the program and acknowledges states meanwhile.
    async fn expect(&mut self, wanted: impl Fn(&ToJobManager) -> bool) -> ToJobManager {
        let waiting = async {
            loop {
                let message = self.link.incoming.recv().await.expect("the TaskManager lives").message;
                if let ToJobManager::RequestArtifact { sha256, offset } = &message {
                    let end = self.script.len().min(*offset as usize + 1000);
                    let bytes = Ok(self.script[*offset as usize..end].to_vec().into());
                    self.say(ToTaskManager::ArtifactPiece { sha256: sha256.clone(), offset: *offset, bytes }).await;
                }
                if let ToJobManager::UpdateTaskExecutionState(update) = &message {
                    let (attempt, state) = (update.attempt, update.state);
                    self.say(ToTaskManager::TaskStateAcknowledged { attempt, state, known: true }).await;
                }
                if wanted(&message) {
                    return message;
                }
            }
        };
        tokio::time::timeout(TIMEOUT, waiting).await.expect("the message comes in time")
    }

    async fn start_worker(&mut self) {
        let sha256 = flink_transport::token::hex(&Sha256::digest(&self.script));
        let program = Some(Artifact { name: "program".into(), sha256, size: self.script.len() as u64 });
        let graph = JobGraph {
            job_id: JOB,
            name: "test".into(),
            mode: RuntimeMode::Batch,
            configuration: Configuration::default(),
            vertices: Vec::new(),
            fingerprint: Fingerprint::default(),
            arguments: vec!["--input".into(), "a b".into()],
            action: 0,
            earlier_results: Vec::new(),
            program: program.clone(),
        };
        let information = JobInformation { graph, program, cluster_configuration: Configuration::default() };
        self.say(ToTaskManager::StartWorker(Box::new(information))).await;
    }

    async fn lost(&mut self) -> String {
        match self.expect(|message| matches!(message, ToJobManager::WorkerLost { .. })).await {
            ToJobManager::WorkerLost { reason, .. } => reason,
            other => panic!("{other:?}"),
        }
    }

    async fn log(&mut self) -> String {
        let mut text = String::new();
        let mut offset = 0;
        loop {
            self.say(ToTaskManager::RequestLog { request: 1, job: Some(JOB), offset }).await;
            match self.expect(|message| matches!(message, ToJobManager::LogPiece { .. })).await {
                ToJobManager::LogPiece { piece: Ok(piece), .. } => {
                    text += &piece.text;
                    offset = piece.next_offset;
                    if piece.at_end {
                        return text;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }

    async fn end(mut self) {
        drop(self.shutdown.take());
        // A JobManager closes the connection of a TaskManager that says goodbye.
        self.expect(|message| matches!(message, ToJobManager::DisconnectTaskManager { .. })).await;
        let (closed, _) = in_memory(1);
        drop(std::mem::replace(&mut self.link, closed));
        let ended = tokio::time::timeout(TIMEOUT, &mut self.running).await.expect("it ends").unwrap();
        assert!(ended.is_ok(), "{ended:?}");
        let left = std::fs::read_dir(self.folder.path()).unwrap().count();
        assert_eq!(left, 0, "its folder is removed");
    }
}

/// Bash that sends a message over the control connection.
fn say(message: &FromWorker) -> String {
    let bytes = frame::frame(message, 1 << 20).unwrap();
    let escaped: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    format!("printf '{escaped}' >&$FLINK_YARN_CONTROL_FD")
}

fn say_started() -> String {
    say(&FromWorker::Started { protocol_version: PROTOCOL_VERSION, data_address: "127.0.0.1:1".into() })
}

fn attempt() -> ExecutionAttemptId {
    ExecutionAttemptId { job: JOB, vertex: JobVertexId::from_u128(1), subtask: 0, attempt: 0, epoch: 1 }
}

#[tokio::test]
async fn a_program_that_exits_is_reported_with_its_last_words() {
    let mut bench = Bench::start("echo \"mode $FLINK_YARN_MODE args $# $2\"; echo last words >&2; exit 3", &[]).await;
    bench.start_worker().await;
    let reason = bench.lost().await;
    assert!(reason.contains("exit status 3") && reason.contains("last words"), "{reason}");
    let log = bench.log().await;
    assert!(log.contains("mode worker args 2 a b"), "{log}");
    bench.end().await;
}

#[tokio::test]
async fn tasks_of_a_killed_worker_fail() {
    let running = say(&FromWorker::UpdateTaskExecutionState(TaskStateUpdate {
        attempt: attempt(),
        state: ExecutionState::Running,
        failure: None,
        metrics: None,
    }));
    let script = format!("{}; sleep 0.3; {running}; sleep 0.3; kill -9 $$", say_started());
    let mut bench = Bench::start(&script, &[]).await;
    bench.start_worker().await;
    bench.expect(|message| matches!(message, ToJobManager::WorkerStarted { .. })).await;
    bench.say(ToTaskManager::WorkerStartedAcknowledged { job: JOB }).await;
    let descriptor = TaskDeploymentDescriptor { attempt: attempt(), slot: 0, inputs: vec![], outputs: vec![] };
    bench.say(ToTaskManager::SubmitTask(Box::new(descriptor))).await;
    let state = |wanted| move |message: &ToJobManager| matches!(message, ToJobManager::UpdateTaskExecutionState(update) if update.state == wanted);
    bench.expect(state(ExecutionState::Running)).await;
    let reason = bench.lost().await;
    assert!(reason.contains("signal 9 (SIGKILL"), "{reason}");
    bench.expect(state(ExecutionState::Failed)).await;
    bench.end().await;
}

#[tokio::test]
async fn a_program_that_prints_much_is_bounded_and_not_held_up() {
    let script = "head -c 30000000 /dev/zero | tr '\\0' '\\n'; echo the end; exit 0";
    let mut bench = Bench::start(script, &[("taskmanager.log.max-size", "64 kb")]).await;
    bench.start_worker().await;
    bench.lost().await;
    let log = bench.log().await;
    assert!(log.ends_with("the end\n") && log.len() < 200_000, "{}", log.len());
    assert!(log.contains("taskmanager.log.max-size"));
    bench.end().await;
}

#[tokio::test]
async fn a_program_that_ignores_stop_is_killed_with_its_children() {
    let script = format!("trap '' TERM; {}; sleep 1000 & echo child $!; wait", say_started());
    let mut bench = Bench::start(&script, &[]).await;
    bench.start_worker().await;
    bench.expect(|message| matches!(message, ToJobManager::WorkerStarted { .. })).await;
    let child = loop {
        let log = bench.log().await;
        if let Some((_, child)) = log.split_once("child ")
            && log.ends_with('\n')
        {
            break child.trim().to_owned();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    bench.say(ToTaskManager::StopWorker { job: JOB }).await;
    let gone = |message: &ToJobManager| matches!(message, ToJobManager::Heartbeat(report) if report.workers.is_empty());
    bench.expect(gone).await;
    bench.end().await;
    let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "{stat}");
}

#[tokio::test]
async fn a_program_that_takes_too_much_memory_is_killed_with_advice() {
    let script = format!("{}; a=x; while true; do a=$a$a; done", say_started());
    let mut bench = Bench::start(&script, &[("taskmanager.memory.process.size", "300 mb")]).await;
    bench.start_worker().await;
    let reason = bench.lost().await;
    assert!(reason.contains("taskmanager.memory.process.size allows (300 MB)"), "{reason}");
    assert!(reason.contains("for example to "), "{reason}");
    bench.end().await;
}

#[tokio::test]
async fn a_worker_inherits_nothing_but_its_control_connection() {
    let secret = std::fs::File::open("/proc/self/status").unwrap();
    let mut bench = Bench::start("ls -l /proc/$$/fd; env | grep FLINK_YARN; exit 1", &[]).await;
    bench.start_worker().await;
    bench.lost().await;
    let log = bench.log().await;
    let sockets = log.matches("socket:").count();
    assert_eq!(sockets, 1, "{log}");
    assert!(!log.contains("status") && log.matches("FLINK_YARN_").count() == 2, "{log}");
    drop(secret);
    bench.end().await;
}

#[tokio::test]
async fn no_job_manager_is_said_with_the_settings() {
    let folder = tempfile::tempdir().unwrap();
    let mut configuration = Configuration::default();
    configuration.set("io.tmp.dirs", folder.path().display().to_string());
    configuration.set("taskmanager.registration.timeout", "200 ms");
    let connector = InMemoryConnector::new(|| None);
    let id = TaskManagerId("tm".into());
    let process = TaskManagerProcess::new(configuration, id, connector, ProcessLauncher::new(1 << 20));
    let error = process.run(std::future::pending()).await.unwrap_err().to_string();
    assert!(error.contains("jobmanager.rpc.address") && error.contains("the JobManager has ended"), "{error}");
}
