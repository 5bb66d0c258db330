//! The sockets of a worker: one listener for the consumers of its partitions, and one connection to each worker whose
//! partitions it reads, made when the first channel needs it and shared by all.
//!
//! Threads of slots only leave notes ([`ChannelHandle`]); the connections run on the network's own threads.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use flink_graph::{PartitionId, PortRange};
use flink_protocol::task_manager::{FailureKind, TaskFailure};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::client::ClientConnection;
use super::connection_task::{Driver, Signal};
use super::decoder::{FrameDecoder, SegmentPool};
use super::endpoint::{ConnectionEndpoint, ConnectionError, ConnectionSettings, Wake, lock};
use super::mailbox::{ChannelHandle, Mailbox};
use super::server::ServerConnection;
use super::tls::{DataPlaneTls, TlsSession};
use super::wire::{Traffic, Wire};
use super::{PartitionDirectory, RemoteChannel};

/// Connections whose peers have not proved who they are: with one more, the oldest is dropped. A peer of ours needs
/// milliseconds, so that strangers who hold connections open keep nobody out.
const MAX_STRANGERS: usize = 64;

/// Connections of consumers; a worker has one for each other worker of its job.
const MAX_ACCEPTED: usize = 16_384;

/// Pause after the listener reported an error, for example that no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Attempts to open a channel on a connection that ends at the same moment.
const OPEN_ATTEMPTS: usize = 8;

/// Settings of a worker's network.
#[derive(Debug, Clone)]
pub struct DataPlaneConfig {
    /// Address to listen on.
    pub bind_host: String,
    /// Ports to listen on: the first free one.
    pub ports: PortRange,
    /// Who this worker is, and the limits of its connections.
    pub settings: ConnectionSettings,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Threads of the network where no runtime is given.
    pub threads: usize,
    /// The runtime to use; `None` for an own one.
    pub runtime: Option<Handle>,
}

impl DataPlaneConfig {
    /// The defaults, on a free port of `bind_host`.
    #[must_use]
    pub fn new(bind_host: &str, settings: ConnectionSettings) -> Self {
        let bind_host = bind_host.trim_matches(['[', ']']).to_owned();
        let ports = PortRange::default();
        Self { bind_host, ports, settings, connect_timeout: Duration::from_secs(10), threads: 1, runtime: None }
    }
}

/// The network of a worker could not be started.
#[derive(Debug, thiserror::Error)]
pub enum DataPlaneError {
    /// The address cannot be listened on.
    #[error(
        "cannot listen for data connections on {host} (taskmanager.bind-host), port {ports} (taskmanager.data.port): {source}"
    )]
    Bind {
        /// The address.
        host: String,
        /// The ports, of which none is free.
        ports: PortRange,
        /// Why not.
        source: std::io::Error,
    },
    /// The threads could not be started.
    #[error("cannot start the threads of the network: {0}")]
    Runtime(#[source] std::io::Error),
}

/// The network of a worker. Dropping it ends all connections; their channels fail.
pub struct DataPlane {
    shared: Arc<Shared>,
    local_address: SocketAddr,
    /// Kept for its threads; `None` when the runtime is somebody else's.
    own_runtime: Option<Runtime>,
}

struct Shared {
    settings: Arc<ConnectionSettings>,
    connect_timeout: Duration,
    tls: Option<DataPlaneTls>,
    runtime: Handle,
    directory: Arc<dyn PartitionDirectory>,
    segments: Arc<SegmentPool>,
    traffic: Arc<Traffic>,
    origin: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Connections to the workers whose partitions are read here.
    outbound: HashMap<String, Arc<Mailbox>>,
    tasks: JoinSet<()>,
    /// What the connections of consumers want to be told of new partitions, by the connection's number.
    partition_listeners: HashMap<u64, Wake>,
    strangers: VecDeque<(u64, AbortHandle)>,
    accepted: u64,
    closed: bool,
}

impl DataPlane {
    /// Starts to listen for the consumers of the partitions in `directory`. Without `tls` everyone who knows the job's
    /// id can read its data: only where `security.ssl.internal.enabled` is false.
    ///
    /// # Errors
    /// The address cannot be listened on, or the threads cannot be started.
    pub fn listen(
        config: DataPlaneConfig,
        directory: Arc<dyn PartitionDirectory>,
        tls: Option<DataPlaneTls>,
    ) -> Result<Self, DataPlaneError> {
        let bind_error = |source| {
            let (host, ports) = (config.bind_host.clone(), config.ports.clone());
            DataPlaneError::Bind { host, ports, source }
        };
        let listener = listen_on(&config.bind_host, &config.ports).map_err(bind_error)?;
        listener.set_nonblocking(true).map_err(bind_error)?;
        let local_address = listener.local_addr().map_err(bind_error)?;
        if tls.is_none() && !local_address.ip().is_loopback() {
            tracing::warn!(%local_address, "data connections are not secured (security.ssl.internal.enabled is false)");
        }
        let own_runtime = match &config.runtime {
            Some(_) => None,
            None => Some(start_runtime(config.threads).map_err(DataPlaneError::Runtime)?),
        };
        let runtime = match (&config.runtime, &own_runtime) {
            (Some(handle), _) => handle.clone(),
            (None, Some(runtime)) => runtime.handle().clone(),
            (None, None) => return Err(DataPlaneError::Runtime(std::io::ErrorKind::Unsupported.into())),
        };
        let entered = runtime.enter();
        let listener = TcpListener::from_std(listener).map_err(bind_error)?;
        drop(entered);
        let shared = Arc::new(Shared {
            settings: Arc::new(config.settings),
            connect_timeout: config.connect_timeout,
            tls,
            runtime,
            directory,
            segments: Arc::default(),
            traffic: Arc::default(),
            origin: Instant::now(),
            state: Mutex::default(),
        });
        shared.listen_to_directory();
        shared.spawn(Arc::clone(&shared).accept_all(listener));
        Ok(Self { shared, local_address, own_runtime })
    }

    /// Where this worker listens.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    /// Opens a channel to a subpartition of the worker at `address`, with a connection that is made now or shared with
    /// the other channels to it. Never waits and may be called from any thread; what goes wrong is told to `channel`.
    #[must_use]
    pub fn open_channel(
        &self,
        address: &str,
        partition: PartitionId,
        subpartition: u32,
        initial_credit: u32,
        channel: Arc<dyn RemoteChannel>,
    ) -> ChannelHandle {
        for _ in 0..OPEN_ATTEMPTS {
            let mailbox = self.shared.mailbox_for(address);
            let opened = mailbox.open_channel(partition, subpartition, initial_credit, Arc::clone(&channel));
            match opened {
                Some(handle) => return handle,
                None => self.shared.forget(address, &mailbox),
            }
        }
        let problem = "every new connection ended at once";
        let message = format!("no connection to the worker at {address} for partition {partition}: {problem}");
        channel.on_failure(TaskFailure { kind: FailureKind::ConnectionLost { partition }, message });
        ChannelHandle::detached()
    }

    /// Bytes received on all connections so far, with the overhead of frames and TLS.
    #[must_use]
    pub fn bytes_received(&self) -> u64 {
        self.shared.traffic.received.load(Ordering::Relaxed)
    }

    /// Bytes sent on all connections so far, with the overhead of frames and TLS.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.shared.traffic.sent.load(Ordering::Relaxed)
    }
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        // The tasks own the sides of the connections, which fail their channels when they are dropped.
        let tasks = {
            let mut state = lock(&self.shared.state);
            state.closed = true;
            std::mem::take(&mut state.tasks)
        };
        drop(tasks);
        if let Some(runtime) = self.own_runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Takes the first free port of a range.
fn listen_on(host: &str, ports: &PortRange) -> std::io::Result<std::net::TcpListener> {
    let mut failure = std::io::ErrorKind::AddrInUse.into();
    for port in ports.ports() {
        match std::net::TcpListener::bind((host, port)) {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => failure = error,
            Err(error) => return Err(error),
        }
    }
    Err(failure)
}

fn start_runtime(threads: usize) -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(threads.max(1))
        // Names of hosts are looked up on these.
        .max_blocking_threads(4)
        .thread_name("network")
        .enable_all()
        .build()
}

impl Shared {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        lock(&self.state).spawn(task, &self.runtime);
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    // ---- Connections of consumers ----

    /// The directory has one listener and the worker many connections.
    fn listen_to_directory(self: &Arc<Self>) {
        let shared = Arc::downgrade(self);
        self.directory.set_listener(Arc::new(move || {
            if let Some(shared) = shared.upgrade() {
                shared.tell_partition_added();
            }
        }));
    }

    fn tell_partition_added(&self) {
        let listeners: Vec<_> = lock(&self.state).partition_listeners.values().cloned().collect();
        for listener in listeners {
            listener();
        }
    }

    async fn accept_all(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((socket, peer)) => self.accept(socket, peer),
                Err(error) => {
                    let job = self.settings.hello.job;
                    tracing::warn!(%job, %error, "a data connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn accept(self: &Arc<Self>, socket: TcpStream, peer: SocketAddr) {
        let oldest = {
            let mut state = lock(&self.state);
            if state.tasks.len() >= MAX_ACCEPTED {
                let job = self.settings.hello.job;
                tracing::warn!(%job, %peer, "a data connection was dropped: there are {MAX_ACCEPTED} already");
                return;
            }
            state.accepted += 1;
            let number = state.accepted;
            // Under the lock, so that the task cannot take itself off the list before it is on it.
            let Some(abort) = state.spawn(Arc::clone(self).serve(socket, peer, number), &self.runtime) else { return };
            state.strangers.push_back((number, abort));
            if state.strangers.len() > MAX_STRANGERS { state.strangers.pop_front() } else { None }
        };
        if let Some((_, oldest)) = oldest {
            oldest.abort();
        }
    }

    async fn serve(self: Arc<Self>, socket: TcpStream, peer: SocketAddr, number: u64) {
        let accepted = Accepted { shared: Arc::downgrade(&self), number };
        let result = match self.server_driver(socket, number) {
            Ok(driver) => driver.run().await,
            Err(error) => Err(error),
        };
        drop(accepted);
        let job = self.settings.hello.job;
        match result {
            Ok(()) | Err(ConnectionError::ClosedByPeer) => tracing::debug!(%job, %peer, "a data connection was closed"),
            Err(error) => tracing::info!(%job, %peer, %error, "a data connection ended"),
        }
    }

    fn server_driver(self: &Arc<Self>, socket: TcpStream, number: u64) -> Result<Driver, ConnectionError> {
        set_nodelay(&socket)?;
        let tls = self.tls.as_ref().map(DataPlaneTls::accept).transpose()?;
        let signal = Arc::new(Signal::default());
        let directory = Arc::clone(&self.directory);
        let server = ServerConnection::new(Arc::clone(&self.settings), directory, signal.wake(), self.now());
        lock(&self.state).partition_listeners.insert(number, server.partition_listener());
        let shared = Arc::downgrade(self);
        let on_established = Box::new(move || {
            if let Some(shared) = shared.upgrade() {
                lock(&shared.state).strangers.retain(|(stranger, _)| *stranger != number);
            }
        });
        let wire = Wire::new(socket, tls, Arc::clone(&self.traffic));
        let decoder = FrameDecoder::for_control();
        Ok(Driver::new(Box::new(server), wire, decoder, signal, self.origin, on_established))
    }

    // ---- Connections to producers ----

    fn mailbox_for(self: &Arc<Self>, address: &str) -> Arc<Mailbox> {
        let mut state = lock(&self.state);
        if let Some(mailbox) = state.outbound.get(address) {
            return Arc::clone(mailbox);
        }
        let signal = Arc::new(Signal::default());
        let mailbox = Mailbox::new(signal.wake());
        state.outbound.insert(address.to_owned(), Arc::clone(&mailbox));
        drop(state);
        self.spawn(Arc::clone(self).consume(address.to_owned(), Arc::clone(&mailbox), signal));
        mailbox
    }

    fn forget(&self, address: &str, mailbox: &Arc<Mailbox>) {
        let mut state = lock(&self.state);
        if state.outbound.get(address).is_some_and(|known| Arc::ptr_eq(known, mailbox)) {
            state.outbound.remove(address);
        }
    }

    async fn consume(self: Arc<Self>, address: String, mailbox: Arc<Mailbox>, signal: Arc<Signal>) {
        let peer = format!("the worker at {address}");
        let mut client = ClientConnection::new(Arc::clone(&self.settings), peer, Arc::clone(&mailbox), self.now());
        let result = match self.connect(&address).await {
            Ok((socket, tls)) => self.run_client(client, socket, tls, signal).await,
            Err(error) => {
                client.shut_down(&error);
                Err(error)
            }
        };
        self.forget(&address, &mailbox);
        let job = self.settings.hello.job;
        match result {
            Ok(()) => tracing::debug!(%job, %address, "an unused data connection was closed"),
            Err(error) => tracing::info!(%job, %address, %error, "a data connection ended"),
        }
    }

    async fn run_client(
        &self,
        client: ClientConnection,
        socket: TcpStream,
        tls: Option<TlsSession>,
        signal: Arc<Signal>,
    ) -> Result<(), ConnectionError> {
        let decoder = FrameDecoder::for_elements(Arc::clone(&self.segments), self.settings.max_element);
        let wire = Wire::new(socket, tls, Arc::clone(&self.traffic));
        Driver::new(Box::new(client), wire, decoder, signal, self.origin, Box::new(|| {})).run().await
    }

    async fn connect(&self, address: &str) -> Result<(TcpStream, Option<TlsSession>), ConnectionError> {
        let tls = self.tls.as_ref().map(DataPlaneTls::connect).transpose()?;
        let connected = tokio::time::timeout(self.connect_timeout, TcpStream::connect(address)).await;
        let socket = match connected {
            Ok(Ok(socket)) => socket,
            Ok(Err(error)) => return Err(ConnectionError::Connect(error.to_string())),
            Err(_) => {
                let limit = self.connect_timeout.as_millis();
                return Err(ConnectionError::Connect(format!(
                    "no answer within {limit} ms (taskmanager.network.connect-timeout)"
                )));
            }
        };
        set_nodelay(&socket)?;
        Ok((socket, tls))
    }
}

impl State {
    /// `None` when the network is being shut down.
    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static, runtime: &Handle) -> Option<AbortHandle> {
        if self.closed {
            return None;
        }
        while self.tasks.try_join_next().is_some() {}
        Some(self.tasks.spawn_on(task, runtime))
    }
}

/// What is known of an accepted connection, for as long as it lasts.
struct Accepted {
    shared: Weak<Shared>,
    number: u64,
}

impl Drop for Accepted {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            let mut state = lock(&shared.state);
            state.strangers.retain(|(stranger, _)| *stranger != self.number);
            state.partition_listeners.remove(&self.number);
        }
    }
}

/// Writes are large where there is much to send; where there is little it must not wait.
fn set_nodelay(socket: &TcpStream) -> Result<(), ConnectionError> {
    socket.set_nodelay(true).map_err(|error| ConnectionError::Io(error.to_string()))
}
