//! gzip, zstd and bzip2, unpacked as they are read: memory does not depend on how well a file was packed.
//!
//! Unpacking takes what the format asks for: gzip 40 KiB, bzip2 up to 4 MiB, zstd the window that the file was packed
//! with, usually 1 to 8 MiB; more than 128 MiB (`zstd --ultra --long=28` and above) is refused. bzip2 can be read from the
//! middle (`BlockUnpacking`), the others only from the beginning (`Unpacking`).

/// One step of unpacking, whatever the format.
mod codec;

/// Some blocks of a bzip2 file, read without those before them.
mod blocks;

pub use blocks::BlockUnpacking;

use flink_api::TaskWaker;

use crate::file_system::{FileError, ReadHandle, ReadPoll};
use codec::Codec;

/// Packed bytes that are read at once.
const INPUT_SIZE: usize = 128 << 10;

/// Members without content that are gone through before the task gets a chance to do something else.
const MAX_EMPTY_MEMBERS: u32 = 64;

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// gzip, with any number of members.
    Gzip,
    /// Zstandard, with any number of frames.
    Zstd,
    /// bzip2, with any number of streams.
    Bzip2,
}

impl Compression {
    /// What the ending of a file name tells: `.gz`, `.gzip`, `.zst`, `.zstd`, `.bz2` or `.bzip2`, in either case.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        let ending = name.rsplit_once('.')?.1.to_ascii_lowercase();
        match ending.as_str() {
            "gz" | "gzip" => Some(Self::Gzip),
            "zst" | "zstd" => Some(Self::Zstd),
            "bz2" | "bzip2" => Some(Self::Bzip2),
            _ => None,
        }
    }

    /// Whether several can read a file, each a part of it.
    #[must_use]
    pub fn is_splittable(self) -> bool {
        self == Self::Bzip2
    }

    /// Its name, for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
        }
    }
}

/// Where in an archive the reading is. An archive is a row of members, each complete in itself.
enum State {
    /// Before the first member, or behind one.
    BetweenMembers,
    /// Within one.
    InMember(Codec),
    /// Behind the last one, where only zeros may stand (tapes and block devices leave them).
    Padding,
}

/// Reads the content of an archive.
pub struct Unpacking {
    packed: Box<dyn ReadHandle>,
    uri: String,
    compression: Compression,
    state: State,
    /// Whether a member has been read.
    begun: bool,
    input: Vec<u8>,
    next: usize,
    filled: usize,
    ended: bool,
    /// Offset in the file of the first byte of `input`.
    offset: u64,
}

impl Unpacking {
    /// Reads an archive from its beginning; `packed` must stand there.
    #[must_use]
    pub fn new(packed: Box<dyn ReadHandle>, uri: &str, compression: Compression) -> Self {
        Self {
            packed,
            uri: uri.to_owned(),
            compression,
            state: State::BetweenMembers,
            begun: false,
            input: vec![0; INPUT_SIZE],
            next: 0,
            filled: 0,
            ended: false,
            offset: 0,
        }
    }

    /// Reads more of the file when all of the last read is used up. Tells whether it has to be waited for.
    fn must_wait_for_input(&mut self, waker: &TaskWaker) -> Result<bool, FileError> {
        if self.next < self.filled || self.ended {
            return Ok(false);
        }
        self.offset += self.filled as u64;
        (self.next, self.filled) = (0, 0);
        match self.packed.poll_read(&mut self.input, waker)? {
            ReadPoll::Read(count) => self.filled = count,
            ReadPoll::Pending => return Ok(true),
            ReadPoll::End => self.ended = true,
        }
        Ok(false)
    }

    /// Begins the next member; tells whether there is one.
    fn begin_member(&mut self) -> Result<bool, FileError> {
        let Some(&first) = self.input[..self.filled].get(self.next) else { return Ok(false) };
        self.state = if self.begun && first == 0 {
            State::Padding
        } else {
            State::InMember(Codec::new(self.compression).map_err(|reason| self.damaged(reason))?)
        };
        self.begun = true;
        Ok(true)
    }

    /// Unpacks into `output`; gives back how many bytes it got.
    fn unpack(&mut self, output: &mut [u8]) -> Result<usize, FileError> {
        let State::InMember(codec) = &mut self.state else { return Ok(0) };
        let input = &self.input[self.next..self.filled];
        let (exhausted, had_none) = (self.ended && input.is_empty(), input.is_empty());
        let step = match codec.step(input, output) {
            Ok(step) => step,
            Err(reason) => return Err(self.damaged(reason)),
        };
        self.next += step.consumed;
        if step.member_ended {
            self.state = State::BetweenMembers;
        } else if step.produced == 0 && exhausted {
            return Err(self.damaged("the file ends in the middle of the data; it was cut off".to_owned()));
        } else if step.produced == 0 && step.consumed == 0 && !had_none {
            return Err(self.damaged("the data cannot be unpacked any further".to_owned()));
        }
        Ok(step.produced)
    }

    fn skip_padding(&mut self) -> Result<(), FileError> {
        match self.input[self.next..self.filled].iter().position(|&byte| byte != 0) {
            Some(at) => {
                self.next += at;
                Err(self.damaged("there is something else behind the end of the data".to_owned()))
            }
            None => {
                self.next = self.filled;
                Ok(())
            }
        }
    }

    fn damaged(&self, reason: String) -> FileError {
        let offset = self.offset + self.next as u64;
        FileError::Damaged { uri: self.uri.clone(), format: self.compression.name(), offset, reason }
    }
}

impl ReadHandle for Unpacking {
    fn poll_read(&mut self, buffer: &mut [u8], waker: &TaskWaker) -> Result<ReadPoll, FileError> {
        let mut members = 0;
        loop {
            if self.must_wait_for_input(waker)? {
                return Ok(ReadPoll::Pending);
            }
            match self.state {
                State::BetweenMembers if members == MAX_EMPTY_MEMBERS => {
                    waker.wake();
                    return Ok(ReadPoll::Pending);
                }
                State::BetweenMembers => {
                    members += 1;
                    if !self.begin_member()? {
                        return Ok(ReadPoll::End);
                    }
                }
                State::InMember(_) => {
                    let produced = self.unpack(buffer)?;
                    if produced > 0 {
                        return Ok(ReadPoll::Read(produced));
                    }
                }
                State::Padding if self.next == self.filled => return Ok(ReadPoll::End),
                State::Padding => self.skip_padding()?,
            }
        }
    }
}
