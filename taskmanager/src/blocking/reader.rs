use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::BlockingError;
use super::block::{BLOCK_HEADER_SIZE, BlockError, BlockHeader, INDEX_ENTRY_SIZE, IndexEntry, split_element};
use crate::network::{ReadOutcome, SubpartitionView};

/// The file of a partition; removed when it is dropped.
pub(super) struct PartitionFile {
    file: File,
    path: PathBuf,
    removed: AtomicBool,
}

impl PartitionFile {
    pub(super) fn new(file: File, path: PathBuf) -> Self {
        Self { file, path, removed: AtomicBool::new(false) }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn remove(&self) {
        if !self.removed.swap(true, Ordering::AcqRel)
            && let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "the file of a blocking partition was not removed");
        }
    }
}

impl Drop for PartitionFile {
    fn drop(&mut self) {
        self.remove();
    }
}

/// A partition that is stored in full. Its file is removed when this and all views are gone, or on release.
#[derive(Clone)]
pub struct BlockingPartition {
    shared: Arc<Shared>,
}

struct Shared {
    file: PartitionFile,
    /// Offset of each region's index.
    regions: Vec<u64>,
    /// Number of elements of each subpartition.
    elements: Vec<u64>,
    file_size: u64,
    max_content: usize,
    end_of_partition: Box<[u8]>,
    released: AtomicBool,
}

impl BlockingPartition {
    pub(super) fn new(
        file: PartitionFile,
        regions: Vec<u64>,
        elements: Vec<u64>,
        file_size: u64,
        max_content: usize,
        end_of_partition: &[u8],
    ) -> Self {
        let (end_of_partition, released) = (end_of_partition.into(), AtomicBool::new(false));
        let shared = Shared { file, regions, elements, file_size, max_content, end_of_partition, released };
        Self { shared: Arc::new(shared) }
    }

    /// Opens a subpartition for reading from its beginning, independently of other views.
    ///
    /// # Errors
    /// There is no such subpartition, or the partition was released.
    pub fn view(&self, subpartition: u32) -> Result<Arc<dyn SubpartitionView>, BlockingError> {
        let subpartitions = self.subpartitions();
        let Some(&elements) = self.shared.elements.get(subpartition as usize) else {
            return Err(BlockingError::NoSuchSubpartition { subpartition, subpartitions });
        };
        if self.shared.is_released() {
            return Err(BlockingError::Released);
        }
        let cursor = Cursor { elements_left: elements, ..Cursor::default() };
        Ok(Arc::new(View { shared: Arc::clone(&self.shared), subpartition, cursor: Mutex::new(cursor) }))
    }

    /// Number of subpartitions.
    #[must_use]
    pub fn subpartitions(&self) -> u32 {
        self.shared.elements.len() as u32
    }

    /// Bytes of the file.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shared.file_size
    }

    /// Removes the file; views that are open fail with their next read.
    pub fn release(&self) {
        self.shared.released.store(true, Ordering::Release);
        self.shared.file.remove();
    }
}

impl Shared {
    fn is_released(&self) -> bool {
        self.released.load(Ordering::Acquire)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), BlockingError> {
        let result = self.file.file().read_exact_at(buffer, offset);
        result.map_err(|source| match source.kind() {
            std::io::ErrorKind::UnexpectedEof => self.damaged(offset, BlockError::Truncated),
            _ => BlockingError::io("read", self.file.path(), offset, source),
        })
    }

    fn damaged(&self, offset: u64, problem: BlockError) -> BlockingError {
        BlockingError::Damaged { path: self.file.path().to_owned(), offset, problem }
    }

    fn index_entry(&self, region: usize, subpartition: u32) -> Result<Option<IndexEntry>, BlockingError> {
        let Some(index) = self.regions.get(region) else { return Ok(None) };
        let offset = index + u64::from(subpartition) * INDEX_ENTRY_SIZE as u64;
        let mut bytes = [0; INDEX_ENTRY_SIZE];
        self.read_at(&mut bytes, offset)?;
        let entry = IndexEntry::read(&bytes).map_err(|problem| self.damaged(offset, problem))?;
        // An entry of another place of the file has a right checksum too.
        let inside = entry.offset.checked_add(entry.bytes).is_some_and(|end| end <= *index);
        if inside { Ok(Some(entry)) } else { Err(self.damaged(offset, BlockError::TooLarge(entry.bytes as usize))) }
    }
}

struct View {
    shared: Arc<Shared>,
    subpartition: u32,
    cursor: Mutex<Cursor>,
}

/// How far a view has read.
#[derive(Default)]
struct Cursor {
    /// The region that comes after the run that is being read.
    next_region: usize,
    /// The rest of the run.
    offset: u64,
    run_end: u64,
    /// The content of the block that is being read, and how far.
    block: Vec<u8>,
    position: usize,
    elements_left: u64,
    ended: bool,
}

impl View {
    fn lock(&self) -> MutexGuard<'_, Cursor> {
        self.cursor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self, cursor: &mut Cursor, out: &mut Vec<u8>) -> Result<ReadOutcome, BlockingError> {
        if self.shared.is_released() {
            return Err(BlockingError::Released);
        }
        while cursor.position == cursor.block.len() {
            if !self.load_block(cursor)? {
                return self.end(cursor, out);
            }
        }
        let content = &cursor.block[cursor.position..];
        let (element, rest) = split_element(content).map_err(|problem| self.shared.damaged(cursor.offset, problem))?;
        out.extend_from_slice(element);
        cursor.position = cursor.block.len() - rest.len();
        cursor.elements_left = cursor.elements_left.saturating_sub(1);
        Ok(ReadOutcome::Data)
    }

    fn end(&self, cursor: &mut Cursor, out: &mut Vec<u8>) -> Result<ReadOutcome, BlockingError> {
        if cursor.elements_left > 0 || cursor.ended {
            return Err(self.shared.damaged(self.shared.file_size, BlockError::Truncated));
        }
        cursor.ended = true;
        out.extend_from_slice(&self.shared.end_of_partition);
        Ok(ReadOutcome::Event { last: true })
    }

    /// Reads the next block; `false` when there is none.
    fn load_block(&self, cursor: &mut Cursor) -> Result<bool, BlockingError> {
        while cursor.offset == cursor.run_end {
            let Some(run) = self.shared.index_entry(cursor.next_region, self.subpartition)? else { return Ok(false) };
            cursor.next_region += 1;
            (cursor.offset, cursor.run_end) = (run.offset, run.offset + run.bytes);
        }
        let at = cursor.offset;
        let mut header = [0; BLOCK_HEADER_SIZE];
        self.shared.read_at(&mut header, at)?;
        let damaged = |problem| self.shared.damaged(at, problem);
        let header = BlockHeader::read(&header, self.subpartition, self.shared.max_content).map_err(damaged)?;
        let end = at + (BLOCK_HEADER_SIZE + header.content) as u64;
        if end > cursor.run_end {
            return Err(damaged(BlockError::TooLarge(header.content)));
        }
        cursor.block.resize(header.content, 0);
        cursor.position = 0;
        self.shared.read_at(&mut cursor.block, at + BLOCK_HEADER_SIZE as u64)?;
        header.check(&cursor.block).map_err(damaged)?;
        cursor.offset = end;
        Ok(true)
    }
}

impl SubpartitionView for View {
    fn read_next(&self, buffer: &mut Vec<u8>) -> ReadOutcome {
        let mut cursor = self.lock();
        match self.next(&mut cursor, buffer) {
            Ok(outcome) => outcome,
            Err(error) => {
                // A damaged block is not given in part by a further read.
                *cursor = Cursor { ended: true, ..Cursor::default() };
                cursor.next_region = self.shared.regions.len();
                ReadOutcome::Failed(error.to_string())
            }
        }
    }

    fn backlog(&self) -> u32 {
        self.lock().elements_left.try_into().unwrap_or(u32::MAX)
    }

    fn is_event_next(&self) -> bool {
        let cursor = self.lock();
        cursor.elements_left == 0 && !cursor.ended
    }

    fn set_listener(&self, listener: Arc<dyn Fn() + Send + Sync>) {
        // All is there from the beginning.
        listener();
    }

    fn close(&self, _reason: &str) {
        let mut cursor = self.lock();
        cursor.block = Vec::new();
        cursor.position = 0;
    }
}
