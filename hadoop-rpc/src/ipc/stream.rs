use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::ipc::frame::{self, FrameError, Reply};
use crate::ipc::sasl::{Opener, Sealer, message, state};
use crate::proto::rpc::RpcSaslProto;

/// Where frames come from.
pub(crate) struct FrameReader {
    input: BufReader<OwnedReadHalf>,
    opener: Option<Opener>,
    /// Opened bytes that are not a whole frame yet.
    opened: BytesMut,
    limit: usize,
}

impl FrameReader {
    pub(crate) fn new(input: OwnedReadHalf, limit: usize) -> Self {
        Self { input: BufReader::with_capacity(32 << 10, input), opener: None, opened: BytesMut::new(), limit }
    }

    /// From now on frames are sealed.
    pub(crate) fn seal(&mut self, opener: Opener) {
        self.opener = Some(opener);
    }

    /// The next frame; none when the server has closed the connection between frames.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(opener) = &mut self.opener else { return frame::read_frame(&mut self.input, self.limit).await };
        loop {
            if let Some(frame) = frame::take_frame(&mut self.opened, self.limit)? {
                return Ok(Some(frame));
            }
            // Sealed frames are a little longer than what is in them.
            let limit = self.limit.saturating_add(self.limit / 8);
            let Some(sealed) = frame::read_frame(&mut self.input, limit).await? else { return Ok(None) };
            let opened = open(opener, sealed)?;
            self.opened.extend_from_slice(&opened);
        }
    }
}

fn open(opener: &mut Opener, sealed: Bytes) -> Result<Vec<u8>, FrameError> {
    match frame::decode_sasl(sealed, "")? {
        Ok(RpcSaslProto { state: state::WRAP, token: Some(token), .. }) => {
            opener.open(&token).map_err(|error| FrameError::Malformed(error.to_string()))
        }
        Ok(other) => Err(FrameError::Malformed(format!("a SASL message of state {} among sealed ones", other.state))),
        Err(Reply::Exception { exception, .. }) => {
            Err(FrameError::Malformed(format!("{}: {}", exception.class, exception.message)))
        }
        Err(Reply::Success(_)) => Err(FrameError::Malformed("a message that is not sealed".to_owned())),
    }
}

/// Where frames go.
pub(crate) struct FrameWriter {
    output: OwnedWriteHalf,
    sealer: Option<Sealer>,
}

impl FrameWriter {
    pub(crate) fn new(output: OwnedWriteHalf) -> Self {
        Self { output, sealer: None }
    }

    /// From now on frames are sealed.
    pub(crate) fn seal(&mut self, sealer: Sealer) {
        self.sealer = Some(sealer);
    }

    /// Sends bytes that are no frame.
    pub(crate) async fn write_raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.output.write_all(bytes).await
    }

    /// Sends a frame.
    pub(crate) async fn write(&mut self, frame: &[u8]) -> std::io::Result<()> {
        let Some(sealer) = &mut self.sealer else { return self.output.write_all(frame).await };
        for part in sealer.seal(frame).map_err(std::io::Error::other)? {
            let wrapped = frame::plain_frame(&frame::sasl_header(), &message(state::WRAP, Some(part)));
            self.output.write_all(&wrapped).await?;
        }
        Ok(())
    }

    /// Tells the server that nothing more will come.
    pub(crate) async fn shut_down(&mut self) {
        // The server may have closed already: nothing is lost then.
        let _ = self.output.shutdown().await;
    }
}

/// A message of the SASL exchange.
pub(crate) async fn read_sasl(reader: &mut FrameReader, host: &str) -> Result<Result<RpcSaslProto, Reply>, FrameError> {
    let frame = reader.next().await?.ok_or_else(|| FrameError::Io(std::io::ErrorKind::UnexpectedEof.into()))?;
    frame::decode_sasl(frame, host)
}
