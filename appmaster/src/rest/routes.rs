use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, Query, Request, State};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Json, Router};
use flink_graph::{JobId, JobVertexId};
use flink_protocol::overview::{JobDetails, TaskManagerSummary, VertexDetails};
use serde_json::{Value, json};

use super::access::Guard;
use super::failure::Failure;
use super::process::Process;
use super::view::{Answer, Cancellation, ClusterView};
use super::{configuration, index, jobs, metrics, now_millis, prometheus, task_managers, vertices};

/// Longest wait for the view.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Failures listed without `maxExceptions`, as in Flink.
const USUAL_EXCEPTIONS: usize = 20;

/// What every handler has.
pub(super) struct Shared {
    pub(super) view: Arc<dyn ClusterView>,
    pub(super) guard: Guard,
}

type Rest = State<Arc<Shared>>;
type Answered = Result<Json<Value>, Failure>;

/// All paths, without the `/v1` that may stand before them, with what each of their methods does.
pub(super) fn routes() -> Vec<(&'static str, MethodRouter<Arc<Shared>>)> {
    vec![
        ("/overview", get(overview)),
        ("/config", get(dashboard_config)),
        ("/jobmanager/config", get(job_manager_config)),
        ("/jobmanager/metrics", get(job_manager_metrics)),
        ("/jobs", get(job_ids)),
        ("/jobs/overview", get(job_summaries)),
        ("/jobs/{job}", get(job_details).patch(terminate_job)),
        ("/jobs/{job}/status", get(job_status)),
        ("/jobs/{job}/plan", get(job_plan)),
        ("/jobs/{job}/config", get(job_config)),
        ("/jobs/{job}/exceptions", get(job_exceptions)),
        ("/jobs/{job}/accumulators", get(job_accumulators)),
        ("/jobs/{job}/metrics", get(job_metrics)),
        ("/jobs/{job}/vertices/{vertex}", get(vertex_details)),
        ("/jobs/{job}/vertices/{vertex}/accumulators", get(vertex_accumulators)),
        ("/jobs/{job}/vertices/{vertex}/metrics", get(vertex_metrics)),
        ("/jobs/{job}/vertices/{vertex}/subtasktimes", get(vertex_subtask_times)),
        ("/taskmanagers", get(task_manager_summaries)),
        ("/taskmanagers/{task_manager}", get(task_manager_details)),
        ("/taskmanagers/{task_manager}/metrics", get(task_manager_metrics)),
    ]
}

/// The whole API behind its guard.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    let mut api = Router::new();
    for (path, methods) in routes() {
        api = api.route(path, methods);
    }
    let all =
        Router::new().nest("/v1", api.clone()).merge(api).route("/metrics", get(scrape)).route("/", get(index::page));
    all.method_not_allowed_fallback(wrong_method)
        .fallback(unknown_path)
        .layer(from_fn_with_state(Arc::clone(&shared), guarded))
        .with_state(shared)
}

/// Stands before every path, those that do not exist included.
async fn guarded(State(shared): Rest, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let mut response = match shared.guard.check(&parts) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(failure) => {
            tracing::debug!(method = %parts.method, path = parts.uri.path(), status = %failure.status, "REST refused");
            failure.into_response()
        }
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn unknown_path(request: Request) -> Failure {
    let path = request.uri().path();
    Failure::not_found(format!("Unable to load requested file {path}. Try /v1/overview, /v1/jobs or /v1/taskmanagers."))
}

async fn wrong_method(request: Request) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    let message = format!("{method} is not possible on {path}: reading takes GET, canceling a job takes PATCH");
    let mut response = Failure::new(StatusCode::METHOD_NOT_ALLOWED, message).into_response();
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, PATCH"));
    response
}

async fn overview(State(rest): Rest) -> Answered {
    Ok(Json(jobs::overview(&ask(rest.view.overview()).await?)))
}

async fn dashboard_config(State(rest): Rest) -> Json<Value> {
    Json(jobs::dashboard_config(rest.guard.token.is_some()))
}

async fn job_manager_config(State(rest): Rest) -> Json<Value> {
    Json(configuration::entries(&rest.view.configuration()))
}

async fn job_manager_metrics(State(rest): Rest, query: Parameters) -> Answered {
    let cluster = ask(rest.view.overview()).await?;
    Ok(Json(metrics::answer(metrics::of_job_manager(&cluster, Process::read()), query.get("get"))))
}

async fn job_ids(State(rest): Rest) -> Answered {
    Ok(Json(jobs::ids(&ask(rest.view.jobs()).await?)))
}

async fn job_summaries(State(rest): Rest) -> Answered {
    Ok(Json(jobs::summaries(&ask(rest.view.jobs()).await?, now_millis())))
}

async fn job_details(State(rest): Rest, names: Names) -> Answered {
    Ok(Json(jobs::details(&find_job(&rest, &names).await?, now_millis())))
}

/// `PATCH /jobs/:jobid?mode=cancel`
async fn terminate_job(
    State(rest): Rest,
    names: Names,
    query: Parameters,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let job = names.job()?;
    match query.get("mode").unwrap_or("cancel") {
        "cancel" => {}
        "stop" => return Err(Failure::bad_request("mode `stop` is not offered; use mode=cancel")),
        other => return Err(Failure::bad_request(format!("`{other}` is not a mode; use mode=cancel"))),
    }
    match ask(rest.view.cancel(job)).await? {
        Cancellation::Accepted => {
            tracing::info!(%job, "cancellation asked for over REST");
            Ok((StatusCode::ACCEPTED, Json(json!({}))))
        }
        Cancellation::UnknownJob => Err(unknown_job(job)),
        Cancellation::Refused(reason) => Err(Failure::new(StatusCode::CONFLICT, reason)),
    }
}

async fn job_status(State(rest): Rest, names: Names) -> Answered {
    Ok(Json(jobs::status(&find_job(&rest, &names).await?)))
}

async fn job_plan(State(rest): Rest, names: Names) -> Answered {
    Ok(Json(jobs::plan(&find_job(&rest, &names).await?)))
}

async fn job_config(State(rest): Rest, names: Names) -> Answered {
    Ok(Json(jobs::config(&find_job(&rest, &names).await?)))
}

async fn job_exceptions(State(rest): Rest, names: Names, query: Parameters) -> Answered {
    let limit = query.number("maxExceptions")?.unwrap_or(USUAL_EXCEPTIONS);
    Ok(Json(jobs::exceptions(&find_job(&rest, &names).await?, limit)))
}

async fn job_accumulators(State(rest): Rest, names: Names) -> Answered {
    Ok(Json(jobs::accumulators(&find_job(&rest, &names).await?)))
}

async fn job_metrics(State(rest): Rest, names: Names, query: Parameters) -> Answered {
    let job = find_job(&rest, &names).await?;
    Ok(Json(metrics::answer(metrics::of_job(&job, now_millis()), query.get("get"))))
}

async fn vertex_details(State(rest): Rest, names: Names) -> Answered {
    Ok(Json(vertices::details(&find_vertex(&rest, &names).await?, now_millis())))
}

async fn vertex_accumulators(State(rest): Rest, names: Names) -> Answered {
    Ok(Json(vertices::accumulators(&find_vertex(&rest, &names).await?)))
}

async fn vertex_metrics(State(rest): Rest, names: Names, query: Parameters) -> Answered {
    Ok(Json(metrics::answer_vertex(&find_vertex(&rest, &names).await?, query.get("get"))))
}

async fn vertex_subtask_times(State(rest): Rest, names: Names) -> Answered {
    Ok(Json(vertices::subtask_times(&find_vertex(&rest, &names).await?, now_millis())))
}

async fn task_manager_summaries(State(rest): Rest) -> Answered {
    Ok(Json(task_managers::summaries(&ask(rest.view.task_managers()).await?)))
}

async fn task_manager_details(State(rest): Rest, names: Names) -> Answered {
    Ok(Json(task_managers::details(&find_task_manager(&rest, &names).await?)))
}

async fn task_manager_metrics(State(rest): Rest, names: Names, query: Parameters) -> Answered {
    let task_manager = find_task_manager(&rest, &names).await?;
    Ok(Json(metrics::answer(metrics::of_task_manager(&task_manager), query.get("get"))))
}

/// `/metrics`: tasks of jobs that have not ended; the others would stay in every page for ever.
async fn scrape(State(rest): Rest) -> Result<Response, Failure> {
    let cluster = ask(rest.view.overview()).await?;
    let jobs = ask(rest.view.jobs()).await?;
    let task_managers = ask(rest.view.task_managers()).await?;
    let mut details = Vec::new();
    for job in jobs.iter().filter(|job| !job.status.is_globally_terminal()) {
        details.extend(ask(rest.view.job(job.id)).await?);
    }
    let scrape = prometheus::Scrape {
        cluster: &cluster,
        process: Process::read(),
        jobs: &jobs,
        details: &details,
        task_managers: &task_managers,
        now: now_millis(),
    };
    Ok(([(CONTENT_TYPE, prometheus::CONTENT_TYPE)], prometheus::page(&scrape)).into_response())
}

async fn ask<T>(answer: Answer<'_, T>) -> Result<T, Failure> {
    match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => {
            let message = format!("the JobManager did not answer within {} s; try again", ANSWER_TIMEOUT.as_secs());
            Err(Failure::new(StatusCode::GATEWAY_TIMEOUT, message))
        }
    }
}

async fn find_job(rest: &Shared, names: &Names) -> Result<JobDetails, Failure> {
    let job = names.job()?;
    ask(rest.view.job(job)).await?.ok_or_else(|| unknown_job(job))
}

fn unknown_job(job: JobId) -> Failure {
    Failure::not_found(format!(
        "Job {job} not found: it never was here, or it ended and was forgotten (jobstore.max-capacity). \
         GET /v1/jobs lists the jobs that are known."
    ))
}

async fn find_vertex(rest: &Shared, names: &Names) -> Result<VertexDetails, Failure> {
    let id = names.vertex()?;
    let job = find_job(rest, names).await?;
    let name = job.summary.id;
    job.vertices.into_iter().find(|vertex| vertex.id == id).ok_or_else(|| {
        Failure::not_found(format!("Vertex {id} not found in job {name}. GET /v1/jobs/{name} lists its vertices."))
    })
}

async fn find_task_manager(rest: &Shared, names: &Names) -> Result<TaskManagerSummary, Failure> {
    let id = names.name("task_manager");
    let known = ask(rest.view.task_managers()).await?;
    known.into_iter().find(|task_manager| task_manager.id == id).ok_or_else(|| {
        Failure::not_found(format!(
            "TaskManager {id} not found: it never registered, or it was lost. GET /v1/taskmanagers lists those that \
             are registered."
        ))
    })
}

/// The names within a path.
struct Names(BTreeMap<String, String>);

impl Names {
    fn name(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn job(&self) -> Result<JobId, Failure> {
        self.name("job").parse().map_err(|error: flink_graph::id::ParseIdError| Failure::bad_request(error.to_string()))
    }

    fn vertex(&self) -> Result<JobVertexId, Failure> {
        let id = self.name("vertex").parse();
        id.map_err(|error: flink_graph::id::ParseIdError| Failure::bad_request(error.to_string()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Names {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let names: Result<Path<_>, PathRejection> = Path::from_request_parts(parts, state).await;
        names.map(|Path(names)| Self(names)).map_err(|error| Failure::bad_request(error.body_text()))
    }
}

/// The parameters behind a path's question mark. The last of several with one name counts.
struct Parameters(BTreeMap<String, String>);

impl Parameters {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn number(&self, name: &str) -> Result<Option<usize>, Failure> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let number = text.parse().map_err(|_| {
            let shown: String = text.chars().take(64).collect();
            Failure::bad_request(format!("{name}: `{shown}` is not a whole number, for example {USUAL_EXCEPTIONS}"))
        });
        number.map(Some)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let parameters = Query::<BTreeMap<String, String>>::try_from_uri(&parts.uri);
        parameters.map(|Query(map)| Self(map)).map_err(|error| Failure::bad_request(error.body_text()))
    }
}
