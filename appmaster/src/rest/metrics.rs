use std::fmt;

use flink_graph::JobStatus;
use flink_protocol::TimestampMillis;
use flink_protocol::overview::{
    ClusterOverview, JobDetails, SplitCounts, SubtaskMetrics, TaskManagerSummary, VertexDetails,
};
use serde_json::{Value, json};

use super::jobs::entered;
use super::process::Process;
use super::task_managers::resident;

/// Most metrics that one answer lists: a vertex has some for each of its subtasks.
const MAX_LISTED: usize = 100_000;

/// A figure: how it is called in REST and, with underscores, in Prometheus.
///
/// Flink's name where it measures the same. `Status.JVM` in such a name is the process, its heap all of its memory.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Metric {
    pub(super) id: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: Kind,
    pub(super) value: Figure,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only grows, until what it belongs to starts anew.
    Counter,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Figure {
    Natural(u64),
    Signed(i64),
    Real(f64),
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Natural(value) => write!(f, "{value}"),
            Self::Signed(value) => write!(f, "{value}"),
            // Prometheus reads what Java writes: `NaN` and `+Inf` are its other words.
            Self::Real(value) if *value == f64::INFINITY => f.write_str("+Inf"),
            Self::Real(value) if *value == f64::NEG_INFINITY => f.write_str("-Inf"),
            Self::Real(value) => write!(f, "{value:?}"),
        }
    }
}

fn gauge(id: &'static str, value: impl Into<u64>, help: &'static str) -> Metric {
    Metric { id, help, kind: Kind::Gauge, value: Figure::Natural(value.into()) }
}

fn counter(id: &'static str, value: u64, help: &'static str) -> Metric {
    Metric { id, help, kind: Kind::Counter, value: Figure::Natural(value) }
}

/// The cluster and the JobManager's process.
pub(super) fn of_job_manager(cluster: &ClusterOverview, process: Process) -> Vec<Metric> {
    vec![
        gauge("numRegisteredTaskManagers", cluster.task_managers, "Registered TaskManagers."),
        gauge("numRunningJobs", cluster.jobs_running, "Jobs that have not ended."),
        gauge("taskSlotsTotal", cluster.slots_total, "All slots."),
        gauge("taskSlotsAvailable", cluster.slots_available, "Slots that no job holds."),
        gauge("Status.JVM.Memory.Heap.Used", process.resident_bytes, "Resident memory of the process, bytes."),
        counter("Status.JVM.CPU.Time", nanos(process.cpu_time_ms), "CPU time of the process, nanoseconds."),
        gauge("Status.JVM.Threads.Count", process.threads, "Threads of the process."),
        gauge("Status.JVM.FileDescriptor.Open", process.open_files, "Open files of the process."),
    ]
}

/// A job, with the input splits of all its sources.
pub(super) fn of_job(job: &JobDetails, now: TimestampMillis) -> Vec<Metric> {
    let signed = |id, value, help| Metric { id, help, kind: Kind::Gauge, value: Figure::Signed(value) };
    let mut metrics = vec![
        signed("uptime", uptime(job, now), "Time that the job runs without a failure, milliseconds; -1 when it ended."),
        signed("downtime", downtime(job, now), "Time since the failure being recovered from, milliseconds."),
        counter("numRestarts", job.restarts.into(), "Restarts of the job."),
    ];
    let splits = job.vertices.iter().filter_map(|vertex| vertex.splits);
    metrics.extend(of_splits(&splits.fold(SplitCounts::default(), SplitCounts::plus)));
    metrics
}

/// The input splits of a source: local ones were handed to a TaskManager on a host that holds the data.
pub(super) fn of_splits(splits: &SplitCounts) -> Vec<Metric> {
    vec![
        gauge("numSplits", splits.total, "Input splits of the source."),
        counter("numSplitsAssigned", splits.assigned.into(), "Input splits handed out."),
        counter("numSplitsLocal", splits.local.into(), "Input splits handed to a host that holds their data."),
        counter(
            "numSplitsRemote",
            splits.remote.into(),
            "Input splits handed to a host that does not hold their data.",
        ),
        counter("splitBytesLocal", splits.local_bytes, "Bytes of the local input splits."),
        counter("splitBytesRemote", splits.remote_bytes, "Bytes of the remote input splits."),
    ]
}

/// A subtask.
pub(super) fn of_task(metrics: &SubtaskMetrics) -> Vec<Metric> {
    vec![
        counter("numRecordsIn", metrics.records_in, "Records received."),
        counter("numRecordsOut", metrics.records_out, "Records sent."),
        counter("numBytesIn", metrics.bytes_in, "Bytes received."),
        counter("numBytesOut", metrics.bytes_out, "Bytes sent."),
        counter("accumulateBusyTimeMs", metrics.busy_ms, "Time spent processing, milliseconds."),
        counter("accumulateIdleTimeMs", metrics.idle_ms, "Time spent without input, milliseconds."),
        counter(
            "accumulateBackPressuredTimeMs",
            metrics.backpressured_ms,
            "Time spent waiting for room at the outputs, milliseconds.",
        ),
    ]
}

/// A TaskManager with its workers.
pub(super) fn of_task_manager(task_manager: &TaskManagerSummary) -> Vec<Metric> {
    let (hardware, figures) = (&task_manager.hardware, &task_manager.statistics);
    let load = Figure::Real(figures.cpu_load);
    vec![
        gauge("taskSlotsTotal", task_manager.slots, "All slots of the TaskManager."),
        gauge("taskSlotsAvailable", task_manager.free_slots, "Slots of the TaskManager that no job holds."),
        gauge("Status.JVM.Memory.Heap.Used", resident(task_manager), "Resident memory with the workers, bytes."),
        gauge("Status.JVM.Memory.Heap.Max", hardware.process_memory, "Memory that may be used, bytes."),
        gauge("Status.Memory.TaskManager", figures.resident_bytes, "Resident memory without the workers, bytes."),
        gauge("Status.Memory.Workers", figures.workers_resident_bytes, "Resident memory of the workers, bytes."),
        Metric { id: "Status.JVM.CPU.Load", help: "Load of all processors, 0 to 1.", kind: Kind::Gauge, value: load },
        counter("Status.JVM.CPU.Time", nanos(figures.cpu_time_ms), "CPU time with the workers, nanoseconds."),
        gauge("Status.JVM.Threads.Count", figures.threads, "Threads with those of the workers."),
        gauge("Status.JVM.FileDescriptor.Open", figures.open_files, "Open files of the TaskManager."),
        gauge("System.Memory.Available", figures.free_memory, "Free memory of the host, bytes."),
        gauge("System.Memory.Total", hardware.physical_memory, "Memory of the host, bytes."),
        gauge("System.Disk.Available", figures.free_disk, "Free disk under the temporary folders, bytes."),
        gauge("System.Disk.Total", figures.total_disk, "Disk under the temporary folders, bytes."),
        counter("Status.Network.BytesRead", figures.network_read_bytes, "Bytes received from other workers."),
        counter("Status.Network.BytesWritten", figures.network_written_bytes, "Bytes sent to other workers."),
    ]
}

/// `…/metrics`: the names without `get`; with it the values of the named ones that there are.
pub(super) fn answer(metrics: Vec<Metric>, get: Option<&str>) -> Value {
    answer_named(metrics.into_iter().map(|metric| (metric.id.to_owned(), metric.value)), get)
}

/// `…/vertices/:vertexid/metrics`: those of each subtask behind its number, `0.numRecordsIn`.
pub(super) fn answer_vertex(vertex: &VertexDetails, get: Option<&str>) -> Value {
    let named = vertex.subtasks.iter().flat_map(|subtask| {
        let name = move |metric: Metric| (format!("{}.{}", subtask.subtask, metric.id), metric.value);
        of_task(&subtask.metrics).into_iter().map(name)
    });
    let splits = vertex.splits.iter().flat_map(of_splits).map(|metric| (metric.id.to_owned(), metric.value));
    answer_named(splits.chain(named).take(MAX_LISTED), get)
}

fn answer_named(metrics: impl Iterator<Item = (String, Figure)>, get: Option<&str>) -> Value {
    let Some(get) = get else { return metrics.map(|(id, _)| json!({ "id": id })).collect() };
    let wanted: std::collections::BTreeSet<&str> = get.split(',').map(str::trim).collect();
    let found = metrics.filter(|(id, _)| wanted.contains(id.as_str()));
    found.map(|(id, value)| json!({ "id": id, "value": value.to_string() })).collect()
}

fn uptime(job: &JobDetails, now: TimestampMillis) -> i64 {
    match job.summary.status {
        JobStatus::Running => since(job, JobStatus::Running, now),
        ended if ended.is_globally_terminal() => -1,
        _ => 0,
    }
}

fn downtime(job: &JobDetails, now: TimestampMillis) -> i64 {
    match job.summary.status {
        status @ (JobStatus::Failing | JobStatus::Restarting) => since(job, status, now),
        // Waits for slots again after a failure.
        JobStatus::Created if job.restarts > 0 => since(job, JobStatus::Restarting, now),
        ended if ended.is_globally_terminal() => -1,
        _ => 0,
    }
}

fn since(job: &JobDetails, status: JobStatus, now: TimestampMillis) -> i64 {
    match entered(job, status) {
        0 => 0,
        time => (now - time).max(0),
    }
}

fn nanos(millis: u64) -> u64 {
    millis.saturating_mul(1_000_000)
}
