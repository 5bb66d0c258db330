//! Blocks and index entries, little-endian.
//!
//! | block | size | | index entry | size |
//! |---|---|---|---|---|
//! | magic "FLBK" | 4 | | offset of the run | 8 |
//! | subpartition | 4 | | bytes of the run | 8 |
//! | bytes of the content | 4 | | elements of the run | 4 |
//! | crc32 of the fields above (without magic) and the content | 4 | | crc32 of the fields above | 4 |
//! | content: for each element its length (4) and its bytes | | | | |
//!
//! A region is the runs of its subpartitions, in order, then one index entry for each of them.

use crc32fast::Hasher;

/// Bytes in front of a block's content.
pub const BLOCK_HEADER_SIZE: usize = 16;

/// Bytes of an index entry.
pub const INDEX_ENTRY_SIZE: usize = 24;

/// Content after which a block is closed. One element more than this has a block of its own.
pub const BLOCK_CONTENT: usize = 128 * 1024;

const MAGIC: [u8; 4] = *b"FLBK";
const LENGTH_SIZE: usize = 4;

/// What is wrong with a block or index entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// The file ends before it.
    #[error("the file ends too early")]
    Truncated,
    /// No block begins here.
    #[error("no block begins here")]
    NotABlock,
    /// The block belongs to another subpartition.
    #[error("the block belongs to another subpartition")]
    OtherSubpartition,
    /// The block is larger than any that is written.
    #[error("the block claims {0} bytes, more than any that is written")]
    TooLarge(usize),
    /// The checksum does not match.
    #[error("the checksum does not match")]
    Checksum,
    /// The lengths of its elements do not add up to the block.
    #[error("the lengths of the elements do not fit the block")]
    Elements,
}

/// The header of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockHeader {
    /// The subpartition that the block belongs to.
    pub subpartition: u32,
    /// Bytes of the content.
    pub content: usize,
    checksum: u32,
}

impl BlockHeader {
    /// Reads the header of a block of `subpartition` and checks its size against `max_content`, before memory is taken.
    ///
    /// # Errors
    /// It is no such header.
    pub fn read(bytes: &[u8], subpartition: u32, max_content: usize) -> Result<Self, BlockError> {
        let Some((magic, rest)) = bytes.split_first_chunk::<4>() else { return Err(BlockError::Truncated) };
        if *magic != MAGIC {
            return Err(BlockError::NotABlock);
        }
        let [owner, content, checksum] = words(rest).ok_or(BlockError::Truncated)?;
        if owner != subpartition {
            return Err(BlockError::OtherSubpartition);
        }
        let content = content as usize;
        if content > max_content {
            return Err(BlockError::TooLarge(content));
        }
        Ok(Self { subpartition, content, checksum })
    }

    /// Checks the content against the header.
    ///
    /// # Errors
    /// It is not what was written.
    pub fn check(&self, content: &[u8]) -> Result<(), BlockError> {
        if content.len() != self.content {
            return Err(BlockError::Truncated);
        }
        if checksum(self.subpartition, content) == self.checksum { Ok(()) } else { Err(BlockError::Checksum) }
    }
}

fn words<const N: usize>(bytes: &[u8]) -> Option<[u32; N]> {
    let mut words = [0; N];
    for (word, chunk) in words.iter_mut().zip(bytes.get(..N * 4)?.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*chunk);
    }
    Some(words)
}

fn checksum(subpartition: u32, content: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&subpartition.to_le_bytes());
    hasher.update(&(content.len() as u32).to_le_bytes());
    hasher.update(content);
    hasher.finalize()
}

/// Begins a block at the end of `out`; its elements are pushed next, then [`finish_block`] is given the position.
pub fn begin_block(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; BLOCK_HEADER_SIZE - 4]);
    start
}

/// Appends an element to the block that was begun last.
pub fn push_element(out: &mut Vec<u8>, element: &[u8]) {
    out.extend_from_slice(&(element.len() as u32).to_le_bytes());
    out.extend_from_slice(element);
}

/// Completes the header of the block that was begun at `start` and reaches to the end of `out`.
pub fn finish_block(out: &mut [u8], start: usize, subpartition: u32) {
    let (header, content) = out[start..].split_at_mut(BLOCK_HEADER_SIZE);
    header[4..8].copy_from_slice(&subpartition.to_le_bytes());
    header[8..12].copy_from_slice(&(content.len() as u32).to_le_bytes());
    header[12..16].copy_from_slice(&checksum(subpartition, content).to_le_bytes());
}

/// Splits the first element off the content of a block.
///
/// # Errors
/// Its length does not fit the block.
pub fn split_element(content: &[u8]) -> Result<(&[u8], &[u8]), BlockError> {
    let (length, rest) = content.split_first_chunk::<LENGTH_SIZE>().ok_or(BlockError::Elements)?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or(BlockError::Elements)
}

/// Bytes of a block's content that an element takes.
#[must_use]
pub fn element_space(element: usize) -> usize {
    LENGTH_SIZE + element
}

/// Where the run of one subpartition is in a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexEntry {
    /// Offset of its first block in the file.
    pub offset: u64,
    /// Bytes of its blocks.
    pub bytes: u64,
    /// Number of its elements.
    pub elements: u32,
}

impl IndexEntry {
    /// Reads an entry.
    ///
    /// # Errors
    /// It is not one that was written.
    pub fn read(bytes: &[u8; INDEX_ENTRY_SIZE]) -> Result<Self, BlockError> {
        let (fields, checksum) = bytes.split_at(INDEX_ENTRY_SIZE - 4);
        if crc32fast::hash(fields).to_le_bytes() != checksum {
            return Err(BlockError::Checksum);
        }
        let [o0, o1, b0, b1, elements] = words(fields).ok_or(BlockError::Truncated)?;
        let wide = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        Ok(Self { offset: wide(o0, o1), bytes: wide(b0, b1), elements })
    }

    /// Appends the entry.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.bytes.to_le_bytes());
        out.extend_from_slice(&self.elements.to_le_bytes());
        let checksum = crc32fast::hash(&out[start..]);
        out.extend_from_slice(&checksum.to_le_bytes());
    }
}

/// Reads `bytes` as the run of a subpartition, as a reader does, and says how many elements it has; for tests and
/// fuzzing.
///
/// # Errors
/// The bytes are not such a run.
pub fn read_run(mut bytes: &[u8], subpartition: u32, max_content: usize) -> Result<usize, BlockError> {
    let mut elements = 0;
    while !bytes.is_empty() {
        let header = BlockHeader::read(bytes, subpartition, max_content)?;
        let content = bytes.get(BLOCK_HEADER_SIZE..).and_then(|rest| rest.get(..header.content));
        let mut content = content.ok_or(BlockError::Truncated)?;
        header.check(content)?;
        bytes = &bytes[BLOCK_HEADER_SIZE + header.content..];
        while !content.is_empty() {
            content = split_element(content)?.1;
            elements += 1;
        }
    }
    Ok(elements)
}
