use flink_taskmanager::data::Data;
use flink_taskmanager::operator::{BoxError, Output};

use super::{CoProcessFunction, CoStart};
use crate::datastream::DataStream;
use crate::functions::{Collector, ProcessContext};

/// Two functions on single records.
#[derive(Clone)]
pub struct CoMap<F, G>(pub(super) F, pub(super) G);

impl<A, B, Out, F, G> CoProcessFunction<A, B> for CoMap<F, G>
where
    Out: Data,
    F: FnMut(A) -> Out + Clone + Send + 'static,
    G: FnMut(B) -> Out + Clone + Send + 'static,
{
    type Out = Out;

    fn process_first(
        &mut self,
        record: A,
        _: &mut ProcessContext<'_>,
        output: &mut impl Output<Out>,
    ) -> Result<(), BoxError> {
        output.collect((self.0)(record));
        Ok(())
    }

    fn process_second(
        &mut self,
        record: B,
        _: &mut ProcessContext<'_>,
        output: &mut impl Output<Out>,
    ) -> Result<(), BoxError> {
        output.collect((self.1)(record));
        Ok(())
    }
}

/// Two functions on single records that may fail.
#[derive(Clone)]
pub struct TryCoMap<F, G>(pub(super) F, pub(super) G);

impl<A, B, Out, F, G> CoProcessFunction<A, B> for TryCoMap<F, G>
where
    Out: Data,
    F: FnMut(A) -> Result<Out, BoxError> + Clone + Send + 'static,
    G: FnMut(B) -> Result<Out, BoxError> + Clone + Send + 'static,
{
    type Out = Out;

    fn process_first(
        &mut self,
        record: A,
        _: &mut ProcessContext<'_>,
        output: &mut impl Output<Out>,
    ) -> Result<(), BoxError> {
        output.collect((self.0)(record)?);
        Ok(())
    }

    fn process_second(
        &mut self,
        record: B,
        _: &mut ProcessContext<'_>,
        output: &mut impl Output<Out>,
    ) -> Result<(), BoxError> {
        output.collect((self.1)(record)?);
        Ok(())
    }
}

/// The stream that two functions from a record to any number make.
pub type CoFlatMapped<A, B, F, G, Out> = DataStream<Out, CoStart<A, B, CoFlatMap<F, G, Out>>>;

/// Two functions from a record to any number.
pub struct CoFlatMap<F, G, Out> {
    pub(super) first: F,
    pub(super) second: G,
    pub(super) collector: Collector<Out>,
}

impl<F: Clone, G: Clone, Out> Clone for CoFlatMap<F, G, Out> {
    fn clone(&self) -> Self {
        Self { first: self.first.clone(), second: self.second.clone(), collector: Collector::default() }
    }
}

impl<A, B, Out, F, G> CoProcessFunction<A, B> for CoFlatMap<F, G, Out>
where
    Out: Data,
    F: FnMut(A, &mut Collector<Out>) + Clone + Send + 'static,
    G: FnMut(B, &mut Collector<Out>) + Clone + Send + 'static,
{
    type Out = Out;

    fn process_first(
        &mut self,
        record: A,
        _: &mut ProcessContext<'_>,
        output: &mut impl Output<Out>,
    ) -> Result<(), BoxError> {
        (self.first)(record, &mut self.collector);
        self.collector.hand_on(output);
        Ok(())
    }

    fn process_second(
        &mut self,
        record: B,
        _: &mut ProcessContext<'_>,
        output: &mut impl Output<Out>,
    ) -> Result<(), BoxError> {
        (self.second)(record, &mut self.collector);
        self.collector.hand_on(output);
        Ok(())
    }
}

/// The stream that two functions from a record to any number make which may fail.
pub type TryCoFlatMapped<A, B, F, G, Out> = DataStream<Out, CoStart<A, B, TryCoFlatMap<F, G, Out>>>;

/// Two functions from a record to any number that may fail.
pub struct TryCoFlatMap<F, G, Out> {
    pub(super) first: F,
    pub(super) second: G,
    pub(super) collector: Collector<Out>,
}

impl<F: Clone, G: Clone, Out> Clone for TryCoFlatMap<F, G, Out> {
    fn clone(&self) -> Self {
        Self { first: self.first.clone(), second: self.second.clone(), collector: Collector::default() }
    }
}

impl<A, B, Out, F, G> CoProcessFunction<A, B> for TryCoFlatMap<F, G, Out>
where
    Out: Data,
    F: FnMut(A, &mut Collector<Out>) -> Result<(), BoxError> + Clone + Send + 'static,
    G: FnMut(B, &mut Collector<Out>) -> Result<(), BoxError> + Clone + Send + 'static,
{
    type Out = Out;

    fn process_first(
        &mut self,
        record: A,
        _: &mut ProcessContext<'_>,
        output: &mut impl Output<Out>,
    ) -> Result<(), BoxError> {
        let result = (self.first)(record, &mut self.collector);
        self.collector.hand_on(output);
        result
    }

    fn process_second(
        &mut self,
        record: B,
        _: &mut ProcessContext<'_>,
        output: &mut impl Output<Out>,
    ) -> Result<(), BoxError> {
        let result = (self.second)(record, &mut self.collector);
        self.collector.hand_on(output);
        result
    }
}
