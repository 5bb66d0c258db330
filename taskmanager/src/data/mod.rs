//! What records are made of: their size, their wire form and, for keys, their hash.

/// Numbers, truth values, characters and nothing.
mod numbers;

/// Texts.
mod text;

/// Options, results, boxes, vectors, arrays and maps of values.
mod collections;

/// Tuples of up to eight values.
mod tuples;

/// The unit of which keys are distributed.
mod key_group;

use std::borrow::Cow;

pub use crate::key_hasher::KeyHasher;
pub use key_group::{key_group, key_group_owner};

/// Bytes are not the encoding of a value of the expected type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("damaged record: {0}")]
pub struct DecodeError(pub Cow<'static, str>);

impl DecodeError {
    /// The bytes end inside a value.
    pub const TRUNCATED: Self = Self(Cow::Borrowed("the data ends inside a value"));
}

/// A value that can be a record: it moves between threads, and between workers in its encoded form.
///
/// Use `#[derive(Data)]` for structs and enums of your own. The encoding is compact and not self-describing: both ends
/// have the same program (the graph's fingerprint holds the type names). Integers are little-endian of their own width,
/// lengths and enum variants are `u32`, fields follow one another.
pub trait Data: Send + Sized + 'static {
    /// Bytes that the value owns on the heap, about; chunks are bounded by size, not only by number.
    fn heap_bytes(&self) -> usize {
        0
    }

    /// Appends the encoding.
    fn encode(&self, out: &mut Vec<u8>);

    /// Takes a value off the front of `input`.
    ///
    /// # Errors
    /// `input` does not begin with an encoding of the type. Memory taken is bounded by the length of `input`.
    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError>;

    /// Name of the type with its fields' types, as plans and fingerprints show it.
    fn type_name() -> String;
}

/// A value that records can be keyed by.
///
/// The hash is part of what a savepoint relies on: it depends on the value alone, not on the process, the compiler or the
/// version of a library. Equal keys must have equal hashes.
pub trait Key: Data + Eq + Clone {
    /// Feeds the value to the hasher.
    fn hash_key(&self, hasher: &mut KeyHasher);

    /// The hash: its upper bits choose the key group, its lower bits the place in a table.
    // Inlined always, like what it calls for short keys: a call for each record would move the record through memory.
    #[inline(always)]
    fn key_hash(&self) -> u64 {
        let mut hasher = KeyHasher::default();
        self.hash_key(&mut hasher);
        hasher.finish()
    }

    /// Whether two values are the same key: `==`, unless a type knows something quicker for values that most likely are.
    #[inline]
    fn is_key(&self, other: &Self) -> bool {
        self == other
    }
}

/// Takes `N` bytes off the front.
///
/// # Errors
/// Fewer are left.
#[inline]
pub fn take<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], DecodeError> {
    let (head, rest) = input.split_first_chunk::<N>().ok_or(DecodeError::TRUNCATED)?;
    *input = rest;
    Ok(*head)
}

/// For how many of `count` values to make room at once: a count that is wrong must not take much more memory than the bytes
/// that came with it. An encoding is shorter than its value, but seldom by more than a factor of four.
#[must_use]
pub fn places_for<T>(count: usize, input: &[u8]) -> usize {
    count.min(input.len().saturating_mul(4) / size_of::<T>().max(1))
}

/// Takes a length and as many bytes off the front.
///
/// # Errors
/// Fewer are left.
#[inline]
pub fn take_bytes<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let len = u32::from_le_bytes(take(input)?) as usize;
    let (head, rest) = input.split_at_checked(len).ok_or(DecodeError::TRUNCATED)?;
    *input = rest;
    Ok(head)
}

/// Appends a length and the bytes.
///
/// A value of 4 GiB or more does not fit into any frame; it is cut here and refused by the limit on records.
#[inline]
pub fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&bytes[..len as usize]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<T: Data + PartialEq + std::fmt::Debug>(value: T) {
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        let mut input = bytes.as_slice();
        assert_eq!(T::decode(&mut input).unwrap(), value);
        assert!(input.is_empty());
        for cut in 0..bytes.len() {
            let _ = T::decode(&mut &bytes[..cut]); // an error or a shorter value, never a panic
        }
    }

    #[test]
    fn values_survive_the_wire() {
        round_trip((1u8, -2i64, 3.5f64, 'ß'));
        round_trip((String::from("söz"), compact_str::CompactString::new("a word that is longer than inline")));
        round_trip(vec![Some(1u32), None]);
        round_trip([Ok::<u8, String>(1), Err("no".into())]);
        round_trip(std::collections::BTreeMap::from([(1u32, "x".to_owned())]));
    }

    #[test]
    fn a_wrong_length_takes_no_memory() {
        let bytes = u32::MAX.to_le_bytes();
        assert_eq!(Vec::<u64>::decode(&mut bytes.as_slice()), Err(DecodeError::TRUNCATED));
        assert_eq!(String::decode(&mut bytes.as_slice()), Err(DecodeError::TRUNCATED));
        assert_eq!(places_for::<[u64; 100]>(usize::MAX, &[0; 1000]), 5);
        assert_eq!(places_for::<()>(7, &[0; 2]), 7);
    }

    /// The hash is stored in savepoints by way of key groups: these values may never change.
    #[test]
    fn hashes_are_pinned() {
        assert_eq!(1u64.key_hash(), 1u32.key_hash());
        assert_eq!("word".to_owned().key_hash(), compact_str::CompactString::new("word").key_hash());
        let pinned = [42u64.key_hash(), "word".to_owned().key_hash(), (1u64, true).key_hash()];
        assert_eq!(pinned, [PIN_42, PIN_WORD, PIN_TUPLE]);
    }

    const PIN_42: u64 = 17_311_652_936_930_337_174;
    const PIN_WORD: u64 = 2_859_201_929_516_756_520;
    const PIN_TUPLE: u64 = 946_544_780_518_572_750;

    #[test]
    fn keys_spread_over_groups() {
        let mut counts = [0u32; 128];
        for key in 0..128_000u64 {
            counts[key_group(key.key_hash(), 128) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
        let owners: Vec<u32> = (0..128).map(|group| key_group_owner(group, 128, 3)).collect();
        assert!(owners.is_sorted() && owners[0] == 0 && owners[127] == 2);
    }

    #[test]
    fn short_texts_do_not_collide() {
        let mut seen = std::collections::BTreeSet::new();
        let texts = (0..50_000u32).map(|n| format!("{n:x}"));
        assert!(texts.into_iter().all(|text| seen.insert(text.key_hash())));
    }
}
