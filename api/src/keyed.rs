//! Streams by key, and their running aggregates.
//!
//! In STREAMING mode an aggregate emits its new value after every record; in BATCH mode one value for each key, when the
//! input ends, and records are merged in front of the shuffle already.

use std::ops::AddAssign;

use flink_graph::{RuntimeMode, ShipStrategy};
use flink_taskmanager::data::{Data, Key};
use flink_taskmanager::driver::Driver;
use flink_taskmanager::keyed::{CombiningRouter, KeyRouter, KeySelector, KeyedReduce, ReduceFunction};
use flink_taskmanager::operator::{BoxError, ChunkConsumer, OperatorError, Output, Stage};

use crate::chain::{Chain, Prototype, Start, one_input};
use crate::datastream::DataStream;
use crate::environment::StreamExecutionEnvironment;
use crate::settings::Isolate;
use crate::stream_graph::{NodeInput, OperatorMeta};
use crate::task_builder::TaskBuilder;

/// A key that a function makes.
#[derive(Clone)]
pub struct ByValue<F>(pub(crate) F);

// Inlined always: a record that goes through memory to be hashed or compared waits for its own stores.
impl<T, K: Key, F: Fn(&T) -> K + Clone + Send + 'static> KeySelector<T> for ByValue<F> {
    type Key = K;

    #[inline]
    fn key(&self, record: &T) -> K {
        (self.0)(record)
    }

    #[inline(always)]
    fn key_hash(&self, record: &T) -> u64 {
        (self.0)(record).key_hash()
    }

    #[inline(always)]
    fn same_key(&self, left: &T, right: &T) -> bool {
        (self.0)(left).is_key(&(self.0)(right))
    }
}

/// A key that is a part of the record.
#[derive(Clone)]
pub struct ByReference<F>(pub(crate) F);

impl<T, K: Key, F: Fn(&T) -> &K + Clone + Send + 'static> KeySelector<T> for ByReference<F> {
    type Key = K;

    #[inline]
    fn key(&self, record: &T) -> K {
        (self.0)(record).clone()
    }

    #[inline(always)]
    fn key_hash(&self, record: &T) -> u64 {
        (self.0)(record).key_hash()
    }

    #[inline(always)]
    fn same_key(&self, left: &T, right: &T) -> bool {
        (self.0)(left).is_key((self.0)(right))
    }
}

/// A stream whose records of one key go to one subtask.
#[must_use = "a stream does nothing without a sink"]
pub struct KeyedStream<T, C, S> {
    pub(crate) stream: DataStream<T, C>,
    pub(crate) selector: S,
}

/// A function on what is kept and a record, as a [`ReduceFunction`].
#[derive(Clone)]
pub struct Reduce<F>(F);

impl<T, F> ReduceFunction<T> for Reduce<F>
where
    F: FnMut(&mut T, T) -> Result<(), BoxError> + Clone + Send + 'static,
{
    #[inline]
    fn reduce(&mut self, kept: &mut T, record: T) -> Result<(), BoxError> {
        (self.0)(kept, record)
    }
}

/// The key of a pair of key and count.
#[derive(Clone)]
pub struct CountedKey;

impl<K: Key> KeySelector<(K, u64)> for CountedKey {
    type Key = K;

    #[inline]
    fn key(&self, (key, _): &(K, u64)) -> K {
        key.clone()
    }

    #[inline(always)]
    fn key_hash(&self, (key, _): &(K, u64)) -> u64 {
        key.key_hash()
    }

    #[inline(always)]
    fn same_key(&self, (left, _): &(K, u64), (right, _): &(K, u64)) -> bool {
        left.is_key(right)
    }
}

/// Adds up the counts of a key.
#[derive(Clone)]
pub struct AddCounts;

impl<K: Key> ReduceFunction<(K, u64)> for AddCounts {
    #[inline]
    fn reduce(&mut self, (_, kept): &mut (K, u64), (_, count): (K, u64)) -> Result<(), BoxError> {
        *kept += count;
        Ok(())
    }
}

/// The stream of keys and their counts.
pub type Counted<K> = Aggregated<(K, u64), CountedKey, AddCounts>;

/// The stream that a keyed aggregate makes.
pub type Aggregated<T, S, F> = DataStream<T, KeyedStart<T, S, F>>;

impl<T, C, S> KeyedStream<T, C, S>
where
    T: Data + Clone,
    C: Chain<Out = T>,
    S: KeySelector<T>,
{
    /// Merges each record into what is kept of the earlier ones of its key. The function must be associative, and must
    /// leave the key as it is.
    pub fn reduce<F>(self, mut function: F) -> Aggregated<T, S, impl ReduceFunction<T>>
    where
        F: FnMut(&mut T, T) + Clone + Send + 'static,
    {
        self.aggregate(
            "Reduce",
            Reduce(move |kept: &mut T, record: T| {
                function(kept, record);
                Ok(())
            }),
        )
    }

    /// As [`reduce`](Self::reduce); an error fails the task.
    pub fn try_reduce<F>(self, function: F) -> Aggregated<T, S, impl ReduceFunction<T>>
    where
        F: FnMut(&mut T, T) -> Result<(), BoxError> + Clone + Send + 'static,
    {
        self.aggregate("Reduce", Reduce(function))
    }

    /// Sums a field of the records of each key, found by `field`; the other fields stay as in the key's first record.
    ///
    /// `words.key_by_ref(|(word, _)| word).sum(|(_, count)| count)`
    pub fn sum<V, F>(self, field: F) -> Aggregated<T, S, impl ReduceFunction<T>>
    where
        V: AddAssign + Copy,
        F: Fn(&mut T) -> &mut V + Clone + Send + 'static,
    {
        self.aggregate(
            "Sum",
            Reduce(move |kept: &mut T, mut record: T| {
                *field(kept) += *field(&mut record);
                Ok(())
            }),
        )
    }

    /// Keeps the smallest value of a field; the other fields stay as in the key's first record.
    pub fn min<V, F>(self, field: F) -> Aggregated<T, S, impl ReduceFunction<T>>
    where
        V: PartialOrd + Clone + 'static,
        F: Fn(&mut T) -> &mut V + Clone + Send + 'static,
    {
        self.keep_field("Min", field, |new, old| new < old)
    }

    /// Keeps the largest value of a field; the other fields stay as in the key's first record.
    pub fn max<V, F>(self, field: F) -> Aggregated<T, S, impl ReduceFunction<T>>
    where
        V: PartialOrd + Clone + 'static,
        F: Fn(&mut T) -> &mut V + Clone + Send + 'static,
    {
        self.keep_field("Max", field, |new, old| new > old)
    }

    /// Keeps the record with the smallest value, the first of equal ones.
    pub fn min_by<V, F>(self, value: F) -> Aggregated<T, S, impl ReduceFunction<T>>
    where
        V: PartialOrd + 'static,
        F: Fn(&T) -> V + Clone + Send + 'static,
    {
        self.keep_record("Min By", value, |new, old| new < old)
    }

    /// Keeps the record with the largest value, the first of equal ones.
    pub fn max_by<V, F>(self, value: F) -> Aggregated<T, S, impl ReduceFunction<T>>
    where
        V: PartialOrd + 'static,
        F: Fn(&T) -> V + Clone + Send + 'static,
    {
        self.keep_record("Max By", value, |new, old| new > old)
    }

    /// Counts the records of each key. What is shipped is the key and a count, not the record.
    pub fn count(self) -> Counted<S::Key> {
        let Self { stream, selector } = self;
        let environment = stream.environment.clone();
        let inputs = if stream.is_finished() {
            // Each producer makes its own pairs, in place of whatever exchange there was.
            let pairs = |input: NodeInput| {
                let part = DataStream::headed(&environment, Start::new(), vec![input.shipped(None)], Vec::new());
                let pairs = counted(part, selector.clone());
                let nodes = pairs.iter().map(|input| input.node);
                nodes.for_each(|node| environment.with_graph(|graph| graph.node_mut(node).follows_input = true));
                pairs
            };
            stream.boxed().inputs.into_iter().flat_map(pairs).collect()
        } else {
            counted(stream, selector)
        };
        behind_shuffle(&environment, inputs, "Count", CountedKey, AddCounts)
    }

    fn keep_field<V, F>(
        self,
        name: &str,
        field: F,
        better: fn(&V, &V) -> bool,
    ) -> Aggregated<T, S, impl ReduceFunction<T> + use<T, C, S, V, F>>
    where
        V: Clone + 'static,
        F: Fn(&mut T) -> &mut V + Clone + Send + 'static,
    {
        self.aggregate(
            name,
            Reduce(move |kept: &mut T, mut record: T| {
                let (new, old) = (field(&mut record), field(kept));
                if better(new, old) {
                    *old = new.clone();
                }
                Ok(())
            }),
        )
    }

    fn keep_record<V, F>(
        self,
        name: &str,
        value: F,
        better: fn(&V, &V) -> bool,
    ) -> Aggregated<T, S, impl ReduceFunction<T> + use<T, C, S, V, F>>
    where
        V: 'static,
        F: Fn(&T) -> V + Clone + Send + 'static,
    {
        self.aggregate(
            name,
            Reduce(move |kept: &mut T, record: T| {
                if better(&value(&record), &value(kept)) {
                    *kept = record;
                }
                Ok(())
            }),
        )
    }

    fn aggregate<F: ReduceFunction<T>>(self, name: &str, function: F) -> Aggregated<T, S, F> {
        let environment = self.stream.environment.clone();
        let inputs = shipped_by_key(self.stream, self.selector.clone(), function.clone());
        behind_shuffle(&environment, inputs, name, self.selector, function)
    }
}

/// A stream on its way to a keyed aggregate.
fn shipped_by_key<T, C, S, F>(stream: DataStream<T, C>, selector: S, function: F) -> Vec<NodeInput>
where
    T: Data + Clone,
    C: Chain<Out = T>,
    S: KeySelector<T>,
    F: ReduceFunction<T>,
{
    let (selector, combiner) = (Prototype::new(selector), Prototype::new(function));
    stream.routed(ShipStrategy::Hash, move |builder, route| {
        let (writer, routing) = (builder.writer(route)?, builder.key_routing(route)?);
        // What fails while merging is the aggregate, wherever it does.
        let combines = builder.mode() == RuntimeMode::Batch;
        let context = if combines { builder.consumer_context(route) } else { builder.last_context() };
        let router = KeyRouter::new(selector.instance(), routing, writer, context);
        Ok(if combines {
            KeyedOutput::Combining(CombiningRouter::new(router, combiner.instance(), builder.pre_aggregation_bytes()?))
        } else {
            KeyedOutput::Plain(router)
        })
    })
}

/// A stream as pairs of its key and one, on their way to be added up.
fn counted<T, C, S>(stream: DataStream<T, C>, selector: S) -> Vec<NodeInput>
where
    T: Data,
    C: Chain<Out = T>,
    S: KeySelector<T>,
{
    let pairs = stream.map(move |record: T| (selector.key(&record), 1)).name("Key");
    shipped_by_key(pairs, CountedKey, AddCounts)
}

/// The aggregate behind the shuffle.
fn behind_shuffle<T, S, F>(
    environment: &StreamExecutionEnvironment,
    inputs: Vec<NodeInput>,
    name: &str,
    selector: S,
    function: F,
) -> Aggregated<T, S, F>
where
    T: Data + Clone,
    S: KeySelector<T>,
    F: ReduceFunction<T>,
{
    let start = KeyedStart {
        selector: Prototype::new(selector),
        function: Prototype::new(function),
        record: std::marker::PhantomData,
    };
    DataStream::headed(environment, start, inputs, vec![OperatorMeta::new(name)])
}

/// The end of a chain in front of a keyed aggregate: merging first, in BATCH mode. One branch for each record; it goes the
/// same way every time.
#[allow(clippy::large_enum_variant)] // there is one for each subtask
enum KeyedOutput<T, S: KeySelector<T>, F> {
    Plain(KeyRouter<T, S>),
    Combining(CombiningRouter<T, S, F>),
}

impl<T: Data, S: KeySelector<T>, F: ReduceFunction<T>> KeyedOutput<T, S, F> {
    fn stage(&mut self) -> &mut dyn Stage<T> {
        match self {
            Self::Plain(stage) => stage,
            Self::Combining(stage) => stage,
        }
    }
}

impl<T: Data, S: KeySelector<T>, F: ReduceFunction<T>> Output<T> for KeyedOutput<T, S, F> {
    #[inline(always)]
    fn collect(&mut self, record: T) {
        match self {
            Self::Plain(output) => output.collect(record),
            Self::Combining(output) => output.collect(record),
        }
    }

    #[inline]
    fn is_full(&self) -> bool {
        match self {
            Self::Plain(output) => output.is_full(),
            Self::Combining(output) => output.is_full(),
        }
    }
}

impl<T: Data, S: KeySelector<T>, F: ReduceFunction<T>> Stage<T> for KeyedOutput<T, S, F> {
    fn open(&mut self) -> Result<(), OperatorError> {
        self.stage().open()
    }

    fn end(&mut self) -> bool {
        self.stage().end()
    }

    fn flush(&mut self) {
        self.stage().flush();
    }

    fn has_room(&mut self) -> bool {
        self.stage().has_room()
    }

    fn take_error(&mut self) -> Option<OperatorError> {
        self.stage().take_error()
    }
}

/// The beginning of a chain behind a keyed shuffle: an aggregate.
pub struct KeyedStart<T, S, F> {
    selector: Prototype<S>,
    function: Prototype<F>,
    record: std::marker::PhantomData<fn() -> T>,
}

impl<T, S, F> Chain for KeyedStart<T, S, F>
where
    T: Data + Clone,
    S: KeySelector<T>,
    F: ReduceFunction<T>,
{
    type Out = T;
    type Built = Box<dyn ChunkConsumer<T>>;

    fn build<N>(&self, builder: &mut TaskBuilder<'_>, next: N) -> Result<Self::Built, BoxError>
    where
        N: Stage<T> + 'static,
    {
        let (selector, function) = (self.selector.instance(), self.function.instance());
        Ok(Box::new(KeyedReduce::new(selector, function, builder.mode(), builder.context(0), next)))
    }

    fn driver(&self, builder: &mut TaskBuilder<'_>, built: Self::Built) -> Result<Box<dyn Driver>, BoxError> {
        one_input(builder, built)
    }
}

impl<T, S, F> Isolate<T> for KeyedStart<T, S, F>
where
    T: Data + Clone,
    S: KeySelector<T>,
    F: ReduceFunction<T>,
{
    fn isolate(stream: DataStream<T, Self>) -> DataStream<T, Start<T>> {
        stream.boxed()
    }
}
