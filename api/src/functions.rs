//! The functions that users give, as operators.

use std::sync::Arc;

use flink_graph::{AccumulatorValue, Configuration};
use flink_taskmanager::data::Data;
use flink_taskmanager::operator::{BoxError, Operator, OperatorContext, Output};

use crate::chain::ChainOperator;
use crate::side_output::{OutputTag, SideOutputs};
use crate::task_builder::TaskBuilder;

/// One record to one record.
#[derive(Clone)]
pub struct Map<F>(pub(crate) F);

impl<In, Out, F> Operator<In> for Map<F>
where
    F: FnMut(In) -> Out + Send + 'static,
{
    type Out = Out;
    const FALLIBLE: bool = false;

    #[inline]
    fn process(&mut self, record: In, output: &mut impl Output<Out>) -> Result<(), BoxError> {
        output.collect((self.0)(record));
        Ok(())
    }
}

impl<In, Out, F: FnMut(In) -> Out + Clone + Send + 'static> ChainOperator<In> for Map<F> {}

/// One record to one record, or an error.
#[derive(Clone)]
pub struct TryMap<F>(pub(crate) F);

impl<In, Out, F> Operator<In> for TryMap<F>
where
    F: FnMut(In) -> Result<Out, BoxError> + Send + 'static,
{
    type Out = Out;

    #[inline]
    fn process(&mut self, record: In, output: &mut impl Output<Out>) -> Result<(), BoxError> {
        output.collect((self.0)(record)?);
        Ok(())
    }
}

impl<In, Out, F: FnMut(In) -> Result<Out, BoxError> + Clone + Send + 'static> ChainOperator<In> for TryMap<F> {}

/// Keeps some records.
#[derive(Clone)]
pub struct Filter<F>(pub(crate) F);

impl<T, F> Operator<T> for Filter<F>
where
    F: FnMut(&T) -> bool + Send + 'static,
{
    type Out = T;
    const FALLIBLE: bool = false;

    #[inline]
    fn process(&mut self, record: T, output: &mut impl Output<T>) -> Result<(), BoxError> {
        if (self.0)(&record) {
            output.collect(record);
        }
        Ok(())
    }
}

impl<T, F: FnMut(&T) -> bool + Clone + Send + 'static> ChainOperator<T> for Filter<F> {}

/// Takes the records that a `flat_map` function emits for one input record, to hand them on when the function returns: a
/// buffer of a known type, so that the function can be a closure and no record costs a dynamic call.
pub struct Collector<T>(Vec<T>);

impl<T> Collector<T> {
    /// Emits a record.
    #[inline]
    pub fn collect(&mut self, record: T) {
        self.0.push(record);
    }
}

impl<T> Default for Collector<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Collector<T> {
    /// Hands what was emitted on.
    #[inline]
    pub(crate) fn hand_on(&mut self, output: &mut impl Output<T>) {
        self.0.drain(..).for_each(|record| output.collect(record));
    }
}

impl<T> Extend<T> for Collector<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, records: I) {
        self.0.extend(records);
    }
}

/// One record to any number.
pub struct FlatMap<F, Out> {
    function: F,
    collector: Collector<Out>,
}

impl<F, Out> FlatMap<F, Out> {
    pub(crate) fn new(function: F) -> Self {
        Self { function, collector: Collector::default() }
    }
}

impl<F: Clone, Out> Clone for FlatMap<F, Out> {
    fn clone(&self) -> Self {
        Self::new(self.function.clone())
    }
}

impl<In, Out, F> Operator<In> for FlatMap<F, Out>
where
    Out: Data,
    F: FnMut(In, &mut Collector<Out>) + Send + 'static,
{
    type Out = Out;
    const FALLIBLE: bool = false;

    #[inline]
    fn process(&mut self, record: In, output: &mut impl Output<Out>) -> Result<(), BoxError> {
        (self.function)(record, &mut self.collector);
        self.collector.hand_on(output);
        Ok(())
    }
}

impl<In, Out, F> ChainOperator<In> for FlatMap<F, Out>
where
    Out: Data,
    F: FnMut(In, &mut Collector<Out>) + Clone + Send + 'static,
{
}

/// One record to any number, or an error.
pub struct TryFlatMap<F, Out> {
    function: F,
    collector: Collector<Out>,
}

impl<F, Out> TryFlatMap<F, Out> {
    pub(crate) fn new(function: F) -> Self {
        Self { function, collector: Collector::default() }
    }
}

impl<F: Clone, Out> Clone for TryFlatMap<F, Out> {
    fn clone(&self) -> Self {
        Self::new(self.function.clone())
    }
}

impl<In, Out, F> Operator<In> for TryFlatMap<F, Out>
where
    Out: Data,
    F: FnMut(In, &mut Collector<Out>) -> Result<(), BoxError> + Send + 'static,
{
    type Out = Out;

    #[inline]
    fn process(&mut self, record: In, output: &mut impl Output<Out>) -> Result<(), BoxError> {
        (self.function)(record, &mut self.collector)?;
        self.collector.hand_on(output);
        Ok(())
    }
}

impl<In, Out, F> ChainOperator<In> for TryFlatMap<F, Out>
where
    Out: Data,
    F: FnMut(In, &mut Collector<Out>) -> Result<(), BoxError> + Clone + Send + 'static,
{
}

/// Keeps some records, or fails.
#[derive(Clone)]
pub struct TryFilter<F>(pub(crate) F);

impl<T, F> Operator<T> for TryFilter<F>
where
    F: FnMut(&T) -> Result<bool, BoxError> + Send + 'static,
{
    type Out = T;

    #[inline]
    fn process(&mut self, record: T, output: &mut impl Output<T>) -> Result<(), BoxError> {
        if (self.0)(&record)? {
            output.collect(record);
        }
        Ok(())
    }
}

impl<T, F: FnMut(&T) -> Result<bool, BoxError> + Clone + Send + 'static> ChainOperator<T> for TryFilter<F> {}

/// What a function knows of where it runs.
pub struct RuntimeContext(OperatorContext);

impl RuntimeContext {
    pub(crate) fn new(context: OperatorContext) -> Self {
        Self(context)
    }

    /// Index of the subtask, `0..parallelism`.
    #[must_use]
    pub fn subtask_index(&self) -> u32 {
        self.0.subtask
    }

    /// Number of subtasks.
    #[must_use]
    pub fn parallelism(&self) -> u32 {
        self.0.parallelism
    }

    /// Number of the attempt: 0 at first, one more after each restart.
    #[must_use]
    pub fn attempt_number(&self) -> u32 {
        self.0.attempt
    }

    /// Configuration of the job.
    #[must_use]
    pub fn configuration(&self) -> &Configuration {
        &self.0.configuration
    }

    /// An accumulator that sums integers.
    #[must_use]
    pub fn long_counter(&self, name: &str) -> LongCounter {
        LongCounter { handle: self.handle(name) }
    }

    /// An accumulator that counts how often each value was added.
    #[must_use]
    pub fn histogram(&self, name: &str) -> Histogram {
        Histogram { handle: self.handle(name) }
    }

    /// An accumulator that keeps the mean of what was added.
    #[must_use]
    pub fn average(&self, name: &str) -> Average {
        Average { handle: self.handle(name) }
    }

    fn handle(&self, name: &str) -> Handle {
        Handle { name: name.into(), context: self.0.clone() }
    }
}

#[derive(Clone)]
struct Handle {
    name: Arc<str>,
    context: OperatorContext,
}

impl Handle {
    fn update(&self, initial: impl FnOnce() -> AccumulatorValue, change: impl FnOnce(&mut AccumulatorValue)) {
        self.context.accumulators.update(&self.name, initial, change);
    }
}

/// Sums integers.
#[derive(Clone)]
pub struct LongCounter {
    handle: Handle,
}

impl LongCounter {
    /// Adds to the sum.
    pub fn add(&self, amount: i64) {
        let change = |value: &mut AccumulatorValue| {
            if let AccumulatorValue::Long(sum) = value {
                *sum = sum.wrapping_add(amount);
            }
        };
        self.handle.update(|| AccumulatorValue::Long(0), change);
    }
}

/// Counts how often each value was added.
#[derive(Clone)]
pub struct Histogram {
    handle: Handle,
}

impl Histogram {
    /// Counts a value.
    pub fn add(&self, value: i64) {
        self.add_many(value, 1);
    }

    /// Counts a value several times.
    pub fn add_many(&self, value: i64, times: u64) {
        let change = |histogram: &mut AccumulatorValue| {
            if let AccumulatorValue::Histogram(counts) = histogram {
                *counts.entry(value).or_default() += times;
            }
        };
        self.handle.update(|| AccumulatorValue::Histogram(std::collections::BTreeMap::new()), change);
    }
}

/// Keeps the mean of what was added.
#[derive(Clone)]
pub struct Average {
    handle: Handle,
}

impl Average {
    /// Adds a value.
    pub fn add(&self, value: f64) {
        let change = |average: &mut AccumulatorValue| {
            if let AccumulatorValue::Average { count, sum } = average {
                *count += 1;
                *sum += value;
            }
        };
        self.handle.update(|| AccumulatorValue::Average { count: 0, sum: 0.0 }, change);
    }
}

/// What a [`ProcessFunction`] may use besides its output.
pub struct ProcessContext<'a> {
    side_outputs: &'a mut SideOutputs,
}

impl ProcessContext<'_> {
    /// Emits a record to a side output. Without a consumer it goes nowhere.
    pub fn output<X: Data>(&mut self, tag: &OutputTag<X>, record: X) {
        self.side_outputs.emit(tag, record);
    }
}

/// The general function: a life cycle, accumulators, side outputs.
pub trait ProcessFunction<In>: Clone + Send + 'static {
    /// What it emits.
    type Out: Data;

    /// Runs once in each subtask before the first record.
    ///
    /// # Errors
    /// The task fails with it.
    fn open(&mut self, context: &RuntimeContext) -> Result<(), BoxError> {
        let _ = context;
        Ok(())
    }

    /// Takes one record.
    ///
    /// # Errors
    /// The task fails with it.
    fn process(
        &mut self,
        record: In,
        context: &mut ProcessContext<'_>,
        output: &mut impl Output<Self::Out>,
    ) -> Result<(), BoxError>;

    /// Runs when the input has ended, the last chance to emit.
    ///
    /// # Errors
    /// The task fails with it.
    fn finish(&mut self, output: &mut impl Output<Self::Out>) -> Result<(), BoxError> {
        let _ = output;
        Ok(())
    }
}

/// A [`ProcessFunction`] as an operator.
pub struct Process<F> {
    function: F,
    side_outputs: SideOutputs,
}

impl<F> Process<F> {
    pub(crate) fn new(function: F) -> Self {
        Self { function, side_outputs: SideOutputs::default() }
    }
}

impl<F: Clone> Clone for Process<F> {
    // A prototype has no side outputs yet.
    fn clone(&self) -> Self {
        Self::new(self.function.clone())
    }
}

impl<In, F: ProcessFunction<In>> Operator<In> for Process<F> {
    type Out = F::Out;

    fn open(&mut self, context: &OperatorContext) -> Result<(), BoxError> {
        self.side_outputs.open()?;
        self.function.open(&RuntimeContext::new(context.clone()))
    }

    #[inline]
    fn process(&mut self, record: In, output: &mut impl Output<F::Out>) -> Result<(), BoxError> {
        self.function.process(record, &mut ProcessContext { side_outputs: &mut self.side_outputs }, output)
    }

    fn end(&mut self, output: &mut impl Output<F::Out>) -> Result<(), BoxError> {
        self.function.finish(output)
    }

    fn end_outputs(&mut self) -> bool {
        self.side_outputs.end()
    }

    fn flush(&mut self) -> Result<(), BoxError> {
        self.side_outputs.flush();
        Ok(())
    }

    fn has_room(&mut self) -> bool {
        self.side_outputs.has_room()
    }
}

impl<In, F: ProcessFunction<In>> ChainOperator<In> for Process<F> {
    fn attach(&mut self, builder: &mut TaskBuilder<'_>, place: usize) -> Result<(), BoxError> {
        self.side_outputs = builder.side_outputs(place)?;
        Ok(())
    }
}
