use std::collections::BTreeSet;

use serde_json::Value;

use super::fake::{self, FakeView, JOB, SINK, TASK_MANAGER};
use super::http;

macro_rules! recorded {
    ($name:literal) => {
        include_str!(concat!("../recorded/", $name, ".json"))
    };
}

/// Fields with the kinds of their values, arrays by their first element.
fn shape(value: &Value, path: &str, lines: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            lines.insert(format!("{path}: object"));
            fields.iter().for_each(|(key, value)| shape(value, &format!("{path}.{key}"), lines));
        }
        Value::Array(elements) => {
            lines.insert(format!("{path}: array"));
            elements.iter().take(1).for_each(|element| shape(element, &format!("{path}[]"), lines));
        }
        Value::Number(number) if number.is_f64() => _ = lines.insert(format!("{path}: real")),
        Value::Number(_) => _ = lines.insert(format!("{path}: integer")),
        Value::String(_) => _ = lines.insert(format!("{path}: string")),
        Value::Bool(_) => _ = lines.insert(format!("{path}: boolean")),
        Value::Null => _ = lines.insert(format!("{path}: null")),
    }
}

fn difference(ours: &Value, theirs: &Value) -> (Vec<String>, Vec<String>) {
    let (mut our_lines, mut their_lines) = (BTreeSet::new(), BTreeSet::new());
    shape(ours, "", &mut our_lines);
    shape(theirs, "", &mut their_lines);
    let lacking = their_lines.difference(&our_lines).cloned().collect();
    let added = our_lines.difference(&their_lines).cloned().collect();
    (lacking, added)
}

fn ids(list: &Value) -> BTreeSet<String> {
    list.as_array().unwrap().iter().map(|metric| metric["id"].as_str().unwrap().to_owned()).collect()
}

/// Asks our server what Flink was asked and compares the shapes.
async fn check(recording: &str, excused: &[&str]) {
    let view = FakeView::new();
    let server = fake::start(&view).await;
    let recording: Value = serde_json::from_str(recording).unwrap();
    let path = recording["GET"].as_str().unwrap();
    for path in [path, path.strip_prefix("/v1").unwrap()] {
        let answer = http::get(server.address(), path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert!(answer.head.contains("content-type: application/json"), "{path}: {answer:?}");
        let (lacking, added) = difference(&answer.json(), &recording["response"]);
        let lacking: Vec<_> = lacking.iter().filter(|line| !excused.iter().any(|part| line.contains(part))).collect();
        assert!(lacking.is_empty() && added.is_empty(), "{path}: Flink also has {lacking:#?}, only we have {added:#?}");
    }
    server.shut_down().await;
}

#[tokio::test]
async fn answers_have_the_shapes_of_flink() {
    let recordings = [
        recorded!("overview"),
        recorded!("config"),
        recorded!("jobs"),
        recorded!("jobs_overview"),
        recorded!("job"),
        recorded!("job_plan"),
        recorded!("job_exceptions"),
        recorded!("job_accumulators"),
        recorded!("job_metrics"),
        recorded!("job_metrics_get"),
        recorded!("job_config"),
        recorded!("job_status"),
        recorded!("vertex"),
        recorded!("vertex_metrics"),
        recorded!("vertex_subtasktimes"),
        recorded!("jobmanager_metrics"),
        recorded!("taskmanagers"),
        recorded!("taskmanager_metrics"),
    ];
    for recording in recordings {
        check(recording, &[]).await;
    }
    // There is no garbage collector to list.
    check(recorded!("taskmanager"), &["garbageCollectors[]"]).await;
}

#[tokio::test]
async fn the_plan_equals_that_of_flink() {
    let view = FakeView::new();
    let server = fake::start(&view).await;
    let recording: Value = serde_json::from_str(recorded!("job_plan")).unwrap();
    let ours = http::get(server.address(), recording["GET"].as_str().unwrap()).await.json();
    assert_eq!(ours, recording["response"]);
}

#[tokio::test]
async fn the_vertex_has_the_figures_of_flink() {
    let view = FakeView::new();
    let server = fake::start(&view).await;
    let recording: Value = serde_json::from_str(recorded!("vertex")).unwrap();
    let ours = http::get(server.address(), recording["GET"].as_str().unwrap()).await.json();
    let theirs = &recording["response"];
    assert_eq!(ours["aggregated"]["metrics"], theirs["aggregated"]["metrics"]);
    assert_eq!(ours["subtasks"][1]["metrics"], theirs["subtasks"][1]["metrics"]);
    for state in ["CREATED", "SCHEDULED", "DEPLOYING", "INITIALIZING"] {
        let durations = |answer: &Value| answer["aggregated"]["status-duration"][state].clone();
        assert_eq!(durations(&ours), durations(theirs), "{state}");
    }
}

#[tokio::test]
async fn metrics_have_the_names_of_flink() {
    let view = FakeView::new();
    let server = fake::start(&view).await;
    let known = |recording: &str| ids(&serde_json::from_str::<Value>(recording).unwrap()["response"]);
    let check = async |path: String, recording: &str, own: &[&str]| {
        let ours = ids(&http::get(server.address(), &path).await.json());
        let named: BTreeSet<String> =
            known(recording).into_iter().chain(own.iter().map(|id| (*id).to_owned())).collect();
        assert!(ours.is_subset(&named), "{path}: {:?}", ours.difference(&named));
    };
    let splits =
        ["numSplits", "numSplitsAssigned", "numSplitsLocal", "numSplitsRemote", "splitBytesLocal", "splitBytesRemote"];
    check(format!("/v1/jobs/{JOB}/metrics"), recorded!("job_metrics"), &splits).await;
    check(format!("/v1/jobs/{JOB}/vertices/{SINK}/metrics"), recorded!("vertex_metrics"), &[]).await;
    check("/v1/jobmanager/metrics".to_owned(), recorded!("jobmanager_metrics"), &[]).await;
    // What Flink does not measure, or only with a setting (`System.…`).
    let own = [
        "taskSlotsTotal",
        "taskSlotsAvailable",
        "Status.Memory.TaskManager",
        "Status.Memory.Workers",
        "System.Memory.Available",
        "System.Memory.Total",
        "System.Disk.Available",
        "System.Disk.Total",
        "Status.Network.BytesRead",
        "Status.Network.BytesWritten",
    ];
    check(format!("/v1/taskmanagers/{TASK_MANAGER}/metrics"), recorded!("taskmanager_metrics"), &own).await;
}

#[tokio::test]
async fn errors_have_the_shape_of_flink() {
    let view = FakeView::new();
    let server = fake::start(&view).await;
    for recording in [recorded!("error_unknown_job"), recorded!("error_unknown_path")] {
        let recording: Value = serde_json::from_str(recording).unwrap();
        let answer = http::get(server.address(), recording["GET"].as_str().unwrap()).await;
        assert_eq!(u64::from(answer.status), recording["response"]["HTTP"].as_u64().unwrap());
        // The recorded texts are cut; how they begin is enough.
        assert!(recording["response"]["body"].as_str().unwrap().starts_with("{\"errors\":[\""));
        let (lacking, added) = difference(&answer.json(), &serde_json::json!({ "errors": ["text"] }));
        assert!(lacking.is_empty() && added.is_empty(), "{answer:?}");
    }
}
