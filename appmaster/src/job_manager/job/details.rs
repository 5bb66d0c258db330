use flink_graph::{
    AccumulatorValue, Accumulators, ExecutionState, JobStatus, ResultPartitionType, SlotId, TaskManagerId,
};
use flink_protocol::overview::{JobDetails, JobSummary, StateCounts, SubtaskDetails, SubtaskMetrics, VertexDetails};
use flink_protocol::task_manager::TaskMetrics;

use super::JobMaster;
use crate::job_manager::context::Context;
use crate::job_manager::execution_graph::{ExecutionJobVertex, ExecutionVertex};

impl JobMaster {
    /// A line of `list`.
    pub(crate) fn summary(&self) -> JobSummary {
        let mut tasks = StateCounts::default();
        self.graph.subtasks.iter().for_each(|subtask| tasks.add(subtask.current.state));
        let graph = &self.information.graph;
        JobSummary {
            id: self.id(),
            name: graph.name.clone(),
            status: self.status,
            mode: graph.mode,
            start_time: self.submitted.timestamp,
            end_time: self.ended.map_or(-1, |ended| ended.timestamp),
            last_modification: self.last_modification(),
            tasks,
        }
    }

    /// How far it is, percent: the mean of its vertices. A source is as far as its splits are handed out, another vertex as its
    /// subtasks have finished.
    pub(crate) fn progress(&self) -> u32 {
        let of_vertex = |vertex: &ExecutionJobVertex| {
            let finished = self.graph.subtasks[vertex.subtasks()].iter();
            let finished = finished.filter(|subtask| subtask.current.state == ExecutionState::Finished).count();
            let finished = percent(finished, vertex.vertex.parallelism);
            // The last ones may still be read.
            let counts = vertex.splits.as_ref().map(|splits| splits.counts());
            let read = counts.map_or(0, |counts| percent(counts.assigned as usize, counts.total).min(99));
            finished.max(read)
        };
        let vertices = u32::try_from(self.graph.vertices.len()).unwrap_or(u32::MAX).max(1);
        self.graph.vertices.iter().map(of_vertex).sum::<u32>() / vertices
    }

    fn last_modification(&self) -> i64 {
        let executions = self.graph.subtasks.iter().filter_map(|subtask| subtask.current.timestamps.last());
        let latest = executions.map(|(_, at)| *at).max().unwrap_or_default();
        self.status_times.iter().map(|(_, at)| *at).max().unwrap_or_default().max(latest)
    }

    /// Everything about the job.
    pub(crate) fn details(&self, cx: &Context) -> JobDetails {
        let time_of = |status: &JobStatus| self.status_times.iter().rev().find(|(other, _)| other == status);
        JobDetails {
            summary: self.summary(),
            timestamps: JobStatus::ALL
                .iter()
                .map(|status| (*status, time_of(status).map_or(0, |(_, at)| *at)))
                .collect(),
            configuration: self.information.graph.configuration.clone(),
            vertices: self.graph.vertices.iter().map(|vertex| self.vertex_details(vertex, cx)).collect(),
            exceptions: self.exceptions.iter().cloned().collect(),
            exceptions_truncated: self.exceptions_truncated,
            restarts: self.restarts,
            accumulators: without_records(&self.accumulators()),
            waiting_for: self.waiting_for(cx),
        }
    }

    fn vertex_details(&self, vertex: &ExecutionJobVertex, cx: &Context) -> VertexDetails {
        let inputs = vertex.inputs.iter().zip(&vertex.vertex.inputs).map(|(result, edge)| {
            let exchange = match self.graph.results[*result].result_type {
                ResultPartitionType::Pipelined => "pipelined_bounded",
                ResultPartitionType::Blocking => "blocking",
            };
            (edge.source.producer, exchange.to_owned(), edge.ship_strategy.to_string())
        });
        VertexDetails {
            id: vertex.vertex.id,
            name: vertex.vertex.name.clone(),
            slot_sharing_group: vertex.vertex.slot_sharing_group.clone(),
            parallelism: vertex.vertex.parallelism,
            max_parallelism: vertex.vertex.max_parallelism,
            splits: vertex.splits.as_ref().map(|splits| splits.counts()),
            subtasks: self.graph.subtasks[vertex.subtasks()].iter().map(|s| subtask_details(s, cx)).collect(),
            inputs: inputs.collect(),
            operators: vertex.vertex.operators.clone(),
        }
    }

    /// Number of executions of the job that are in a slot now.
    pub(crate) fn tasks_in_slot(&self, place: &TaskManagerId, index: u32) -> u32 {
        let here = |slot: &SlotId| slot.task_manager == *place && slot.index == index;
        let executions = self.graph.subtasks.iter().map(|subtask| &subtask.current);
        let tasks = executions.filter(|e| !e.state.is_terminal() && e.location.as_ref().is_some_and(here)).count();
        u32::try_from(tasks).unwrap_or(u32::MAX)
    }

    /// Why the job waits for slots, when it does.
    fn waiting_for(&self, cx: &Context) -> Option<String> {
        let (request, before) = cx.queue.first_of(self.sequence)?;
        let demand = self.demand(&request.regions);
        let (total, free) = (cx.task_managers.total_slots(), cx.task_managers.available_slots());
        let slots = |count: usize| if count == 1 { "1 slot".to_owned() } else { format!("{count} slots") };
        let text = match (demand.total > total, before) {
            (true, _) => format!(
                "waits for more TaskManagers: it needs {} at once, the cluster has {total}",
                slots(demand.total)
            ),
            (false, 0) => {
                let more = demand.missing.saturating_sub(free);
                format!("waits for {} more ({} wanted, {free} free)", slots(more), demand.missing)
            }
            (false, before) => {
                format!("waits for {} behind {before} earlier request(s) ({free} free)", slots(demand.missing))
            }
        };
        Some(cx.resource_note.as_ref().map_or(text.clone(), |note| format!("{text}; {note}")))
    }
}

fn percent(part: usize, whole: u32) -> u32 {
    u32::try_from((part as u64 * 100).checked_div(u64::from(whole)).unwrap_or(0)).unwrap_or(100)
}

fn subtask_details(subtask: &ExecutionVertex, cx: &Context) -> SubtaskDetails {
    let execution = &subtask.current;
    let location = execution.location.as_ref().map(|slot| &slot.task_manager);
    SubtaskDetails {
        subtask: subtask.subtask,
        attempt: execution.id.attempt,
        state: execution.state,
        location: location.map(|id| (id.to_string(), cx.host(id))),
        timestamps: execution.timestamps.clone(),
        metrics: execution.metrics.as_ref().map(figures).unwrap_or_default(),
        accumulators: execution.metrics.as_ref().map(|m| without_records(&m.accumulators)).unwrap_or_default(),
    }
}

/// Collected records belong to the job's result. To look at, their number is enough, and they may be large.
fn without_records(accumulators: &Accumulators) -> Accumulators {
    let shown = |value: &AccumulatorValue| match value {
        AccumulatorValue::List(records) => AccumulatorValue::List(vec![Vec::new(); records.len()]),
        value => value.clone(),
    };
    Accumulators(accumulators.0.iter().map(|(name, value)| (name.clone(), shown(value))).collect())
}

fn figures(metrics: &TaskMetrics) -> SubtaskMetrics {
    SubtaskMetrics {
        records_in: metrics.records_in,
        records_out: metrics.records_out,
        bytes_in: metrics.bytes_in,
        bytes_out: metrics.bytes_out,
        busy_ms: metrics.busy_ms,
        idle_ms: metrics.idle_ms,
        backpressured_ms: metrics.backpressured_ms,
    }
}
