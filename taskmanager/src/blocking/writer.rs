use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

use super::BlockingError;
use super::block::{BLOCK_CONTENT, IndexEntry, begin_block, element_space, finish_block, push_element};
use super::reader::{BlockingPartition, PartitionFile};

/// Assembled blocks are written when they have come to this size.
const WRITE_SIZE: usize = 512 * 1024;

/// How a blocking partition is written.
#[derive(Debug, Clone)]
pub struct BlockingSettings {
    /// The file, which must not exist. It is removed with the partition.
    pub path: PathBuf,
    /// Number of subpartitions.
    pub subpartitions: u32,
    /// Bytes of elements that are kept before they are written; an element larger than that is written at once.
    pub buffer_bytes: usize,
    /// Largest element, bytes.
    pub max_element: usize,
}

/// Takes the elements of a partition and stores them by subpartition.
pub struct BlockingPartitionWriter {
    settings: BlockingSettings,
    file: PartitionFile,
    /// The bytes of the buffered elements, in the order in which they came.
    arena: Vec<u8>,
    /// The buffered elements.
    entries: Vec<Entry>,
    regions: Vec<u64>,
    elements: Vec<u64>,
    /// Assembled blocks that are not written yet; they begin at `written` in the file.
    output: Vec<u8>,
    written: u64,
    /// A region was begun and not completed: the partition is of no use.
    broken: bool,
}

#[derive(Clone, Copy)]
struct Entry {
    subpartition: u32,
    start: usize,
    end: usize,
}

impl BlockingPartitionWriter {
    /// Creates the file.
    ///
    /// # Errors
    /// The file exists, or its folder cannot be written to.
    pub fn create(settings: BlockingSettings) -> Result<Self, BlockingError> {
        let mut options = OpenOptions::new();
        // Records are the user's data: nobody else on the host reads them.
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(&settings.path);
        let file = file.map_err(|source| BlockingError::io("create", &settings.path, 0, source))?;
        Ok(Self::with_file(settings, file))
    }

    pub(super) fn with_file(settings: BlockingSettings, file: File) -> Self {
        Self {
            file: PartitionFile::new(file, settings.path.clone()),
            arena: Vec::with_capacity(settings.buffer_bytes),
            entries: Vec::new(),
            regions: Vec::new(),
            elements: vec![0; settings.subpartitions as usize],
            output: Vec::new(),
            written: 0,
            broken: false,
            settings,
        }
    }

    /// Adds an element to a subpartition.
    ///
    /// # Errors
    /// It is too large, there is no such subpartition, or the disk is full or failed.
    pub fn append(&mut self, subpartition: u32, element: &[u8]) -> Result<(), BlockingError> {
        self.check(subpartition, element.len())?;
        if self.arena.len() + element.len() > self.settings.buffer_bytes {
            self.flush()?;
        }
        let start = self.arena.len();
        self.arena.extend_from_slice(element);
        self.entries.push(Entry { subpartition, start, end: self.arena.len() });
        self.elements[subpartition as usize] += 1;
        if self.arena.len() >= self.settings.buffer_bytes || self.entries.len() >= self.max_entries() {
            self.flush()?;
        }
        Ok(())
    }

    /// Bytes in the file and the buffer so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.written + self.arena.len() as u64
    }

    /// Writes what is left. The partition can be read then: of each subpartition the elements, in the order in which they
    /// were appended, then `end_of_partition` as the last event.
    ///
    /// # Errors
    /// The disk is full or failed. The file is removed.
    pub fn finish(mut self, end_of_partition: &[u8]) -> Result<BlockingPartition, BlockingError> {
        if self.broken {
            return Err(BlockingError::Broken);
        }
        self.flush()?;
        let max_content = BLOCK_CONTENT.max(element_space(self.settings.max_element));
        let Self { file, regions, elements, written, .. } = self;
        Ok(BlockingPartition::new(file, regions, elements, written, max_content, end_of_partition))
    }

    fn check(&self, subpartition: u32, size: usize) -> Result<(), BlockingError> {
        if self.broken {
            return Err(BlockingError::Broken);
        }
        let (subpartitions, limit) = (self.settings.subpartitions, self.settings.max_element);
        if subpartition >= subpartitions {
            return Err(BlockingError::NoSuchSubpartition { subpartition, subpartitions });
        }
        if size > limit {
            return Err(BlockingError::TooLarge { size, limit });
        }
        Ok(())
    }

    /// Bounds what tiny elements take beside their bytes.
    fn max_entries(&self) -> usize {
        (self.settings.buffer_bytes / size_of::<Entry>()).max(1)
    }

    /// Writes the buffer as a region.
    fn flush(&mut self) -> Result<(), BlockingError> {
        if self.entries.is_empty() {
            return Ok(());
        }
        self.broken = true;
        let mut entries = std::mem::take(&mut self.entries);
        // Stable: the elements of a subpartition keep their order.
        entries.sort_by_key(|entry| entry.subpartition);
        let mut index = Vec::with_capacity(self.settings.subpartitions as usize);
        let mut rest = entries.as_slice();
        for subpartition in 0..self.settings.subpartitions {
            let (run, others) = rest.split_at(rest.partition_point(|entry| entry.subpartition == subpartition));
            rest = others;
            index.push(self.write_run(subpartition, run)?);
        }
        self.write_index(&index)?;
        entries.clear();
        self.entries = entries;
        self.arena.clear();
        if self.arena.capacity() > self.settings.buffer_bytes {
            self.arena = Vec::with_capacity(self.settings.buffer_bytes);
        }
        self.broken = false;
        Ok(())
    }

    fn write_run(&mut self, subpartition: u32, mut run: &[Entry]) -> Result<IndexEntry, BlockingError> {
        let offset = self.position();
        let elements = run.len() as u32;
        while !run.is_empty() {
            let count = elements_of_block(run);
            let (block, rest) = run.split_at(count);
            run = rest;
            self.write_block(subpartition, block)?;
        }
        Ok(IndexEntry { offset, bytes: self.position() - offset, elements })
    }

    fn write_block(&mut self, subpartition: u32, entries: &[Entry]) -> Result<(), BlockingError> {
        let start = begin_block(&mut self.output);
        for entry in entries {
            push_element(&mut self.output, &self.arena[entry.start..entry.end]);
        }
        finish_block(&mut self.output, start, subpartition);
        if self.output.len() >= WRITE_SIZE { self.write_out() } else { Ok(()) }
    }

    fn write_index(&mut self, index: &[IndexEntry]) -> Result<(), BlockingError> {
        self.regions.push(self.position());
        for entry in index {
            entry.write(&mut self.output);
        }
        self.write_out()
    }

    fn position(&self) -> u64 {
        self.written + self.output.len() as u64
    }

    fn write_out(&mut self) -> Result<(), BlockingError> {
        self.file.write(&self.output, self.written)?;
        self.written += self.output.len() as u64;
        self.output.clear();
        if self.output.capacity() > 4 * WRITE_SIZE {
            self.output = Vec::new();
        }
        Ok(())
    }
}

fn elements_of_block(run: &[Entry]) -> usize {
    let mut content = 0;
    let fits = run.iter().take_while(|entry| {
        content += element_space(entry.end - entry.start);
        content <= BLOCK_CONTENT
    });
    fits.count().max(1)
}

impl PartitionFile {
    fn write(&self, bytes: &[u8], offset: u64) -> Result<(), BlockingError> {
        self.file()
            .write_all_at(bytes, offset)
            .map_err(|source| BlockingError::io("write", self.path(), offset, source))
    }
}
