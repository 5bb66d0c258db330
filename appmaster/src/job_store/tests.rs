use std::sync::Arc;

use flink_graph::{Artifact, Configuration, Fingerprint, JobGraph, JobId, JobStatus, RuntimeMode};
use flink_protocol::client::JobResult;
use flink_protocol::overview::{JobDetails, JobSummary, StateCounts};

use super::*;
use crate::job_manager::EndedJob;

fn graph(number: u128, program: Option<&str>) -> JobGraph {
    JobGraph {
        job_id: JobId::from_u128(number),
        name: "job".into(),
        mode: RuntimeMode::Batch,
        configuration: Configuration::default(),
        vertices: Vec::new(),
        fingerprint: Fingerprint::default(),
        arguments: Vec::new(),
        action: 0,
        earlier_results: Vec::new(),
        program: program.map(|sha256| Artifact { name: "p".into(), sha256: sha256.into(), size: 3 }),
    }
}

fn ended(number: u128, end_time: i64) -> EndedJob {
    let graph = graph(number, None);
    let summary = JobSummary {
        id: graph.job_id,
        name: "job".into(),
        status: JobStatus::Finished,
        mode: RuntimeMode::Batch,
        start_time: 0,
        end_time,
        last_modification: end_time,
        tasks: StateCounts::default(),
    };
    let details = JobDetails {
        summary,
        timestamps: Vec::new(),
        configuration: Configuration::default(),
        restarts: 0,
        vertices: Vec::new(),
        exceptions: Vec::new(),
        exceptions_truncated: false,
        accumulators: flink_graph::Accumulators::default(),
        waiting_for: None,
    };
    let result = JobResult {
        job: graph.job_id,
        status: JobStatus::Finished,
        net_runtime_ms: 1,
        accumulators: flink_graph::Accumulators::default(),
        failure: None,
    };
    EndedJob { details, graph, result }
}

#[tokio::test]
async fn what_was_kept_is_recovered_and_what_nobody_needs_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    std::fs::write(&program, b"abc").unwrap();
    let store = LocalJobStore::take_over(&folder.path().join("jobs"), 1).unwrap();
    let keeper = Keeper::new(Arc::new(store.clone()), 2);
    keeper.keep_job(&graph(1, Some("aa")), Some(("aa", &program))).await.unwrap();
    keeper.keep_job(&graph(2, Some("bb")), Some(("bb", &program))).await.unwrap();
    keeper.keep_job(&graph(3, None), None).await.unwrap();
    keeper.keep_result(&ended(2, 20)).await.unwrap();
    keeper.keep_result(&ended(4, 10)).await.unwrap();
    keeper.keep_result(&ended(5, 30)).await.unwrap();
    keeper.forget_job(JobId::from_u128(3)).await.unwrap();
    // As if the JobManager had died between the two steps of the end of a job.
    store.write(&format!("{}.graph", JobId::from_u128(5)), b"\xc1".to_vec()).await.unwrap();

    let recovered = keeper.recover().await.unwrap();
    assert_eq!(recovered.running, [graph(1, Some("aa"))]);
    assert_eq!(recovered.ended, [ended(2, 20), ended(5, 30)], "the oldest is one too many");
    let copy = folder.path().join("copy");
    assert!(keeper.fetch_program("aa", &copy).await.unwrap());
    assert_eq!(std::fs::read(copy).unwrap(), b"abc");
    assert!(!keeper.fetch_program("bb", &folder.path().join("x")).await.unwrap());
    let mut names = store.list().await.unwrap();
    names.sort();
    assert_eq!(names.len(), 4, "{names:?}");
}

#[tokio::test]
async fn a_damaged_record_is_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalJobStore::take_over(folder.path(), 1).unwrap();
    store.write("x.graph", b"\xc1".to_vec()).await.unwrap();
    let error = Keeper::new(Arc::new(store.clone()), 2).recover().await.unwrap_err();
    assert!(error.contains("x.graph") && error.contains("remove it"), "{error}");
    assert!(store.read("x.graph", 0).await.unwrap_err().to_string().contains("longer"));
    assert_eq!(store.read("y", 1).await, Ok(None));
    std::fs::remove_dir_all(folder.path()).unwrap();
    let error = store.write("z", Vec::new()).await.unwrap_err().to_string();
    assert!(error.starts_with("cannot write z in the store of jobs"), "{error}");
}
