//! A socket with its buffers, with or without TLS.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::decoder::FrameDecoder;
use super::endpoint::{ConnectionEndpoint, ConnectionError};
use super::tls::TlsSession;

/// Frames are pulled until this much waits to be sent.
const HIGH_WATER: usize = 128 * 1024;

/// With less than this left to send, more is pulled first, so that writes stay large.
const LOW_WATER: usize = 32 * 1024;

/// A buffer that a large element made larger than this is given back.
const KEEP_BUFFER: usize = 1 << 20;

/// Bytes that crossed the network, with the overhead of frames and TLS.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub(super) received: AtomicU64,
    pub(super) sent: AtomicU64,
}

pub(super) struct Wire {
    socket: TcpStream,
    tls: Option<TlsSession>,
    /// Frames to be sent, from `plain_start` on.
    plain: Vec<u8>,
    plain_start: usize,
    traffic: Arc<Traffic>,
}

/// What a read came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// Bytes were given to the decoder, or the handshake went on.
    Some,
    /// The peer sends nothing more.
    End,
}

impl Wire {
    pub(super) fn new(socket: TcpStream, tls: Option<TlsSession>, traffic: Arc<Traffic>) -> Self {
        Self { socket, tls, plain: Vec::new(), plain_start: 0, traffic }
    }

    /// Frames may be sent: TLS, where there is, is agreed on.
    pub(super) fn is_open(&self) -> bool {
        self.tls.as_ref().is_none_or(TlsSession::is_established)
    }

    /// Receives once. `on_bytes` is called as bytes come into the decoder, and takes the frames out of it.
    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        decoder: &mut FrameDecoder,
        on_bytes: &mut dyn FnMut(&mut FrameDecoder) -> Result<(), ConnectionError>,
    ) -> Poll<Result<Received, ConnectionError>> {
        let Some(tls) = &mut self.tls else {
            let read = ready!(pin!(self.socket.read_buf(decoder.space())).poll(cx)).map_err(io_error)?;
            on_bytes(decoder)?;
            return Poll::Ready(Ok(self.traffic.count_received(read)));
        };
        if !tls.is_established() {
            // The connecting side has to speak before it hears anything.
            tls.decrypt(decoder, on_bytes)?;
        }
        let mut space = ReadBuf::new(tls.space()?);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut space)).map_err(io_error)?;
        let read = space.filled().len();
        tls.received(read);
        tls.decrypt(decoder, on_bytes)?;
        let end = tls.is_closed_by_peer();
        let received = self.traffic.count_received(read);
        Poll::Ready(Ok(if end { Received::End } else { received }))
    }

    /// Pulls frames from `side` when there is room for them. `false`: nothing is to be sent.
    pub(super) fn pull(&mut self, side: &mut dyn ConnectionEndpoint) -> Result<bool, ConnectionError> {
        if self.is_open() && self.plain.len() - self.plain_start < LOW_WATER {
            self.plain.drain(..self.plain_start);
            self.plain_start = 0;
            side.fill(&mut self.plain, HIGH_WATER);
        }
        self.flush()
    }

    /// Makes what is there ready to be sent, and nothing new. `false`: all was sent.
    pub(super) fn flush(&mut self) -> Result<bool, ConnectionError> {
        if self.is_open() {
            self.seal()?;
        }
        Ok(match &mut self.tls {
            Some(tls) => !tls.sealed().filled().is_empty(),
            None => self.plain_start < self.plain.len(),
        })
    }

    /// Takes frames that the side did not make in its turn.
    pub(super) fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.plain);
    }

    fn seal(&mut self) -> Result<(), ConnectionError> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        if self.plain_start < self.plain.len() {
            self.plain_start += tls.seal(&self.plain[self.plain_start..])?;
            self.tidy();
        }
        Ok(())
    }

    /// Sends once of what [`pull`](Self::pull) left to send.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        let bytes = match &mut self.tls {
            Some(tls) => tls.sealed().filled(),
            None => &self.plain[self.plain_start..],
        };
        let written = ready!(Pin::new(&mut self.socket).poll_write(cx, bytes)).map_err(io_error)?;
        self.traffic.sent.fetch_add(written as u64, Ordering::Relaxed);
        match &mut self.tls {
            Some(tls) => tls.sealed().consume(written),
            None => {
                self.plain_start += written;
                self.tidy();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn tidy(&mut self) {
        if self.plain_start == self.plain.len() {
            self.plain.clear();
            self.plain_start = 0;
            if self.plain.capacity() > KEEP_BUFFER {
                self.plain = Vec::new();
            }
        }
    }
}

impl Traffic {
    fn count_received(&self, bytes: usize) -> Received {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
        if bytes == 0 { Received::End } else { Received::Some }
    }
}

fn io_error(error: io::Error) -> ConnectionError {
    ConnectionError::Io(error.to_string())
}
