use std::time::Duration;

use flink_appmaster::job_manager::{self as jm, ConnectionId, JobManager, JobManagerConfig, Now, TokenFile};
use flink_graph::{ExecutionState, JobStatus};
use flink_protocol::task_manager::ToJobManager;

use crate::world::{Item, Mutation, World, configuration};

impl World {
    pub(crate) fn start_job_manager(&mut self) {
        self.epoch += 1;
        self.tokens = 0;
        self.job_manager_since = self.now;
        if let Ok(config) = JobManagerConfig::from_configuration(&configuration()) {
            self.job_manager = Some(JobManager::new(config, self.epoch, self.seed ^ self.epoch));
        }
        self.recover();
        self.job_manager_event(jm::Event::Tick);
    }

    pub(crate) fn renew_tokens(&mut self) {
        if !self.faults_go_on() {
            return;
        }
        if self.job_manager.is_some() {
            self.tokens += 1;
            self.happened("tokens renewed");
            self.job_manager_event(jm::Event::DelegationTokens(TokenFile(vec![0])));
        }
        let pause = Duration::from_millis(500 + self.chance_of_tokens.u64(..20_000));
        self.after(pause, Item::NewTokens);
    }

    /// What arrives over a connection is for the JobManager that it was opened to.
    pub(crate) fn event_of_link(&mut self, connection: ConnectionId, event: jm::Event) {
        let epoch = self.links.get(&connection).map(|link| link.epoch);
        if self.zombie.as_ref().is_some_and(|zombie| Some(zombie.epoch) == epoch) {
            self.zombie_event(event);
        } else if epoch == Some(self.epoch) {
            self.job_manager_event(event);
        }
    }

    pub(crate) fn job_manager_event(&mut self, event: jm::Event) {
        let finished = |event: &jm::Event| match event {
            jm::Event::FromTaskManager { envelope, .. } => matches!(
                &envelope.message,
                ToJobManager::UpdateTaskExecutionState(update) if update.state == ExecutionState::Finished
            ),
            _ => false,
        };
        if self.mutation == Mutation::FinishedNeverHeard && finished(&event) {
            return;
        }
        if !self.is_kept_first(&event) {
            self.deliver(event);
        }
    }

    pub(crate) fn deliver(&mut self, event: jm::Event) {
        self.log("JobManager", &event);
        let Some(job_manager) = &mut self.job_manager else { return };
        let elapsed = self.now - self.job_manager_since;
        let now = Now { elapsed, timestamp: self.now.as_millis() as i64 };
        let actions = job_manager.on_event(now, event);
        let deadline = job_manager.next_deadline().map(|at| at.max(elapsed) + self.job_manager_since);
        for action in actions {
            match action {
                jm::Action::JobTerminated { job } => self.keep_result(job),
                jm::Action::RespondToClient { connection, ref body, .. } if self.holds_back(connection, body) => {}
                action => self.job_manager_acts(action),
            }
        }
        if let Some(at) = deadline.filter(|at| self.job_manager_tick.is_none_or(|set| *at < set)) {
            self.job_manager_tick = Some(at);
            self.after(at - self.now, Item::JobManagerTick);
        }
    }

    pub(crate) fn job_manager_acts(&mut self, action: jm::Action) {
        self.log("  does", &action);
        match action {
            jm::Action::SendToTaskManager { connection, envelope } => {
                self.carry(|| Item::ToTaskManager(connection, envelope.clone()));
            }
            jm::Action::RespondToClient { connection, body, .. } => {
                self.carry(|| Item::ToClient(connection, body.clone()));
            }
            jm::Action::CloseConnection { connection } => {
                if let Some(link) = self.links.get_mut(&connection) {
                    link.at_job_manager = false;
                    self.after(Duration::from_millis(5), Item::LinkLost(connection));
                }
            }
            jm::Action::JobStatusChanged { status: JobStatus::Restarting, .. } => {
                self.happened("job restarted");
            }
            jm::Action::JobTerminated { .. }
            | jm::Action::JobStatusChanged { .. }
            | jm::Action::TaskManagerRegistered { .. }
            | jm::Action::TaskManagerGone { .. } => {}
        }
    }
}
