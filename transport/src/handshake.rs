use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use flink_protocol::worker::TlsMaterial;
use flink_protocol::{PROTOCOL_VERSION, wire::WireError};

use crate::frame::{FrameError, FramedReader, FramedWriter};
use crate::tls::{self, PeerIdentity, Role, TlsError};

/// A greeting is this long at most; whoever announces more is not one of us.
const GREETING_LIMIT: u64 = 4 << 10;

/// Longest reason that is put into a refusal.
const REASON_LIMIT: usize = 1 << 10;

/// The first frame of each side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Greeting {
    /// Who I am.
    Hello {
        /// Version of the messages that I speak.
        protocol_version: u32,
        /// What I am.
        role: Role,
    },
    /// I do not speak to you.
    Refused {
        /// Why.
        reason: String,
    },
}

/// A byte stream of any kind.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A byte stream whose kind (TCP, TLS, in memory) does not matter any more.
pub type BoxedStream = Box<dyn Stream>;

/// A connection that both sides have agreed on.
pub struct Connection {
    /// What arrives.
    pub reader: FramedReader<ReadHalf<BoxedStream>>,
    /// What is sent.
    pub writer: FramedWriter<WriteHalf<BoxedStream>>,
    /// What the other side is.
    pub peer: Role,
    /// Who it is, by its certificate; `None` without TLS.
    pub identity: Option<PeerIdentity>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("peer", &self.peer).field("identity", &self.identity).finish()
    }
}

/// Two processes did not come together.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// Nobody listens there, or the network is down.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// Where.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// The other side is too slow.
    #[error("the other side did not finish the handshake within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// Too many connections are in their handshake.
    #[error("too many connections are in their handshake")]
    Crowded,
    /// TLS failed.
    #[error("TLS handshake: {0}")]
    Tls(io::Error),
    /// Our own keys cannot be used, or the other side's certificate names nobody.
    #[error(transparent)]
    Material(#[from] TlsError),
    /// What arrived is not a greeting.
    #[error(
        "the other side does not speak this protocol; is it flink-yarn, and is security.ssl.internal.enabled the same \
         on both sides?"
    )]
    NotOurProtocol,
    /// The connection broke.
    #[error("the other side closed the connection in the handshake (its log says why): {0}")]
    Broken(FrameError),
    /// The other side says no.
    #[error("refused by the other side: {0}")]
    Refused(String),
    /// We say no.
    #[error("{0}")]
    NotAccepted(String),
}

impl From<FrameError> for HandshakeError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Wire(WireError::FrameTooLarge { .. } | WireError::Decode(_)) => Self::NotOurProtocol,
            other => Self::Broken(other),
        }
    }
}

/// The listening side: takes sockets and gives back connections that have passed TLS and greeting.
#[derive(Clone)]
pub struct Acceptor {
    tls: Option<TlsAcceptor>,
    role: Role,
    accepted: &'static [Role],
    limit: u64,
    timeout: Duration,
    pending: Arc<Semaphore>,
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Acceptor({}, tls: {})", self.role, self.tls.is_some())
    }
}

impl Acceptor {
    /// For a process of `role` that speaks to those in `accepted`. `limit` bounds each later frame, `timeout` the whole
    /// handshake and `pending` the number of connections that have not finished theirs.
    ///
    /// # Errors
    /// The key material cannot be used.
    pub fn new(
        material: Option<&TlsMaterial>,
        role: Role,
        accepted: &'static [Role],
        limit: u64,
        timeout: Duration,
        pending: usize,
    ) -> Result<Self, TlsError> {
        let tls = material.map(tls::server_config).transpose()?.map(TlsAcceptor::from);
        Ok(Self { tls, role, accepted, limit, timeout, pending: Arc::new(Semaphore::new(pending)) })
    }

    /// Carries out the handshake on a socket that was just accepted. To be run in a task of its own.
    ///
    /// # Errors
    /// The other side is not one that may connect; it has been told so where it could understand it.
    pub async fn accept(&self, socket: TcpStream) -> Result<Connection, HandshakeError> {
        let _place = self.pending.try_acquire().map_err(|_| HandshakeError::Crowded)?;
        let _ = socket.set_nodelay(true);
        within(self.timeout, self.shake(socket)).await
    }

    async fn shake(&self, socket: TcpStream) -> Result<Connection, HandshakeError> {
        let (stream, identity): (BoxedStream, _) = match &self.tls {
            None => (Box::new(socket), None),
            Some(acceptor) => {
                let stream = acceptor.accept(socket).await.map_err(HandshakeError::Tls)?;
                let identity = tls::peer_identity(stream.get_ref().1.peer_certificates())?;
                (Box::new(stream), Some(identity))
            }
        };
        let (mut reader, mut writer) = halves(stream);
        let greeting = reader.read().await?.ok_or(HandshakeError::NotOurProtocol)?;
        match check(&greeting, self.accepted, identity.as_ref()) {
            Ok(peer) => {
                writer.write(&hello(self.role)).await?;
                Ok(finish(reader, writer, peer, identity, self.limit))
            }
            Err(error) => {
                let reason = error.to_string().chars().take(REASON_LIMIT).collect();
                // It is refused whether or not it can still be told.
                let _ = writer.write(&Greeting::Refused { reason }).await;
                let _ = writer.shutdown().await;
                Err(error)
            }
        }
    }
}

/// The connecting side.
#[derive(Clone)]
pub struct Dialer {
    tls: Option<TlsConnector>,
    role: Role,
    limit: u64,
    timeout: Duration,
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dialer({}, tls: {})", self.role, self.tls.is_some())
    }
}

impl Dialer {
    /// For a process of `role`. `limit` bounds each frame, `timeout` the connecting with its handshake.
    ///
    /// # Errors
    /// The key material cannot be used.
    pub fn new(material: Option<&TlsMaterial>, role: Role, limit: u64, timeout: Duration) -> Result<Self, TlsError> {
        let tls = material.map(tls::client_config).transpose()?.map(TlsConnector::from);
        Ok(Self { tls, role, limit, timeout })
    }

    /// Connects to a process of role `peer` at `host:port`.
    ///
    /// # Errors
    /// It cannot be reached, is not what it should be, or refuses.
    pub async fn connect(&self, address: &str, peer: Role) -> Result<Connection, HandshakeError> {
        within(self.timeout, self.shake(address, peer)).await
    }

    async fn shake(&self, address: &str, peer: Role) -> Result<Connection, HandshakeError> {
        let socket = TcpStream::connect(address)
            .await
            .map_err(|source| HandshakeError::Connect { address: address.to_owned(), source })?;
        let _ = socket.set_nodelay(true);
        let (stream, identity): (BoxedStream, _) = match &self.tls {
            None => (Box::new(socket), None),
            Some(connector) => {
                let stream = connector.connect(tls::server_name(peer)?, socket).await.map_err(HandshakeError::Tls)?;
                let identity = tls::peer_identity(stream.get_ref().1.peer_certificates())?;
                (Box::new(stream), Some(identity))
            }
        };
        let (mut reader, mut writer) = halves(stream);
        // A server that refuses our certificate closes at once; its answer says more than our failed write.
        let written = writer.write(&hello(self.role)).await;
        let greeting = reader.read().await?.ok_or(HandshakeError::NotOurProtocol)?;
        let found = check(&greeting, &[peer], identity.as_ref())?;
        written?;
        Ok(finish(reader, writer, found, identity, self.limit))
    }
}

type Halves = (FramedReader<ReadHalf<BoxedStream>>, FramedWriter<WriteHalf<BoxedStream>>);

fn halves(stream: BoxedStream) -> Halves {
    let (read, write) = tokio::io::split(stream);
    (FramedReader::new(read, GREETING_LIMIT), FramedWriter::new(write, GREETING_LIMIT))
}

fn finish(
    mut reader: FramedReader<ReadHalf<BoxedStream>>,
    mut writer: FramedWriter<WriteHalf<BoxedStream>>,
    peer: Role,
    identity: Option<PeerIdentity>,
    limit: u64,
) -> Connection {
    reader.set_limit(limit);
    writer.set_limit(limit);
    Connection { reader, writer, peer, identity }
}

fn hello(role: Role) -> Greeting {
    Greeting::Hello { protocol_version: PROTOCOL_VERSION, role }
}

fn check(greeting: &Greeting, accepted: &[Role], identity: Option<&PeerIdentity>) -> Result<Role, HandshakeError> {
    let (version, role) = match greeting {
        Greeting::Hello { protocol_version, role } => (*protocol_version, *role),
        Greeting::Refused { reason } => return Err(HandshakeError::Refused(reason.clone())),
    };
    if version != PROTOCOL_VERSION {
        return Err(HandshakeError::NotAccepted(format!(
            "version {version} of the protocol meets version {PROTOCOL_VERSION}: use the same flink-yarn on all hosts"
        )));
    }
    if let Some(identity) = identity.filter(|identity| identity.role != role) {
        return Err(HandshakeError::NotAccepted(format!("the certificate of {identity} is shown by a {role}")));
    }
    if !accepted.contains(&role) {
        return Err(HandshakeError::NotAccepted(format!("a {role} has no business on this port")));
    }
    Ok(role)
}

/// What a side makes of the first bytes of the other, without a certificate: for tests with hostile bytes.
///
/// # Errors
/// They are no greeting, or not one that is accepted.
#[doc(hidden)]
pub fn read_greeting(mut bytes: &[u8]) -> Result<Role, HandshakeError> {
    let greeting = crate::frame::read_blocking(&mut bytes, GREETING_LIMIT)?.ok_or(HandshakeError::NotOurProtocol)?;
    check(&greeting, &[Role::Client, Role::TaskManager], None)
}

async fn within<T>(
    timeout: Duration,
    work: impl Future<Output = Result<T, HandshakeError>>,
) -> Result<T, HandshakeError> {
    tokio::time::timeout(timeout, work).await.unwrap_or(Err(HandshakeError::TimedOut(timeout)))
}
