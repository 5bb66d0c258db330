use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flink_graph::configuration::options;
use flink_graph::{AccumulatorValue, Accumulators, Configuration, JobGraph, JobId, JobStatus};
use flink_protocol::client::{ClientRequest, ClientRequestBody, ClientResponse, ClientResponseBody, JobResult};
use flink_protocol::overview::{ClusterOverview, JobDetails, JobSummary, LogPiece, StateCounts};
use flink_protocol::worker::TlsMaterial;
use flink_transport::{Acceptor, Connection, Dialer, Role};
use flink_yarn_client::{DaemonError, Daemons, JobManagerStart, Ready, TaskManagerStart};
use tokio::net::TcpListener;

const LIMIT: u64 = 64 << 20;
const TIMEOUT: Duration = Duration::from_secs(60);

/// What the pretended JobManager knows.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) jobs: BTreeMap<JobId, (JobGraph, JobStatus)>,
    pub(crate) artifacts: BTreeMap<String, u64>,
    pub(crate) task_managers: u32,
    /// Closes the next connection that asks for a result.
    pub(crate) hang_up: bool,
}

/// The state, shared with the connections.
pub(crate) type Shared = Arc<Mutex<State>>;

/// Both daemons, as far as `standalone` sees them.
pub(crate) struct PretendedDaemons;

impl Daemons for PretendedDaemons {
    fn job_manager(&self, start: JobManagerStart) -> Result<(), DaemonError> {
        if start.configuration.raw("test.fail").is_some() {
            eprintln!("the address is in use");
            return Err("the port is taken".into());
        }
        let port = start.configuration.get(&options::JOB_MANAGER_RPC_PORT)?;
        assert_eq!(start.rest_token.expose().len(), 64);
        runtime().block_on(async {
            let listener = TcpListener::bind(("127.0.0.1", port)).await?;
            let address = listener.local_addr()?.to_string();
            start.announcement.ready(&Ready { address, rest: Some("http://127.0.0.1:1".to_owned()) });
            serve(listener, start.tls, Shared::default()).await;
            Ok(())
        })
    }

    fn task_manager(&self, start: TaskManagerStart) -> Result<(), DaemonError> {
        assert_eq!(start.tls.is_some(), start.worker_tls.is_some());
        runtime().block_on(async {
            let dialer = Dialer::new(start.tls.as_ref(), Role::TaskManager, LIMIT, TIMEOUT)?;
            let mut connection = dialer.connect(&start.job_manager, Role::JobManager).await?;
            start.announcement.ready(&Ready { address: String::new(), rest: None });
            connection.reader.read::<ClientRequest>().await?;
            Err("the JobManager has gone".into())
        })
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A JobManager without TLS in this process.
pub(crate) fn start() -> (String, Shared) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let state = Shared::default();
    let shared = Arc::clone(&state);
    std::thread::spawn(move || {
        runtime().block_on(async { serve(TcpListener::from_std(listener).unwrap(), None, shared).await });
    });
    (address, state)
}

async fn serve(listener: TcpListener, tls: Option<TlsMaterial>, state: Shared) {
    let accepted = &[Role::Client, Role::TaskManager];
    let acceptor = Acceptor::new(tls.as_ref(), Role::JobManager, accepted, LIMIT, TIMEOUT, 16).unwrap();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let (acceptor, state) = (acceptor.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            let Ok(connection) = acceptor.accept(socket).await else { return };
            if connection.peer == Role::TaskManager {
                state.lock().unwrap().task_managers += 1;
            }
            converse(connection, &state).await;
        });
    }
}

async fn converse(mut connection: Connection, state: &Shared) {
    while let Ok(Some(request)) = connection.reader.read::<ClientRequest>().await {
        let wait = match &request.body {
            ClientRequestBody::RequestJobResult { wait_ms, .. } => *wait_ms,
            _ => 0,
        };
        let mut body = answer(request.body.clone(), state);
        if wait > 0 && std::mem::take(&mut state.lock().unwrap().hang_up) {
            return;
        }
        for _ in 0..wait / 5 {
            if !matches!(body, Ok(ClientResponseBody::JobRunning(_))) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
            body = answer(request.body.clone(), state);
        }
        if connection.writer.write(&ClientResponse { number: request.number, body }).await.is_err() {
            return;
        }
    }
}

fn answer(request: ClientRequestBody, state: &Shared) -> Result<ClientResponseBody, String> {
    let state = &mut *state.lock().unwrap();
    Ok(match request {
        ClientRequestBody::RequestMissingArtifacts(wanted) => ClientResponseBody::MissingArtifacts(
            wanted.into_iter().filter(|hash| !state.artifacts.contains_key(hash)).collect(),
        ),
        ClientRequestBody::PutArtifact { sha256, offset, bytes, .. } => {
            let size = state.artifacts.entry(sha256).or_default();
            assert!(*size == offset && bytes.len() <= 1 << 20);
            *size += bytes.len() as u64;
            ClientResponseBody::ArtifactStored
        }
        ClientRequestBody::SubmitJob { graph, .. } => submit(*graph, state),
        ClientRequestBody::RequestJobResult { job, .. } => {
            let (graph, status) = state.jobs.get(&job).ok_or("unknown job")?;
            if status.is_globally_terminal() { result(graph, *status) } else { running(graph, *status) }
        }
        ClientRequestBody::CancelJob(job) => match state.jobs.get_mut(&job) {
            Some((_, status)) => {
                *status = JobStatus::Canceled;
                ClientResponseBody::CancellationSuccess(job)
            }
            None => ClientResponseBody::CancellationFailure("it is not known here".to_owned()),
        },
        ClientRequestBody::RequestJobs => {
            ClientResponseBody::Jobs(state.jobs.values().map(|(graph, status)| summary(graph, *status)).collect())
        }
        ClientRequestBody::RequestJobDetails(job) => {
            let (graph, status) = state.jobs.get(&job).ok_or("unknown job")?;
            ClientResponseBody::JobDetails(Box::new(details(graph, *status)))
        }
        ClientRequestBody::RequestClusterOverview => ClientResponseBody::ClusterOverview(ClusterOverview {
            task_managers: state.task_managers,
            ..ClusterOverview::default()
        }),
        ClientRequestBody::RequestLog(log) => {
            let text = if log.offset == 0 { "first line\n" } else { "" };
            let piece = LogPiece { text: text.to_owned(), next_offset: 11, at_end: true };
            ClientResponseBody::Log(piece)
        }
        other => return Err(format!("not pretended: {other:?}")),
    })
}

/// The job's name says what becomes of it.
fn submit(graph: JobGraph, state: &mut State) -> ClientResponseBody {
    let status = match graph.name.as_str() {
        "refused" => return ClientResponseBody::JobSubmitFailure("not enough of everything".to_owned()),
        "endless" => JobStatus::Running,
        "failing" => JobStatus::Failed,
        _ => JobStatus::Finished,
    };
    let id = graph.job_id;
    state.jobs.insert(id, (graph, status));
    ClientResponseBody::JobSubmitSuccess(id)
}

fn result(graph: &JobGraph, status: JobStatus) -> ClientResponseBody {
    let records = AccumulatorValue::Long(42 + i64::from(graph.action));
    ClientResponseBody::JobResult(Box::new(JobResult {
        job: graph.job_id,
        status,
        net_runtime_ms: 7,
        accumulators: Accumulators([("records".to_owned(), records)].into()),
        failure: (status == JobStatus::Failed).then(|| "Map (1/2): no such word".to_owned()),
    }))
}

fn running(graph: &JobGraph, status: JobStatus) -> ClientResponseBody {
    ClientResponseBody::JobRunning(Box::new(details(graph, status)))
}

fn details(graph: &JobGraph, status: JobStatus) -> JobDetails {
    JobDetails {
        summary: summary(graph, status),
        timestamps: Vec::new(),
        configuration: Configuration::default(),
        vertices: Vec::new(),
        exceptions: Vec::new(),
        exceptions_truncated: false,
        restarts: 0,
        accumulators: Accumulators::default(),
        waiting_for: None,
    }
}

fn summary(graph: &JobGraph, status: JobStatus) -> JobSummary {
    JobSummary {
        id: graph.job_id,
        name: graph.name.clone(),
        status,
        mode: graph.mode,
        start_time: 0,
        end_time: if status.is_globally_terminal() { 7 } else { -1 },
        last_modification: 7,
        tasks: StateCounts::default(),
    }
}
