//! What records are made of: their size, their wire form and, for keys, their hash.

use std::borrow::Cow;

pub use crate::key_hasher::KeyHasher;

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

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Data for $type {
            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            #[inline]
            fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
                Ok(Self::from_le_bytes(take(input)?))
            }

            fn type_name() -> String {
                stringify!($type).to_owned()
            }
        }
    )*};
}

integers!(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128, f32, f64);

macro_rules! integer_keys {
    ($($type:ty),*) => {$(
        impl Key for $type {
            #[inline]
            #[allow(clippy::cast_sign_loss, clippy::cast_lossless)] // only the bits matter
            fn hash_key(&self, hasher: &mut KeyHasher) {
                hasher.write_u64(*self as u64);
            }
        }
    )*};
}

integer_keys!(u8, u16, u32, u64, i8, i16, i32, i64);

macro_rules! wide_keys {
    ($($type:ty),*) => {$(
        impl Key for $type {
            #[inline]
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // both halves are taken
            fn hash_key(&self, hasher: &mut KeyHasher) {
                hasher.write_u64(*self as u64);
                hasher.write_u64((*self >> 64) as u64);
            }
        }
    )*};
}

wide_keys!(u128, i128);

/// `usize` crosses the network as 64 bits.
impl Data for usize {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        (*self as u64).encode(out);
    }

    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        Self::try_from(u64::decode(input)?).map_err(|_| DecodeError("a length is over this machine's limit".into()))
    }

    fn type_name() -> String {
        "usize".to_owned()
    }
}

impl Key for usize {
    #[inline]
    fn hash_key(&self, hasher: &mut KeyHasher) {
        hasher.write_u64(*self as u64);
    }
}

impl Data for bool {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        match take::<1>(input)?[0] {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(DecodeError(format!("{other} is not a bool").into())),
        }
    }

    fn type_name() -> String {
        "bool".to_owned()
    }
}

impl Key for bool {
    #[inline]
    fn hash_key(&self, hasher: &mut KeyHasher) {
        hasher.write_u64(u64::from(*self));
    }
}

impl Data for char {
    fn encode(&self, out: &mut Vec<u8>) {
        u32::from(*self).encode(out);
    }

    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        let code = u32::decode(input)?;
        Self::from_u32(code).ok_or_else(|| DecodeError(format!("{code:#x} is not a character").into()))
    }

    fn type_name() -> String {
        "char".to_owned()
    }
}

impl Key for char {
    #[inline]
    fn hash_key(&self, hasher: &mut KeyHasher) {
        hasher.write_u64(u64::from(*self));
    }
}

impl Data for () {
    fn encode(&self, _: &mut Vec<u8>) {}

    fn decode(_: &mut &[u8]) -> Result<Self, DecodeError> {
        Ok(())
    }

    fn type_name() -> String {
        "()".to_owned()
    }
}

impl Key for () {
    fn hash_key(&self, _: &mut KeyHasher) {}
}

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

impl<T: Data> Data for Option<T> {
    fn heap_bytes(&self) -> usize {
        self.as_ref().map_or(0, T::heap_bytes)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.is_some().encode(out);
        if let Some(value) = self {
            value.encode(out);
        }
    }

    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        bool::decode(input)?.then(|| T::decode(input)).transpose()
    }

    fn type_name() -> String {
        format!("Option<{}>", T::type_name())
    }
}

impl<T: Key> Key for Option<T> {
    fn hash_key(&self, hasher: &mut KeyHasher) {
        self.is_some().hash_key(hasher);
        if let Some(value) = self {
            value.hash_key(hasher);
        }
    }
}

impl<T: Data, E: Data> Data for Result<T, E> {
    fn heap_bytes(&self) -> usize {
        self.as_ref().map_or_else(E::heap_bytes, T::heap_bytes)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.is_ok().encode(out);
        match self {
            Ok(value) => value.encode(out),
            Err(error) => error.encode(out),
        }
    }

    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        Ok(if bool::decode(input)? { Ok(T::decode(input)?) } else { Err(E::decode(input)?) })
    }

    fn type_name() -> String {
        format!("Result<{}, {}>", T::type_name(), E::type_name())
    }
}

impl<T: Data> Data for Box<T> {
    fn heap_bytes(&self) -> usize {
        size_of::<T>() + (**self).heap_bytes()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        (**self).encode(out);
    }

    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        T::decode(input).map(Self::new)
    }

    fn type_name() -> String {
        T::type_name()
    }
}

impl<T: Data> Data for Vec<T> {
    fn heap_bytes(&self) -> usize {
        self.capacity() * size_of::<T>() + self.iter().map(T::heap_bytes).sum::<usize>()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        u32::try_from(self.len()).unwrap_or(u32::MAX).encode(out);
        self.iter().for_each(|value| value.encode(out));
    }

    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        let len = u32::decode(input)? as usize;
        let mut values = Self::with_capacity(places_for::<T>(len, input));
        for _ in 0..len {
            if input.is_empty() && size_of::<T>() > 0 {
                return Err(DecodeError::TRUNCATED);
            }
            values.push(T::decode(input)?);
        }
        Ok(values)
    }

    fn type_name() -> String {
        format!("Vec<{}>", T::type_name())
    }
}

impl<T: Key> Key for Vec<T> {
    fn hash_key(&self, hasher: &mut KeyHasher) {
        hasher.write_u64(self.len() as u64);
        self.iter().for_each(|value| value.hash_key(hasher));
    }
}

impl<T: Data, const N: usize> Data for [T; N] {
    fn heap_bytes(&self) -> usize {
        self.iter().map(T::heap_bytes).sum()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.iter().for_each(|value| value.encode(out));
    }

    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        let values = (0..N).map(|_| T::decode(input)).collect::<Result<Vec<T>, _>>()?;
        values.try_into().map_err(|_| DecodeError::TRUNCATED)
    }

    fn type_name() -> String {
        format!("[{}; {N}]", T::type_name())
    }
}

impl<T: Key, const N: usize> Key for [T; N] {
    fn hash_key(&self, hasher: &mut KeyHasher) {
        self.iter().for_each(|value| value.hash_key(hasher));
    }
}

impl<K: Data + Ord, V: Data> Data for std::collections::BTreeMap<K, V> {
    fn heap_bytes(&self) -> usize {
        self.iter().map(|(k, v)| size_of::<(K, V)>() + k.heap_bytes() + v.heap_bytes()).sum()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        u32::try_from(self.len()).unwrap_or(u32::MAX).encode(out);
        for (key, value) in self {
            key.encode(out);
            value.encode(out);
        }
    }

    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        Vec::<(K, V)>::decode(input).map(Self::from_iter)
    }

    fn type_name() -> String {
        format!("BTreeMap<{}, {}>", K::type_name(), V::type_name())
    }
}

macro_rules! tuples {
    ($(($($name:ident $index:tt),+))*) => {$(
        impl<$($name: Data),+> Data for ($($name,)+) {
            #[inline]
            fn heap_bytes(&self) -> usize {
                0 $(+ self.$index.heap_bytes())+
            }

            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                $(self.$index.encode(out);)+
            }

            #[inline]
            fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
                Ok(($($name::decode(input)?,)+))
            }

            fn type_name() -> String {
                let fields = [$($name::type_name()),+];
                format!("({})", fields.join(", "))
            }
        }

        impl<$($name: Key),+> Key for ($($name,)+) {
            #[inline]
            fn hash_key(&self, hasher: &mut KeyHasher) {
                $(self.$index.hash_key(hasher);)+
            }
        }
    )*};
}

tuples! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
}

/// The key group of a key: state belongs to key groups, so that a job can change its parallelism.
#[inline]
#[must_use]
#[allow(clippy::cast_possible_truncation)] // the result is below `key_groups`
pub fn key_group(hash: u64, key_groups: u32) -> u32 {
    (((hash >> 32) * u64::from(key_groups)) >> 32) as u32
}

/// The subtask that owns a key group: contiguous ranges of key groups, as in Flink.
#[inline]
#[must_use]
#[allow(clippy::cast_possible_truncation)] // the result is below `parallelism`
pub fn key_group_owner(group: u32, key_groups: u32, parallelism: u32) -> u32 {
    (u64::from(group) * u64::from(parallelism) / u64::from(key_groups)) as u32
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
