//! TLS between the frames and the socket, through rustls' interface without buffers of its own: records are decrypted
//! where they were received and encrypted into one large buffer, so that the socket is read and written in large pieces
//! (rustls' usual interface reads 4 KiB at a time).

use std::sync::Arc;

use flink_protocol::worker::TlsMaterial;
use flink_transport::{Role, TlsError, tls};
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::pki_types::ServerName;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus, WriteTraffic};
use rustls::{ClientConfig, ServerConfig};

use super::decoder::FrameDecoder;
use super::endpoint::ConnectionError;

/// Plain bytes that are encrypted at once.
const SEAL_PIECE: usize = 64 * 1024;

/// Room for [`SEAL_PIECE`] with the headers and tags of its records, and for a key update.
const SEALED_SIZE: usize = SEAL_PIECE + 4096;

/// Largest TLS record, with its header.
const MAX_RECORD: usize = 16 * 1024 + 256 + 5;

/// Received bytes while the peer is not known; the messages of a handshake fit.
const HANDSHAKE_BUFFER: usize = 4 * MAX_RECORD;

/// Received bytes of a peer that sends elements.
const DATA_BUFFER: usize = 128 * 1024;

/// How the data connections of a worker are secured: mutual TLS 1.3 under the cluster's authority.
#[derive(Debug, Clone)]
pub struct DataPlaneTls {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    server_name: ServerName<'static>,
}

impl DataPlaneTls {
    /// From the certificates of a worker.
    ///
    /// # Errors
    /// The material is damaged.
    pub fn from_material(material: &TlsMaterial) -> Result<Self, TlsError> {
        Ok(Self {
            server: tls::server_config(material)?,
            client: tls::client_config(material)?,
            server_name: tls::server_name(Role::Worker)?,
        })
    }

    pub(super) fn accept(&self) -> Result<TlsSession, ConnectionError> {
        let connection = UnbufferedServerConnection::new(Arc::clone(&self.server)).map_err(broken)?;
        Ok(TlsSession::new(Connection::Server(connection), MAX_RECORD))
    }

    pub(super) fn connect(&self) -> Result<TlsSession, ConnectionError> {
        let name = self.server_name.clone();
        let connection = UnbufferedClientConnection::new(Arc::clone(&self.client), name).map_err(broken)?;
        Ok(TlsSession::new(Connection::Client(connection), DATA_BUFFER))
    }
}

fn broken(error: impl std::fmt::Display) -> ConnectionError {
    ConnectionError::Tls(error.to_string())
}

enum Connection {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

/// The TLS of one connection.
pub(super) struct TlsSession {
    connection: Connection,
    incoming: Window,
    /// Encrypted bytes to be sent.
    sealed: Window,
    phase: Phase,
    established_buffer: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Handshake,
    Established,
    /// The peer has said that it sends nothing more.
    PeerClosed,
}

/// Bytes in the middle of a buffer that is used again and again.
#[derive(Default)]
pub(super) struct Window {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Window {
    pub(super) fn filled(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..self.end]
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Room of at least `least` bytes behind the filled part, in a buffer of at least `size` bytes.
    fn room(&mut self, least: usize, size: usize) -> &mut [u8] {
        if self.buffer.len() - self.end < least {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            let wanted = size.max(self.end + least);
            if self.buffer.len() < wanted {
                self.buffer.resize(wanted, 0);
            }
        }
        &mut self.buffer[self.end..]
    }
}

/// What a call of the TLS state machine came to.
enum Step {
    /// Something changed; call again.
    Again,
    /// Plain bytes were appended to the decoder.
    Received,
    /// Nothing more without bytes from the peer.
    Blocked,
    /// The handshake is over and there is nothing to read.
    Open,
    /// The peer sends nothing more.
    Closed,
}

impl TlsSession {
    fn new(connection: Connection, established_buffer: usize) -> Self {
        Self {
            connection,
            incoming: Window::default(),
            sealed: Window::default(),
            phase: Phase::Handshake,
            established_buffer,
        }
    }

    /// The handshake is over, and the peer has a certificate of the cluster.
    pub(super) fn is_established(&self) -> bool {
        self.phase != Phase::Handshake
    }

    pub(super) fn is_closed_by_peer(&self) -> bool {
        self.phase == Phase::PeerClosed
    }

    /// Encrypted bytes to be sent.
    pub(super) fn sealed(&mut self) -> &mut Window {
        &mut self.sealed
    }

    /// Room to receive encrypted bytes into; call [`received`](Self::received) afterwards.
    pub(super) fn space(&mut self) -> Result<&mut [u8], ConnectionError> {
        let size = if self.is_established() { self.established_buffer } else { 4096 };
        if !self.is_established() && self.incoming.filled().len() >= HANDSHAKE_BUFFER {
            return Err(ConnectionError::Tls("the handshake is too large".to_owned()));
        }
        Ok(self.incoming.room(size.min(MAX_RECORD), size))
    }

    pub(super) fn received(&mut self, count: usize) {
        self.incoming.end += count;
    }

    /// Decrypts all whole records into `decoder`, calling `on_bytes` after each. Answers of the handshake go to the
    /// sealed bytes.
    pub(super) fn decrypt(
        &mut self,
        decoder: &mut FrameDecoder,
        on_bytes: &mut dyn FnMut(&mut FrameDecoder) -> Result<(), ConnectionError>,
    ) -> Result<(), ConnectionError> {
        loop {
            match self.advance(decoder)? {
                Step::Again => {}
                Step::Received => {
                    self.establish()?;
                    on_bytes(decoder)?;
                }
                Step::Blocked => return Ok(()),
                Step::Open => return self.establish(),
                Step::Closed => {
                    self.phase = Phase::PeerClosed;
                    return Ok(());
                }
            }
        }
    }

    fn establish(&mut self) -> Result<(), ConnectionError> {
        if self.phase == Phase::Handshake {
            self.check_peer()?;
            self.phase = Phase::Established;
        }
        Ok(())
    }

    fn advance(&mut self, decoder: &mut FrameDecoder) -> Result<Step, ConnectionError> {
        let incoming = self.incoming.filled_mut();
        let (discard, step) = match &mut self.connection {
            Connection::Client(client) => {
                on_status::<ClientConnectionData>(client.process_tls_records(incoming), &mut self.sealed, decoder)
            }
            Connection::Server(server) => {
                on_status::<ServerConnectionData>(server.process_tls_records(incoming), &mut self.sealed, decoder)
            }
        };
        self.incoming.consume(discard);
        step
    }

    /// A client or TaskManager of the cluster has a valid certificate too, but no business here.
    fn check_peer(&self) -> Result<(), ConnectionError> {
        let certificates = match &self.connection {
            Connection::Client(client) => client.peer_certificates(),
            Connection::Server(server) => server.peer_certificates(),
        };
        let identity = tls::peer_identity(certificates).map_err(broken)?;
        if identity.role == Role::Worker {
            return Ok(());
        }
        Err(ConnectionError::Refused(format!("{identity} is not a worker")))
    }

    /// Encrypts the front of `plain` if the encrypted bytes before were sent; says how much.
    pub(super) fn seal(&mut self, plain: &[u8]) -> Result<usize, ConnectionError> {
        if !self.sealed.filled().is_empty() {
            return Ok(0);
        }
        let piece = &plain[..plain.len().min(SEAL_PIECE)];
        // It has the part of a record at most: whole ones were decrypted when they came.
        let incoming = self.incoming.filled_mut();
        let (discard, sealed) = match &mut self.connection {
            Connection::Client(client) => {
                encrypt::<ClientConnectionData>(client.process_tls_records(incoming), piece, &mut self.sealed)
            }
            Connection::Server(server) => {
                encrypt::<ServerConnectionData>(server.process_tls_records(incoming), piece, &mut self.sealed)
            }
        };
        self.incoming.consume(discard);
        sealed
    }
}

fn on_status<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    sealed: &mut Window,
    decoder: &mut FrameDecoder,
) -> (usize, Result<Step, ConnectionError>) {
    let UnbufferedStatus { mut discard, state } = status;
    let step = match state {
        Err(error) => Err(broken(error)),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => {
            let mut received = 0;
            while let Some(record) = traffic.next_record() {
                match record {
                    Ok(record) => {
                        discard += record.discard;
                        received += record.payload.len();
                        decoder.extend(record.payload);
                    }
                    Err(error) => return (discard, Err(broken(error))),
                }
            }
            // An empty record is nothing to look at, and not the end either.
            Ok(if received == 0 { Step::Again } else { Step::Received })
        }
        Ok(state) => on_handshake(state, sealed),
    };
    (discard, step)
}

fn on_handshake<Data>(state: ConnectionState<'_, '_, Data>, sealed: &mut Window) -> Result<Step, ConnectionError> {
    match state {
        ConnectionState::EncodeTlsData(mut message) => {
            let mut size = 4096;
            loop {
                match message.encode(sealed.room(size, size)) {
                    Ok(written) => break sealed.end += written,
                    Err(EncodeError::InsufficientSize(wanted)) if wanted.required_size <= HANDSHAKE_BUFFER => {
                        size = wanted.required_size;
                    }
                    Err(error) => return Err(broken(error)),
                }
            }
            Ok(Step::Again)
        }
        ConnectionState::TransmitTlsData(message) => {
            // What was encoded is in the sealed bytes, which are sent in order.
            message.done();
            Ok(Step::Again)
        }
        ConnectionState::BlockedHandshake => Ok(Step::Blocked),
        ConnectionState::WriteTraffic(_) => Ok(Step::Open),
        ConnectionState::PeerClosed | ConnectionState::Closed => Ok(Step::Closed),
        _ => Err(ConnectionError::Tls("the peer sends what was not agreed on".to_owned())),
    }
}

fn encrypt<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    piece: &[u8],
    sealed: &mut Window,
) -> (usize, Result<usize, ConnectionError>) {
    let result = match status.state {
        Err(error) => Err(broken(error)),
        Ok(ConnectionState::WriteTraffic(traffic)) => write(traffic, piece, sealed),
        // A key update, for example, goes first; the caller tries again when it was sent.
        Ok(state) => on_handshake(state, sealed).map(|_| 0),
    };
    (status.discard, result)
}

fn write<Data>(
    mut traffic: WriteTraffic<'_, Data>,
    piece: &[u8],
    sealed: &mut Window,
) -> Result<usize, ConnectionError> {
    let written = traffic.encrypt(piece, sealed.room(SEALED_SIZE, SEALED_SIZE)).map_err(broken)?;
    sealed.end += written;
    Ok(piece.len())
}
