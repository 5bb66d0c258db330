//! How the tasks of a vertex are made from its chains.

use std::any::Any;
use std::sync::Arc;

use fastrand::Rng;
use flink_graph::{JobVertexId, ShipStrategy, options};
use flink_taskmanager::chunk::{Chunk, ChunkCursor};
use flink_taskmanager::data::Data;
use flink_taskmanager::driver::Driver;
use flink_taskmanager::input::InputGate;
use flink_taskmanager::operator::{BoxError, ChunkConsumer, OperatorContext, OperatorError, Output, Stage, TaskFlags};
use flink_taskmanager::output::{ChunkLimits, KeyRouting, ResultWriter};
use flink_taskmanager::setup::TaskSetup;

use crate::random::random_at;
use crate::side_output::{BoxedConsumer, SideOutputs};
use crate::stream_graph::{NodeId, StreamGraph};

/// Where an edge of the stream graph leads from the vertex that it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EdgePlan {
    /// To a node of the same vertex: chunks are handed over directly.
    Chained(NodeId),
    /// To another vertex, as output number `output`; there it is input number `input` of `consumer`.
    Shipped { output: usize, strategy: ShipStrategy, consumer: NodeId, input: usize },
}

/// The place of a node in its vertex.
#[derive(Debug, Clone, Default)]
pub(crate) struct NodePlan {
    /// Consumers of the main output.
    pub(crate) edges: Vec<EdgePlan>,
    /// Consumers of the side outputs.
    pub(crate) side_edges: Vec<(String, EdgePlan)>,
    /// For the head: the vertex's inputs that make up each input of the operator.
    pub(crate) gates: Vec<Vec<usize>>,
}

/// A vertex: its head, and how its nodes are connected.
#[derive(Debug, Clone)]
pub(crate) struct VertexPlan {
    pub(crate) id: JobVertexId,
    pub(crate) head: NodeId,
}

/// One way out of a task, to the subtasks of one consumer, for what chooses the subtask for each record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Route {
    output: usize,
    consumer: NodeId,
}

/// Makes what chooses the subtask for each record of a type.
pub(crate) type RouterFactory<T> =
    Arc<dyn Fn(&mut TaskBuilder<'_>, Route) -> Result<BoxedConsumer<T>, BoxError> + Send + Sync>;

/// Makes one task.
pub struct TaskBuilder<'a> {
    graph: &'a StreamGraph,
    plans: &'a [NodePlan],
    setup: &'a mut TaskSetup,
    node: NodeId,
}

impl<'a> TaskBuilder<'a> {
    pub(crate) fn new(graph: &'a StreamGraph, plans: &'a [NodePlan], setup: &'a mut TaskSetup, node: NodeId) -> Self {
        Self { graph, plans, setup, node }
    }

    pub(crate) fn build(mut self) -> Result<Box<dyn Driver>, BoxError> {
        let factory = self.graph.factory(self.node)?;
        factory.driver(&mut self)
    }

    pub(crate) fn flags(&self) -> Arc<TaskFlags> {
        self.setup.flags.clone()
    }

    pub(crate) fn mode(&self) -> flink_graph::RuntimeMode {
        self.setup.graph.mode
    }

    pub(crate) fn setup(&self) -> &TaskSetup {
        self.setup
    }

    pub(crate) fn context(&self, place: usize) -> OperatorContext {
        self.setup.context(&self.graph.operator_name(self.node, place))
    }

    /// The context of the operator whose records leave the current node.
    pub(crate) fn last_context(&self) -> OperatorContext {
        self.context(usize::MAX)
    }

    /// The context of an operator that begins its work in this task, in front of the shuffle that leads to it.
    pub(crate) fn consumer_context(&self, route: Route) -> OperatorContext {
        self.setup.context(&self.graph.operator_name(route.consumer, 0))
    }

    pub(crate) fn input_gate<T: Data>(&self, input: usize) -> Result<InputGate<T>, BoxError> {
        let gates = &self.plans[self.node.0].gates;
        self.setup.input_gate(gates.get(input).ok_or("the operator has no such input")?)
    }

    /// What takes the records of the current node, for a node with any number of consumers.
    pub(crate) fn shared_output<T: Data>(&mut self) -> Result<SharedOutput<T>, BoxError> {
        let edges = self.plans[self.node.0].edges.clone();
        self.output_over(&edges, None)
    }

    fn output_over<T: Data>(&mut self, edges: &[EdgePlan], tag: Option<&str>) -> Result<SharedOutput<T>, BoxError> {
        let clone = self.graph.cloner::<T>(self.node, tag);
        let consumers = edges.iter().map(|edge| self.consumer(*edge, clone.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let bytes = self.setup.configuration.get(&options::CHUNK_SIZE)?.bytes();
        let clone = clone.filter(|_| consumers.len() > 1);
        if consumers.len() > 1 && clone.is_none() {
            return Err("a stream with several consumers needs records that can be cloned".into());
        }
        Ok(SharedOutput::new(consumers, clone, ChunkLimits::of::<T>(bytes), self.flags()))
    }

    fn consumer<T: Data>(&mut self, edge: EdgePlan, clone: Option<&Cloner<T>>) -> Result<BoxedConsumer<T>, BoxError> {
        match edge {
            EdgePlan::Chained(node) => {
                let before = std::mem::replace(&mut self.node, node);
                let factory = self.graph.factory(node)?;
                let built = factory.chained(self);
                self.node = before;
                let consumer = built?.downcast::<BoxedConsumer<T>>();
                Ok(*consumer.map_err(|_| "a chained operator takes records of another type")?)
            }
            EdgePlan::Shipped { output, strategy, consumer, input } => {
                if let Some(router) = self.graph.router::<T>(consumer, input) {
                    return router(self, Route { output, consumer });
                }
                let writer = self.setup.result_writer::<T>(output)?;
                let attempt = &self.setup.descriptor.attempt;
                let place = format!("{} {} {output} {}", attempt.job, attempt.vertex, attempt.subtask);
                let random = random_at(place.as_bytes());
                let (subtask, context) = (attempt.subtask, self.last_context());
                Ok(Box::new(Distributor::new(writer, strategy, clone.cloned(), subtask, random, context)))
            }
        }
    }

    /// The way out of a node whose chain ends in what chooses the subtasks of its one consumer.
    pub(crate) fn only_route(&self) -> Result<Route, BoxError> {
        match self.plans[self.node.0].edges.as_slice() {
            [EdgePlan::Shipped { output, consumer, .. }] => Ok(Route { output: *output, consumer: *consumer }),
            _ => Err("a stream whose records choose their subtask has exactly one consumer".into()),
        }
    }

    /// The writer to the subtasks of a consumer.
    pub(crate) fn writer<T: Data>(&self, route: Route) -> Result<ResultWriter<T>, BoxError> {
        self.setup.result_writer(route.output)
    }

    /// How keys are spread over the subtasks of a consumer.
    pub(crate) fn key_routing(&self, route: Route) -> Result<KeyRouting, BoxError> {
        self.setup.key_routing(route.output)
    }

    pub(crate) fn pre_aggregation_bytes(&self) -> Result<usize, BoxError> {
        Ok(self.setup.configuration.get(&options::PRE_AGGREGATION_SIZE)?.bytes())
    }

    /// The side outputs of the operator at `place`, which only the last operator of a node has.
    pub(crate) fn side_outputs(&mut self, place: usize) -> Result<SideOutputs, BoxError> {
        let mut outputs = SideOutputs::new(self.context(place));
        if !self.graph.is_last(self.node, place) {
            return Ok(outputs);
        }
        let mut by_tag: std::collections::BTreeMap<String, Vec<EdgePlan>> = std::collections::BTreeMap::new();
        for (tag, edge) in &self.plans[self.node.0].side_edges {
            by_tag.entry(tag.clone()).or_default().push(*edge);
        }
        for (tag, edges) in by_tag {
            let factory = self.graph.side_factory(self.node, &tag)?;
            outputs.insert(tag, factory(self, &edges)?);
        }
        Ok(outputs)
    }

    /// Makes a side output; called through the node's factory, which knows the type.
    pub(crate) fn side_output<T: Data>(
        &mut self,
        tag: &str,
        edges: &[EdgePlan],
    ) -> Result<Box<dyn crate::side_output::AnySideOutput>, BoxError> {
        Ok(Box::new(self.output_over::<T>(edges, Some(tag))?))
    }
}

/// How a record is cloned, where it is known that it can be.
pub(crate) type Cloner<T> = Arc<dyn Fn(&[T], &mut Vec<T>) + Send + Sync>;

/// Gathers records into chunks for any number of consumers.
pub(crate) struct SharedOutput<T> {
    consumers: Vec<BoxedConsumer<T>>,
    clone: Option<Cloner<T>>,
    chunk: Vec<T>,
    // Records that a consumer had no room for, from the front of which it goes on.
    pending: Vec<ChunkCursor<T>>,
    limits: ChunkLimits,
    flags: Arc<TaskFlags>,
}

impl<T: Data> SharedOutput<T> {
    fn new(
        consumers: Vec<BoxedConsumer<T>>,
        clone: Option<Cloner<T>>,
        limits: ChunkLimits,
        flags: Arc<TaskFlags>,
    ) -> Self {
        let pending = consumers.iter().map(|_| ChunkCursor::default()).collect();
        Self { consumers, clone, chunk: Vec::new(), pending, limits, flags }
    }

    /// Offers the gathered records to all consumers. A consumer that stops in the middle keeps the rest for later; then
    /// the next chunk has to wait for it.
    #[inline(never)]
    fn hand_on(&mut self) {
        if !self.advance_pending() {
            return;
        }
        let chunk = std::mem::take(&mut self.chunk);
        let Some((last, others)) = self.consumers.split_last_mut() else { return };
        for (consumer, pending) in others.iter_mut().zip(&mut self.pending) {
            let mut records = std::mem::take(pending).recycle().records;
            if let Some(clone) = &self.clone {
                clone(&chunk, &mut records);
            }
            *pending = offer(&mut **consumer, records);
        }
        let rest = offer(&mut **last, chunk);
        if rest.remaining() == 0 {
            self.chunk = rest.recycle().records;
        } else if let Some(pending) = self.pending.last_mut() {
            *pending = rest;
        }
    }

    /// Goes on with what consumers had no room for; true when nothing is left.
    fn advance_pending(&mut self) -> bool {
        for (consumer, pending) in self.consumers.iter_mut().zip(&mut self.pending) {
            if pending.remaining() > 0 && !self.flags.failed() {
                consumer.consume(pending);
            }
        }
        self.pending.iter().all(|pending| pending.remaining() == 0)
    }
}

fn offer<T>(consumer: &mut dyn ChunkConsumer<T>, records: Vec<T>) -> ChunkCursor<T> {
    let mut cursor = ChunkCursor::new(Chunk { records, hashes: Vec::new() });
    consumer.consume(&mut cursor);
    cursor
}

impl<T: Data> Output<T> for SharedOutput<T> {
    #[inline(always)]
    fn collect(&mut self, record: T) {
        if self.consumers.is_empty() {
            return;
        }
        self.chunk.push(record);
        if self.chunk.len() >= self.limits.records {
            self.hand_on();
        }
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.flags.interrupted()
    }
}

impl<T: Data> Stage<T> for SharedOutput<T> {
    fn open(&mut self) -> Result<(), OperatorError> {
        self.consumers.iter_mut().rev().try_for_each(|consumer| consumer.open())
    }

    fn end(&mut self) -> bool {
        if !self.chunk.is_empty() {
            self.hand_on();
        }
        if !self.chunk.is_empty() || !self.advance_pending() {
            return false;
        }
        self.consumers.iter_mut().filter_map(|consumer| (!consumer.end()).then_some(())).count() == 0
    }

    fn flush(&mut self) {
        if !self.chunk.is_empty() {
            self.hand_on();
        }
        self.consumers.iter_mut().for_each(|consumer| consumer.flush());
    }

    fn has_room(&mut self) -> bool {
        // All of them are asked: each remembers that the task waits.
        let room = self.consumers.iter_mut().filter_map(|consumer| (!consumer.has_room()).then_some(())).count() == 0;
        if room && self.pending.iter().any(|pending| pending.remaining() > 0) {
            self.flags.clear_output_full();
            // The last record that waited may have filled an output again.
            return self.advance_pending() && !self.flags.interrupted();
        }
        room
    }

    fn take_error(&mut self) -> Option<OperatorError> {
        self.consumers.iter_mut().find_map(|consumer| consumer.take_error())
    }
}

/// Spreads chunks over the subpartitions of a result by a strategy that does not look at the records.
struct Distributor<T> {
    writer: ResultWriter<T>,
    strategy: ShipStrategy,
    clone: Option<Cloner<T>>,
    next: usize,
    random: Rng,
    context: OperatorContext,
    /// Records on their way to every consumer, and their copies for one of them: memory that is used again.
    originals: Vec<T>,
    copies: Vec<T>,
}

/// Records that a broadcast takes before it looks again whether there is room.
const BROADCAST_BATCH: usize = 128;

impl<T: Data> Distributor<T> {
    fn new(
        writer: ResultWriter<T>,
        strategy: ShipStrategy,
        clone: Option<Cloner<T>>,
        subtask: u32,
        random: Rng,
        context: OperatorContext,
    ) -> Self {
        // Producers begin with different consumers, so that short streams are spread too.
        let next = subtask as usize % writer.subpartitions().max(1);
        Self { writer, strategy, clone, next, random, context, originals: Vec::new(), copies: Vec::new() }
    }

    fn write(&mut self, record: T) {
        let consumers = self.writer.subpartitions();
        let consumer = match self.strategy {
            ShipStrategy::Rebalance | ShipStrategy::Rescale => {
                let turn = self.next;
                self.next = if turn + 1 == consumers { 0 } else { turn + 1 };
                turn
            }
            ShipStrategy::Shuffle => self.random.usize(..consumers),
            _ => 0,
        };
        self.writer.write(consumer, record);
    }

    /// Some records to every consumer, those of one consumer after those of another.
    fn broadcast(&mut self, records: &mut ChunkCursor<T>) {
        let Self { writer, clone, originals, copies, .. } = self;
        originals.extend(std::iter::from_fn(|| records.next_record()).take(BROADCAST_BATCH));
        let last = writer.subpartitions().saturating_sub(1);
        if let Some(clone) = clone {
            for consumer in 0..last {
                clone(originals, copies);
                copies.drain(..).for_each(|copy| writer.write(consumer, copy));
            }
        }
        originals.drain(..).for_each(|record| writer.write(last, record));
    }
}

impl<T: Data> ChunkConsumer<T> for Distributor<T> {
    fn open(&mut self) -> Result<(), OperatorError> {
        if self.strategy == ShipStrategy::Broadcast && self.clone.is_none() && self.writer.subpartitions() > 1 {
            let source = "a broadcast stream needs records that can be cloned".into();
            return Err(OperatorError { operator: self.context.operator.clone(), source });
        }
        Ok(())
    }

    fn consume(&mut self, records: &mut ChunkCursor<T>) {
        while !self.context.flags.interrupted() {
            if self.strategy == ShipStrategy::Broadcast && records.remaining() > 0 {
                self.broadcast(records);
                continue;
            }
            let Some(record) = records.next_record() else { return };
            self.write(record);
        }
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
        let operator = self.context.operator.clone();
        self.writer.take_error().map(|source| OperatorError { operator, source })
    }
}

/// A chain's two ways into a task, the types of its records hidden.
pub(crate) trait NodeFactory: Send + Sync {
    /// The chain as the head of a task.
    fn driver(&self, builder: &mut TaskBuilder<'_>) -> Result<Box<dyn Driver>, BoxError>;

    /// The chain behind another one of the same task: a boxed [`BoxedConsumer`].
    fn chained(&self, builder: &mut TaskBuilder<'_>) -> Result<Box<dyn Any + Send>, BoxError>;
}
