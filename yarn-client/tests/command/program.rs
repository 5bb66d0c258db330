use std::process::ExitCode;

use flink_graph::configuration::options;
use flink_graph::{Configuration, JobGraph, JobId, JobVertex, JobVertexId, RuntimeMode};
use flink_protocol::client::JobResult;
use flink_protocol::program::{MODE_VARIABLE, OUTCOME_VARIABLE, PlanOutcome, ProgramRequest, REQUEST_VARIABLE};
use flink_protocol::wire;

/// `actions N`: a driver of N jobs. `exit N`, `panic`: ends so. `print`: prints its configuration (local mode).
pub(crate) fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let request = std::fs::read(std::env::var(REQUEST_VARIABLE).unwrap()).unwrap();
    let request: ProgramRequest = wire::decode(&request).unwrap();
    let number = || arguments[1].parse::<u8>().unwrap();
    match arguments[0].as_str() {
        "actions" => drive(&request, number(), &arguments),
        "exit" => return ExitCode::from(number()),
        "panic" => panic!("no input"),
        "sleep" => std::thread::sleep(std::time::Duration::from_secs(60)),
        "print" => {
            assert!(std::env::var_os(MODE_VARIABLE).is_none());
            request.configuration.0.iter().for_each(|(key, value)| println!("{key}={value}"));
            println!("{}", arguments[1..].join(" "));
        }
        other => println!("unknown: {other}"),
    }
    ExitCode::SUCCESS
}

fn drive(request: &ProgramRequest, actions: u8, arguments: &[String]) {
    println!("begin");
    for action in 0..usize::from(actions) {
        let Some(result) = request.earlier_results.get(action) else {
            let graph = Box::new(graph(action, &request.configuration, arguments));
            let outcome = wire::encode(&PlanOutcome::Graph(graph)).unwrap();
            std::fs::write(std::env::var(OUTCOME_VARIABLE).unwrap(), outcome).unwrap();
            return;
        };
        let result: JobResult = wire::decode(result).unwrap();
        println!("action {action}: {} {}", result.status, result.accumulators.0["records"]);
    }
    println!("end");
}

fn graph(action: usize, configuration: &Configuration, arguments: &[String]) -> JobGraph {
    let parallelism = configuration.get(&options::DEFAULT_PARALLELISM).unwrap();
    let name = configuration.get(&options::PIPELINE_NAME).unwrap().unwrap_or_else(|| "pretended".to_owned());
    let vertex = JobVertex {
        id: JobVertexId::from_u128(1),
        name: "Source -> Sink".to_owned(),
        operators: Vec::new(),
        parallelism,
        max_parallelism: 128,
        slot_sharing_group: "default".to_owned(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        input_splits: None,
        blocking: false,
    };
    JobGraph {
        job_id: JobId::from_u128(0),
        name,
        mode: RuntimeMode::Batch,
        configuration: configuration.clone(),
        vertices: vec![vertex],
        fingerprint: Default::default(),
        arguments: arguments.to_vec(),
        action: u32::try_from(action).unwrap(),
        earlier_results: Vec::new(),
        program: None,
    }
}
