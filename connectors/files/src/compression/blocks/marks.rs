//! The marks in bzip2 data, which begin at any bit. Bits are counted from the highest of the first byte.

use memchr::memmem;

/// Begins a block: the digits of pi.
const BLOCK_MARK: u64 = 0x3141_5926_5359;

/// Ends a stream: the digits of its square root.
const FOOTER_MARK: u64 = 0x1772_4538_5090;

/// Bits of a mark.
pub(super) const MARK_BITS: u64 = 48;

const BITS: usize = MARK_BITS as usize;

/// What a mark stands in front of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// A block.
    Block,
    /// The checksum at the end of a stream.
    Footer,
}

/// The mark at a bit, if there is one and all of it.
pub(super) fn mark_at(bytes: &[u8], bit: usize) -> Option<Mark> {
    let (at, shift) = (bit / 8, bit % 8);
    let length = (shift + BITS).div_ceil(8);
    let around = bytes.get(at..at + length)?;
    let value = around.iter().fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
    match value >> (length * 8 - shift - BITS) & ((1 << BITS) - 1) {
        BLOCK_MARK => Some(Mark::Block),
        FOOTER_MARK => Some(Mark::Footer),
        _ => None,
    }
}

/// The first bit from `from` on at which the mark of a block stands.
///
/// Whatever the bit, five bytes of the mark are whole: each of the eight possible rows of five is looked for, which
/// is many times faster than the bits one by one.
pub(super) fn find_block(bytes: &[u8], from: usize) -> Option<usize> {
    let skipped = from / 8;
    let bytes = bytes.get(skipped..)?;
    let found = (0..8).filter_map(|shift| {
        let mark = (BLOCK_MARK << (16 - shift)).to_be_bytes();
        let begins = memmem::find_iter(bytes, &mark[1..6]).filter_map(|at| at.checked_sub(1));
        let mut bits = begins.map(|at| at * 8 + shift).filter(|bit| skipped * 8 + bit >= from);
        bits.find(|&bit| mark_at(bytes, bit) == Some(Mark::Block))
    });
    found.min().map(|bit| skipped * 8 + bit)
}

/// Puts the whole bytes from a bit on, but no more than `most`, in place of what is in `shifted`.
pub(super) fn shift(bytes: &[u8], bit: usize, most: usize, shifted: &mut Vec<u8>) {
    shifted.clear();
    let (at, shift) = (bit / 8, bit % 8);
    let bytes = bytes.get(at..).unwrap_or_default();
    if shift == 0 {
        shifted.extend_from_slice(&bytes[..bytes.len().min(most)]);
        return;
    }
    let pairs = bytes.iter().zip(bytes.iter().skip(1)).take(most);
    shifted.extend(pairs.map(|(&byte, &next)| byte << shift | next >> (8 - shift)));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes with a mark at a bit, between ones or zeros.
    fn with_mark(length: usize, bit: usize, mark: u64, around: bool) -> Vec<u8> {
        let is_set = |at: usize| match at.checked_sub(bit) {
            Some(within) if within < BITS => mark >> (BITS - 1 - within) & 1 == 1,
            _ => around,
        };
        let byte = |at: usize| (0..8).fold(0, |byte, bit| byte << 1 | u8::from(is_set(at * 8 + bit)));
        (0..length).map(byte).collect()
    }

    #[test]
    fn a_mark_is_found_at_every_bit() {
        for around in [false, true] {
            for bit in 0..=100 * 8 - BITS {
                let bytes = with_mark(100, bit, BLOCK_MARK, around);
                assert_eq!(mark_at(&bytes, bit), Some(Mark::Block));
                for from in [0, bit.saturating_sub(9), bit] {
                    assert_eq!(find_block(&bytes, from), Some(bit), "from {from}");
                }
                assert_eq!(find_block(&bytes, bit + 1), None);
                assert_eq!(find_block(&bytes[..(bit + BITS - 1) / 8], 0), None, "not all of it");
                let bytes = with_mark(100, bit, FOOTER_MARK, around);
                assert_eq!(mark_at(&bytes, bit), Some(Mark::Footer));
                assert_eq!(find_block(&bytes, 0), None);
            }
        }
        assert_eq!(find_block(&[], 0), None);
        assert_eq!(find_block(&[1, 2], 100), None);
    }

    #[test]
    fn the_first_of_several_marks_is_found() {
        for (first, second) in [(3, 64), (7, 55), (8, 56), (0, 49)] {
            let mut bytes = with_mark(20, first, BLOCK_MARK, false);
            let other = with_mark(20, second, BLOCK_MARK, false);
            bytes.iter_mut().zip(other).for_each(|(byte, other)| *byte |= other);
            assert_eq!(find_block(&bytes, 0), Some(first));
            assert_eq!(find_block(&bytes, first + 1), Some(second));
        }
    }

    #[test]
    fn bytes_are_taken_from_any_bit() {
        let bytes = [0b1010_0101, 0b1100_0011, 0b1111_0000];
        let check = |bit, most, expect: &[u8]| {
            let mut shifted = vec![1, 2, 3];
            shift(&bytes, bit, most, &mut shifted);
            assert_eq!(shifted, expect, "from bit {bit}, {most} at most");
        };
        check(0, 9, &bytes);
        check(0, 2, &bytes[..2]);
        check(3, 9, &[0b0010_1110, 0b0001_1111]);
        check(3, 1, &[0b0010_1110]);
        check(15, 9, &[0b1111_1000]);
        check(16, 9, &bytes[2..]);
        check(17, 9, &[]);
        check(24, 9, &[]);
        check(90, 9, &[]);
    }
}
