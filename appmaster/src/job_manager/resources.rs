use std::collections::BTreeMap;
use std::sync::Arc;

use flink_graph::TaskManagerId;

/// How much of a TaskManager is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskManagerUse {
    /// All slots.
    pub slots: u32,
    /// Slots that jobs hold.
    pub used: u32,
    /// True when a job has a slot or a worker on it: a worker may keep results that are still to be read.
    pub busy: bool,
    /// False when its connection is lost and it has not come back yet.
    pub connected: bool,
}

/// What the jobs of a JobManager want, and what they have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterResources {
    /// Slots that jobs wait for.
    pub missing_slots: u32,
    /// The registered TaskManagers.
    pub task_managers: BTreeMap<TaskManagerId, TaskManagerUse>,
    /// Where the input of each job that waits for slots is: bytes by host. TaskManagers are wanted there.
    pub inputs: Vec<Arc<BTreeMap<String, u64>>>,
    /// How far the jobs are that have not ended, percent; 100 when there is none.
    pub progress: u32,
}
