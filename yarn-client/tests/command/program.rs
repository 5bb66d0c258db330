use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use flink_graph::configuration::options;
use flink_graph::{Configuration, JobGraph, JobId, JobStatus, JobVertex, JobVertexId, RuntimeMode};
use flink_protocol::client::JobResult;
use flink_protocol::program::{
    DRIVER_DESCRIPTOR_VARIABLE, DriverRequest, DriverResponse, MODE_VARIABLE, OUTCOME_VARIABLE, PlanOutcome,
    ProgramRequest, REQUEST_VARIABLE,
};
use flink_protocol::wire;
use flink_transport::frame::{read_blocking, write_blocking};

/// `actions N`: a driver of N jobs, which ends with 1 when one fails. `handles N`: goes on then. `async`: looks at a job
/// while it runs. `both`: waits for one of two. `leaves`: does not wait. `exit N`, `panic`: ends so. `print`: prints its
/// configuration (local mode).
pub(crate) fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let request = std::fs::read(std::env::var(REQUEST_VARIABLE).unwrap()).unwrap();
    let request: ProgramRequest = wire::decode(&request).unwrap();
    let number = || arguments[1].parse::<u8>().unwrap();
    let mut driver = Driver::new(&request.configuration, &arguments);
    match arguments[0].as_str() {
        "actions" | "handles" => return drive(&mut driver, number(), arguments[0] == "handles"),
        "async" => look_at_it(&mut driver),
        "both" => wait_for_one_of_two(&mut driver),
        "leaves" => println!("{:?}", driver.submit(0).is_ok()),
        "exit" => return ExitCode::from(number()),
        "panic" => panic!("no input"),
        "sleep" => std::thread::sleep(Duration::from_secs(60)),
        "print" => {
            assert!(std::env::var_os(MODE_VARIABLE).is_none());
            request.configuration.0.iter().for_each(|(key, value)| println!("{key}={value}"));
            println!("{}", arguments[1..].join(" "));
        }
        other => println!("unknown: {other}"),
    }
    ExitCode::SUCCESS
}

fn drive(driver: &mut Driver<'_>, actions: u8, handles: bool) -> ExitCode {
    println!("begin");
    for action in 0..u32::from(actions) {
        let ended = driver.submit(action).map(|_| driver.result(action));
        match ended {
            Ok(result) if result.status == JobStatus::Finished => {
                println!("action {action}: {} {}", result.status, result.accumulators.0["records"]);
            }
            Ok(result) if handles => println!("action {action}: {}", result.status),
            Err(reason) if handles => println!("action {action}: {reason}"),
            _ => return ExitCode::FAILURE,
        }
    }
    println!("end");
    ExitCode::SUCCESS
}

/// `main` goes on while its job runs.
fn look_at_it(driver: &mut Driver<'_>) {
    let job = driver.submit(0).unwrap();
    let DriverResponse::Status(status) = driver.ask(&DriverRequest::RequestJobStatus(0)) else { panic!() };
    println!("{status} {}", driver.submit(1).unwrap() == job);
    assert_eq!(driver.ask(&DriverRequest::CancelJob(0)), DriverResponse::Canceling);
    println!("{} {}", driver.result(0).status, driver.result(1).status);
}

/// Another environment would begin to count again: that is refused.
fn wait_for_one_of_two(driver: &mut Driver<'_>) {
    driver.submit(0).unwrap();
    driver.submit(1).unwrap();
    println!("{}", driver.submit(0).unwrap_err());
    driver.result(0);
}

/// The program's side of a run, as the crate `flink` has it.
struct Driver<'a> {
    socket: Option<UnixStream>,
    configuration: &'a Configuration,
    arguments: &'a [String],
}

impl<'a> Driver<'a> {
    fn new(configuration: &'a Configuration, arguments: &'a [String]) -> Self {
        let number = std::env::var(DRIVER_DESCRIPTOR_VARIABLE).ok().map(|number| number.parse().unwrap());
        // SAFETY: the descriptor was made for this process, and this is its only owner.
        let socket = number.map(|number| UnixStream::from(unsafe { OwnedFd::from_raw_fd(number) }));
        Self { socket, configuration, arguments }
    }

    fn ask(&mut self, request: &DriverRequest) -> DriverResponse {
        let socket = self.socket.as_mut().unwrap();
        write_blocking(socket, request, 1 << 20).unwrap();
        read_blocking(socket, 1 << 20).unwrap().unwrap()
    }

    fn submit(&mut self, action: u32) -> Result<JobId, String> {
        let graph = Box::new(graph(action as usize, self.configuration, self.arguments));
        if self.socket.is_none() {
            let outcome = wire::encode(&PlanOutcome::Graph(graph)).unwrap();
            std::fs::write(std::env::var(OUTCOME_VARIABLE).unwrap(), outcome).unwrap();
            std::process::exit(0);
        }
        match self.ask(&DriverRequest::SubmitJob(graph)) {
            DriverResponse::Submitted(job) => Ok(job),
            DriverResponse::Refused(reason) => Err(reason),
            other => panic!("{other:?}"),
        }
    }

    fn result(&mut self, action: u32) -> JobResult {
        match self.ask(&DriverRequest::RequestJobResult(action)) {
            DriverResponse::Result(result) => *result,
            other => panic!("{other:?}"),
        }
    }
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
