use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes};
use flink_api::TaskWaker;
use flink_files::file_system::{FileVersion, OpenOptions, ReadHandle, ReadPoll};
use flink_files::{FileError, FileUri};
use futures_core::Stream;
use hdfs_native::HdfsError;
use hdfs_native::file::FileReader;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{Notify, mpsc};

use crate::failure::{Attempt, Failure};
use crate::name_service::NameService;
use crate::runtime;

/// Pieces that wait for the reader, of 64 KiB as DataNodes send them. The client beneath holds up to 100 more.
const PIECES_AHEAD: usize = 32;

/// Bytes fetched first behind what was expected; they double with every further request.
const FIRST_STEP: u64 = 64 << 10;

/// Most bytes fetched at once behind what was expected.
const MAX_STEP_BYTES: u64 = 16 << 20;

/// Longest wait for the next piece: two DataNodes that stay silent, and time to spare.
const PIECE_LIMIT: Duration = Duration::from_secs(90);

/// Failures in a row, without a byte in between, after which reading is given up. With the pauses that is a minute.
const MAX_FAILURES: u32 = 6;

const FIRST_PAUSE: Duration = Duration::from_millis(500);

const READ: &str = "read";

/// What goes from the fetching task to the reader.
enum Piece {
    Data(Bytes),
    /// What was expected has been fetched; more on request.
    ExpectedEnd,
    End,
    Failed(FileError),
}

/// Reads a file from one position on, ahead of the caller.
pub(crate) struct HdfsReadHandle {
    uri: FileUri,
    pieces: mpsc::Receiver<Piece>,
    more: Arc<Notify>,
    rest: Bytes,
    ended: bool,
}

impl HdfsReadHandle {
    /// Begins to fetch. What is wrong with the file is told by the first read.
    pub(crate) fn open(service: Arc<NameService>, uri: FileUri, options: OpenOptions) -> Result<Self, FileError> {
        let handle = runtime::handle().map_err(|ended| Attempt { action: "open", uri: &uri }.ended(ended))?;
        let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
        let more = Arc::new(Notify::new());
        let fetch = Fetch { service, uri: uri.clone(), options, position: options.offset, sender, more: more.clone() };
        handle.spawn(fetch.run());
        Ok(Self { uri, pieces, more, rest: Bytes::new(), ended: false })
    }

    fn next_piece(&mut self, waker: &TaskWaker) -> Poll<Piece> {
        let piece = match self.pieces.try_recv() {
            Ok(piece) => Some(piece),
            Err(TryRecvError::Disconnected) => None,
            Err(TryRecvError::Empty) => {
                let waker = Waker::from(Arc::new(Wakes(waker.clone())));
                match self.pieces.poll_recv(&mut Context::from_waker(&waker)) {
                    Poll::Ready(piece) => piece,
                    Poll::Pending => return Poll::Pending,
                }
            }
        };
        // A task that goes without an end has panicked.
        let attempt = Attempt { action: READ, uri: &self.uri };
        Poll::Ready(piece.unwrap_or_else(|| Piece::Failed(attempt.ended(runtime::Ended::Panicked))))
    }
}

impl ReadHandle for HdfsReadHandle {
    fn poll_read(&mut self, buffer: &mut [u8], waker: &TaskWaker) -> Result<ReadPoll, FileError> {
        let mut filled = 0;
        while filled < buffer.len() && !self.ended {
            if self.rest.is_empty() {
                match self.next_piece(waker) {
                    Poll::Pending => break,
                    Poll::Ready(Piece::Data(bytes)) => self.rest = bytes,
                    Poll::Ready(Piece::ExpectedEnd) if filled > 0 => {
                        // Whether more is wanted shows when the reader comes again.
                        self.more.notify_one();
                        break;
                    }
                    Poll::Ready(Piece::ExpectedEnd) => self.more.notify_one(),
                    Poll::Ready(Piece::End) => self.ended = true,
                    Poll::Ready(Piece::Failed(error)) => return Err(error),
                }
            }
            let count = self.rest.len().min(buffer.len() - filled);
            self.rest.copy_to_slice(&mut buffer[filled..filled + count]);
            filled += count;
        }
        Ok(match filled {
            0 if self.ended => ReadPoll::End,
            0 => ReadPoll::Pending,
            filled => ReadPoll::Read(filled),
        })
    }
}

struct Wakes(TaskWaker);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.wake();
    }
}

/// Why a stretch of a file was not fetched to its end.
enum Interrupted {
    /// Nobody reads any more.
    Unwanted,
    Failed(Failure),
}

/// The task that fetches.
struct Fetch {
    service: Arc<NameService>,
    uri: FileUri,
    options: OpenOptions,
    /// Next byte to fetch.
    position: u64,
    sender: mpsc::Sender<Piece>,
    more: Arc<Notify>,
}

impl Fetch {
    async fn run(mut self) {
        let last = match self.fetch().await {
            Ok(()) => Piece::End,
            Err(error) => Piece::Failed(error),
        };
        // Nobody reads any more when this fails.
        let _ = self.sender.send(last).await;
    }

    async fn fetch(&mut self) -> Result<(), FileError> {
        let mut source = self.open().await?;
        let mut step = FIRST_STEP;
        let mut wanted_end = self.options.expected.map_or(u64::MAX, |expected| self.position.saturating_add(expected));
        loop {
            let length = source.file_length() as u64;
            if self.position >= length {
                return Ok(());
            }
            if self.position >= wanted_end {
                if !self.is_more_wanted().await {
                    return Ok(());
                }
                wanted_end = self.position.saturating_add(step);
                step = (step * 2).min(MAX_STEP_BYTES);
            }
            let end = wanted_end.min(length);
            match self.fetch_to(end, &mut source).await {
                Ok(()) => {}
                Err(Interrupted::Unwanted) => return Ok(()),
                Err(Interrupted::Failed(failure)) => {
                    return Err(self.attempt().failed(&failure, &self.service.nodes));
                }
            }
        }
    }

    fn attempt(&self) -> Attempt<'_> {
        Attempt { action: READ, uri: &self.uri }
    }

    async fn is_more_wanted(&self) -> bool {
        self.sender.send(Piece::ExpectedEnd).await.is_ok()
            && tokio::select! {
                () = self.more.notified() => true,
                () = self.sender.closed() => false,
            }
    }

    /// Looks at the file and asks where its blocks are.
    async fn open(&self) -> Result<Arc<FileReader>, FileError> {
        let attempt = Attempt { action: "open", uri: &self.uri };
        if let Some(expected) = self.options.version {
            let found = self.service.status("open", &self.uri).await?.version();
            check_version(&self.uri, expected, found)?;
        }
        self.service.reader(attempt, self.options.version).await
    }

    /// Fetches up to `end`, from other DataNodes and with new locations where that is needed.
    async fn fetch_to(&mut self, end: u64, source: &mut Arc<FileReader>) -> Result<(), Interrupted> {
        let (mut failures, mut pause) = (0, FIRST_PAUSE);
        while self.position < end {
            let before = self.position;
            let failure = match self.stream(source, end).await {
                Err(Interrupted::Failed(failure)) => failure,
                done => return done,
            };
            if self.position > before {
                (failures, pause) = (0, FIRST_PAUSE);
            }
            failures += 1;
            if failures == MAX_FAILURES {
                return Err(Interrupted::Failed(failure));
            }
            let words = self.attempt().failed(&failure, &self.service.nodes);
            tracing::warn!("{words} Trying again from byte {}.", self.position);
            tokio::time::sleep(pause).await;
            pause *= 2;
            self.service.forget_reader(self.uri.path());
            match self.open().await {
                Ok(reader) => *source = reader,
                Err(error) => {
                    // It has its words already, and goes to the reader as it is.
                    let _ = self.sender.send(Piece::Failed(error)).await;
                    return Err(Interrupted::Unwanted);
                }
            }
        }
        Ok(())
    }

    async fn stream(&mut self, source: &FileReader, end: u64) -> Result<(), Interrupted> {
        let too_large =
            |_| Interrupted::Failed(Failure::Transfer(HdfsError::InvalidArgument("the file is too large".into())));
        let end = end.min(source.file_length() as u64);
        let offset = usize::try_from(self.position).map_err(too_large)?;
        let length = usize::try_from(end.saturating_sub(self.position)).map_err(too_large)?;
        if length == 0 {
            return Ok(());
        }
        let mut stream = pin!(source.read_range_stream(offset, length));
        while self.position < end {
            let next = std::future::poll_fn(|context| stream.as_mut().poll_next(context).map(Option::transpose));
            let bytes = match tokio::time::timeout(PIECE_LIMIT, runtime::caught(next)).await {
                Ok(Ok(Some(bytes))) => bytes,
                Ok(Err(error)) => return Err(Interrupted::Failed(Failure::Transfer(error))),
                Ok(Ok(None)) => {
                    let error =
                        HdfsError::DataTransferError(format!("the data ends at byte {} of {end}", self.position));
                    return Err(Interrupted::Failed(Failure::Transfer(error)));
                }
                Err(_) => return Err(Interrupted::Failed(Failure::Late(PIECE_LIMIT))),
            };
            self.position += bytes.len() as u64;
            self.sender.send(Piece::Data(bytes)).await.map_err(|_| Interrupted::Unwanted)?;
        }
        Ok(())
    }
}

/// Refuses a file that differs from what was enumerated.
fn check_version(uri: &FileUri, expected: FileVersion, found: FileVersion) -> Result<(), FileError> {
    let change = if found.length != expected.length {
        format!("it had {} bytes and has {}", expected.length, found.length)
    } else if found.modified_nanos != expected.modified_nanos {
        "its modification time is another one".to_owned()
    } else {
        return Ok(());
    };
    Err(FileError::Changed { uri: uri.to_string(), change })
}

/// Reads a whole file up to a limit, for those who can wait for it.
pub(crate) async fn read_all(service: &Arc<NameService>, uri: &FileUri, limit: usize) -> Result<Vec<u8>, FileError> {
    let attempt = Attempt { action: READ, uri };
    let length = service.status(READ, uri).await?.length;
    let length = usize::try_from(length).ok().filter(|&length| length <= limit).ok_or_else(|| {
        attempt
            .error(format!("it has {length} bytes, and {limit} are the most that is expected"), ErrorKind::FileTooLarge)
    })?;
    let mut content = Vec::with_capacity(length);
    let options = OpenOptions { expected: Some(length as u64), ..OpenOptions::default() };
    let mut handle = HdfsReadHandle::open(Arc::clone(service), uri.clone(), options)?;
    while content.len() < length {
        match handle.pieces.recv().await {
            Some(Piece::Data(bytes)) => content.extend_from_slice(&bytes[..bytes.len().min(length - content.len())]),
            Some(Piece::Failed(error)) => return Err(error),
            Some(Piece::ExpectedEnd | Piece::End) | None => {
                let reason = format!("it had {length} bytes and ends after {}", content.len());
                return Err(attempt.error(reason, ErrorKind::UnexpectedEof));
            }
        }
    }
    Ok(content)
}

/// Reads up to `length` bytes of a file from `offset` on, for those who can wait for it.
pub(crate) async fn read_part(
    service: &Arc<NameService>,
    uri: &FileUri,
    offset: u64,
    length: usize,
) -> Result<Vec<u8>, FileError> {
    let mut content = Vec::new();
    let options = OpenOptions { offset, expected: Some(length as u64), ..OpenOptions::default() };
    let mut handle = HdfsReadHandle::open(Arc::clone(service), uri.clone(), options)?;
    while content.len() < length {
        match handle.pieces.recv().await {
            Some(Piece::Data(bytes)) => content.extend_from_slice(&bytes[..bytes.len().min(length - content.len())]),
            Some(Piece::Failed(error)) => return Err(error),
            Some(Piece::ExpectedEnd | Piece::End) | None => break,
        }
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_refused_with_what_differs() {
        let uri = FileUri::parse("hdfs://h/x").unwrap();
        let version = |length, modified_nanos| FileVersion { length, modified_nanos };
        let change = |a, b| check_version(&uri, a, b).unwrap_err().to_string();
        assert!(check_version(&uri, version(1, 2), version(1, 2)).is_ok());
        assert!(change(version(1, 2), version(3, 2)).contains("had 1 bytes and has 3"));
        assert!(change(version(1, 2), version(1, 3)).contains("modification time"));
    }

    fn handle(pieces: Vec<Piece>) -> HdfsReadHandle {
        let (sender, receiver) = mpsc::channel(16);
        pieces.into_iter().for_each(|piece| sender.try_send(piece).unwrap());
        let uri = FileUri::parse("hdfs://h/x").unwrap();
        HdfsReadHandle { uri, pieces: receiver, more: Arc::default(), rest: Bytes::new(), ended: false }
    }

    #[test]
    fn pieces_fill_the_buffer_as_far_as_they_go() {
        let data = |text: &'static str| Piece::Data(Bytes::from_static(text.as_bytes()));
        let waker = TaskWaker::new(|| ());
        let mut buffer = [0; 4];
        let mut handle = handle(vec![data("ab"), data("cdefg"), Piece::ExpectedEnd, data("h"), Piece::End]);
        for expected in ["abcd", "efg", "h"] {
            let read = handle.poll_read(&mut buffer, &waker).unwrap();
            assert_eq!(read, ReadPoll::Read(expected.len()));
            assert_eq!(&buffer[..expected.len()], expected.as_bytes());
        }
        assert_eq!(handle.poll_read(&mut buffer, &waker).unwrap(), ReadPoll::End);
        assert_eq!(handle.poll_read(&mut buffer, &waker).unwrap(), ReadPoll::End);
    }

    #[test]
    fn a_task_that_is_gone_is_an_error() {
        let error = handle(vec![]).poll_read(&mut [0; 4], &TaskWaker::new(|| ())).unwrap_err();
        assert!(error.to_string().contains("hdfs://h/x"), "{error}");
    }
}
