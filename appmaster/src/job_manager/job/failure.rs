use std::collections::BTreeSet;
use std::time::Duration;

use flink_graph::{ExecutionState, JobStatus, TaskManagerId};
use flink_protocol::overview::ExceptionEntry;
use flink_protocol::task_manager::{FailureKind, TaskFailure, ToTaskManager};

use super::{JobFailure, JobMaster, PendingRestart, RegionState};
use crate::job_manager::context::Context;
use crate::job_manager::execution_graph::PartitionState;
use crate::job_manager::failover::regions_to_restart;
use crate::job_manager::timing::Timer;

/// Failures that are remembered of one job; Flink's web.exception-history-size.
const EXCEPTION_HISTORY_SIZE: usize = 16;

/// Longest text that is kept of one failure, bytes.
const MAX_MESSAGE_LENGTH: usize = 16 << 10;

/// A failure, as a TaskManager tells it or as the JobManager makes it of a TaskManager's end.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    told: TaskFailure,
    /// Whether the cluster is to blame, and not what the job did.
    by_cluster: bool,
}

impl Failure {
    /// The cause in words.
    pub(crate) fn reason(&self) -> &str {
        &self.told.message
    }
}

impl From<TaskFailure> for Failure {
    /// A connection that broke, and data that went with its producer, are the cluster's: where the job is to blame, a failure of
    /// its own says so.
    fn from(told: TaskFailure) -> Self {
        let by_cluster = is_consequence(&told);
        Self { told, by_cluster }
    }
}

impl JobMaster {
    /// The worker of the job on a TaskManager was stopped, as it was told to. Tasks that wait to be sent there can wait
    /// for the next one; what had not ended yet has now.
    pub(crate) fn on_worker_stopped(&mut self, place: &TaskManagerId, cx: &mut Context) {
        self.worker_ended(place, ExecutionState::Deploying, &lost("its worker was stopped"), cx);
    }

    /// The worker of the job on a TaskManager is gone, with all tasks and finished data that were on it. When the job fails
    /// already because others have lost their connections to it, this is why.
    pub(crate) fn on_worker_lost(&mut self, place: &TaskManagerId, failure: &Failure, cx: &mut Context) {
        let is_ending =
            |subtask: &usize| self.place(*subtask) == Some(place) && self.state(*subtask) == ExecutionState::Canceling;
        if let Some(first) = (0..self.graph.subtasks.len()).find(is_ending) {
            let message = self.describe(first, failure, cx);
            match self.status {
                JobStatus::Failing => self.remember(first, &self.with_advice(message, failure), false, cx),
                // It was not the cluster after all.
                JobStatus::Restarting if self.restart.is_for_the_cluster() && !failure.by_cluster => {
                    self.recover(&[first], failure, message, cx);
                }
                JobStatus::Restarting => self.note_exception(Some(first), &message, cx),
                _ => {}
            }
        }
        self.worker_ended(place, ExecutionState::Created, failure, cx);
    }

    /// Fails what is on a TaskManager and has come at least as far as `least`.
    fn worker_ended(&mut self, place: &TaskManagerId, least: ExecutionState, failure: &Failure, cx: &mut Context) {
        let here: Vec<usize> = (0..self.graph.subtasks.len()).filter(|s| self.place(*s) == Some(place)).collect();
        let mut hit = Vec::new();
        for subtask in here {
            match self.state(subtask) {
                ExecutionState::Finished if self.lose_output(subtask) => hit.push(subtask),
                ExecutionState::Canceling => self.end_canceled(subtask, cx),
                state if !state.is_terminal() && state >= least => hit.push(subtask),
                _ => {}
            }
        }
        if !hit.is_empty() {
            self.fail_subtasks(hit, failure, cx);
        }
        cx.touched.insert(self.id());
    }

    /// Notes that what a finished subtask produced is gone; true when somebody still wanted it.
    fn lose_output(&mut self, subtask: usize) -> bool {
        let needed = self.graph.is_output_needed(subtask);
        for result in self.graph.vertex_of(subtask).outputs.clone() {
            if self.graph.partition(subtask, result) == PartitionState::Available {
                self.graph.set_partition(subtask, result, PartitionState::Lost);
            }
        }
        needed
    }

    /// The subtasks failed together. Finished ones among them lost what they produced.
    pub(super) fn fail_subtasks(&mut self, subtasks: Vec<usize>, failure: &Failure, cx: &mut Context) {
        cx.touched.insert(self.id());
        let Some(first) = subtasks.first().copied() else { return };
        let message = self.describe(first, failure, cx);
        for subtask in &subtasks {
            if self.graph.transition(*subtask, ExecutionState::Failed, cx.now.timestamp) {
                self.log_failure(*subtask, failure);
                self.vacate(*subtask, cx);
                self.withdraw(self.regions.of(*subtask), cx);
            }
        }
        let pending = self.pending_restart.as_ref();
        let handled = pending.is_some_and(|pending| subtasks.iter().all(|subtask| pending.subtasks.contains(subtask)));
        match self.status {
            JobStatus::Canceling => {}
            JobStatus::Failing => self.remember(first, &message, is_consequence(&failure.told), cx),
            // These restart in any case; but what failed second may be the cause of what was heard of first.
            // Unless that is the user's to mend, and nobody else's.
            _ if handled && !(Self::is_users(failure) && self.restart.is_for_the_cluster()) => {
                self.note_exception(Some(first), &message, cx);
            }
            _ => self.recover(&subtasks, failure, message, cx),
        }
    }

    fn log_failure(&self, subtask: usize, failure: &Failure) {
        let execution = &self.graph.subtasks[subtask].current;
        let vertex = &self.graph.vertex_of(subtask).vertex;
        tracing::warn!(
            job = %self.id(),
            vertex = %vertex.id,
            subtask = execution.id.subtask,
            attempt = execution.id.attempt,
            task_manager = self.place(subtask).map(tracing::field::display),
            name = vertex.name,
            reason = beginning(&failure.told.message),
            "task failed"
        );
    }

    fn is_users(failure: &Failure) -> bool {
        matches!(failure.told.kind, FailureKind::User { .. })
    }

    /// The message of a loss after which no strategy runs the job again, with what would.
    fn with_advice(&self, message: String, failure: &Failure) -> String {
        let is_loss = failure.told.kind == FailureKind::TaskManagerLost;
        match self.restart.advice().filter(|_| is_loss) {
            Some(advice) => format!("{message}\n{advice}"),
            None => message,
        }
    }

    /// Whether a task on a TaskManager was to end long ago: for that, its worker is killed.
    pub(crate) fn is_cancellation_overdue(&self, place: &TaskManagerId, cx: &Context) -> bool {
        let overdue = |since: Duration| cx.now.elapsed.saturating_sub(since) >= self.settings.cancellation_timeout;
        let here = (0..self.graph.subtasks.len()).filter(|subtask| self.place(*subtask) == Some(place));
        let mut canceling = here.filter(|subtask| self.state(*subtask) == ExecutionState::Canceling);
        canceling.any(|subtask| self.graph.subtasks[subtask].current.canceling_since.is_some_and(overdue))
    }

    fn recover(&mut self, subtasks: &[usize], failure: &Failure, message: String, cx: &mut Context) {
        let first = subtasks.first().copied();
        self.note_exception(first, &message, cx);
        let decision = match failure.told.kind {
            FailureKind::Unrecoverable => Err("a restart does not help".to_owned()),
            // What fails while a restart is due goes with it.
            _ if self.pending_restart.is_some() && self.restart.is_for_the_cluster() && failure.by_cluster => {
                Ok(Duration::ZERO)
            }
            _ => self.restart.on_failure(cx.now.elapsed, failure.by_cluster, &mut cx.random),
        };
        match decision {
            Err(reason) => {
                let message = match self.restart.is_for_the_cluster() && failure.by_cluster {
                    true => format!("{message}\nThe job is not run again: {reason}"),
                    false => self.with_advice(message, failure),
                };
                self.failure = Some(JobFailure { message, is_consequence: is_consequence(&failure.told) });
                self.begin_failing(Some(reason), cx);
            }
            Ok(delay) => {
                let regions = regions_to_restart(&self.graph, &self.regions, subtasks.iter().copied());
                self.restart_regions(&regions, cx.now.elapsed + delay, cx);
                self.restarts += 1;
                self.set_status(cx, JobStatus::Restarting, Some(message));
            }
        }
    }

    /// Ends the subtasks of regions; they start again at `due`, or when the last of them has ended.
    fn restart_regions(&mut self, regions: &BTreeSet<usize>, due: Duration, cx: &mut Context) {
        cx.agenda.set(due, Timer::Restart(self.id()));
        let pending = self.pending_restart.get_or_insert_with(|| PendingRestart { due, subtasks: BTreeSet::new() });
        pending.due = pending.due.max(due);
        pending.subtasks.extend(regions.iter().flat_map(|region| self.regions.members(*region)));
        for region in regions {
            self.withdraw(*region, cx);
            for subtask in self.regions.members(*region).to_vec() {
                self.cancel_subtask(subtask, false, cx);
            }
        }
    }

    /// Takes a region out of whatever it is waiting for.
    pub(super) fn withdraw(&mut self, region: usize, cx: &mut Context) {
        if self.region_states[region] == RegionState::Queued {
            cx.queue.withdraw(self.sequence, region);
        }
        if self.region_states[region] != RegionState::Deployed {
            self.region_states[region] = RegionState::Waiting;
        }
    }

    /// Starts what waits for a restart again, once the delay is over and all of it has ended.
    pub(super) fn restart_when_due(&mut self, cx: &mut Context) {
        let Some(pending) = &self.pending_restart else { return };
        let ended = |subtask: &usize| {
            let state = self.state(*subtask);
            state.is_terminal() || state == ExecutionState::Created
        };
        if pending.due > cx.now.elapsed || !pending.subtasks.iter().all(ended) {
            return;
        }
        // An input may have been lost in the meantime; then those who produce it come along.
        let regions = regions_to_restart(&self.graph, &self.regions, pending.subtasks.iter().copied());
        let all: BTreeSet<usize> = regions.iter().flat_map(|region| self.regions.members(*region)).copied().collect();
        if all.len() > pending.subtasks.len() {
            let due = pending.due;
            self.restart_regions(&regions, due, cx);
            return self.restart_when_due(cx);
        }
        self.pending_restart = None;
        all.into_iter().for_each(|subtask| self.reset(subtask, cx));
        regions.into_iter().for_each(|region| self.region_states[region] = RegionState::Waiting);
        self.set_status(cx, JobStatus::Running, None);
    }

    fn reset(&mut self, subtask: usize, cx: &mut Context) {
        if self.state(subtask) == ExecutionState::Created {
            return;
        }
        for result in self.graph.vertex_of(subtask).outputs.clone() {
            if self.is_blocking(result) && self.graph.partition(subtask, result) == PartitionState::Available {
                self.release_partition(subtask, result, cx);
            }
        }
        self.graph.reset(subtask, cx.now.timestamp);
    }

    /// The job fails for a reason of its own.
    pub(crate) fn fail(&mut self, message: String, cx: &mut Context) {
        self.note_exception(None, &message, cx);
        self.failure = Some(JobFailure { message, is_consequence: false });
        self.begin_failing(None, cx);
    }

    fn begin_failing(&mut self, why_no_restart: Option<String>, cx: &mut Context) {
        let message = self.failure.as_ref().map(|failure| failure.message.clone()).unwrap_or_default();
        let reason =
            why_no_restart.map_or(message.clone(), |why| format!("{message}\nThe job is not restarted: {why}."));
        self.set_status(cx, JobStatus::Failing, Some(reason));
        self.cancel_everything(cx);
    }

    /// While the job fails: the first failure that is not the echo of another one is the one to show.
    fn remember(&mut self, subtask: usize, message: &str, is_consequence: bool, cx: &Context) {
        self.note_exception(Some(subtask), message, cx);
        if !is_consequence && self.failure.as_ref().is_some_and(|failure| failure.is_consequence) {
            self.failure = Some(JobFailure { message: message.to_owned(), is_consequence });
        }
    }

    pub(super) fn note_exception(&mut self, subtask: Option<usize>, message: &str, cx: &Context) {
        self.exceptions.push_front(ExceptionEntry {
            timestamp: cx.now.timestamp,
            message: message.to_owned(),
            task: subtask.map(|subtask| self.graph.task_name(subtask)),
            task_manager: subtask.and_then(|subtask| self.place(subtask)).map(ToString::to_string),
        });
        self.exceptions_truncated |= self.exceptions.len() > EXCEPTION_HISTORY_SIZE;
        self.exceptions.truncate(EXCEPTION_HISTORY_SIZE);
    }

    /// The failure in the user's words: which task, where, which operator, why.
    fn describe(&self, subtask: usize, failure: &Failure, cx: &Context) -> String {
        let mut text = format!("{} failed", self.graph.task_name(subtask));
        if let Some(place) = self.place(subtask) {
            let host = cx.host(place);
            let host = if host.is_empty() { String::new() } else { format!(" ({host})") };
            text += &format!(" on TaskManager {place}{host}");
        }
        if let FailureKind::User { operator } = &failure.told.kind {
            text += &format!(" in operator `{operator}`");
        }
        text + ": " + beginning(&failure.told.message)
    }

    /// Ends a subtask; when the job is over, one that never ran counts as ended too.
    pub(super) fn cancel_subtask(&mut self, subtask: usize, job_is_over: bool, cx: &mut Context) {
        match self.state(subtask) {
            ExecutionState::Created if !job_is_over => {}
            ExecutionState::Created | ExecutionState::Scheduled => self.end_canceled(subtask, cx),
            ExecutionState::Deploying | ExecutionState::Initializing | ExecutionState::Running => {
                self.graph.transition(subtask, ExecutionState::Canceling, cx.now.timestamp);
                let resend = cx.first_sending(Timer::Subtask(self.id(), subtask));
                let execution = &mut self.graph.subtasks[subtask].current;
                execution.unanswered = Some(resend);
                execution.canceling_since = Some(cx.now.elapsed);
                let id = execution.id;
                self.tell(subtask, ToTaskManager::CancelTask(id), cx);
            }
            _ => {}
        }
    }
}

/// As much of a message as is kept.
fn beginning(message: &str) -> &str {
    let end = message.floor_char_boundary(MAX_MESSAGE_LENGTH.min(message.len()));
    message.get(..end).unwrap_or_default()
}

/// True for failures that another failure may have caused.
fn is_consequence(failure: &TaskFailure) -> bool {
    matches!(failure.kind, FailureKind::ConnectionLost { .. } | FailureKind::PartitionUnavailable { .. })
}

pub(crate) fn runtime(message: &str) -> TaskFailure {
    TaskFailure { kind: FailureKind::Runtime, message: message.to_owned() }
}

/// A TaskManager or a worker is gone, and what ran there may be to blame.
pub(crate) fn lost(message: &str) -> Failure {
    TaskFailure { kind: FailureKind::TaskManagerLost, message: message.to_owned() }.into()
}

/// A TaskManager or what it had is gone, and the cluster is to blame.
pub(crate) fn taken(message: &str) -> Failure {
    Failure { by_cluster: true, ..lost(message) }
}
