use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use flink_protocol::wire::{self, WireError};

/// Bytes of the length in front of each body.
const HEADER: usize = 4;

/// Memory taken ahead of what has arrived: a peer that announces a huge frame must send it to make us hold it.
const STEP: usize = 16 << 10;

/// A buffer beyond this is given back once it is empty, so that an idle connection is small.
const KEPT: usize = 64 << 10;

/// A message could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream broke.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// The other side went away within a message.
    #[error("the connection was closed within a message")]
    Truncated,
    /// The bytes are not a message, or it is too large.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// Reads messages from a byte stream.
#[derive(Debug)]
pub struct FramedReader<R> {
    stream: R,
    limit: u64,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> FramedReader<R> {
    /// Reads from `stream`; a frame over `limit` bytes is an error.
    pub fn new(stream: R, limit: u64) -> Self {
        Self { stream, limit, buffer: Vec::new() }
    }

    /// Changes the limit for the frames that follow.
    pub fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// The next message; `None` when the other side has closed the connection between two messages.
    ///
    /// May be dropped half-way (in `select!`) without a loss: what has arrived stays in the reader.
    ///
    /// # Errors
    /// The stream broke, or the bytes are not a message. The reader is of no use afterwards.
    pub async fn read<M: DeserializeOwned>(&mut self) -> Result<Option<M>, FrameError> {
        let length = loop {
            if let Some(header) = self.buffer.first_chunk::<HEADER>() {
                break wire::frame_length(*header, self.limit)?;
            }
            if self.fill(HEADER).await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(FrameError::Truncated) };
            }
        };
        let end = HEADER + length;
        while self.buffer.len() < end {
            if self.fill(end).await? == 0 {
                return Err(FrameError::Truncated);
            }
        }
        let message = wire::decode(&self.buffer[HEADER..end])?;
        self.consume(end);
        Ok(Some(message))
    }

    /// Reads what there is, up to `wanted` bytes in the buffer (or a few more that follow), a step at a time.
    async fn fill(&mut self, wanted: usize) -> io::Result<usize> {
        let missing = wanted.saturating_sub(self.buffer.len());
        if self.buffer.capacity() == self.buffer.len() {
            // Grows with what has arrived, so that large frames do not cost a copy for each step.
            self.buffer.reserve_exact(missing.clamp(512, STEP.max(self.buffer.len())));
        }
        self.stream.read_buf(&mut self.buffer).await
    }

    fn consume(&mut self, end: usize) {
        self.buffer.drain(..end);
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT {
            self.buffer = Vec::new();
        }
    }
}

/// Writes messages to a byte stream.
#[derive(Debug)]
pub struct FramedWriter<W> {
    stream: W,
    limit: u64,
}

impl<W: AsyncWrite + Unpin> FramedWriter<W> {
    /// Writes to `stream`; a message over `limit` bytes is an error here, before the other side refuses it.
    pub fn new(stream: W, limit: u64) -> Self {
        Self { stream, limit }
    }

    /// Changes the limit for the messages that follow.
    pub fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// Writes a message and sends it off. Dropping this half-way leaves half a message: the connection is then broken.
    ///
    /// # Errors
    /// The stream broke, or the message is too large (then nothing was written, and the writer is still good).
    pub async fn write<M: Serialize>(&mut self, message: &M) -> Result<(), FrameError> {
        self.feed(message).await?;
        self.flush().await
    }

    /// Writes a message without sending it off yet: for several in a row, before [`Self::flush`].
    ///
    /// # Errors
    /// As for [`Self::write`].
    pub async fn feed<M: Serialize>(&mut self, message: &M) -> Result<(), FrameError> {
        Ok(self.stream.write_all(&frame(message, self.limit)?).await?)
    }

    /// Sends off what was written.
    ///
    /// # Errors
    /// The stream broke.
    pub async fn flush(&mut self) -> Result<(), FrameError> {
        Ok(self.stream.flush().await?)
    }

    /// Ends the connection in an orderly way (TLS says goodbye).
    ///
    /// # Errors
    /// The stream broke.
    pub async fn shutdown(&mut self) -> Result<(), FrameError> {
        Ok(self.stream.shutdown().await?)
    }
}

/// A message with its length in front.
///
/// # Errors
/// It has no wire form or is over `limit`.
pub fn frame<M: Serialize>(message: &M, limit: u64) -> Result<Vec<u8>, WireError> {
    let body = wire::encode(message)?;
    let size = body.len() as u64;
    let length = u32::try_from(size).ok().filter(|_| size <= limit);
    let header = length.ok_or(WireError::FrameTooLarge { size, limit })?.to_be_bytes();
    let mut frame = Vec::with_capacity(HEADER + body.len());
    frame.extend_from_slice(&header);
    frame.extend_from_slice(&body);
    Ok(frame)
}

/// Reads a message from a stream that blocks; `None` when the other side has closed it between two messages.
///
/// # Errors
/// The stream broke, or the bytes are not a message, or it is over `limit`.
pub fn read_blocking<M: DeserializeOwned>(stream: &mut impl io::Read, limit: u64) -> Result<Option<M>, FrameError> {
    use std::io::Read;
    let mut header = Vec::with_capacity(HEADER);
    stream.by_ref().take(HEADER as u64).read_to_end(&mut header)?;
    let Some(header) = header.first_chunk::<HEADER>() else {
        return if header.is_empty() { Ok(None) } else { Err(FrameError::Truncated) };
    };
    let length = wire::frame_length(*header, limit)?;
    let mut body = Vec::new();
    // Grows with what comes, not with what the header announces.
    stream.by_ref().take(length as u64).read_to_end(&mut body)?;
    if body.len() == length { Ok(Some(wire::decode(&body)?)) } else { Err(FrameError::Truncated) }
}

/// Writes a message to a stream that blocks.
///
/// # Errors
/// The stream broke, or the message is over `limit`.
pub fn write_blocking<M: Serialize>(stream: &mut impl io::Write, message: &M, limit: u64) -> Result<(), FrameError> {
    stream.write_all(&frame(message, limit)?)?;
    Ok(stream.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::duplex;

    #[tokio::test]
    async fn messages_arrive_in_order_however_the_bytes_are_cut() {
        for pipe in [1, 7, 4096] {
            let (near, far) = duplex(pipe);
            let mut writer = FramedWriter::new(near, 1 << 20);
            let sent: Vec<Vec<u8>> = (0..20).map(|i| vec![i; usize::from(i) * 700]).collect();
            let copy = sent.clone();
            let sender = tokio::spawn(async move {
                for message in &copy {
                    writer.write(message).await.unwrap();
                }
            });
            let mut reader = FramedReader::new(far, 1 << 20);
            for message in sent {
                assert_eq!(reader.read::<Vec<u8>>().await.unwrap(), Some(message));
            }
            sender.await.unwrap();
            assert_eq!(reader.read::<Vec<u8>>().await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn a_read_that_is_dropped_loses_nothing() {
        let (mut near, far) = duplex(1024);
        let mut reader = FramedReader::new(far, 1024);
        let bytes = frame(&"hello".to_owned(), 1024).unwrap();
        for byte in bytes {
            let early = tokio::time::timeout(Duration::from_millis(1), reader.read::<String>()).await;
            assert!(early.is_err(), "nothing whole has arrived");
            near.write_all(&[byte]).await.unwrap();
        }
        assert_eq!(reader.read::<String>().await.unwrap().as_deref(), Some("hello"));
    }

    #[tokio::test]
    async fn an_announced_length_takes_no_memory() {
        let (mut near, far) = duplex(64);
        let mut reader = FramedReader::new(far, 1 << 30);
        near.write_all(&(1_u32 << 30).to_be_bytes()).await.unwrap();
        near.write_all(&[1; 10]).await.unwrap();
        let read = tokio::time::timeout(Duration::from_millis(20), reader.read::<Vec<u8>>()).await;
        assert!(read.is_err());
        assert!(reader.buffer.capacity() <= 2 * STEP, "{}", reader.buffer.capacity());
        drop(near);
        assert!(matches!(reader.read::<Vec<u8>>().await, Err(FrameError::Truncated)));
    }

    #[tokio::test]
    async fn too_large_is_refused_on_both_sides() {
        let (near, far) = duplex(1 << 10);
        let mut writer = FramedWriter::new(near, 64);
        let error = writer.write(&vec![0_u8; 100]).await.unwrap_err();
        assert!(error.to_string().contains("rpc.framesize"), "{error}");
        writer.write(&1_u8).await.unwrap();
        let mut reader = FramedReader::new(far, 0);
        assert!(matches!(reader.read::<u8>().await, Err(FrameError::Wire(WireError::FrameTooLarge { .. }))));
    }

    #[test]
    fn blocking_streams_carry_the_same_frames() {
        let mut bytes = Vec::new();
        write_blocking(&mut bytes, &"hello", 64).unwrap();
        assert_eq!(bytes, frame(&"hello", 64).unwrap());
        assert_eq!(read_blocking::<String>(&mut bytes.as_slice(), 64).unwrap().as_deref(), Some("hello"));
        assert_eq!(read_blocking::<String>(&mut [].as_slice(), 64).unwrap(), None);
        for end in 1..bytes.len() {
            let read = read_blocking::<String>(&mut &bytes[..end], 64);
            assert!(matches!(read, Err(FrameError::Truncated)), "{end}");
        }
        assert!(matches!(read_blocking::<String>(&mut bytes.as_slice(), 2), Err(FrameError::Wire(_))));
        assert!(write_blocking(&mut bytes, &"hello", 2).is_err());
    }

    #[tokio::test]
    async fn large_buffers_are_given_back() {
        let (near, far) = duplex(1 << 20);
        let mut writer = FramedWriter::new(near, 1 << 24);
        let mut reader = FramedReader::new(far, 1 << 24);
        let sender = tokio::spawn(async move { writer.write(&"x".repeat(3 << 20)).await });
        assert_eq!(reader.read::<String>().await.unwrap().map(|text| text.len()), Some(3 << 20));
        assert!(reader.buffer.capacity() <= KEPT);
        sender.await.unwrap().unwrap();
    }
}
