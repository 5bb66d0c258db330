use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flink_files::file_system::{Existing, WriteHandle};
use flink_files::{FileError, FileUri};
use hadoop_rpc::ipc::RetryPolicy;
use hdfs_native::file::FileWriter;
use hdfs_native::{HdfsError, WriteOptions};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::error::Elapsed;

use crate::failure::{Attempt, Failure, may_be_opened_again};
use crate::name_service::NameService;
use crate::runtime::{self, Ended};

/// Bytes that are handed on together.
const CHUNK_SIZE: usize = 128 << 10;

/// Chunks that wait to be sent to DataNodes. The client beneath holds up to 100 packets of 64 KiB more.
const CHUNKS_BEHIND: usize = 16;

/// Longest wait for one chunk to go: through the loss of a DataNode, or a restart of the NameNode.
const CHUNK_LIMIT: Duration = Duration::from_secs(120);

/// Longest wait for everything that has been written to be on the disks of the DataNodes, and the file closed.
const CLOSE_LIMIT: Duration = Duration::from_secs(120);

/// How often a file is opened again during one write.
const REOPENINGS: u32 = 6;

/// Bytes that the client beneath holds at most until DataNodes have them: two queues of 100 packets of 64 KiB, and two packets.
const UNACKNOWLEDGED: u64 = 202 * (64 << 10);

/// Time after which a file that is being closed is looked at: most are closed sooner.
const FIRST_LOOK: Duration = Duration::from_millis(8);

/// Longest pause between two looks.
const MAX_POLL_INTERVAL: Duration = Duration::from_millis(200);

const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// Longest wait of the caller for room, or for the file to be closed: with all that is tried again meanwhile.
const WAIT_LIMIT: Duration = Duration::from_secs(600);

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
    /// Goes on with a file that was just created.
    pub(crate) fn new(file: Store) -> Result<Self, FileError> {
        let uri = file.uri.clone();
        let handle = runtime::handle().map_err(|ended| Attempt { action: WRITE, uri: &uri }.ended(ended))?;
        let (chunks, receiver) = mpsc::channel(CHUNKS_BEHIND);
        let (sender, outcome) = sync_channel(1);
        handle.spawn(store(file, receiver, sender));
        Ok(Self { uri, buffer: BytesMut::with_capacity(CHUNK_SIZE), chunks, outcome, broken: false })
    }

    fn send(&mut self, chunk: Chunk) -> Outcome {
        let chunk = match self.chunks.try_send(chunk) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(self.failure(Duration::ZERO)),
            Err(TrySendError::Full(chunk)) => chunk,
        };
        let chunks = self.chunks.clone();
        match runtime::wait(WAIT_LIMIT, async move { chunks.send(chunk).await.is_ok() }) {
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
        match self.outcome.recv_timeout(WAIT_LIMIT) {
            Ok(outcome) => {
                self.broken = outcome.is_err();
                outcome
            }
            Err(RecvTimeoutError::Timeout) => Err(attempt.ended(Ended::Late(WAIT_LIMIT))),
            Err(RecvTimeoutError::Disconnected) => Err(attempt.ended(Ended::Panicked)),
        }
    }
}

/// An open file, on the runtime.
///
/// The client beneath goes on by itself when a DataNode is lost, but not always: not when a new block begins at a lost one, not
/// when it takes the wrong one of two for lost, and not when a NameNode that was restarted has not heard of the last block
/// yet. Then the file is opened again where it ends, and what is missing is
/// written once more.
pub(crate) struct Store {
    service: Arc<NameService>,
    uri: FileUri,
    options: WriteOptions,
    /// None when the file has to be opened again.
    writer: Option<FileWriter>,
    /// Bytes that the writer has taken, and the last of them.
    written: u64,
    recent: Recent,
}

/// Why something with an open file failed, and whether opening it again may help.
struct Broken {
    error: FileError,
    hopeless: bool,
}

impl From<FileError> for Broken {
    fn from(error: FileError) -> Self {
        Self { error, hopeless: true }
    }
}

impl Store {
    /// Creates the file.
    pub(crate) async fn create(
        service: Arc<NameService>,
        uri: FileUri,
        existing: Existing,
        options: WriteOptions,
    ) -> Result<Self, FileError> {
        let writer = Some(service.create(&uri, existing, options.clone()).await?);
        Ok(Self { service, uri, options, writer, written: 0, recent: Recent::default() })
    }

    /// The path.
    pub(crate) fn uri(&self) -> &FileUri {
        &self.uri
    }

    /// Writes all of it.
    pub(crate) async fn write(&mut self, bytes: Bytes) -> Outcome {
        let mut rest = bytes;
        let mut retries = Retries::default();
        while let Err(broken) = self.go_on(&mut rest).await {
            retries.after(broken).await?;
        }
        Ok(())
    }

    /// Closes the file when all of it is on the disks of the DataNodes: closing alone leaves it in their memory.
    pub(crate) async fn finish(&mut self) -> Outcome {
        let mut retries = Retries::default();
        while let Err(broken) = self.close().await {
            retries.after(broken).await?;
        }
        Ok(())
    }

    async fn go_on(&mut self, rest: &mut Bytes) -> Result<(), Broken> {
        if self.writer.is_none() {
            let kept = self.reopen(rest.len()).await?;
            self.taken(rest.split_to(kept));
        }
        self.send(rest.clone()).await?;
        self.taken(rest.split_off(0));
        Ok(())
    }

    fn taken(&mut self, bytes: Bytes) {
        self.written += bytes.len() as u64;
        self.recent.add(bytes);
    }

    async fn send(&mut self, bytes: Bytes) -> Result<(), Broken> {
        let attempt = Attempt { action: WRITE, uri: &self.uri };
        let Some(writer) = self.writer.as_mut().filter(|_| !bytes.is_empty()) else { return Ok(()) };
        let sent = tokio::time::timeout(CHUNK_LIMIT, runtime::caught(writer.write_bytes(bytes))).await;
        let result = broken(attempt, &self.service, sent.map(|sent| sent.map(drop)), CHUNK_LIMIT);
        if result.is_err() {
            self.writer = None;
        }
        result
    }

    async fn close(&mut self) -> Result<(), Broken> {
        if self.writer.is_none() {
            self.reopen(0).await?;
        }
        let attempt = Attempt { action: MAKE_DURABLE, uri: &self.uri };
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let closing = async {
            match writer.hsync().await {
                // Blocks of erasure coding cannot be synced; closing them is all there is.
                Err(HdfsError::OperationFailed(reason)) if reason.contains("erasure") => {}
                synced => synced?,
            }
            close_soon(writer, &self.service, self.uri.path()).await
        };
        let closed = tokio::time::timeout(CLOSE_LIMIT, runtime::caught(closing)).await;
        let result = broken(attempt, &self.service, closed, CLOSE_LIMIT);
        if result.is_err() {
            self.writer = None;
        }
        result
    }

    /// Opens the file again behind what it has. Tells how much of a write of `length` bytes that failed is in it.
    async fn reopen(&mut self, length: usize) -> Result<usize, Broken> {
        if let Some(all) = self.recent.last(self.written) {
            // Sooner done than waiting until the DataNodes agree on the end of the file.
            self.writer = Some(self.service.create(&self.uri, Existing::Replace, self.options.clone()).await?);
            for bytes in all {
                self.send(bytes).await?;
            }
            return Ok(0);
        }
        self.service.recover_lease(&self.uri).await?;
        let found = self.service.status(WRITE, &self.uri).await?.length;
        let wrong = |what: &str| {
            let reason = format!("of {} bytes that were written {found} are in it, {what}", self.written);
            Broken::from(Attempt { action: WRITE, uri: &self.uri }.error(reason, ErrorKind::InvalidData))
        };
        let kept = usize::try_from(found.saturating_sub(self.written)).unwrap_or(usize::MAX);
        if kept > length {
            return Err(wrong("more than there can be: somebody else writes it, too"));
        }
        let missing = self.recent.last(self.written.saturating_sub(found));
        let missing = missing.ok_or_else(|| wrong("and more are missing than are kept here"))?;
        self.writer = Some(self.service.append(&self.uri).await?);
        for bytes in missing {
            self.send(bytes).await?;
        }
        Ok(kept)
    }
}

/// Closes a file. The client beneath asks the NameNode to complete it right behind its last block, and when the DataNode has
/// not reported that block yet, which is the rule rather than the exception for small files, it sleeps for half a second
/// before it asks again. Here it is asked again as soon as the block is reported. Until then nothing may be given up: the
/// last packet may be on its way.
async fn close_soon(writer: &mut FileWriter, service: &NameService, path: &str) -> hdfs_native::Result<()> {
    tokio::select! {
        biased;
        closed = writer.close() => return closed,
        () = is_reported(service, path) => {}
    }
    // The block was committed by the question that it slept upon: a second one finds it complete.
    writer.close().await
}

/// Ends when the last block of a file that is still open is complete.
async fn is_reported(service: &NameService, path: &str) {
    let mut pause = FIRST_LOOK;
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(MAX_POLL_INTERVAL);
        let found = match service.name_node().await {
            Ok(name_node) => name_node.with_retry(RetryPolicy::once()).block_locations(path, 0, 1).await.ok(),
            Err(_) => None,
        };
        if found.is_none() {
            // What it shows may have ended: who asks next gets one with what there is now.
            service.forget_name_node().await;
        }
        match found {
            Some(found) if found.under_construction && found.last_block_complete => return,
            Some(found) if found.under_construction => {}
            // Closed meanwhile, or nobody to ask: the client beneath goes on alone.
            _ => std::future::pending().await,
        }
    }
}

/// The result of something with an open file that has a time limit.
fn broken(
    attempt: Attempt<'_>,
    service: &NameService,
    result: Result<hdfs_native::Result<()>, Elapsed>,
    limit: Duration,
) -> Result<(), Broken> {
    match result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            let hopeless = !may_be_opened_again(&error);
            Err(Broken { error: attempt.failed(&Failure::Transfer(error), &service.nodes), hopeless })
        }
        Err(_) => Err(attempt.ended(Ended::Late(limit)).into()),
    }
}

/// Pauses between openings of a file, until there were enough.
#[derive(Default)]
struct Retries(u32);

impl Retries {
    async fn after(&mut self, broken: Broken) -> Outcome {
        if broken.hopeless || self.0 == REOPENINGS {
            return Err(broken.error);
        }
        tracing::warn!("{} Opening the file again.", broken.error);
        tokio::time::sleep(FIRST_PAUSE * (1 << self.0)).await;
        self.0 += 1;
        Ok(())
    }
}

/// The end of what was written: as much as DataNodes may not have yet.
#[derive(Default)]
struct Recent {
    chunks: VecDeque<Bytes>,
    length: u64,
}

impl Recent {
    fn add(&mut self, bytes: Bytes) {
        self.length += bytes.len() as u64;
        self.chunks.push_back(bytes);
        while let Some(first) = self.chunks.front().filter(|first| self.length - first.len() as u64 >= UNACKNOWLEDGED) {
            self.length -= first.len() as u64;
            self.chunks.pop_front();
        }
    }

    /// The last bytes, if so many are there.
    fn last(&self, count: u64) -> Option<Vec<Bytes>> {
        let mut skip = self.length.checked_sub(count)?;
        let mut found = Vec::new();
        for chunk in &self.chunks {
            let from = skip.min(chunk.len() as u64);
            skip -= from;
            found.extend(Some(chunk.slice(usize::try_from(from).ok()?..)).filter(|rest| !rest.is_empty()));
        }
        Some(found)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_are_kept() {
        let mut recent = Recent::default();
        let chunk = |byte: u8| Bytes::from(vec![byte; 1 << 20]);
        (0..40).for_each(|byte| recent.add(chunk(byte)));
        assert!(recent.length >= UNACKNOWLEDGED && recent.length < UNACKNOWLEDGED + (2 << 20));
        let last = recent.last((1 << 20) + 3).unwrap();
        assert_eq!(last.iter().map(Bytes::len).collect::<Vec<_>>(), [3, 1 << 20]);
        assert_eq!((last[0][0], last[1][0]), (38, 39));
        assert!(recent.last(0).unwrap().is_empty());
        assert!(recent.last(recent.length + 1).is_none());
    }
}
