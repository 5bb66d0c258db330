/// One run of one subtask.
mod execution;

/// From the JobGraph to the ExecutionGraph.
mod build;

/// What a subtask is deployed with.
mod descriptor;

use std::collections::BTreeMap;

use flink_graph::job_graph::{consumers_of, producers_of};
use flink_graph::{
    DistributionPattern, ExecutionAttemptId, ExecutionState, IntermediateDataSetId, JobId, JobVertex, JobVertexId,
    ResultPartitionType, ShipStrategy,
};
use flink_protocol::{Epoch, TimestampMillis};

use super::splits::InputSplitAssigner;
pub use execution::Execution;

/// A JobGraph laid out in parallel: each vertex with its subtasks, each data set with its partitions.
///
/// Subtasks are numbered through the whole graph, vertex by vertex, so that everything about them is a plain index.
#[derive(Debug)]
pub struct ExecutionGraph {
    /// The job.
    pub job: JobId,
    /// Leader epoch under which attempts are created.
    pub epoch: Epoch,
    /// The vertices, in the order of the JobGraph.
    pub vertices: Vec<ExecutionJobVertex>,
    /// The subtasks of all vertices.
    pub subtasks: Vec<ExecutionVertex>,
    /// The data sets.
    pub results: Vec<IntermediateResult>,
    by_id: BTreeMap<JobVertexId, usize>,
}

/// A vertex of the JobGraph with what it becomes when it runs.
#[derive(Debug)]
pub struct ExecutionJobVertex {
    /// The vertex, without its splits.
    pub vertex: JobVertex,
    /// Number of its first subtask.
    pub first: usize,
    /// The data sets that it reads, by index in [`ExecutionGraph::results`].
    pub inputs: Vec<usize>,
    /// The data sets that it produces.
    pub outputs: Vec<usize>,
    /// The input splits of a source.
    pub splits: Option<InputSplitAssigner>,
    /// Number of subtasks whose current execution is FINISHED.
    pub finished: u32,
}

/// One subtask: its current execution.
#[derive(Debug)]
pub struct ExecutionVertex {
    /// Index of its vertex.
    pub vertex: usize,
    /// Index within the vertex.
    pub subtask: u32,
    /// The attempt that counts. Those before it are over.
    pub current: Execution,
}

/// A data set: what the subtasks of one vertex produce for those of another.
#[derive(Debug)]
pub struct IntermediateResult {
    /// Its name.
    pub id: IntermediateDataSetId,
    /// How it is handed on.
    pub result_type: ResultPartitionType,
    /// Index of the vertex that produces it.
    pub producer: usize,
    /// Index of the vertex that reads it, and how records choose their consumer.
    pub consumer: Option<(usize, ShipStrategy)>,
    /// One partition for each subtask of the producer.
    pub partitions: Vec<PartitionState>,
}

/// What became of an IntermediateResultPartition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionState {
    /// Not complete yet.
    Pending,
    /// Complete, on the worker of its producer.
    Available,
    /// It went with its worker before all had read it.
    Lost,
    /// Nobody needs it any more.
    Released,
}

impl PartitionState {
    /// True when it would have to be produced again before somebody can read it.
    #[must_use]
    pub fn is_gone(self) -> bool {
        matches!(self, Self::Lost | Self::Released)
    }
}

impl IntermediateResult {
    fn pattern(&self) -> DistributionPattern {
        self.consumer.map_or(DistributionPattern::AllToAll, |(_, strategy)| strategy.pattern())
    }

    /// True when it is written in full before it is read.
    #[must_use]
    pub fn is_blocking(&self) -> bool {
        self.result_type == ResultPartitionType::Blocking
    }
}

impl ExecutionGraph {
    /// The subtask of an attempt, whether that attempt is its current one or not.
    #[must_use]
    pub fn subtask_of(&self, attempt: ExecutionAttemptId) -> Option<usize> {
        let vertex = self.vertices.get(*self.by_id.get(&attempt.vertex)?)?;
        (attempt.job == self.job && attempt.subtask < vertex.vertex.parallelism)
            .then_some(vertex.first + attempt.subtask as usize)
    }

    /// The subtask whose current execution the attempt is.
    #[must_use]
    pub fn current(&self, attempt: ExecutionAttemptId) -> Option<usize> {
        self.subtask_of(attempt).filter(|subtask| self.subtasks[*subtask].current.id == attempt)
    }

    /// The vertex of a subtask.
    #[must_use]
    pub fn vertex_of(&self, subtask: usize) -> &ExecutionJobVertex {
        &self.vertices[self.subtasks[subtask].vertex]
    }

    /// How people call a subtask: `Map (3/4)`.
    #[must_use]
    pub fn task_name(&self, subtask: usize) -> String {
        let vertex = &self.vertex_of(subtask).vertex;
        format!("{} ({}/{})", vertex.name, self.subtasks[subtask].subtask + 1, vertex.parallelism)
    }

    /// The subtasks that produce what `subtask` reads of `result`.
    #[must_use]
    pub fn producers(&self, subtask: usize, result: usize) -> Vec<usize> {
        let (consumer, result) = (self.vertex_of(subtask), &self.results[result]);
        let producer = &self.vertices[result.producer];
        let (many, few) = (producer.vertex.parallelism, consumer.vertex.parallelism);
        producers_of(result.pattern(), many, few, self.subtasks[subtask].subtask)
            .into_iter()
            .map(|index| producer.first + index as usize)
            .collect()
    }

    /// The subtasks that read what `subtask` produces of `result`.
    #[must_use]
    pub fn consumers(&self, subtask: usize, result: usize) -> Vec<usize> {
        let (producer, result) = (self.vertex_of(subtask), &self.results[result]);
        let Some((consumer, _)) = result.consumer else { return Vec::new() };
        let consumer = &self.vertices[consumer];
        let (from, to) = (producer.vertex.parallelism, consumer.vertex.parallelism);
        consumers_of(result.pattern(), from, to, self.subtasks[subtask].subtask)
            .into_iter()
            .map(|index| consumer.first + index as usize)
            .collect()
    }

    /// The state of what `subtask` produces of `result`.
    #[must_use]
    pub fn partition(&self, subtask: usize, result: usize) -> PartitionState {
        self.results[result].partitions[self.subtasks[subtask].subtask as usize]
    }

    /// Notes what became of what `subtask` produces of `result`.
    pub fn set_partition(&mut self, subtask: usize, result: usize, state: PartitionState) {
        let index = self.subtasks[subtask].subtask as usize;
        self.results[result].partitions[index] = state;
    }

    /// Moves the current execution of a subtask into another state, if that may follow.
    pub fn transition(&mut self, subtask: usize, next: ExecutionState, at: TimestampMillis) -> bool {
        let vertex = self.subtasks[subtask].vertex;
        let changed = self.subtasks[subtask].current.transition(next, at);
        if changed && next == ExecutionState::Finished {
            self.vertices[vertex].finished += 1;
            for result in self.vertices[vertex].outputs.clone() {
                self.set_partition(subtask, result, PartitionState::Available);
            }
        }
        changed
    }

    /// Gives a subtask a new attempt in state CREATED, and its splits back to the pool.
    pub fn reset(&mut self, subtask: usize, at: TimestampMillis) {
        let execution = &self.subtasks[subtask].current;
        let (index, finished) = (self.subtasks[subtask].vertex, execution.state == ExecutionState::Finished);
        self.subtasks[subtask].current = execution.next_attempt(self.epoch, at);
        let vertex = &mut self.vertices[index];
        vertex.finished -= u32::from(finished);
        let outputs = vertex.outputs.clone();
        if let Some(splits) = &mut vertex.splits {
            splits.give_back(self.subtasks[subtask].subtask);
        }
        outputs.into_iter().for_each(|result| self.set_partition(subtask, result, PartitionState::Pending));
    }

    /// True when everybody who reads what `subtask` produces of `result` is FINISHED.
    #[must_use]
    pub fn is_consumed(&self, subtask: usize, result: usize) -> bool {
        match (self.results[result].consumer, self.results[result].pattern()) {
            (None, _) => true,
            (Some((consumer, _)), DistributionPattern::AllToAll) => self.vertices[consumer].all_finished(),
            (Some(_), DistributionPattern::Pointwise) => self
                .consumers(subtask, result)
                .into_iter()
                .all(|consumer| self.subtasks[consumer].current.state == ExecutionState::Finished),
        }
    }

    /// True when what the subtask produced is still on its worker, and somebody may still read it.
    #[must_use]
    pub fn is_output_needed(&self, subtask: usize) -> bool {
        self.subtasks[subtask].current.state == ExecutionState::Finished
            && self.vertex_of(subtask).outputs.iter().any(|result| {
                self.partition(subtask, *result) == PartitionState::Available && !self.is_consumed(subtask, *result)
            })
    }

    /// True when all that the subtask reads in full before it starts is there.
    #[must_use]
    pub fn is_input_ready(&self, subtask: usize) -> bool {
        let blocking = |result: &&usize| self.results[**result].is_blocking();
        self.vertex_of(subtask).inputs.iter().filter(blocking).all(|result| self.is_available_for(subtask, *result))
    }

    fn is_available_for(&self, subtask: usize, result: usize) -> bool {
        let available = |state: &PartitionState| *state == PartitionState::Available;
        match self.results[result].pattern() {
            // Counting first keeps a wide shuffle from being looked through once for each consumer until it is due.
            DistributionPattern::AllToAll => {
                self.vertices[self.results[result].producer].all_finished()
                    && self.results[result].partitions.iter().all(available)
            }
            DistributionPattern::Pointwise => {
                self.producers(subtask, result).into_iter().all(|producer| available(&self.partition(producer, result)))
            }
        }
    }
}

impl ExecutionJobVertex {
    /// True when every subtask is FINISHED.
    #[must_use]
    pub fn all_finished(&self) -> bool {
        self.finished == self.vertex.parallelism
    }

    /// The numbers of its subtasks.
    #[must_use]
    pub fn subtasks(&self) -> std::ops::Range<usize> {
        self.first..self.first + self.vertex.parallelism as usize
    }
}
