use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fastrand::Rng;
use flink_graph::{JobId, TaskManagerId};
use flink_protocol::task_manager::{JobInformation, ToTaskManager};
use flink_protocol::{Envelope, Epoch};

use super::config::JobManagerConfig;
use super::event::{Action, Now};
use super::task_managers::{TaskManagers, Worker};
use super::timing::{Resend, Timer, TimerQueue};

/// What the parts of the JobManager share while an event is handled.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) now: Now,
    pub(crate) epoch: Epoch,
    pub(crate) config: JobManagerConfig,
    pub(crate) task_managers: TaskManagers,
    pub(crate) agenda: TimerQueue,
    pub(crate) random: Rng,
    pub(crate) queue: SlotQueue,
    /// Jobs that must look at what is due next before the event is done with.
    pub(crate) touched: BTreeSet<JobId>,
    /// Jobs that have done what was due: once slots are given out, they let go of workers that they do not need.
    pub(crate) rested: BTreeSet<JobId>,
    pub(crate) actions: Vec<Action>,
    /// What keeps TaskManagers from coming, where somebody knows it.
    pub(crate) resource_note: Option<String>,
}

/// Regions that wait for slots, in the order of their jobs' submission: an older job is not held up by a younger one.
#[derive(Debug, Default)]
pub(crate) struct SlotQueue {
    pub(crate) requests: BTreeMap<RequestKey, SlotRequest>,
    next: u64,
    /// True when a request or a free slot may have come since the queue was last gone through.
    pub(crate) changed: bool,
}

/// Place in the queue: the job's number, then the request's.
pub(crate) type RequestKey = (u64, u64);

/// Regions of one job that get all their slots at once, or none.
#[derive(Debug)]
pub(crate) struct SlotRequest {
    pub(crate) job: JobId,
    pub(crate) regions: Vec<usize>,
    /// Since when the whole cluster has been too small for it.
    pub(crate) unsatisfiable_since: Option<Duration>,
}

impl SlotQueue {
    pub(crate) fn push(&mut self, sequence: u64, job: JobId, regions: Vec<usize>) {
        self.requests.insert((sequence, self.next), SlotRequest { job, regions, unsatisfiable_since: None });
        self.next += 1;
        self.changed = true;
    }

    /// Takes a region out again.
    pub(crate) fn withdraw(&mut self, sequence: u64, region: usize) {
        for (_, request) in self.requests.range_mut((sequence, 0)..=(sequence, u64::MAX)) {
            request.regions.retain(|other| *other != region);
        }
        self.requests.retain(|_, request| !request.regions.is_empty());
        self.changed = true;
    }

    /// The first request of a job, and how many others come before it.
    pub(crate) fn first_of(&self, sequence: u64) -> Option<(&SlotRequest, usize)> {
        let (_, request) = self.requests.range((sequence, 0)..=(sequence, u64::MAX)).next()?;
        Some((request, self.requests.range(..(sequence, 0)).count()))
    }
}

impl Context {
    pub(crate) fn new(config: JobManagerConfig, epoch: Epoch, seed: u64) -> Self {
        Self {
            now: Now { elapsed: Duration::ZERO, timestamp: 0 },
            epoch,
            config,
            task_managers: TaskManagers::default(),
            agenda: TimerQueue::default(),
            random: Rng::with_seed(seed),
            queue: SlotQueue::default(),
            touched: BTreeSet::new(),
            rested: BTreeSet::new(),
            actions: Vec::new(),
            resource_note: None,
        }
    }

    /// Sends a message to a TaskManager, if it can be reached.
    pub(crate) fn send(&mut self, to: &TaskManagerId, message: ToTaskManager) {
        let Some(connection) = self.task_managers.get(to).and_then(|task_manager| task_manager.connection) else {
            return;
        };
        let envelope = Envelope { epoch: self.epoch, message };
        self.actions.push(Action::SendToTaskManager { connection, envelope });
    }

    /// A message is being sent for the first time; `timer` looks after it.
    pub(crate) fn first_sending(&mut self, timer: Timer) -> Resend {
        let resend = Resend::started(self.now.elapsed, self.config.resend_pause);
        self.agenda.set(resend.due(), timer);
        resend
    }

    /// Notes that a message is being sent again, when it is due; false when it is not.
    pub(crate) fn due_again(&mut self, resend: &mut Resend, timer: Timer) -> bool {
        let due = resend.due() <= self.now.elapsed;
        if due {
            resend.sent_again(self.now.elapsed, self.config.longest_resend_pause);
            self.agenda.set(resend.due(), timer);
        }
        due
    }

    /// Sees to it that a TaskManager starts the worker of a job. True when it runs already.
    pub(crate) fn require_worker(&mut self, id: &TaskManagerId, information: &JobInformation) -> bool {
        let job = information.graph.job_id;
        match self.task_managers.get(id).map(|task_manager| task_manager.workers.get(&job)) {
            Some(Some(Worker::Started { .. })) => true,
            Some(None) => {
                let resend = self.first_sending(Timer::Worker(id.clone(), job));
                if let Some(task_manager) = self.task_managers.get_mut(id) {
                    task_manager.workers.insert(job, Worker::Starting(resend));
                }
                self.send(id, ToTaskManager::StartWorker(Box::new(information.clone())));
                false
            }
            // One that is being stopped must be gone before its successor is asked for.
            Some(Some(Worker::Starting(_) | Worker::Stopping(_))) | None => false,
        }
    }

    /// Sees to it that a TaskManager ends the worker of a job.
    pub(crate) fn stop_worker(&mut self, id: &TaskManagerId, job: JobId) {
        let worker = self.task_managers.get(id).and_then(|task_manager| task_manager.workers.get(&job));
        if !matches!(worker, Some(Worker::Starting(_) | Worker::Started { .. })) {
            return;
        }
        let resend = self.first_sending(Timer::Worker(id.clone(), job));
        if let Some(task_manager) = self.task_managers.get_mut(id) {
            task_manager.workers.insert(job, Worker::Stopping(resend));
        }
        self.send(id, ToTaskManager::StopWorker { job });
    }

    /// The host of a TaskManager; empty when it is gone.
    pub(crate) fn host(&self, id: &TaskManagerId) -> String {
        self.task_managers.get(id).map(|task_manager| task_manager.host.clone()).unwrap_or_default()
    }
}
