//! Two streams of different types in one operator.

/// The functions of two inputs on single records.
mod functions;

use std::marker::PhantomData;

use flink_taskmanager::chunk::ChunkCursor;
use flink_taskmanager::data::Data;
use flink_taskmanager::driver::{Driver, TwoInputChain, TwoInputDriver};
use flink_taskmanager::operator::{BoxError, ChunkConsumer, OperatorContext, OperatorError, Output, Stage};

pub use functions::{CoFlatMap, CoFlatMapped, CoMap, TryCoFlatMap, TryCoFlatMapped, TryCoMap};

use crate::chain::{Chain, Prototype, Start};
use crate::datastream::DataStream;
use crate::functions::{Collector, FunctionScope, ProcessContext, RuntimeContext};
use crate::settings::Isolate;
use crate::stream_graph::{NodeInput, OperatorMeta};
use crate::task_builder::TaskBuilder;

/// Two streams that one operator reads.
#[must_use = "streams do nothing without a sink"]
pub struct ConnectedStreams<A, B> {
    pub(crate) first: DataStream<A>,
    pub(crate) second: DataStream<B>,
}

/// The general function of two inputs: a life cycle, accumulators, side outputs.
pub trait CoProcessFunction<A, B>: Clone + Send + 'static {
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

    /// Takes a record of the first input.
    ///
    /// # Errors
    /// The task fails with it.
    fn process_first(
        &mut self,
        record: A,
        context: &mut ProcessContext<'_>,
        output: &mut impl Output<Self::Out>,
    ) -> Result<(), BoxError>;

    /// Takes a record of the second input.
    ///
    /// # Errors
    /// The task fails with it.
    fn process_second(
        &mut self,
        record: B,
        context: &mut ProcessContext<'_>,
        output: &mut impl Output<Self::Out>,
    ) -> Result<(), BoxError>;

    /// Runs when both inputs have ended.
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

impl<A: Data, B: Data> ConnectedStreams<A, B> {
    /// One record to one record, by a function for each input.
    pub fn map<Out, F, G>(self, first: F, second: G) -> DataStream<Out, CoStart<A, B, CoMap<F, G>>>
    where
        Out: Data,
        F: FnMut(A) -> Out + Clone + Send + 'static,
        G: FnMut(B) -> Out + Clone + Send + 'static,
    {
        self.operator(OperatorMeta::new("Co-Map"), CoMap(first, second))
    }

    /// As [`map`](Self::map), by functions that may fail, and their task with them.
    pub fn try_map<Out, F, G>(self, first: F, second: G) -> DataStream<Out, CoStart<A, B, TryCoMap<F, G>>>
    where
        Out: Data,
        F: FnMut(A) -> Result<Out, BoxError> + Clone + Send + 'static,
        G: FnMut(B) -> Result<Out, BoxError> + Clone + Send + 'static,
    {
        self.operator(OperatorMeta::new("Co-Map"), TryCoMap(first, second))
    }

    /// One record to any number, by a function for each input.
    pub fn flat_map<Out, F, G>(self, first: F, second: G) -> CoFlatMapped<A, B, F, G, Out>
    where
        Out: Data,
        F: FnMut(A, &mut Collector<Out>) + Clone + Send + 'static,
        G: FnMut(B, &mut Collector<Out>) + Clone + Send + 'static,
    {
        let function = CoFlatMap { first, second, collector: Collector::default() };
        self.operator(OperatorMeta::new("Co-Flat Map"), function)
    }

    /// As [`flat_map`](Self::flat_map), by functions that may fail, and their task with them.
    pub fn try_flat_map<Out, F, G>(self, first: F, second: G) -> TryCoFlatMapped<A, B, F, G, Out>
    where
        Out: Data,
        F: FnMut(A, &mut Collector<Out>) -> Result<(), BoxError> + Clone + Send + 'static,
        G: FnMut(B, &mut Collector<Out>) -> Result<(), BoxError> + Clone + Send + 'static,
    {
        let function = TryCoFlatMap { first, second, collector: Collector::default() };
        self.operator(OperatorMeta::new("Co-Flat Map"), function)
    }

    /// The general function of two inputs.
    pub fn process<F: CoProcessFunction<A, B>>(self, function: F) -> DataStream<F::Out, CoStart<A, B, F>> {
        self.operator(OperatorMeta::new("Co-Process").with_side_outputs(true), function)
    }

    fn operator<F>(self, operator: OperatorMeta, function: F) -> DataStream<F::Out, CoStart<A, B, F>>
    where
        F: CoProcessFunction<A, B>,
    {
        let environment = self.first.environment.clone();
        let second = self.second.inputs.into_iter().map(|input| NodeInput { gate: 1, ..input });
        let inputs = self.first.inputs.into_iter().chain(second).collect();
        let start = CoStart { function: Prototype::new(function), inputs: PhantomData };
        DataStream::headed(&environment, start, inputs, vec![operator])
    }
}

/// The beginning of a chain with two inputs.
pub struct CoStart<A, B, F> {
    function: Prototype<F>,
    inputs: PhantomData<fn() -> (A, B)>,
}

impl<A: Data, B: Data, F: CoProcessFunction<A, B>> Chain for CoStart<A, B, F> {
    type Out = F::Out;
    type Built = Box<dyn TwoInputChain<A, B>>;

    fn build<N>(&self, builder: &mut TaskBuilder<'_>, next: N) -> Result<Self::Built, BoxError>
    where
        N: Stage<F::Out> + 'static,
    {
        let (function, context, scope) =
            (self.function.instance(), builder.context(0), FunctionScope::new(builder, 0)?);
        Ok(Box::new(CoHead { function, context, scope, next, error: None, ended: false, inputs: PhantomData }))
    }

    fn driver(&self, builder: &mut TaskBuilder<'_>, built: Self::Built) -> Result<Box<dyn Driver>, BoxError> {
        let (first, second) = (builder.input_gate::<A>(0)?, builder.input_gate::<B>(1)?);
        Ok(Box::new(TwoInputDriver::new(first, second, built, builder.flags())))
    }
}

impl<A: Data, B: Data, F: CoProcessFunction<A, B>> Isolate<F::Out> for CoStart<A, B, F> {
    fn isolate(stream: DataStream<F::Out, Self>) -> DataStream<F::Out, Start<F::Out>> {
        stream.boxed()
    }
}

struct CoHead<A, B, F, N> {
    function: F,
    context: OperatorContext,
    scope: FunctionScope,
    next: N,
    error: Option<BoxError>,
    ended: bool,
    inputs: PhantomData<fn() -> (A, B)>,
}

impl<A, B, F, N> CoHead<A, B, F, N> {
    fn check(&mut self, result: Result<(), BoxError>) {
        if let Err(error) = result {
            self.error.get_or_insert(error);
            self.context.flags.set_failed();
        }
    }
}

impl<A, B, F, N> TwoInputChain<A, B> for CoHead<A, B, F, N>
where
    A: Data,
    B: Data,
    F: CoProcessFunction<A, B>,
    N: Stage<F::Out>,
{
    fn first(&mut self) -> &mut dyn ChunkConsumer<A> {
        self
    }

    fn consume_second(&mut self, records: &mut ChunkCursor<B>) {
        while !self.context.flags.interrupted() {
            let Some(record) = records.next_record() else { return };
            let result = self.function.process_second(record, &mut self.scope.context(), &mut self.next);
            self.check(result);
        }
    }
}

impl<A, B, F, N> ChunkConsumer<A> for CoHead<A, B, F, N>
where
    A: Data,
    B: Data,
    F: CoProcessFunction<A, B>,
    N: Stage<F::Out>,
{
    fn open(&mut self) -> Result<(), OperatorError> {
        self.next.open()?;
        self.scope.side_outputs.open()?;
        let operator = self.context.operator.clone();
        self.function.open(self.scope.runtime()).map_err(|source| OperatorError { operator, source })
    }

    fn consume(&mut self, records: &mut ChunkCursor<A>) {
        while !self.context.flags.interrupted() {
            let Some(record) = records.next_record() else { return };
            let result = self.function.process_first(record, &mut self.scope.context(), &mut self.next);
            self.check(result);
        }
    }

    fn end(&mut self) -> bool {
        if !std::mem::replace(&mut self.ended, true) {
            let result = self.function.finish(&mut self.scope.context(), &mut self.next);
            self.check(result);
        }
        self.context.flags.failed() || self.scope.side_outputs.end() && self.next.end()
    }

    fn flush(&mut self) {
        self.scope.side_outputs.flush();
        self.next.flush();
    }

    fn has_room(&mut self) -> bool {
        // Both are asked: each remembers that the task waits.
        let side = self.scope.side_outputs.has_room();
        self.next.has_room() && side
    }

    fn take_error(&mut self) -> Option<OperatorError> {
        let operator = self.context.operator.clone();
        let mine = self.error.take().map(|source| OperatorError { operator, source });
        mine.or_else(|| self.scope.side_outputs.take_error()).or_else(|| self.next.take_error())
    }
}
