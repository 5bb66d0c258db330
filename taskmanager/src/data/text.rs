use super::{Data, DecodeError, Key, KeyHasher, put_bytes, take_bytes};

fn text<'a>(input: &mut &'a [u8]) -> Result<&'a str, DecodeError> {
    std::str::from_utf8(take_bytes(input)?).map_err(|error| DecodeError(format!("not UTF-8: {error}").into()))
}

impl Data for String {
    #[inline]
    fn heap_bytes(&self) -> usize {
        self.capacity()
    }

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(self.as_bytes(), out);
    }

    #[inline]
    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        text(input).map(str::to_owned)
    }

    fn type_name() -> String {
        "String".to_owned()
    }
}

impl Key for String {
    #[inline]
    fn hash_key(&self, hasher: &mut KeyHasher) {
        hasher.write_bytes(self.as_bytes());
    }
}

/// Up to 24 bytes of text lie inline: no allocation for a word, in a chain, in a table or off the network.
impl Data for compact_str::CompactString {
    #[inline]
    fn heap_bytes(&self) -> usize {
        if self.is_heap_allocated() { self.capacity() } else { 0 }
    }

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(self.as_bytes(), out);
    }

    #[inline]
    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        text(input).map(Self::new)
    }

    fn type_name() -> String {
        "Str".to_owned()
    }
}

impl Key for compact_str::CompactString {
    #[inline(always)]
    fn hash_key(&self, hasher: &mut KeyHasher) {
        match inline_words(self) {
            Some(words) => hasher.write_short(words, self.len()),
            None => hasher.write_bytes(self.as_bytes()),
        }
    }

    #[inline(always)]
    fn is_key(&self, other: &Self) -> bool {
        let (Some([a, b, c]), Some([x, y, z])) = (inline_words(self), inline_words(other)) else {
            return self == other;
        };
        // Compared in registers: arrays would be compared in memory, by loads that are wider than the stores before them and
        // wait for these. Equal texts may differ in what lies behind them, so only equality is certain.
        (a ^ x) | (b ^ y) | (c ^ z) == 0 || self == other
    }
}

/// The 24 bytes in which a short text lies, where it lies inline; what follows the text in them may be anything.
#[inline(always)]
fn inline_words(text: &compact_str::CompactString) -> Option<[u64; 3]> {
    const { assert!(size_of::<compact_str::CompactString>() == INLINE) };
    let whole = std::ptr::from_ref(text).cast::<[u8; INLINE]>();
    if text.as_ptr() != whole.cast() {
        return None;
    }
    // SAFETY: the text begins where the value begins, so the bytes are those of the value, which has none that are not
    // initialised: an inline text is made in a zeroed array.
    let bytes = unsafe { &*whole };
    Some(std::array::from_fn(|word| u64::from_le_bytes(std::array::from_fn(|byte| bytes[word * 8 + byte]))))
}

/// Bytes of text that lie inline in a `CompactString`.
const INLINE: usize = 24;
