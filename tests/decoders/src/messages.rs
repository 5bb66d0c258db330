use flink_graph::{
    Configuration, Fingerprint, InputSplit, IntermediateDataSet, IntermediateDataSetId, JobEdge, JobGraph, JobId,
    JobStatus, JobVertex, JobVertexId, OperatorInfo, ResultPartitionType, RuntimeMode, ShipStrategy, plan,
};
use flink_protocol::client::{ClientRequest, ClientRequestBody, ClientResponse, JobResult};
use flink_protocol::program::{DriverRequest, DriverResponse, EarlierAction, PlanOutcome, ProgramRequest};
use flink_protocol::task_manager::{ToJobManager, ToTaskManager};
use flink_protocol::wire::{Envelope, decode, encode};
use flink_protocol::worker::{FromWorker, ToWorker, WorkerMetrics};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What is read can be written, and read back as the same.
fn check<M: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<M> {
    let message = decode::<M>(bytes).ok()?;
    let first = encode(&message).expect("a message that was read can be written");
    let again = decode::<M>(&first).expect("a message that was written can be read");
    // Compared as bytes: a NaN does not equal itself.
    assert_eq!(encode(&again).unwrap(), first, "a message changes when it is read");
    Some(message)
}

/// The bodies of all control messages; the first byte chooses which.
pub fn control(input: &[u8]) {
    let Some((&kind, bytes)) = input.split_first() else { return };
    match kind % 6 {
        0 => drop(check::<Envelope<ToJobManager>>(bytes)),
        1 => drop(check::<Envelope<ToTaskManager>>(bytes)),
        2 => drop(check::<ClientRequest>(bytes)),
        3 => drop(check::<FromWorker>(bytes)),
        4 => drop(check::<ClientResponse>(bytes)),
        _ => drop(check::<ToWorker>(bytes)),
    }
}

fn seed(kind: u8, message: &impl Serialize) -> Vec<u8> {
    let mut input = vec![kind];
    input.extend(encode(message).unwrap());
    input
}

/// A message of each kind.
pub fn control_seeds() -> Vec<Vec<u8>> {
    let job = JobId::from_u128(7);
    let submit = ClientRequestBody::SubmitJob { graph: Box::new(graph()), detached: true };
    let lost = ToJobManager::WorkerLost { job, reason: "killed".to_owned(), unrecoverable: false };
    vec![
        seed(0, &Envelope { epoch: 3, message: lost }),
        seed(1, &Envelope { epoch: 3, message: ToTaskManager::StopWorker { job } }),
        seed(2, &ClientRequest { number: 1, body: submit }),
        seed(3, &FromWorker::Metrics(WorkerMetrics::default())),
        seed(4, &ClientResponse { number: 1, body: Err("no".to_owned()) }),
        seed(5, &ToWorker::ReleasePartitions { partitions: Vec::new() }),
    ]
}

/// The files and frames between a program and its client. A graph that comes this way is checked, and shown; neither may
/// panic or grow, whatever is in it.
pub fn plans(input: &[u8]) {
    let Some((&kind, bytes)) = input.split_first() else { return };
    match kind % 5 {
        0 => drop(check::<ProgramRequest>(bytes)),
        1 => {
            if let Some(PlanOutcome::Graph(graph)) = check(bytes) {
                show(&graph);
            }
        }
        2 => {
            if let Some(DriverRequest::SubmitJob(graph)) = check(bytes) {
                show(&graph);
            }
        }
        3 => drop(check::<DriverResponse>(bytes)),
        _ => drop(check::<EarlierAction>(bytes)),
    }
}

fn show(graph: &JobGraph) {
    let valid = graph.validate().is_ok();
    let shown = [plan::text(graph), plan::dot(graph), serde_json::to_string(&plan::JsonPlan::new(graph)).unwrap()];
    for text in &shown {
        let control = |c: char| c.is_control() && c != '\n';
        assert!(!text.contains(control), "a name writes control characters: {text:?}");
    }
    if valid {
        assert!(graph.required_slots() > 0 || graph.vertices.is_empty());
    }
}

/// One of each.
pub fn plan_seeds() -> Vec<Vec<u8>> {
    let job = JobId::from_u128(1);
    let result = JobResult {
        job,
        status: JobStatus::Failed,
        net_runtime_ms: 3,
        accumulators: Default::default(),
        failure: Some("Map (1/2): boom".to_owned()),
    };
    vec![
        seed(
            0,
            &ProgramRequest {
                configuration: Configuration([("a".to_owned(), "b".to_owned())].into()),
                tasks_run_here: true,
            },
        ),
        seed(1, &PlanOutcome::Graph(Box::new(graph()))),
        seed(1, &PlanOutcome::Failed("no sink".to_owned())),
        seed(2, &DriverRequest::SubmitJob(Box::new(graph()))),
        seed(2, &DriverRequest::RequestJobStatus(0)),
        seed(3, &DriverResponse::Result(Box::new(result.clone()))),
        seed(4, &EarlierAction::Submitted { job, status: JobStatus::Running }),
        seed(4, &EarlierAction::Ended(Box::new(result))),
    ]
}

fn graph() -> JobGraph {
    let id = |number: u128| JobVertexId::from_u128(number);
    let set = IntermediateDataSetId { producer: id(1), index: 0 };
    let vertex = |number: u128, name: &str| JobVertex {
        id: id(number),
        name: name.to_owned(),
        operators: vec![OperatorInfo { name: name.to_owned(), uid: None, chained_to: Vec::new() }],
        parallelism: 2,
        max_parallelism: 128,
        slot_sharing_group: "default".to_owned(),
        blocking: false,
        inputs: Vec::new(),
        outputs: Vec::new(),
        input_splits: None,
    };
    let (mut source, mut sink) = (vertex(1, "Source"), vertex(2, "Sink"));
    let hosts = vec!["a".to_owned()];
    let description = "file:/a [0, 4)".to_owned();
    source.input_splits = Some(vec![InputSplit { number: 0, descriptor: vec![1, 2], description, hosts, length: 4 }]);
    let result_type = ResultPartitionType::Pipelined;
    source.outputs = vec![IntermediateDataSet { id: set, result_type, record_type: "u64".to_owned() }];
    sink.inputs = vec![JobEdge { source: set, ship_strategy: ShipStrategy::Hash }];
    JobGraph {
        job_id: JobId::from_u128(0),
        name: "seed".to_owned(),
        mode: RuntimeMode::Batch,
        configuration: Configuration::default(),
        vertices: vec![source, sink],
        fingerprint: Fingerprint::default(),
        arguments: vec!["--x".to_owned()],
        action: 0,
        earlier_results: Vec::new(),
        program: None,
    }
}
