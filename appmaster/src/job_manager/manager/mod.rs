/// What TaskManagers say.
mod task_managers;

/// What workers and heartbeats show, and what is sent again.
mod workers;

/// What clients ask.
mod clients;

/// What REST, `list` and the dashboard show.
mod overview;

/// What whoever runs the TaskManagers' containers must know, and says.
mod resources;

/// Tokens for file systems, for the TaskManagers.
mod tokens;

use std::collections::BTreeMap;
use std::time::Duration;

use flink_graph::{JobGraph, JobId};
use flink_protocol::Epoch;
use flink_protocol::client::JobResult;
use flink_protocol::overview::JobDetails;
use flink_protocol::task_manager::DelegationTokens;
use serde::{Deserialize, Serialize};

use super::config::JobManagerConfig;
use super::context::{Context, RequestKey};
use super::event::{Action, ConnectionId, Event, Now};
use super::finished_jobs::FinishedJobs;
use super::job::{JobMaster, lost, taken};
use super::lost_task_managers::GoneTaskManagers;
use super::timing::Timer;
use clients::Waiter;

/// Everything that is remembered of a job that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndedJob {
    /// What is shown of it.
    pub details: JobDetails,
    /// Its graph, without input splits and earlier results.
    pub graph: JobGraph,
    /// How it ended.
    pub result: JobResult,
}

/// The JobManager. See [the module](super).
#[derive(Debug)]
pub struct JobManager {
    cx: Context,
    jobs: BTreeMap<JobId, JobMaster>,
    finished: FinishedJobs,
    waiters: BTreeMap<u64, Waiter>,
    next_waiter: u64,
    submitted: u64,
    peers: BTreeMap<ConnectionId, String>,
    gone: GoneTaskManagers,
    /// The newest tokens for file systems, where somebody obtains them.
    delegation_tokens: Option<DelegationTokens>,
}

impl JobManager {
    /// A JobManager that leads under `epoch`. The seed decides the jitter of restart delays.
    #[must_use]
    pub fn new(config: JobManagerConfig, epoch: Epoch, seed: u64) -> Self {
        let finished = FinishedJobs::new(config.job_store_capacity);
        let mut cx = Context::new(config, epoch, seed);
        cx.agenda.set(cx.config.heartbeat_interval, Timer::Heartbeats);
        Self {
            cx,
            jobs: BTreeMap::new(),
            finished,
            waiters: BTreeMap::new(),
            next_waiter: 0,
            submitted: 0,
            peers: BTreeMap::new(),
            gone: GoneTaskManagers::default(),
            delegation_tokens: None,
        }
    }

    /// The epoch under which this JobManager leads.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.cx.epoch
    }

    /// Time at which [`Event::Tick`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        self.cx.agenda.next()
    }

    /// Handles one event. Timers that are due by now are handled too, whatever the event is.
    pub fn on_event(&mut self, now: Now, event: Event) -> Vec<Action> {
        self.cx.now = now;
        match event {
            Event::Connected { connection, address } => drop(self.peers.insert(connection, address)),
            Event::Disconnected { connection } => self.on_disconnected(connection),
            Event::FromTaskManager { connection, envelope } => self.on_task_manager_message(connection, envelope),
            Event::FromClient { connection, number, call } => self.on_client_call(connection, number, call),
            Event::TaskManagerLost { task_manager, reason, by_cluster } => {
                let failure = if by_cluster { taken(&reason) } else { lost(&reason) };
                self.end_task_manager(&task_manager, &failure, false);
            }
            Event::ReleaseTaskManager { task_manager } => self.release_task_manager(&task_manager),
            Event::ResourceNote(note) => self.cx.resource_note = note,
            Event::NoMoreTaskManagers(reason) => self.fail_jobs(&reason),
            Event::DelegationTokens(file) => self.on_delegation_tokens(file.0),
            Event::Tick => {}
        }
        self.fire_timers();
        self.settle();
        std::mem::take(&mut self.cx.actions)
    }

    fn on_disconnected(&mut self, connection: ConnectionId) {
        self.peers.remove(&connection);
        self.waiters.retain(|_, waiter| waiter.connection != connection);
        // The tasks go on: the TaskManager has until the heartbeat time-out to come back.
        self.cx.task_managers.disconnect(connection);
        self.cx.queue.changed = true;
    }

    fn fire_timers(&mut self) {
        while let Some(timer) = self.cx.agenda.take_due(self.cx.now.elapsed) {
            match timer {
                Timer::Heartbeats => self.send_heartbeats(),
                Timer::Silence(id) => self.on_silence(&id),
                Timer::Worker(id, job) => self.on_worker_timer(&id, job),
                Timer::Subtask(job, subtask) => {
                    self.with_job(job, |job, cx| job.on_subtask_timer(subtask, cx));
                }
                Timer::Split(job, subtask) => drop(self.with_job(job, |job, cx| job.on_split_timer(subtask, cx))),
                Timer::Restart(job) => drop(self.cx.touched.insert(job)),
                Timer::SlotRequest(job) => self.on_slot_request_timer(job),
                Timer::Waiter(number) => self.on_waiter_timer(number),
            }
        }
    }

    fn with_job<T>(&mut self, job: JobId, call: impl FnOnce(&mut JobMaster, &mut Context) -> T) -> Option<T> {
        self.jobs.get_mut(&job).map(|job| call(job, &mut self.cx))
    }

    /// Lets every job that was touched do what is due next, and gives out slots, until nothing more happens.
    fn settle(&mut self) {
        loop {
            while let Some(job) = self.cx.touched.pop_first() {
                self.with_job(job, JobMaster::advance);
                self.archive_if_over(job);
            }
            if !std::mem::take(&mut self.cx.queue.changed) {
                break;
            }
            self.give_out_slots();
        }
        while let Some(job) = self.cx.rested.pop_first() {
            self.with_job(job, |job, cx| job.stop_idle_workers(cx));
        }
    }

    /// Goes through the queue from its head. A request that the whole cluster is too small for does not hold up those
    /// behind it; one that only waits for others to end does, or it might wait for ever.
    fn give_out_slots(&mut self) {
        let keys: Vec<RequestKey> = self.cx.queue.requests.keys().copied().collect();
        for key in keys {
            let Some(request) = self.cx.queue.requests.get(&key) else { continue };
            let Some(job) = self.jobs.get(&request.job) else { continue };
            let demand = job.demand(&request.regions);
            if demand.total > self.cx.task_managers.total_slots() {
                self.note_unsatisfiable(key);
                continue;
            }
            if demand.missing > self.cx.task_managers.available_slots() {
                self.note_satisfiable();
                return;
            }
            self.grant(key);
        }
    }

    fn grant(&mut self, key: RequestKey) {
        let Some(request) = self.cx.queue.requests.remove(&key) else { return };
        let id = request.job;
        if self.with_job(id, |job, cx| job.allocate(&request.regions, cx)) == Some(true) {
            self.cx.touched.insert(id);
        } else {
            self.cx.queue.requests.insert(key, request);
        }
    }

    fn note_unsatisfiable(&mut self, key: RequestKey) {
        let (now, Some(request)) = (self.cx.now.elapsed, self.cx.queue.requests.get_mut(&key)) else { return };
        if request.unsatisfiable_since.is_none() {
            request.unsatisfiable_since = Some(now);
            let timeout = self.jobs.get(&request.job).and_then(|job| job.settings.slot_request_timeout);
            if let Some(timeout) = timeout {
                self.cx.agenda.set(now + timeout, Timer::SlotRequest(request.job));
            }
        }
    }

    /// The cluster may have grown: whoever fits into it now has not waited in vain.
    fn note_satisfiable(&mut self) {
        let total = self.cx.task_managers.total_slots();
        for request in self.cx.queue.requests.values_mut() {
            let demand = self.jobs.get(&request.job).map(|job| job.demand(&request.regions));
            if demand.is_some_and(|demand| demand.total <= total) {
                request.unsatisfiable_since = None;
            }
        }
    }

    fn on_slot_request_timer(&mut self, id: JobId) {
        let (now, total) = (self.cx.now.elapsed, self.cx.task_managers.total_slots());
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Some(timeout) = job.settings.slot_request_timeout else { return };
        let Some((request, _)) = self.cx.queue.first_of(job.sequence) else { return };
        let wanted = job.demand(&request.regions).total;
        let waited = request.unsatisfiable_since.is_some_and(|since| now.saturating_sub(since) >= timeout);
        if waited && wanted > total {
            let advice = match &self.cx.resource_note {
                Some(note) => note.clone(),
                None => "start more TaskManagers, give them more slots (taskmanager.numberOfTaskSlots), or lower the \
                         parallelism"
                    .to_owned(),
            };
            let message = format!(
                "the job needs {wanted} slots at once, but the cluster had no more than {total} for {timeout:?} \
                 (slot.request.timeout): {advice}"
            );
            job.fail(message, &mut self.cx);
        }
    }

    fn archive_if_over(&mut self, id: JobId) {
        let Some(result) = self.jobs.get(&id).and_then(JobMaster::result) else { return };
        self.answer_waiters(id, &result);
        if let Some(job) = self.jobs.remove(&id) {
            let details = job.details(&self.cx);
            self.finished.add(details, job.information.graph, result);
        }
    }

    /// Remembers a job that ended under an earlier JobManager.
    pub fn restore_finished(&mut self, job: EndedJob) {
        self.finished.add(job.details, job.graph, job.result);
    }

    /// A job that has ended, for its keeping; `None` when it has not, or is not remembered with its result.
    #[must_use]
    pub fn ended_job(&self, id: JobId) -> Option<EndedJob> {
        let job = self.finished.get(id)?;
        Some(EndedJob { details: job.details.clone(), graph: job.graph.clone(), result: job.result.clone()? })
    }
}
