use flink_graph::{JobGraph, JobId, JobStatus, TaskManagerId};
use flink_protocol::overview::{ClusterOverview, JobDetails, JobSummary, TaskManagerSummary};

use super::JobManager;
use crate::job_manager::job::JobMaster;
use crate::job_manager::task_managers::TaskManager;

impl JobManager {
    /// The cluster as a whole.
    #[must_use]
    pub fn overview(&self) -> ClusterOverview {
        let (mut total, mut free) = (0, 0);
        for (_, task_manager) in self.cx.task_managers.iter() {
            total += task_manager.slots.len();
            free += task_manager.free_slots();
        }
        ClusterOverview {
            task_managers: count(self.cx.task_managers.iter().count()),
            slots_total: count(total),
            slots_available: count(free),
            jobs_running: count(self.jobs.len()),
            jobs_finished: self.finished.count(JobStatus::Finished),
            jobs_canceled: self.finished.count(JobStatus::Canceled),
            jobs_failed: self.finished.count(JobStatus::Failed),
        }
    }

    /// The jobs that are known: those that have not ended in the order of their submission, then the ended ones, the
    /// newest first.
    #[must_use]
    pub fn jobs(&self) -> Vec<JobSummary> {
        let mut live: Vec<&JobMaster> = self.jobs.values().collect();
        live.sort_by_key(|job| job.sequence);
        let ended = self.finished.newest_first().map(|job| job.details.summary.clone());
        live.into_iter().map(JobMaster::summary).chain(ended).collect()
    }

    /// Everything about one job.
    #[must_use]
    pub fn job_details(&self, job: JobId) -> Option<JobDetails> {
        let live = self.jobs.get(&job).map(|job| job.details(&self.cx));
        live.or_else(|| self.finished.get(job).map(|job| job.details.clone()))
    }

    /// The graph of a job, without its input splits.
    #[must_use]
    pub fn job_graph(&self, job: JobId) -> Option<&JobGraph> {
        let live = self.jobs.get(&job).map(|job| &job.information.graph);
        live.or_else(|| self.finished.get(job).map(|job| &job.graph))
    }

    /// True as long as a job that has not ended needs an artifact.
    #[must_use]
    pub fn is_artifact_in_use(&self, sha256: &str) -> bool {
        let programs = self.jobs.values().filter_map(|job| job.information.program.as_ref());
        programs.into_iter().any(|program| program.sha256 == sha256)
    }

    /// The TaskManagers.
    #[must_use]
    pub fn task_managers(&self) -> Vec<TaskManagerSummary> {
        self.cx.task_managers.iter().map(|(id, task_manager)| self.task_manager_summary(id, task_manager)).collect()
    }

    fn task_manager_summary(&self, id: &TaskManagerId, task_manager: &TaskManager) -> TaskManagerSummary {
        let slots = task_manager.slots.iter().enumerate();
        let allocated = slots.filter_map(|(index, job)| {
            let job = (*job)?;
            Some((job, self.jobs.get(&job).map_or(0, |job| job.tasks_in_slot(id, count(index)))))
        });
        TaskManagerSummary {
            id: id.to_string(),
            address: task_manager.address.clone(),
            host: task_manager.host.clone(),
            slots: count(task_manager.slots.len()),
            free_slots: count(task_manager.free_slots()),
            allocated: allocated.collect(),
            last_heartbeat: task_manager.last_heartbeat,
            hardware: task_manager.hardware.clone(),
            statistics: task_manager.statistics.clone(),
        }
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
