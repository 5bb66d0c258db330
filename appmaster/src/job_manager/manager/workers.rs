use flink_graph::{ExecutionAttemptId, JobId, TaskManagerId};
use flink_protocol::task_manager::{FailureKind, TaskFailure, TaskManagerReport, ToTaskManager};

use super::JobManager;
use crate::job_manager::job::{Failure, lost, taken};
use crate::job_manager::task_managers::Worker;
use crate::job_manager::timing::{Resend, Timer};

impl JobManager {
    pub(super) fn send_heartbeats(&mut self) {
        let ids: Vec<TaskManagerId> = self.cx.task_managers.iter().map(|(id, _)| id.clone()).collect();
        ids.iter().for_each(|id| self.send_heartbeat(id));
        self.cx.agenda.set(self.cx.now.elapsed + self.cx.config.heartbeat_interval, Timer::Heartbeats);
    }

    pub(super) fn send_heartbeat(&mut self, id: &TaskManagerId) {
        let Some(task_manager) = self.cx.task_managers.get(id) else { return };
        let expected = task_manager.workers.iter().filter(|(_, worker)| !matches!(worker, Worker::Stopping(_)));
        let jobs = expected.map(|(job, _)| *job).collect();
        // One whose worker still starts is not missed by anybody, however long that takes.
        let deployed =
            |attempt: &ExecutionAttemptId| self.jobs.get(&attempt.job).is_some_and(|job| job.is_deployed(*attempt));
        let attempts = task_manager.attempts.iter().copied().filter(deployed).collect();
        self.cx.send(id, ToTaskManager::Heartbeat { jobs, attempts });
    }

    /// Compares what a TaskManager has with what it should have. What it has too much it learns from our heartbeat.
    pub(super) fn on_report(&mut self, id: &TaskManagerId, report: TaskManagerReport) {
        let Some(task_manager) = self.cx.task_managers.get_mut(id) else { return };
        task_manager.statistics = report.statistics;
        let expected = task_manager.attempts.clone();
        for task in &report.tasks {
            self.with_job(task.attempt.job, |job, cx| job.on_seen(task.attempt, cx));
        }
        for metrics in report.metrics {
            self.with_job(metrics.attempt.job, |job, _| job.on_metrics(metrics));
        }
        let listed = |attempt| report.tasks.iter().any(|task| task.attempt == attempt);
        for attempt in expected.into_iter().filter(|attempt| !listed(*attempt)) {
            self.with_job(attempt.job, |job, cx| job.on_unlisted(attempt, cx));
        }
        self.compare_workers(id, &report.workers);
        self.send_newer_tokens(id, report.delegation_tokens);
    }

    fn compare_workers(&mut self, id: &TaskManagerId, reported: &[JobId]) {
        let (now, timeout) = (self.cx.now.elapsed, self.cx.config.heartbeat_timeout);
        let Some(task_manager) = self.cx.task_managers.get_mut(id) else { return };
        let (mut stopped, mut missed) = (Vec::new(), Vec::new());
        for (job, worker) in &mut task_manager.workers {
            match worker {
                Worker::Started { last_seen, .. } if reported.contains(job) => *last_seen = now,
                Worker::Started { last_seen, .. } if now.saturating_sub(*last_seen) >= timeout => missed.push(*job),
                Worker::Stopping(_) if !reported.contains(job) => stopped.push(*job),
                _ => {}
            }
        }
        stopped.into_iter().for_each(|job| self.worker_stopped(id, job));
        let failure = lost("its TaskManager does not report its worker any more");
        missed.into_iter().for_each(|job| self.worker_gone(id, job, &failure));
    }

    /// The worker of a job is gone, as it was told to.
    fn worker_stopped(&mut self, id: &TaskManagerId, job: JobId) {
        if let Some(task_manager) = self.cx.task_managers.get_mut(id) {
            task_manager.workers.remove(&job);
        }
        self.with_job(job, |job, cx| job.on_worker_stopped(id, cx));
    }

    /// The worker of a job is gone unasked; what was on it has failed.
    fn worker_gone(&mut self, id: &TaskManagerId, job: JobId, failure: &Failure) {
        if let Some(task_manager) = self.cx.task_managers.get_mut(id) {
            task_manager.workers.remove(&job);
        }
        self.with_job(job, |job, cx| job.on_worker_lost(id, failure, cx));
    }

    pub(super) fn on_worker_started(&mut self, id: &TaskManagerId, job: JobId, data_address: String) {
        self.cx.send(id, ToTaskManager::WorkerStartedAcknowledged { job });
        let now = self.cx.now.elapsed;
        let Some(task_manager) = self.cx.task_managers.get_mut(id) else { return };
        match task_manager.workers.get_mut(&job) {
            Some(worker @ Worker::Starting(_)) => {
                *worker = Worker::Started { data_address, last_seen: now };
                self.cx.touched.insert(job);
            }
            Some(Worker::Started { data_address: known, last_seen }) if *known == data_address => *last_seen = now,
            // Another worker than the one that the tasks were sent to: end it, then start from a known state.
            Some(Worker::Started { .. }) => {
                self.with_job(job, |job, cx| job.on_worker_lost(id, &lost("its worker was replaced"), cx));
                self.cx.stop_worker(id, job);
            }
            Some(Worker::Stopping(_)) => {}
            None => self.cx.send(id, ToTaskManager::StopWorker { job }),
        }
    }

    pub(super) fn on_worker_lost(&mut self, id: &TaskManagerId, job: JobId, reason: &str, unrecoverable: bool) {
        let kind = if unrecoverable { FailureKind::Unrecoverable } else { FailureKind::TaskManagerLost };
        match self.cx.task_managers.get(id).and_then(|task_manager| task_manager.workers.get(&job)) {
            None => {}
            Some(Worker::Stopping(_)) => self.worker_stopped(id, job),
            Some(_) => {
                let message = format!("its worker was lost: {reason}");
                let is_overdue = self.jobs.get(&job).is_some_and(|job| job.is_cancellation_overdue(id, &self.cx));
                let failure = match is_overdue && !unrecoverable {
                    true => taken(&message),
                    false => TaskFailure { kind, message }.into(),
                };
                self.worker_gone(id, job, &failure);
            }
        }
    }

    /// The message about a worker may have to be sent again.
    pub(super) fn on_worker_timer(&mut self, id: &TaskManagerId, job: JobId) {
        let Some(mut worker) = self.cx.task_managers.get_mut(id).and_then(|tm| tm.workers.remove(&job)) else { return };
        let timer = Timer::Worker(id.clone(), job);
        let due = match &mut worker {
            Worker::Starting(resend) | Worker::Stopping(resend) => self.cx.due_again(resend, timer),
            Worker::Started { .. } => false,
        };
        let (starting, stopping) = match &worker {
            Worker::Starting(resend) => (due.then_some(*resend), None),
            Worker::Stopping(resend) => (None, due.then_some(*resend)),
            Worker::Started { .. } => (None, None),
        };
        if let Some(task_manager) = self.cx.task_managers.get_mut(id) {
            task_manager.workers.insert(job, worker);
        }
        starting.iter().for_each(|resend| self.insist_on_start(id, job, resend));
        stopping.iter().for_each(|resend| self.insist_on_stop(id, job, resend));
    }

    fn insist_on_start(&mut self, id: &TaskManagerId, job: JobId, resend: &Resend) {
        let Some(master) = self.jobs.get_mut(&job) else { return self.cx.stop_worker(id, job) };
        // The TaskManager gives up a worker that does not start, and says why; this is for one that says nothing.
        let timeout =
            master.settings.slot_request_timeout.unwrap_or_default().max(self.cx.config.worker_start_timeout * 2);
        if resend.unanswered_for(self.cx.now.elapsed) <= timeout {
            let message = ToTaskManager::StartWorker(Box::new(master.information.clone()));
            return self.cx.send(id, message);
        }
        let failure =
            lost(&format!("its worker did not start within {timeout:?}, and its TaskManager does not say why"));
        master.on_worker_lost(id, &failure, &mut self.cx);
        self.cx.stop_worker(id, job);
    }

    /// A TaskManager that cannot end a worker whose tasks a job waits for is given up, so that the job can end.
    fn insist_on_stop(&mut self, id: &TaskManagerId, job: JobId, resend: &Resend) {
        self.cx.send(id, ToTaskManager::StopWorker { job });
        let waits =
            self.cx.task_managers.get(id).is_some_and(|tm| tm.attempts.iter().any(|attempt| attempt.job == job));
        if waits && resend.unanswered_for(self.cx.now.elapsed) > self.cx.config.heartbeat_timeout {
            self.lose_task_manager(id, &lost("the TaskManager could not end a worker in time"), false);
        }
    }
}
