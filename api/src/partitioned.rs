//! Operators of keyed streams that take each record alone.

use std::fmt::Display;

use flink_graph::ShipStrategy;
use flink_taskmanager::data::Data;
use flink_taskmanager::keyed::{KeyRouter, KeySelector};
use flink_taskmanager::operator::BoxError;

use crate::chain::{Chain, Prototype, Start, Then};
use crate::connected::ConnectedStreams;
use crate::datastream::DataStream;
use crate::functions::{Collector, Filter, FlatMap, Map, Process, ProcessFunction, TryFilter, TryFlatMap, TryMap};
use crate::keyed::KeyedStream;
use crate::sink::Sink;
use crate::sinks::DataStreamSink;

/// What an operator makes of a keyed stream.
pub type Partitioned<T, Op> = Then<Start<T>, Op>;

/// Operators that take each record alone, in the subtask of its key.
impl<T, C, S> KeyedStream<T, C, S>
where
    T: Data,
    C: Chain<Out = T>,
    S: KeySelector<T>,
{
    /// The stream as the operator behind the shuffle reads it.
    pub(crate) fn partitioned(self) -> DataStream<T> {
        let environment = self.stream.environment.clone();
        let selector = Prototype::new(self.selector);
        let inputs = self.stream.routed(ShipStrategy::Hash, move |builder, route| {
            let (writer, routing) = (builder.writer(route)?, builder.key_routing(route)?);
            Ok(KeyRouter::new(selector.instance(), routing, writer, builder.last_context()))
        });
        DataStream::headed(&environment, Start::new(), inputs, Vec::new())
    }

    /// The general function, in the subtask of each record's key.
    pub fn process<F: ProcessFunction<T>>(self, function: F) -> DataStream<F::Out, Partitioned<T, Process<F>>> {
        self.partitioned().process(function)
    }

    /// One record to one record.
    pub fn map<U, F>(self, function: F) -> DataStream<U, Partitioned<T, Map<F>>>
    where
        U: Data,
        F: FnMut(T) -> U + Clone + Send + 'static,
    {
        self.partitioned().map(function)
    }

    /// One record to one record, or an error that fails the task.
    pub fn try_map<U, F>(self, function: F) -> DataStream<U, Partitioned<T, TryMap<F>>>
    where
        U: Data,
        F: FnMut(T) -> Result<U, BoxError> + Clone + Send + 'static,
    {
        self.partitioned().try_map(function)
    }

    /// Keeps the records for which the function is true.
    pub fn filter<F>(self, function: F) -> DataStream<T, Partitioned<T, Filter<F>>>
    where
        F: FnMut(&T) -> bool + Clone + Send + 'static,
    {
        self.partitioned().filter(function)
    }

    /// Keeps the records for which the function is true; an error fails the task.
    pub fn try_filter<F>(self, function: F) -> DataStream<T, Partitioned<T, TryFilter<F>>>
    where
        F: FnMut(&T) -> Result<bool, BoxError> + Clone + Send + 'static,
    {
        self.partitioned().try_filter(function)
    }

    /// One record to any number: the function emits into the collector.
    pub fn flat_map<U, F>(self, function: F) -> DataStream<U, Partitioned<T, FlatMap<F, U>>>
    where
        U: Data,
        F: FnMut(T, &mut Collector<U>) + Clone + Send + 'static,
    {
        self.partitioned().flat_map(function)
    }

    /// One record to any number, or an error that fails the task.
    pub fn try_flat_map<U, F>(self, function: F) -> DataStream<U, Partitioned<T, TryFlatMap<F, U>>>
    where
        U: Data,
        F: FnMut(T, &mut Collector<U>) -> Result<(), BoxError> + Clone + Send + 'static,
    {
        self.partitioned().try_flat_map(function)
    }

    /// This stream and another with keys of the same type, for an operator with two inputs: records of one key of both come
    /// to one subtask.
    pub fn connect<U, D, R>(self, other: KeyedStream<U, D, R>) -> ConnectedStreams<T, U>
    where
        U: Data,
        D: Chain<Out = U>,
        R: KeySelector<U, Key = S::Key>,
    {
        ConnectedStreams { first: self.partitioned(), second: other.partitioned() }
    }

    /// Writes the stream to a sink, each record in the subtask of its key.
    pub fn sink_to<K: Sink<T>>(self, sink: K) -> DataStreamSink {
        self.partitioned().sink_to(sink)
    }

    /// Prints each record; as [`DataStream::print`].
    pub fn print(self) -> DataStreamSink
    where
        T: Display,
    {
        self.partitioned().print()
    }

    /// Drops the records: for measurements.
    pub fn discard(self) -> DataStreamSink {
        self.partitioned().discard()
    }
}
