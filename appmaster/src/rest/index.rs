use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

/// What there is, for somebody who follows a link to the cluster. All addresses are relative: the page may stand under
/// the prefix of a proxy.
const PAGE: &str = r#"<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>flink-yarn</title></head>
<body>
<h1>flink-yarn</h1>
<ul>
<li><a href="v1/overview">Overview</a></li>
<li><a href="v1/jobs/overview">Jobs</a></li>
<li><a href="v1/taskmanagers">TaskManagers</a></li>
<li><a href="v1/jobmanager/config">Configuration</a></li>
<li><a href="metrics">Metrics for Prometheus</a></li>
</ul>
</body>
</html>
"#;

pub(super) async fn page() -> Response {
    ([(CONTENT_TYPE, "text/html; charset=utf-8")], PAGE).into_response()
}
