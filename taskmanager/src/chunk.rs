//! Chunks: the batches of records that tasks hand to one another, and the events between them.

use std::mem::ManuallyDrop;

use crate::data::{Data, DecodeError, places_for, take};

/// A batch of records. On the way to a keyed operator each record travels with the hash of its key, inside a worker: between
/// workers eight more bytes a record cost more than hashing once again.
#[derive(Debug)]
pub struct Chunk<T> {
    /// The records.
    pub records: Vec<T>,
    /// The hash of each record's key, in the same order; empty where records have no key, or came from another worker.
    pub hashes: Vec<u64>,
}

impl<T> Default for Chunk<T> {
    fn default() -> Self {
        Self { records: Vec::new(), hashes: Vec::new() }
    }
}

impl<T> Chunk<T> {
    /// Removes the records and keeps the memory.
    pub fn clear(&mut self) {
        self.records.clear();
        self.hashes.clear();
    }
}

impl<T: Data> Chunk<T> {
    /// Size of the records in memory, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        std::mem::size_of_val(self.records.as_slice()) + self.records.iter().map(T::heap_bytes).sum::<usize>()
    }
}

/// What comes through a channel, in order.
#[derive(Debug)]
pub enum Element<T> {
    /// Records.
    Chunk(Chunk<T>),
    /// Nothing follows on this channel.
    EndOfPartition,
}

const DATA: u8 = 0;
const END_OF_PARTITION: u8 = 1;

impl<T: Data> Element<T> {
    /// Appends the wire form: what the records are, without hashes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::EndOfPartition => out.push(END_OF_PARTITION),
            Self::Chunk(chunk) => {
                out.push(DATA);
                u32::try_from(chunk.records.len()).unwrap_or(u32::MAX).encode(out);
                out.reserve(chunk.records.len() * size_of::<T>());
                chunk.records.iter().for_each(|record| record.encode(out));
            }
        }
    }

    /// Reads the wire form, into the memory of `recycled`.
    ///
    /// # Errors
    /// The bytes are not an element of such records.
    pub fn decode(mut input: &[u8], mut recycled: Chunk<T>) -> Result<Self, DecodeError> {
        recycled.clear();
        let element = match take::<1>(&mut input)?[0] {
            END_OF_PARTITION => Self::EndOfPartition,
            DATA => {
                let count = u32::decode(&mut input)? as usize;
                recycled.records.reserve(places_for::<T>(count, input));
                for _ in 0..count {
                    if input.is_empty() && size_of::<T>() > 0 {
                        return Err(DecodeError::TRUNCATED);
                    }
                    recycled.records.push(T::decode(&mut input)?);
                }
                Self::Chunk(recycled)
            }
            other => return Err(DecodeError(format!("unknown element kind {other}").into())),
        };
        if input.is_empty() { Ok(element) } else { Err(DecodeError("bytes follow the last record".into())) }
    }
}

/// Takes the records of a chunk out one by one, and can stop in the middle. It gives the memory back for the next chunk.
#[derive(Debug)]
pub struct ChunkCursor<T> {
    // Those before `position` have been moved out.
    records: Vec<ManuallyDrop<T>>,
    hashes: Vec<u64>,
    position: usize,
}

impl<T> Default for ChunkCursor<T> {
    fn default() -> Self {
        Self::new(Chunk::default())
    }
}

impl<T> ChunkCursor<T> {
    /// Begins at the first record.
    #[must_use]
    pub fn new(chunk: Chunk<T>) -> Self {
        let mut records = ManuallyDrop::new(chunk.records);
        let (pointer, length, capacity) = (records.as_mut_ptr(), records.len(), records.capacity());
        // SAFETY: ManuallyDrop<T> has the layout of T, and the vector that owned the memory is never dropped.
        let records = unsafe { Vec::from_raw_parts(pointer.cast::<ManuallyDrop<T>>(), length, capacity) };
        Self { records, hashes: chunk.hashes, position: 0 }
    }

    /// Number of records that are left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.records.len() - self.position
    }

    /// The records that are left and their hashes.
    #[must_use]
    pub fn rest(&self) -> (&[ManuallyDrop<T>], &[u64]) {
        (&self.records[self.position..], self.hashes.get(self.position..).unwrap_or_default())
    }

    /// The next record. (`Iterator` would suggest adaptors, which would need the cursor by value.)
    #[inline]
    pub fn next_record(&mut self) -> Option<T> {
        let slot = self.records.get_mut(self.position)?;
        self.position += 1;
        // SAFETY: the slot is behind the new position now, so it is taken once.
        Some(unsafe { ManuallyDrop::take(slot) })
    }

    /// Drops what is left and gives the memory back, empty.
    #[must_use]
    pub fn recycle(mut self) -> Chunk<T> {
        self.drop_rest();
        let mut records = ManuallyDrop::new(std::mem::take(&mut self.records));
        let (pointer, capacity) = (records.as_mut_ptr(), records.capacity());
        let mut hashes = std::mem::take(&mut self.hashes);
        hashes.clear();
        // SAFETY: the reverse of `new`: same layout, and no record is left in it.
        Chunk { records: unsafe { Vec::from_raw_parts(pointer.cast::<T>(), 0, capacity) }, hashes }
    }

    fn drop_rest(&mut self) {
        if std::mem::needs_drop::<T>() {
            while self.next_record().is_some() {}
        }
        self.records.clear();
        self.position = 0;
    }
}

impl<T> Drop for ChunkCursor<T> {
    fn drop(&mut self) {
        self.drop_rest();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_survive_the_wire() {
        let chunk = Chunk { records: vec![(1u64, "a".to_owned()), (2, String::new())], hashes: vec![7, 8] };
        let mut bytes = Vec::new();
        Element::Chunk(chunk).encode(&mut bytes);
        let Ok(Element::Chunk(read)) = Element::<(u64, String)>::decode(&bytes, Chunk::default()) else { panic!() };
        assert_eq!((read.records[0].1.as_str(), read.records[1].0, read.hashes), ("a", 2, vec![]));
        for cut in 0..bytes.len() {
            assert!(Element::<(u64, String)>::decode(&bytes[..cut], Chunk::default()).is_err());
        }
    }

    #[test]
    fn a_cursor_drops_each_record_once() {
        let counter = std::sync::Arc::new(());
        for taken in 0..4 {
            let records = vec![counter.clone(); 3];
            let mut cursor = ChunkCursor::new(Chunk { records, hashes: vec![] });
            (0..taken).for_each(|_| drop(cursor.next_record()));
            assert_eq!(std::sync::Arc::strong_count(&counter), 1 + 3usize.saturating_sub(taken));
            if taken % 2 == 0 {
                assert!(cursor.recycle().records.capacity() >= 3);
            }
        }
        assert_eq!(std::sync::Arc::strong_count(&counter), 1);
    }
}
