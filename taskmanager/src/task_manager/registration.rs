use std::time::Duration;

use flink_graph::{ExecutionAttemptId, JobId};
use flink_protocol::task_manager::{RunningTask, TaskManagerRegistration, TaskManagerReport, ToJobManager};
use flink_protocol::{Epoch, PROTOCOL_VERSION};

use super::config::TaskManagerConfig;
use super::event::Action;
use super::resend::Resend;
use super::state_machine::TaskManagerCore;

/// So long after its start a task is young.
const YOUNG_TASK_AGE: Duration = Duration::from_secs(10);

/// Heartbeats about young tasks come no faster than this.
const MIN_PAUSE: Duration = Duration::from_millis(100);

/// ```text
///              AcknowledgeRegistration
/// Registering ─────────────────────────► Operational
///    │  ▲                                   │   │
///    │  └── disconnect, silence, new leader ┘   │ told to end
///    │ time-out, refusal                        ▼
///    └────────────► Ended ◄───────────────── Ending
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// Asks to be accepted.
    Registering { give_up_at: Duration, resend: Resend },
    /// Is accepted.
    Operational { heartbeat_at: Duration, measure_at: Duration },
    /// Waits for its workers to end.
    Ending { reason: String },
    /// Has said `Terminate`.
    Ended,
}

impl Phase {
    pub(super) fn registering(now: Duration, config: &TaskManagerConfig) -> Self {
        let first = config.registration_backoff;
        Self::Registering {
            give_up_at: now + config.registration_timeout,
            resend: Resend::with_pauses(now, first, first * 32),
        }
    }
}

impl TaskManagerCore {
    pub(super) fn phase_deadline(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Registering { give_up_at, resend } if self.connected => Some((*give_up_at).min(resend.due())),
            Phase::Registering { give_up_at, .. } => Some(*give_up_at),
            Phase::Operational { heartbeat_at, measure_at } => {
                Some((*heartbeat_at).min(*measure_at).min(self.last_heard + self.config.heartbeat_timeout))
            }
            Phase::Ending { .. } | Phase::Ended => None,
        }
    }

    pub(super) fn connected(&mut self, now: Duration) {
        self.connected = true;
        if let Phase::Registering { resend, .. } = &mut self.phase {
            // A new connection is a new chance: the pauses begin anew, the time-out does not.
            let first = self.config.registration_backoff;
            *resend = Resend::with_pauses(now, first, first * 32);
        } else {
            self.register_again(now);
        }
    }

    pub(super) fn disconnected(&mut self, now: Duration) {
        self.connected = false;
        self.register_again(now);
    }

    /// Back to the registration phase; tasks go on.
    pub(super) fn register_again(&mut self, now: Duration) {
        if self.is_operational() {
            self.phase = Phase::registering(now, &self.config);
            self.missing.clear();
        }
    }

    pub(super) fn registered(&mut self, now: Duration, epoch: Epoch) {
        let is_new = epoch > self.epoch || matches!(self.phase, Phase::Registering { .. });
        if matches!(self.phase, Phase::Ending { .. }) {
            return;
        }
        if self.epoch != 0 && epoch > self.epoch {
            self.end_work_of_last_leader(now);
            self.delegation_tokens = 0;
        }
        self.epoch = epoch;
        self.last_heard = now;
        if is_new {
            tracing::info!(task_manager = %self.config.id, epoch, "registered with the JobManager");
            self.phase = Phase::Operational { heartbeat_at: now, measure_at: now };
            self.report_everything_again(now);
        }
    }

    /// A new leader knows none of the executions of the last one, and runs its jobs from their beginning: in workers of
    /// its own epoch, as others do not speak to those of an older one.
    fn end_work_of_last_leader(&mut self, now: Duration) {
        let jobs: Vec<JobId> = self.workers.keys().copied().collect();
        jobs.into_iter().for_each(|job| self.stop_worker(now, job));
    }

    /// A candidate is turned away; one that was accepted is told that the cluster ends.
    pub(super) fn refused(&mut self, now: Duration, epoch: Epoch, reason: &str) {
        match self.phase {
            Phase::Registering { .. } => {
                self.terminate(format!("the JobManager refuses this TaskManager: {reason}"), true);
            }
            Phase::Operational { .. } if epoch == self.epoch => self.shut_down(now, reason.to_owned()),
            _ => {}
        }
    }

    pub(super) fn shut_down(&mut self, now: Duration, reason: String) {
        if matches!(self.phase, Phase::Ending { .. } | Phase::Ended) {
            return;
        }
        self.send(ToJobManager::DisconnectTaskManager { reason: reason.clone() });
        self.phase = Phase::Ending { reason };
        let jobs: Vec<JobId> = self.workers.keys().copied().collect();
        for job in jobs {
            self.stop_worker(now, job);
        }
        self.terminate_when_empty();
    }

    /// The end of an orderly shutdown: the last worker is gone.
    pub(super) fn terminate_when_empty(&mut self) {
        if let (Phase::Ending { reason }, true) = (&self.phase, self.workers.is_empty()) {
            let reason = reason.clone();
            self.terminate(reason, false);
        }
    }

    fn terminate(&mut self, reason: String, failed: bool) {
        self.phase = Phase::Ended;
        self.actions.push(Action::Terminate { reason, failed });
    }

    pub(super) fn expire_phase(&mut self, now: Duration) {
        match &self.phase {
            Phase::Operational { .. } if now >= self.last_heard + self.config.heartbeat_timeout => {
                self.connected = false;
                self.actions.push(Action::CloseConnection);
                self.register_again(now);
            }
            Phase::Registering { give_up_at, .. } if now >= *give_up_at => {
                let seconds = self.config.registration_timeout.as_secs_f64();
                self.terminate(
                    format!(
                        "no JobManager has accepted this TaskManager within {seconds} s \
                         (taskmanager.registration.timeout): check jobmanager.rpc.address and jobmanager.rpc.port"
                    ),
                    true,
                );
            }
            _ => {}
        }
    }

    pub(super) fn send_registration(&mut self, now: Duration) {
        let Phase::Registering { resend, .. } = &mut self.phase else { return };
        if self.connected && resend.take(now) {
            let registration = TaskManagerRegistration {
                id: self.config.id.clone(),
                protocol_version: PROTOCOL_VERSION,
                host: self.config.host.clone(),
                slots: self.config.slots,
                hardware: self.config.hardware.clone(),
                last_epoch: self.epoch,
                running: self.running_tasks(),
            };
            self.send(ToJobManager::RegisterTaskManager(registration));
        }
    }

    pub(super) fn send_heartbeat(&mut self, now: Duration) {
        let interval = self.pause_between_heartbeats(now);
        let Phase::Operational { heartbeat_at, measure_at } = &mut self.phase else { return };
        if *heartbeat_at > now + interval {
            *heartbeat_at = now + interval;
            *measure_at = heartbeat_at.saturating_sub(interval / 4);
        }
        let beat = now >= *heartbeat_at;
        let measure = now >= *measure_at;
        if beat {
            *heartbeat_at = now + interval;
        }
        if measure {
            // A little before the next heartbeat, so that it carries fresh figures.
            let before = heartbeat_at.saturating_sub(interval / 4);
            *measure_at = if before > now { before } else { before + interval };
        }
        if measure {
            self.actions.push(Action::CollectStatistics);
            self.request_metrics();
        }
        if beat {
            let report = self.heartbeat_report();
            self.send(ToJobManager::Heartbeat(report));
        }
    }

    /// Shorter while a task is young: whoever watches a short job, or the beginning of a long one, sees fresh figures.
    fn pause_between_heartbeats(&self, now: Duration) -> Duration {
        let interval = self.config.heartbeat_interval;
        let young = self.tasks.values().any(|task| now < task.submitted + YOUNG_TASK_AGE);
        if young { (interval / 8).max(MIN_PAUSE.min(interval)) } else { interval }
    }

    fn heartbeat_report(&self) -> TaskManagerReport {
        let mut statistics = self.statistics.clone();
        statistics.network_read_bytes = self.workers.values().map(|worker| worker.network_read_bytes).sum();
        statistics.network_written_bytes = self.workers.values().map(|worker| worker.network_written_bytes).sum();
        let running = |metrics: &&flink_protocol::task_manager::TaskMetrics| self.tasks.contains_key(&metrics.attempt);
        TaskManagerReport {
            statistics,
            tasks: self.running_tasks(),
            metrics: self.workers.values().flat_map(|worker| &worker.metrics).filter(running).cloned().collect(),
            // Those that are being stopped included: the JobManager takes one that is not named for gone.
            workers: self.workers.keys().copied().collect(),
            delegation_tokens: self.delegation_tokens,
        }
    }

    fn running_tasks(&self) -> Vec<RunningTask> {
        let running = self.tasks.iter().filter(|(_, task)| !task.unwanted);
        running.map(|(attempt, task)| RunningTask { attempt: *attempt, slot: task.slot, state: task.state }).collect()
    }

    /// Ends what the JobManager does not know, and reports what it expects here in vain. A heartbeat may have been sent
    /// before a `SubmitTask` that came first, so what is young is left alone.
    pub(super) fn reconcile(&mut self, now: Duration, jobs: &[JobId], attempts: &[ExecutionAttemptId]) {
        let grace = self.config.heartbeat_interval * 2;
        let is_old = |since: Duration| now >= since + grace;
        let jobs: std::collections::BTreeSet<_> = jobs.iter().copied().collect();
        let attempts: std::collections::BTreeSet<_> = attempts.iter().copied().collect();

        let workers = self.workers.values().filter(|worker| worker.is_wanted() && is_old(worker.wanted_since));
        let surplus: Vec<JobId> = workers.map(|worker| worker.job).filter(|job| !jobs.contains(job)).collect();
        let tasks = self.tasks.iter().filter(|(attempt, task)| !attempts.contains(attempt) && is_old(task.submitted));
        let unknown: Vec<ExecutionAttemptId> = tasks.map(|(attempt, _)| *attempt).collect();
        for attempt in unknown {
            self.fail_task(now, attempt, "the JobManager does not know this execution".to_owned());
        }
        for job in surplus {
            self.stop_worker(now, job);
        }
        self.report_missing(now, &attempts);
    }

    fn report_missing(&mut self, now: Duration, attempts: &std::collections::BTreeSet<ExecutionAttemptId>) {
        // The JobManager sends SubmitTask again until it is answered; only a task that stays away is a lost one.
        let patience = self.config.heartbeat_timeout / 2;
        let absent =
            |attempt: &&ExecutionAttemptId| !self.tasks.contains_key(attempt) && !self.reports.contains_key(attempt);
        let absent: Vec<ExecutionAttemptId> = attempts.iter().filter(absent).copied().collect();
        self.missing.retain(|attempt, _| absent.contains(attempt));
        for attempt in absent {
            let since = *self.missing.entry(attempt).or_insert(now);
            if self.ended.state(&attempt).is_some() || now >= since + patience {
                self.missing.remove(&attempt);
                self.report_absent(now, attempt);
            }
        }
    }
}
