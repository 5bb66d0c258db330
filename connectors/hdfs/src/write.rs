use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flink_files::file_system::WriteHandle;
use flink_files::{FileError, FileUri};
use hdfs_native::HdfsError;
use hdfs_native::file::FileWriter;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::failure::Attempt;
use crate::name_service::NameService;
use crate::runtime::{self, Ended};

/// Bytes that are handed on together.
const CHUNK_SIZE: usize = 128 << 10;

/// Chunks that wait to be sent to DataNodes. The client beneath holds up to 100 packets of 64 KiB more.
const CHUNKS_BEHIND: usize = 16;

/// Longest wait for one chunk to go: through the loss of a DataNode, or a restart of the NameNode.
const CHUNK_LIMIT: Duration = Duration::from_secs(180);

/// Longest wait for everything that has been written to be on the disks of the DataNodes, and the file closed.
const FINISH_LIMIT: Duration = Duration::from_secs(300);

const WRITE: &str = "write to";
const MAKE_DURABLE: &str = "make durable";

enum Chunk {
    Data(Bytes),
    Finish,
}

type Outcome = Result<(), FileError>;

/// Writes a file, behind the caller: a write waits only when the DataNodes are slower.
pub(crate) struct HdfsWriteHandle {
    uri: FileUri,
    buffer: BytesMut,
    chunks: mpsc::Sender<Chunk>,
    outcome: Receiver<Outcome>,
    /// The error was given out already.
    broken: bool,
}

impl HdfsWriteHandle {
    pub(crate) fn new(service: Arc<NameService>, uri: FileUri, writer: FileWriter) -> Result<Self, FileError> {
        let handle = runtime::handle().map_err(|ended| Attempt { action: WRITE, uri: &uri }.ended(ended))?;
        let (chunks, receiver) = mpsc::channel(CHUNKS_BEHIND);
        let (sender, outcome) = sync_channel(1);
        handle.spawn(store(Store { service, uri: uri.clone(), writer }, receiver, sender));
        Ok(Self { uri, buffer: BytesMut::with_capacity(CHUNK_SIZE), chunks, outcome, broken: false })
    }

    fn send(&mut self, chunk: Chunk) -> Outcome {
        let chunk = match self.chunks.try_send(chunk) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(self.failure(Duration::ZERO)),
            Err(TrySendError::Full(chunk)) => chunk,
        };
        let chunks = self.chunks.clone();
        match runtime::wait(CHUNK_LIMIT, async move { chunks.send(chunk).await.is_ok() }) {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.failure(Duration::from_secs(1))),
            Err(ended) => Err(Attempt { action: WRITE, uri: &self.uri }.ended(ended)),
        }
    }

    /// Why the storing task has ended.
    fn failure(&mut self, patience: Duration) -> FileError {
        let attempt = Attempt { action: WRITE, uri: &self.uri };
        if std::mem::replace(&mut self.broken, true) {
            return attempt.error("an earlier write to it has failed", ErrorKind::BrokenPipe);
        }
        match self.outcome.recv_timeout(patience) {
            Ok(Err(error)) => error,
            Ok(Ok(())) => attempt.error("it is closed already", ErrorKind::BrokenPipe),
            Err(_) => attempt.ended(Ended::Panicked),
        }
    }

    fn flush(&mut self) -> Outcome {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = self.buffer.split().freeze();
        self.buffer.reserve(CHUNK_SIZE);
        self.send(Chunk::Data(chunk))
    }
}

impl WriteHandle for HdfsWriteHandle {
    fn write_all(&mut self, bytes: &[u8]) -> Outcome {
        for piece in bytes.chunks(CHUNK_SIZE) {
            if self.buffer.len() + piece.len() > CHUNK_SIZE {
                self.flush()?;
            }
            self.buffer.extend_from_slice(piece);
        }
        Ok(())
    }

    fn finish(&mut self) -> Outcome {
        self.flush()?;
        self.send(Chunk::Finish)?;
        let attempt = Attempt { action: MAKE_DURABLE, uri: &self.uri };
        match self.outcome.recv_timeout(FINISH_LIMIT) {
            Ok(outcome) => {
                self.broken = outcome.is_err();
                outcome
            }
            Err(RecvTimeoutError::Timeout) => Err(attempt.ended(Ended::Late(FINISH_LIMIT))),
            Err(RecvTimeoutError::Disconnected) => Err(attempt.ended(Ended::Panicked)),
        }
    }
}

/// An open file, on the runtime.
pub(crate) struct Store {
    pub(crate) service: Arc<NameService>,
    pub(crate) uri: FileUri,
    pub(crate) writer: FileWriter,
}

impl Store {
    pub(crate) async fn write(&mut self, bytes: Bytes) -> Outcome {
        let attempt = Attempt { action: WRITE, uri: &self.uri };
        match tokio::time::timeout(CHUNK_LIMIT, self.writer.write_bytes(bytes)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.service.failed(attempt, error)),
            Err(_) => Err(attempt.ended(Ended::Late(CHUNK_LIMIT))),
        }
    }

    /// On the disks of the DataNodes first: closing alone leaves the data in their memory.
    pub(crate) async fn finish(&mut self) -> Outcome {
        let attempt = Attempt { action: MAKE_DURABLE, uri: &self.uri };
        let writer = &mut self.writer;
        let finished = async {
            match writer.hsync().await {
                // Blocks of erasure coding cannot be synced; closing them is all there is.
                Err(HdfsError::OperationFailed(reason)) if reason.contains("erasure") => {}
                synced => synced?,
            }
            writer.close().await
        };
        match tokio::time::timeout(FINISH_LIMIT, finished).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.service.failed(attempt, error)),
            Err(_) => Err(attempt.ended(Ended::Late(FINISH_LIMIT))),
        }
    }
}

async fn store(mut file: Store, mut chunks: mpsc::Receiver<Chunk>, outcome: SyncSender<Outcome>) {
    while let Some(chunk) = chunks.recv().await {
        let result = match chunk {
            Chunk::Data(bytes) => match file.write(bytes).await {
                Ok(()) => continue,
                failed => failed,
            },
            Chunk::Finish => file.finish().await,
        };
        // Nobody is there any more when this fails.
        let _ = outcome.send(result);
        return;
    }
}
