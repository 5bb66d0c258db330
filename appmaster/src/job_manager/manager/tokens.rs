use flink_graph::TaskManagerId;
use flink_protocol::task_manager::{DelegationTokens, ToTaskManager};

use super::JobManager;

impl JobManager {
    /// Newer tokens for file systems. Who is registered gets them at once; whose message is lost, or who comes later, shows
    /// it in a heartbeat.
    pub(super) fn on_delegation_tokens(&mut self, file: Vec<u8>) {
        let version = self.delegation_tokens.as_ref().map_or(0, |tokens| tokens.version) + 1;
        self.delegation_tokens = Some(DelegationTokens { version, file: file.into() });
        let ids: Vec<TaskManagerId> = self.cx.task_managers.iter().map(|(id, _)| id.clone()).collect();
        ids.iter().for_each(|id| self.send_newer_tokens(id, 0));
    }

    /// Sends the tokens to a TaskManager that has others.
    pub(super) fn send_newer_tokens(&mut self, id: &TaskManagerId, version: u64) {
        if let Some(tokens) = self.delegation_tokens.as_ref().filter(|tokens| tokens.version > version) {
            self.cx.send(id, ToTaskManager::UpdateDelegationTokens(tokens.clone()));
        }
    }
}
