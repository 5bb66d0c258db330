use crate::environment::StreamExecutionEnvironment;
use crate::stream_graph::{Chaining, Node, NodeId};

/// A sink in the program, to set it up.
pub struct DataStreamSink {
    environment: StreamExecutionEnvironment,
    node: NodeId,
}

impl DataStreamSink {
    pub(super) fn new(environment: StreamExecutionEnvironment, node: NodeId) -> Self {
        Self { environment, node }
    }

    fn set(self, change: impl FnOnce(&mut Node)) -> Self {
        self.environment.with_graph(|graph| change(graph.node_mut(self.node)));
        self
    }

    /// Names the sink.
    pub fn name(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.set(|node| node.operators.iter_mut().for_each(|operator| operator.name.clone_from(&name)))
    }

    /// Gives the sink an identity that does not depend on its place in the program.
    pub fn uid(self, uid: impl Into<String>) -> Self {
        let uid = uid.into();
        self.set(|node| node.operators.iter_mut().for_each(|operator| operator.uid = Some(uid.clone())))
    }

    /// Number of subtasks of the sink.
    pub fn set_parallelism(self, parallelism: u32) -> Self {
        self.set(|node| node.parallelism = Some(parallelism))
    }

    /// Number of key groups of the sink: the largest parallelism that it can ever be given.
    pub fn set_max_parallelism(self, max_parallelism: u32) -> Self {
        self.set(|node| node.max_parallelism = Some(max_parallelism))
    }

    /// Puts the sink into a slot sharing group.
    pub fn slot_sharing_group(self, group: impl Into<String>) -> Self {
        let group = group.into();
        self.set(|node| node.slot_sharing_group = Some(group))
    }

    /// The sink begins a task of its own.
    pub fn start_new_chain(self) -> Self {
        self.set(|node| node.chaining = Chaining::Head)
    }

    /// The sink is alone in its task.
    pub fn disable_chaining(self) -> Self {
        self.set(|node| node.chaining = Chaining::Never)
    }

    /// The sink waits for another system: its subtasks get threads of their own, so that they hold up nobody else in their
    /// slot. (A sink that knows it of itself needs not be told: [`Sink::blocks`](crate::sink::Sink::blocks).)
    pub fn blocking(self) -> Self {
        self.set(|node| {
            node.blocking = true;
            node.chaining = Chaining::Never;
        })
    }
}
