//! Unpacks blocks that begin at any bit.

use super::marks::{MARK_BITS, Mark};
use super::window::Window;
use crate::compression::codec::bzip2_step;

/// What stands in front of the first block. Blocks are never larger than this level allows.
const HEADER: &[u8] = b"BZh9";

/// Packed bytes given to the library at once.
const PIECE_SIZE: usize = 32 << 10;

/// Bits that the library may have taken from its input and not used yet when it knows all of a block.
const MAX_BITS_AHEAD: u64 = 64;

/// How much of a block was taken in.
pub(super) enum TakenIn {
    /// A part; more of the file is needed.
    Part,
    /// All of it. Behind it there is a mark, at this bit of the file.
    Block(Mark, u64),
}

/// Unpacks one block after another, as long as they follow one another without a gap.
///
/// The library is told of a stream that begins with the first of these blocks. It finds the ends of blocks by itself:
/// it takes in a packed block to its last bit before it gives the first byte, and goes on to the next when it has given
/// them all. So it gets no room for output while it takes in a block, and no input while it gives. It must not see the
/// end of the stream, whose checksum is over all blocks of the stream.
pub(super) struct Decoder {
    bzip2: bzip2::Decompress,
    /// The bit of the file up to which it was given the file.
    position: u64,
    /// A piece of the file, shifted to begin with a byte.
    piece: Vec<u8>,
}

impl Decoder {
    /// Begins with the block at a bit of the file.
    pub(super) fn new(block: u64) -> Result<Self, String> {
        let mut bzip2 = bzip2::Decompress::new(false);
        bzip2_step(&mut bzip2, HEADER, &mut [])?;
        Ok(Self { bzip2, position: block, piece: Vec::new() })
    }

    /// Takes in the next block, as far as the window has it.
    pub(super) fn take_in(&mut self, window: &Window) -> Result<TakenIn, String> {
        loop {
            window.shift(self.position, PIECE_SIZE, &mut self.piece);
            if self.piece.is_empty() {
                return Ok(TakenIn::Part);
            }
            let consumed = bzip2_step(&mut self.bzip2, &self.piece, &mut [])?.consumed;
            self.position += 8 * consumed as u64;
            if consumed < self.piece.len() {
                return self.look_behind(window);
            }
        }
    }

    /// Looks for what stands behind a block that was taken in.
    fn look_behind(&self, window: &Window) -> Result<TakenIn, String> {
        let mut bits = self.first_bit_ahead()..=self.position;
        match bits.find_map(|bit| window.mark_at(bit).map(|mark| (mark, bit))) {
            Some((mark, bit)) => Ok(TakenIn::Block(mark, bit)),
            None if 8 * window.end() < self.position + MARK_BITS => Ok(TakenIn::Part),
            None => Err("neither a block nor the end of the data follows this block".to_owned()),
        }
    }

    fn first_bit_ahead(&self) -> u64 {
        self.position.saturating_sub(MAX_BITS_AHEAD)
    }

    /// The bit of the file up to which it was given the file.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The first byte of the file that it will look at again.
    pub(super) fn needs_from(&self) -> u64 {
        self.first_bit_ahead() / 8
    }

    /// Unpacks more of the block that was taken in. When there are no bytes left, its checksum was right.
    pub(super) fn unpack(&mut self, output: &mut [u8]) -> Result<usize, String> {
        Ok(bzip2_step(&mut self.bzip2, &[], output)?.produced)
    }
}
