//! A hash table for keyed state, made for being asked in batches: whoever knows the next hashes prefetches their places,
//! and the cache misses of a batch overlap. It grows step by step, so that no record waits for all of it to be moved.

mod segment;
#[cfg(test)]
mod tests;

use self::segment::{Search, Segment, Slabs};

/// Places for which a batch of records is prefetched before the first of them is touched.
pub const BATCH: usize = 64;

/// Values that hold their keys. Hashes of the keys are computed outside.
///
/// An extendible hash table (Fagin, Nievergelt, Pippenger, Strong: "Extendible Hashing", ACM TODS 4(3), 1979): a directory
/// maps the lowest bits of a hash to a segment, and a segment that is full is split in two. Within a segment, open
/// addressing compares a tag of one byte a slot, eight slots at a time, before it looks at a value. Neither key nor hash is
/// kept beside the value: the fewer bytes a slot has, the more of the table is in the cache.
pub struct KeyedTable<V> {
    /// Its length is a power of two. Entries whose indices agree in the lowest `depth` bits are of one segment.
    directory: Vec<Segment<V>>,
    slabs: Slabs,
    /// Number of different segments.
    segments: usize,
    len: usize,
    /// Where a drain goes on: entry of the directory, slot of its segment.
    drained: (usize, usize),
}

// SAFETY: the table owns what its segments point to, as a vector does.
unsafe impl<V: Send> Send for KeyedTable<V> {}

impl<V> Default for KeyedTable<V> {
    fn default() -> Self {
        let directory = vec![Segment::without_room()];
        Self { directory, slabs: Slabs::default(), segments: 1, len: 0, drained: (0, 0) }
    }
}

/// What [`KeyedTable::entry`] has found.
pub enum Entry<'a, V> {
    /// The value of the key.
    Occupied(&'a mut V),
    /// The place for it.
    Vacant(VacantEntry<'a, V>),
}

/// The place for the value of a key that is new.
pub struct VacantEntry<'a, V> {
    table: &'a mut KeyedTable<V>,
    segment: Segment<V>,
    slot: usize,
    hash: u64,
}

impl<'a, V> VacantEntry<'a, V> {
    /// Puts the first value of the key there.
    #[inline(always)]
    pub fn insert(self, value: V) -> &'a mut V {
        self.table.len += 1;
        // SAFETY: `entry` has found the slot and that there is room, and the table has been borrowed since.
        unsafe {
            self.segment.put(self.slot, self.hash, value);
            &mut *self.segment.value(self.slot)
        }
    }
}

impl<V> KeyedTable<V> {
    const MIN_SEGMENT_SLOTS: usize = 64;

    /// Slots from which a segment is split instead of doubled: a few microseconds of work.
    const MAX_SEGMENT_SLOTS: usize = {
        let mut slots = 2048;
        while slots > Self::MIN_SEGMENT_SLOTS && Segment::<V>::bytes(slots) > 1 << 17 {
            slots /= 2;
        }
        slots
    };

    /// Entries of the directory for each segment, at most. It needs two where hashes are even; where they are not, as when
    /// many keys have one hash, segments are doubled instead of split.
    const ENTRIES_A_SEGMENT: usize = 16;

    /// Bytes of the table for each of its keys, about: slots are half full in the mean.
    pub const BYTES_A_KEY: usize = 2 * (size_of::<V>() + 1);

    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of the table itself, without what keys and values own on the heap.
    #[must_use]
    pub fn table_bytes(&self) -> usize {
        self.slabs.bytes() + self.directory.capacity() * size_of::<Segment<V>>()
    }

    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // the mask keeps it below the directory's length
    fn segment(&self, hash: u64) -> Segment<V> {
        let entry = hash as usize & self.directory.len().wrapping_sub(1);
        // SAFETY: the directory has a length that is a power of two, and so at least one entry.
        *unsafe { self.directory.get_unchecked(entry) }
    }

    /// Brings the place of a hash into the cache.
    #[inline(always)]
    pub fn prefetch(&self, hash: u64) {
        self.segment(hash).prefetch(hash);
    }

    /// The value of a key: the one with this hash that `is_it`. `hash_of` finds the hash of a value that is moved.
    #[inline(always)]
    pub fn entry(&mut self, hash: u64, is_it: impl Fn(&V) -> bool, hash_of: impl Fn(&V) -> u64) -> Entry<'_, V> {
        loop {
            let segment = self.segment(hash);
            match segment.find(hash, &is_it) {
                // SAFETY: there is a value, and the table is borrowed for as long.
                Search::Found(slot) => return Entry::Occupied(unsafe { &mut *segment.value(slot) }),
                Search::Missing(slot) if segment.has_room() => {
                    return Entry::Vacant(VacantEntry { table: self, segment, slot, hash });
                }
                Search::Missing(_) => self.make_room(hash, &hash_of),
            }
        }
    }

    /// Splits or doubles the segment of a hash.
    #[cold]
    #[inline(never)]
    fn make_room(&mut self, hash: u64, hash_of: &impl Fn(&V) -> u64) {
        let full = self.segment(hash);
        if full.slots() < Self::MAX_SEGMENT_SLOTS || !self.can_split(full) {
            let larger = self.new_segment((full.slots() * 2).max(Self::MIN_SEGMENT_SLOTS), full.depth);
            self.replace(full, hash, [larger; 2], hash_of);
        } else {
            let halves = [(); 2].map(|()| self.new_segment(full.slots(), full.depth + 1));
            self.segments += 1;
            self.replace(full, hash, halves, hash_of);
        }
    }

    /// Makes the directory larger where this is needed for splitting a segment, and not too large.
    fn can_split(&mut self, full: Segment<V>) -> bool {
        if 1 << full.depth < self.directory.len() {
            return true;
        }
        let may_grow = self.directory.len() < self.segments * Self::ENTRIES_A_SEGMENT;
        if may_grow {
            self.directory.extend_from_within(..);
        }
        may_grow
    }

    fn new_segment(&mut self, slots: usize, depth: u32) -> Segment<V> {
        let bytes = Segment::<V>::bytes(slots);
        let memory =
            if slots == Self::MAX_SEGMENT_SLOTS { self.slabs.take_usual(bytes) } else { self.slabs.take_one(bytes) };
        // SAFETY: the slabs give each piece to one segment, and live as long as the table.
        unsafe { Segment::new(memory, slots, depth) }
    }

    /// Puts the values of a segment into two others, by the first bit of their hashes in which they may differ.
    #[allow(clippy::cast_possible_truncation)] // an index of the directory
    fn replace(&mut self, old: Segment<V>, hash: u64, new: [Segment<V>; 2], hash_of: &impl Fn(&V) -> u64) {
        let half = |bits: usize| new[bits >> old.depth & 1];
        let mut next = 0;
        while let Some(slot) = old.next_value(next) {
            // SAFETY: there is a value, and it is taken once; each of the new segments has room for all of the old one.
            unsafe {
                let hash = hash_of(&*old.value(slot));
                half(hash as usize).insert(hash, old.take(slot));
            }
            next = slot + 1;
        }
        let step = 1 << old.depth;
        let first = hash as usize & (step - 1);
        for entry in (first..self.directory.len()).step_by(step) {
            self.directory[entry] = half(entry);
        }
        if old.slots() == Self::MAX_SEGMENT_SLOTS {
            self.slabs.give_back(old);
        }
    }

    /// Takes values out until the table is empty or `take` returns false; then the next call goes on. Nothing is written to
    /// the table until it is empty: what is left is not found any more. The memory is kept.
    pub fn drain(&mut self, mut take: impl FnMut(V) -> bool) {
        while let Some(segment) = self.directory.get(self.drained.0).copied() {
            let (entry, from) = self.drained;
            let value = if entry < 1 << segment.depth { segment.next_value(from) } else { None };
            let Some(slot) = value else {
                self.drained = (entry + 1, 0);
                continue;
            };
            self.drained.1 = slot + 1;
            self.len -= 1;
            // SAFETY: there is a value, which no call comes to again.
            if !take(unsafe { segment.take(slot) }) {
                break;
            }
        }
        if self.len == 0 {
            self.drained = (0, 0);
        }
    }
}

impl<V> Drop for KeyedTable<V> {
    fn drop(&mut self) {
        if std::mem::needs_drop::<V>() {
            self.drain(|_| true);
        }
    }
}
