//! The part of a packed file that is looked at.

use flink_api::TaskWaker;

use super::marks::{self, Mark};
use crate::compression::INPUT_SIZE;
use crate::file_system::{FileError, ReadHandle, ReadPoll};

/// Bytes of a packed file in a row, of which the front is dropped and the back grows. Places in it are those in the
/// file.
pub(super) struct Window {
    packed: Box<dyn ReadHandle>,
    uri: String,
    bytes: Vec<u8>,
    /// Offset in the file of the first byte of `bytes`.
    base: u64,
    /// Length that the file must have.
    file_length: u64,
}

impl Window {
    /// Begins at `base`, where `packed` must stand.
    pub(super) fn new(packed: Box<dyn ReadHandle>, uri: &str, base: u64, file_length: u64) -> Self {
        Self { packed, uri: uri.to_owned(), bytes: Vec::new(), base, file_length }
    }

    /// First byte behind what was read.
    pub(super) fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    /// Whether all of the file was read.
    pub(super) fn has_ended(&self) -> bool {
        self.end() >= self.file_length
    }

    /// Reads more; tells whether it has to be waited for.
    pub(super) fn must_wait(&mut self, waker: &TaskWaker) -> Result<bool, FileError> {
        let filled = self.bytes.len();
        let rest = usize::try_from(self.file_length.saturating_sub(self.end())).unwrap_or(INPUT_SIZE);
        self.bytes.resize(filled + rest.min(INPUT_SIZE), 0);
        let poll = self.packed.poll_read(&mut self.bytes[filled..], waker);
        let count = if let Ok(ReadPoll::Read(count)) = poll { count } else { 0 };
        self.bytes.truncate(filled + count);
        match poll? {
            ReadPoll::Read(_) => Ok(false),
            ReadPoll::Pending => Ok(true),
            ReadPoll::End => Err(self.cut_off()),
        }
    }

    /// Drops what stands before a place, now or a little later.
    pub(super) fn forget(&mut self, before: u64) {
        let count = usize::try_from(before.saturating_sub(self.base)).unwrap_or(usize::MAX).min(self.bytes.len());
        if count >= INPUT_SIZE {
            self.bytes.drain(..count);
            self.base += count as u64;
        }
    }

    /// What was read from a place on.
    pub(super) fn bytes_from(&self, place: u64) -> &[u8] {
        let at = usize::try_from(place.saturating_sub(self.base)).unwrap_or(usize::MAX);
        self.bytes.get(at..).unwrap_or_default()
    }

    /// The mark at a bit of the file.
    pub(super) fn mark_at(&self, bit: u64) -> Option<Mark> {
        marks::mark_at(&self.bytes, self.bit_within(bit)?)
    }

    /// The first bit from `from` on at which the mark of a block stands.
    pub(super) fn find_block(&self, from: u64) -> Option<u64> {
        marks::find_block(&self.bytes, self.bit_within(from)?).map(|bit| self.base * 8 + bit as u64)
    }

    /// Puts the whole bytes from a bit on, but no more than `most`, in place of what is in `shifted`.
    pub(super) fn shift(&self, bit: u64, most: usize, shifted: &mut Vec<u8>) {
        shifted.clear();
        if let Some(bit) = self.bit_within(bit) {
            marks::shift(&self.bytes, bit, most, shifted);
        }
    }

    fn bit_within(&self, bit: u64) -> Option<usize> {
        usize::try_from(bit.checked_sub(self.base * 8)?).ok()
    }

    fn cut_off(&self) -> FileError {
        let change = format!("it had {} bytes and ends after {}", self.file_length, self.end());
        FileError::Changed { uri: self.uri.clone(), change }
    }
}
