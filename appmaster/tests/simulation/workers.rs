use std::collections::BTreeMap;

use flink_graph::{
    AccumulatorValue, Accumulators, ExecutionAttemptId, ExecutionState, InputSplit, JobVertexId, PartitionId,
};
use flink_protocol::PROTOCOL_VERSION;
use flink_protocol::task_manager::{
    FailureKind, InputChannelDescriptor, TaskDeploymentDescriptor, TaskFailure, TaskMetrics, TaskStateUpdate,
};
use flink_protocol::worker::{FromWorker, ToWorker, WorkerMetrics};

use crate::jobs::code;
use crate::world::{Mutation, World};

/// The worker of one job on one TaskManager.
pub(crate) struct Worker {
    pub(crate) address: String,
    pub(crate) tasks: BTreeMap<ExecutionAttemptId, Task>,
    sources: Vec<JobVertexId>,
    sinks: Vec<JobVertexId>,
}

/// A task: it reads splits, or waits for its producers, and then has ended.
pub(crate) struct Task {
    descriptor: TaskDeploymentDescriptor,
    stage: Stage,
    request: u64,
    data: Vec<i64>,
    polls: u32,
    deaf: bool,
    steps_to_failure: Option<u64>,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Submitted,
    Opened,
    Asking,
    Reading,
    Draining,
    Waiting,
}

/// What an attempt that finished left on its worker.
pub(crate) struct Output {
    data: Vec<i64>,
    subpartitions: Vec<u32>,
    address: String,
}

/// Names a worker in the world: TaskManager process, worker.
pub(crate) type WorkerKey = (usize, u64, u64);

enum Input {
    Ready(Vec<i64>),
    NotYet,
    Broken(FailureKind),
}

impl Worker {
    pub(crate) fn new(address: String, graph: &flink_graph::JobGraph) -> Self {
        let of = |wanted: fn(&&flink_graph::JobVertex) -> bool| {
            graph.vertices.iter().filter(wanted).map(|vertex| vertex.id).collect::<Vec<_>>()
        };
        Self {
            address,
            tasks: BTreeMap::new(),
            sources: of(|vertex| vertex.input_splits.is_some()),
            sinks: of(|vertex| vertex.outputs.is_empty()),
        }
    }
}

impl World {
    pub(crate) fn worker_booted(&mut self, key: WorkerKey) {
        let Some(worker) = self.workers.get(&key) else { return };
        let message = FromWorker::Started { protocol_version: PROTOCOL_VERSION, data_address: worker.address.clone() };
        self.from_worker(key, message);
    }

    pub(crate) fn to_worker(&mut self, key: WorkerKey, message: ToWorker) {
        if !self.workers.contains_key(&key) {
            return;
        }
        match message {
            ToWorker::SubmitTask(descriptor) => self.submit(key, *descriptor),
            ToWorker::CancelTask(attempt) => self.end_told(key, attempt, ExecutionState::Canceled),
            ToWorker::FailTask { attempt, .. } => self.end_told(key, attempt, ExecutionState::Failed),
            ToWorker::NextInputSplit { attempt, request, split } => self.next_split(key, attempt, request, split),
            ToWorker::ReleasePartitions { partitions } => {
                partitions.iter().for_each(|partition| drop(self.outputs.remove(&partition.producer)));
            }
            ToWorker::RequestMetrics => self.from_worker(key, FromWorker::Metrics(WorkerMetrics::default())),
            ToWorker::Stop if self.mutation == Mutation::WorkersNeverStop => {}
            ToWorker::Stop => self.worker_gone(key, "stopped"),
            ToWorker::Start(_) => {}
        }
    }

    fn submit(&mut self, key: WorkerKey, descriptor: TaskDeploymentDescriptor) {
        let attempt = descriptor.attempt;
        let fails = self.chance(self.profile.task_failure);
        let steps_to_failure = fails.then(|| self.random.u64(..6));
        let deaf = self.chance(self.profile.deaf_task);
        let task = Task {
            descriptor,
            stage: Stage::Submitted,
            request: 0,
            data: Vec::new(),
            polls: 0,
            deaf,
            steps_to_failure,
        };
        if let Some(worker) = self.workers.get_mut(&key) {
            assert!(worker.tasks.insert(attempt, task).is_none(), "{attempt} runs twice");
        }
        self.step_later(key, attempt, 50);
    }

    /// One step of a task.
    pub(crate) fn task_step(&mut self, key: WorkerKey, attempt: ExecutionAttemptId) {
        let Some(worker) = self.workers.get_mut(&key) else { return };
        let is_source = worker.sources.contains(&attempt.vertex);
        let Some(task) = worker.tasks.get_mut(&attempt) else { return };
        if task.steps_to_failure == Some(0) && task.stage != Stage::Submitted {
            let kind = FailureKind::User { operator: "op".to_owned() };
            return self.fail_task(key, attempt, kind, "user code failed");
        }
        task.steps_to_failure = task.steps_to_failure.map(|steps| steps.saturating_sub(1));
        let request = task.request;
        match task.stage {
            Stage::Submitted => {
                task.stage = Stage::Opened;
                self.task_state(key, attempt, ExecutionState::Initializing);
                self.step_later(key, attempt, 100);
            }
            Stage::Opened => {
                task.stage = if is_source { Stage::Asking } else { Stage::Waiting };
                self.task_state(key, attempt, ExecutionState::Running);
                match is_source {
                    true => self.from_worker(key, FromWorker::RequestNextInputSplit { attempt, request }),
                    false => self.step_later(key, attempt, 500),
                }
            }
            Stage::Reading => {
                task.stage = Stage::Asking;
                task.request += 1;
                self.from_worker(key, FromWorker::RequestNextInputSplit { attempt, request: request + 1 });
            }
            Stage::Draining => self.finish_task(key, attempt),
            Stage::Waiting => self.look_at_inputs(key, attempt),
            Stage::Asking => {}
        }
    }

    fn next_split(&mut self, key: WorkerKey, attempt: ExecutionAttemptId, request: u64, mut split: Option<InputSplit>) {
        if self.mutation == Mutation::SplitLost && self.random.u64(..20) == 0 {
            split = None;
        }
        let twice = self.mutation == Mutation::SplitTwice && self.random.u64(..20) == 0;
        let Some(task) = self.workers.get_mut(&key).and_then(|worker| worker.tasks.get_mut(&attempt)) else { return };
        if task.stage != Stage::Asking || task.request != request {
            return;
        }
        task.stage = if split.is_some() { Stage::Reading } else { Stage::Draining };
        if let Some(split) = split {
            let code = code(attempt.vertex, split.number);
            task.data.extend(std::iter::repeat_n(code, if twice { 2 } else { 1 }));
            if self.mutation == Mutation::SplitsNotGivenBack {
                // As if the splits of an attempt never came back: a later attempt does not get to see them.
                let first = *self.first_reader.entry((attempt.job, code)).or_insert(attempt);
                if first != attempt {
                    task.data.retain(|other| *other != code);
                }
            }
        }
        self.step_later(key, attempt, 800);
    }

    fn look_at_inputs(&mut self, key: WorkerKey, attempt: ExecutionAttemptId) {
        let Some(task) = self.workers.get_mut(&key).and_then(|worker| worker.tasks.get_mut(&attempt)) else { return };
        task.polls += 1;
        let patient = task.polls < 40;
        let channels: Vec<InputChannelDescriptor> =
            task.descriptor.inputs.iter().flat_map(|gate| gate.channels.clone()).collect();
        let mut data = Vec::new();
        for channel in &channels {
            match self.read(channel, patient) {
                Input::Ready(more) => data.extend(more),
                Input::NotYet => return self.step_later(key, attempt, 1000),
                Input::Broken(kind) => return self.fail_task(key, attempt, kind, "an input broke"),
            }
        }
        if let Some(task) = self.workers.get_mut(&key).and_then(|worker| worker.tasks.get_mut(&attempt)) {
            task.data = data;
            task.stage = Stage::Draining;
        }
        self.step_later(key, attempt, 500);
    }

    fn read(&self, channel: &InputChannelDescriptor, patient: bool) -> Input {
        let PartitionId { output, producer } = channel.partition;
        let alive = self.workers.values().find(|worker| worker.address == channel.data_address);
        let (Some(worker), partition) = (alive, channel.partition) else {
            return Input::Broken(FailureKind::ConnectionLost { partition: channel.partition });
        };
        if let Some(left) = self.outputs.get(&producer).filter(|left| left.address == channel.data_address) {
            let of = i64::from(left.subpartitions[output as usize]);
            let mine = |item: &&i64| **item % of == i64::from(channel.subpartition);
            return Input::Ready(left.data.iter().filter(mine).copied().collect());
        }
        // A pipelined producer may not have been submitted yet; one that has ended without a result never comes.
        if self.ended.contains(&producer) || (!worker.tasks.contains_key(&producer) && !patient) {
            return Input::Broken(FailureKind::PartitionUnavailable { partition });
        }
        Input::NotYet
    }

    fn finish_task(&mut self, key: WorkerKey, attempt: ExecutionAttemptId) {
        let Some(worker) = self.workers.get_mut(&key) else { return };
        let Some(task) = worker.tasks.remove(&attempt) else { return };
        let mut accumulators = Accumulators::default();
        let subtask = attempt.vertex.as_u128() as i64 * 1000 + i64::from(attempt.subtask);
        accumulators.0.insert("subtasks".into(), AccumulatorValue::Histogram([(subtask, 1)].into()));
        if worker.sinks.contains(&attempt.vertex) {
            let records = task.data.iter().map(|item| item.to_le_bytes().to_vec()).collect();
            accumulators.0.insert(format!("sink {}", attempt.vertex), AccumulatorValue::List(records));
        }
        let subpartitions = task.descriptor.outputs.iter().map(|output| output.subpartitions).collect();
        self.outputs.insert(attempt, Output { data: task.data, subpartitions, address: worker.address.clone() });
        self.ended.insert(attempt);
        let metrics = Some(metrics(attempt, accumulators));
        let update = TaskStateUpdate { attempt, state: ExecutionState::Finished, failure: None, metrics };
        self.from_worker(key, FromWorker::UpdateTaskExecutionState(update));
    }

    fn fail_task(&mut self, key: WorkerKey, attempt: ExecutionAttemptId, kind: FailureKind, message: &str) {
        let Some(worker) = self.workers.get_mut(&key) else { return };
        worker.tasks.remove(&attempt);
        self.ended.insert(attempt);
        self.happened("task failed");
        let failure = Some(TaskFailure { kind, message: message.to_owned() });
        let update = TaskStateUpdate { attempt, state: ExecutionState::Failed, failure, metrics: None };
        self.from_worker(key, FromWorker::UpdateTaskExecutionState(update));
    }

    fn end_told(&mut self, key: WorkerKey, attempt: ExecutionAttemptId, state: ExecutionState) {
        let Some(worker) = self.workers.get_mut(&key) else { return };
        if worker.tasks.get(&attempt).is_none_or(|task| task.deaf) {
            return;
        }
        worker.tasks.remove(&attempt);
        self.ended.insert(attempt);
        self.task_state(key, attempt, state);
    }

    fn task_state(&mut self, key: WorkerKey, attempt: ExecutionAttemptId, state: ExecutionState) {
        let update = TaskStateUpdate { attempt, state, failure: None, metrics: None };
        self.from_worker(key, FromWorker::UpdateTaskExecutionState(update));
    }

    /// The process of a worker has ended, with all that was in it.
    pub(crate) fn worker_gone(&mut self, key: WorkerKey, reason: &str) {
        let Some(worker) = self.workers.remove(&key) else { return };
        self.ended.extend(worker.tasks.into_keys());
        self.outputs.retain(|_, output| output.address != worker.address);
        self.worker_exited(key, reason);
    }
}

fn metrics(attempt: ExecutionAttemptId, accumulators: Accumulators) -> TaskMetrics {
    TaskMetrics {
        attempt,
        records_in: 0,
        records_out: 0,
        bytes_in: 0,
        bytes_out: 0,
        busy_ms: 0,
        idle_ms: 0,
        backpressured_ms: 0,
        accumulators,
    }
}
