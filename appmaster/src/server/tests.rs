//! The server over real sockets on the loopback interface.

use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

use flink_graph::{Configuration, Fingerprint, JobGraph, JobId, JobVertex, JobVertexId, RuntimeMode, TaskManagerId};
use flink_protocol::client::{ClientRequest, ClientRequestBody, ClientResponse, ClientResponseBody, LogRequest};
use flink_protocol::overview::LogPiece;
use flink_protocol::task_manager::{HardwareDescription, TaskManagerRegistration, ToJobManager, ToTaskManager};
use flink_protocol::worker::TlsMaterial;
use flink_protocol::{Envelope, PROTOCOL_VERSION};
use flink_transport::{CertificateAuthority, Connection, Dialer, HandshakeError, Role, token};

use super::{Handle, JobManagerServer, ServerOptions};

const LIMIT: u64 = 64 << 20;
const TIMEOUT: Duration = Duration::from_secs(60);
const EPOCH: u64 = 5;

fn configuration(folder: &tempfile::TempDir) -> Configuration {
    let mut configuration = Configuration::default();
    configuration.set("jobmanager.rpc.port", "0");
    configuration.set("io.tmp.dirs", folder.path().display().to_string());
    configuration.set("heartbeat.interval", "100 ms");
    configuration.set("rpc.ask.timeout", "300 ms");
    configuration
}

async fn serve(folder: &tempfile::TempDir, tls: Option<TlsMaterial>) -> Handle {
    let mut options = ServerOptions::network(configuration(folder), tls);
    options.epoch = Some(EPOCH);
    JobManagerServer::start(options).await.unwrap()
}

async fn dial(handle: &Handle, tls: Option<&TlsMaterial>, role: Role) -> Result<Connection, HandshakeError> {
    let dialer = Dialer::new(tls, role, LIMIT, TIMEOUT).unwrap();
    dialer.connect(&handle.rpc_address().unwrap().to_string(), Role::JobManager).await
}

/// A client over a socket.
struct Client {
    connection: Connection,
    next: u64,
}

impl Client {
    async fn new(handle: &Handle) -> Self {
        Self { connection: dial(handle, None, Role::Client).await.unwrap(), next: 0 }
    }

    async fn ask(&mut self, body: ClientRequestBody) -> Result<ClientResponseBody, String> {
        let number = self.next;
        self.next += 1;
        self.connection.writer.write(&ClientRequest { number, body }).await.unwrap();
        let read = self.connection.reader.read::<ClientResponse>();
        let response = tokio::time::timeout(TIMEOUT, read).await.unwrap().unwrap().unwrap();
        assert_eq!(response.number, number);
        response.body
    }

    async fn put(&mut self, content: &[u8]) -> String {
        let sha256 = token::hex(&Sha256::digest(content));
        let half = content.len() / 2;
        for (offset, bytes, last) in [(0, &content[..half], false), (half as u64, &content[half..], true)] {
            let bytes = bytes.to_vec();
            let piece = ClientRequestBody::PutArtifact { sha256: sha256.clone(), offset, bytes, last };
            assert_eq!(self.ask(piece).await, Ok(ClientResponseBody::ArtifactStored));
        }
        sha256
    }
}

/// A TaskManager over a socket, played by the test.
struct Peer(Connection);

impl Peer {
    async fn register(handle: &Handle, epoch: u64) -> Self {
        let mut peer = Self(dial(handle, None, Role::TaskManager).await.unwrap());
        let registration = TaskManagerRegistration {
            id: TaskManagerId("tm-1".into()),
            protocol_version: PROTOCOL_VERSION,
            host: "host".into(),
            slots: 2,
            hardware: HardwareDescription::default(),
            last_epoch: epoch,
            running: Vec::new(),
        };
        peer.say(epoch, ToJobManager::RegisterTaskManager(registration)).await;
        peer
    }

    async fn say(&mut self, epoch: u64, message: ToJobManager) {
        self.0.writer.write(&Envelope { epoch, message }).await.unwrap();
    }

    /// The next message that is no heartbeat; `None` when the connection has ended.
    async fn hear(&mut self) -> Option<Envelope<ToTaskManager>> {
        loop {
            let read = tokio::time::timeout(TIMEOUT, self.0.reader.read::<Envelope<ToTaskManager>>()).await.unwrap();
            match read.ok().flatten() {
                Some(Envelope { message: ToTaskManager::Heartbeat { .. }, .. }) => {}
                other => return other,
            }
        }
    }
}

pub(super) fn job(number: u128) -> JobGraph {
    let vertex = JobVertex {
        id: JobVertexId::from_u128(1),
        name: "vertex".into(),
        operators: Vec::new(),
        parallelism: 1,
        max_parallelism: 128,
        slot_sharing_group: "default".into(),
        blocking: false,
        inputs: Vec::new(),
        outputs: Vec::new(),
        input_splits: None,
    };
    JobGraph {
        job_id: JobId::from_u128(number),
        name: "job".into(),
        mode: RuntimeMode::Batch,
        configuration: Configuration::default(),
        vertices: vec![vertex],
        fingerprint: Fingerprint::default(),
        arguments: Vec::new(),
        action: 0,
        earlier_results: Vec::new(),
        program: None,
    }
}

#[tokio::test]
async fn clients_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let handle = serve(&folder, None).await;
    let mut client = Client::new(&handle).await;
    let overview = client.ask(ClientRequestBody::RequestClusterOverview).await;
    assert!(matches!(overview, Ok(ClientResponseBody::ClusterOverview(overview)) if overview.task_managers == 0));

    let graph = Box::new(job(9));
    let id = graph.job_id;
    let submit = ClientRequestBody::SubmitJob { graph, detached: true };
    assert_eq!(client.ask(submit).await, Ok(ClientResponseBody::JobSubmitSuccess(id)));
    let wait = ClientRequestBody::RequestJobResult { job: id, wait_ms: 50 };
    assert!(matches!(client.ask(wait).await, Ok(ClientResponseBody::JobRunning(_))), "it waits for slots");
    assert_eq!(handle.query(|job_manager| job_manager.jobs().len()).await, Ok(1));
    assert_eq!(handle.cancel_job(id).await, Ok(Ok(ClientResponseBody::CancellationSuccess(id))));
    let wait = ClientRequestBody::RequestJobResult { job: id, wait_ms: 5_000 };
    assert!(matches!(client.ask(wait).await, Ok(ClientResponseBody::JobResult(_))));
    handle.shut_down().await;
}

#[tokio::test]
async fn a_client_in_the_process_is_answered_too() {
    let folder = tempfile::tempdir().unwrap();
    let handle = JobManagerServer::start(ServerOptions::local(configuration(&folder))).await.unwrap();
    assert_eq!(handle.rpc_address(), None);
    let mut link = handle.connect_client().unwrap();
    let body = ClientRequestBody::RequestTaskManagers;
    link.outgoing.send(ClientRequest { number: 7, body }).await.unwrap();
    let response = link.incoming.recv().await.unwrap();
    assert_eq!((response.number, response.body), (7, Ok(ClientResponseBody::TaskManagers(Vec::new()))));
    handle.shut_down().await;
    assert_eq!(link.incoming.recv().await, None);
    assert!(handle.connect_client().is_none() && handle.query(|_| ()).await.is_err());
}

#[tokio::test]
async fn programs_are_put_by_clients_and_got_by_task_managers() {
    let folder = tempfile::tempdir().unwrap();
    let handle = serve(&folder, None).await;
    let mut client = Client::new(&handle).await;
    let content: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    let sha256 = token::hex(&Sha256::digest(&content));
    let missing = || ClientRequestBody::RequestMissingArtifacts(vec![token::hex(&Sha256::digest(&content))]);
    assert_eq!(client.ask(missing()).await, Ok(ClientResponseBody::MissingArtifacts(vec![sha256.clone()])));
    client.put(&content).await;
    assert_eq!(client.ask(missing()).await, Ok(ClientResponseBody::MissingArtifacts(Vec::new())));

    let mut peer = Peer::register(&handle, 0).await;
    assert!(matches!(peer.hear().await.unwrap().message, ToTaskManager::AcknowledgeRegistration { .. }));
    let mut got = Vec::new();
    loop {
        let offset = got.len() as u64;
        peer.say(EPOCH, ToJobManager::RequestArtifact { sha256: sha256.clone(), offset }).await;
        let Some(Envelope { message: ToTaskManager::ArtifactPiece { bytes: Ok(bytes), .. }, .. }) = peer.hear().await
        else {
            panic!("no piece at {offset}")
        };
        if bytes.is_empty() {
            break;
        }
        got.extend(bytes);
    }
    assert!(got == content);
    let other = "0".repeat(64);
    peer.say(EPOCH, ToJobManager::RequestArtifact { sha256: other, offset: 0 }).await;
    let answer = peer.hear().await.unwrap().message;
    assert!(matches!(answer, ToTaskManager::ArtifactPiece { bytes: Err(_), .. }), "{answer:?}");
    handle.shut_down().await;
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn logs_are_asked_of_their_task_manager() {
    let folder = tempfile::tempdir().unwrap();
    let handle = serve(&folder, None).await;
    let mut client = Client::new(&handle).await;
    let log = |task_manager: Option<&str>| {
        let task_manager = task_manager.map(str::to_owned);
        ClientRequestBody::RequestLog(LogRequest { task_manager, offset: 3, ..LogRequest::default() })
    };
    assert!(client.ask(log(None)).await.unwrap_err().contains("no log file"));
    assert!(client.ask(log(Some("tm-1"))).await.unwrap_err().contains("not registered"));

    let mut peer = Peer::register(&handle, 0).await;
    peer.hear().await;
    let answering = tokio::spawn(async move {
        let request = peer.hear().await.unwrap().message;
        let ToTaskManager::RequestLog { request, offset: 3, .. } = request else { panic!("{request:?}") };
        let piece = Ok(LogPiece { text: "text".into(), next_offset: 7, at_end: true });
        peer.say(EPOCH, ToJobManager::LogPiece { request, piece }).await;
        peer
    });
    let answer = client.ask(log(Some("tm-1"))).await;
    assert!(matches!(answer, Ok(ClientResponseBody::Log(piece)) if piece.text == "text"));
    let _silent = answering.await.unwrap();
    let error = client.ask(log(Some("tm-1"))).await.unwrap_err();
    assert!(error.contains("rpc.ask.timeout"), "{error}");
    handle.shut_down().await;
}

#[tokio::test]
async fn another_epoch_is_not_obeyed() {
    let folder = tempfile::tempdir().unwrap();
    let handle = serve(&folder, None).await;
    let mut peer = Peer::register(&handle, EPOCH + 1).await;
    assert!(!matches!(
        peer.hear().await.map(|envelope| envelope.message),
        Some(ToTaskManager::AcknowledgeRegistration { .. } | ToTaskManager::AlreadyRegistered)
    ));
    let mut peer = Peer::register(&handle, EPOCH - 1).await;
    let answer = peer.hear().await.unwrap();
    assert_eq!(answer.epoch, EPOCH);
    let disconnect = ToJobManager::DisconnectTaskManager { reason: "an old leader's".into() };
    peer.say(EPOCH - 1, disconnect).await;
    let mut client = Client::new(&handle).await;
    let overview = client.ask(ClientRequestBody::RequestClusterOverview).await;
    assert!(matches!(overview, Ok(ClientResponseBody::ClusterOverview(overview)) if overview.task_managers == 1));
    handle.shut_down().await;
}

#[tokio::test]
async fn with_tls_only_members_of_the_cluster_get_in() {
    let folder = tempfile::tempdir().unwrap();
    let authority = CertificateAuthority::new("c1").unwrap();
    let foreign = CertificateAuthority::new("c1").unwrap();
    let own = authority.issue(Role::JobManager, "jm", 0).unwrap();
    let handle = serve(&folder, Some(own)).await;
    assert!(dial(&handle, None, Role::Client).await.is_err(), "plaintext");
    let stranger = foreign.issue(Role::Client, "mallory", 0).unwrap();
    assert!(dial(&handle, Some(&stranger), Role::Client).await.is_err(), "a foreign certificate");
    let worker = authority.issue(Role::Worker, "w", 0).unwrap();
    assert!(dial(&handle, Some(&worker), Role::Worker).await.is_err(), "workers have no business here");

    let old = authority.issue(Role::TaskManager, "tm", EPOCH - 1).unwrap();
    let mut stale = dial(&handle, Some(&old), Role::TaskManager).await.unwrap();
    let read = tokio::time::timeout(TIMEOUT, stale.reader.read::<Envelope<ToTaskManager>>()).await.unwrap();
    assert!(!matches!(read, Ok(Some(_))), "a certificate of an older epoch");

    let client = authority.issue(Role::Client, "alice", 0).unwrap();
    let connection = dial(&handle, Some(&client), Role::Client).await.unwrap();
    let mut client = Client { connection, next: 0 };
    assert!(client.ask(ClientRequestBody::RequestJobs).await.is_ok());
    handle.shut_down().await;
}

#[tokio::test]
async fn a_port_in_use_names_the_key() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut configuration = configuration(&folder);
    configuration.set("jobmanager.rpc.port", taken.local_addr().unwrap().port().to_string());
    let error = JobManagerServer::start(ServerOptions::network(configuration, None)).await.unwrap_err().to_string();
    assert!(error.contains("jobmanager.rpc.port") && error.contains("127.0.0.1"), "{error}");
}

#[tokio::test]
async fn the_end_is_told_to_everyone() {
    let folder = tempfile::tempdir().unwrap();
    let handle = serve(&folder, None).await;
    let mut peer = Peer::register(&handle, 0).await;
    peer.hear().await;
    let mut client = Client::new(&handle).await;
    let answer = client.ask(ClientRequestBody::ShutDownCluster).await;
    assert_eq!(answer, Ok(ClientResponseBody::ShuttingDown));
    assert!(matches!(peer.hear().await.unwrap().message, ToTaskManager::RefuseRegistration { .. }));
    assert_eq!(peer.hear().await, None);
    handle.ended().await;
    assert!(dial(&handle, None, Role::Client).await.is_err());
}
