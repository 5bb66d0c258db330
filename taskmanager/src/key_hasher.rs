/// Hash function for keys: folded 64×64→128-bit multiplications, as in wyhash (Wang Yi, 2019).
///
/// Texts of up to 24 bytes, most words and names, are taken in as three words padded with zeros and their length, without
/// a branch on the length: lengths of words follow no pattern that a processor could learn.
#[derive(Debug, Clone, Copy)]
pub struct KeyHasher(u64);

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const FACTOR: u64 = 0xd6e8_feb8_6659_fd93;

/// Longest text that is taken in at once, in bytes.
const SHORT: usize = 24;

/// For each length of a short text the bits of its three words that belong to it.
static TEXT_BITS: [[u64; 3]; SHORT + 1] = {
    let mut masks = [[0; 3]; SHORT + 1];
    let mut length = 0;
    while length <= SHORT {
        let mut byte = 0;
        while byte < length {
            masks[length][byte / 8] |= 0xff << (byte % 8 * 8);
            byte += 1;
        }
        length += 1;
    }
    masks
};

impl Default for KeyHasher {
    #[inline]
    fn default() -> Self {
        Self(SEED)
    }
}

#[inline(always)]
fn folded_multiply(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    #[allow(clippy::cast_possible_truncation)] // both halves are wanted
    let halves = (product as u64, (product >> 64) as u64);
    halves.0 ^ halves.1
}

impl KeyHasher {
    /// Takes eight bytes in.
    #[inline(always)]
    pub fn write_u64(&mut self, value: u64) {
        self.0 = folded_multiply(self.0 ^ value, FACTOR);
    }

    /// Takes a text or bytes in, with their length, so that neighbouring fields cannot run into one another.
    #[inline]
    pub fn write_bytes(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while rest.len() > SHORT
            && let Some((pair, behind)) = rest.split_first_chunk::<16>()
        {
            let [low, high] = [0, 8].map(|at| word(&pair[at..]));
            self.0 = folded_multiply(self.0 ^ low, FACTOR ^ high);
            rest = behind;
        }
        let words = [0, 8, 16].map(|at| word(rest.get(at..).unwrap_or_default()));
        self.write_words(words, bytes.len());
    }

    /// As [`write_bytes`](Self::write_bytes), for a text of at most 24 bytes that is there as three little-endian words; what
    /// follows the text in them does not matter.
    #[inline(always)]
    pub(crate) fn write_short(&mut self, words: [u64; 3], length: usize) {
        let bits = TEXT_BITS[length.min(SHORT)];
        self.write_words([words[0] & bits[0], words[1] & bits[1], words[2] & bits[2]], length);
    }

    #[inline(always)]
    fn write_words(&mut self, words: [u64; 3], length: usize) {
        let first = folded_multiply(self.0 ^ words[0], FACTOR ^ words[1]);
        self.0 = folded_multiply(first ^ words[2], FACTOR ^ length as u64);
    }

    /// The hash of what was taken in.
    #[inline(always)]
    #[must_use]
    pub fn finish(self) -> u64 {
        folded_multiply(self.0, SEED)
    }
}

/// The first eight bytes as a little-endian number, padded with zeros; without a loop over bytes.
#[inline(always)]
fn word(bytes: &[u8]) -> u64 {
    if let Some(whole) = bytes.first_chunk() {
        return u64::from_le_bytes(*whole);
    }
    let length = bytes.len();
    if let (Some(low), Some(high)) = (bytes.first_chunk(), bytes.last_chunk()) {
        // The two overlap where there are fewer than eight; they agree there.
        u64::from(u32::from_le_bytes(*low)) | u64::from(u32::from_le_bytes(*high)) << ((length - 4) * 8)
    } else if length > 0 {
        let [first, middle, last] = [0, length / 2, length - 1].map(|at| u64::from(bytes[at]) << (at * 8));
        first | middle | last
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Key;
    use compact_str::CompactString;

    #[test]
    fn a_word_is_padded_with_zeros() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8, 9];
        for length in 0..=9 {
            let mut padded = [0; 8];
            let taken = length.min(8);
            padded[..taken].copy_from_slice(&bytes[..taken]);
            assert_eq!(word(&bytes[..length]), u64::from_le_bytes(padded), "{length} bytes");
        }
    }

    #[test]
    fn a_text_hashes_alike_wherever_it_lies() {
        let letters = "abcdefghijklmnopqrstuvwxyzäöü0123456789";
        for (end, _) in letters.char_indices() {
            let text = &letters[..end];
            let mut cut = CompactString::new(letters.get(..24).unwrap());
            let mut grown = CompactString::with_capacity(100);
            grown.push_str(text);
            let expected = text.to_owned().key_hash();
            assert_eq!(CompactString::new(text).key_hash(), expected, "{text:?}");
            assert_eq!(grown.key_hash(), expected, "{text:?} on the heap");
            assert!(grown.is_key(&CompactString::new(text)));
            if end <= 24 {
                cut.truncate(end);
                assert_eq!(cut.key_hash(), expected, "{text:?}, cut");
                assert!(cut.is_key(&CompactString::new(text)) && CompactString::new(text).is_key(&cut));
            }
        }
        assert_eq!(CompactString::const_new("static").key_hash(), "static".to_owned().key_hash());
    }

    #[test]
    fn texts_of_zeros_differ_by_their_length() {
        let hashes: std::collections::BTreeSet<u64> = (0..100).map(|length| "\0".repeat(length).key_hash()).collect();
        assert_eq!(hashes.len(), 100);
    }
}
