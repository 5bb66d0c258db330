use std::io::{self, Read, Seek, SeekFrom};

use flink_hdfs::Hdfs;
use tokio::runtime::Handle;

/// Bytes that are fetched at once: indexes are small, logs are read on to their end.
const PIECE: usize = 1 << 20;

/// A file in HDFS that is read by a thread which may wait.
pub(super) struct StoredFile {
    hdfs: Hdfs,
    path: String,
    runtime: Handle,
    length: u64,
    position: u64,
    /// What was fetched, and where it begins.
    piece: (u64, Vec<u8>),
}

impl StoredFile {
    /// Looks how long it is.
    pub(super) fn open(hdfs: Hdfs, path: String, runtime: Handle) -> io::Result<Self> {
        let status = runtime.block_on(hdfs.status(&path)).map_err(io::Error::other)?;
        Ok(Self { hdfs, path, runtime, length: status.length, position: 0, piece: (0, Vec::new()) })
    }

    fn fetch(&mut self) -> io::Result<()> {
        let left = self.length - self.position;
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE);
        let fetched = self.runtime.block_on(self.hdfs.read_part(&self.path, self.position, wanted));
        self.piece = (self.position, fetched.map_err(io::Error::other)?);
        Ok(())
    }

    fn fetched(&self) -> &[u8] {
        let (begin, bytes) = &self.piece;
        let skip = self.position.checked_sub(*begin).and_then(|skip| usize::try_from(skip).ok());
        skip.and_then(|skip| bytes.get(skip..)).unwrap_or_default()
    }
}

impl Read for StoredFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.length || buffer.is_empty() {
            return Ok(0);
        }
        if self.fetched().is_empty() {
            self.fetch()?;
        }
        let fetched = self.fetched();
        if fetched.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let count = fetched.len().min(buffer.len());
        buffer[..count].copy_from_slice(&fetched[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for StoredFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.length.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
