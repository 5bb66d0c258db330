//! How the processes of a cluster reach one another: framed connections, mutual TLS under the cluster's own certificate
//! authority, and the first words that two sides exchange.
//!
//! Nothing here knows what the messages mean. Whatever arrives from the network is bounded before memory is taken.

/// Values that must not be printed.
pub mod secret;

/// Files that only their owner may read.
pub mod private_file;

/// Messages over a byte stream: a length and a MessagePack body each.
pub mod frame;

/// The cluster's certificate authority, and the certificates of its processes.
pub mod authority;

/// Mutual TLS 1.3, and who the other side is.
pub mod tls;

/// The first frames of a connection: both sides say who they are, or why not.
pub mod handshake;

/// Connections as pairs of channels, over a socket or in memory.
pub mod channels;

/// The token that callers of the REST API show.
pub mod token;

pub use authority::{AuthorityError, CertificateAuthority};
pub use channels::ChannelPair;
pub use frame::{FrameError, FramedReader, FramedWriter};
pub use handshake::{Acceptor, Connection, Dialer, HandshakeError};
pub use secret::Secret;
pub use tls::{PeerIdentity, Role, TlsError, certificate_name};
pub use token::RestToken;
