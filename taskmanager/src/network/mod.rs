//! The exchange of data between workers: one TCP (or TLS) connection for each pair of consumer and producer worker,
//! opened by the consumer, many channels on it, credit-based flow control for each channel alone.
//!
//! The consumer asks for a subpartition with a `PartitionRequest`, grants credits, and gets
//! elements in order.
//! A producer sends one element for one credit, so a slow consumer holds back its own producers and nobody else's.
//! The two ends are state machines without I/O (`server`, `client`); `connection` moves their bytes.

/// The frames and their layout.
pub mod frame;

/// From received bytes to frames; the memory that they are received into.
pub mod decoder;

/// What the two sides of a connection have in common.
pub mod endpoint;

/// Whether the peer is still there.
mod liveness;

/// The producer's side: a state machine without I/O.
pub mod server;

/// How consumers speak to their side: opening, credit, canceling.
pub mod mailbox;

/// The consumer's side: a state machine without I/O.
pub mod client;

/// Both sides connected without sockets, in virtual time.
pub mod simulated;

/// TLS between frames and socket.
pub mod tls;

/// A socket with its buffers, with or without TLS.
mod wire;

/// Moves one side of a connection and its socket.
mod connection_task;

/// The sockets of a worker: listening, connecting, sharing connections.
pub mod connection;

use std::sync::Arc;

use bytes::Bytes;
use flink_graph::PartitionId;
use flink_protocol::task_manager::TaskFailure;

pub use connection::{DataPlane, DataPlaneConfig, DataPlaneError};
pub use mailbox::ChannelHandle;
pub use tls::DataPlaneTls;

/// What the next element of a subpartition was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadOutcome {
    /// A chunk of records was appended to the buffer.
    Data,
    /// An event was appended to the buffer, for example the end of the partition.
    Event {
        /// Nothing follows.
        last: bool,
    },
    /// Nothing is there yet; the listener is called when something is.
    Empty,
    /// The producer failed or released the partition before its end.
    Failed(String),
}

/// The producer's end of one subpartition, read by the network (or a local consumer of a blocking partition).
///
/// Implementations are called from network threads and must not block for longer than a read of a local file takes.
pub trait SubpartitionView: Send + Sync {
    /// Appends the next element, encoded, to `buffer` and says what it was. The bytes are opaque to the network.
    fn read_next(&self, buffer: &mut Vec<u8>) -> ReadOutcome;

    /// Number of elements that could be read now; told to the consumer as the backlog.
    fn backlog(&self) -> u32;

    /// Whether `read_next` would give an event, which may be sent ahead of the consumer's credit, so that it is not held
    /// up by data that the consumer has not taken yet. Asked only when there is no credit. An implementation that
    /// answers `false` for "nothing there" calls the listener when something is; one that cannot tell says `false`, and
    /// its events wait for credit like data.
    fn is_event_next(&self) -> bool {
        false
    }

    /// Sets what is called, from any thread, when `read_next` said `Empty` and there is something now. Replaces the one
    /// before. The listener is called at once if there is something already.
    fn set_listener(&self, listener: Arc<dyn Fn() + Send + Sync>);

    /// The consumer goes: it has read all, or failed, or its connection broke.
    fn close(&self, reason: &str);
}

/// Why a subpartition cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenError {
    /// The producer is not deployed here (yet); asking again may help.
    NotFound,
    /// It was here and failed or was released.
    Gone(String),
}

/// The partitions of a worker.
pub trait PartitionDirectory: Send + Sync {
    /// Opens a subpartition for reading.
    ///
    /// # Errors
    /// See [`OpenError`].
    fn open(&self, partition: PartitionId, subpartition: u32) -> Result<Arc<dyn SubpartitionView>, OpenError>;

    /// Sets what is called, from any thread, whenever a partition is added: the time to retry `NotFound`.
    fn set_listener(&self, listener: Arc<dyn Fn() + Send + Sync>);
}

/// The consumer's end of one remote channel, fed by the network. Called from network threads; never blocks.
pub trait RemoteChannel: Send + Sync {
    /// An element, as the producer's [`SubpartitionView`] wrote it. At most as many are on their way as credits
    /// were granted.
    fn on_element(&self, element: Bytes);

    /// The channel broke: connection lost, producer failed, partition not found, or a damaged frame. The last call.
    fn on_failure(&self, failure: TaskFailure);
}

#[cfg(test)]
mod tests;
