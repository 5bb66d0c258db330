use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use flink_protocol::client::{ClientRequest, ClientResponse};
use flink_protocol::task_manager::{ToJobManager, ToTaskManager};
use flink_protocol::{Envelope, Epoch};
use flink_transport::channels::in_memory;
use flink_transport::{Acceptor, ChannelPair, Connection, PeerIdentity, Role};

use super::event_loop::{Input, OutgoingQueue};
use crate::job_manager::ConnectionId;

/// A TaskManager's end of a link.
pub type TaskManagerLink = ChannelPair<Envelope<ToTaskManager>, Envelope<ToJobManager>>;

/// A client's end of a link.
pub type ClientLink = ChannelPair<ClientResponse, ClientRequest>;

/// Messages that may wait for one peer: all tasks of a large job are deployed at one moment. One that leaves more lie is
/// disconnected.
const SEND_QUEUE: usize = 1 << 16;

/// Messages of one TaskManager that may wait to be handled.
const TASK_MANAGER_MESSAGES: usize = 64;

/// Requests of one client that may wait to be handled. Each may be as large as a frame, so they are few.
const CLIENT_REQUESTS: usize = 2;

/// Connections at one time; more are turned away.
const MAX_CONNECTIONS: usize = 4096;

/// Connections that have not finished their handshake.
pub(super) const MAX_HANDSHAKES: usize = 64;

/// Time for the handshake of a connection.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause after the system gave no socket, for example because the process has too many files open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Two ends of a link within the process.
pub(super) fn link<A, B>() -> (ChannelPair<A, B>, ChannelPair<B, A>) {
    in_memory(SEND_QUEUE)
}

/// What a kind of peer says and is told.
pub(super) struct Kind<In, Out> {
    outlet: fn(mpsc::Sender<Out>) -> OutgoingQueue,
    input: fn(ConnectionId, In, OwnedSemaphorePermit) -> Input,
    in_flight: usize,
}

pub(super) const TASK_MANAGER: Kind<Envelope<ToJobManager>, Envelope<ToTaskManager>> =
    Kind { outlet: OutgoingQueue::TaskManager, input: Input::task_manager, in_flight: TASK_MANAGER_MESSAGES };

pub(super) const CLIENT: Kind<ClientRequest, ClientResponse> =
    Kind { outlet: OutgoingQueue::Client, input: Input::client, in_flight: CLIENT_REQUESTS };

/// Turns what arrives over a connection into inputs, from `Connected` to `Disconnected`. Without an address the peer is
/// in this process.
pub(super) async fn feed<In, Out>(
    connection: ConnectionId,
    address: Option<String>,
    channels: ChannelPair<In, Out>,
    kind: Kind<In, Out>,
    inputs: mpsc::Sender<Input>,
    admits: impl Fn(&In) -> bool,
) {
    let ChannelPair { mut incoming, outgoing } = channels;
    let connected = Input::Connected { connection, address, outlet: (kind.outlet)(outgoing) };
    if inputs.send(connected).await.is_err() {
        return;
    }
    // One peer must not fill the queue that all share.
    let places = Arc::new(Semaphore::new(kind.in_flight));
    while let Some(message) = incoming.recv().await {
        if !admits(&message) {
            break;
        }
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        if inputs.send((kind.input)(connection, message, place)).await.is_err() {
            return;
        }
    }
    let _ = inputs.send(Input::Disconnected(connection)).await;
}

/// Lets peers in, until it is aborted.
pub(super) struct Listener {
    pub(super) socket: TcpListener,
    pub(super) acceptor: Acceptor,
    pub(super) epoch: Epoch,
    pub(super) write_timeout: Duration,
    pub(super) next_connection: Arc<AtomicU64>,
    pub(super) inputs: mpsc::Sender<Input>,
}

impl Listener {
    pub(super) async fn run(self) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let this = Arc::new(self);
        loop {
            match this.socket.accept().await {
                Ok((socket, _)) => {
                    // Without a place the socket is dropped, which closes it.
                    let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                    let this = Arc::clone(&this);
                    tokio::spawn(async move {
                        this.serve(socket).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve(&self, socket: TcpStream) {
        let address = socket.peer_addr().map_or_else(|_| "unknown".to_owned(), |address| address.to_string());
        match self.acceptor.accept(socket).await {
            Ok(connection) if self.is_stale(&connection) => {
                tracing::warn!(%address, "refused: its certificate is of an older epoch");
            }
            Ok(connection) => self.deliver(connection, address).await,
            Err(error) => tracing::warn!(%address, %error, "connection refused"),
        }
    }

    /// A process that an earlier leader has started must not speak to this one.
    fn is_stale(&self, connection: &Connection) -> bool {
        connection.identity.as_ref().is_some_and(|peer| peer.epoch != 0 && peer.epoch < self.epoch)
    }

    async fn deliver(&self, connection: Connection, address: String) {
        let id = ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed));
        let (address, inputs) = (Some(address), self.inputs.clone());
        if connection.peer == Role::TaskManager {
            let identity = connection.identity.clone();
            let channels = connection.into_channels(TASK_MANAGER_MESSAGES, SEND_QUEUE, self.write_timeout);
            // Weak: the connection closes when the event loop gives its sender up.
            let (epoch, to_it) = (self.epoch, channels.outgoing.downgrade());
            let admits = move |envelope: &Envelope<ToJobManager>| match impostor(identity.as_ref(), &envelope.message) {
                None => true,
                Some(reason) => {
                    tracing::warn!(%reason, "registration refused");
                    let message = ToTaskManager::RefuseRegistration { reason };
                    // It is disconnected whether or not it can still be told.
                    if let Some(to_it) = to_it.upgrade() {
                        let _ = to_it.try_send(Envelope { epoch, message });
                    }
                    false
                }
            };
            feed(id, address, channels, TASK_MANAGER, inputs, admits).await;
        } else {
            let channels = connection.into_channels(1, SEND_QUEUE, self.write_timeout);
            feed(id, address, channels, CLIENT, inputs, |_| true).await;
        }
    }
}

/// Why a registration is refused whose id is not that of the certificate that it came under: a TaskManager must not take
/// another's place.
fn impostor(identity: Option<&PeerIdentity>, message: &ToJobManager) -> Option<String> {
    let (Some(identity), ToJobManager::RegisterTaskManager(registration)) = (identity, message) else { return None };
    let id = &registration.id.0;
    let name = &identity.name;
    (!identity.may_be(id)).then(|| {
        format!("the certificate is that of TaskManager `{name}`, and the id is `{id}`: each needs keys of its own")
    })
}
