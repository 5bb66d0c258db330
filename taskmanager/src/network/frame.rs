//! The frames of a data connection.
//!
//! All numbers are little-endian. Every frame begins with a header of 12 bytes:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 4 | length of the body, which follows the header |
//! | 4 | 1 | kind |
//! | 5 | 1 | flags: 1 = event, 2 = last element; 0 for all other kinds |
//! | 6 | 2 | zero |
//! | 8 | 4 | channel; 0 where a frame concerns the connection (a failure of the connection: `u32::MAX`) |
//!
//! | kind | frame | from | body |
//! |---|---|---|---|
//! | 1 | Hello | both, first | magic u32, version u16, job u128, epoch u64, worker (rest, UTF-8) |
//! | 2 | PartitionRequest | consumer | credit u32, subpartition u32, output u32, job u128, vertex u128, subtask u32, attempt u32, epoch u64 |
//! | 3 | AddCredit | consumer | credit u32 |
//! | 4 | Element | producer | sequence number u32, backlog u32, the element (rest) |
//! | 5 | Failure | producer | kind u8, message (rest, UTF-8) |
//! | 6 | CancelChannel | consumer | nothing |
//! | 7, 8 | Ping, Pong | both | nothing |
//!
//! A body has exactly the bytes of its fields, unknown kinds and flags are errors: the two ends have the same version or
//! refuse each other. There is no checksum: TLS authenticates every record, and on plain TCP, which has to be asked for,
//! a crc32 on both ends would cost a sixth of the throughput for errors that the checksums below nearly always find.

use bytes::Bytes;
use flink_graph::{ExecutionAttemptId, JobId, JobVertexId, PartitionId};

/// The first four bytes of a Hello's body: "FLDP".
pub const MAGIC: u32 = u32::from_le_bytes(*b"FLDP");

/// Version of the frames; workers of another version are refused.
pub const NETWORK_VERSION: u16 = 1;

/// Bytes in front of every body.
pub const HEADER_SIZE: usize = 12;

/// Bytes of an Element's body in front of the element.
pub const ELEMENT_PREFIX_SIZE: usize = 8;

/// Largest body of a frame that is not an element.
pub const MAX_CONTROL_BODY: usize = 4096;

/// Largest body of the first frame of a connection, sent by somebody who is not known yet.
pub const MAX_HELLO_BODY: usize = HELLO_FIXED + MAX_WORKER_NAME;

/// Longest name of a worker, bytes.
pub const MAX_WORKER_NAME: usize = 512;

/// The channel of a failure that concerns the whole connection.
pub const CONNECTION_CHANNEL: u32 = u32::MAX;

const HELLO_FIXED: usize = 4 + 2 + 16 + 8;
const REQUEST_BODY: usize = 4 + 4 + 4 + 16 + 16 + 4 + 4 + 8;
const MAX_FAILURE_MESSAGE: usize = 3 * 1024;
const FLAG_EVENT: u8 = 1;
const FLAG_LAST: u8 = 2;

/// A frame with its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Who speaks; the first frame in each direction.
    Hello(Hello),
    /// Opens a channel.
    PartitionRequest(PartitionRequest),
    /// The consumer has room for more elements.
    AddCredit {
        /// The channel.
        channel: u32,
        /// Number of elements more.
        credit: u32,
    },
    /// One element of a subpartition.
    Element(Element),
    /// A channel, or the connection, cannot go on.
    Failure(Failure),
    /// The consumer does not want the channel any more.
    CancelChannel {
        /// The channel.
        channel: u32,
    },
    /// Are you there?
    Ping,
    /// Yes.
    Pong,
}

/// Who speaks, and for which job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The job whose data is exchanged.
    pub job: JobId,
    /// Epoch of the leader that the worker obeys.
    pub epoch: u64,
    /// Name of the worker, for messages and logs; up to [`MAX_WORKER_NAME`] bytes.
    pub worker: String,
}

/// Which subpartition a new channel reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionRequest {
    /// Number of the channel, chosen by the consumer and used once on a connection.
    pub channel: u32,
    /// The partition.
    pub partition: PartitionId,
    /// Which subpartition of it.
    pub subpartition: u32,
    /// Number of elements that the consumer has room for.
    pub credit: u32,
}

/// One element of a subpartition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// The channel.
    pub channel: u32,
    /// Number of the element on its channel, from 0, wrapping.
    pub sequence: u32,
    /// Number of elements that the producer has ready after this one.
    pub backlog: u32,
    /// It is an event, which may go ahead of credit.
    pub event: bool,
    /// Nothing follows on this channel.
    pub last: bool,
    /// The element as the producer wrote it.
    pub payload: Bytes,
}

/// Why a channel cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The channel, or [`CONNECTION_CHANNEL`].
    pub channel: u32,
    /// What happened.
    pub kind: ChannelFailure,
    /// The same in words.
    pub message: String,
}

/// What happened to a channel or connection on the producer's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ChannelFailure {
    /// The partition did not appear on the producer's worker in time.
    NotFound = 1,
    /// The producer failed or released the partition.
    ProducerFailed = 2,
    /// The connection is refused: another job, an old epoch, another version, too many channels.
    Refused = 3,
}

/// Bytes that are not a frame, or not one that is allowed there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The first frame is not a Hello of ours.
    #[error(
        "the peer does not speak the data protocol (it may be another service, or use TLS where this side does not)"
    )]
    NotADataConnection,
    /// The Hello is of another version.
    #[error(
        "the peer speaks version {theirs} of the data protocol, this worker version {NETWORK_VERSION}: run the same build"
    )]
    Version {
        /// Version of the peer.
        theirs: u16,
    },
    /// The frame is larger than what is accepted.
    #[error("a frame of {size} bytes is over the limit of {limit} bytes (taskmanager.network.max-record-size)")]
    TooLarge {
        /// Announced size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// A damaged frame.
    #[error("damaged frame of kind {kind}: {problem}")]
    Damaged {
        /// Kind byte of the frame.
        kind: u8,
        /// What is wrong.
        problem: &'static str,
    },
}

/// The header of a frame, not yet checked against limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) body: usize,
    pub(super) kind: Kind,
    flags: u8,
    channel: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Hello = 1,
    PartitionRequest,
    AddCredit,
    Element,
    Failure,
    CancelChannel,
    Ping,
    Pong,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Hello,
            2 => Self::PartitionRequest,
            3 => Self::AddCredit,
            4 => Self::Element,
            5 => Self::Failure,
            6 => Self::CancelChannel,
            7 => Self::Ping,
            8 => Self::Pong,
            _ => return None,
        })
    }
}

impl Header {
    /// Reads the header at the front of `bytes`, if it is there.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<Self>, FrameError> {
        let Some(header) = bytes.first_chunk::<HEADER_SIZE>() else { return Ok(None) };
        let [b0, b1, b2, b3, kind, flags, r0, r1, c0, c1, c2, c3] = *header;
        let damaged = |problem| Err(FrameError::Damaged { kind, problem });
        let Some(known) = Kind::from_byte(kind) else { return damaged("unknown kind") };
        let allowed = if known == Kind::Element { FLAG_EVENT | FLAG_LAST } else { 0 };
        if flags & !allowed != 0 || [r0, r1] != [0, 0] {
            return damaged("unknown flags");
        }
        let body = u32::from_le_bytes([b0, b1, b2, b3]) as usize;
        Ok(Some(Self { body, kind: known, flags, channel: u32::from_le_bytes([c0, c1, c2, c3]) }))
    }

    fn write(kind: Kind, flags: u8, channel: u32, body: usize, out: &mut Vec<u8>) {
        // Bodies are checked against limits below 4 GiB before they are written.
        out.extend_from_slice(&(body as u32).to_le_bytes());
        out.extend_from_slice(&[kind as u8, flags, 0, 0]);
        out.extend_from_slice(&channel.to_le_bytes());
    }

    /// Makes the frame from the bytes of its body.
    pub(super) fn decode(self, body: Bytes) -> Result<Frame, FrameError> {
        let mut fields = Fields { rest: &body, kind: self.kind as u8 };
        let frame = match self.kind {
            Kind::Hello => Frame::Hello(fields.hello()?),
            Kind::PartitionRequest => Frame::PartitionRequest(fields.partition_request(self.channel)?),
            Kind::AddCredit => Frame::AddCredit { channel: self.channel, credit: fields.u32()? },
            Kind::Element => return self.element(&body),
            Kind::Failure => Frame::Failure(fields.failure(self.channel)?),
            Kind::CancelChannel => Frame::CancelChannel { channel: self.channel },
            Kind::Ping => Frame::Ping,
            Kind::Pong => Frame::Pong,
        };
        fields.end()?;
        self.check_channel()?;
        Ok(frame)
    }

    fn element(self, body: &Bytes) -> Result<Frame, FrameError> {
        let mut fields = Fields { rest: body, kind: self.kind as u8 };
        let (sequence, backlog) = (fields.u32()?, fields.u32()?);
        Ok(Frame::Element(Element {
            channel: self.channel,
            sequence,
            backlog,
            event: self.flags & FLAG_EVENT != 0,
            last: self.flags & FLAG_LAST != 0,
            payload: body.slice(ELEMENT_PREFIX_SIZE..),
        }))
    }

    fn check_channel(self) -> Result<(), FrameError> {
        let concerns_connection = matches!(self.kind, Kind::Hello | Kind::Ping | Kind::Pong);
        if concerns_connection && self.channel != 0 {
            return Err(FrameError::Damaged { kind: self.kind as u8, problem: "it has no channel" });
        }
        Ok(())
    }
}

impl Frame {
    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hello(hello) => hello.encode(out),
            Self::PartitionRequest(request) => request.encode(out),
            Self::AddCredit { channel, credit } => {
                Header::write(Kind::AddCredit, 0, *channel, 4, out);
                out.extend_from_slice(&credit.to_le_bytes());
            }
            Self::Element(element) => {
                let start = begin_element(out, element.channel, element.sequence);
                out.extend_from_slice(&element.payload);
                finish_element(out, start, element.event, element.last, element.backlog);
            }
            Self::Failure(failure) => failure.encode(out),
            Self::CancelChannel { channel } => Header::write(Kind::CancelChannel, 0, *channel, 0, out),
            Self::Ping => Header::write(Kind::Ping, 0, 0, 0, out),
            Self::Pong => Header::write(Kind::Pong, 0, 0, 0, out),
        }
    }
}

impl Hello {
    fn encode(&self, out: &mut Vec<u8>) {
        let worker = prefix(&self.worker, MAX_WORKER_NAME);
        Header::write(Kind::Hello, 0, 0, HELLO_FIXED + worker.len(), out);
        out.extend_from_slice(&MAGIC.to_le_bytes());
        out.extend_from_slice(&NETWORK_VERSION.to_le_bytes());
        out.extend_from_slice(&self.job.as_u128().to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(worker.as_bytes());
    }
}

impl PartitionRequest {
    fn encode(&self, out: &mut Vec<u8>) {
        Header::write(Kind::PartitionRequest, 0, self.channel, REQUEST_BODY, out);
        let producer = self.partition.producer;
        for number in [self.credit, self.subpartition, self.partition.output] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&producer.job.as_u128().to_le_bytes());
        out.extend_from_slice(&producer.vertex.as_u128().to_le_bytes());
        out.extend_from_slice(&producer.subtask.to_le_bytes());
        out.extend_from_slice(&producer.attempt.to_le_bytes());
        out.extend_from_slice(&producer.epoch.to_le_bytes());
    }
}

impl Failure {
    fn encode(&self, out: &mut Vec<u8>) {
        let message = prefix(&self.message, MAX_FAILURE_MESSAGE);
        Header::write(Kind::Failure, 0, self.channel, 1 + message.len(), out);
        out.push(self.kind as u8);
        out.extend_from_slice(message.as_bytes());
    }
}

/// Begins an element: its content is appended to `out` next, then [`finish_element`] is given the returned position.
pub(super) fn begin_element(out: &mut Vec<u8>, channel: u32, sequence: u32) -> usize {
    let start = out.len();
    Header::write(Kind::Element, 0, channel, 0, out);
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    start
}

/// Completes the header of the element that was begun at `start` and reaches to the end of `out`.
pub(super) fn finish_element(out: &mut [u8], start: usize, event: bool, last: bool, backlog: u32) {
    let body = out.len() - start - HEADER_SIZE;
    let flags = if event { FLAG_EVENT } else { 0 } | if last { FLAG_LAST } else { 0 };
    out[start..start + 4].copy_from_slice(&(body as u32).to_le_bytes());
    out[start + 5] = flags;
    let backlog_at = start + HEADER_SIZE + 4;
    out[backlog_at..backlog_at + 4].copy_from_slice(&backlog.to_le_bytes());
}

/// The longest beginning of `text` that has at most `limit` bytes.
fn prefix(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

struct Fields<'a> {
    rest: &'a [u8],
    kind: u8,
}

impl Fields<'_> {
    fn damaged<T>(&self, problem: &'static str) -> Result<T, FrameError> {
        Err(FrameError::Damaged { kind: self.kind, problem })
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let Some((field, rest)) = self.rest.split_first_chunk::<N>() else { return self.damaged("it is too short") };
        self.rest = rest;
        Ok(*field)
    }

    fn u32(&mut self) -> Result<u32, FrameError> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, FrameError> {
        self.take().map(u64::from_le_bytes)
    }

    fn u128(&mut self) -> Result<u128, FrameError> {
        self.take().map(u128::from_le_bytes)
    }

    fn text(&mut self, limit: usize) -> Result<String, FrameError> {
        let rest = std::mem::take(&mut self.rest);
        match std::str::from_utf8(rest) {
            Ok(text) if text.len() <= limit => Ok(text.to_owned()),
            Ok(_) => self.damaged("its text is too long"),
            Err(_) => self.damaged("its text is not UTF-8"),
        }
    }

    fn end(&self) -> Result<(), FrameError> {
        if self.rest.is_empty() { Ok(()) } else { self.damaged("it is too long") }
    }

    fn hello(&mut self) -> Result<Hello, FrameError> {
        if self.u32()? != MAGIC {
            return Err(FrameError::NotADataConnection);
        }
        let version = self.take().map(u16::from_le_bytes)?;
        if version != NETWORK_VERSION {
            return Err(FrameError::Version { theirs: version });
        }
        Ok(Hello { job: JobId::from_u128(self.u128()?), epoch: self.u64()?, worker: self.text(MAX_WORKER_NAME)? })
    }

    fn partition_request(&mut self, channel: u32) -> Result<PartitionRequest, FrameError> {
        let (credit, subpartition, output) = (self.u32()?, self.u32()?, self.u32()?);
        let producer = ExecutionAttemptId {
            job: JobId::from_u128(self.u128()?),
            vertex: JobVertexId::from_u128(self.u128()?),
            subtask: self.u32()?,
            attempt: self.u32()?,
            epoch: self.u64()?,
        };
        Ok(PartitionRequest { channel, partition: PartitionId { output, producer }, subpartition, credit })
    }

    fn failure(&mut self, channel: u32) -> Result<Failure, FrameError> {
        let [kind] = self.take()?;
        let kind = match kind {
            1 => ChannelFailure::NotFound,
            2 => ChannelFailure::ProducerFailed,
            3 => ChannelFailure::Refused,
            _ => return self.damaged("unknown failure"),
        };
        Ok(Failure { channel, kind, message: self.text(MAX_FAILURE_MESSAGE)? })
    }
}
