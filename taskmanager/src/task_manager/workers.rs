use std::time::Duration;

use flink_graph::{Configuration, JobId, PartitionId, options};
use flink_protocol::PROTOCOL_VERSION;
use flink_protocol::task_manager::{JobInformation, TaskMetrics, ToJobManager};
use flink_protocol::worker::{ToWorker, WorkerMetrics};

use super::event::{Action, WorkerId};
use super::resend::Resend;
use super::state_machine::TaskManagerCore;

/// The worker of a job.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) id: WorkerId,
    pub(super) job: JobId,
    pub(super) phase: WorkerPhase,
    /// When the JobManager first asked for it.
    pub(super) wanted_since: Duration,
    /// `task.cancellation.timeout` of the job.
    pub(super) cancellation_timeout: Duration,
    /// The JobManager asked for a worker again while this one was being stopped.
    again: Option<Box<JobInformation>>,
    pub(super) metrics: Vec<TaskMetrics>,
    pub(super) network_read_bytes: u64,
    pub(super) network_written_bytes: u64,
}

/// ```text
/// Fetching ─► Starting ─► Running ─► Stopping ─► (gone)
///                 └───────────┴──► Failing ────► (gone, WorkerLost)
/// ```
#[derive(Debug)]
pub(super) enum WorkerPhase {
    /// Its program is on its way; there is no process yet.
    Fetching { information: Box<JobInformation>, sha256: String },
    /// Builds its graph.
    Starting { give_up_at: Duration },
    /// Runs tasks; `resend` until the JobManager knows.
    Running { data_address: String, resend: Option<Resend> },
    /// Was told to stop by the JobManager; killed when it does not.
    Stopping { kill_at: Option<Duration> },
    /// Is of no use any more, for this reason; killed when it does not end by itself.
    /// `refused` when it is the worker that refuses the job.
    Failing { reason: String, refused: bool, kill_at: Option<Duration> },
}

impl Worker {
    /// False when it is on its way out.
    pub(super) fn is_wanted(&self) -> bool {
        !matches!(self.phase, WorkerPhase::Stopping { .. } | WorkerPhase::Failing { .. }) || self.again.is_some()
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.phase, WorkerPhase::Running { .. })
    }

    pub(super) fn next_deadline(&self, operational: bool) -> Option<Duration> {
        match &self.phase {
            WorkerPhase::Fetching { .. } => None,
            WorkerPhase::Starting { give_up_at } => Some(*give_up_at),
            WorkerPhase::Running { resend, .. } => resend.as_ref().filter(|_| operational).map(Resend::due),
            WorkerPhase::Stopping { kill_at } | WorkerPhase::Failing { kill_at, .. } => *kill_at,
        }
    }
}

impl TaskManagerCore {
    pub(super) fn job_of(&self, id: WorkerId) -> Option<JobId> {
        self.workers.values().find(|worker| worker.id == id).map(|worker| worker.job)
    }

    /// `StartWorker`: begins, or says again that it runs, or remembers that it is wanted once the old one has gone.
    pub(super) fn start_worker(&mut self, now: Duration, information: Box<JobInformation>) {
        let again = Resend::new(now, &self.config);
        match self.workers.get_mut(&information.graph.job_id) {
            None => self.add_worker(now, information),
            Some(worker) => match &mut worker.phase {
                // One that fails is answered with WorkerLost when it has gone; the JobManager decides what then.
                WorkerPhase::Fetching { .. } | WorkerPhase::Starting { .. } | WorkerPhase::Failing { .. } => {}
                WorkerPhase::Running { resend, .. } => *resend = Some(again),
                WorkerPhase::Stopping { .. } => {
                    worker.again = Some(information);
                    worker.wanted_since = now;
                }
            },
        }
    }

    fn add_worker(&mut self, now: Duration, information: Box<JobInformation>) {
        let job = information.graph.job_id;
        let id = WorkerId(self.next_worker);
        self.next_worker += 1;
        let cancellation_timeout = cancellation_timeout(&information);
        let program = information.program.clone();
        let sha256 = program.as_ref().map(|artifact| artifact.sha256.clone()).unwrap_or_default();
        let worker = Worker {
            id,
            job,
            phase: WorkerPhase::Fetching { information, sha256 },
            wanted_since: now,
            cancellation_timeout,
            again: None,
            metrics: Vec::new(),
            network_read_bytes: 0,
            network_written_bytes: 0,
        };
        self.workers.insert(job, worker);
        match program {
            Some(artifact) => self.find_artifact(artifact),
            None => self.spawn_worker(now, job),
        }
    }

    /// The program is here: starts the process.
    pub(super) fn spawn_worker(&mut self, now: Duration, job: JobId) {
        let Some(worker) = self.workers.get_mut(&job) else { return };
        let starting = WorkerPhase::Starting { give_up_at: now + self.config.worker_start_timeout };
        match std::mem::replace(&mut worker.phase, starting) {
            WorkerPhase::Fetching { information, .. } => {
                self.actions.push(Action::SpawnWorker { worker: worker.id, information });
            }
            other => worker.phase = other,
        }
    }

    /// The jobs whose workers wait for an artifact.
    pub(super) fn jobs_that_wait_for(&self, artifact: &str) -> Vec<JobId> {
        let waiting = self.workers.values().filter(
            |worker| matches!(&worker.phase, WorkerPhase::Fetching { sha256, .. } if sha256.as_str() == artifact),
        );
        waiting.map(|worker| worker.job).collect()
    }

    pub(super) fn worker_started(&mut self, now: Duration, job: JobId, version: u32, data_address: String) {
        if version != PROTOCOL_VERSION {
            let reason = format!(
                "the program was built with version {version} of the flink crate's protocol, this cluster speaks \
                 version {PROTOCOL_VERSION}: build the program with the cluster's version"
            );
            return self.worker_refused(now, job, reason);
        }
        let resend = Resend::new(now, &self.config);
        let Some(worker) = self.workers.get_mut(&job) else { return };
        if matches!(worker.phase, WorkerPhase::Starting { .. }) {
            worker.phase = WorkerPhase::Running { data_address, resend: Some(resend) };
        }
    }

    /// The worker ends by itself; if it does not, it is killed.
    pub(super) fn worker_refused(&mut self, now: Duration, job: JobId, reason: String) {
        let kill_at = Some(now + self.config.worker_stop_timeout);
        let Some(worker) = self.workers.get_mut(&job) else { return };
        if matches!(worker.phase, WorkerPhase::Starting { .. } | WorkerPhase::Running { .. }) {
            worker.phase = WorkerPhase::Failing { reason, refused: true, kill_at };
        }
    }

    pub(super) fn worker_started_acknowledged(&mut self, job: JobId) {
        if let Some(Worker { phase: WorkerPhase::Running { resend, .. }, .. }) = self.workers.get_mut(&job) {
            *resend = None;
        }
    }

    /// Says of every worker again that it runs: the JobManager is another one, or has forgotten.
    pub(super) fn report_workers_again(&mut self, now: Duration) {
        let again = Resend::new(now, &self.config);
        for worker in self.workers.values_mut() {
            if let WorkerPhase::Running { resend, .. } = &mut worker.phase {
                *resend = Some(again);
            }
        }
    }

    pub(super) fn send_workers_started(&mut self, now: Duration) {
        let mut messages = Vec::new();
        for worker in self.workers.values_mut() {
            if let WorkerPhase::Running { data_address, resend: Some(resend) } = &mut worker.phase
                && resend.take(now)
            {
                messages.push(ToJobManager::WorkerStarted { job: worker.job, data_address: data_address.clone() });
            }
        }
        messages.into_iter().for_each(|message| self.send(message));
    }

    /// `StopWorker`: tells it to stop, or forgets it when there is no process yet.
    pub(super) fn stop_worker(&mut self, now: Duration, job: JobId) {
        let kill_at = Some(now + self.config.worker_stop_timeout);
        let Some(worker) = self.workers.get_mut(&job) else { return };
        worker.again = None;
        let id = worker.id;
        match worker.phase {
            WorkerPhase::Fetching { .. } => {
                self.workers.remove(&job);
                self.forget_unwanted_downloads();
            }
            WorkerPhase::Starting { .. } | WorkerPhase::Running { .. } => {
                worker.phase = WorkerPhase::Stopping { kill_at };
                self.actions.push(Action::SendToWorker { worker: id, message: ToWorker::Stop });
            }
            WorkerPhase::Stopping { .. } | WorkerPhase::Failing { .. } => {}
        }
    }

    /// Ends a worker at once, for a reason that its tasks fail with.
    pub(super) fn kill_worker(&mut self, job: JobId, reason: String) {
        let Some(worker) = self.workers.get_mut(&job) else { return };
        self.actions.push(Action::KillWorker { worker: worker.id, reason: reason.clone() });
        if let WorkerPhase::Stopping { kill_at } = &mut worker.phase {
            *kill_at = None;
        } else {
            // A worker that has refused and then had to be killed has refused all the same.
            let refused = matches!(worker.phase, WorkerPhase::Failing { refused: true, .. });
            worker.phase = WorkerPhase::Failing { reason, refused, kill_at: None };
        }
    }

    pub(super) fn expire_workers(&mut self, now: Duration) {
        let mut late = Vec::new();
        for worker in self.workers.values_mut() {
            match &mut worker.phase {
                WorkerPhase::Starting { give_up_at } if now >= *give_up_at => {
                    let limit = self.config.worker_start_timeout;
                    let key = options::WORKER_START_TIMEOUT.key;
                    late.push((
                        worker.job,
                        format!(
                            "the program has not come to this job on the worker within {limit:?} ({key}): its main runs \
                             there, too, up to execute, and must not wait for anything else"
                        ),
                    ));
                }
                WorkerPhase::Stopping { kill_at: Some(at) } if now >= *at => {
                    late.push((worker.job, "it did not stop when it was told to".to_owned()));
                }
                WorkerPhase::Failing { reason, kill_at: Some(at), .. } if now >= *at => {
                    late.push((worker.job, reason.clone()));
                }
                _ => {}
            }
        }
        late.into_iter().for_each(|(job, reason)| self.kill_worker(job, reason));
    }

    /// A worker's process is gone: so are its tasks.
    pub(super) fn worker_exited(&mut self, now: Duration, id: WorkerId, reason: &str) {
        let Some(job) = self.job_of(id) else { return };
        let Some(worker) = self.workers.remove(&job) else { return };
        let told_to = matches!(worker.phase, WorkerPhase::Stopping { .. });
        let unrecoverable = matches!(worker.phase, WorkerPhase::Failing { refused: true, .. });
        let reason = match worker.phase {
            WorkerPhase::Failing { reason: ours, .. } => format!("{ours}\n{reason}"),
            _ => reason.to_owned(),
        };
        self.end_tasks_of(now, id, &reason, told_to);
        match worker.again {
            Some(information) => self.add_worker(now, information),
            None if told_to => {}
            None => self.send(ToJobManager::WorkerLost { job, reason, unrecoverable }),
        }
        self.terminate_when_empty();
    }

    /// The program cannot be had: the worker is given up.
    pub(super) fn give_up_workers_that_wait_for(&mut self, sha256: &str, reason: &str) {
        for job in self.jobs_that_wait_for(sha256) {
            self.workers.remove(&job);
            self.send(ToJobManager::WorkerLost { job, reason: reason.to_owned(), unrecoverable: false });
        }
    }

    pub(super) fn request_metrics(&mut self) {
        let running = self.workers.values().filter(|worker| worker.is_running());
        let messages =
            running.map(|worker| Action::SendToWorker { worker: worker.id, message: ToWorker::RequestMetrics });
        self.actions.extend(messages);
    }

    pub(super) fn worker_metrics(&mut self, job: JobId, metrics: WorkerMetrics) {
        if let Some(worker) = self.workers.get_mut(&job) {
            worker.metrics = metrics.tasks;
            worker.metrics.retain(|task| task.attempt.job == job);
            worker.network_read_bytes = metrics.network_read_bytes;
            worker.network_written_bytes = metrics.network_written_bytes;
        }
    }

    pub(super) fn release_partitions(&mut self, partitions: &[PartitionId]) {
        for worker in self.workers.values().filter(|worker| worker.is_running()) {
            let of_job = partitions.iter().filter(|partition| partition.producer.job == worker.job);
            let partitions: Vec<PartitionId> = of_job.copied().collect();
            if !partitions.is_empty() {
                let message = ToWorker::ReleasePartitions { partitions };
                self.actions.push(Action::SendToWorker { worker: worker.id, message });
            }
        }
    }
}

fn cancellation_timeout(information: &JobInformation) -> Duration {
    let read = |configuration: &Configuration| {
        configuration
            .raw(options::TASK_CANCELLATION_TIMEOUT.key)
            .and_then(|_| configuration.get(&options::TASK_CANCELLATION_TIMEOUT).ok())
    };
    // The JobManager has checked the values; one that slipped through falls back to the default.
    read(&information.graph.configuration)
        .or_else(|| read(&information.cluster_configuration))
        .or_else(|| Configuration::default().get(&options::TASK_CANCELLATION_TIMEOUT).ok())
        .unwrap_or(Duration::from_secs(10))
}
