//! Streams and their transformations.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::sync::Arc;

use flink_graph::ShipStrategy;
use flink_taskmanager::data::{Data, Key};
use flink_taskmanager::driver::Driver;
use flink_taskmanager::keyed::KeySelector;
use flink_taskmanager::operator::{BoxError, Head, Stage};

use crate::chain::{Chain, ChainOperator, Prototype, Start, Then};
use crate::connected::ConnectedStreams;
use crate::environment::StreamExecutionEnvironment;
use crate::functions::{Collector, Filter, FlatMap, Map, Process, ProcessFunction, TryFilter, TryFlatMap, TryMap};
use crate::keyed::{ByReference, ByValue, KeyedStream};
use crate::partition::CustomRouter;
use crate::side_output::OutputTag;
use crate::stream_graph::{
    Chaining, Node, NodeId, NodeInput, OperatorMeta, SideOutput, SinkOnClient, SourceMeta, StreamGraph, cloner_of,
};
use crate::task_builder::{NodeFactory, Route, RouterFactory, TaskBuilder};

/// A stream of records of type `T`.
///
/// `C` is the typed chain of operators that make the records, up to the last place where chunks are handed on. Functions
/// and structs name a stream as `DataStream<T>`, which is what [`boxed`](Self::boxed) gives.
#[must_use = "a stream does nothing without a sink"]
pub struct DataStream<T, C = Start<T>> {
    pub(crate) environment: StreamExecutionEnvironment,
    pub(crate) chain: C,
    pub(crate) inputs: Vec<NodeInput>,
    pub(crate) operators: Vec<OperatorMeta>,
    pub(crate) source: Option<SourceMeta>,
    pub(crate) sink: Option<Arc<dyn SinkOnClient>>,
    pub(crate) record: std::marker::PhantomData<fn() -> T>,
}

/// A stream can be used more than once when its records can be cloned: each consumer gets all of them.
impl<T: Data + Clone> Clone for DataStream<T> {
    fn clone(&self) -> Self {
        self.allow_cloning();
        Self { chain: Start::new(), inputs: self.inputs.clone(), ..Self::empty(&self.environment) }
    }
}

impl<T: Data> DataStream<T> {
    fn empty(environment: &StreamExecutionEnvironment) -> Self {
        Self::headed(environment, Start::new(), Vec::new(), Vec::new())
    }

    fn allow_cloning(&self)
    where
        T: Clone,
    {
        for input in &self.inputs {
            self.environment.with_graph(|graph| {
                let node = graph.node_mut(input.node);
                let cloner = match &input.tag {
                    None => Some(&mut node.cloner),
                    Some(tag) => node.side_outputs.get_mut(tag).map(|output| &mut output.cloner),
                };
                if let Some(cloner) = cloner {
                    cloner.get_or_insert_with(cloner_of::<T>);
                }
            });
        }
    }

    /// Records that a process function emits to a side output. The stream must be the function's own:
    /// `let main = stream.process(f).boxed(); let side = main.side_output(&tag);`
    ///
    /// Another operator has no side outputs, and a side output has one type: `execute` refuses what asks for more.
    pub fn side_output<X: Data>(&self, tag: &OutputTag<X>) -> DataStream<X> {
        if let Some(place) = self.inputs.iter().find_map(|input| input.tag.as_deref()) {
            let text = format!("side output `{}` is asked of side output `{place}`, which has none", tag.name());
            self.environment.with_graph(|graph| graph.mistakes.push(text));
        }
        for input in &self.inputs {
            self.environment.with_graph(|graph| add_side_output(graph, input.node, tag));
        }
        let tagged = |input: &NodeInput| NodeInput { tag: Some(tag.name().to_owned()), ..input.clone().shipped(None) };
        let inputs = self.inputs.iter().map(tagged).collect();
        DataStream::headed(&self.environment, Start::new(), inputs, Vec::new())
    }
}

/// Notes that somebody reads a side output, as records of one type.
fn add_side_output<X: Data>(graph: &mut StreamGraph, node: NodeId, tag: &OutputTag<X>) {
    let operator = graph.operator_name(node, usize::MAX);
    let name = tag.name().to_owned();
    let wanted = X::type_name();
    let factory = {
        let name = name.clone();
        Arc::new(move |builder: &mut TaskBuilder<'_>, edges: &[_]| builder.side_output::<X>(&name, edges))
    };
    let record = TypeId::of::<X>();
    let new = SideOutput { record, record_type: wanted.clone(), factory, cloner: None };
    let known = graph.node_mut(node).side_outputs.entry(name.clone()).or_insert(new);
    if known.record != record {
        let text = format!(
            "`{operator}`: side output `{name}` is read as {} and as {wanted}; one name is for one type",
            known.record_type
        );
        graph.mistakes.push(text);
    }
}

impl<T: Data, C: Chain<Out = T>> DataStream<T, C> {
    pub(crate) fn headed(
        environment: &StreamExecutionEnvironment,
        chain: C,
        inputs: Vec<NodeInput>,
        operators: Vec<OperatorMeta>,
    ) -> Self {
        let record = std::marker::PhantomData;
        Self { environment: environment.clone(), chain, inputs, operators, source: None, sink: None, record }
    }

    /// Puts an operator behind the chain.
    pub(crate) fn then<Op>(mut self, name: &str, operator: Op) -> DataStream<Op::Out, Then<C, Op>>
    where
        Op: ChainOperator<T>,
        Op::Out: Data,
    {
        let place = self.operators.len();
        self.operators.push(OperatorMeta::new(name).with_side_outputs(Op::SIDE_OUTPUTS));
        DataStream {
            environment: self.environment,
            chain: Then::new(self.chain, operator, place),
            inputs: self.inputs,
            operators: self.operators,
            source: self.source,
            sink: self.sink,
            record: std::marker::PhantomData,
        }
    }

    /// Makes the chain a node of the graph, with `terminal` taking its records.
    pub(crate) fn finish<N, F>(self, terminal: F) -> NodeId
    where
        N: Stage<T> + 'static,
        F: Fn(&mut TaskBuilder<'_>) -> Result<N, BoxError> + Send + Sync + 'static,
    {
        let node = Node {
            operators: self.operators,
            inputs: self.inputs,
            parallelism: None,
            follows_input: false,
            max_parallelism: None,
            slot_sharing_group: None,
            chaining: Chaining::default(),
            blocking: false,
            record_type: T::type_name(),
            source: self.source,
            sink: self.sink,
            is_sink: false,
            factory: Arc::new(ChainFactory { chain: self.chain, terminal }),
            cloner: None,
            side_outputs: BTreeMap::new(),
        };
        self.environment.with_graph(|graph| graph.add(node))
    }

    /// The stream as an operator reads it whose subtasks are chosen for each record: by the end of the chain, or, behind a
    /// stream that is finished, by what `router` makes in each of its producers.
    pub(crate) fn routed<N, F>(self, strategy: ShipStrategy, router: F) -> Vec<NodeInput>
    where
        N: Stage<T> + 'static,
        F: Fn(&mut TaskBuilder<'_>, Route) -> Result<N, BoxError> + Send + Sync + 'static,
    {
        if !self.is_finished() {
            let node = self.finish(move |builder| {
                let route = builder.only_route()?;
                router(builder, route)
            });
            return vec![NodeInput { strategy: Some(strategy), ..NodeInput::of(node) }];
        }
        let factory: RouterFactory<T> = Arc::new(move |builder, route| {
            let router = router(builder, route)?;
            Ok(Box::new(Head::new(router, builder.flags())))
        });
        let factory: Arc<dyn Any + Send + Sync> = Arc::new(factory);
        let route = |input: NodeInput| NodeInput { router: Some(factory.clone()), ..input.shipped(Some(strategy)) };
        self.inputs.into_iter().map(route).collect()
    }

    /// Whether the stream is what a node gives out, with no operator since.
    pub(crate) fn is_finished(&self) -> bool {
        self.operators.is_empty() && self.source.is_none() && !self.inputs.is_empty()
    }

    /// Ends the typed chain: the stream's type can be named, and where its records can be cloned the stream can be used more
    /// than once. Behind this point records are handed on in chunks, in the same task where possible.
    pub fn boxed(self) -> DataStream<T> {
        let environment = self.environment.clone();
        let inputs = if self.is_finished() {
            self.inputs
        } else {
            let node = self.finish(|builder| builder.shared_output());
            vec![NodeInput::of(node)]
        };
        DataStream::headed(&environment, Start::new(), inputs, Vec::new())
    }

    /// One record to one record.
    pub fn map<U, F>(self, function: F) -> DataStream<U, Then<C, Map<F>>>
    where
        U: Data,
        F: FnMut(T) -> U + Clone + Send + 'static,
    {
        self.then("Map", Map(function))
    }

    /// One record to one record, or an error that fails the task.
    pub fn try_map<U, F>(self, function: F) -> DataStream<U, Then<C, TryMap<F>>>
    where
        U: Data,
        F: FnMut(T) -> Result<U, BoxError> + Clone + Send + 'static,
    {
        self.then("Map", TryMap(function))
    }

    /// Keeps the records for which the function is true.
    pub fn filter<F>(self, function: F) -> DataStream<T, Then<C, Filter<F>>>
    where
        F: FnMut(&T) -> bool + Clone + Send + 'static,
    {
        self.then("Filter", Filter(function))
    }

    /// Keeps the records for which the function is true; an error fails the task.
    pub fn try_filter<F>(self, function: F) -> DataStream<T, Then<C, TryFilter<F>>>
    where
        F: FnMut(&T) -> Result<bool, BoxError> + Clone + Send + 'static,
    {
        self.then("Filter", TryFilter(function))
    }

    /// One record to any number: the function emits into the collector.
    pub fn flat_map<U, F>(self, function: F) -> DataStream<U, Then<C, FlatMap<F, U>>>
    where
        U: Data,
        F: FnMut(T, &mut Collector<U>) + Clone + Send + 'static,
    {
        self.then("Flat Map", FlatMap::new(function))
    }

    /// One record to any number, or an error that fails the task.
    pub fn try_flat_map<U, F>(self, function: F) -> DataStream<U, Then<C, TryFlatMap<F, U>>>
    where
        U: Data,
        F: FnMut(T, &mut Collector<U>) -> Result<(), BoxError> + Clone + Send + 'static,
    {
        self.then("Flat Map", TryFlatMap::new(function))
    }

    /// The general function: a life cycle, accumulators, side outputs.
    pub fn process<F>(self, function: F) -> DataStream<F::Out, Then<C, Process<F>>>
    where
        F: ProcessFunction<T>,
    {
        self.then("Process", Process::new(function))
    }

    /// Partitions the stream by a key that the function makes.
    pub fn key_by<K, F>(self, key: F) -> KeyedStream<T, C, ByValue<F>>
    where
        K: Key,
        F: Fn(&T) -> K + Clone + Send + 'static,
    {
        self.key_by_selector(ByValue(key))
    }

    /// Partitions the stream by a key that is a part of the record, without cloning it for each record.
    pub fn key_by_ref<K, F>(self, key: F) -> KeyedStream<T, C, ByReference<F>>
    where
        K: Key,
        F: Fn(&T) -> &K + Clone + Send + 'static,
    {
        self.key_by_selector(ByReference(key))
    }

    fn key_by_selector<S: KeySelector<T>>(self, selector: S) -> KeyedStream<T, C, S> {
        KeyedStream { stream: self, selector }
    }

    /// All records of both streams.
    pub fn union<D: Chain<Out = T>>(self, other: DataStream<T, D>) -> DataStream<T> {
        let environment = self.environment.clone();
        let mut inputs = self.boxed().inputs;
        inputs.extend(other.boxed().inputs);
        DataStream::headed(&environment, Start::new(), inputs, Vec::new())
    }

    /// This stream and one of another type, for an operator with two inputs.
    pub fn connect<U: Data, D: Chain<Out = U>>(self, other: DataStream<U, D>) -> ConnectedStreams<T, U> {
        ConnectedStreams { first: self.boxed(), second: other.boxed() }
    }

    fn shipped(self, strategy: ShipStrategy) -> DataStream<T> {
        let mut stream = self.boxed();
        stream.inputs = stream.inputs.into_iter().map(|input| input.shipped(Some(strategy))).collect();
        stream
    }

    /// Sends records to the subtasks of the next operator in turn.
    pub fn rebalance(self) -> DataStream<T> {
        self.shipped(ShipStrategy::Rebalance)
    }

    /// Sends records in turn to this subtask's share of the next operator's subtasks.
    pub fn rescale(self) -> DataStream<T> {
        self.shipped(ShipStrategy::Rescale)
    }

    /// Sends each record to a subtask chosen at random.
    pub fn shuffle(self) -> DataStream<T> {
        self.shipped(ShipStrategy::Shuffle)
    }

    /// Sends all records to the first subtask.
    pub fn global(self) -> DataStream<T> {
        self.shipped(ShipStrategy::Global)
    }

    /// Sends records to the subtask of the same index; both operators must have one parallelism.
    pub fn forward(self) -> DataStream<T> {
        self.shipped(ShipStrategy::Forward)
    }

    /// Sends every record to every subtask.
    pub fn broadcast(self) -> DataStream<T>
    where
        T: Clone,
    {
        let stream = self.shipped(ShipStrategy::Broadcast);
        stream.allow_cloning();
        stream
    }

    /// Sends each record to the subtask that `partitioner` chooses for its key, from `0..number of subtasks`. An index
    /// beyond is an error.
    pub fn partition_custom<K, F, P>(self, partitioner: P, key: F) -> DataStream<T>
    where
        F: Fn(&T) -> K + Clone + Send + 'static,
        P: Fn(&K, usize) -> usize + Clone + Send + 'static,
    {
        let stream = self.boxed();
        let choose = Prototype::new(move |record: &T, subtasks: usize| partitioner(&key(record), subtasks));
        let environment = stream.environment.clone();
        let inputs = stream.routed(ShipStrategy::Custom, move |builder, route| {
            Ok(CustomRouter::new(choose.instance(), builder.writer(route)?, builder.last_context()))
        });
        DataStream::headed(&environment, Start::new(), inputs, Vec::new())
    }
}

/// A chain with what takes its records.
struct ChainFactory<C, F> {
    chain: C,
    terminal: F,
}

impl<C, N, F> NodeFactory for ChainFactory<C, F>
where
    C: Chain,
    N: Stage<C::Out> + 'static,
    F: Fn(&mut TaskBuilder<'_>) -> Result<N, BoxError> + Send + Sync,
{
    fn driver(&self, builder: &mut TaskBuilder<'_>) -> Result<Box<dyn Driver>, BoxError> {
        let terminal = (self.terminal)(builder)?;
        let built = self.chain.build(builder, terminal)?;
        self.chain.driver(builder, built)
    }

    fn chained(&self, builder: &mut TaskBuilder<'_>) -> Result<Box<dyn Any + Send>, BoxError> {
        let terminal = (self.terminal)(builder)?;
        let built = self.chain.build(builder, terminal)?;
        Ok(Box::new(built))
    }
}
