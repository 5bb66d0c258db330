use std::time::Duration;

use flink_appmaster::job_manager::ConnectionId;

use crate::clients::Phase;
use crate::workers::WorkerKey;
use crate::world::{Item, World};

impl World {
    pub(crate) fn faults_go_on(&self) -> bool {
        self.now < self.profile.faults_end
    }

    /// True with a chance of so many thousandths, as long as things may go wrong.
    pub(crate) fn chance(&mut self, thousandths: u64) -> bool {
        self.random.u64(..1000) < thousandths && self.faults_go_on()
    }

    pub(crate) fn fault(&mut self) {
        if !self.faults_go_on() {
            return;
        }
        let task_manager = self.random.usize(..self.task_managers.len());
        match self.random.u64(..12) {
            0 | 1 => self.kill_task_manager(task_manager),
            2 => self.stop_task_manager(task_manager),
            3..=5 => self.kill_some_worker(),
            6 => self.kill_job_manager(),
            7 => self.kill_some_client(),
            _ => self.break_some_link(),
        }
        let pause = Duration::from_millis(500 + self.random.u64(..=self.profile.fault_pause_ms));
        self.after(pause, Item::Fault);
    }

    pub(crate) fn kill_task_manager(&mut self, index: usize) {
        let Some(process) = self.task_managers[index].take() else { return };
        self.happened("TaskManager killed");
        let life = process.life;
        process.link.iter().for_each(|link| self.close_by_peer(*link));
        let workers: Vec<WorkerKey> =
            self.workers.keys().filter(|key| (key.0, key.1) == (index, life)).copied().collect();
        workers.into_iter().for_each(|key| self.worker_gone(key, "its TaskManager is gone"));
        let pause = Duration::from_millis(200 + self.random.u64(..15_000));
        self.after(pause, Item::TaskManagerStarts(index));
    }

    pub(crate) fn stop_task_manager(&mut self, index: usize) {
        let until = self.now + Duration::from_millis(self.random.u64(..15_000));
        if let Some(process) = &mut self.task_managers[index] {
            process.stopped_until = until;
            self.happened("TaskManager stopped for a while");
        }
    }

    pub(crate) fn kill_some_worker(&mut self) {
        if let Some(key) = self.random.choice(self.workers.keys().copied()) {
            self.happened("worker killed");
            self.worker_gone(key, "killed by chance");
        }
    }

    pub(crate) fn kill_job_manager(&mut self) {
        if self.store.is_some() && self.zombie.is_none() && self.random.u64(..2) == 0 {
            return self.stop_job_manager();
        }
        if self.job_manager.take().is_none() {
            return;
        }
        self.happened("JobManager killed");
        self.writer_is_gone();
        self.links_break(self.epoch);
        let pause = Duration::from_millis(100 + self.random.u64(..8_000));
        self.after(pause, Item::JobManagerStarts);
    }

    /// The JobManager of an epoch is gone.
    pub(crate) fn links_break(&mut self, epoch: u64) {
        let links: Vec<ConnectionId> =
            self.links.iter().filter(|(_, link)| link.epoch == epoch).map(|(connection, _)| *connection).collect();
        for connection in links {
            if let Some(link) = self.links.get_mut(&connection) {
                link.at_job_manager = false;
            }
            let pause = Duration::from_millis(self.random.u64(..100));
            self.after(pause, Item::LinkLost(connection));
        }
    }

    pub(crate) fn kill_some_client(&mut self) {
        let index = self.random.usize(..self.clients.len());
        self.happened("client killed");
        self.client_links[index].take().iter().for_each(|link| self.close_by_peer(*link));
        // It starts again with what it has on disk: the job that it wanted to run.
        if self.clients[index].phase == Phase::Waiting {
            self.clients[index].phase = Phase::Submitting;
        }
    }

    pub(crate) fn break_some_link(&mut self) {
        let open: Vec<ConnectionId> =
            self.links.iter().filter(|(_, l)| l.at_peer && l.at_job_manager).map(|(id, _)| *id).collect();
        let Some(connection) = self.random.choice(open) else { return };
        self.happened("connection broken");
        self.tell_job_manager_of_loss(connection);
        let pause = Duration::from_millis(self.random.u64(..3000));
        self.after(pause, Item::LinkLost(connection));
    }
}
