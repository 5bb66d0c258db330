//! The memory of a keyed table: segments of slots, cut from slabs.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::ptr::NonNull;

/// Tags that are looked at together, as one number.
pub(super) const GROUP: usize = 8;

const LINE: usize = 64;
const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// The tag of a slot without a value; those of values have their highest bit set.
const EMPTY: u8 = 0;

/// A handle on some slots in memory that a [`Slabs`] owns; it drops nothing.
///
/// The values lie in front of `tags`, the last one first, so that neither place depends on the number of slots. Behind the
/// tags of all slots come once more those of the first, so that a group never wraps, and then how many values there is room
/// for (4 bytes).
pub(super) struct Segment<V> {
    tags: NonNull<u8>,
    /// The number of slots is a power of two, and this is one less.
    mask: u32,
    /// How many of a hash's lowest bits are the same for all keys of the segment.
    pub(super) depth: u32,
    values: PhantomData<*const V>,
}

impl<V> Clone for Segment<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Segment<V> {}

/// Bits of a hash that choose a segment come first, then those that choose a slot, then those of the tag; the upper half
/// of a hash also chooses the key group, so all keys of a table may agree in its highest bits.
const SLOT_SHIFT: u32 = 24;
const TAG_SHIFT: u32 = 40;

#[inline(always)]
#[allow(clippy::cast_possible_truncation)] // seven bits of it are wanted
fn tag_of(hash: u64) -> u8 {
    (hash >> TAG_SHIFT) as u8 | 0x80
}

/// Where a key is, or where it would be put.
pub(super) enum Search {
    Found(usize),
    /// An empty slot.
    Missing(usize),
}

/// Slots of the segment without memory, with their tags and the room for no values.
const NO_SLOTS: usize = 8;
static NO_ROOM: [u64; (NO_SLOTS + GROUP) / 8 + 1] = [0; (NO_SLOTS + GROUP) / 8 + 1];

impl<V> Segment<V> {
    /// Bytes of a segment of so many slots.
    pub(super) const fn bytes(slots: usize) -> usize {
        Self::bytes_of_values(slots) + (slots + GROUP + size_of::<u32>()).next_multiple_of(LINE)
    }

    const fn bytes_of_values(slots: usize) -> usize {
        const { assert!(align_of::<V>() <= LINE, "values are aligned to a cache line at most") };
        (slots * size_of::<V>()).next_multiple_of(LINE)
    }

    /// A segment into which nothing can be put.
    pub(super) fn without_room() -> Self {
        // It is never written to: there is no room.
        Self { tags: NonNull::from(&NO_ROOM).cast(), mask: NO_SLOTS as u32 - 1, depth: 0, values: PhantomData }
    }

    /// An empty segment; `slots` is a power of two.
    ///
    /// # Safety
    /// `memory` has [`bytes`](Self::bytes) bytes, is aligned to a cache line, belongs to nobody else, and lives as long as any
    /// copy of the handle is used. All copies are of one table.
    pub(super) unsafe fn new(memory: NonNull<u8>, slots: usize, depth: u32) -> Self {
        debug_assert!(slots.is_power_of_two() && slots >= GROUP);
        let mask = u32::try_from(slots - 1).unwrap_or(u32::MAX);
        // SAFETY: there are so many bytes, and the tags begin behind those of the values; 0 is `EMPTY`.
        let tags = unsafe {
            let tags = memory.add(Self::bytes_of_values(slots));
            tags.write_bytes(0, slots + GROUP);
            tags
        };
        let segment = Self { tags, mask, depth, values: PhantomData };
        // SAFETY: the number lies behind the tags, aligned since there are at least `GROUP` slots.
        unsafe { *segment.room_mut() = Self::most_values(slots) };
        segment
    }

    /// Five values for eight slots: with more, looking for a key takes longer than is gained.
    #[allow(clippy::cast_possible_truncation)] // there are at most 2^32 slots
    fn most_values(slots: usize) -> u32 {
        (slots / 8 * 5) as u32
    }

    #[inline(always)]
    pub(super) fn slots(self) -> usize {
        self.mask as usize + 1
    }

    /// Where the memory of the segment begins.
    fn memory(self) -> NonNull<u8> {
        // SAFETY: the values lie in front of the tags.
        unsafe { self.tags.sub(Self::bytes_of_values(self.slots())) }
    }

    #[inline(always)]
    fn room_mut(self) -> *mut u32 {
        // SAFETY: it lies behind the tags.
        unsafe { self.tags.as_ptr().add(self.slots() + GROUP).cast() }
    }

    /// Whether one more value can be put into the segment.
    #[inline(always)]
    pub(super) fn has_room(self) -> bool {
        // SAFETY: the number lies there.
        unsafe { *self.room_mut() > 0 }
    }

    /// # Safety
    /// `slot` is below the number of slots and of a group together.
    #[inline(always)]
    unsafe fn tag(self, slot: usize) -> *mut u8 {
        debug_assert!(slot < self.slots() + GROUP);
        // SAFETY: there are so many tags.
        unsafe { self.tags.as_ptr().add(slot) }
    }

    /// The place of a value, which is there if the slot is not empty.
    #[inline(always)]
    pub(super) fn value(self, slot: usize) -> *mut V {
        debug_assert!(slot < self.slots());
        // A segment without memory has no values, but their places are asked for.
        self.tags.as_ptr().cast::<V>().wrapping_sub(slot + 1)
    }

    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // the mask keeps it below the number of slots
    fn home(self, hash: u64) -> usize {
        (hash >> SLOT_SHIFT) as usize & self.mask as usize
    }

    /// Brings what a look at a hash needs into the cache.
    #[inline(always)]
    pub(super) fn prefetch(self, hash: u64) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let home = self.home(hash);
            let behind = self.value(home).cast::<i8>().wrapping_add(size_of::<V>());
            // SAFETY: a prefetch of any address is harmless.
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(self.tags.as_ptr().wrapping_add(home).cast::<i8>());
                // The value and the next slot's, in which one of three is found: often in two cache lines.
                _mm_prefetch::<_MM_HINT_T0>(behind.wrapping_sub(1));
                _mm_prefetch::<_MM_HINT_T0>(behind.wrapping_sub(2 * size_of::<V>()));
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = hash;
    }

    /// Looks for the value of a hash that `is_it`. There is no branch for the first slot alone: it would often go wrong.
    #[inline(always)]
    pub(super) fn find(self, hash: u64, is_it: impl Fn(&V) -> bool) -> Search {
        let wanted = LOW_BITS * u64::from(tag_of(hash));
        let (mask, mut slot) = (self.mask as usize, self.home(hash));
        loop {
            // SAFETY: behind the last slot's tag there are as many more as a group has.
            let tags = u64::from_le(unsafe { self.tag(slot).cast::<u64>().read_unaligned() });
            let differences = tags ^ wanted;
            // The bytes that are zero (Mycroft's test); a carry may mark one more, which costs a comparison.
            let mut alike = differences.wrapping_sub(LOW_BITS) & !differences & HIGH_BITS;
            while alike != 0 {
                let at = (slot + alike.trailing_zeros() as usize / 8) & mask;
                // SAFETY: a slot whose tag is like one of a value has a value: its highest bit is set, and a carry can
                // only come to bytes that differ from the tag in their lowest bit.
                if is_it(unsafe { &*self.value(at) }) {
                    return Search::Found(at);
                }
                alike &= alike - 1;
            }
            let empty = !tags & HIGH_BITS;
            if empty != 0 {
                return Search::Missing((slot + empty.trailing_zeros() as usize / 8) & mask);
            }
            slot = (slot + GROUP) & mask;
        }
    }

    /// The empty slot in which a hash's value is found later.
    fn vacancy(self, hash: u64) -> usize {
        match self.find(hash, |_| false) {
            Search::Found(slot) | Search::Missing(slot) => slot,
        }
    }

    /// Puts a value into a slot.
    ///
    /// # Safety
    /// [`find`](Self::find) has said that this hash is missing and that this is its slot, nothing was put since, and there
    /// [is room](Self::has_room).
    #[inline(always)]
    pub(super) unsafe fn put(self, slot: usize, hash: u64, value: V) {
        // SAFETY: slot and tags are inside the segment, which only its table refers to.
        unsafe {
            debug_assert!(*self.tag(slot) == EMPTY && self.has_room());
            self.value(slot).write(value);
            *self.room_mut() -= 1;
            self.set_tag(slot, tag_of(hash));
        }
    }

    /// Puts a value where its hash says, without looking for one of its key.
    ///
    /// # Safety
    /// There [is room](Self::has_room).
    pub(super) unsafe fn insert(self, hash: u64, value: V) {
        // SAFETY: the slot is empty.
        unsafe { self.put(self.vacancy(hash), hash, value) }
    }

    /// # Safety
    /// There are more slots than `slot`.
    #[inline(always)]
    unsafe fn set_tag(self, slot: usize, tag: u8) {
        // SAFETY: both are tags of the segment.
        unsafe {
            *self.tag(slot) = tag;
            if slot < GROUP {
                *self.tag(self.slots() + slot) = tag;
            }
        }
    }

    /// The first slot from `from` on that has a value.
    pub(super) fn next_value(self, from: usize) -> Option<usize> {
        // SAFETY: the tags of slots are inside the segment.
        (from..self.slots()).find(|slot| unsafe { *self.tag(*slot) } != EMPTY)
    }

    /// Takes a value out. What was put behind it is not found any more.
    ///
    /// # Safety
    /// The slot has a value, as [`find`](Self::find) or [`next_value`](Self::next_value) has said, and nobody refers to it.
    pub(super) unsafe fn take(self, slot: usize) -> V {
        // SAFETY: the slot had a value and is marked empty, so it is read once.
        unsafe {
            self.set_tag(slot, EMPTY);
            *self.room_mut() += 1;
            self.value(slot).read()
        }
    }
}

/// Slabs that are as large are aligned to huge pages and ask for them: accesses at random places miss the TLB otherwise.
const HUGE_PAGE: usize = 2 << 20;

/// Most bytes that a table takes in advance.
const MAX_SLAB_BYTES: usize = 4 * HUGE_PAGE;

struct Slab {
    memory: NonNull<u8>,
    layout: Layout,
}

/// The memory of a table's segments. Those of the usual size are cut from larger pieces, and used again.
#[derive(Default)]
pub(super) struct Slabs {
    slabs: Vec<Slab>,
    bytes: usize,
    free: Vec<NonNull<u8>>,
    /// What is left of the newest slab: its first byte, and number of bytes.
    rest: Option<(NonNull<u8>, usize)>,
}

impl Slabs {
    /// Bytes of all slabs, but for what was never touched.
    pub(super) fn bytes(&self) -> usize {
        self.bytes - self.rest.map_or(0, |(_, left)| left)
    }

    /// Memory for a segment of a size of its own.
    pub(super) fn take_one(&mut self, bytes: usize) -> NonNull<u8> {
        self.new_slab(bytes)
    }

    /// Memory for a segment of the usual size. `bytes` is the same each time.
    pub(super) fn take_usual(&mut self, bytes: usize) -> NonNull<u8> {
        if let Some(memory) = self.free.pop() {
            return memory;
        }
        let (memory, left) = self.rest.take().filter(|(_, left)| *left >= bytes).unwrap_or_else(|| {
            // As much as there is already; huge pages as soon as they do not make a small table several times as large.
            let size = self.bytes.clamp(bytes, MAX_SLAB_BYTES.max(bytes));
            let size = if self.bytes < HUGE_PAGE / 4 { size } else { size.next_multiple_of(HUGE_PAGE) };
            (self.new_slab(size), size)
        });
        // SAFETY: so much is left.
        self.rest = Some((unsafe { memory.add(bytes) }, left - bytes));
        memory
    }

    /// Takes back the memory of a segment of the usual size, of which all values were taken.
    pub(super) fn give_back<V>(&mut self, segment: Segment<V>) {
        // SAFETY: the number lies there.
        debug_assert_eq!(unsafe { *segment.room_mut() }, Segment::<V>::most_values(segment.slots()));
        self.free.push(segment.memory());
    }

    fn new_slab(&mut self, bytes: usize) -> NonNull<u8> {
        let is_huge = bytes >= HUGE_PAGE;
        #[allow(clippy::expect_used)] // as of a vector: there is no such memory
        let layout = Layout::from_size_align(bytes, if is_huge { HUGE_PAGE } else { LINE }).expect("capacity overflow");
        // SAFETY: the size is not zero.
        let Some(memory) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
        if is_huge {
            advise_huge_pages(memory, bytes);
        }
        self.bytes += bytes;
        self.slabs.push(Slab { memory, layout });
        memory
    }
}

fn advise_huge_pages(slab: NonNull<u8>, bytes: usize) {
    // SAFETY: the range is the slab's own, and the advice does not change what it holds.
    let advised = unsafe { rustix::mm::madvise(slab.as_ptr().cast(), bytes, rustix::mm::Advice::LinuxHugepage) };
    if let Err(error) = advised {
        tracing::debug!("no huge pages for {bytes} bytes of a table: {error}");
    }
}

impl Drop for Slabs {
    fn drop(&mut self) {
        for slab in &self.slabs {
            // SAFETY: it was allocated with this layout, and the table that used it goes with it.
            unsafe { dealloc(slab.memory.as_ptr(), slab.layout) };
        }
    }
}
