use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flink_appmaster::rest::{AccessToken, Answer, Cancellation, ClusterView, RestOptions, Unavailable, probe};
use flink_graph::{Configuration, JobId};
use flink_protocol::overview::{ClusterOverview, JobDetails, JobSummary, TaskManagerSummary};

const TOKEN: &str = "a-token-for-the-tests";

/// A cluster without jobs, which notices that something was to be changed.
#[derive(Default)]
struct Empty {
    canceled: AtomicBool,
}

fn answer<T: Send + 'static>(value: T) -> Answer<'static, T> {
    Box::pin(ready(Ok::<T, Unavailable>(value)))
}

impl ClusterView for Empty {
    fn configuration(&self) -> Configuration {
        Configuration::default()
    }

    fn overview(&self) -> Answer<'_, ClusterOverview> {
        answer(ClusterOverview::default())
    }

    fn jobs(&self) -> Answer<'_, Vec<JobSummary>> {
        answer(Vec::new())
    }

    fn job(&self, _: JobId) -> Answer<'_, Option<JobDetails>> {
        answer(None)
    }

    fn task_managers(&self) -> Answer<'_, Vec<TaskManagerSummary>> {
        answer(Vec::new())
    }

    fn cancel(&self, _: JobId) -> Answer<'_, Cancellation> {
        self.canceled.store(true, Ordering::Relaxed);
        answer(Cancellation::Accepted)
    }
}

/// Bytes on the REST port: whatever they are, nothing is changed without the token, the answer is HTTP, and its body is JSON
/// where it says so.
pub fn requests(input: &[u8]) {
    let view = Arc::new(Empty::default());
    let mut options = RestOptions::new("127.0.0.1", 0);
    options.token = AccessToken::new(TOKEN).ok();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let told = runtime.block_on(probe::converse(&options, view.clone(), input));
    let has_token = input.windows(TOKEN.len()).any(|part| part == TOKEN.as_bytes());
    assert!(has_token || !view.canceled.load(Ordering::Relaxed), "something was changed without a token");
    if told.is_empty() {
        return;
    }
    assert!(told.starts_with(b"HTTP/1."), "{:?}", String::from_utf8_lossy(&told));
    assert!(!told.windows(TOKEN.len()).any(|part| part == TOKEN.as_bytes()) || has_token, "the token is shown");
    if let Some((head, body)) = one_answer(&told)
        && head.contains("content-type: application/json")
        && !input.starts_with(b"HEAD")
    {
        serde_json::from_slice::<serde_json::Value>(body).expect("the body is JSON");
    }
}

/// Head and body, where there is exactly one answer.
fn one_answer(told: &[u8]) -> Option<(String, &[u8])> {
    let end = told.windows(4).position(|part| part == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&told[..end]).to_lowercase();
    let length: usize = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
    let body = &told[end + 4..];
    (body.len() == length).then_some((head, body))
}

/// Requests for every kind of path.
pub fn seeds() -> Vec<Vec<u8>> {
    let job = "a3e2f8ff5e70b18d42e7c088680073cb";
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost:8081\r\n\r\n").into_bytes();
    let patch = |more: &str| {
        format!("PATCH /v1/jobs/{job}?mode=cancel HTTP/1.1\r\nHost: localhost\r\n{more}Content-Length: 2\r\n\r\n{{}}")
            .into_bytes()
    };
    vec![
        get("/v1/overview"),
        get("/jobs/overview"),
        get(&format!("/v1/jobs/{job}/exceptions?maxExceptions=3")),
        get(&format!("/v1/jobs/{job}/vertices/{job}/metrics?get=a,b")),
        get("/v1/taskmanagers/a%2fb/metrics"),
        get("/metrics"),
        patch(""),
        patch(&format!("Authorization: Bearer {TOKEN}\r\n")),
        patch("Origin: http://evil\r\nAuthorization: Basic eDp5\r\n"),
        b"POST /v1/jars HTTP/1.0\r\n\r\n".to_vec(),
    ]
}
