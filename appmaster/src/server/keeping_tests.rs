//! A JobManager that follows another one, with what that one has kept.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flink_graph::{Artifact, Configuration, JobGraph, JobId, JobStatus};
use flink_protocol::client::{ClientRequest, ClientRequestBody, ClientResponseBody};

use super::connections::ClientLink;
use super::tests::job;
use super::{Handle, JobManagerServer, ServerOptions};
use crate::job_store::LocalJobStore;

async fn start(folder: &Path, programs: Vec<(Artifact, std::path::PathBuf)>) -> Handle {
    let mut configuration = Configuration::default();
    configuration.set("io.tmp.dirs", folder.join("tmp").display().to_string());
    let store = Arc::new(LocalJobStore::take_over(&folder.join("jobs"), 1).unwrap());
    let options = ServerOptions { job_store: Some(store), programs, ..ServerOptions::local(configuration) };
    JobManagerServer::start(options).await.unwrap()
}

async fn ask(client: &mut ClientLink, body: ClientRequestBody) -> ClientResponseBody {
    client.outgoing.send(ClientRequest { number: 0, body }).await.unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(60), client.incoming.recv()).await;
    answer.unwrap().unwrap().body.unwrap()
}

async fn submit(client: &mut ClientLink, graph: &JobGraph) -> ClientResponseBody {
    ask(client, ClientRequestBody::SubmitJob { graph: Box::new(graph.clone()), detached: true }).await
}

async fn result(client: &mut ClientLink, job: JobId) -> ClientResponseBody {
    ask(client, ClientRequestBody::RequestJobResult { job, wait_ms: 10_000 }).await
}

async fn cancel(client: &mut ClientLink, job: JobId) {
    assert_eq!(ask(client, ClientRequestBody::CancelJob(job)).await, ClientResponseBody::CancellationSuccess(job));
}

fn program(name: &str, content: &[u8]) -> Artifact {
    use sha2::{Digest, Sha256};
    let sha256 = flink_transport::token::hex(&Sha256::digest(content));
    Artifact { name: name.to_owned(), sha256, size: content.len() as u64 }
}

/// How many files with an ending are kept in the store of a folder.
fn kept(folder: &Path, ending: &str) -> usize {
    fn count(folder: &Path, ending: &str) -> usize {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let counts = entries.map(|path| match path.is_dir() {
            true => count(&path, ending),
            false => usize::from(path.to_str().unwrap().ends_with(ending)),
        });
        counts.sum()
    }
    count(&folder.join("jobs"), ending)
}

#[tokio::test]
async fn the_next_job_manager_goes_on_with_the_jobs_and_answers_for_the_ended_ones() {
    let folder = tempfile::tempdir().unwrap();
    let content = b"a program";
    let artifact = program("p", content);
    let (mut running, ended) = (job(1), job(2));
    running.program = Some(artifact.clone());
    let first = start(folder.path(), Vec::new()).await;
    let mut client = first.connect_client().unwrap();
    let (sha256, bytes) = (artifact.sha256.clone(), content.to_vec());
    let put = ClientRequestBody::PutArtifact { sha256: sha256.clone(), offset: 0, bytes, last: true };
    assert_eq!(ask(&mut client, put).await, ClientResponseBody::ArtifactStored);
    for graph in [&running, &ended] {
        assert_eq!(submit(&mut client, graph).await, ClientResponseBody::JobSubmitSuccess(graph.job_id));
    }
    cancel(&mut client, ended.job_id).await;
    let before = result(&mut client, ended.job_id).await;
    assert!(matches!(&before, ClientResponseBody::JobResult(result) if result.status == JobStatus::Canceled));
    assert_eq!(kept(folder.path(), ".program"), 1);
    first.shut_down().await;

    let second = start(folder.path(), Vec::new()).await;
    assert!(second.epoch() >= first.epoch());
    let mut client = second.connect_client().unwrap();
    assert_eq!(result(&mut client, ended.job_id).await, before, "what was told once is true for ever");
    assert_eq!(submit(&mut client, &ended).await, ClientResponseBody::JobSubmitSuccess(ended.job_id));
    assert_eq!(result(&mut client, ended.job_id).await, before, "it is not run again");
    let missing = ask(&mut client, ClientRequestBody::RequestMissingArtifacts(vec![sha256])).await;
    assert_eq!(missing, ClientResponseBody::MissingArtifacts(Vec::new()));
    let wait = ClientRequestBody::RequestJobResult { job: running.job_id, wait_ms: 0 };
    assert!(matches!(ask(&mut client, wait).await, ClientResponseBody::JobRunning(_)));
    cancel(&mut client, running.job_id).await;
    result(&mut client, running.job_id).await;
    second.shut_down().await;

    let third = start(folder.path(), Vec::new()).await;
    let statuses = third.query(|job_manager| job_manager.jobs().into_iter().map(|job| job.status).collect::<Vec<_>>());
    assert_eq!(statuses.await.unwrap(), [JobStatus::Canceled, JobStatus::Canceled]);
    third.shut_down().await;
}

#[tokio::test]
async fn programs_that_are_here_need_not_be_put() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p");
    std::fs::write(&file, b"content").unwrap();
    let artifact = program("p", b"content");
    let handle = start(folder.path(), vec![(artifact.clone(), file)]).await;
    let mut client = handle.connect_client().unwrap();
    let mut graph = job(3);
    graph.program = Some(artifact);
    assert_eq!(submit(&mut client, &graph).await, ClientResponseBody::JobSubmitSuccess(graph.job_id));
    handle.shut_down().await;
    // The next JobManager is started with it as well.
    assert_eq!((kept(folder.path(), ".graph"), kept(folder.path(), ".program")), (1, 0));
}

#[tokio::test]
async fn a_job_that_cannot_be_kept_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let handle = start(folder.path(), Vec::new()).await;
    std::fs::remove_dir_all(folder.path().join("jobs")).unwrap();
    let mut client = handle.connect_client().unwrap();
    let answer = submit(&mut client, &job(4)).await;
    assert!(matches!(&answer, ClientResponseBody::JobSubmitFailure(reason) if reason.contains("jobs")), "{answer:?}");
    handle.shut_down().await;
}

/// Its host stood still, and the file system gave its lock to the next one.
#[tokio::test]
async fn a_result_that_another_job_manager_decides_on_is_not_told() {
    let folder = tempfile::tempdir().unwrap();
    let first = start(folder.path(), Vec::new()).await;
    let mut client = first.connect_client().unwrap();
    let graph = job(6);
    assert_eq!(submit(&mut client, &graph).await, ClientResponseBody::JobSubmitSuccess(graph.job_id));
    std::fs::remove_file(folder.path().join("jobs/lock")).unwrap();
    let next = start(folder.path(), Vec::new()).await;
    let answer = submit(&mut client, &job(7)).await;
    assert!(matches!(&answer, ClientResponseBody::JobSubmitFailure(_)), "{answer:?}");
    cancel(&mut client, graph.job_id).await;
    let wanted = ClientRequestBody::RequestJobResult { job: graph.job_id, wait_ms: 0 };
    client.outgoing.send(ClientRequest { number: 1, body: wanted }).await.unwrap();
    // Longer than a result is tried to be kept, and told without that, where only the store is at fault.
    let answer = tokio::time::timeout(Duration::from_secs(4), client.incoming.recv()).await;
    assert!(answer.is_err(), "{answer:?}");
    let mut client = next.connect_client().unwrap();
    let answer = ask(&mut client, ClientRequestBody::RequestJobDetails(graph.job_id)).await;
    assert!(
        matches!(&answer, ClientResponseBody::JobDetails(details) if details.summary.status == JobStatus::Created),
        "{answer:?}"
    );
    next.shut_down().await;
    first.shut_down().await;
}

#[tokio::test]
async fn what_is_wanted_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let handle = start(folder.path(), Vec::new()).await;
    let mut resources = handle.resources().await;
    let mut client = handle.connect_client().unwrap();
    submit(&mut client, &job(5)).await;
    let waiting = resources.wait_for(|resources| resources.missing_slots == 1);
    tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap().unwrap();
    handle.resource_note(Some("the queue is full".to_owned())).await;
    let details = handle.query(|job_manager| job_manager.job_details(job(5).job_id)).await.unwrap().unwrap();
    assert!(details.waiting_for.unwrap().ends_with("the queue is full"));
    cancel(&mut client, job(5).job_id).await;
    let waiting = resources.wait_for(|resources| resources.missing_slots == 0);
    tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap().unwrap();
    assert!(!handle.release_task_manager(flink_graph::TaskManagerId("nobody".into())).await);
    handle.shut_down().await;
}
