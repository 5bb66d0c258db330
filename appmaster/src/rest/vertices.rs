use flink_graph::id::stable_hash;
use flink_graph::{Accumulators, ExecutionState};
use flink_protocol::TimestampMillis;
use flink_protocol::overview::{StateCounts, SubtaskDetails, SubtaskMetrics, VertexDetails};
use serde_json::{Map, Value, json};

/// What Flink calls the place of a subtask that has none.
const UNASSIGNED: &str = "(unassigned)";
/// States with a duration; an execution does not stay in the others.
const TIMED_STATES: [ExecutionState; 5] = [
    ExecutionState::Created,
    ExecutionState::Scheduled,
    ExecutionState::Deploying,
    ExecutionState::Initializing,
    ExecutionState::Running,
];

/// A vertex in `/jobs/:jobid`.
pub(super) fn summary(vertex: &VertexDetails, now: TimestampMillis) -> Value {
    let span = Span::of_vertex(vertex);
    json!({
        "id": vertex.id,
        "slotSharingGroupId": format!("{:032x}", stable_hash(vertex.slot_sharing_group.as_bytes())),
        "name": vertex.name,
        "maxParallelism": vertex.max_parallelism,
        "parallelism": vertex.parallelism,
        "status": aggregate_state(vertex),
        "start-time": span.start,
        "end-time": span.end,
        "duration": span.duration(now),
        "tasks": state_counts(count_states(vertex)),
        "metrics": io_metrics(&total_metrics(vertex)),
    })
}

/// `/jobs/:jobid/vertices/:vertexid`
pub(super) fn details(vertex: &VertexDetails, now: TimestampMillis) -> Value {
    json!({
        "id": vertex.id,
        "name": vertex.name,
        "parallelism": vertex.parallelism,
        "maxParallelism": vertex.max_parallelism,
        "now": now,
        "subtasks": vertex.subtasks.iter().map(|subtask| subtask_details(subtask, now)).collect::<Value>(),
        "aggregated": { "metrics": aggregated_metrics(vertex), "status-duration": aggregated_durations(vertex, now) },
    })
}

/// `/jobs/:jobid/vertices/:vertexid/accumulators`
pub(super) fn accumulators(vertex: &VertexDetails) -> Value {
    let mut merged = Accumulators::default();
    for subtask in &vertex.subtasks {
        // Kinds that do not mix failed the job already; what merges is still worth showing.
        let _ = merged.merge(&subtask.accumulators);
    }
    json!({ "id": vertex.id, "user-accumulators": user_accumulators(&merged) })
}

/// `/jobs/:jobid/vertices/:vertexid/subtasktimes`
pub(super) fn subtask_times(vertex: &VertexDetails, now: TimestampMillis) -> Value {
    let times = |subtask: &SubtaskDetails| {
        let time = |state: ExecutionState| (state.to_string(), Value::from(entered(subtask, state).max(0)));
        let mut timestamps: Map<String, Value> = ExecutionState::ALL.into_iter().map(time).collect();
        timestamps.insert("RECONCILING".to_owned(), 0.into());
        let since = entered(subtask, ExecutionState::Scheduled);
        let end = Span::of_subtask(subtask).end;
        json!({
            "subtask": subtask.subtask,
            "endpoint": endpoint(subtask),
            "duration": Span { start: since, end }.duration(now),
            "timestamps": timestamps,
        })
    };
    let subtasks: Value = vertex.subtasks.iter().map(times).collect();
    json!({ "id": vertex.id, "name": vertex.name, "now": now, "subtasks": subtasks })
}

/// Accumulators as Flink lists them.
pub(super) fn user_accumulators(accumulators: &Accumulators) -> Value {
    let entry = |(name, value): (&String, &flink_graph::AccumulatorValue)| json!({ "name": name, "type": value.kind(), "value": value.to_string() });
    accumulators.0.iter().map(entry).collect()
}

/// The state of a vertex, out of those of its subtasks: the worst, or the least far.
pub(super) fn aggregate_state(vertex: &VertexDetails) -> ExecutionState {
    use ExecutionState::{Canceled, Canceling, Created, Failed, Finished, Initializing, Running};
    let counts = count_states(vertex);
    let some = [Failed, Canceling, Canceled, Initializing, Running].into_iter().find(|state| counts.of(*state) > 0);
    match (some, counts.of(Finished)) {
        (Some(state), _) => state,
        (None, 0) => Created,
        (None, finished) if finished == counts.total() => Finished,
        (None, _) => Running,
    }
}

/// Numbers by state, with the one state of Flink's that does not occur here.
pub(super) fn state_counts(counts: StateCounts) -> Map<String, Value> {
    let count = |state: ExecutionState| (state.to_string(), counts.of(state).into());
    let reconciling = std::iter::once(("RECONCILING".to_owned(), 0.into()));
    ExecutionState::ALL.into_iter().map(count).chain(reconciling).collect()
}

fn count_states(vertex: &VertexDetails) -> StateCounts {
    let mut counts = StateCounts::default();
    vertex.subtasks.iter().for_each(|subtask| counts.add(subtask.state));
    counts
}

fn subtask_details(subtask: &SubtaskDetails, now: TimestampMillis) -> Value {
    let span = Span::of_subtask(subtask);
    let task_manager = subtask.location.as_ref().map_or(UNASSIGNED, |(task_manager, _)| task_manager);
    let durations = TIMED_STATES.map(|state| (state.to_string(), time_in(subtask, state, now).into()));
    json!({
        "subtask": subtask.subtask,
        "status": subtask.state,
        "attempt": subtask.attempt,
        "endpoint": endpoint(subtask),
        "start-time": span.start,
        // Flink writes it twice, for its older clients.
        "start_time": span.start,
        "end-time": span.end,
        "duration": span.duration(now),
        "metrics": io_metrics(&subtask.metrics),
        "taskmanager-id": task_manager,
        "status-duration": durations.into_iter().collect::<Map<String, Value>>(),
    })
}

fn endpoint(subtask: &SubtaskDetails) -> &str {
    subtask.location.as_ref().map_or(UNASSIGNED, |(_, host)| host)
}

/// The figures are complete: they come with each heartbeat, and finally with the end of the task.
fn io_metrics(metrics: &SubtaskMetrics) -> Value {
    #[allow(clippy::cast_precision_loss)] // Flink gives this one as a floating point number
    let busy = metrics.busy_ms as f64;
    json!({
        "read-bytes": metrics.bytes_in,
        "read-bytes-complete": true,
        "write-bytes": metrics.bytes_out,
        "write-bytes-complete": true,
        "read-records": metrics.records_in,
        "read-records-complete": true,
        "write-records": metrics.records_out,
        "write-records-complete": true,
        "accumulated-backpressured-time": metrics.backpressured_ms,
        "accumulated-idle-time": metrics.idle_ms,
        "accumulated-busy-time": busy,
    })
}

fn total_metrics(vertex: &VertexDetails) -> SubtaskMetrics {
    vertex.subtasks.iter().fold(SubtaskMetrics::default(), |sum, subtask| SubtaskMetrics {
        records_in: sum.records_in.saturating_add(subtask.metrics.records_in),
        records_out: sum.records_out.saturating_add(subtask.metrics.records_out),
        bytes_in: sum.bytes_in.saturating_add(subtask.metrics.bytes_in),
        bytes_out: sum.bytes_out.saturating_add(subtask.metrics.bytes_out),
        busy_ms: sum.busy_ms.saturating_add(subtask.metrics.busy_ms),
        idle_ms: sum.idle_ms.saturating_add(subtask.metrics.idle_ms),
        backpressured_ms: sum.backpressured_ms.saturating_add(subtask.metrics.backpressured_ms),
    })
}

fn aggregated_metrics(vertex: &VertexDetails) -> Value {
    let over = |figure: fn(&SubtaskMetrics) -> u64| {
        statistics(vertex.subtasks.iter().map(|subtask| i64::try_from(figure(&subtask.metrics)).unwrap_or(i64::MAX)))
    };
    json!({
        "read-bytes": over(|metrics| metrics.bytes_in),
        "write-bytes": over(|metrics| metrics.bytes_out),
        "read-records": over(|metrics| metrics.records_in),
        "write-records": over(|metrics| metrics.records_out),
        "accumulated-backpressured-time": over(|metrics| metrics.backpressured_ms),
        "accumulated-idle-time": over(|metrics| metrics.idle_ms),
        "accumulated-busy-time": over(|metrics| metrics.busy_ms),
    })
}

fn aggregated_durations(vertex: &VertexDetails, now: TimestampMillis) -> Map<String, Value> {
    let over = |state: ExecutionState| {
        let times = vertex.subtasks.iter().map(|subtask| time_in(subtask, state, now)).filter(|time| *time >= 0);
        (state.to_string(), statistics(times))
    };
    TIMED_STATES.into_iter().map(over).collect()
}

/// Minimum, quartiles and so on; all 0 without values, cut to whole numbers as in Flink.
fn statistics(values: impl Iterator<Item = i64>) -> Value {
    let mut values: Vec<i64> = values.collect();
    values.sort_unstable();
    let sum = values.iter().fold(0_i64, |sum, value| sum.saturating_add(*value));
    let count = i64::try_from(values.len()).unwrap_or(i64::MAX);
    json!({
        "min": values.first().copied().unwrap_or(0),
        "p25": percentile(&values, 0.25),
        "median": percentile(&values, 0.5),
        "p75": percentile(&values, 0.75),
        "p95": percentile(&values, 0.95),
        "max": values.last().copied().unwrap_or(0),
        "avg": sum.checked_div(count).unwrap_or(0),
        "sum": sum,
    })
}

/// The value at place `share * (n + 1)` of the ordered values, between two of them by interpolation: the estimate that
/// Flink takes.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn percentile(ordered: &[i64], share: f64) -> i64 {
    let place = share * (ordered.len() as f64 + 1.0);
    let below = (place.floor() as usize).max(1);
    match (ordered.get(below - 1), ordered.get(below)) {
        (Some(low), Some(high)) if place >= 1.0 => *low + ((high - low) as f64 * place.fract()) as i64,
        (Some(low), _) => *low,
        (None, _) => ordered.last().copied().unwrap_or(0),
    }
}

/// When something ran; -1 for what did not happen yet.
struct Span {
    start: TimestampMillis,
    end: TimestampMillis,
}

impl Span {
    /// An execution runs, for Flink, from its deployment.
    fn of_subtask(subtask: &SubtaskDetails) -> Self {
        let end = if subtask.state.is_terminal() { entered(subtask, subtask.state) } else { -1 };
        Self { start: entered(subtask, ExecutionState::Deploying), end }
    }

    fn of_vertex(vertex: &VertexDetails) -> Self {
        let spans = || vertex.subtasks.iter().map(Self::of_subtask);
        let start = spans().map(|span| span.start).filter(|start| *start >= 0).min().unwrap_or(-1);
        let ended = vertex.subtasks.iter().all(|subtask| subtask.state.is_terminal());
        let end = if ended { spans().map(|span| span.end).max().unwrap_or(-1) } else { -1 };
        Self { start, end }
    }

    fn duration(&self, now: TimestampMillis) -> TimestampMillis {
        match (self.start, self.end) {
            (..0, _) => -1,
            (start, ..0) => (now - start).max(0),
            (start, end) => (end - start).max(0),
        }
    }
}

/// When a subtask's execution came into a state; -1 for never.
fn entered(subtask: &SubtaskDetails, state: ExecutionState) -> TimestampMillis {
    let known = subtask.timestamps.iter().find(|(known, time)| *known == state && *time > 0);
    known.map_or(-1, |(_, time)| *time)
}

/// Time spent in a state, up to the next one that was come into; -1 for never.
fn time_in(subtask: &SubtaskDetails, state: ExecutionState, now: TimestampMillis) -> TimestampMillis {
    let since = entered(subtask, state);
    if since < 0 {
        return -1;
    }
    let later = ExecutionState::ALL.into_iter().filter(|later| *later > state);
    let until = later.map(|later| entered(subtask, later)).filter(|time| *time >= since).min();
    let until = if subtask.state == state { now } else { until.unwrap_or(now) };
    (until - since).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_equal_those_of_flink() {
        // Of a recorded answer of Flink.
        let expected = json!({
            "p25": 872378, "min": 872378, "avg": 874628, "median": 874628, "max": 876879, "sum": 1749257,
            "p95": 876879, "p75": 876879
        });
        assert_eq!(statistics([876_879, 872_378].into_iter()), expected);
        assert_eq!(statistics([7].into_iter())["p95"], 7);
        assert_eq!(statistics(std::iter::empty())["max"], 0);
        let many = statistics(1..=100);
        assert_eq!([&many["p25"], &many["median"], &many["p75"], &many["p95"]], [25, 50, 75, 95]);
    }
}
