use flink_graph::{
    Configuration, Fingerprint, InputSplit, IntermediateDataSet, IntermediateDataSetId, JobEdge, JobGraph, JobId,
    JobVertex, JobVertexId, ResultPartitionType, RuntimeMode, ShipStrategy,
};

/// A graph in text: `source 4 > map 4 => reduce 3`. Between two vertices stands how the data set is handed on: `>`
/// forward and `=>` hash, pipelined; `|>` and `=|>` the same, blocking.
pub(crate) fn chain(number: u128, mode: RuntimeMode, text: &str) -> JobGraph {
    let mut words = text.split_whitespace();
    let mut vertices: Vec<JobVertex> = Vec::new();
    let mut edge = None;
    while let Some(word) = words.next() {
        if let Some(parsed) = parse_edge(word) {
            edge = Some(parsed);
            continue;
        }
        let parallelism = words.next().unwrap().parse().unwrap();
        let inputs = edge.take().map(|(strategy, kind)| connect(vertices.last_mut().unwrap(), strategy, kind));
        vertices.push(vertex(vertices.len(), word, parallelism, inputs));
    }
    JobGraph {
        job_id: JobId::from_u128(number),
        name: format!("job {number}"),
        mode,
        configuration: Configuration::default(),
        vertices,
        fingerprint: Fingerprint::default(),
        arguments: Vec::new(),
        action: 0,
        earlier_results: Vec::new(),
        program: None,
    }
}

fn parse_edge(word: &str) -> Option<(ShipStrategy, ResultPartitionType)> {
    match word {
        ">" => Some((ShipStrategy::Forward, ResultPartitionType::Pipelined)),
        "=>" => Some((ShipStrategy::Hash, ResultPartitionType::Pipelined)),
        "|>" => Some((ShipStrategy::Forward, ResultPartitionType::Blocking)),
        "=|>" => Some((ShipStrategy::Hash, ResultPartitionType::Blocking)),
        _ => None,
    }
}

fn connect(producer: &mut JobVertex, ship_strategy: ShipStrategy, result_type: ResultPartitionType) -> JobEdge {
    let id = IntermediateDataSetId { producer: producer.id, index: 0 };
    producer.outputs.push(IntermediateDataSet { id, result_type, record_type: "String".into() });
    JobEdge { source: id, ship_strategy }
}

fn vertex(index: usize, name: &str, parallelism: u32, input: Option<JobEdge>) -> JobVertex {
    let split = |number| InputSplit {
        number,
        descriptor: Vec::new(),
        description: String::new(),
        hosts: Vec::new(),
        length: 1,
    };
    JobVertex {
        id: JobVertexId::from_u128(index as u128 + 1),
        name: name.to_owned(),
        operators: Vec::new(),
        parallelism,
        max_parallelism: 128,
        slot_sharing_group: "default".to_owned(),
        blocking: false,
        input_splits: input.is_none().then(|| (0..2 * parallelism).map(split).collect()),
        inputs: input.into_iter().collect(),
        outputs: Vec::new(),
    }
}
