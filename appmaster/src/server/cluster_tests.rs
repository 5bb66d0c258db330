//! The server with real TaskManagers and small programs that behave badly.

use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use flink_graph::{Artifact, Configuration, JobGraph, JobId, JobStatus, TaskManagerId};
use flink_protocol::client::{ClientRequest, ClientRequestBody, ClientResponseBody, JobResult};
use flink_protocol::task_manager::{ToJobManager, ToTaskManager};
use flink_protocol::worker::FromWorker;
use flink_protocol::{Envelope, PROTOCOL_VERSION};
use flink_taskmanager::task_manager::{
    InMemoryConnector, NetworkConnector, ProcessLauncher, TaskManagerError, TaskManagerProcess,
};
use flink_transport::channels::in_memory;
use flink_transport::{CertificateAuthority, Dialer, Role, frame, token};

use super::connections::ClientLink;
use super::tests::job;
use super::{Handle, JobManagerServer, ServerOptions};
use crate::job_manager::JobManager;

const TIMEOUT: Duration = Duration::from_secs(60);

fn configuration(folder: &tempfile::TempDir) -> Configuration {
    let mut configuration = Configuration::default();
    configuration.set("jobmanager.rpc.port", "0");
    configuration.set("io.tmp.dirs", folder.path().display().to_string());
    configuration.set("heartbeat.interval", "100 ms").set("heartbeat.timeout", "2 s");
    configuration
}

struct RunningTaskManager {
    running: JoinHandle<Result<(), TaskManagerError>>,
    _end: oneshot::Sender<()>,
}

fn run(process: TaskManagerProcess) -> RunningTaskManager {
    let (end, ended) = oneshot::channel();
    let running = tokio::spawn(process.run(async move {
        let _ = ended.await;
        "the test is over".to_owned()
    }));
    RunningTaskManager { running, _end: end }
}

async fn until(handle: &Handle, wanted: impl Fn(&JobManager) -> bool + Clone + Send + 'static) {
    let waiting = async {
        while !handle.query(wanted.clone()).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, waiting).await.expect("it comes to be in time");
}

async fn ask(client: &mut ClientLink, body: ClientRequestBody) -> ClientResponseBody {
    client.outgoing.send(ClientRequest { number: 0, body }).await.unwrap();
    tokio::time::timeout(TIMEOUT, client.incoming.recv()).await.unwrap().unwrap().body.unwrap()
}

async fn run_script(client: &mut ClientLink, script: &str) -> JobResult {
    let bytes = format!("#!/bin/bash\n{script}\n").into_bytes();
    let sha256 = token::hex(&Sha256::digest(&bytes));
    let size = bytes.len() as u64;
    let put = ClientRequestBody::PutArtifact { sha256: sha256.clone(), offset: 0, bytes, last: true };
    assert_eq!(ask(client, put).await, ClientResponseBody::ArtifactStored);
    let program = Some(Artifact { name: "program".into(), sha256, size });
    let graph = Box::new(JobGraph { program, ..job(77) });
    let id: JobId = graph.job_id;
    let submitted = ask(client, ClientRequestBody::SubmitJob { graph, detached: false }).await;
    assert_eq!(submitted, ClientResponseBody::JobSubmitSuccess(id));
    match ask(client, ClientRequestBody::RequestJobResult { job: id, wait_ms: 15_000 }).await {
        ClientResponseBody::JobResult(result) => *result,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_program_that_dies_fails_its_job_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let authority = CertificateAuthority::new("c1").unwrap();
    let own = authority.issue(Role::JobManager, "jm", 0).unwrap();
    let handle = JobManagerServer::start(ServerOptions::network(configuration(&folder), Some(own))).await.unwrap();
    let keys = authority.issue(Role::TaskManager, "tm", 0).unwrap();
    let dialer = Dialer::new(Some(&keys), Role::TaskManager, 64 << 20, TIMEOUT).unwrap();
    let connector = NetworkConnector::new(dialer, handle.rpc_address().unwrap().to_string(), TIMEOUT);
    let launcher = ProcessLauncher::new(64 << 20);
    let id = TaskManagerId("tm".into());
    let task_manager = run(TaskManagerProcess::new(configuration(&folder), id, connector, launcher));

    let mut client = handle.connect_client().unwrap();
    let result = run_script(&mut client, "echo my last words >&2; exit 7").await;
    assert_eq!(result.status, JobStatus::Failed);
    let failure = result.failure.unwrap();
    assert!(failure.contains("exit status 7") && failure.contains("my last words"), "{failure}");

    // The end of the cluster is the end of its TaskManagers, at once.
    handle.shut_down().await;
    let ended = tokio::time::timeout(TIMEOUT, task_manager.running).await.unwrap().unwrap();
    assert!(ended.is_ok(), "{ended:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
}

#[tokio::test]
async fn a_task_manager_cannot_take_anothers_place() {
    let folder = tempfile::tempdir().unwrap();
    let authority = CertificateAuthority::new("c1").unwrap();
    let own = authority.issue(Role::JobManager, "jm", 0).unwrap();
    let handle = JobManagerServer::start(ServerOptions::network(configuration(&folder), Some(own))).await.unwrap();
    let start = |name: &str, id: &str| {
        let keys = authority.issue(Role::TaskManager, name, 0).unwrap();
        let dialer = Dialer::new(Some(&keys), Role::TaskManager, 64 << 20, TIMEOUT).unwrap();
        let connector = NetworkConnector::new(dialer, handle.rpc_address().unwrap().to_string(), TIMEOUT);
        let launcher = ProcessLauncher::new(64 << 20);
        run(TaskManagerProcess::new(configuration(&folder), TaskManagerId(id.into()), connector, launcher))
    };
    let _first = start("tm-1", "tm-1@host");
    until(&handle, |job_manager| job_manager.overview().task_managers == 1).await;
    let impostor = start("tm-2", "tm-1@other");
    let ended = tokio::time::timeout(TIMEOUT, impostor.running).await.unwrap().unwrap();
    let error = ended.unwrap_err().to_string();
    assert!(error.contains("is that of TaskManager `tm-2`, and the id is `tm-1@other`"), "{error}");
    assert_eq!(handle.query(|job_manager| job_manager.overview().task_managers).await.unwrap(), 1);
    handle.shut_down().await;
}

#[tokio::test]
async fn a_cluster_in_one_process_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let handle = JobManagerServer::start(ServerOptions::local(configuration(&folder))).await.unwrap();
    let links = handle.clone();
    let connector = InMemoryConnector::new(move || links.connect_task_manager());
    let id = TaskManagerId("tm".into());
    let task_manager =
        run(TaskManagerProcess::new(configuration(&folder), id, connector, ProcessLauncher::new(1 << 20)));
    until(&handle, |job_manager| job_manager.overview().task_managers == 1).await;

    let started = FromWorker::Started { protocol_version: PROTOCOL_VERSION, data_address: "127.0.0.1:1".into() };
    let bytes = frame::frame(&started, 1 << 20).unwrap();
    let escaped: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    let script = format!("printf '{escaped}' >&$FLINK_YARN_CONTROL_FD; sleep 0.3; kill -SEGV $$");
    let mut client = handle.connect_client().unwrap();
    let result = run_script(&mut client, &script).await;
    assert_eq!(result.status, JobStatus::Failed);
    assert!(result.failure.as_deref().is_some_and(|failure| failure.contains("SIGSEGV")), "{result:?}");

    let begin = std::time::Instant::now();
    handle.shut_down().await;
    let ended = tokio::time::timeout(TIMEOUT, task_manager.running).await.unwrap().unwrap();
    assert!(ended.is_ok() && begin.elapsed() < Duration::from_secs(10), "{ended:?} {:?}", begin.elapsed());
}

#[tokio::test]
async fn a_task_manager_finds_the_next_leader() {
    let folder = tempfile::tempdir().unwrap();
    let options = ServerOptions { epoch: Some(2), ..ServerOptions::local(configuration(&folder)) };
    let second = JobManagerServer::start(options).await.unwrap();
    let (near, mut first) = in_memory::<Envelope<ToTaskManager>, Envelope<ToJobManager>>(64);
    let (mut near, links) = (Some(near), second.clone());
    let connector = InMemoryConnector::new(move || near.take().or_else(|| links.connect_task_manager()));
    let launcher = ProcessLauncher::new(1 << 20);
    let id = TaskManagerId("tm".into());
    let _task_manager = run(TaskManagerProcess::new(configuration(&folder), id, connector, launcher));

    // The first leader, played by the test, takes the TaskManager in, and is lost without a word.
    assert!(matches!(first.incoming.recv().await.unwrap().message, ToJobManager::RegisterTaskManager(_)));
    let message = ToTaskManager::AcknowledgeRegistration { heartbeat_interval_ms: 100, heartbeat_timeout_ms: 1_000 };
    first.outgoing.send(Envelope { epoch: 1, message }).await.unwrap();
    assert_eq!(first.incoming.recv().await.unwrap().epoch, 1);
    drop(first);
    until(&second, |job_manager| job_manager.overview().task_managers == 1).await;
    second.shut_down().await;
}
