use flink_graph::{ExecutionState, JobStatus};

use super::fake::{self, FakeView, JOB, SINK, TASK_MANAGER, TOKEN};
use super::http::{get, send};
use crate::rest::Cancellation;

const UNKNOWN: &str = "00000000000000000000000000000000";

#[tokio::test]
async fn what_is_unknown_is_told_with_a_way_out() {
    let view = FakeView::new();
    let server = fake::start(&view).await;
    let check = async |path: String, status: u16, part: &str| {
        let answer = get(server.address(), &path).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert!(answer.error().contains(part), "{path}: {answer:?}");
    };
    for below in ["", "/plan", "/exceptions", "/accumulators", "/metrics", "/config", "/status"] {
        let expected = format!("Job {UNKNOWN} not found");
        check(format!("/v1/jobs/{UNKNOWN}{below}"), 404, &expected).await;
        check(format!("/v1/jobs/7{below}"), 400, "`7` is not a valid job id: expected 32 hexadecimal digits").await;
    }
    check(format!("/jobs/{JOB}/vertices/{UNKNOWN}"), 404, "GET /v1/jobs/a3e2f8ff5e70b18d42e7c088680073cb lists").await;
    check(format!("/jobs/{JOB}/vertices/7"), 400, "not a valid job vertex id").await;
    check("/v1/taskmanagers/nobody".to_owned(), 404, "TaskManager nobody not found").await;
    check("/v1/nothing".to_owned(), 404, "Unable to load requested file /v1/nothing. Try /v1/overview").await;
    check("/v1/jobs/%ff".to_owned(), 400, "").await;
    check(format!("/v1/jobs/{JOB}/exceptions?maxExceptions=some"), 400, "`some` is not a whole number").await;
}

#[tokio::test]
async fn the_page_at_the_root_has_only_relative_links() {
    let view = FakeView::new();
    let server = fake::start(&view).await;
    let page = get(server.address(), "/").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("href=\"v1/overview\"") && !page.body.contains("href=\"/"), "{page:?}");
}

#[tokio::test]
async fn metrics_are_chosen_by_name() {
    let view = FakeView::with(fake::restarted_job());
    let server = fake::start(&view).await;
    let check = async |path: String, expected: serde_json::Value| {
        assert_eq!(get(server.address(), &path).await.json(), expected, "{path}");
    };
    let value = |id: &str, value: &str| serde_json::json!({ "id": id, "value": value });
    let restarts = value("numRestarts", "2");
    check(format!("/jobs/{JOB}/metrics?get=numRestarts,nothing"), serde_json::json!([restarts])).await;
    check(format!("/jobs/{JOB}/metrics?get="), serde_json::json!([])).await;
    let load = value("Status.JVM.CPU.Load", "0.5");
    check(format!("/taskmanagers/{TASK_MANAGER}/metrics?get=Status.JVM.CPU.Load"), serde_json::json!([load])).await;
    let records = value("1.numRecordsIn", "872378");
    check(format!("/jobs/{JOB}/vertices/{SINK}/metrics?get=1.numRecordsIn"), serde_json::json!([records])).await;
}

#[tokio::test]
async fn failures_and_accumulators_are_listed() {
    let view = FakeView::with(fake::restarted_job());
    let server = fake::start(&view).await;
    let history = get(server.address(), &format!("/v1/jobs/{JOB}/exceptions?maxExceptions=1")).await.json();
    let expected = serde_json::json!({ "exceptionHistory": { "truncated": true, "entries": [{
        "exceptionName": "Map (1/2): cannot parse `x`",
        "stacktrace": "Map (1/2): cannot parse `x`\ncaused by: invalid digit",
        "timestamp": 1_795_224_446_186_i64,
        "failureLabels": {},
        "concurrentExceptions": [],
        "taskName": "Map (1/2)",
        "endpoint": TASK_MANAGER,
        "taskManagerId": TASK_MANAGER,
    }] } });
    assert_eq!(history, expected);
    let history = get(server.address(), &format!("/v1/jobs/{JOB}/exceptions")).await.json();
    assert_eq!(history["exceptionHistory"]["entries"][1].get("taskName"), None);
    assert_eq!(history["exceptionHistory"]["truncated"], false);

    let shown = get(server.address(), &format!("/v1/jobs/{JOB}/accumulators")).await.json();
    let words = serde_json::json!([{ "name": "words", "type": "LongCounter", "value": "7" }]);
    assert_eq!(shown["user-task-accumulators"], words);
    let shown = get(server.address(), &format!("/v1/jobs/{JOB}/vertices/{SINK}/accumulators")).await.json();
    assert_eq!(shown["user-accumulators"][0]["value"], "6");
}

#[tokio::test]
async fn a_job_that_ended_has_its_times() {
    let mut job = fake::job();
    job.summary.status = JobStatus::Canceled;
    job.summary.end_time = job.summary.start_time + 20_762;
    job.timestamps.push((JobStatus::Canceling, job.summary.end_time - 82));
    job.timestamps.push((JobStatus::Canceled, job.summary.end_time));
    for subtask in job.vertices.iter_mut().flat_map(|vertex| &mut vertex.subtasks) {
        subtask.state = ExecutionState::Canceled;
        subtask.timestamps.push((ExecutionState::Canceled, 1_795_224_466_935));
    }
    let view = FakeView::with(job);
    let server = fake::start(&view).await;
    let shown = get(server.address(), &format!("/v1/jobs/{JOB}")).await.json();
    let recorded: serde_json::Value = serde_json::from_str(include_str!("../recorded/job_canceled.json")).unwrap();
    let recorded = &recorded["response"];
    for field in ["state", "start-time", "end-time", "duration", "timestamps", "status-counts", "plan"] {
        assert_eq!(shown[field], recorded[field], "{field}");
    }
    for field in ["status", "end-time", "tasks"] {
        assert_eq!(shown["vertices"][0][field], recorded["vertices"][0][field], "{field}");
    }
    let page = get(server.address(), "/metrics").await.body;
    assert!(page.contains("flink_jobmanager_numJobs{status=\"CANCELED\"} 1\n"), "{page}");
    assert!(!page.contains("flink_taskmanager_job_task"), "an ended job's tasks must leave the page: {page}");
}

#[tokio::test]
async fn a_job_is_canceled_by_patch() {
    let view = FakeView::new();
    let server = fake::start(&view).await;
    let bearer = format!("Bearer {TOKEN}");
    let patch = async |path: String| {
        send(server.address(), "PATCH", &path, &[("authorization", &bearer), ("content-length", "0")]).await
    };
    for path in [format!("/v1/jobs/{JOB}?mode=cancel"), format!("/jobs/{JOB}")] {
        let answer = patch(path).await;
        assert_eq!((answer.status, answer.body.as_str()), (202, "{}"));
    }
    assert_eq!(view.canceled.lock().unwrap().len(), 2);
    assert_eq!(patch(format!("/jobs/{JOB}?mode=explode")).await.status, 400);
    assert!(patch(format!("/jobs/{JOB}?mode=stop")).await.error().contains("use mode=cancel"));
    assert_eq!(patch(format!("/jobs/{UNKNOWN}?mode=cancel")).await.status, 404);
    *view.cancellation.lock().unwrap() = Cancellation::Refused("the job has ended already: FINISHED".to_owned());
    let answer = patch(format!("/jobs/{JOB}?mode=cancel")).await;
    assert_eq!((answer.status, answer.error().as_str()), (409, "the job has ended already: FINISHED"));
    let answer = patch("/jobs".to_owned()).await;
    assert_eq!(answer.status, 405, "{answer:?}");
    assert!(answer.error().contains("PATCH is not possible on /jobs"), "{answer:?}");
}

#[tokio::test]
async fn prometheus_reads_the_page() {
    let mut job = fake::job();
    job.summary.name = "a \"quoted\" \\ name\n".to_owned();
    let view = FakeView::with(job);
    let server = fake::start(&view).await;
    let answer = get(server.address(), "/metrics").await;
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{answer:?}");
    let page = answer.body;
    let task = format!(
        "flink_taskmanager_job_task_numRecordsIn{{host=\"localhost\",job_id=\"{JOB}\",job_name=\"a \\\"quoted\\\" \\\\ \
         name\\n\",subtask_index=\"0\",task_attempt_num=\"0\",task_id=\"{SINK}\",task_name=\"KeyedProcess -> Sink: \
         Writer\",tm_id=\"{TASK_MANAGER}\"}} 876879\n"
    );
    for part in [
        task.as_str(),
        "# TYPE flink_taskmanager_job_task_numRecordsIn counter\n",
        "flink_jobmanager_numRegisteredTaskManagers 1\n",
        "flink_jobmanager_taskSlotsTotal 2\n",
        "flink_jobmanager_numJobs{status=\"RUNNING\"} 1\n",
        "flink_jobmanager_job_numRestarts{job_id=",
        "flink_taskmanager_Status_JVM_CPU_Load{host=\"localhost\",tm_id=\"localhost:36919-c2a036\"} 0.5\n",
        "flink_taskmanager_Status_JVM_Memory_Heap_Used{host=\"localhost\",tm_id=\"localhost:36919-c2a036\"} 125829120\n",
        "flink_jobmanager_metricsLeftOut 0\n",
    ] {
        assert!(page.contains(part), "no {part} in\n{page}");
    }
    check_text_format(&page);
}

/// Each family once, with its type before its samples; every sample a name, labels and a number.
fn check_text_format(page: &str) {
    let mut families = std::collections::BTreeSet::new();
    let mut family = "";
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split(' ').next().unwrap();
            assert!(families.insert(family), "{family} twice");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            assert!(kind == format!("{family} gauge") || kind == format!("{family} counter"), "{line}");
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let name = sample.split('{').next().unwrap();
            assert_eq!(name, family, "{line}");
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{line}");
            assert!(!sample.contains('{') || sample.ends_with("\"}"), "{line}");
        }
    }
}

#[tokio::test]
async fn a_job_manager_that_cannot_answer_is_told() {
    let view = FakeView::new();
    let server = fake::start(&view).await;
    *view.available.lock().unwrap() = false;
    for path in ["/v1/overview", "/metrics", "/v1/taskmanagers"] {
        let answer = get(server.address(), path).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_eq!(answer.error(), "the JobManager cannot answer: it is ending");
    }
}

#[tokio::test]
async fn secrets_stay_here() {
    let view = FakeView::new();
    let server = fake::start(&view).await;
    let shown = get(server.address(), "/v1/jobmanager/config").await;
    let expected = serde_json::json!([
        { "key": "rest.port", "value": "18081" }, { "key": "s3.secret-key", "value": "******" }
    ]);
    assert_eq!(shown.json(), expected);
}
