use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use flink_graph::{ExecutionAttemptId, ExecutionState, InputSplit};
use flink_protocol::task_manager::{FailureKind, TaskDeploymentDescriptor, TaskFailure, TaskStateUpdate, ToJobManager};
use flink_protocol::worker::ToWorker;

use super::event::{Action, WorkerId};
use super::resend::Resend;
use super::state_machine::TaskManagerCore;

/// An execution that has not ended.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) worker: WorkerId,
    pub(super) slot: u32,
    pub(super) state: ExecutionState,
    pub(super) submitted: Duration,
    /// When its worker is killed because it was told to end and has not.
    pub(super) kill_at: Option<Duration>,
    /// What it was told to end as.
    pub(super) told: Option<Told>,
    /// The JobManager does not want to hear of it any more.
    pub(super) unwanted: bool,
}

/// How a task was told to end.
#[derive(Debug, Clone)]
pub(super) enum Told {
    /// As CANCELED.
    Cancel,
    /// As FAILED.
    Fail(String),
}

/// A state that the JobManager has not acknowledged.
#[derive(Debug)]
pub(super) struct PendingReport {
    update: TaskStateUpdate,
    pub(super) resend: Resend,
}

/// A split that a task waits for.
#[derive(Debug)]
pub(super) struct PendingSplit {
    request: u64,
    pub(super) resend: Resend,
}

/// The last executions that ended: a late or doubled message about one must not start it again.
#[derive(Debug)]
pub(super) struct Ended {
    states: BTreeMap<ExecutionAttemptId, ExecutionState>,
    order: VecDeque<ExecutionAttemptId>,
    capacity: usize,
}

impl Ended {
    pub(super) fn new(capacity: usize) -> Self {
        Self { states: BTreeMap::new(), order: VecDeque::new(), capacity }
    }

    pub(super) fn state(&self, attempt: &ExecutionAttemptId) -> Option<ExecutionState> {
        self.states.get(attempt).copied()
    }

    fn insert(&mut self, attempt: ExecutionAttemptId, state: ExecutionState) {
        if self.states.insert(attempt, state).is_some() {
            return;
        }
        self.order.push_back(attempt);
        while self.order.len() > self.capacity {
            if let Some(oldest) = self.order.pop_front() {
                self.states.remove(&oldest);
            }
        }
    }
}

impl TaskManagerCore {
    /// `SubmitTask`: hands it to the worker, or says again what became of it.
    pub(super) fn submit_task(&mut self, now: Duration, descriptor: Box<TaskDeploymentDescriptor>) {
        let attempt = descriptor.attempt;
        if let Some(task) = self.tasks.get(&attempt) {
            return self.report(now, update(attempt, task.state));
        }
        if self.ended.state(&attempt).is_some() {
            return self.report_absent(now, attempt);
        }
        let slots = self.config.slots;
        if descriptor.slot >= slots {
            let message = format!("slot {} was asked for; this TaskManager has {slots}", descriptor.slot);
            return self.end(now, failed(attempt, FailureKind::Runtime, message));
        }
        match self.workers.get(&attempt.job).filter(|worker| worker.is_running()) {
            None => {
                let message = "the job has no running worker on this TaskManager".to_owned();
                self.end(now, failed(attempt, FailureKind::TaskManagerLost, message));
            }
            Some(worker) => {
                let task = Task {
                    worker: worker.id,
                    slot: descriptor.slot,
                    state: ExecutionState::Deploying,
                    submitted: now,
                    kill_at: None,
                    told: None,
                    unwanted: false,
                };
                log_task(attempt, ExecutionState::Deploying, None);
                let message = ToWorker::SubmitTask(descriptor);
                self.actions.push(Action::SendToWorker { worker: worker.id, message });
                self.tasks.insert(attempt, task);
            }
        }
    }

    /// `CancelTask`: tells the worker; one that is not here ends as CANCELED, so that a late `SubmitTask` cannot start it.
    pub(super) fn cancel_task(&mut self, now: Duration, attempt: ExecutionAttemptId) {
        if self.tasks.contains_key(&attempt) {
            self.tell(now, attempt, Told::Cancel);
        } else if self.ended.state(&attempt).is_some() {
            self.report_absent(now, attempt);
        } else {
            self.end(now, update(attempt, ExecutionState::Canceled));
        }
    }

    /// `FailTask`, or a reason of our own to end it.
    pub(super) fn fail_task(&mut self, now: Duration, attempt: ExecutionAttemptId, reason: String) {
        if self.tasks.contains_key(&attempt) {
            self.tell(now, attempt, Told::Fail(reason));
        } else if self.ended.state(&attempt).is_some() {
            self.report_absent(now, attempt);
        } else {
            self.end(now, failed(attempt, FailureKind::Runtime, reason));
        }
    }

    /// Tells a task to end, once; the clock does not start anew when it is told again.
    fn tell(&mut self, now: Duration, attempt: ExecutionAttemptId, told: Told) {
        let Some(task) = self.tasks.get_mut(&attempt) else { return };
        if task.told.is_some() {
            return;
        }
        let timeout = self.workers.get(&attempt.job).map_or(Duration::ZERO, |worker| worker.cancellation_timeout);
        let message = match &told {
            Told::Cancel => ToWorker::CancelTask(attempt),
            Told::Fail(reason) => ToWorker::FailTask { attempt, reason: reason.clone() },
        };
        task.kill_at = Some(now + timeout);
        task.told = Some(told);
        self.actions.push(Action::SendToWorker { worker: task.worker, message });
    }

    pub(super) fn expire_tasks(&mut self, now: Duration) {
        let late = |(_, task): &(&ExecutionAttemptId, &Task)| task.kill_at.is_some_and(|at| now >= at);
        let late: Vec<ExecutionAttemptId> = self.tasks.iter().filter(late).map(|(attempt, _)| *attempt).collect();
        for attempt in late {
            let timeout = self.workers.get(&attempt.job).map_or(Duration::ZERO, |worker| worker.cancellation_timeout);
            let of_worker = self.tasks.get(&attempt).map(|task| task.worker);
            for task in self.tasks.values_mut().filter(|task| Some(task.worker) == of_worker) {
                task.kill_at = None;
            }
            let reason = format!(
                "execution {attempt} did not end within {} s after it was told to (task.cancellation.timeout), so its \
                 worker was killed",
                timeout.as_secs_f64()
            );
            self.kill_worker(attempt.job, reason);
        }
    }

    /// A worker says that one of its tasks is in a new state.
    pub(super) fn task_changed(&mut self, now: Duration, worker: WorkerId, update: TaskStateUpdate) {
        let Some(task) = self.tasks.get_mut(&update.attempt).filter(|task| task.worker == worker) else { return };
        if !task.state.can_become(update.state) {
            return;
        }
        task.state = update.state;
        if update.state.is_terminal() {
            self.end(now, update);
        } else if !task.unwanted {
            self.report(now, update);
        }
    }

    /// Ends all tasks of a worker that is gone: CANCELED where that was wanted, FAILED with the reason otherwise.
    pub(super) fn end_tasks_of(&mut self, now: Duration, worker: WorkerId, reason: &str, told_to: bool) {
        let gone = self.tasks.iter().filter(|(_, task)| task.worker == worker);
        let gone: Vec<_> = gone.map(|(attempt, task)| (*attempt, task.told.clone())).collect();
        for (attempt, told) in gone {
            let last = match told {
                Some(Told::Cancel) => update(attempt, ExecutionState::Canceled),
                Some(Told::Fail(why)) => failed(attempt, FailureKind::Runtime, why),
                None if told_to => update(attempt, ExecutionState::Canceled),
                None => failed(attempt, FailureKind::TaskManagerLost, format!("the worker was lost: {reason}")),
            };
            self.end(now, last);
        }
    }

    fn end(&mut self, now: Duration, update: TaskStateUpdate) {
        let attempt = update.attempt;
        log_task(attempt, update.state, update.failure.as_ref());
        let unwanted = self.tasks.remove(&attempt).is_some_and(|task| task.unwanted);
        self.splits.remove(&attempt);
        self.ended.insert(attempt, update.state);
        if !unwanted {
            self.report(now, update);
        }
    }

    /// Reports a state until it is acknowledged. A newer state takes the place of an older one.
    fn report(&mut self, now: Duration, update: TaskStateUpdate) {
        let resend = Resend::new(now, &self.config);
        let pending =
            self.reports.entry(update.attempt).or_insert_with(|| PendingReport { update: update.clone(), resend });
        // What is known of an end (failure, figures) is not given up for a shorter report of the same end.
        if pending.update.state != update.state {
            pending.update = update;
        }
        pending.resend = resend;
    }

    /// Reports an execution that is not here: how it ended, as far as that is known.
    pub(super) fn report_absent(&mut self, now: Duration, attempt: ExecutionAttemptId) {
        let lost = |message: &str| failed(attempt, FailureKind::TaskManagerLost, message.to_owned());
        match self.ended.state(&attempt) {
            Some(ExecutionState::Failed) => {
                self.report(now, lost("the execution failed; the reason was reported before"))
            }
            Some(state) => self.report(now, update(attempt, state)),
            None => self.end(now, lost("the execution is not on this TaskManager")),
        }
    }

    pub(super) fn state_acknowledged(
        &mut self,
        now: Duration,
        attempt: ExecutionAttemptId,
        state: ExecutionState,
        known: bool,
    ) {
        if !known {
            self.reports.remove(&attempt);
            if let Some(task) = self.tasks.get_mut(&attempt) {
                task.unwanted = true;
                self.tell(now, attempt, Told::Cancel);
            }
        } else if self.reports.get(&attempt).is_some_and(|pending| pending.update.state == state) {
            self.reports.remove(&attempt);
        }
    }

    /// After a registration: everything that waits for an answer is sent now, and the states of all tasks are told.
    pub(super) fn report_everything_again(&mut self, now: Duration) {
        let again = Resend::new(now, &self.config);
        self.reports.values_mut().for_each(|pending| pending.resend = again);
        self.splits.values_mut().for_each(|pending| pending.resend = again);
        self.report_workers_again(now);
        self.resume_downloads(now);
    }

    pub(super) fn send_reports(&mut self, now: Duration) {
        let due = self.reports.values_mut().filter_map(|report| report.resend.take(now).then(|| report.update.clone()));
        let due: Vec<TaskStateUpdate> = due.collect();
        due.into_iter().for_each(|update| self.send(ToJobManager::UpdateTaskExecutionState(update)));
    }

    /// A task wants a split: asked for until the answer is here.
    pub(super) fn split_wanted(&mut self, now: Duration, worker: WorkerId, attempt: ExecutionAttemptId, request: u64) {
        if self.tasks.get(&attempt).is_some_and(|task| task.worker == worker) {
            let resend = Resend::new(now, &self.config);
            self.splits.insert(attempt, PendingSplit { request, resend });
        }
    }

    pub(super) fn send_split_requests(&mut self, now: Duration) {
        let due = self.splits.iter_mut().filter_map(|(attempt, split)| {
            split
                .resend
                .take(now)
                .then_some(ToJobManager::RequestNextInputSplit { attempt: *attempt, request: split.request })
        });
        let due: Vec<ToJobManager> = due.collect();
        due.into_iter().for_each(|message| self.send(message));
    }

    pub(super) fn next_split(&mut self, attempt: ExecutionAttemptId, request: u64, split: Option<InputSplit>) {
        if self.splits.get(&attempt).is_none_or(|pending| pending.request != request) {
            return;
        }
        self.splits.remove(&attempt);
        if let Some(task) = self.tasks.get(&attempt) {
            let message = ToWorker::NextInputSplit { attempt, request, split };
            self.actions.push(Action::SendToWorker { worker: task.worker, message });
        }
    }
}

/// What becomes of each task stands in the log: that it came, and how it ended.
fn log_task(id: ExecutionAttemptId, state: ExecutionState, failure: Option<&TaskFailure>) {
    let ExecutionAttemptId { job, vertex, subtask, attempt, .. } = id;
    match failure {
        Some(TaskFailure { message, .. }) => {
            tracing::warn!(%job, %vertex, subtask, attempt, reason = message, "task is {state}");
        }
        None => tracing::info!(%job, %vertex, subtask, attempt, "task is {state}"),
    }
}

fn update(attempt: ExecutionAttemptId, state: ExecutionState) -> TaskStateUpdate {
    TaskStateUpdate { attempt, state, failure: None, metrics: None }
}

fn failed(attempt: ExecutionAttemptId, kind: FailureKind, message: String) -> TaskStateUpdate {
    let failure = Some(TaskFailure { kind, message });
    TaskStateUpdate { attempt, state: ExecutionState::Failed, failure, metrics: None }
}
