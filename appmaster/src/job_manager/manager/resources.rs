use flink_graph::TaskManagerId;
use flink_protocol::task_manager::ToTaskManager;

use super::JobManager;
use crate::job_manager::job::{Failure, JobMaster, taken};
use crate::job_manager::resources::{ClusterResources, TaskManagerUse};

impl JobManager {
    /// What the jobs want of TaskManagers, and what they have.
    #[must_use]
    pub fn resources(&self) -> ClusterResources {
        let missing = self.jobs.values().map(|job| (job.missing_slots(), job)).filter(|(missing, _)| *missing > 0);
        let (missing, waiting): (Vec<usize>, Vec<&JobMaster>) = missing.unzip();
        let task_managers = self.cx.task_managers.iter().map(|(id, task_manager)| {
            let slots = task_manager.slots.len();
            let used = TaskManagerUse {
                slots: count(slots),
                used: count(slots - task_manager.free_slots()),
                busy: !self.is_idle(id),
                connected: task_manager.connection.is_some(),
            };
            (id.clone(), used)
        });
        ClusterResources {
            missing_slots: count(missing.into_iter().sum()),
            task_managers: task_managers.collect(),
            inputs: waiting.into_iter().map(JobMaster::input_hosts).filter(|hosts| !hosts.is_empty()).collect(),
            progress: self
                .jobs
                .values()
                .map(JobMaster::progress)
                .sum::<u32>()
                .checked_div(count(self.jobs.len()))
                .unwrap_or(100),
        }
    }

    /// True when no job has anything on a TaskManager that is registered.
    #[must_use]
    pub fn is_idle(&self, id: &TaskManagerId) -> bool {
        self.cx.task_managers.get(id).is_some_and(|task_manager| {
            task_manager.workers.is_empty() && task_manager.free_slots() == task_manager.slots.len()
        })
    }

    /// Tells an idle TaskManager to end, and gives it no more work.
    pub(super) fn release_task_manager(&mut self, id: &TaskManagerId) {
        if self.is_idle(id) {
            let reason = "it has no work, and its container is given back".to_owned();
            self.cx.send(id, ToTaskManager::RefuseRegistration { reason: reason.clone() });
            self.end_task_manager(id, &taken(&reason), true);
        }
    }

    /// Fails the jobs that have not ended and are not about to.
    pub(super) fn fail_jobs(&mut self, reason: &str) {
        for job in self.jobs.values_mut().filter(|job| job.goes_on()) {
            job.fail(reason.to_owned(), &mut self.cx);
        }
    }

    /// A TaskManager has no container any more, and does not come back.
    pub(super) fn end_task_manager(&mut self, id: &TaskManagerId, failure: &Failure, orderly: bool) {
        self.gone.add(id, failure.reason());
        self.lose_task_manager(id, failure, orderly);
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
