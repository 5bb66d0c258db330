//! Keyed operators: the routing of records by key, the pre-aggregation in front of a shuffle, and the aggregation behind it.

use std::marker::PhantomData;
use std::sync::Arc;

use flink_graph::RuntimeMode;

use crate::chunk::ChunkCursor;
use crate::data::{Data, Key};
use crate::operator::{BoxError, ChunkConsumer, OperatorContext, OperatorError, Output, Stage, TaskFlags};
use crate::output::{KeyRouting, ResultWriter};
use crate::table::{BATCH, KeyedTable};

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

/// Bytes of the table of a pre-aggregation. When it is full its contents go through the shuffle and it begins anew.
const COMBINER_BYTES: usize = 24 << 20;

/// Records after which a pre-aggregation first asks itself whether it reduces anything.
const PROBE_RECORDS: u64 = 100_000;

/// Records and hashes that wait until their places in the table have been prefetched.
struct Waiting<T> {
    records: Vec<T>,
    hashes: Vec<u64>,
}

/// A [`KeyRouter`] that merges records of a key before they go through the shuffle. For BATCH mode, where only the last
/// result of a key counts. It turns itself off where keys hardly repeat.
pub struct CombiningRouter<T, S: KeySelector<T>, F> {
    router: KeyRouter<T, S>,
    function: F,
    table: KeyedTable<T>,
    waiting: Waiting<T>,
    records: u64,
    emitted: u64,
    off: bool,
    error: Option<BoxError>,
}

impl<T: Data, S: KeySelector<T>, F: ReduceFunction<T>> CombiningRouter<T, S, F> {
    /// Merges with `function` in front of `router`.
    pub fn new(router: KeyRouter<T, S>, function: F) -> Self {
        let waiting = Waiting { records: Vec::with_capacity(BATCH), hashes: Vec::with_capacity(BATCH) };
        let table = KeyedTable::default();
        Self { router, function, table, waiting, records: 0, emitted: 0, off: false, error: None }
    }

    #[inline(never)]
    fn combine_waiting(&mut self) {
        self.records += self.waiting.records.len() as u64;
        let Self { router, function, table, waiting, error, .. } = self;
        let selector = &router.selector;
        for (record, hash) in waiting.records.drain(..).zip(waiting.hashes.drain(..)) {
            table.upsert(
                hash,
                record,
                |kept, record| selector.same_key(kept, record),
                |record| record,
                |kept, record| {
                    if let Err(problem) = function.reduce(kept, record) {
                        error.get_or_insert(problem);
                    }
                },
            );
        }
        if self.error.is_some() {
            self.router.context.flags.set_failed();
        }
        let full = self.table.len() * size_of::<(u64, T)>() > COMBINER_BYTES / 2;
        if full || self.emitted == 0 && self.records >= PROBE_RECORDS && !self.reduces() {
            self.emit_table();
        }
    }

    /// Whether the shuffle sees at most four records for five that came.
    fn reduces(&self) -> bool {
        (self.emitted + self.table.len() as u64) * 5 <= self.records * 4
    }

    fn emit_table(&mut self) {
        self.off = !self.reduces();
        self.emitted += self.table.len() as u64;
        let KeyRouter { routing, writer, .. } = &mut self.router;
        self.table.drain_and_keep(|hash, record| writer.write_keyed(routing.subpartition(hash), record, hash));
        if self.off {
            self.table = KeyedTable::default();
        }
    }
}

impl<T: Data, S: KeySelector<T>, F: ReduceFunction<T>> Output<T> for CombiningRouter<T, S, F> {
    #[inline(always)]
    fn collect(&mut self, record: T) {
        if self.off {
            return self.router.collect(record);
        }
        let hash = self.router.selector.key_hash(&record);
        self.table.prefetch(hash);
        self.waiting.hashes.push(hash);
        self.waiting.records.push(record);
        if self.waiting.records.len() == BATCH {
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
        self.combine_waiting();
        self.emit_table();
        self.router.context.flags.failed() || self.router.end()
    }

    // An idle BATCH source is one that waits for its disk: what is merged stays until the end.
    fn flush(&mut self) {}

    fn has_room(&mut self) -> bool {
        self.router.has_room()
    }

    fn take_error(&mut self) -> Option<OperatorError> {
        operator_error(&self.router.context, &mut self.error).or_else(|| self.router.take_error())
    }
}

/// Records that a keyed aggregate takes before it looks again whether there is room for what it emits.
const BETWEEN_CHECKS: usize = 256;

/// By how many records the prefetching of places in the table runs ahead: about as many cache misses as a processor core
/// has under way at one time.
const AHEAD: usize = 24;

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
        let kept = table.upsert(
            hash,
            record,
            |kept, record| selector.same_key(kept, record),
            |record| record,
            |kept, record| {
                if let Err(problem) = function.reduce(kept, record) {
                    error.get_or_insert(problem);
                }
            },
        );
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
        let mut hashes = [0; BETWEEN_CHECKS];
        while !self.flags().interrupted() && records.remaining() > 0 {
            let taken = records.remaining().min(BETWEEN_CHECKS);
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
            }
            if self.error.is_some() {
                self.flags().set_failed();
            }
        }
    }

    fn end(&mut self) -> bool {
        if self.mode == RuntimeMode::Batch {
            let Self { table, next, context, .. } = self;
            table.drain(|_, record| {
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
