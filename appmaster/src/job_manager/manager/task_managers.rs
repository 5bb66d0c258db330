use std::collections::BTreeSet;

use flink_graph::{ExecutionAttemptId, JobId, TaskManagerId};
use flink_protocol::task_manager::{TaskManagerRegistration, TaskStateUpdate, ToJobManager, ToTaskManager};
use flink_protocol::{Envelope, Epoch, PROTOCOL_VERSION};

use super::JobManager;
use crate::job_manager::event::{Action, ConnectionId};
use crate::job_manager::job::{Failure, SplitAnswer, lost, taken};
use crate::job_manager::task_managers::TaskManager;
use crate::job_manager::timing::Timer;

/// More slots than one host has processors many times over; a larger number is a mistake, and memory goes by it.
const MAX_SLOTS: u32 = 4096;

impl JobManager {
    pub(super) fn on_task_manager_message(&mut self, connection: ConnectionId, envelope: Envelope<ToJobManager>) {
        if let ToJobManager::RegisterTaskManager(registration) = envelope.message {
            return self.on_registration(connection, envelope.epoch, registration);
        }
        if envelope.epoch != self.cx.epoch {
            // Meant for another leader. One that believes in an older one than us has to register first.
            return self.close_if_unregistered(connection);
        }
        let Some(id) = self.cx.task_managers.at(connection).cloned() else {
            return self.close_if_unregistered(connection);
        };
        self.heard_of(&id);
        match envelope.message {
            ToJobManager::Heartbeat(report) => self.on_report(&id, report),
            ToJobManager::WorkerStarted { job, data_address } => self.on_worker_started(&id, job, data_address),
            ToJobManager::WorkerLost { job, reason, unrecoverable } => {
                self.on_worker_lost(&id, job, &reason, unrecoverable);
            }
            ToJobManager::UpdateTaskExecutionState(update) => self.on_task_state(&id, update),
            ToJobManager::RequestNextInputSplit { attempt, request } => self.on_split_request(&id, attempt, request),
            ToJobManager::DisconnectTaskManager { reason } => {
                self.lose_task_manager(&id, &lost(&format!("the TaskManager ended: {reason}")), true);
            }
            // Artifacts and logs are the shell's.
            ToJobManager::RegisterTaskManager(_)
            | ToJobManager::RequestArtifact { .. }
            | ToJobManager::LogPiece { .. } => {}
        }
    }

    /// A TaskManager that is not registered (any more) learns it by the loss of its connection, and registers again.
    fn close_if_unregistered(&mut self, connection: ConnectionId) {
        if self.cx.task_managers.at(connection).is_none() {
            self.cx.actions.push(Action::CloseConnection { connection });
        }
    }

    fn heard_of(&mut self, id: &TaskManagerId) {
        let now = self.cx.now;
        if let Some(task_manager) = self.cx.task_managers.get_mut(id) {
            task_manager.last_heard = now.elapsed;
            task_manager.last_heartbeat = now.timestamp;
        }
    }

    fn on_registration(&mut self, connection: ConnectionId, epoch: Epoch, registration: TaskManagerRegistration) {
        if epoch > self.cx.epoch || registration.last_epoch > self.cx.epoch {
            // There is a newer leader than us: whoever serves it must not be drawn away.
            return self.cx.actions.push(Action::CloseConnection { connection });
        }
        let gone = self.gone.reason(&registration.id).map(|reason| format!("its container is gone: {reason}"));
        if let Some(reason) = refusal(&registration).or(gone) {
            let envelope = Envelope { epoch: self.cx.epoch, message: ToTaskManager::RefuseRegistration { reason } };
            return self.cx.actions.push(Action::SendToTaskManager { connection, envelope });
        }
        let id = registration.id.clone();
        let known = self.cx.task_managers.get(&id).is_some();
        if !known {
            let address = self.peers.get(&connection).cloned().unwrap_or_default();
            self.cx.task_managers.insert(id.clone(), TaskManager::new(&registration, address));
            self.cx.agenda.set(self.cx.now.elapsed + self.cx.config.heartbeat_timeout, Timer::Silence(id.clone()));
        }
        if let Some(before) = self.cx.task_managers.connect(&id, connection) {
            self.cx.actions.push(Action::CloseConnection { connection: before });
        }
        self.heard_of(&id);
        self.cx.queue.changed = true;
        self.give_time_to_report(&id);
        let acknowledged_before = known && registration.last_epoch == self.cx.epoch;
        if !acknowledged_before {
            let (host, slots) = (registration.host, registration.slots as usize);
            self.cx.actions.push(Action::TaskManagerRegistered { task_manager: id.clone(), host, slots });
        }
        self.acknowledge(&id, acknowledged_before);
        self.send_heartbeat(&id);
    }

    /// What a TaskManager should have counts as seen when it comes back, and is missed only from then on.
    fn give_time_to_report(&mut self, id: &TaskManagerId) {
        let attempts = self.cx.task_managers.get(id).map(|task_manager| task_manager.attempts.clone());
        for attempt in attempts.unwrap_or_default() {
            self.with_job(attempt.job, |job, cx| job.on_seen(attempt, cx));
        }
    }

    fn acknowledge(&mut self, id: &TaskManagerId, before: bool) {
        let milliseconds = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let message = match before {
            true => ToTaskManager::AlreadyRegistered,
            false => ToTaskManager::AcknowledgeRegistration {
                heartbeat_interval_ms: milliseconds(self.cx.config.heartbeat_interval),
                heartbeat_timeout_ms: milliseconds(self.cx.config.heartbeat_timeout),
            },
        };
        self.cx.send(id, message);
    }

    fn on_task_state(&mut self, id: &TaskManagerId, update: TaskStateUpdate) {
        let (attempt, state) = (update.attempt, update.state);
        let known = self.with_job(attempt.job, |job, cx| job.on_task_state(id, update, cx)).unwrap_or(false);
        self.cx.send(id, ToTaskManager::TaskStateAcknowledged { attempt, state, known });
    }

    fn on_split_request(&mut self, id: &TaskManagerId, attempt: ExecutionAttemptId, request: u64) {
        let host = self.cx.host(id);
        let answer = self.with_job(attempt.job, |job, cx| job.next_split(attempt, request, &host, cx));
        let message = match answer.unwrap_or(SplitAnswer::Unknown) {
            SplitAnswer::Next(split) => ToTaskManager::NextInputSplit { attempt, request, split },
            SplitAnswer::Silence => return,
            SplitAnswer::Unknown => {
                let state = flink_graph::ExecutionState::Running;
                ToTaskManager::TaskStateAcknowledged { attempt, state, known: false }
            }
        };
        self.cx.send(id, message);
    }

    pub(super) fn on_silence(&mut self, id: &TaskManagerId) {
        let (now, timeout) = (self.cx.now.elapsed, self.cx.config.heartbeat_timeout);
        let Some(last_heard) = self.cx.task_managers.get(id).map(|task_manager| task_manager.last_heard) else {
            return;
        };
        if now < last_heard + timeout {
            return self.cx.agenda.set(last_heard + timeout, Timer::Silence(id.clone()));
        }
        let reason = format!("no heartbeat for {timeout:?} (heartbeat.timeout): it is lost");
        self.lose_task_manager(id, &taken(&reason), false);
    }

    /// A TaskManager is gone with everything on it. If it comes back after all, it is as a new one.
    pub(super) fn lose_task_manager(&mut self, id: &TaskManagerId, failure: &Failure, orderly: bool) {
        let Some(task_manager) = self.cx.task_managers.get(id) else { return };
        let gone = Action::TaskManagerGone { task_manager: id.clone(), reason: failure.reason().to_owned(), orderly };
        self.cx.actions.push(gone);
        let connection = task_manager.connection;
        let holders = task_manager.slots.iter().flatten().chain(task_manager.workers.keys());
        let jobs: BTreeSet<JobId> = holders.copied().collect();
        // While the jobs handle it, the TaskManager is still known by name and host for their messages, but out of reach.
        if let Some(connection) = connection {
            self.cx.task_managers.disconnect(connection);
            self.cx.actions.push(Action::CloseConnection { connection });
        }
        for job in jobs {
            self.with_job(job, |job, cx| job.on_worker_lost(id, failure, cx));
        }
        self.cx.task_managers.remove(id);
        self.cx.queue.changed = true;
    }
}

fn refusal(registration: &TaskManagerRegistration) -> Option<String> {
    if registration.protocol_version != PROTOCOL_VERSION {
        return Some(format!(
            "the TaskManager speaks version {} of the messages, the JobManager version {PROTOCOL_VERSION}: install the \
             same flink-yarn on all hosts",
            registration.protocol_version
        ));
    }
    (registration.slots == 0 || registration.slots > MAX_SLOTS).then(|| {
        format!("it offers {} slots; taskmanager.numberOfTaskSlots must be from 1 to {MAX_SLOTS}", registration.slots)
    })
}
