//! Words of a text.
//!
//! ASCII text, the common case, is classified 64 bytes at a time into a bit mask; the borders of its runs of ones are the
//! borders of words, found by counting zeros. So a word costs a few instructions, whatever its length, and no branch that
//! depends on where words end. (The technique is that of simdjson: Langdale and Lemire, "Parsing Gigabytes of JSON per
//! Second", 2019.)

/// Bytes classified at once: one for each bit of a mask.
const BLOCK: usize = 64;

/// The words of a text: maximal runs of alphanumeric characters ([`char::is_alphanumeric`]), in order.
///
/// ```
/// let found: Vec<&str> = flink_files::words("Don't panic, Zoë: 42!").collect();
/// assert_eq!(found, ["Don", "t", "panic", "Zoë", "42"]);
/// ```
#[inline]
#[must_use]
pub fn words(text: &str) -> Words<'_> {
    Words { text, block_end: 0, borders: 0, borders_base: 0, in_word: false, ascii: text.is_ascii() }
}

/// Iterator over the [`words`] of a text.
#[derive(Debug, Clone)]
pub struct Words<'a> {
    /// All of the text if it is ASCII, else what is left of it.
    text: &'a str,
    /// First byte that was not classified.
    block_end: usize,
    /// Borders of words in the block before `block_end` that were not used.
    borders: u64,
    /// Where that block begins.
    borders_base: usize,
    /// Whether the last classified byte belongs to a word.
    in_word: bool,
    ascii: bool,
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    #[inline(always)]
    fn next(&mut self) -> Option<&'a str> {
        if !self.ascii {
            return self.next_unicode();
        }
        let begin = self.next_border()?;
        let end = self.next_border().unwrap_or(self.text.len());
        debug_assert!(begin < end && end <= self.text.len(), "{begin}..{end} of {} bytes", self.text.len());
        // SAFETY: borders ascend and lie within the text, since no padding behind it is classified as part of a word; in
        // ASCII text every index is a character's. (The checks of `get` are 4 % of WordCount.)
        Some(unsafe { self.text.get_unchecked(begin..end) })
    }
}

impl<'a> Words<'a> {
    /// The next place where a word begins or ends; none at the end of the text.
    #[inline(always)]
    fn next_border(&mut self) -> Option<usize> {
        while self.borders == 0 {
            if self.block_end >= self.text.len() {
                return None;
            }
            self.classify_block();
        }
        let border = self.borders_base + self.borders.trailing_zeros() as usize;
        self.borders &= self.borders - 1;
        Some(border)
    }

    #[inline(always)]
    fn classify_block(&mut self) {
        let bytes = &self.text.as_bytes()[self.block_end..];
        let alphanumeric = match bytes.first_chunk::<BLOCK>() {
            Some(block) => alphanumeric(block),
            None => {
                // What stands behind the text is no part of a word: a last word ends there.
                let mut block = [0; BLOCK];
                block[..bytes.len()].copy_from_slice(bytes);
                alphanumeric(&block)
            }
        };
        self.borders = alphanumeric ^ (alphanumeric << 1 | u64::from(self.in_word));
        self.in_word = alphanumeric >> (BLOCK - 1) != 0;
        self.borders_base = self.block_end;
        self.block_end += BLOCK;
    }

    #[cold]
    fn next_unicode(&mut self) -> Option<&'a str> {
        let text = self.text.trim_start_matches(|c: char| !c.is_alphanumeric());
        let end = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        self.text = rest;
        (!word.is_empty()).then_some(word)
    }
}

/// A bit for each byte of ASCII text: letters and digits.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn alphanumeric(block: &[u8; BLOCK]) -> u64 {
    use std::arch::x86_64::{
        __m128i, _mm_add_epi8, _mm_cmplt_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
    };
    let mut mask = 0;
    for part in 0..BLOCK / 16 {
        // SAFETY: SSE2 belongs to every x86-64 processor, and the 16 bytes lie within the block.
        let bits = unsafe {
            let bytes = _mm_loadu_si128(block.as_ptr().add(part * 16).cast::<__m128i>());
            // Moved to the bottom of the signed range, the `n` bytes of a class are those below `-128 + n`.
            let below = |first: u8, count: i8, bytes: __m128i| {
                let moved = _mm_add_epi8(bytes, _mm_set1_epi8((0x80_u8.wrapping_sub(first)).cast_signed()));
                _mm_cmplt_epi8(moved, _mm_set1_epi8(-128 + count))
            };
            let letters = below(b'a', 26, _mm_or_si128(bytes, _mm_set1_epi8(0x20)));
            let digits = below(b'0', 10, bytes);
            _mm_movemask_epi8(_mm_or_si128(letters, digits))
        };
        mask |= u64::from(bits.cast_unsigned()) << (part * 16);
    }
    mask
}

/// A bit for each byte of ASCII text: letters and digits.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn alphanumeric(block: &[u8; BLOCK]) -> u64 {
    block.iter().rev().fold(0, |mask, byte| mask << 1 | u64::from(byte.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, word for word.
    fn defined(text: &str) -> Vec<&str> {
        text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect()
    }

    fn check(text: &str) {
        assert_eq!(words(text).collect::<Vec<_>>(), defined(text), "in {text:?}");
    }

    #[test]
    fn every_character_of_ascii_is_classified() {
        for byte in 0..128_u8 {
            check(&format!("a{}b", char::from(byte)));
            check(&char::from(byte).to_string());
        }
    }

    #[test]
    fn words_of_any_length_at_any_place() {
        for before in 0..70 {
            for length in 0..140 {
                check(&format!("{}{} x", " ".repeat(before), "w".repeat(length)));
                check(&format!("{}{}", "-".repeat(before), "w".repeat(length)));
            }
        }
    }

    #[test]
    fn other_scripts() {
        for text in ["", "Straße, söz!", "日本 語", "a\u{301}b", "١٢٣ 4", "—", "x—", "ä"] {
            check(text);
        }
    }

    #[test]
    fn random_texts() {
        let mut state = 1_u64;
        for length in 0..400 {
            let text: String = (0..length)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    char::from((state >> 33) as u8 & 0x7f)
                })
                .collect();
            check(&text);
        }
    }
}
