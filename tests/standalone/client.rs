use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flink_graph::{Artifact, JobGraph, JobId, JobStatus};
use flink_protocol::client::{ClientRequest, ClientRequestBody, ClientResponse, ClientResponseBody};
use flink_protocol::program::{
    MODE_VARIABLE, OUTCOME_VARIABLE, PLAN_MODE, PlanOutcome, ProgramRequest, REQUEST_VARIABLE,
};
use flink_protocol::wire;
use flink_transport::{Connection, Dialer, Role, authority};
use tokio::runtime::Runtime;

use crate::cluster::Cluster;
use crate::misbehaving::MISBEHAVE;

const TIMEOUT: Duration = Duration::from_secs(60);

/// Ids of jobs in this process.
static NEXT_JOB: AtomicU64 = AtomicU64::new(1);

/// A connection to a JobManager.
pub(crate) struct Client {
    runtime: Runtime,
    connection: Connection,
    number: u64,
}

impl Client {
    pub(crate) fn connect(cluster: &Cluster) -> Self {
        let keys = authority::load_material(&cluster.path().join("flink-yarn/security"), Role::Client).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let dialer = Dialer::new(Some(&keys), Role::Client, 64 << 20, TIMEOUT).unwrap();
        let address = cluster.address();
        let connection = runtime.block_on(dialer.connect(&address, Role::JobManager)).unwrap();
        Self { runtime, connection, number: 0 }
    }

    fn call(&mut self, body: ClientRequestBody) -> ClientResponseBody {
        self.number += 1;
        let (number, connection) = (self.number, &mut self.connection);
        let exchange = async {
            connection.writer.write(&ClientRequest { number, body }).await.unwrap();
            connection.reader.read::<ClientResponse>().await.unwrap().expect("the JobManager answers")
        };
        let answer = self.runtime.block_on(async { tokio::time::timeout(TIMEOUT, exchange).await });
        answer.expect("the JobManager answers in time").body.unwrap()
    }

    pub(crate) fn submit(&mut self, graph: &JobGraph) -> JobId {
        let job = JobId::from_u128(NEXT_JOB.fetch_add(1, Ordering::Relaxed).into());
        let graph = Box::new(JobGraph { job_id: job, ..graph.clone() });
        match self.call(ClientRequestBody::SubmitJob { graph, detached: true }) {
            ClientResponseBody::JobSubmitSuccess(accepted) => assert_eq!(accepted, job),
            refused => panic!("{refused:?}"),
        }
        job
    }

    /// Waits for the end of a job.
    pub(crate) fn wait(&mut self, job: JobId) -> JobStatus {
        match self.call(ClientRequestBody::RequestJobResult { job, wait_ms: 50_000 }) {
            ClientResponseBody::JobResult(result) => {
                assert!(result.failure.is_none(), "{result:?}");
                result.status
            }
            other => panic!("job {job} has not ended: {other:?}"),
        }
    }
}

/// The graph of a program of this crate. The cluster has the program afterwards.
pub(crate) fn graph(cluster: &Cluster, arguments: &[&str]) -> JobGraph {
    cluster.misbehave(&[], &["trivial"]).expect(0, &[]);
    let [request, outcome] = ["request", "outcome"].map(|name| cluster.path().join(name));
    let wanted = ProgramRequest::default();
    fs::write(&request, wire::encode(&wanted).unwrap()).unwrap();
    let planned = Command::new(MISBEHAVE)
        .args(arguments)
        .env(MODE_VARIABLE, PLAN_MODE)
        .env(REQUEST_VARIABLE, request)
        .env(OUTCOME_VARIABLE, &outcome)
        .status();
    assert!(planned.unwrap().success());
    match wire::decode(&fs::read(outcome).unwrap()).unwrap() {
        PlanOutcome::Graph(graph) => JobGraph { program: Some(artifact()), ..*graph },
        PlanOutcome::Failed(reason) => panic!("{reason}"),
    }
}

/// How a cluster names the program.
fn artifact() -> Artifact {
    let hashed = Command::new("sha256sum").arg(MISBEHAVE).output().unwrap();
    let sha256 = String::from_utf8(hashed.stdout).unwrap()[..64].to_owned();
    Artifact { name: "misbehave".to_owned(), sha256, size: fs::metadata(MISBEHAVE).unwrap().len() }
}
