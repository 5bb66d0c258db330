use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Version of the messages. Processes with different versions refuse each other at the first frame.
pub const PROTOCOL_VERSION: u32 = 1;

/// Number of the leader's reign, growing with each JobManager that takes over; on YARN the application attempt.
pub type Epoch = u64;

/// A message with the epoch that it was sent under. A receiver refuses those of an older epoch than it knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope<M> {
    /// Epoch of the leader that sent it, or that the sender believes in; 0 before it knows one.
    pub epoch: Epoch,
    /// The message.
    pub message: M,
}

/// A frame could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The frame is larger than the receiver accepts.
    #[error("a frame of {size} bytes is over the limit of {limit} bytes (rpc.framesize)")]
    FrameTooLarge {
        /// Announced or actual size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// The bytes are not such a message.
    #[error("not a valid message: {0}")]
    Decode(#[from] rmp_serde::decode::Error),
    /// The message has no wire form.
    #[error("cannot encode the message: {0}")]
    Encode(#[from] rmp_serde::encode::Error),
}

/// Encodes a message as the body of a frame.
///
/// # Errors
/// The message has no wire form.
pub fn encode<M: Serialize>(message: &M) -> Result<Vec<u8>, WireError> {
    Ok(rmp_serde::to_vec_named(message)?)
}

/// Decodes the body of a frame. Memory taken is bounded by the size of the frame.
///
/// # Errors
/// The bytes are not such a message.
pub fn decode<M: DeserializeOwned>(body: &[u8]) -> Result<M, WireError> {
    Ok(rmp_serde::from_slice(body)?)
}

/// Splits a frame's 4-byte big-endian length header off, checking it before any memory is taken.
///
/// # Errors
/// The length is over `limit`.
pub fn frame_length(header: [u8; 4], limit: u64) -> Result<usize, WireError> {
    let size = u32::from_be_bytes(header);
    if u64::from(size) > limit {
        return Err(WireError::FrameTooLarge { size: u64::from(size), limit });
    }
    Ok(size as usize)
}
