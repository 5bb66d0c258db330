//! What the two sides of a connection have in common: how they are driven, and how they end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::frame::{CONNECTION_CHANNEL, ChannelFailure, Failure, Frame, FrameError, Hello};

/// Called, from any thread, when a side has something to do that did not come over the wire.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// What both sides know and check.
#[derive(Debug, Clone)]
pub struct ConnectionSettings {
    /// Who speaks; a peer of another job or an older epoch is refused.
    pub hello: Hello,
    /// Largest element that is sent or accepted, bytes.
    pub max_element: usize,
    /// Longest wait for the peer's Hello, and of a request for a partition that is not there yet.
    pub handshake_timeout: Duration,
    /// Silence after which the connection counts as broken.
    pub idle_timeout: Duration,
    /// Time that a connection without channels is kept for the next one.
    pub linger: Duration,
    /// Largest number of open channels on a connection.
    pub max_channels: usize,
}

impl ConnectionSettings {
    /// The defaults for a worker of a job.
    #[must_use]
    pub fn new(hello: Hello) -> Self {
        Self {
            hello,
            max_element: (64 << 20) + (64 << 10),
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(50),
            linger: Duration::from_secs(10),
            max_channels: 65_536,
        }
    }

    /// Refuses a peer that works for another job, or for a leader that lost its place.
    pub(super) fn check_peer(&self, peer: &Hello) -> Result<(), ConnectionError> {
        let reason = if peer.job != self.hello.job {
            format!("this worker belongs to job {}, the peer to another one", self.hello.job)
        } else if peer.epoch < self.hello.epoch {
            format!("the peer has the stale epoch {}, this worker has epoch {}", peer.epoch, self.hello.epoch)
        } else {
            return Ok(());
        };
        Err(ConnectionError::Refused(reason))
    }
}

/// One side of a connection: frames and time in, bytes out, no I/O. Driven by a socket, or by a simulated link.
///
/// Times are durations since any fixed moment, the same for all calls.
pub trait ConnectionEndpoint: Send {
    /// A frame came.
    ///
    /// # Errors
    /// The connection cannot go on; the caller sends what [`refuse`](Self::refuse) writes and closes it.
    fn on_frame(&mut self, now: Duration, frame: Frame) -> Result<(), ConnectionError>;

    /// The [`Wake`] of this side was called.
    ///
    /// # Errors
    /// The connection cannot go on.
    fn on_wake(&mut self, now: Duration) -> Result<(), ConnectionError>;

    /// [`deadline`](Self::deadline) has passed.
    ///
    /// # Errors
    /// The connection cannot go on.
    fn on_tick(&mut self, now: Duration) -> Result<(), ConnectionError>;

    /// The next time at which `on_tick` is due.
    fn deadline(&self) -> Duration;

    /// Appends what is to be sent until nothing is left or `out` has `limit` bytes (the last frame may go over it).
    fn fill(&mut self, out: &mut Vec<u8>, limit: usize);

    /// The peer has said who it is, and it is one of ours.
    fn is_established(&self) -> bool;

    /// Nothing is left to do: the connection may be closed.
    fn is_done(&self) -> bool;

    /// Appends the last words for a peer whose frames gave `error`.
    fn refuse(&mut self, error: &ConnectionError, out: &mut Vec<u8>);

    /// The connection is no more: ends all its channels.
    fn shut_down(&mut self, error: &ConnectionError);
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// The peer sent what is not allowed.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// This side refuses the peer.
    #[error("the peer is refused: {0}")]
    Refused(String),
    /// The peer refuses this side.
    #[error("the peer refuses the connection: {0}")]
    RefusedByPeer(String),
    /// The peer did not say who it is.
    #[error("the peer did not finish the handshake within {} ms (taskmanager.network.connect-timeout)", .0.as_millis())]
    HandshakeTimeout(Duration),
    /// The peer is silent.
    #[error("nothing was heard from the peer for {} ms (taskmanager.network.idle-timeout)", .0.as_millis())]
    Idle(Duration),
    /// The connection could not be made.
    #[error("no connection: {0}")]
    Connect(String),
    /// The operating system reported an error.
    #[error("{0}")]
    Io(String),
    /// TLS could not be agreed on, or a record was damaged.
    #[error("TLS: {0}")]
    Tls(String),
    /// The peer closed the connection.
    #[error("the peer closed the connection")]
    ClosedByPeer,
    /// This worker ends.
    #[error("this worker is shutting its network down")]
    ShutDown,
}

impl ConnectionError {
    /// What to tell the peer; nothing where it does not listen any more.
    pub(super) fn last_words(&self) -> Option<Frame> {
        let to_tell = matches!(self, Self::Frame(_) | Self::Refused(_) | Self::ShutDown);
        to_tell.then(|| {
            let message = match self {
                Self::Refused(reason) => reason.clone(),
                other => other.to_string(),
            };
            Frame::Failure(Failure { channel: CONNECTION_CHANNEL, kind: ChannelFailure::Refused, message })
        })
    }
}

/// Locks, also after a panic of another holder: what the locks of this module guard is valid after every statement.
pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
