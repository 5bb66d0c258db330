//! The functions that users give, as operators.

use std::time::Duration;

use flink_graph::Configuration;
use flink_taskmanager::data::Data;
use flink_taskmanager::operator::{BoxError, Operator, OperatorContext, OperatorError, Output, SharedAccumulators};

use crate::accumulators::{Scope, with_accumulators};
use crate::chain::ChainOperator;
use crate::random::seed_of;
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

    // Inlined always, as `Chained` is and for its reason: a source calls the chain in several places.
    #[inline(always)]
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

    #[inline(always)]
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

    #[inline(always)]
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
///
/// So what one call emits is in memory together. A function that makes very much of one record (unpacks a file, counts to a
/// billion) is better a [`ProcessFunction`], which emits directly into what follows.
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
    /// Bytes of an empty buffer that are kept for the next call.
    const KEPT: usize = 1 << 20;

    /// Hands what was emitted on.
    #[inline]
    pub(crate) fn hand_on(&mut self, output: &mut impl Output<T>) {
        self.0.drain(..).for_each(|record| output.collect(record));
        if self.0.capacity() > Self::KEPT / size_of::<T>().max(1) {
            self.0 = Vec::new();
        }
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

    /// The time of day, since the beginning of 1970 (UTC). Functions that ask for it here, and not the operating system, give
    /// the same results in every run of a simulation with one seed.
    #[must_use]
    pub fn current_processing_time(&self) -> Duration {
        self.0.clock.since_1970()
    }

    /// A seed for the function's own random numbers: another one for each job, operator and subtask, and the same one for every
    /// attempt.
    #[must_use]
    pub fn random_seed(&self) -> u64 {
        let OperatorContext { job, operator, subtask, .. } = &self.0;
        seed_of(format!("{job} {operator} {subtask}").as_bytes())
    }
}

impl Scope for RuntimeContext {
    fn shared(&self) -> &SharedAccumulators {
        &self.0.accumulators
    }
}

with_accumulators!(RuntimeContext);

/// What a [`ProcessFunction`] or a [`CoProcessFunction`](crate::connected::CoProcessFunction) may use besides its output.
pub struct ProcessContext<'a> {
    runtime: &'a RuntimeContext,
    side_outputs: &'a mut SideOutputs,
}

impl ProcessContext<'_> {
    /// Emits a record to a side output. Without a consumer it goes nowhere. One that is read as another type than the
    /// tag's fails the task.
    pub fn output<X: Data>(&mut self, tag: &OutputTag<X>, record: X) {
        self.side_outputs.emit(tag, record);
    }

    /// Where the function runs, and its accumulators.
    #[must_use]
    pub fn runtime_context(&self) -> &RuntimeContext {
        self.runtime
    }
}

/// What a process function has in its subtask.
pub(crate) struct FunctionScope {
    runtime: RuntimeContext,
    pub(crate) side_outputs: SideOutputs,
}

impl FunctionScope {
    /// That of the operator at `place` of the node that is built.
    pub(crate) fn new(builder: &mut TaskBuilder<'_>, place: usize) -> Result<Self, BoxError> {
        let runtime = RuntimeContext::new(builder.context(place));
        Ok(Self { runtime, side_outputs: builder.side_outputs(place)? })
    }

    pub(crate) fn runtime(&self) -> &RuntimeContext {
        &self.runtime
    }

    #[inline]
    pub(crate) fn context(&mut self) -> ProcessContext<'_> {
        ProcessContext { runtime: &self.runtime, side_outputs: &mut self.side_outputs }
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
    fn finish(
        &mut self,
        context: &mut ProcessContext<'_>,
        output: &mut impl Output<Self::Out>,
    ) -> Result<(), BoxError> {
        let _ = (context, output);
        Ok(())
    }
}

/// A [`ProcessFunction`] as an operator.
pub struct Process<F> {
    function: F,
    /// There is none in a prototype.
    scope: Option<FunctionScope>,
}

impl<F> Process<F> {
    pub(crate) fn new(function: F) -> Self {
        Self { function, scope: None }
    }

    fn parts(&mut self) -> Result<(&mut F, &mut FunctionScope), BoxError> {
        match &mut self.scope {
            Some(scope) => Ok((&mut self.function, scope)),
            None => Err("the function does not belong to a task".into()),
        }
    }
}

impl<F: Clone> Clone for Process<F> {
    fn clone(&self) -> Self {
        Self::new(self.function.clone())
    }
}

impl<In, F: ProcessFunction<In>> Operator<In> for Process<F> {
    type Out = F::Out;

    fn open(&mut self, _: &OperatorContext) -> Result<(), BoxError> {
        let (function, scope) = self.parts()?;
        scope.side_outputs.open().map_err(|error| error.source)?;
        function.open(scope.runtime())
    }

    #[inline]
    fn process(&mut self, record: In, output: &mut impl Output<F::Out>) -> Result<(), BoxError> {
        let (function, scope) = self.parts()?;
        function.process(record, &mut scope.context(), output)
    }

    fn end(&mut self, output: &mut impl Output<F::Out>) -> Result<(), BoxError> {
        let (function, scope) = self.parts()?;
        function.finish(&mut scope.context(), output)
    }

    fn end_outputs(&mut self) -> bool {
        self.scope.as_mut().is_none_or(|scope| scope.side_outputs.end())
    }

    fn flush(&mut self) -> Result<(), BoxError> {
        self.parts()?.1.side_outputs.flush();
        Ok(())
    }

    fn has_room(&mut self) -> bool {
        self.scope.as_mut().is_none_or(|scope| scope.side_outputs.has_room())
    }

    fn take_output_error(&mut self) -> Option<OperatorError> {
        self.scope.as_mut()?.side_outputs.take_error()
    }
}

impl<In, F: ProcessFunction<In>> ChainOperator<In> for Process<F> {
    const SIDE_OUTPUTS: bool = true;

    fn attach(&mut self, builder: &mut TaskBuilder<'_>, place: usize) -> Result<(), BoxError> {
        self.scope = Some(FunctionScope::new(builder, place)?);
        Ok(())
    }
}
