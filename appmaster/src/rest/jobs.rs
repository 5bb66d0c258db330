use flink_graph::plan::{JsonPlan, PlanInput, PlanNode};
use flink_graph::{ExecutionState, JobStatus};
use flink_protocol::TimestampMillis;
use flink_protocol::overview::{ClusterOverview, ExceptionEntry, JobDetails, JobSummary, StateCounts, VertexDetails};
use serde_json::{Map, Value, json};

use super::configuration;
use super::vertices;

/// Name and version that the API gives for itself.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit that was built, when the build knew it; Flink says the same when it does not.
const COMMIT: &str = match option_env!("FLINK_YARN_COMMIT") {
    Some(commit) => commit,
    None => "<unknown>",
};
/// Longest first line of an error that serves as its name.
const MAX_EXCEPTION_NAME_LENGTH: usize = 200;

/// `/overview`
pub(super) fn overview(cluster: &ClusterOverview) -> Value {
    json!({
        "taskmanagers": cluster.task_managers,
        "slots-total": cluster.slots_total,
        "slots-available": cluster.slots_available,
        "jobs-running": cluster.jobs_running,
        "jobs-finished": cluster.jobs_finished,
        "jobs-cancelled": cluster.jobs_canceled,
        "jobs-failed": cluster.jobs_failed,
        "flink-version": VERSION,
        "flink-commit": COMMIT,
    })
}

/// `/config`: what a dashboard needs to know. All times are UTC.
pub(super) fn dashboard_config(can_cancel: bool) -> Value {
    json!({
        "refresh-interval": 3000,
        "timezone-name": "Coordinated Universal Time",
        "timezone-offset": 0,
        "flink-version": VERSION,
        "flink-revision": COMMIT,
        "features": {
            "web-submit": false, "web-cancel": can_cancel, "web-rescale": false, "web-history": false
        },
    })
}

/// `/jobs`
pub(super) fn ids(jobs: &[JobSummary]) -> Value {
    let entry = |job: &JobSummary| json!({ "id": job.id, "status": status_name(job.status) });
    json!({ "jobs": jobs.iter().map(entry).collect::<Value>() })
}

/// `/jobs/overview`
pub(super) fn summaries(jobs: &[JobSummary], now: TimestampMillis) -> Value {
    json!({ "jobs": jobs.iter().map(|job| summary(job, now)).collect::<Value>() })
}

fn summary(job: &JobSummary, now: TimestampMillis) -> Value {
    let count = |state: ExecutionState| (state.to_string().to_lowercase(), job.tasks.of(state).into());
    let mut tasks: Map<String, Value> = ExecutionState::ALL.into_iter().map(count).collect();
    tasks.insert("reconciling".to_owned(), 0.into());
    tasks.insert("total".to_owned(), job.tasks.total().into());
    json!({
        "jid": job.id,
        "name": job.name,
        "jobType": job.mode,
        "schedulerType": "Default",
        "start-time": job.start_time,
        "end-time": job.end_time,
        "duration": duration(job, now),
        "state": status_name(job.status),
        "last-modification": job.last_modification,
        "tasks": tasks,
        "pending-operators": 0,
    })
}

/// `/jobs/:jobid`
pub(super) fn details(job: &JobDetails, now: TimestampMillis) -> Value {
    let summary = &job.summary;
    let mut counts = StateCounts::default();
    job.vertices.iter().for_each(|vertex| counts.add(vertices::aggregate_state(vertex)));
    json!({
        "jid": summary.id,
        "application-id": summary.id,
        "name": summary.name,
        "isStoppable": false,
        "state": status_name(summary.status),
        "job-type": summary.mode,
        "schedulerType": "Default",
        "start-time": summary.start_time,
        "end-time": summary.end_time,
        "duration": duration(summary, now),
        "maxParallelism": -1,
        "now": now,
        "timestamps": timestamps(job),
        "vertices": job.vertices.iter().map(|vertex| vertices::summary(vertex, now)).collect::<Value>(),
        "status-counts": vertices::state_counts(counts),
        "plan": plan_of(job),
        "pending-operators": 0,
    })
}

/// `/jobs/:jobid/plan`
pub(super) fn plan(job: &JobDetails) -> Value {
    json!({ "plan": plan_of(job) })
}

fn plan_of(job: &JobDetails) -> JsonPlan {
    JsonPlan {
        jid: job.summary.id,
        name: job.summary.name.clone(),
        mode: job.summary.mode,
        nodes: job.vertices.iter().rev().map(node).collect(),
    }
}

fn node(vertex: &VertexDetails) -> PlanNode {
    let inputs = vertex.inputs.iter().enumerate().map(|(num, (producer, exchange, ship_strategy))| PlanInput {
        id: *producer,
        num,
        exchange: exchange_name(exchange),
        ship_strategy: ship_strategy.to_uppercase(),
    });
    PlanNode::new(vertex.id, vertex.parallelism, &vertex.operators, inputs.collect())
}

/// Flink calls a pipelined exchange by what bounds it.
fn exchange_name(exchange: &str) -> String {
    match exchange.to_lowercase().as_str() {
        "pipelined" => "pipelined_bounded".to_owned(),
        other => other.to_owned(),
    }
}

/// `/jobs/:jobid/status`
pub(super) fn status(job: &JobDetails) -> Value {
    json!({ "status": status_name(job.summary.status) })
}

/// `/jobs/:jobid/config`
pub(super) fn config(job: &JobDetails) -> Value {
    let restart_strategy = job.configuration.raw("restart-strategy.type");
    json!({
        "jid": job.summary.id,
        "name": job.summary.name,
        "execution-config": {
            "restart-strategy": restart_strategy.unwrap_or("Cluster level default restart strategy"),
            "job-parallelism": job.vertices.iter().map(|vertex| vertex.parallelism).max().unwrap_or(1),
            // Records are handed on by ownership and never copied for safety.
            "object-reuse-mode": true,
            "user-config": configuration::object(&job.configuration),
        },
    })
}

/// `/jobs/:jobid/exceptions`: the newest `limit` failures.
pub(super) fn exceptions(job: &JobDetails, limit: usize) -> Value {
    let entries: Value = job.exceptions.iter().take(limit).map(exception).collect();
    let truncated = job.exceptions_truncated || job.exceptions.len() > limit;
    json!({ "exceptionHistory": { "entries": entries, "truncated": truncated } })
}

fn exception(entry: &ExceptionEntry) -> Value {
    let first_line = entry.message.lines().next().unwrap_or_default();
    let mut shown = json!({
        "exceptionName": first_line.chars().take(MAX_EXCEPTION_NAME_LENGTH).collect::<String>(),
        "stacktrace": entry.message,
        "timestamp": entry.timestamp,
        "failureLabels": {},
        "concurrentExceptions": [],
    });
    if let Some(task) = &entry.task {
        shown["taskName"] = json!(task);
    }
    if let Some(task_manager) = &entry.task_manager {
        shown["endpoint"] = json!(task_manager);
        shown["taskManagerId"] = json!(task_manager);
    }
    shown
}

/// `/jobs/:jobid/accumulators`
pub(super) fn accumulators(job: &JobDetails) -> Value {
    json!({
        "job-accumulators": [],
        "user-task-accumulators": vertices::user_accumulators(&job.accumulators),
        // Only Java could read what Flink puts here.
        "serialized-user-task-accumulators": {},
    })
}

/// The state of a job in Flink's spelling, which has two Ls in one of them.
pub(super) fn status_name(status: JobStatus) -> String {
    match status {
        JobStatus::Canceling => "CANCELLING".to_owned(),
        other => other.to_string(),
    }
}

/// Every state that Flink lists, with 0 for never.
fn timestamps(job: &JobDetails) -> Map<String, Value> {
    let known = JobStatus::ALL.map(|status| (status_name(status), entered(job, status)));
    // A job is accepted as soon as it is submitted; nothing of it is taken over from another process.
    let always = [("INITIALIZING".to_owned(), job.summary.start_time), ("RECONCILING".to_owned(), 0)];
    known.into_iter().chain(always).map(|(status, time)| (status, time.into())).collect()
}

/// When a job came into a state last; 0 for never.
pub(super) fn entered(job: &JobDetails, status: JobStatus) -> TimestampMillis {
    job.timestamps.iter().rev().find(|(known, _)| *known == status).map_or(0, |(_, time)| *time)
}

fn duration(job: &JobSummary, now: TimestampMillis) -> TimestampMillis {
    let end = if job.end_time >= 0 { job.end_time } else { now };
    (end - job.start_time).max(0)
}
