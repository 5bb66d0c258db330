//! A hash table for keyed state, made for being asked in batches: whoever knows the next hashes prefetches their places,
//! and the cache misses of a batch overlap.

use std::mem::MaybeUninit;

/// Places for which a batch of records is prefetched before the first of them is touched.
pub const BATCH: usize = 64;

struct Slot<V> {
    /// 0 marks an empty slot; the hash of a key never is 0.
    hash: u64,
    value: MaybeUninit<V>,
}

/// Values that hold their keys, under open addressing with linear probing. Hashes are computed outside, once for each
/// record. The fewer bytes a slot has, the fewer cache lines an access costs: so the key is not kept beside the value.
pub struct KeyedTable<V> {
    slots: Box<[Slot<V>]>,
    len: usize,
}

impl<V> Default for KeyedTable<V> {
    fn default() -> Self {
        Self { slots: Box::default(), len: 0 }
    }
}

impl<V> KeyedTable<V> {
    const SMALLEST: usize = 64;

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
        std::mem::size_of_val(&*self.slots)
    }

    /// Brings the place of a hash into the cache: both cache lines where the slot lies across two.
    #[inline(always)]
    pub fn prefetch(&self, hash: u64) {
        #[cfg(target_arch = "x86_64")]
        if let Some(slot) = self.slots.get(self.place(hash)) {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let first: *const i8 = std::ptr::from_ref(slot).cast();
            // SAFETY: a prefetch of any address is harmless, and these are inside the table.
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(first);
                _mm_prefetch::<_MM_HINT_T0>(first.add(size_of::<Slot<V>>() - 1));
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = hash;
    }

    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // the mask keeps it below the table's length
    fn place(&self, hash: u64) -> usize {
        hash as usize & self.slots.len().wrapping_sub(1)
    }

    /// The value of a key: `update` changes the one that is there and `insert` makes the first. Returns the value.
    ///
    /// `matches` compares the key of a stored value with that of what is carried; the hash is the same already.
    #[inline(always)]
    pub fn upsert<C>(
        &mut self,
        hash: u64,
        carried: C,
        matches: impl Fn(&V, &C) -> bool,
        insert: impl FnOnce(C) -> V,
        update: impl FnOnce(&mut V, C),
    ) -> &mut V {
        debug_assert_ne!(hash, 0);
        if self.len * 8 >= self.slots.len() * 5 {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let mut place = self.place(hash);
        loop {
            let slot = &self.slots[place];
            if slot.hash == 0 {
                break;
            }
            // SAFETY: a slot with a hash holds a value.
            if slot.hash == hash && matches(unsafe { slot.value.assume_init_ref() }, &carried) {
                // SAFETY: as above.
                let value = unsafe { self.slots[place].value.assume_init_mut() };
                update(value, carried);
                return value;
            }
            place = (place + 1) & mask;
        }
        self.len += 1;
        let slot = &mut self.slots[place];
        slot.hash = hash;
        slot.value.write(insert(carried))
    }

    #[cold]
    fn grow(&mut self) {
        let larger = (self.slots.len() * 2).max(Self::SMALLEST);
        let old = std::mem::replace(&mut self.slots, empty_slots(larger));
        for slot in old {
            if slot.hash != 0 {
                let mut place = self.place(slot.hash);
                while self.slots[place].hash != 0 {
                    place = (place + 1) & (larger - 1);
                }
                self.slots[place] = slot;
            }
        }
    }

    /// Takes values out, from the end of the table, until it is empty or `take` returns false. The table must not be
    /// written to between calls until it is empty: the places behind those taken are not in order any more.
    pub fn drain(&mut self, mut take: impl FnMut(u64, V) -> bool) {
        let mut slots = std::mem::take(&mut self.slots).into_vec();
        while self.len > 0 {
            let Some(slot) = slots.pop() else { break };
            if slot.hash == 0 {
                continue;
            }
            self.len -= 1;
            // SAFETY: a slot with a hash holds a value, and the slot has left the table.
            let value = unsafe { slot.value.assume_init() };
            if !take(slot.hash, value) {
                break;
            }
        }
        if self.len > 0 {
            self.slots = slots.into_boxed_slice();
        }
    }

    /// Takes values out, from the place `from` on, until the table is empty or `take` returns false, and keeps the memory.
    /// `from` begins as 0 and is moved on; as with [`drain`](Self::drain), nothing is written until the table is empty.
    pub fn drain_and_keep(&mut self, from: &mut usize, mut take: impl FnMut(u64, V) -> bool) {
        while let Some(slot) = self.slots.get_mut(*from) {
            *from += 1;
            if slot.hash == 0 {
                continue;
            }
            let hash = std::mem::take(&mut slot.hash);
            self.len -= 1;
            // SAFETY: the slot had a hash, so it holds a value; it is marked empty before the value is used.
            if !take(hash, unsafe { slot.value.assume_init_read() }) {
                return;
            }
        }
    }
}

/// Bytes from which a table asks for huge pages: accesses at random places miss the TLB otherwise, each time.
const HUGE_FROM: usize = 4 << 20;

/// Fresh zeroed pages of the operating system, touched only where keys come to lie.
fn empty_slots<V>(count: usize) -> Box<[Slot<V>]> {
    let slots = Box::<[Slot<V>]>::new_zeroed_slice(count);
    // SAFETY: a zero hash with an uninitialised value is an empty slot.
    let slots = unsafe { slots.assume_init() };
    advise_huge_pages(&slots);
    slots
}

fn advise_huge_pages<V>(slots: &[Slot<V>]) {
    const PAGE: usize = 4096;
    let bytes = std::mem::size_of_val(slots);
    if bytes < HUGE_FROM {
        return;
    }
    let address = slots.as_ptr().addr();
    let (start, end) = (address.next_multiple_of(PAGE), (address + bytes) / PAGE * PAGE);
    let pages = slots.as_ptr().cast_mut().wrapping_byte_add(start - address).cast();
    // SAFETY: the range lies within the table's own memory, and the advice does not change what it holds.
    let advised = unsafe { rustix::mm::madvise(pages, end - start, rustix::mm::Advice::LinuxHugepage) };
    if let Err(error) = advised {
        tracing::debug!("no huge pages for a table of {bytes} bytes: {error}");
    }
}

impl<V> Drop for KeyedTable<V> {
    fn drop(&mut self) {
        if std::mem::needs_drop::<V>() {
            for slot in self.slots.iter_mut().filter(|slot| slot.hash != 0) {
                // SAFETY: a slot with a hash holds a value; the table is not used again.
                unsafe { slot.value.assume_init_drop() };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Key;
    use std::collections::BTreeMap;

    fn add(table: &mut KeyedTable<(String, u64)>, key: &str) {
        table.upsert(key.to_owned().key_hash(), key, |v, c| v.0 == *c, |c| (c.to_owned(), 1), |v, _| v.1 += 1);
    }

    fn filled(keys: u64) -> (KeyedTable<(String, u64)>, BTreeMap<String, u64>) {
        let (mut table, mut expected) = (KeyedTable::default(), BTreeMap::new());
        for n in 0..keys * 3 {
            let key = format!("key {}", n * 7919 % keys);
            add(&mut table, &key);
            *expected.entry(key).or_default() += 1;
        }
        (table, expected)
    }

    #[test]
    fn it_counts_as_a_map_does() {
        let (mut table, expected) = filled(1000);
        assert_eq!(table.len(), 1000);
        let mut counts = BTreeMap::new();
        table.drain(|_, (key, count)| counts.insert(key, count).is_none());
        assert_eq!(counts, expected);
        assert!(table.is_empty());
    }

    #[test]
    fn draining_can_stop_and_go_on() {
        let (mut table, expected) = filled(500);
        let mut counts = BTreeMap::new();
        while !table.is_empty() {
            let mut budget = 7;
            table.drain(|_, (key, count)| {
                counts.insert(key, count);
                budget -= 1;
                budget > 0
            });
        }
        assert_eq!(counts, expected);
        add(&mut table, "again");
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn a_kept_table_can_be_filled_again() {
        let (mut table, expected) = filled(100);
        let bytes = table.table_bytes();
        let (mut seen, mut from) = (0, 0);
        while !table.is_empty() {
            table.drain_and_keep(&mut from, |_, (key, count)| {
                assert_eq!(expected[&key], count);
                seen += 1;
                seen % 7 > 0
            });
        }
        assert_eq!((seen, table.len(), table.table_bytes()), (100, 0, bytes));
        add(&mut table, "again");
        drop(table);
    }
}
