use std::collections::BTreeMap;
use std::time::Duration;

use flink_graph::{ExecutionAttemptId, JobId, TaskManagerId};
use flink_protocol::task_manager::{DelegationTokens, ProcessStatistics, ToJobManager, ToTaskManager};
use flink_protocol::worker::FromWorker;
use flink_protocol::{Envelope, Epoch};

use super::config::TaskManagerConfig;
use super::downloads::Download;
use super::event::{Action, Event, WorkerId};
use super::registration::Phase;
use super::tasks::{Ended, PendingReport, PendingSplit, Task};
use super::workers::Worker;

/// The TaskManager without I/O: the same events at the same times give the same actions.
#[derive(Debug)]
pub struct TaskManagerCore {
    pub(super) config: TaskManagerConfig,
    pub(super) phase: Phase,
    pub(super) connected: bool,
    /// The highest epoch that a JobManager accepted us under; messages of older ones are not listened to.
    pub(super) epoch: Epoch,
    pub(super) last_heard: Duration,
    pub(super) workers: BTreeMap<JobId, Worker>,
    pub(super) next_worker: u64,
    pub(super) tasks: BTreeMap<ExecutionAttemptId, Task>,
    pub(super) reports: BTreeMap<ExecutionAttemptId, PendingReport>,
    pub(super) splits: BTreeMap<ExecutionAttemptId, PendingSplit>,
    pub(super) ended: Ended,
    /// Executions that the JobManager expects here and that are not here, and since when.
    pub(super) missing: BTreeMap<ExecutionAttemptId, Duration>,
    pub(super) downloads: BTreeMap<String, Download>,
    pub(super) statistics: ProcessStatistics,
    /// Version of the tokens for file systems that are in use, under the present epoch.
    pub(super) delegation_tokens: u64,
    pub(super) actions: Vec<Action>,
}

impl TaskManagerCore {
    /// A TaskManager that was started at `now` and is not connected yet.
    #[must_use]
    pub fn new(config: TaskManagerConfig, now: Duration) -> Self {
        Self {
            phase: Phase::registering(now, &config),
            connected: false,
            epoch: 0,
            last_heard: now,
            workers: BTreeMap::new(),
            next_worker: 0,
            tasks: BTreeMap::new(),
            reports: BTreeMap::new(),
            splits: BTreeMap::new(),
            ended: Ended::new(config.ended_capacity),
            missing: BTreeMap::new(),
            downloads: BTreeMap::new(),
            statistics: ProcessStatistics::default(),
            delegation_tokens: 0,
            actions: Vec::new(),
            config,
        }
    }

    /// Handles one event. `now` never goes back.
    pub fn on_event(&mut self, now: Duration, event: Event) -> Vec<Action> {
        // First what has run out: a process that was stopped for long must not obey what waited in its socket.
        self.expire(now);
        match event {
            Event::Connected => self.connected(now),
            Event::Disconnected => self.disconnected(now),
            Event::FromJobManager(envelope) => self.job_manager_says(now, envelope),
            Event::ArtifactFound { sha256, present } => self.artifact_found(now, &sha256, present),
            Event::ArtifactStored { sha256, result } => self.artifact_stored(now, &sha256, result),
            Event::FromWorker { worker, message } => self.on_worker_message(now, worker, message),
            Event::WorkerExited { worker, reason } => self.worker_exited(now, worker, &reason),
            Event::Statistics(statistics) => self.statistics = statistics,
            Event::TokensStored { epoch, version } => self.tokens_stored(epoch, version),
            Event::LogRead { request, piece } => self.send(ToJobManager::LogPiece { request, piece }),
            Event::ShutDown { reason } => self.shut_down(now, reason),
            Event::Tick => {}
        }
        self.send_what_is_due(now);
        std::mem::take(&mut self.actions)
    }

    /// When [`Event::Tick`] is needed, if nothing else happens before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let workers = self.workers.values().filter_map(|worker| worker.next_deadline(self.is_operational()));
        let tasks = self.tasks.values().filter_map(|task| task.kill_at);
        let candidates = workers.chain(tasks).chain(self.phase_deadline());
        if !self.is_operational() {
            return candidates.min();
        }
        let reports = self.reports.values().map(|report| report.resend.due());
        let splits = self.splits.values().map(|split| split.resend.due());
        let downloads = self.downloads.values().filter_map(Download::next_deadline);
        candidates.chain(reports).chain(splits).chain(downloads).min()
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self) -> &TaskManagerId {
        &self.config.id
    }

    /// True while a JobManager has accepted it.
    #[must_use]
    pub fn is_operational(&self) -> bool {
        matches!(self.phase, Phase::Operational { .. })
    }

    /// The highest epoch that it was registered under.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Version of the tokens for file systems that are in use; 0 for those of the start.
    #[must_use]
    pub fn delegation_tokens(&self) -> u64 {
        self.delegation_tokens
    }

    /// The executions that have not ended.
    pub fn running(&self) -> impl Iterator<Item = ExecutionAttemptId> {
        self.tasks.keys().copied()
    }

    /// The jobs that have a worker here, in whatever state.
    pub fn jobs(&self) -> impl Iterator<Item = JobId> {
        self.workers.keys().copied()
    }

    fn job_manager_says(&mut self, now: Duration, envelope: Envelope<ToTaskManager>) {
        if !self.connected || envelope.epoch < self.epoch || matches!(self.phase, Phase::Ended) {
            return;
        }
        match envelope.message {
            ToTaskManager::AcknowledgeRegistration { heartbeat_interval_ms, heartbeat_timeout_ms } => {
                self.config.heartbeat_interval = Duration::from_millis(heartbeat_interval_ms.max(1));
                let timeout = Duration::from_millis(heartbeat_timeout_ms);
                self.config.heartbeat_timeout = timeout.max(self.config.heartbeat_interval * 2);
                self.registered(now, envelope.epoch);
            }
            ToTaskManager::AlreadyRegistered => self.registered(now, envelope.epoch),
            ToTaskManager::RefuseRegistration { reason } => self.refused(now, envelope.epoch, &reason),
            message if envelope.epoch == self.epoch && self.is_operational() => {
                self.last_heard = now;
                self.operate(now, message);
            }
            // A new leader that has not accepted us yet speaks already: only its acknowledgement makes it ours.
            _ if envelope.epoch > self.epoch && self.is_operational() => self.register_again(now),
            _ => {}
        }
    }

    fn operate(&mut self, now: Duration, message: ToTaskManager) {
        match message {
            ToTaskManager::Heartbeat { jobs, attempts } => self.reconcile(now, &jobs, &attempts),
            ToTaskManager::StartWorker(information) => self.start_worker(now, information),
            ToTaskManager::StopWorker { job } => self.stop_worker(now, job),
            ToTaskManager::SubmitTask(descriptor) => self.submit_task(now, descriptor),
            ToTaskManager::CancelTask(attempt) => self.cancel_task(now, attempt),
            ToTaskManager::FailTask { attempt, reason } => self.fail_task(now, attempt, reason),
            ToTaskManager::NextInputSplit { attempt, request, split } => self.next_split(attempt, request, split),
            ToTaskManager::TaskStateAcknowledged { attempt, state, known } => {
                self.state_acknowledged(now, attempt, state, known);
            }
            ToTaskManager::WorkerStartedAcknowledged { job } => self.worker_started_acknowledged(job),
            ToTaskManager::ArtifactPiece { sha256, offset, bytes } => {
                self.artifact_piece(now, &sha256, offset, bytes.map(serde_bytes::ByteBuf::into_vec))
            }
            ToTaskManager::RequestLog { request, job, offset } => {
                self.actions.push(Action::ReadLog { request, job, offset });
            }
            ToTaskManager::ReleasePartitions { partitions } => self.release_partitions(&partitions),
            ToTaskManager::UpdateDelegationTokens(tokens) => self.store_tokens(tokens),
            // Answered before; they are no messages of the operational phase.
            ToTaskManager::AcknowledgeRegistration { .. }
            | ToTaskManager::AlreadyRegistered
            | ToTaskManager::RefuseRegistration { .. } => {}
        }
    }

    /// Older ones were on their way when these were sent.
    fn store_tokens(&mut self, tokens: DelegationTokens) {
        if tokens.version > self.delegation_tokens {
            self.actions.push(Action::StoreTokens { epoch: self.epoch, tokens });
        }
    }

    fn tokens_stored(&mut self, epoch: Epoch, version: u64) {
        if epoch == self.epoch {
            self.delegation_tokens = self.delegation_tokens.max(version);
        }
    }

    fn on_worker_message(&mut self, now: Duration, id: WorkerId, message: FromWorker) {
        let Some(job) = self.job_of(id) else { return };
        match message {
            FromWorker::Started { protocol_version, data_address } => {
                self.worker_started(now, job, protocol_version, data_address);
            }
            FromWorker::Refused { reason } => self.worker_refused(now, job, reason),
            FromWorker::UpdateTaskExecutionState(update) => self.task_changed(now, id, update),
            FromWorker::RequestNextInputSplit { attempt, request } => self.split_wanted(now, id, attempt, request),
            FromWorker::Metrics(metrics) => self.worker_metrics(job, metrics),
        }
    }

    /// Everything whose time has come and that is not a message to the JobManager.
    fn expire(&mut self, now: Duration) {
        self.expire_phase(now);
        self.expire_tasks(now);
        self.expire_workers(now);
    }

    /// The messages to the JobManager whose time has come.
    fn send_what_is_due(&mut self, now: Duration) {
        self.send_registration(now);
        if !self.is_operational() {
            return;
        }
        self.send_heartbeat(now);
        self.send_workers_started(now);
        self.send_reports(now);
        self.send_split_requests(now);
        self.send_artifact_requests(now);
    }

    /// Sends under the epoch that we believe in; nothing happens without a connection.
    pub(super) fn send(&mut self, message: ToJobManager) {
        if self.connected {
            self.actions.push(Action::SendToJobManager(Envelope { epoch: self.epoch, message }));
        }
    }
}
