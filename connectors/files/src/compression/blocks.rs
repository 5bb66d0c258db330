//! Some blocks of a bzip2 file, read without those before them.
//!
//! A stream of bzip2 is a header, blocks that are packed each for itself and begin at any bit, and a footer; a file is a
//! row of streams. A split owns the blocks whose marks begin in it, and finds the first of them by its mark. From there on
//! each block tells where it ends, and what stands there, up to the end of the file. The split that begins the file begins
//! with the header in place of a mark.
//!
//! The bits of a mark may also stand within a block. So what cannot be taken in as a block is passed over while the
//! first one is looked for. No block is lost in this way: whoever reads the blocks before goes on into the first block that
//! it does not own, and so knows for certain that this is one. If that one is damaged, it is the one who says so.

/// The marks in bzip2 data.
mod marks;

/// The part of a packed file that is looked at.
mod window;

/// Unpacks blocks that begin at any bit.
mod decoder;

#[cfg(test)]
mod tests;

use std::mem;

use flink_api::TaskWaker;

use super::Compression;
use crate::file_system::{FileError, ReadHandle, ReadPoll};
use decoder::{Decoder, TakenIn};
use marks::{MARK_BITS, Mark};
use window::Window;

/// Bytes of `BZh9` in front of the first block.
const HEADER_SIZE: usize = 4;

const MARK_SIZE: usize = MARK_BITS as usize / 8;

/// Bits of the mark and the checksum at the end of a stream, which goes on to the end of a byte.
const FOOTER_BITS: u64 = 80;

/// Largest packed block: 900,000 symbols of 20 bits, and more than enough for the tables.
const MAX_BLOCK_BITS: u64 = 8 * (3 << 20);

/// Marks before the first block of a split that may turn out to be none.
const MAX_FALSE_MARKS: u32 = 16;

/// Pieces of the file that are gone through without a result before the task gets a chance to do something else.
const MAX_READS: u32 = 64;

/// Where in the file the reading is. Places are bits where blocks are concerned, and bytes elsewhere.
enum State {
    /// Looks for the first block, from this bit on.
    Searching(u64),
    /// In front of a stream, or behind the last one, at this byte.
    BetweenStreams(u64),
    /// Takes in the block at a bit. It may be none as long as it is not certain.
    TakingIn { block: u64, certain: bool, decoder: Decoder },
    /// Unpacks the block at a bit. Behind it there is a mark, at the bit `next`.
    Unpacking { block: u64, decoder: Decoder, mark: Mark, next: u64 },
    /// Behind the last stream, where only zeros may stand; checked up to this byte.
    Padding(u64),
    /// Behind everything, or in a split without a block.
    Ended,
}

/// What came of a step.
enum Step {
    /// The state is another one; go on.
    Changed,
    /// More of the file is needed.
    NeedsInput,
    /// So many bytes were put out.
    Unpacked(usize),
    /// There is nothing left.
    Ended,
}

type Transition = Result<(State, Step), FileError>;

/// Reads the content of the blocks that begin in a part of a bzip2 file, and then that of all blocks behind them. No
/// call of `poll_read` gives bytes of both. The checksums of blocks are verified, those over whole streams are not.
pub struct BlockUnpacking {
    window: Window,
    uri: String,
    /// Blocks that begin at this bit or behind belong to others.
    end: u64,
    state: State,
    false_marks: u32,
    /// The bit at which the first block begins.
    first_block: Option<u64>,
    /// Bytes given out.
    unpacked: u64,
    own_length: Option<u64>,
}

impl BlockUnpacking {
    /// Reads the blocks that begin in the bytes from `begin` to `end` of a file; `packed` must stand at `begin`.
    #[must_use]
    pub fn new(packed: Box<dyn ReadHandle>, uri: &str, begin: u64, end: u64, file_length: u64) -> Self {
        let end = end.min(file_length);
        Self {
            window: Window::new(packed, uri, begin, file_length),
            uri: uri.to_owned(),
            end: end.saturating_mul(8),
            state: match begin {
                0 => State::BetweenStreams(0),
                begin if begin < end => State::Searching(begin.saturating_mul(8)),
                _ => State::Ended,
            },
            false_marks: 0,
            first_block: None,
            unpacked: 0,
            own_length: None,
        }
    }

    /// How many bytes its own blocks have, once all of these were given out and there is another block behind them.
    #[must_use]
    pub fn own_length(&self) -> Option<u64> {
        self.own_length
    }

    /// The byte of the file in which the first block begins that it reads; none while that is not known.
    #[must_use]
    pub fn first_block(&self) -> Option<u64> {
        self.first_block.map(|bit| bit / 8)
    }

    fn step(&mut self, output: &mut [u8]) -> Result<Step, FileError> {
        let (state, step) = match mem::replace(&mut self.state, State::Ended) {
            State::Searching(from) => self.search(from),
            State::BetweenStreams(at) => self.begin_stream(at),
            State::TakingIn { block, certain, decoder } => self.take_in(block, certain, decoder),
            State::Unpacking { block, decoder, mark, next } => self.unpack(block, decoder, mark, next, output),
            State::Padding(from) => self.skip_padding(from),
            State::Ended => Ok((State::Ended, Step::Ended)),
        }?;
        self.state = state;
        Ok(step)
    }

    fn search(&mut self, from: u64) -> Transition {
        if let Some(block) = self.window.find_block(from).filter(|block| *block < self.end) {
            let decoder = self.new_decoder(block)?;
            return Ok((State::TakingIn { block, certain: false, decoder }, Step::Changed));
        }
        // The last bits may be the beginning of a mark.
        let from = from.max((8 * self.window.end()).saturating_sub(MARK_BITS + 7));
        self.window.forget(from / 8);
        if from >= self.end || self.window.has_ended() {
            return Ok((State::Ended, Step::Ended));
        }
        Ok((State::Searching(from), Step::NeedsInput))
    }

    fn begin_stream(&mut self, at: u64) -> Transition {
        self.window.forget(at);
        let bytes = self.window.bytes_from(at);
        let is_enough = bytes.len() >= HEADER_SIZE + MARK_SIZE;
        if !is_enough && !self.window.has_ended() {
            return Ok((State::BetweenStreams(at), Step::NeedsInput));
        }
        match &bytes[..bytes.len().min(HEADER_SIZE)] {
            [] if self.window.end() == at => Ok((State::Ended, Step::Ended)),
            [0, ..] if at > 0 => Ok((State::Padding(at), Step::Changed)),
            [b'B', b'Z', b'h', b'1'..=b'9'] if is_enough => self.begin_blocks(at),
            [] | [b'B'] | [b'B', b'Z'] | [b'B', b'Z', b'h'] | [b'B', b'Z', b'h', b'1'..=b'9'] => Err(self.cut_off()),
            _ => Err(self.damaged(at, "it does not begin as bzip2 data does")),
        }
    }

    /// Goes on behind the header at a byte.
    fn begin_blocks(&mut self, header: u64) -> Transition {
        let first = 8 * (header + HEADER_SIZE as u64);
        match self.window.mark_at(first) {
            Some(Mark::Block) => {
                let decoder = self.new_decoder(first)?;
                Ok(self.begin_block(first, decoder))
            }
            Some(Mark::Footer) => Ok(end_stream(first)),
            None => Err(self.damaged(header, "no block follows its header")),
        }
    }

    /// Goes on with what is certain to be a block.
    fn begin_block(&mut self, block: u64, decoder: Decoder) -> (State, Step) {
        if block >= self.end && self.own_length.is_none() {
            self.own_length = Some(self.unpacked);
        }
        self.first_block.get_or_insert(block);
        self.window.forget(decoder.needs_from());
        (State::TakingIn { block, certain: true, decoder }, Step::Changed)
    }

    fn take_in(&mut self, block: u64, certain: bool, mut decoder: Decoder) -> Transition {
        let failure = match decoder.take_in(&self.window) {
            Ok(TakenIn::Block(mark, next)) => {
                self.first_block.get_or_insert(block);
                return Ok((State::Unpacking { block, decoder, mark, next }, Step::Changed));
            }
            Ok(TakenIn::Part) if decoder.position() - block > MAX_BLOCK_BITS => {
                self.damaged(block / 8, "this block is longer than any can be")
            }
            Ok(TakenIn::Part) if self.window.has_ended() => self.cut_off(),
            Ok(TakenIn::Part) => {
                // The search may have to go on from a mark that is none.
                self.window.forget(if certain { decoder.needs_from() } else { block / 8 });
                return Ok((State::TakingIn { block, certain, decoder }, Step::NeedsInput));
            }
            Err(reason) => self.damaged(block / 8, &reason),
        };
        if certain || self.false_marks == MAX_FALSE_MARKS {
            return Err(failure);
        }
        self.false_marks += 1;
        Ok((State::Searching(block + 1), Step::Changed))
    }

    fn unpack(&mut self, block: u64, mut decoder: Decoder, mark: Mark, next: u64, output: &mut [u8]) -> Transition {
        let count = decoder.unpack(output).map_err(|reason| self.damaged(block / 8, &reason))?;
        if count > 0 {
            self.unpacked += count as u64;
            return Ok((State::Unpacking { block, decoder, mark, next }, Step::Unpacked(count)));
        }
        Ok(match mark {
            Mark::Block => self.begin_block(next, decoder),
            Mark::Footer => end_stream(next),
        })
    }

    fn skip_padding(&mut self, from: u64) -> Transition {
        if let Some(at) = self.window.bytes_from(from).iter().position(|&byte| byte != 0) {
            return Err(self.damaged(from + at as u64, "there is something else behind the end of the data"));
        }
        let end = self.window.end();
        self.window.forget(end);
        let step = if self.window.has_ended() { Step::Ended } else { Step::NeedsInput };
        Ok((State::Padding(end), step))
    }

    fn new_decoder(&self, block: u64) -> Result<Decoder, FileError> {
        Decoder::new(block).map_err(|reason| self.damaged(block / 8, &reason))
    }

    fn cut_off(&self) -> FileError {
        self.damaged(self.window.end(), "the file ends in the middle of the data; it was cut off")
    }

    fn damaged(&self, offset: u64, reason: &str) -> FileError {
        let (uri, reason) = (self.uri.clone(), reason.to_owned());
        FileError::Damaged { uri, format: Compression::Bzip2.name(), offset, reason }
    }
}

impl ReadHandle for BlockUnpacking {
    fn poll_read(&mut self, buffer: &mut [u8], waker: &TaskWaker) -> Result<ReadPoll, FileError> {
        let mut reads = 0;
        loop {
            match self.step(buffer)? {
                Step::Changed => {}
                Step::Unpacked(count) => return Ok(ReadPoll::Read(count)),
                Step::Ended => return Ok(ReadPoll::End),
                Step::NeedsInput if reads == MAX_READS => {
                    waker.wake();
                    return Ok(ReadPoll::Pending);
                }
                Step::NeedsInput => {
                    reads += 1;
                    if self.window.must_wait(waker)? {
                        return Ok(ReadPoll::Pending);
                    }
                }
            }
        }
    }
}

/// Goes on behind the footer at a bit.
fn end_stream(footer: u64) -> (State, Step) {
    (State::BetweenStreams((footer + FOOTER_BITS).div_ceil(8)), Step::Changed)
}
