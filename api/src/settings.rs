//! Settings of operators: what is said behind the operator that it is meant for.

use flink_graph::ShipStrategy;
use flink_taskmanager::data::Data;

use crate::chain::{Chain, ChainOperator, Start, Then};
use crate::datastream::DataStream;
use crate::stream_graph::{Chaining, Node, OperatorMeta};

impl<T: Data, C: Chain<Out = T>> DataStream<T, C> {
    /// Names the last operator.
    pub fn name(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.describe("name", |operator| operator.name = name)
    }

    /// Gives the last operator an identity that does not depend on its place in the program: what state (of savepoints)
    /// is found by.
    pub fn uid(self, uid: impl Into<String>) -> Self {
        let uid = uid.into();
        self.describe("uid", |operator| operator.uid = Some(uid))
    }

    fn describe(mut self, setting: &str, change: impl FnOnce(&mut OperatorMeta)) -> Self {
        if let Some(operator) = self.operators.last_mut() {
            change(operator);
        } else {
            self.of_operator(setting, false, |node| {
                node.operators.last_mut().map(change);
            });
        }
        self
    }

    /// Changes the node whose records the stream is; a mistake where the stream is something else, or where the node is more
    /// than the `one` operator that is meant.
    fn of_operator(&self, setting: &str, one: bool, change: impl FnOnce(&mut Node)) {
        let what = self.not_an_operator();
        self.environment.with_graph(|graph| {
            let (None, [input]) = (what, self.inputs.as_slice()) else {
                graph.mistakes.push(format!(
                    "`{setting}` is for an operator, but stands behind {}: call it directly behind the operator that it is \
                     meant for",
                    what.unwrap_or("none")
                ));
                return;
            };
            let operators = graph.node(input.node).operators.len();
            if one && operators > 1 {
                let last = graph.operator_name(input.node, usize::MAX);
                graph.mistakes.push(format!(
                    "`{setting}` is for one operator, but `boxed` has made one piece of the {operators} up to `{last}`: call \
                     it before `boxed`"
                ));
                return;
            }
            change(graph.node_mut(input.node));
        });
    }

    /// What the stream is when it is not what an operator emits.
    fn not_an_operator(&self) -> Option<&'static str> {
        let [input] = self.inputs.as_slice() else { return Some("`union`") };
        let strategy = match input.strategy {
            None => return input.tag.as_ref().map(|_| "`side_output`"),
            Some(strategy) => strategy,
        };
        Some(match strategy {
            ShipStrategy::Forward => "`forward`",
            ShipStrategy::Hash => "`key_by`",
            ShipStrategy::Rebalance => "`rebalance`",
            ShipStrategy::Rescale => "`rescale`",
            ShipStrategy::Shuffle => "`shuffle`",
            ShipStrategy::Broadcast => "`broadcast`",
            ShipStrategy::Global => "`global`",
            ShipStrategy::Custom => "`partition_custom`",
        })
    }
}

/// Settings of the last operator that make it a node of its own. They stand directly behind it: where a stream is what a
/// partitioning, `union` or `side_output` gave, and where `boxed` has made one piece of several operators, `execute` refuses
/// them.
impl<T: Data, C: Isolate<T>> DataStream<T, C> {
    fn set(self, setting: &str, change: impl FnOnce(&mut Node)) -> DataStream<T> {
        let stream = C::isolate(self);
        stream.of_operator(setting, true, change);
        stream
    }

    /// Number of subtasks of the last operator.
    pub fn set_parallelism(self, parallelism: u32) -> DataStream<T> {
        self.set("set_parallelism", |node| node.parallelism = Some(parallelism))
    }

    /// Number of key groups of the last operator: the largest parallelism that it can ever be given.
    pub fn set_max_parallelism(self, max_parallelism: u32) -> DataStream<T> {
        self.set("set_max_parallelism", |node| node.max_parallelism = Some(max_parallelism))
    }

    /// Puts the last operator, and those behind it, into a slot sharing group: operators of different groups are in
    /// different slots.
    pub fn slot_sharing_group(self, group: impl Into<String>) -> DataStream<T> {
        let group = group.into();
        self.set("slot_sharing_group", |node| node.slot_sharing_group = Some(group))
    }

    /// The last operator begins a task of its own.
    pub fn start_new_chain(self) -> DataStream<T> {
        self.set("start_new_chain", |node| node.chaining = Chaining::Head)
    }

    /// The last operator is alone in its task.
    pub fn disable_chaining(self) -> DataStream<T> {
        self.set("disable_chaining", |node| node.chaining = Chaining::Never)
    }

    /// The last operator's function blocks (calls a service, waits): its subtasks get threads of their own, so that they hold
    /// up nobody else in their slot.
    pub fn blocking(self) -> DataStream<T> {
        self.set("blocking", |node| {
            node.blocking = true;
            node.chaining = Chaining::Never;
        })
    }
}

/// A chain whose last operator can be made a node of its own.
pub trait Isolate<T>: Chain<Out = T> {
    #[doc(hidden)]
    fn isolate(stream: DataStream<T, Self>) -> DataStream<T>
    where
        Self: Sized;
}

impl<T: Data> Isolate<T> for Start<T> {
    fn isolate(stream: DataStream<T, Self>) -> DataStream<T> {
        stream
    }
}

impl<C, Op> Isolate<Op::Out> for Then<C, Op>
where
    C: Chain,
    Op: ChainOperator<C::Out>,
    Op::Out: Data,
{
    fn isolate(mut stream: DataStream<Op::Out, Self>) -> DataStream<Op::Out> {
        let last = stream.operators.pop();
        let (chain, operator) = stream.chain.into_parts();
        let before = DataStream::<C::Out, C> {
            environment: stream.environment,
            chain,
            inputs: stream.inputs,
            operators: stream.operators,
            source: stream.source,
            sink: None,
            record: std::marker::PhantomData,
        };
        let mut alone = before.boxed().then("", operator);
        alone.operators = last.into_iter().collect();
        alone.sink = stream.sink;
        alone.boxed()
    }
}
