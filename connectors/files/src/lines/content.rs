//! What the lines of a split are found in.

use flink_api::TaskWaker;

use super::TAIL_SIZE;
use crate::compression::{BlockUnpacking, Compression, Unpacking};
use crate::file_system::{self, FileError, FileUri, OpenOptions, ReadHandle, ReadPoll};
use crate::split::FileSplit;

/// Packed bytes behind the end of a split that are fetched ahead: what a block of text has, mostly.
const PACKED_TAIL_SIZE: u64 = 256 << 10;

/// The bytes of a split, and of what follows it.
pub(super) enum Content {
    /// A file as it is.
    Plain(Box<dyn ReadHandle>),
    /// All of an archive.
    Archive(Box<Unpacking>),
    /// An archive from its beginning to the end of a split, and on.
    FirstBlocks(Box<BlockUnpacking>),
    /// An archive from its first block in a split on.
    Blocks(Box<BlockUnpacking>),
}

/// A split that was opened. Offsets are those of the file, or of what is unpacked.
pub(super) struct Opened {
    pub(super) content: Content,
    /// Whether the first line end is the end of a line of others.
    pub(super) begins_within_line: bool,
    /// Offset of the first byte of the content.
    pub(super) base: u64,
    /// Lines that begin here or behind belong to others; it may not be known yet, see [`Content::end`].
    pub(super) end: u64,
    /// Length that the file must have; none for an archive, whose content has any length.
    pub(super) file_length: Option<u64>,
}

impl Opened {
    pub(super) fn new(split: &FileSplit) -> Result<Self, FileError> {
        let uri = FileUri::parse(&split.uri)?;
        match Compression::of(uri.name()) {
            None => Self::plain(&uri, split),
            Some(compression) if compression.is_splittable() && !split.is_whole_file() => Self::blocks(&uri, split),
            Some(compression) => {
                let packed = open(&uri, split, 0, None)?;
                let archive = Unpacking::new(packed, &split.uri, compression);
                Ok(Self::unpacked(Content::Archive(Box::new(archive)), false))
            }
        }
    }

    fn plain(uri: &FileUri, split: &FileSplit) -> Result<Self, FileError> {
        // One byte earlier: a line end there means that the split begins with a line of its own.
        let base = split.offset.saturating_sub(1);
        // The last line goes on behind the split, mostly not far.
        let file = open(uri, split, base, Some(split.end().saturating_add(TAIL_SIZE).saturating_sub(base)))?;
        Ok(Self {
            content: Content::Plain(file),
            begins_within_line: split.offset > 0,
            base,
            end: split.end().min(split.file_length),
            file_length: Some(split.file_length),
        })
    }

    fn blocks(uri: &FileUri, split: &FileSplit) -> Result<Self, FileError> {
        let expected = split.length.saturating_add(PACKED_TAIL_SIZE);
        let packed = open(uri, split, split.offset, Some(expected))?;
        let blocks = BlockUnpacking::new(packed, &split.uri, split.offset, split.end(), split.file_length);
        let blocks = Box::new(blocks);
        // What its own blocks begin with is always left to the split before: whether a line begins there is known to that
        // one alone.
        Ok(if split.offset == 0 {
            Self::unpacked(Content::FirstBlocks(blocks), false)
        } else {
            Self::unpacked(Content::Blocks(blocks), true)
        })
    }

    fn unpacked(content: Content, begins_within_line: bool) -> Self {
        Self { content, begins_within_line, base: 0, end: u64::MAX, file_length: None }
    }
}

fn open(
    uri: &FileUri,
    split: &FileSplit,
    offset: u64,
    expected: Option<u64>,
) -> Result<Box<dyn ReadHandle>, FileError> {
    file_system::of(uri)?.open(uri, OpenOptions { offset, version: Some(split.version()), expected })
}

impl Content {
    pub(super) fn poll_read(&mut self, buffer: &mut [u8], waker: &TaskWaker) -> Result<ReadPoll, FileError> {
        match self {
            Self::Plain(file) => file.poll_read(buffer, waker),
            Self::Archive(archive) => archive.poll_read(buffer, waker),
            Self::FirstBlocks(blocks) | Self::Blocks(blocks) => blocks.poll_read(buffer, waker),
        }
    }

    /// Where the end of the split is, where that shows as late as something behind it is read.
    pub(super) fn end(&self) -> Option<u64> {
        match self {
            Self::Plain(_) | Self::Archive(_) => None,
            // The line that begins with the first byte of the next split is still one of this split.
            Self::FirstBlocks(blocks) | Self::Blocks(blocks) => blocks.own_length().map(|length| length + 1),
        }
    }

    /// The file in an error, with where offsets count from, if that is not its beginning.
    pub(super) fn shown(&self, uri: &str) -> String {
        match self {
            Self::Blocks(blocks) => match blocks.first_block() {
                Some(block) => format!("{uri} (unpacked from its block at byte {block} on)"),
                None => uri.to_owned(),
            },
            Self::Plain(_) | Self::Archive(_) | Self::FirstBlocks(_) => uri.to_owned(),
        }
    }
}
