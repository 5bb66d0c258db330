use std::collections::BTreeMap;
use std::time::Duration;

use flink_graph::TaskManagerId;

use super::containers::Workers;
use crate::job_manager::ClusterResources;

/// TaskManagers that are registered although YARN counts none of our containers for them: of an earlier attempt, when their
/// node is lost, or the ResourceManager has not heard of them again yet. Each with the time since when it is so.
#[derive(Debug, Default)]
pub(super) struct UnownedTaskManagers(BTreeMap<TaskManagerId, Duration>);

impl UnownedTaskManagers {
    /// Takes a look at who is registered.
    pub(super) fn observe(&mut self, now: Duration, resources: &ClusterResources, workers: &Workers) {
        let is_stranger = |id: &TaskManagerId| workers.get(id).is_none();
        self.0.retain(|id, _| is_stranger(id) && resources.task_managers.contains_key(id));
        for id in resources.task_managers.keys().filter(|id| is_stranger(id)) {
            self.0.entry(id.clone()).or_insert(now);
        }
    }

    /// The ResourceManager begins to tell anew.
    pub(super) fn wait_again(&mut self, now: Duration) {
        self.0.values_mut().for_each(|since| *since = now);
    }

    /// Those of whom nothing was heard within the time.
    pub(super) fn take_late(&mut self, now: Duration, patience: Duration) -> Vec<TaskManagerId> {
        self.0.extract_if(.., |_, since| *since + patience <= now).map(|(id, _)| id).collect()
    }

    /// When the first of them is late.
    pub(super) fn deadline(&self, patience: Duration) -> Option<Duration> {
        self.0.values().min().map(|since| *since + patience)
    }
}
