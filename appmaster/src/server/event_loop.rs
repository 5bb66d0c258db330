use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use flink_graph::{JobGraph, JobId, JobStatus, TaskManagerId};
use flink_protocol::client::{ClientRequest, ClientResponse, ClientResponseBody};
use flink_protocol::task_manager::{ToJobManager, ToTaskManager};
use flink_protocol::{Envelope, Epoch};
use flink_transport::{Acceptor, Role, token};

use super::artifacts::ArtifactStore;
use super::connections::{HANDSHAKE_TIMEOUT, Listener, MAX_HANDSHAKES};
use super::handle::{Handle, Shared};
use super::job_persistence::{Keeping, SubmissionOrigin};
use super::options::{ServerError, ServerOptions, Settings, epoch_of_now, listen_error};
use super::requests::PendingLog;
use crate::job_manager::{
    Action, ClientCall, ClusterResources, ConnectionId, Event, JobManager, JobManagerConfig, Now,
};
use crate::listening::listen_on;

/// Inputs that may wait; who sends more waits itself.
const INPUT_QUEUE: usize = 1024;

/// The connection of those who use the [`Handle`].
pub(super) const OWN_CONNECTION: ConnectionId = ConnectionId(0);

/// How often the shell looks after what has a time-out of its own.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(1);

/// Longest wait for the last messages to leave.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// What reaches the event loop.
#[allow(clippy::large_enum_variant)] // an input is handed over once and taken apart at once
pub(super) enum Input {
    /// A peer has passed its handshake.
    Connected { connection: ConnectionId, address: Option<String>, outlet: OutgoingQueue },
    /// A TaskManager says something.
    TaskManager(ConnectionId, Box<Envelope<ToJobManager>>, OwnedSemaphorePermit),
    /// A client asks something.
    Client(ConnectionId, Box<ClientRequest>, OwnedSemaphorePermit),
    /// A peer is gone.
    Disconnected(ConnectionId),
    /// Somebody in this process looks.
    Query(Box<dyn FnOnce(&JobManager) + Send>),
    /// Whoever runs the TaskManagers' containers says something.
    Resources(Event),
    /// An idle TaskManager is to end; answered with whether it does.
    Release(TaskManagerId, oneshot::Sender<bool>),
    /// A job was kept, or not, and why not.
    JobKept { asker: SubmissionOrigin, graph: Box<JobGraph>, kept: Result<(), String> },
    /// All was done to keep a result.
    ResultKept { job: JobId },
    /// Somebody in this process asks as a client does.
    Call(ClientCall, oneshot::Sender<Result<ClientResponseBody, String>>),
    /// The end.
    ShutDown,
}

impl Input {
    pub(super) fn task_manager(
        connection: ConnectionId,
        envelope: Envelope<ToJobManager>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self::TaskManager(connection, Box::new(envelope), place)
    }

    pub(super) fn client(connection: ConnectionId, request: ClientRequest, place: OwnedSemaphorePermit) -> Self {
        Self::Client(connection, Box::new(request), place)
    }
}

/// The queue of a connection.
pub(super) enum OutgoingQueue {
    /// To a TaskManager.
    TaskManager(mpsc::Sender<Envelope<ToTaskManager>>),
    /// To a client.
    Client(mpsc::Sender<ClientResponse>),
}

pub(super) async fn start(options: ServerOptions) -> Result<Handle, ServerError> {
    let settings = Settings::read(&options.configuration)?;
    let mut config = JobManagerConfig::from_configuration(&options.configuration)?;
    config.task_managers_on_demand = options.task_managers_on_demand;
    let (write_timeout, capacity) = (config.heartbeat_timeout, config.job_store_capacity);
    let epoch = options.epoch.unwrap_or_else(epoch_of_now);
    let (inputs, queue) = mpsc::channel(INPUT_QUEUE);
    let next_connection = Arc::new(AtomicU64::new(OWN_CONNECTION.0 + 1));
    let mut address = None;
    let mut listening = None;
    if options.listen {
        let accepted = &[Role::Client, Role::TaskManager];
        let (limit, timeout) = (settings.frame_limit, HANDSHAKE_TIMEOUT);
        let tls = options.tls.as_ref();
        let acceptor = Acceptor::new(tls, Role::JobManager, accepted, limit, timeout, MAX_HANDSHAKES)?;
        let socket = bind(&settings).await?;
        address = socket.local_addr().ok();
        let (inputs, next_connection) = (inputs.clone(), Arc::clone(&next_connection));
        let listener = Listener { socket, acceptor, epoch, write_timeout, next_connection, inputs };
        listening = Some(tokio::spawn(listener.run()).abort_handle());
    }
    let (end, ended) = watch::channel(false);
    let (resources, wanted) = watch::channel(ClusterResources::default());
    let seed = token::random_bytes().map_or(epoch, u64::from_le_bytes);
    let mut event_loop = EventLoop {
        job_manager: JobManager::new(config, epoch, seed),
        epoch,
        started: Instant::now(),
        outlets: HashMap::new(),
        remote: HashSet::new(),
        registered: HashMap::new(),
        calls: HashMap::new(),
        next_call: 0,
        logs: HashMap::new(),
        next_log: 0,
        artifacts: ArtifactStore::new(&settings.artifact_folder),
        request_timeout: settings.request_timeout,
        piece_size: usize::try_from(settings.frame_limit / 2).unwrap_or(usize::MAX).clamp(1, 1 << 20),
        log_file: options.log_file,
        listening,
        keeping: None,
        resources,
    };
    event_loop.take_over(&options.programs, options.job_store, inputs.downgrade(), capacity).await?;
    tokio::spawn(async move {
        event_loop.run(queue).await;
        let _ = end.send(true);
    });
    let configuration = options.configuration;
    Ok(Handle(Arc::new(Shared { configuration, epoch, address, inputs, next_connection, ended, resources: wanted })))
}

async fn bind(settings: &Settings) -> Result<TcpListener, ServerError> {
    let host = settings.bind_host.trim_start_matches('[').trim_end_matches(']');
    let bound = listen_on(host, &settings.ports).await;
    bound.map_err(|source| listen_error(format!("{}:{}", settings.bind_host, settings.ports), source))
}

/// Owns the state machine.
pub(super) struct EventLoop {
    pub(super) job_manager: JobManager,
    pub(super) epoch: Epoch,
    started: Instant,
    pub(super) outlets: HashMap<ConnectionId, OutgoingQueue>,
    /// The connections over a socket.
    remote: HashSet<ConnectionId>,
    /// The connection over which each TaskManager registered last.
    pub(super) registered: HashMap<TaskManagerId, ConnectionId>,
    calls: HashMap<u64, oneshot::Sender<Result<ClientResponseBody, String>>>,
    next_call: u64,
    pub(super) logs: HashMap<u64, PendingLog>,
    pub(super) next_log: u64,
    pub(super) artifacts: ArtifactStore,
    pub(super) request_timeout: Duration,
    pub(super) piece_size: usize,
    pub(super) log_file: Option<PathBuf>,
    listening: Option<AbortHandle>,
    /// Where jobs and results are kept.
    pub(super) keeping: Option<Keeping>,
    /// Tells whoever runs the TaskManagers' containers what is wanted.
    resources: watch::Sender<ClusterResources>,
}

impl EventLoop {
    async fn run(mut self, mut inputs: mpsc::Receiver<Input>) {
        let timer = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(timer);
        loop {
            let at = self.started + self.next_deadline();
            if timer.deadline() != at {
                timer.as_mut().reset(at);
            }
            let input = tokio::select! {
                input = inputs.recv() => input,
                () = &mut timer => None,
            };
            match input {
                Some(Input::ShutDown) => break,
                Some(input) => {
                    if self.take(input) {
                        break;
                    }
                }
                None => self.handle(Event::Tick),
            }
            self.expire_logs();
        }
        self.finish(inputs).await;
    }

    fn next_deadline(&self) -> Duration {
        let elapsed = self.started.elapsed();
        let own = if self.logs.is_empty() { Duration::from_hours(1) } else { MAINTENANCE_INTERVAL };
        self.job_manager.next_deadline().map_or(elapsed + own, |deadline| deadline.min(elapsed + own))
    }

    /// Handles one input; true when it is the end.
    fn take(&mut self, input: Input) -> bool {
        match input {
            Input::Connected { connection, address, outlet } => {
                self.outlets.insert(connection, outlet);
                if address.is_some() {
                    self.remote.insert(connection);
                }
                let address = address.unwrap_or_else(|| "in-process".to_owned());
                self.handle(Event::Connected { connection, address });
            }
            Input::TaskManager(connection, envelope, _place) => self.task_manager_says(connection, *envelope),
            Input::Client(connection, request, _place) => return self.on_client_request(connection, *request),
            Input::Disconnected(connection) => {
                self.forget(connection);
                self.remote.remove(&connection);
                self.handle(Event::Disconnected { connection });
            }
            Input::Query(question) => question(&self.job_manager),
            Input::Resources(event) => self.handle(event),
            Input::Release(task_manager, answer) => {
                let is_idle = self.job_manager.is_idle(&task_manager);
                self.handle(Event::ReleaseTaskManager { task_manager });
                let _ = answer.send(is_idle);
            }
            Input::JobKept { asker, graph, kept } => self.job_kept(asker, graph, kept),
            Input::ResultKept { job } => self.result_kept(job),
            Input::Call(call, answer) => {
                let number = self.next_call;
                self.next_call += 1;
                // Who has stopped waiting is not answered.
                self.calls.retain(|_, waiting| !waiting.is_closed());
                self.calls.insert(number, answer);
                match call {
                    ClientCall::SubmitJob { graph, .. } => {
                        self.submit(SubmissionOrigin::Client(OWN_CONNECTION, number), graph)
                    }
                    call => self.handle(Event::FromClient { connection: OWN_CONNECTION, number, call }),
                }
            }
            Input::ShutDown => return true,
        }
        false
    }

    fn task_manager_says(&mut self, connection: ConnectionId, envelope: Envelope<ToJobManager>) {
        // What a connection says after it was given up does not count.
        if !self.outlets.contains_key(&connection) {
            return;
        }
        match envelope.message {
            ToJobManager::RequestArtifact { sha256, offset } => self.send_artifact(connection, sha256, offset),
            ToJobManager::LogPiece { request, piece } => self.log_arrived(request, piece),
            message => {
                if let ToJobManager::RegisterTaskManager(registration) = &message {
                    self.registered.insert(registration.id.clone(), connection);
                }
                let envelope = Envelope { epoch: envelope.epoch, message };
                self.handle(Event::FromTaskManager { connection, envelope });
            }
        }
    }

    pub(super) fn handle(&mut self, event: Event) {
        let elapsed = self.started.elapsed();
        let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let now = Now { elapsed, timestamp: i64::try_from(timestamp).unwrap_or(i64::MAX) };
        for action in self.job_manager.on_event(now, event) {
            self.act(action);
        }
        self.tell_what_is_wanted();
    }

    fn tell_what_is_wanted(&self) {
        // One is the handle's own.
        if self.resources.receiver_count() < 2 {
            return;
        }
        let wanted = self.job_manager.resources();
        self.resources.send_if_modified(|told| {
            let differs = *told != wanted;
            if differs {
                *told = wanted;
            }
            differs
        });
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::SendToTaskManager { connection, envelope } => self.send(connection, envelope),
            Action::RespondToClient { connection, number, body } if self.must_wait(&body) => {
                self.hold_back(connection, number, body);
            }
            Action::RespondToClient { connection, number, body } => self.respond(connection, number, body),
            Action::CloseConnection { connection } => self.forget(connection),
            Action::JobTerminated { job } => {
                self.keep_result(job);
                let job_manager = &self.job_manager;
                self.artifacts.evict(|sha256| job_manager.is_artifact_in_use(sha256));
            }
            Action::TaskManagerRegistered { task_manager, host, slots } => {
                tracing::info!(%task_manager, host, slots, "TaskManager registered");
            }
            Action::TaskManagerGone { task_manager, reason, orderly: true } => {
                tracing::info!(%task_manager, reason, "TaskManager left");
            }
            Action::TaskManagerGone { task_manager, reason, orderly: false } => {
                tracing::warn!(%task_manager, reason, "TaskManager lost");
            }
            Action::JobStatusChanged { job, name, status, reason } => {
                let reason = reason.as_deref();
                // What an operator looks for by level.
                if matches!(status, JobStatus::Failing | JobStatus::Failed | JobStatus::Restarting) {
                    tracing::warn!(%job, name, %status, reason, "job status changed");
                } else {
                    tracing::info!(%job, name, %status, reason, "job status changed");
                }
            }
        }
    }

    /// Puts a message into a TaskManager's queue. A full queue is a peer that does not read: it is disconnected.
    pub(super) fn send(&mut self, connection: ConnectionId, envelope: Envelope<ToTaskManager>) {
        let Some(OutgoingQueue::TaskManager(queue)) = self.outlets.get(&connection) else { return };
        if queue.try_send(envelope).is_err() {
            self.forget(connection);
        }
    }

    /// Puts an answer into a client's queue, or gives it to who asked in this process.
    pub(super) fn respond(&mut self, connection: ConnectionId, number: u64, body: Result<ClientResponseBody, String>) {
        if connection == OWN_CONNECTION {
            if let Some(call) = self.calls.remove(&number) {
                let _ = call.send(body);
            }
            return;
        }
        let Some(OutgoingQueue::Client(queue)) = self.outlets.get(&connection) else { return };
        if queue.try_send(ClientResponse { number, body }).is_err() {
            self.forget(connection);
        }
    }

    /// Dropping the queue ends the connection once it is empty.
    fn forget(&mut self, connection: ConnectionId) {
        self.outlets.remove(&connection);
        self.registered.retain(|_, at| *at != connection);
        self.logs.retain(|_, log| !log.is_for(connection));
        self.artifacts.abandon(connection);
    }

    /// Tells the TaskManagers to end, and lets the last messages leave.
    async fn finish(mut self, mut inputs: mpsc::Receiver<Input>) {
        self.finish_keeping(&mut inputs).await;
        if let Some(listening) = self.listening.take() {
            listening.abort();
        }
        let reason = "the cluster is shut down".to_owned();
        let message = ToTaskManager::RefuseRegistration { reason };
        let envelope = Envelope { epoch: self.epoch, message };
        let connections: Vec<ConnectionId> = self.outlets.keys().copied().collect();
        for connection in connections {
            self.send(connection, envelope.clone());
        }
        self.outlets.clear();
        // Within the process, what was sent has arrived.
        let drained = async {
            while !self.remote.is_empty() {
                match inputs.recv().await {
                    Some(Input::Disconnected(connection)) => {
                        self.remote.remove(&connection);
                    }
                    Some(_) => {}
                    None => return,
                }
            }
        };
        let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, drained).await;
    }
}
