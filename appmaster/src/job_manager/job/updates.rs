use flink_graph::{ExecutionAttemptId, ExecutionState, PartitionId, TaskManagerId};
use flink_protocol::task_manager::{FailureKind, TaskFailure, TaskMetrics, TaskStateUpdate, ToTaskManager};

use super::JobMaster;
use super::failure::runtime;
use crate::job_manager::context::Context;
use crate::job_manager::execution_graph::PartitionState;
use crate::job_manager::task_managers::Worker;
use crate::job_manager::timing::Timer;

impl JobMaster {
    /// An execution is in a new state. False when it is not one that should be there.
    pub(crate) fn on_task_state(&mut self, from: &TaskManagerId, update: TaskStateUpdate, cx: &mut Context) -> bool {
        let Some(subtask) = self.graph.current(update.attempt).filter(|s| self.place(*s) == Some(from)) else {
            return false;
        };
        let before = self.state(subtask);
        if before.is_terminal() {
            return before == update.state;
        }
        if before < ExecutionState::Deploying {
            return false;
        }
        let execution = &mut self.graph.subtasks[subtask].current;
        execution.last_seen = cx.now.elapsed;
        execution.metrics = update.metrics.or(execution.metrics.take());
        match update.state {
            ExecutionState::Finished => self.finished(subtask, cx),
            ExecutionState::Canceled => self.canceled(subtask, cx),
            ExecutionState::Failed => self.failed(subtask, update.failure, cx),
            state => self.started(subtask, state, cx),
        }
        true
    }

    fn started(&mut self, subtask: usize, state: ExecutionState, cx: &mut Context) {
        use ExecutionState::{Deploying, Running};
        if self.state(subtask) != ExecutionState::Canceling && (Deploying..=Running).contains(&state) {
            self.graph.subtasks[subtask].current.unanswered = None;
            self.graph.transition(subtask, state, cx.now.timestamp);
        }
    }

    fn finished(&mut self, subtask: usize, cx: &mut Context) {
        self.graph.transition(subtask, ExecutionState::Finished, cx.now.timestamp);
        self.vacate(subtask, cx);
        self.release_consumed(subtask, cx);
        cx.touched.insert(self.id());
    }

    /// Releases the blocking inputs that the subtask was the last to read.
    fn release_consumed(&mut self, subtask: usize, cx: &mut Context) {
        for result in self.graph.vertex_of(subtask).inputs.clone() {
            if !self.is_blocking(result) {
                continue;
            }
            for producer in self.graph.producers(subtask, result) {
                let available = self.graph.partition(producer, result) == PartitionState::Available;
                if available && self.graph.is_consumed(producer, result) {
                    self.release_partition(producer, result, cx);
                }
            }
        }
    }

    /// Says that a partition is not needed any more. Once is enough: what is missed goes with the worker.
    pub(super) fn release_partition(&mut self, producer: usize, result: usize, cx: &mut Context) {
        let output = self.graph.results[result].id.index;
        let partition = PartitionId { output, producer: self.graph.subtasks[producer].current.id };
        self.tell(producer, ToTaskManager::ReleasePartitions { partitions: vec![partition] }, cx);
        self.graph.set_partition(producer, result, PartitionState::Released);
    }

    fn canceled(&mut self, subtask: usize, cx: &mut Context) {
        if self.state(subtask) != ExecutionState::Canceling {
            return self.failed(subtask, Some(runtime("its TaskManager ended it unasked")), cx);
        }
        self.end_canceled(subtask, cx);
    }

    pub(super) fn end_canceled(&mut self, subtask: usize, cx: &mut Context) {
        self.graph.transition(subtask, ExecutionState::Canceled, cx.now.timestamp);
        self.vacate(subtask, cx);
        cx.touched.insert(self.id());
    }

    fn failed(&mut self, subtask: usize, failure: Option<TaskFailure>, cx: &mut Context) {
        let failure = failure.unwrap_or_else(|| runtime("it failed without saying why"));
        if let FailureKind::PartitionUnavailable { partition } = &failure.kind {
            self.partition_lost(*partition);
        }
        self.fail_subtasks(vec![subtask], &failure.into(), cx);
    }

    fn partition_lost(&mut self, partition: PartitionId) {
        let Some(producer) = self.graph.current(partition.producer) else { return };
        let result = self.graph.vertex_of(producer).outputs.get(partition.output as usize).copied();
        if let Some(result) =
            result.filter(|result| self.graph.partition(producer, *result) == PartitionState::Available)
        {
            self.graph.set_partition(producer, result, PartitionState::Lost);
        }
    }

    /// Whether a TaskManager was told to run the execution, and it has not ended.
    pub(crate) fn is_deployed(&self, attempt: ExecutionAttemptId) -> bool {
        self.graph.current(attempt).is_some_and(|subtask| self.graph.subtasks[subtask].current.is_deployed())
    }

    /// A TaskManager shows that it has an execution.
    pub(crate) fn on_seen(&mut self, attempt: ExecutionAttemptId, cx: &Context) {
        if let Some(subtask) = self.graph.current(attempt) {
            self.graph.subtasks[subtask].current.last_seen = cx.now.elapsed;
        }
    }

    /// Figures of a running execution.
    pub(crate) fn on_metrics(&mut self, metrics: TaskMetrics) {
        if let Some(subtask) = self.graph.current(metrics.attempt).filter(|subtask| !self.state(*subtask).is_terminal())
        {
            self.graph.subtasks[subtask].current.metrics = Some(metrics);
        }
    }

    /// A TaskManager reports without an execution that it should have. After a while it counts as ended.
    pub(crate) fn on_unlisted(&mut self, attempt: ExecutionAttemptId, cx: &mut Context) {
        let Some(subtask) = self.graph.current(attempt) else { return };
        let execution = &self.graph.subtasks[subtask].current;
        let asked_for = execution.state == ExecutionState::Deploying && execution.unanswered.is_some();
        let missed_for = cx.now.elapsed.saturating_sub(execution.last_seen);
        if !execution.is_deployed() || asked_for || missed_for < cx.config.heartbeat_timeout {
            return;
        }
        match execution.state {
            ExecutionState::Canceling => self.end_canceled(subtask, cx),
            _ => self.failed(subtask, Some(runtime("its TaskManager does not know it any more")), cx),
        }
    }

    /// The message about a subtask may have to be sent again.
    pub(crate) fn on_subtask_timer(&mut self, subtask: usize, cx: &mut Context) {
        let timer = Timer::Subtask(self.id(), subtask);
        let Some(execution) = self.graph.subtasks.get_mut(subtask).map(|subtask| &mut subtask.current) else { return };
        let Some(mut resend) = execution.unanswered.take() else { return };
        let due = cx.due_again(&mut resend, timer);
        execution.unanswered = Some(resend);
        match execution.state {
            _ if !due => {}
            ExecutionState::Deploying if resend.unanswered_for(cx.now.elapsed) > cx.config.heartbeat_timeout * 2 => {
                self.failed(subtask, Some(runtime("its TaskManager does not answer SubmitTask")), cx);
            }
            ExecutionState::Deploying => {
                if let Some(descriptor) = self.descriptor(subtask, cx) {
                    self.tell(subtask, ToTaskManager::SubmitTask(Box::new(descriptor)), cx);
                }
            }
            ExecutionState::Canceling => self.insist_on_cancellation(subtask, cx),
            _ => {}
        }
    }

    /// Asks once more, and ends the whole worker when a task does not end in time.
    fn insist_on_cancellation(&mut self, subtask: usize, cx: &mut Context) {
        let execution = &self.graph.subtasks[subtask].current;
        let (id, job) = (execution.id, self.id());
        let since = execution.canceling_since.unwrap_or(cx.now.elapsed);
        let Some(place) = self.place(subtask).cloned() else { return };
        cx.send(&place, ToTaskManager::CancelTask(id));
        if cx.now.elapsed.saturating_sub(since) < self.settings.cancellation_timeout {
            return;
        }
        match cx.task_managers.get(&place).and_then(|task_manager| task_manager.workers.get(&job)) {
            Some(Worker::Stopping(_)) => {}
            Some(_) => cx.stop_worker(&place, job),
            None => self.end_canceled(subtask, cx),
        }
    }
}
