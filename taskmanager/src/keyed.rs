//! Keyed operators: the routing of records by key, the pre-aggregation in front of a shuffle, and the aggregation behind it.

use std::marker::PhantomData;
use std::sync::Arc;

use flink_graph::RuntimeMode;

use crate::chunk::ChunkCursor;
use crate::data::{Data, Key};
use crate::operator::{BoxError, ChunkConsumer, OperatorContext, OperatorError, Output, Stage, TaskFlags};
use crate::output::{KeyRouting, ResultWriter};
use crate::table::{BATCH, Entry, KeyedTable};

/// Finds the key of a record.
pub trait KeySelector<T>: Clone + Send + 'static {
    /// The key.
    type Key: Key;

    /// The key, made or cloned.
    fn key(&self, record: &T) -> Self::Key;

    /// The hash of the key; without making the key where it is a part of the record.
    fn key_hash(&self, record: &T) -> u64;

    /// Whether two records have one key.
    fn same_key(&self, left: &T, right: &T) -> bool;
}

/// Merges a record into what is kept of the earlier ones of its key. It must be associative, since parts are merged before a
/// shuffle in BATCH mode, and must leave the key as it is, by which the kept record is found again.
pub trait ReduceFunction<T>: Clone + Send + 'static {
    /// Merges `record` into `kept`.
    ///
    /// # Errors
    /// The task fails with it.
    fn reduce(&mut self, kept: &mut T, record: T) -> Result<(), BoxError>;
}

fn operator_error(context: &OperatorContext, error: &mut Option<BoxError>) -> Option<OperatorError> {
    error.take().map(|source| OperatorError { operator: context.operator.clone(), source })
}

/// The end of a chain in front of a keyed operator: each record goes to the owner of its key.
pub struct KeyRouter<T, S> {
    selector: S,
    routing: KeyRouting,
    writer: ResultWriter<T>,
    context: OperatorContext,
}

impl<T, S> KeyRouter<T, S> {
    /// Routes to the subpartitions of `writer`.
    pub fn new(selector: S, routing: KeyRouting, writer: ResultWriter<T>, context: OperatorContext) -> Self {
        Self { selector, routing, writer, context }
    }
}

impl<T: Data, S: KeySelector<T>> Output<T> for KeyRouter<T, S> {
    #[inline(always)]
    fn collect(&mut self, record: T) {
        let hash = self.selector.key_hash(&record);
        self.writer.write_keyed(self.routing.subpartition(hash), record, hash);
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.context.flags.interrupted()
    }
}

impl<T: Data, S: KeySelector<T>> Stage<T> for KeyRouter<T, S> {
    fn open(&mut self) -> Result<(), OperatorError> {
        Ok(())
    }

    fn end(&mut self) -> bool {
        self.writer.end();
        true
    }

    fn flush(&mut self) {
        self.writer.flush();
    }

    fn has_room(&mut self) -> bool {
        self.writer.has_room()
    }

    fn take_error(&mut self) -> Option<OperatorError> {
        operator_error(&self.context, &mut self.writer.take_error())
    }
}

/// Records after which a pre-aggregation first asks itself whether it reduces anything.
const PROBE_RECORDS: u64 = 100_000;

/// What a pre-aggregation does with records.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Combining {
    /// Merges them.
    Merges,
    /// Lets them wait while the table is emptied; then it goes on, or is over.
    Empties { then_over: bool },
    /// Hands them on as they are: merging them was of no use.
    Over,
}

/// A [`KeyRouter`] that merges records of a key before they go through the shuffle. For BATCH mode, where only the last
/// result of a key counts. When its memory is used up, its contents go through the shuffle as there is room, and it begins
/// anew. It turns itself off where keys hardly repeat.
pub struct CombiningRouter<T, S: KeySelector<T>, F> {
    router: KeyRouter<T, S>,
    function: F,
    table: KeyedTable<T>,
    /// Most bytes of the table and of what its records own.
    memory: usize,
    /// Bytes that the records of the table own.
    owned: usize,
    /// Records and the hashes of their keys that wait until their places in the table have been prefetched, or until the
    /// table is empty again.
    waiting: Vec<(u64, T)>,
    records: u64,
    emitted: u64,
    state: Combining,
    error: Option<BoxError>,
}

impl<T: Data, S: KeySelector<T>, F: ReduceFunction<T>> CombiningRouter<T, S, F> {
    /// Merges with `function` in front of `router`, in so many bytes.
    pub fn new(router: KeyRouter<T, S>, function: F, memory: usize) -> Self {
        let (table, waiting, state) = (KeyedTable::default(), Vec::with_capacity(BATCH), Combining::Merges);
        Self { router, function, table, memory, owned: 0, waiting, records: 0, emitted: 0, state, error: None }
    }

    #[inline(never)]
    fn combine_waiting(&mut self) {
        if !self.empty_table() {
            return;
        }
        if self.state == Combining::Over {
            return self.waiting.drain(..).for_each(|(_, record)| self.router.collect(record));
        }
        self.records += self.waiting.len() as u64;
        self.merge_waiting();
        if self.error.is_some() {
            self.router.context.flags.set_failed();
        }
        let bytes = self.table.len() * KeyedTable::<T>::BYTES_A_KEY + self.owned;
        if bytes > self.memory || self.emitted == 0 && self.records >= PROBE_RECORDS && !self.reduces() {
            self.begin_to_empty();
        }
    }

    fn merge_waiting(&mut self) {
        let Self { router, function, table, owned, waiting, error, .. } = self;
        let (selector, mut bytes) = (&router.selector, *owned);
        for (hash, record) in waiting.drain(..) {
            match table.entry(hash, |kept| selector.same_key(kept, &record), |kept| selector.key_hash(kept)) {
                Entry::Occupied(kept) => {
                    let before = kept.heap_bytes();
                    if let Err(problem) = function.reduce(kept, record) {
                        error.get_or_insert(problem);
                    }
                    bytes = (bytes + kept.heap_bytes()).saturating_sub(before);
                }
                Entry::Vacant(place) => bytes += place.insert(record).heap_bytes(),
            }
        }
        *owned = bytes;
    }

    /// Whether the shuffle sees at most four records for five that came.
    fn reduces(&self) -> bool {
        (self.emitted + self.table.len() as u64) * 5 <= self.records * 4
    }

    fn begin_to_empty(&mut self) {
        let then_over = !self.reduces();
        self.emitted += self.table.len() as u64;
        self.state = Combining::Empties { then_over };
        self.empty_table();
    }

    /// Goes on with emptying the table, as far as there is room; true when it need not be, or is empty.
    fn empty_table(&mut self) -> bool {
        let Combining::Empties { then_over } = self.state else { return true };
        let Self { router, table, .. } = self;
        if !router.is_full() {
            table.drain(|record| {
                router.collect(record);
                !router.is_full()
            });
        }
        if !table.is_empty() {
            return false;
        }
        self.owned = 0;
        self.state = if then_over { Combining::Over } else { Combining::Merges };
        if then_over {
            self.table = KeyedTable::default();
        }
        true
    }
}

impl<T: Data, S: KeySelector<T>, F: ReduceFunction<T>> Output<T> for CombiningRouter<T, S, F> {
    #[inline(always)]
    fn collect(&mut self, record: T) {
        if self.state == Combining::Over {
            return self.router.collect(record);
        }
        let hash = self.router.selector.key_hash(&record);
        self.table.prefetch(hash);
        self.waiting.push((hash, record));
        if self.waiting.len() >= BATCH {
            self.combine_waiting();
        }
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.router.is_full()
    }
}

impl<T: Data, S: KeySelector<T>, F: ReduceFunction<T>> Stage<T> for CombiningRouter<T, S, F> {
    fn open(&mut self) -> Result<(), OperatorError> {
        self.router.open()
    }

    fn end(&mut self) -> bool {
        if !self.waiting.is_empty() {
            self.combine_waiting();
        }
        if self.state == Combining::Merges && !self.table.is_empty() {
            self.begin_to_empty();
        }
        let all = self.empty_table() && self.waiting.is_empty() && self.table.is_empty();
        self.router.context.flags.failed() || all && self.router.end()
    }

    // An idle BATCH source is one that waits for its disk: what is merged stays until the end.
    fn flush(&mut self) {}

    fn has_room(&mut self) -> bool {
        let room = self.router.has_room();
        if room && matches!(self.state, Combining::Empties { .. }) {
            let flags = self.router.context.flags.clone();
            flags.clear_output_full();
            // The last record that went may have filled an output again.
            return self.empty_table() && !flags.interrupted();
        }
        room
    }

    fn take_error(&mut self) -> Option<OperatorError> {
        operator_error(&self.router.context, &mut self.error).or_else(|| self.router.take_error())
    }
}

/// Records whose hashes a keyed aggregate looks at together.
const TOGETHER: usize = 256;

/// By how many records the prefetching of places in the table runs ahead: about as many cache misses as a processor core
/// has under way at one time.
const AHEAD: usize = 16;

/// The head of a chain behind a keyed shuffle: merges the records of each key.
///
/// In STREAMING mode it emits what it keeps after every record, in BATCH mode once for each key, when the input ends.
pub struct KeyedReduce<T, S: KeySelector<T>, F, Next> {
    selector: S,
    function: F,
    table: KeyedTable<T>,
    mode: RuntimeMode,
    next: Next,
    context: OperatorContext,
    error: Option<BoxError>,
    records: PhantomData<T>,
}

impl<T, S, F, Next> KeyedReduce<T, S, F, Next>
where
    T: Data + Clone,
    S: KeySelector<T>,
    F: ReduceFunction<T>,
    Next: Stage<T>,
{
    /// Merges with `function` and emits to `next`.
    pub fn new(selector: S, function: F, mode: RuntimeMode, context: OperatorContext, next: Next) -> Self {
        let table = KeyedTable::default();
        Self { selector, function, table, mode, next, context, error: None, records: PhantomData }
    }

    fn flags(&self) -> &Arc<TaskFlags> {
        &self.context.flags
    }

    /// The hashes of the next records' keys, which have come along where the producer is in this worker.
    #[inline(always)]
    fn find_hashes(&self, records: &ChunkCursor<T>, hashes: &mut [u64]) {
        match records.rest() {
            (records, []) => {
                let keys = records.iter().map(|record| self.selector.key_hash(record));
                hashes.iter_mut().zip(keys).for_each(|(hash, key)| *hash = key);
            }
            (_, known) => hashes.copy_from_slice(&known[..hashes.len()]),
        }
    }

    #[inline(always)]
    fn merge(&mut self, hash: u64, record: T) {
        let Self { selector, function, table, error, .. } = self;
        let kept = match table.entry(hash, |kept| selector.same_key(kept, &record), |kept| selector.key_hash(kept)) {
            Entry::Occupied(kept) => {
                if let Err(problem) = function.reduce(kept, record) {
                    error.get_or_insert(problem);
                }
                kept
            }
            Entry::Vacant(place) => place.insert(record),
        };
        if self.mode == RuntimeMode::Streaming {
            self.next.collect(kept.clone());
        }
    }
}

impl<T, S, F, Next> ChunkConsumer<T> for KeyedReduce<T, S, F, Next>
where
    T: Data + Clone,
    S: KeySelector<T>,
    F: ReduceFunction<T>,
    Next: Stage<T>,
{
    fn open(&mut self) -> Result<(), OperatorError> {
        self.next.open()
    }

    fn consume(&mut self, records: &mut ChunkCursor<T>) {
        let mut hashes = [0; TOGETHER];
        while !self.flags().interrupted() && records.remaining() > 0 {
            let taken = records.remaining().min(TOGETHER);
            let hashes = &mut hashes[..taken];
            self.find_hashes(records, hashes);
            hashes.iter().take(AHEAD).for_each(|hash| self.table.prefetch(*hash));
            for at in 0..taken {
                if let Some(hash) = hashes.get(at + AHEAD) {
                    self.table.prefetch(*hash);
                }
                if let Some(record) = records.next_record() {
                    self.merge(hashes[at], record);
                }
                // In BATCH mode nothing has been emitted that could have filled an output.
                if self.mode == RuntimeMode::Streaming && self.flags().interrupted() {
                    break;
                }
            }
            if self.error.is_some() {
                self.flags().set_failed();
            }
        }
    }

    fn end(&mut self) -> bool {
        if self.mode == RuntimeMode::Batch {
            let Self { table, next, context, .. } = self;
            table.drain(|record| {
                next.collect(record);
                !context.flags.interrupted()
            });
        }
        if self.mode == RuntimeMode::Batch && !self.table.is_empty() {
            return false;
        }
        self.flags().failed() || self.next.end()
    }

    fn flush(&mut self) {
        self.next.flush();
    }

    fn has_room(&mut self) -> bool {
        self.next.has_room()
    }

    fn take_error(&mut self) -> Option<OperatorError> {
        operator_error(&self.context, &mut self.error).or_else(|| self.next.take_error())
    }
}
