//! The program as a graph of chains.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::sync::Arc;

use flink_graph::{InputSplit, ShipStrategy};
use flink_taskmanager::data::Data;
use flink_taskmanager::operator::BoxError;

use crate::side_output::AnySideOutput;
use crate::sink::SinkContext;
use crate::source::{Boundedness, EnumeratorContext};
use crate::task_builder::{Cloner, EdgePlan, NodeFactory, RouterFactory, TaskBuilder};

/// Index of a node in its graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(pub(crate) usize);

/// Whether a node may be in one task with the nodes around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Chaining {
    /// With both sides.
    #[default]
    Always,
    /// Not with the one before.
    Head,
    /// With none.
    Never,
}

/// One operator, as the user sees it.
#[derive(Debug, Clone)]
pub(crate) struct OperatorMeta {
    pub(crate) name: String,
    pub(crate) uid: Option<String>,
    /// Whether it can emit to side outputs.
    pub(crate) has_side_outputs: bool,
}

impl OperatorMeta {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), uid: None, has_side_outputs: false }
    }

    pub(crate) fn with_side_outputs(self, has_side_outputs: bool) -> Self {
        Self { has_side_outputs, ..self }
    }
}

/// What a node reads.
#[derive(Debug, Clone)]
pub(crate) struct NodeInput {
    /// The node that produces it.
    pub(crate) node: NodeId,
    /// The side output that is read; `None` for the main one.
    pub(crate) tag: Option<String>,
    /// How records are shipped; `None` lets the parallelisms decide between forward and rebalance.
    pub(crate) strategy: Option<ShipStrategy>,
    /// Which input of the operator it is: 0, or 1 for the second of a two-input operator.
    pub(crate) gate: usize,
    /// A [`RouterFactory`] for the records' type, where the producer chooses the subtask by looking at the record and does
    /// not do so at the end of its own chain already.
    pub(crate) router: Option<Arc<dyn Any + Send + Sync>>,
}

impl NodeInput {
    /// All that a node emits, with nothing said about how it is shipped.
    pub(crate) fn of(node: NodeId) -> Self {
        Self { node, tag: None, strategy: None, gate: 0, router: None }
    }

    /// The same records, shipped otherwise.
    pub(crate) fn shipped(self, strategy: Option<ShipStrategy>) -> Self {
        Self { strategy, router: None, ..self }
    }
}

/// Finds the splits of a source, when a job is submitted.
pub(crate) type Enumerate = Arc<dyn Fn(&EnumeratorContext) -> Result<Vec<InputSplit>, BoxError> + Send + Sync>;

/// What a sink does where the job is submitted, the type of its records hidden.
pub(crate) trait SinkOnClient: Send + Sync {
    /// [`Sink::prepare`](crate::sink::Sink::prepare).
    fn prepare(&self, context: &SinkContext) -> Result<(), BoxError>;

    /// [`Sink::settle`](crate::sink::Sink::settle).
    fn settle(&self, context: &SinkContext);

    /// [`Sink::abort`](crate::sink::Sink::abort).
    fn abort(&self, context: &SinkContext);
}

/// Makes a side output, its type hidden.
pub(crate) type SideFactory =
    Arc<dyn Fn(&mut TaskBuilder<'_>, &[EdgePlan]) -> Result<Box<dyn AnySideOutput>, BoxError> + Send + Sync>;

/// A side output that somebody reads.
#[derive(Clone)]
pub(crate) struct SideOutput {
    pub(crate) record: TypeId,
    pub(crate) record_type: String,
    pub(crate) factory: SideFactory,
    pub(crate) cloner: Option<Arc<dyn Any + Send + Sync>>,
}

/// A source's part of a node.
#[derive(Clone)]
pub(crate) struct SourceMeta {
    pub(crate) boundedness: Boundedness,
    pub(crate) enumerate: Enumerate,
}

/// A chain: operators as one generic struct, between two places where chunks are handed on.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) operators: Vec<OperatorMeta>,
    pub(crate) inputs: Vec<NodeInput>,
    pub(crate) parallelism: Option<u32>,
    /// True for what is done on the way out of its one producer, and so as parallel as that.
    pub(crate) follows_input: bool,
    pub(crate) max_parallelism: Option<u32>,
    pub(crate) slot_sharing_group: Option<String>,
    pub(crate) chaining: Chaining,
    pub(crate) blocking: bool,
    pub(crate) record_type: String,
    pub(crate) source: Option<SourceMeta>,
    pub(crate) sink: Option<Arc<dyn SinkOnClient>>,
    /// True for a node that ends in a sink: a job needs one.
    pub(crate) is_sink: bool,
    pub(crate) factory: Arc<dyn NodeFactory>,
    pub(crate) cloner: Option<Arc<dyn Any + Send + Sync>>,
    pub(crate) side_outputs: BTreeMap<String, SideOutput>,
}

/// The nodes of a program, each after those it reads from.
#[derive(Clone, Default)]
pub(crate) struct StreamGraph {
    pub(crate) nodes: Vec<Node>,
    /// Calls that mean nothing, in the order of the program: the first one is what `execute` gives back.
    pub(crate) mistakes: Vec<String>,
}

impl StreamGraph {
    pub(crate) fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        NodeId(self.nodes.len() - 1)
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    pub(crate) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0]
    }

    pub(crate) fn factory(&self, id: NodeId) -> Result<Arc<dyn NodeFactory>, BoxError> {
        Ok(self.nodes.get(id.0).ok_or("there is no such operator")?.factory.clone())
    }

    /// Name of the operator at `place`; the last one's for places beyond.
    pub(crate) fn operator_name(&self, id: NodeId, place: usize) -> String {
        let operators = &self.node(id).operators;
        let operator = operators.get(place).or_else(|| operators.last());
        operator.map_or_else(|| "Exchange".to_owned(), |operator| operator.name.clone())
    }

    /// The operator whose records leave the node.
    pub(crate) fn last_operator(&self, id: NodeId) -> Option<&OperatorMeta> {
        self.node(id).operators.last()
    }

    pub(crate) fn is_last(&self, id: NodeId, place: usize) -> bool {
        self.node(id).operators.len() == place + 1
    }

    /// How the records of the main output, or of a side output, are cloned.
    pub(crate) fn cloner<T: Data>(&self, id: NodeId, tag: Option<&str>) -> Option<Cloner<T>> {
        self.any_cloner(id, tag)?.downcast_ref::<Cloner<T>>().cloned()
    }

    pub(crate) fn any_cloner(&self, id: NodeId, tag: Option<&str>) -> Option<&Arc<dyn Any + Send + Sync>> {
        let node = self.node(id);
        match tag {
            None => node.cloner.as_ref(),
            Some(tag) => node.side_outputs.get(tag)?.cloner.as_ref(),
        }
    }

    pub(crate) fn side_factory(&self, id: NodeId, tag: &str) -> Result<SideFactory, BoxError> {
        let output = self.node(id).side_outputs.get(tag);
        Ok(output.ok_or_else(|| format!("side output `{tag}` is unknown"))?.factory.clone())
    }

    /// What chooses the subtask for each record on its way to input number `input` of a node.
    pub(crate) fn router<T: Data>(&self, id: NodeId, input: usize) -> Option<RouterFactory<T>> {
        self.node(id).inputs.get(input)?.router.as_ref()?.downcast_ref::<RouterFactory<T>>().cloned()
    }
}

/// How records of a type that can be cloned are cloned, to be kept by a node.
pub(crate) fn cloner_of<T: Data + Clone>() -> Arc<dyn Any + Send + Sync> {
    let cloner: Cloner<T> = Arc::new(|from: &[T], to: &mut Vec<T>| to.extend_from_slice(from));
    Arc::new(cloner)
}
