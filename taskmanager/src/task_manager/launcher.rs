use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use flink_graph::JobId;
use flink_protocol::worker::{FromWorker, ToWorker, WorkerStart};

use super::event::{Event, WorkerId};
use super::logs::BoundedLog;

/// Messages to a worker that has not taken them yet (a large job is deployed at one moment); a worker that leaves more
/// lie is killed.
pub const WORKER_QUEUE: usize = 1 << 16;

/// Starts workers: as processes, or within this one.
pub trait WorkerLauncher: Send {
    /// Starts a worker. It reports its end exactly once through `events`, and nothing after that. An error means that
    /// nothing was started (and nothing is reported).
    ///
    /// Called within the TaskManager's runtime; must not block for long.
    ///
    /// # Errors
    /// Why it cannot be started, for the user.
    fn launch(&mut self, launch: WorkerLaunch, events: WorkerEvents) -> Result<WorkerControl, String>;
}

/// Which worker to start.
#[derive(Debug)]
pub struct WorkerLaunch {
    /// Its name.
    pub worker: WorkerId,
    /// Its job.
    pub job: JobId,
    /// Its first message ([`ToWorker::Start`]); the launcher sends it.
    pub start: Box<WorkerStart>,
    /// The program; `None` when the worker runs in this process.
    pub program: Option<PathBuf>,
    /// Where what it prints goes.
    pub log: SharedLog,
}

/// A log that is written by a worker's threads and read for clients.
pub type SharedLog = Arc<Mutex<BoundedLog>>;

/// Locks a log; a panic elsewhere does not make it unusable.
pub fn lock(log: &SharedLog) -> std::sync::MutexGuard<'_, BoundedLog> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a launcher steers a worker that it has started. Dropping it closes the worker's control channel.
pub struct WorkerControl {
    /// Messages to it.
    pub messages: mpsc::Sender<ToWorker>,
    /// Ends it at once.
    pub kill: Box<dyn Fn() + Send>,
    /// Its process; `None` when it runs in this one.
    pub pid: Option<u32>,
}

impl std::fmt::Debug for WorkerControl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkerControl").field("pid", &self.pid).finish_non_exhaustive()
    }
}

/// Where a worker's messages and its end go.
#[derive(Debug, Clone)]
pub struct WorkerEvents {
    worker: WorkerId,
    events: mpsc::Sender<Event>,
}

impl WorkerEvents {
    pub(super) fn new(worker: WorkerId, events: mpsc::Sender<Event>) -> Self {
        Self { worker, events }
    }

    /// Hands on what the worker says; waits while the TaskManager is busy. False when the TaskManager has ended.
    pub async fn message(&self, message: FromWorker) -> bool {
        self.events.send(Event::FromWorker { worker: self.worker, message }).await.is_ok()
    }

    /// As [`Self::message`], for a worker on a thread outside of any runtime.
    #[must_use]
    pub fn blocking_message(&self, message: FromWorker) -> bool {
        self.events.blocking_send(Event::FromWorker { worker: self.worker, message }).is_ok()
    }

    /// The worker has ended, and why.
    pub async fn exited(self, reason: String) {
        let _ = self.events.send(Event::WorkerExited { worker: self.worker, reason }).await;
    }

    /// As [`Self::exited`], for a worker on a thread outside of any runtime.
    pub fn blocking_exited(self, reason: String) {
        let _ = self.events.blocking_send(Event::WorkerExited { worker: self.worker, reason });
    }
}
