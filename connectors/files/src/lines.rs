//! Lines of a split, without an allocation for each.
//!
//! The reader holds one block of the file. It looks for the last line end in what it has read, checks all bytes up to
//! there for UTF-8 at once (such bytes are a *region*), and then cuts the region into lines. A line that is longer than
//! the block makes the block grow, up to the longest line allowed.

/// What the lines of a split are found in.
mod content;

/// Cutting a region into lines.
mod region;

use std::ops::ControlFlow;

use flink_api::TaskWaker;

use crate::file_system::{FileError, ReadPoll};
use crate::split::FileSplit;
use content::{Content, Opened};
use region::{Checked, Region, Stop};

/// Bytes read at once: small enough to stay in the second level cache, large enough for the system call not to matter.
pub const DEFAULT_BLOCK_SIZE: usize = 256 << 10;

/// Bytes read at once behind the end of a split, where only the rest of one line is wanted.
const TAIL_SIZE: u64 = 8 << 10;

/// The mark that some programs put in front of UTF-8 text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What to do with bytes that are not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InvalidUtf8 {
    /// The job fails; the message names the file and the position of the byte.
    #[default]
    Fail,
    /// Each wrong sequence becomes U+FFFD, the replacement character.
    Replace,
    /// The line is left out and counted.
    SkipAndCount,
}

/// How text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextOptions {
    /// Longest line in bytes, without its line end (`source.text.max-line-length`).
    pub max_line_length: usize,
    /// What to do with bytes that are not UTF-8.
    pub invalid_utf8: InvalidUtf8,
    /// Bytes read at once.
    pub block_size: usize,
}

impl Default for TextOptions {
    fn default() -> Self {
        Self { max_line_length: 16 << 20, invalid_utf8: InvalidUtf8::Fail, block_size: DEFAULT_BLOCK_SIZE }
    }
}

/// How reading lines ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineStatus {
    /// The budget was used up, or the caller wanted no more for now.
    More,
    /// The file system has nothing yet; the waker will be called.
    Pending,
    /// The split has no further lines. Also the status before the first split.
    SplitFinished,
}

/// What the reader of a split is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Wait for a split.
    Idle,
    /// Go over the rest of a line that belongs to the split before.
    Skipping,
    /// Find lines.
    Reading,
}

/// Reads the lines of one split after another, with one buffer for all of them.
///
/// A line belongs to the split in which its first byte lies, as in Hadoop and Flink: the reader of a split goes over its
/// end to finish the last line, and the reader of the next split begins behind that. A split of a bzip2 file has the
/// blocks that begin in it; a line that begins with the first of its bytes belongs to the split before. Lines end with
/// `\n` or `\r\n`; the last one need not. A byte order mark at the beginning of a file is left out.
///
/// ```
/// # use flink_files::{FileSplit, LineStatus, TextLineSplitReader, TextOptions};
/// # use flink_files::split::{CutOptions, cut, expand};
/// # use flink_api::TaskWaker;
/// # let folder = tempfile::tempdir()?;
/// # std::fs::write(folder.path().join("a.txt"), "one\ntwo\n")?;
/// # let files = expand(folder.path().to_str().unwrap(), None)?;
/// let splits = cut(&files, CutOptions { max_size: 64 << 20, parallelism: 1 })?;
/// let mut reader = TextLineSplitReader::new(TextOptions::default(), TaskWaker::new(|| ()));
/// let mut words = Vec::new();
/// for split in splits {
///     reader.start_split(split.split)?;
///     while reader.for_each_line(1000, |line| words.push(line.to_owned()))? == LineStatus::More {}
/// }
/// assert_eq!(words, ["one", "two"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TextLineSplitReader {
    options: TextOptions,
    waker: TaskWaker,
    phase: Phase,
    uri: String,
    content: Option<Content>,
    /// Lines that begin here or behind belong to others.
    end: u64,
    /// Length that the file must have; none for an archive, whose content has any length.
    file_length: Option<u64>,
    buffer: Vec<u8>,
    /// Offset in the file of the first byte of the buffer.
    base: u64,
    /// First byte that was not given out.
    next: usize,
    /// End of the region: whole lines of this split, which are checked.
    region_end: usize,
    checked: Checked,
    /// Up to here there is no line end behind the region.
    searched: usize,
    /// End of what was read.
    filled: usize,
    file_ended: bool,
    skipped_lines: u64,
}

impl TextLineSplitReader {
    /// Makes a reader; `waker` is called after [`LineStatus::Pending`].
    #[must_use]
    pub fn new(options: TextOptions, waker: TaskWaker) -> Self {
        let options = TextOptions { block_size: options.block_size.max(16), ..options };
        Self {
            options,
            waker,
            phase: Phase::Idle,
            uri: String::new(),
            content: None,
            end: 0,
            file_length: None,
            buffer: vec![0; options.block_size],
            base: 0,
            next: 0,
            region_end: 0,
            checked: Checked::Utf8,
            searched: 0,
            filled: 0,
            file_ended: false,
            skipped_lines: 0,
        }
    }

    /// Begins with a split; what was left of the one before is dropped.
    ///
    /// # Errors
    /// The file cannot be opened, or was changed since the split was made.
    pub fn start_split(&mut self, split: FileSplit) -> Result<(), FileError> {
        self.finish_split();
        let opened = Opened::new(&split)?;
        self.phase = if opened.begins_within_line { Phase::Skipping } else { Phase::Reading };
        (self.base, self.end, self.file_length) = (opened.base, opened.end, opened.file_length);
        self.content = Some(opened.content);
        self.uri = split.uri;
        Ok(())
    }

    /// Hands up to `budget` lines to `f`, without their line ends.
    ///
    /// # Errors
    /// The file cannot be read, was changed, is a damaged archive, has a line that is too long, or bytes that are not
    /// UTF-8. Lines before the place of the error may not have been handed out.
    pub fn for_each_line(&mut self, budget: usize, mut f: impl FnMut(&str)) -> Result<LineStatus, FileError> {
        self.try_for_each_line(budget, |line| {
            f(line);
            ControlFlow::Continue(())
        })
    }

    /// As [`for_each_line`](Self::for_each_line), until `f` breaks.
    ///
    /// # Errors
    /// As [`for_each_line`](Self::for_each_line).
    #[inline]
    pub fn try_for_each_line(
        &mut self,
        budget: usize,
        mut f: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<LineStatus, FileError> {
        let mut left = budget;
        loop {
            if self.next < self.region_end {
                if left == 0 {
                    return Ok(LineStatus::More);
                }
                let mut region = self.region();
                let stop = region.lines(&mut left, &mut f);
                let (next, skipped) = (self.next + region.consumed, region.skipped);
                self.skipped_lines += skipped;
                match stop {
                    Stop::Consumed => self.next = next,
                    Stop::Wanted => {
                        self.next = next;
                        return Ok(LineStatus::More);
                    }
                    Stop::TooLong => return Err(self.line_too_long(next)),
                }
            }
            if let Some(status) = self.find_region()? {
                return Ok(status);
            }
        }
    }

    /// Lines left out so far because they were not UTF-8.
    #[must_use]
    pub fn skipped_lines(&self) -> u64 {
        self.skipped_lines
    }

    fn region(&self) -> Region<'_> {
        Region::new(&self.buffer[self.next..self.region_end], self.checked, &self.options)
    }

    /// Offset in the file of the next byte to give out.
    fn position(&self) -> u64 {
        self.base + self.next as u64
    }

    /// Reads until there is a region; the status when there is none now, or none any more.
    #[inline(never)]
    fn find_region(&mut self) -> Result<Option<LineStatus>, FileError> {
        loop {
            match self.phase {
                Phase::Idle => return Ok(Some(LineStatus::SplitFinished)),
                Phase::Skipping => self.skip_line(),
                Phase::Reading => {}
            }
            if self.position() >= self.end {
                self.finish_split();
                return Ok(Some(LineStatus::SplitFinished));
            }
            if self.phase == Phase::Reading && self.mark_region() {
                self.check_region()?;
                return Ok(None);
            }
            if self.file_ended {
                return self.last_line();
            }
            if self.must_wait()? {
                return Ok(Some(LineStatus::Pending));
            }
        }
    }

    /// Drops bytes up to the first line end.
    fn skip_line(&mut self) {
        match memchr::memchr(b'\n', &self.buffer[self.next..self.filled]) {
            Some(at) => {
                self.next += at + 1;
                self.phase = Phase::Reading;
            }
            None => self.next = self.filled,
        }
        (self.region_end, self.searched) = (self.next, self.next);
    }

    /// Finds whole lines that belong to the split.
    fn mark_region(&mut self) -> bool {
        let from = self.searched.max(self.next);
        // Behind this place in the buffer a line end finishes the last line of the split.
        let last = usize::try_from((self.end - 1).saturating_sub(self.base)).unwrap_or(usize::MAX);
        let before = &self.buffer[from..self.filled.min(last).max(from)];
        let line_end = match memchr::memrchr(b'\n', before) {
            Some(at) => Some(from + at),
            None => {
                let behind = from.max(last).min(self.filled);
                memchr::memchr(b'\n', &self.buffer[behind..self.filled]).map(|at| behind + at)
            }
        };
        self.searched = line_end.map_or(self.filled, |at| at + 1);
        self.region_end = line_end.map_or(self.next, |at| at + 1);
        line_end.is_some()
    }

    /// What stands behind the last line end of the file.
    fn last_line(&mut self) -> Result<Option<LineStatus>, FileError> {
        if self.next == self.filled || self.phase == Phase::Skipping {
            self.finish_split();
            return Ok(Some(LineStatus::SplitFinished));
        }
        self.region_end = self.filled;
        self.check_region()?;
        Ok(None)
    }

    fn check_region(&mut self) -> Result<(), FileError> {
        if self.position() == 0 && self.buffer[..self.region_end].starts_with(BYTE_ORDER_MARK) {
            self.next += BYTE_ORDER_MARK.len();
        }
        let bytes = &self.buffer[self.next..self.region_end];
        self.checked = match (simdutf8::basic::from_utf8(bytes), self.options.invalid_utf8) {
            (Ok(_), _) => Checked::Utf8,
            (Err(_), InvalidUtf8::Fail) => return Err(self.invalid_utf8()),
            (Err(_), InvalidUtf8::Replace | InvalidUtf8::SkipAndCount) => Checked::Mixed,
        };
        Ok(())
    }

    /// Reads the next bytes; tells whether they have to be waited for.
    fn must_wait(&mut self) -> Result<bool, FileError> {
        self.make_room()?;
        let end = self.filled + self.read_size();
        if end == self.filled {
            self.file_ended = true;
            return Ok(false);
        }
        let Some(content) = &mut self.content else { return Ok(false) };
        let poll = content.poll_read(&mut self.buffer[self.filled..end], &self.waker)?;
        self.end = content.end().unwrap_or(self.end);
        match poll {
            ReadPoll::Read(count) => self.filled += count,
            ReadPoll::Pending => return Ok(true),
            ReadPoll::End if self.file_length.is_some() => return Err(self.cut_off()),
            ReadPoll::End => self.file_ended = true,
        }
        Ok(false)
    }

    /// Bytes to read next: no more than there were when the split was made, and few behind its end.
    fn read_size(&self) -> usize {
        let room = self.buffer.len() - self.filled;
        let Some(file_length) = self.file_length else { return room };
        let at = self.base + self.filled as u64;
        let wanted = self.end.saturating_sub(at).saturating_add(TAIL_SIZE).min(file_length.saturating_sub(at));
        usize::try_from(wanted).map_or(room, |wanted| wanted.min(room))
    }

    /// Moves the beginning of a line to the front of the buffer, which grows for a line that fills it.
    fn make_room(&mut self) -> Result<(), FileError> {
        if self.filled - self.next > self.options.max_line_length.saturating_add(1) {
            return Err(self.line_too_long(self.next));
        }
        self.buffer.copy_within(self.next..self.filled, 0);
        self.base += self.next as u64;
        self.filled -= self.next;
        self.searched = self.searched.saturating_sub(self.next);
        (self.next, self.region_end) = (0, 0);
        let block_size = self.options.block_size;
        if self.filled == self.buffer.len() {
            let largest = self.options.max_line_length.saturating_add(2).max(block_size);
            self.buffer.resize(self.filled.saturating_mul(2).min(largest), 0);
        } else if self.buffer.len() > block_size && self.filled < block_size / 2 {
            self.buffer.truncate(block_size);
            self.buffer.shrink_to_fit();
        }
        Ok(())
    }

    fn finish_split(&mut self) {
        self.phase = Phase::Idle;
        self.content = None;
        self.file_ended = false;
        (self.next, self.region_end, self.searched, self.filled) = (0, 0, 0, 0);
    }

    fn line_too_long(&self, begin: usize) -> FileError {
        let offset = self.base + begin as u64;
        FileError::LineTooLong { uri: self.shown_uri(), offset, limit: self.options.max_line_length }
    }

    fn invalid_utf8(&self) -> FileError {
        let bytes = &self.buffer[self.next..self.region_end];
        let at = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), |_| 0);
        let byte = bytes.get(at).copied().unwrap_or_default();
        FileError::InvalidUtf8 { uri: self.shown_uri(), offset: self.position() + at as u64, byte }
    }

    fn shown_uri(&self) -> String {
        self.content.as_ref().map_or_else(|| self.uri.clone(), |content| content.shown(&self.uri))
    }

    fn cut_off(&self) -> FileError {
        let (had, has) = (self.file_length.unwrap_or_default(), self.base + self.filled as u64);
        FileError::Changed { uri: self.uri.clone(), change: format!("it had {had} bytes and ends after {has}") }
    }
}
