//! A frame is a length of four bytes, then messages, each after its own length as a varint.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::error::RemoteException;
use crate::proto::rpc::{RequestHeaderProto, RpcRequestHeaderProto, RpcResponseHeaderProto, RpcSaslProto};

const PROTOCOL_BUFFER: i32 = 2;
const FINAL_PACKET: i32 = 0;
const SASL_CALL: i32 = -33;
const CONTEXT_CALL: i32 = -3;

/// A message of a server has at most so many characters here; its stack trace is cut off before.
const MAX_MESSAGE_BYTES: usize = 16 << 10;

/// The first bytes of a connection: version 9, service class 0, and whether SASL follows.
pub(crate) fn preamble(sasl: bool) -> [u8; 7] {
    let authentication = if sasl { 0xdf } else { 0 };
    [b'h', b'r', b'p', b'c', 9, 0, authentication]
}

pub(crate) fn call_frame<M: Message>(
    header: &RpcRequestHeaderProto,
    method: &RequestHeaderProto,
    request: &M,
) -> Vec<u8> {
    let mut frame = begin();
    append(&mut frame, header);
    append(&mut frame, method);
    append(&mut frame, request);
    finish(frame)
}

/// A frame of one message after a header: SASL, or the connection's context.
pub(crate) fn plain_frame<M: Message>(header: &RpcRequestHeaderProto, message: &M) -> Vec<u8> {
    let mut frame = begin();
    append(&mut frame, header);
    append(&mut frame, message);
    finish(frame)
}

pub(crate) fn call_header(call: i32, client: &[u8; 16], retry: i32) -> RpcRequestHeaderProto {
    RpcRequestHeaderProto {
        rpc_kind: Some(PROTOCOL_BUFFER),
        rpc_op: Some(FINAL_PACKET),
        call_id: call,
        client_id: client.to_vec(),
        retry_count: Some(retry),
    }
}

pub(crate) fn context_header(client: &[u8; 16]) -> RpcRequestHeaderProto {
    call_header(CONTEXT_CALL, client, -1)
}

pub(crate) fn sasl_header() -> RpcRequestHeaderProto {
    RpcRequestHeaderProto { client_id: Vec::new(), ..call_header(SASL_CALL, &[0; 16], -1) }
}

fn begin() -> Vec<u8> {
    vec![0; 4]
}

fn append<M: Message>(frame: &mut Vec<u8>, message: &M) {
    frame.extend_from_slice(&message.encode_length_delimited_to_vec());
}

fn finish(mut frame: Vec<u8>) -> Vec<u8> {
    let length = u32::try_from(frame.len() - 4).unwrap_or(u32::MAX);
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}

/// Why the other side's bytes are no frame.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("a frame of {size} bytes, more than the {limit} of ipc.maximum.response.length")]
    TooLarge { size: usize, limit: usize, begins: [u8; 4] },
    #[error("{0}")]
    Malformed(String),
}

/// Reads a frame; none when the other side has closed the connection between frames. Memory grows with what has
/// arrived, not with what was announced.
pub(crate) async fn read_frame(
    input: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> Result<Option<Bytes>, FrameError> {
    let mut begins = [0; 4];
    if input.read(&mut begins[..1]).await? == 0 {
        return Ok(None);
    }
    input.read_exact(&mut begins[1..]).await?;
    let size = checked_size(begins, limit)?;
    let mut frame = BytesMut::with_capacity(size.min(64 << 10));
    let mut input = input.take(size as u64);
    while frame.len() < size {
        if input.read_buf(&mut frame).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
    Ok(Some(frame.freeze()))
}

/// The size that a frame announces, if it is within the limit.
pub(crate) fn checked_size(begins: [u8; 4], limit: usize) -> Result<usize, FrameError> {
    let size = usize::try_from(u32::from_be_bytes(begins)).unwrap_or(usize::MAX);
    if size > limit { Err(FrameError::TooLarge { size, limit, begins }) } else { Ok(size) }
}

/// Takes a message off the front.
pub(crate) fn take_message<M: Message + Default>(bytes: &mut Bytes) -> Result<M, FrameError> {
    M::decode_length_delimited(bytes).map_err(|error| FrameError::Malformed(error.to_string()))
}

/// What a server answers to a call.
#[derive(Debug)]
pub(crate) enum Reply {
    /// The answer's bytes.
    Success(Bytes),
    /// An exception; after a fatal one the connection is of no use.
    Exception { exception: RemoteException, fatal: bool, unauthorized: bool },
}

/// A response: the number of its call, and the reply.
pub(crate) fn decode_response(mut frame: Bytes, host: &str) -> Result<(i32, Reply), FrameError> {
    let header: RpcResponseHeaderProto = take_message(&mut frame)?;
    // Negative numbers of calls travel as large unsigned ones.
    let call = i32::from_be_bytes(header.call_id.to_be_bytes());
    Ok((call, if header.status == 0 { Reply::Success(frame) } else { exception(header, host) }))
}

/// A response that must be one of the SASL exchange.
pub(crate) fn decode_sasl(frame: Bytes, host: &str) -> Result<Result<RpcSaslProto, Reply>, FrameError> {
    match decode_response(frame, host)? {
        (SASL_CALL, Reply::Success(mut body)) => take_message(&mut body).map(Ok),
        (call, Reply::Success(_)) => {
            Err(FrameError::Malformed(format!("call {call} where a SASL message was expected")))
        }
        (_, exception) => Ok(Err(exception)),
    }
}

fn exception(header: RpcResponseHeaderProto, host: &str) -> Reply {
    const FATAL: i32 = 2;
    const UNAUTHORIZED: i32 = 15;
    let class = header.exception_class_name.unwrap_or_else(|| "unknown exception".to_owned());
    let message = without_trace(&class, &header.error_msg.unwrap_or_default());
    let unauthorized = header.error_detail == Some(UNAUTHORIZED);
    let exception = RemoteException { class, message, host: host.to_owned() };
    Reply::Exception { exception, fatal: header.status == FATAL, unauthorized }
}

/// Servers send the printed stack trace: `class: message`, then lines that begin with a tab and `at`.
fn without_trace(class: &str, text: &str) -> String {
    let message = text.split("\n\tat ").next().unwrap_or_default().trim();
    let message = message.strip_prefix(class).map_or(message, |rest| rest.trim_start_matches(':').trim());
    message.chars().take(MAX_MESSAGE_BYTES).collect()
}

/// Takes a whole frame off the front of a buffer, if one is there.
pub(crate) fn take_frame(buffer: &mut BytesMut, limit: usize) -> Result<Option<Bytes>, FrameError> {
    let Some(begins) = buffer.first_chunk::<4>() else { return Ok(None) };
    let size = checked_size(*begins, limit)?;
    if buffer.len() - 4 < size {
        return Ok(None);
    }
    buffer.advance(4);
    Ok(Some(buffer.split_to(size).freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn frames_are_as_measured_on_the_wire() {
        let frame =
            plain_frame(&sasl_header(), &RpcSaslProto { version: Some(0), state: 1, ..RpcSaslProto::default() });
        let expect = [0, 0, 0, 17, 0x0a, 8, 2, 16, 0, 24, 65, 34, 0, 40, 1, 4, 8, 0, 16, 1];
        assert_eq!(frame[4..], expect[4..], "{frame:?}");
        assert_eq!(usize::from(frame[3]), frame.len() - 4);
    }

    #[test]
    fn a_stack_trace_is_cut_off() {
        let class = "org.apache.hadoop.X";
        let check = |text: &str, expect: &str| assert_eq!(without_trace(class, text), expect);
        check("org.apache.hadoop.X: bad\nthing\n\tat a.b(C.java:1)\n\tat d", "bad\nthing");
        check("just words", "just words");
        check("org.apache.hadoop.X\n\tat a.b", "");
    }

    #[tokio::test]
    async fn frames_are_bounded_and_cut_ones_noticed() {
        let whole = plain_frame(&sasl_header(), &RpcSaslProto::default());
        let read = async |bytes: &[u8], limit| read_frame(&mut &*bytes, limit).await;
        assert!(read(&whole, 100).await.unwrap().is_some());
        assert!(read(&[], 100).await.unwrap().is_none());
        for cut in 1..whole.len() {
            assert!(read(&whole[..cut], 100).await.is_err(), "{cut}");
        }
        assert!(matches!(read(b"HTTP/1.1 404", 100).await, Err(FrameError::TooLarge { begins: [b'H', ..], .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_response(Bytes::from(bytes.clone()), "h");
            let _ = decode_sasl(Bytes::from(bytes.clone()), "h");
            let _ = take_frame(&mut BytesMut::from(&bytes[..]), 100);
        }
    }
}
