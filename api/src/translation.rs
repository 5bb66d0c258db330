//! From the stream graph to the JobGraph: which nodes are one vertex, what is shipped how, what is chained.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flink_graph::id::stable_hash;
use flink_graph::{
    Configuration, Fingerprint, GraphError, IntermediateDataSet, IntermediateDataSetId, JobEdge, JobGraph, JobVertex,
    JobVertexId, OperatorInfo, ResultPartitionType, RuntimeMode, ShipStrategy, options,
};
use flink_taskmanager::driver::Driver;
use flink_taskmanager::operator::{BoxError, SharedAccumulators};
use flink_taskmanager::setup::{JobProgram, TaskSetup};

use crate::checks::{arguments, check_clones, check_mistakes, check_side_outputs};
use crate::environment::NO_JOB;
use crate::executor::{ExecuteError, Program};
use crate::settling::Sinks;
use crate::sink::SinkContext;
use crate::source::{Boundedness, EnumeratorContext};
use crate::stream_graph::{Chaining, Node, NodeId, NodeInput, SinkOnClient, StreamGraph};
use crate::task_builder::{EdgePlan, NodePlan, TaskBuilder, VertexPlan};

/// A stream graph with the place of each node in its vertex.
struct StreamProgram {
    graph: StreamGraph,
    plans: Vec<NodePlan>,
    vertices: Vec<VertexPlan>,
    fingerprint: Fingerprint,
}

impl JobProgram for StreamProgram {
    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn build_task(&self, vertex: JobVertexId, setup: &mut TaskSetup) -> Result<Box<dyn Driver>, BoxError> {
        let plan = self.vertices.iter().find(|plan| plan.id == vertex).ok_or("the program has no such vertex")?;
        TaskBuilder::new(&self.graph, &self.plans, setup, plan.head).build()
    }
}

/// Makes the JobGraph of a program; `plans` says whether splits are found and sinks checked, here on the client.
pub(crate) fn translate(
    graph: &StreamGraph,
    configuration: &Configuration,
    job_name: &str,
    action: u32,
    plans: bool,
) -> Result<(Program, Sinks), ExecuteError> {
    let translation = Translation::new(graph, configuration)?;
    let sinks = translation.sinks().filter(|_| plans).map(|(_, sink, context)| (sink.clone(), context)).collect();
    let (job_graph, program) = translation.finish(job_name, action, plans)?;
    job_graph.validate()?;
    Ok((Program { graph: job_graph, runtime: Arc::new(program) }, Sinks(sinks)))
}

/// What the nodes of a program come to.
struct Translation<'a> {
    graph: &'a StreamGraph,
    configuration: &'a Configuration,
    mode: RuntimeMode,
    arguments: Vec<String>,
    used: BTreeSet<NodeId>,
    parallelism: Vec<u32>,
    max_parallelism: Vec<u32>,
    groups: Vec<String>,
    /// The head of the vertex that each node is in.
    heads: Vec<NodeId>,
}

impl<'a> Translation<'a> {
    fn new(graph: &'a StreamGraph, configuration: &'a Configuration) -> Result<Self, ExecuteError> {
        check_mistakes(graph)?;
        let default_parallelism = configuration.get(&options::DEFAULT_PARALLELISM)?;
        let default_max = configuration.get(&options::MAX_PARALLELISM)?;
        let count = graph.nodes.len();
        let mut this = Self {
            graph,
            configuration,
            mode: RuntimeMode::Streaming,
            arguments: arguments(std::env::args_os().skip(1))?,
            used: used_nodes(graph),
            parallelism: vec![0; count],
            max_parallelism: vec![default_max; count],
            groups: vec![String::new(); count],
            heads: (0..count).map(NodeId).collect(),
        };
        if this.used.is_empty() {
            return Err(GraphError::Empty.into());
        }
        let inputs = || this.used.iter().flat_map(|id| &graph.node(*id).inputs);
        check_side_outputs(graph, inputs())?;
        check_clones(graph, inputs())?;
        this.mode = this.runtime_mode()?;
        let chaining = configuration.get(&options::OPERATOR_CHAINING)?;
        for id in this.used.clone() {
            let node = graph.node(id);
            this.parallelism[id.0] = this.parallelism_of(node, default_parallelism);
            if let Some(max) = this.max_parallelism_of(node) {
                this.max_parallelism[id.0] = max;
            }
            this.groups[id.0] = this.group_of(node);
            if let Some(producer) = this.chained_to(id, chaining) {
                this.heads[id.0] = this.heads[producer.0];
            }
        }
        Ok(this)
    }

    fn parallelism_of(&self, node: &Node, default: u32) -> u32 {
        match node.inputs.first() {
            Some(input) if node.follows_input => self.parallelism[input.node.0],
            _ => node.parallelism.unwrap_or(default),
        }
    }

    fn max_parallelism_of(&self, node: &Node) -> Option<u32> {
        match node.inputs.first() {
            Some(input) if node.follows_input => Some(self.max_parallelism[input.node.0]),
            _ => node.max_parallelism,
        }
    }

    /// A node is in the group of its inputs, if they agree, unless it says otherwise.
    fn group_of(&self, node: &Node) -> String {
        let inputs: BTreeSet<_> = node.inputs.iter().map(|input| self.groups[input.node.0].clone()).collect();
        match (&node.slot_sharing_group, inputs.len()) {
            (Some(group), _) => group.clone(),
            (None, 1) => inputs.into_iter().next().unwrap_or_default(),
            _ => "default".to_owned(),
        }
    }

    /// The node that this one shares a task with, handing chunks over directly.
    fn chained_to(&self, id: NodeId, enabled: bool) -> Option<NodeId> {
        let node = self.graph.node(id);
        let [NodeInput { node: producer, strategy, .. }] = node.inputs.as_slice() else { return None };
        let allowed = enabled
            && node.chaining == Chaining::Always
            && self.graph.node(*producer).chaining != Chaining::Never
            && self.groups[id.0] == self.groups[producer.0]
            && self.max_parallelism[id.0] == self.max_parallelism[producer.0];
        let forward = matches!(strategy, None | Some(ShipStrategy::Forward));
        let same = self.parallelism[id.0] == self.parallelism[producer.0];
        (forward && same && allowed).then_some(*producer)
    }

    fn runtime_mode(&self) -> Result<RuntimeMode, ExecuteError> {
        let text = self.configuration.get(&options::RUNTIME_MODE)?;
        let wanted = text.parse().map_err(|_| flink_graph::ConfigurationError {
            key: options::RUNTIME_MODE.key.to_owned(),
            value: text,
            expected: "STREAMING, BATCH or AUTOMATIC".to_owned(),
        })?;
        let mut sources = self.used.iter().filter_map(|id| self.graph.node(*id).source.as_ref().map(|s| (id, s)));
        let unbounded = sources.find(|(_, source)| source.boundedness == Boundedness::Unbounded);
        match (wanted, unbounded) {
            (RuntimeMode::Automatic, Some(_)) => Ok(RuntimeMode::Streaming),
            (RuntimeMode::Automatic, None) => Ok(RuntimeMode::Batch),
            (RuntimeMode::Batch, Some((id, _))) => Err(ExecuteError::Prepare {
                operator: self.graph.operator_name(*id, 0),
                source: "a job in BATCH mode needs sources that end; use STREAMING or AUTOMATIC".into(),
            }),
            (mode, _) => Ok(mode),
        }
    }

    /// The vertices' nodes, by head.
    fn members(&self) -> BTreeMap<NodeId, Vec<NodeId>> {
        let mut members: BTreeMap<NodeId, Vec<NodeId>> = BTreeMap::new();
        for id in &self.used {
            members.entry(self.heads[id.0]).or_default().push(*id);
        }
        members
    }

    fn finish(self, job_name: &str, action: u32, plans: bool) -> Result<(JobGraph, StreamProgram), ExecuteError> {
        let members = self.members();
        let mut node_plans = vec![NodePlan::default(); self.graph.nodes.len()];
        let mut vertices: Vec<JobVertex> = Vec::new();
        let mut vertex_plans = Vec::new();
        let mut ids: BTreeMap<NodeId, JobVertexId> = BTreeMap::new();
        let mut places: BTreeMap<JobVertexId, usize> = BTreeMap::new();
        for (head, nodes) in &members {
            let id = self.vertex_id(*head, nodes, &ids);
            ids.insert(*head, id);
            let inputs = self.connect(*head, nodes, &ids, &places, &mut vertices, &mut node_plans)?;
            places.insert(id, vertices.len());
            vertices.push(self.vertex(id, *head, nodes, inputs, plans)?);
            vertex_plans.push(VertexPlan { id, head: *head });
        }
        if plans {
            self.prepare_sinks()?;
        }
        let fingerprint = self.fingerprint(&vertices);
        let name = if job_name.is_empty() {
            self.configuration.get(&options::PIPELINE_NAME)?.unwrap_or_else(|| "Flink Streaming Job".to_owned())
        } else {
            job_name.to_owned()
        };
        let job_graph = JobGraph {
            job_id: NO_JOB,
            name,
            mode: self.mode,
            configuration: self.configuration.clone(),
            vertices,
            fingerprint: fingerprint.clone(),
            arguments: self.arguments.clone(),
            action,
            earlier_results: Vec::new(),
            program: None,
        };
        let program =
            StreamProgram { graph: self.graph.clone(), plans: node_plans, vertices: vertex_plans, fingerprint };
        Ok((job_graph, program))
    }

    /// The vertex's edges: those inside become direct calls, those to other vertices data sets of their producers.
    fn connect(
        &self,
        head: NodeId,
        nodes: &[NodeId],
        ids: &BTreeMap<NodeId, JobVertexId>,
        places: &BTreeMap<JobVertexId, usize>,
        vertices: &mut [JobVertex],
        plans: &mut [NodePlan],
    ) -> Result<Vec<JobEdge>, ExecuteError> {
        let mut edges = Vec::new();
        for id in nodes {
            for (number, input) in self.graph.node(*id).inputs.iter().enumerate() {
                let edge = if *id == head {
                    let (edge, plan) = self.ship((*id, number), input, ids, places, vertices)?;
                    let gates = &mut plans[id.0].gates;
                    gates.resize(gates.len().max(input.gate + 1), Vec::new());
                    gates[input.gate].push(edges.len());
                    edges.push(edge);
                    plan
                } else {
                    EdgePlan::Chained(*id)
                };
                let producer = &mut plans[input.node.0];
                match &input.tag {
                    Some(tag) => producer.side_edges.push((tag.clone(), edge)),
                    None => producer.edges.push(edge),
                }
            }
        }
        Ok(edges)
    }

    fn ship(
        &self,
        (consumer, number): (NodeId, usize),
        input: &NodeInput,
        ids: &BTreeMap<NodeId, JobVertexId>,
        places: &BTreeMap<JobVertexId, usize>,
        vertices: &mut [JobVertex],
    ) -> Result<(JobEdge, EdgePlan), ExecuteError> {
        let same = self.parallelism[consumer.0] == self.parallelism[input.node.0];
        let default = if same { ShipStrategy::Forward } else { ShipStrategy::Rebalance };
        let ship_strategy = input.strategy.unwrap_or(default);
        let producer = ids[&self.heads[input.node.0]];
        let outputs = &mut vertices[places[&producer]].outputs;
        let output = outputs.len();
        let source = IntermediateDataSetId { producer, index: u32::try_from(output).unwrap_or(u32::MAX) };
        let node = self.graph.node(input.node);
        let record_type = match &input.tag {
            Some(tag) => match node.side_outputs.get(tag) {
                Some(output) => format!("side output {tag} of {}", output.record_type),
                None => format!("side output {tag}"),
            },
            None => node.record_type.clone(),
        };
        outputs.push(IntermediateDataSet { id: source, result_type: self.result_type()?, record_type });
        let plan = EdgePlan::Shipped { output, strategy: ship_strategy, consumer, input: number };
        Ok((JobEdge { source, ship_strategy }, plan))
    }

    fn result_type(&self) -> Result<ResultPartitionType, ExecuteError> {
        let text = self.configuration.get(&options::BATCH_SHUFFLE_MODE)?;
        match text.as_str() {
            "ALL_EXCHANGES_BLOCKING" if self.mode == RuntimeMode::Batch => Ok(ResultPartitionType::Blocking),
            "ALL_EXCHANGES_BLOCKING" | "ALL_EXCHANGES_PIPELINED" => Ok(ResultPartitionType::Pipelined),
            _ => Err(ExecuteError::Configuration(flink_graph::ConfigurationError {
                key: options::BATCH_SHUFFLE_MODE.key.to_owned(),
                value: text,
                expected: "ALL_EXCHANGES_PIPELINED or ALL_EXCHANGES_BLOCKING".to_owned(),
            })),
        }
    }

    /// The user's `uid` of the first operator that has one, else the names on the way from the sources and the place among
    /// equals: nothing that changes from run to run.
    fn vertex_id(&self, head: NodeId, nodes: &[NodeId], ids: &BTreeMap<NodeId, JobVertexId>) -> JobVertexId {
        let operators = nodes.iter().flat_map(|id| &self.graph.node(*id).operators);
        let mut text = match operators.clone().find_map(|operator| operator.uid.as_deref()) {
            Some(uid) => format!("uid {uid}"),
            None => {
                let names: Vec<&str> = operators.map(|operator| operator.name.as_str()).collect();
                let inputs =
                    self.graph.node(head).inputs.iter().map(|input| ids[&self.heads[input.node.0]].to_string());
                format!("{} {}", names.join(" -> "), inputs.collect::<Vec<_>>().join(" "))
            }
        };
        while ids.values().any(|id| id.as_u128() == stable_hash(text.as_bytes())) && !text.starts_with("uid ") {
            text.push('\'');
        }
        JobVertexId::from_u128(stable_hash(text.as_bytes()))
    }

    fn vertex(
        &self,
        id: JobVertexId,
        head: NodeId,
        nodes: &[NodeId],
        inputs: Vec<JobEdge>,
        plans: bool,
    ) -> Result<JobVertex, ExecuteError> {
        let operators = self.operators(nodes);
        let name = operators.iter().map(|operator| operator.name.as_str()).collect::<Vec<_>>().join(" -> ");
        let parallelism = self.parallelism[head.0];
        let input_splits = match &self.graph.node(head).source {
            None => None,
            Some(_) if !plans => Some(Vec::new()),
            Some(source) => {
                let context = EnumeratorContext { parallelism, configuration: self.configuration.clone() };
                let prepare = |source| ExecuteError::Prepare { operator: self.graph.operator_name(head, 0), source };
                Some((source.enumerate)(&context).map_err(prepare)?)
            }
        };
        Ok(JobVertex {
            id,
            name,
            operators,
            parallelism,
            max_parallelism: self.max_parallelism[head.0],
            slot_sharing_group: self.groups[head.0].clone(),
            blocking: nodes.iter().any(|node| self.graph.node(*node).blocking),
            inputs,
            outputs: Vec::new(),
            input_splits,
        })
    }

    fn operators(&self, nodes: &[NodeId]) -> Vec<OperatorInfo> {
        let mut operators = Vec::new();
        for id in nodes {
            let node = self.graph.node(*id);
            let before = node.inputs.first().map(|input| self.graph.operator_name(input.node, usize::MAX));
            let mut chained_to: Vec<String> = before.into_iter().filter(|_| *id != nodes[0]).collect();
            for operator in &node.operators {
                let name = operator.name.clone();
                let info = OperatorInfo { name: name.clone(), uid: operator.uid.clone(), chained_to };
                operators.push(info);
                chained_to = vec![name];
            }
        }
        operators
    }

    /// The sinks that are used, with what each is told on the client.
    fn sinks(&self) -> impl Iterator<Item = (NodeId, &Arc<dyn SinkOnClient>, SinkContext)> {
        self.used.iter().filter_map(|id| {
            let context = SinkContext {
                job: NO_JOB,
                subtask: 0,
                parallelism: self.parallelism[id.0],
                attempt: 0,
                configuration: self.configuration.clone(),
                accumulators: SharedAccumulators::default(),
            };
            Some((*id, self.graph.node(*id).sink.as_ref()?, context))
        })
    }

    fn prepare_sinks(&self) -> Result<(), ExecuteError> {
        for (id, sink, context) in self.sinks() {
            let refused = |source| ExecuteError::Prepare { operator: self.graph.operator_name(id, 0), source };
            sink.prepare(&context).map_err(refused)?;
        }
        Ok(())
    }

    fn fingerprint(&self, vertices: &[JobVertex]) -> Fingerprint {
        let mut fingerprint = Fingerprint::default();
        fingerprint.push(format!("mode {}", self.mode));
        fingerprint.push(format!("arguments {:?}", self.arguments));
        for vertex in vertices {
            let JobVertex { id, name, parallelism, max_parallelism, slot_sharing_group, .. } = vertex;
            fingerprint
                .push(format!("vertex {id} `{name}` {parallelism}/{max_parallelism} group {slot_sharing_group}"));
            for input in &vertex.inputs {
                fingerprint.push(format!("  reads {} by {}", input.source, input.ship_strategy));
            }
            for output in &vertex.outputs {
                fingerprint.push(format!("  writes {} {:?} of {}", output.id, output.result_type, output.record_type));
            }
        }
        fingerprint
    }
}

/// The nodes that a sink needs.
fn used_nodes(graph: &StreamGraph) -> BTreeSet<NodeId> {
    let mut used = BTreeSet::new();
    for index in (0..graph.nodes.len()).rev() {
        let id = NodeId(index);
        if graph.node(id).is_sink || used.contains(&id) {
            used.insert(id);
            used.extend(graph.node(id).inputs.iter().map(|input| input.node));
        }
    }
    used
}
