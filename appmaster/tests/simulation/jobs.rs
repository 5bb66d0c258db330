use fastrand::Rng;
use flink_graph::{
    Configuration, Fingerprint, InputSplit, IntermediateDataSet, IntermediateDataSetId, JobEdge, JobGraph, JobId,
    JobVertex, JobVertexId, OperatorInfo, ResultPartitionType, RuntimeMode, ShipStrategy,
};

/// Splits of different sources must not be mistaken for each other: the source's vertex counts thousands.
pub(crate) fn code(vertex: JobVertexId, split: u32) -> i64 {
    vertex.as_u128() as i64 * 1000 + i64::from(split)
}

/// A job as a client submits it.
#[derive(Clone)]
pub(crate) struct JobSpec {
    pub(crate) graph: JobGraph,
}

impl JobSpec {
    /// For each vertex without consumers, everything that must have arrived there.
    pub(crate) fn expected(&self) -> Vec<(JobVertexId, Vec<i64>)> {
        let sinks = self.graph.vertices.iter().filter(|vertex| vertex.outputs.is_empty());
        sinks.map(|sink| (sink.id, self.arriving(sink))).collect()
    }

    fn arriving(&self, vertex: &JobVertex) -> Vec<i64> {
        let own = vertex.input_splits.iter().flatten().map(|split| code(vertex.id, split.number));
        let producers = vertex.inputs.iter().filter_map(|edge| self.graph.vertex(edge.source.producer));
        let mut all: Vec<i64> = own.chain(producers.flat_map(|producer| self.arriving(producer))).collect();
        all.sort_unstable();
        all
    }
}

struct Builder<'a> {
    random: &'a mut Rng,
    mode: RuntimeMode,
    vertices: Vec<JobVertex>,
}

/// A random job: one or two sources, up to three steps behind them.
pub(crate) fn random_job(random: &mut Rng, number: u64) -> JobSpec {
    let mode = if random.u64(..2) == 0 { RuntimeMode::Streaming } else { RuntimeMode::Batch };
    let mut builder = Builder { random, mode, vertices: Vec::new() };
    let first = builder.source();
    let mut last = match builder.random.u64(..3) {
        0 => {
            let second = builder.source();
            builder.step(&[first, second])
        }
        _ => builder.step(&[first]),
    };
    for _ in 0..builder.random.u64(..3) {
        last = builder.step(&[last]);
    }
    let vertices = builder.vertices;
    JobSpec {
        graph: JobGraph {
            job_id: JobId::from_u128(u128::from(number) + 1),
            name: format!("job-{number}"),
            mode,
            configuration: configuration(random),
            vertices,
            fingerprint: Fingerprint::default(),
            arguments: Vec::new(),
            action: 0,
            earlier_results: Vec::new(),
            program: None,
        },
    }
}

impl Builder<'_> {
    fn source(&mut self) -> usize {
        let splits = self.random.u64(..10) as u32;
        let split = |number: u32, random: &mut Rng| InputSplit {
            number,
            descriptor: Vec::new(),
            description: format!("split {number}"),
            hosts: (0..random.u64(..3)).map(|_| format!("host-{}", random.u64(..3))).collect(),
            length: random.u64(..1000),
        };
        let splits = (0..splits).map(|number| split(number, self.random)).collect();
        let parallelism = 1 + self.random.u64(..4) as u32;
        self.vertex("Source", parallelism, Some(splits), &[])
    }

    fn step(&mut self, producers: &[usize]) -> usize {
        let one = self.vertices[producers[0]].parallelism;
        let (parallelism, pointwise) = match self.random.u64(..3) {
            0 if producers.len() == 1 => (one, Some(ShipStrategy::Forward)),
            1 if producers.len() == 1 => (1 + self.random.u64(..4) as u32, Some(ShipStrategy::Rescale)),
            _ => (1 + self.random.u64(..4) as u32, None),
        };
        let edges: Vec<(usize, ShipStrategy)> =
            producers.iter().map(|producer| (*producer, pointwise.unwrap_or(ShipStrategy::Hash))).collect();
        self.vertex("Step", parallelism, None, &edges)
    }

    fn vertex(
        &mut self,
        name: &str,
        parallelism: u32,
        input_splits: Option<Vec<InputSplit>>,
        edges: &[(usize, ShipStrategy)],
    ) -> usize {
        let index = self.vertices.len();
        let inputs = edges.iter().map(|(producer, ship_strategy)| self.edge(*producer, *ship_strategy)).collect();
        let group = if self.random.u64(..8) == 0 { "other" } else { "default" };
        self.vertices.push(JobVertex {
            id: JobVertexId::from_u128(index as u128 + 1),
            name: format!("{name} {index}"),
            operators: vec![OperatorInfo { name: name.to_owned(), uid: None, chained_to: Vec::new() }],
            parallelism,
            max_parallelism: 128,
            slot_sharing_group: group.to_owned(),
            blocking: false,
            inputs,
            outputs: Vec::new(),
            input_splits,
        });
        index
    }

    fn edge(&mut self, producer: usize, ship_strategy: ShipStrategy) -> JobEdge {
        let blocking = self.mode == RuntimeMode::Batch && self.random.u64(..2) == 0;
        let result_type = if blocking { ResultPartitionType::Blocking } else { ResultPartitionType::Pipelined };
        let vertex = &mut self.vertices[producer];
        let id = IntermediateDataSetId { producer: vertex.id, index: vertex.outputs.len() as u32 };
        vertex.outputs.push(IntermediateDataSet { id, result_type, record_type: "i64".to_owned() });
        JobEdge { source: id, ship_strategy }
    }
}

fn configuration(random: &mut Rng) -> Configuration {
    let mut configuration = Configuration::default();
    let mut set = |key: &str, value: &str| {
        configuration.set(format!("restart-strategy.{key}"), value);
    };
    match random.u64(..6) {
        0 => set("type", "none"),
        1 => {
            set("type", "exponential-delay");
            set("exponential-delay.attempts-before-reset-backoff", "30");
        }
        2 => {
            set("type", "failure-rate");
            set("failure-rate.max-failures-per-interval", "5");
        }
        _ => {
            set("type", "fixed-delay");
            set("fixed-delay.attempts", "200");
        }
    }
    configuration.set("slot.request.timeout", "60 s");
    configuration.set("task.cancellation.timeout", "3 s");
    configuration
}
