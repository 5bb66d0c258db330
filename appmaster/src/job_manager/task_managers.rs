use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use flink_graph::{ExecutionAttemptId, JobId, SlotId, TaskManagerId};
use flink_protocol::TimestampMillis;
use flink_protocol::task_manager::{HardwareDescription, ProcessStatistics, TaskManagerRegistration};

use super::event::ConnectionId;
use super::timing::Resend;

/// A registered TaskManager.
#[derive(Debug)]
pub struct TaskManager {
    /// Its connection; `None` while it is gone and has until the heartbeat time-out to come back.
    pub connection: Option<ConnectionId>,
    /// Its address as seen from here.
    pub address: String,
    /// Its host name, for the locality of splits.
    pub host: String,
    /// Its slots, each with the job that holds it.
    pub slots: Vec<Option<JobId>>,
    /// The workers that it should have.
    pub workers: BTreeMap<JobId, Worker>,
    /// The executions that it should have.
    pub attempts: BTreeSet<ExecutionAttemptId>,
    /// When it was heard of last.
    pub last_heard: Duration,
    /// The same on the wall's clock.
    pub last_heartbeat: TimestampMillis,
    /// Its hardware.
    pub hardware: HardwareDescription,
    /// Its figures.
    pub statistics: ProcessStatistics,
}

/// The worker of one job on one TaskManager.
#[derive(Debug)]
pub enum Worker {
    /// StartWorker was sent.
    Starting(Resend),
    /// It listens for data.
    Started {
        /// `host:port` of its data plane.
        data_address: String,
        /// When the TaskManager last showed that it is there.
        last_seen: Duration,
    },
    /// StopWorker was sent.
    Stopping(Resend),
}

impl TaskManager {
    /// A TaskManager that has just registered.
    #[must_use]
    pub fn new(registration: &TaskManagerRegistration, address: String) -> Self {
        Self {
            connection: None,
            address,
            host: registration.host.clone(),
            slots: vec![None; registration.slots as usize],
            workers: BTreeMap::new(),
            attempts: BTreeSet::new(),
            last_heard: Duration::ZERO,
            last_heartbeat: 0,
            hardware: registration.hardware.clone(),
            statistics: ProcessStatistics::default(),
        }
    }

    /// Number of slots that no job holds.
    #[must_use]
    pub fn free_slots(&self) -> usize {
        self.slots.iter().filter(|slot| slot.is_none()).count()
    }

    /// Share of the slots that are held, in millionths: whole numbers, so that every build decides the same.
    fn utilisation(&self) -> usize {
        (self.slots.len() - self.free_slots()) * 1_000_000 / self.slots.len().max(1)
    }
}

/// All registered TaskManagers.
#[derive(Debug, Default)]
pub struct TaskManagers {
    all: BTreeMap<TaskManagerId, TaskManager>,
    by_connection: BTreeMap<ConnectionId, TaskManagerId>,
}

impl TaskManagers {
    /// A TaskManager by its id.
    #[must_use]
    pub fn get(&self, id: &TaskManagerId) -> Option<&TaskManager> {
        self.all.get(id)
    }

    /// A TaskManager by its id.
    pub fn get_mut(&mut self, id: &TaskManagerId) -> Option<&mut TaskManager> {
        self.all.get_mut(id)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&TaskManagerId, &TaskManager)> {
        self.all.iter()
    }

    /// The TaskManager that registered over a connection.
    #[must_use]
    pub fn at(&self, connection: ConnectionId) -> Option<&TaskManagerId> {
        self.by_connection.get(&connection)
    }

    /// Adds a TaskManager.
    pub fn insert(&mut self, id: TaskManagerId, task_manager: TaskManager) {
        self.all.insert(id, task_manager);
    }

    /// Notes over which connection a TaskManager speaks; gives back the one that it replaces.
    pub fn connect(&mut self, id: &TaskManagerId, connection: ConnectionId) -> Option<ConnectionId> {
        let task_manager = self.all.get_mut(id)?;
        let before = task_manager.connection.replace(connection).filter(|before| *before != connection);
        before.iter().for_each(|before| drop(self.by_connection.remove(before)));
        self.by_connection.insert(connection, id.clone());
        before
    }

    /// Notes that a connection is gone.
    pub fn disconnect(&mut self, connection: ConnectionId) -> Option<TaskManagerId> {
        let id = self.by_connection.remove(&connection)?;
        self.all.get_mut(&id)?.connection = None;
        Some(id)
    }

    /// Forgets a TaskManager.
    pub fn remove(&mut self, id: &TaskManagerId) -> Option<TaskManager> {
        let removed = self.all.remove(id)?;
        removed.connection.iter().for_each(|connection| drop(self.by_connection.remove(connection)));
        Some(removed)
    }

    /// Number of all slots.
    #[must_use]
    pub fn total_slots(&self) -> usize {
        self.all.values().map(|task_manager| task_manager.slots.len()).sum()
    }

    /// Number of slots that can be given out now: those of TaskManagers that can be reached.
    #[must_use]
    pub fn available_slots(&self) -> usize {
        self.reachable().map(|(_, task_manager)| task_manager.free_slots()).sum()
    }

    fn reachable(&self) -> impl Iterator<Item = (&TaskManagerId, &TaskManager)> {
        self.all.iter().filter(|(_, task_manager)| task_manager.connection.is_some())
    }

    /// Gives a job a free slot: where most of what it reads pointwise is (`near` counts), then on the TaskManager that
    /// is used least, so that work spreads evenly.
    pub fn allocate(&mut self, job: JobId, near: &BTreeMap<TaskManagerId, usize>) -> Option<SlotId> {
        let candidates = self.reachable().filter(|(_, task_manager)| task_manager.free_slots() > 0);
        let rank = |(id, task_manager): &(&TaskManagerId, &TaskManager)| {
            let inputs = near.get(*id).copied().unwrap_or(0);
            (Reverse(inputs), task_manager.utilisation(), Reverse(task_manager.free_slots()))
        };
        let task_manager = candidates.min_by_key(rank).map(|(id, _)| id.clone())?;
        let slots = &mut self.all.get_mut(&task_manager)?.slots;
        let index = slots.iter().position(Option::is_none)?;
        slots[index] = Some(job);
        Some(SlotId { index: u32::try_from(index).ok()?, task_manager })
    }

    /// Takes a slot back.
    pub fn free(&mut self, slot: &SlotId) {
        if let Some(task_manager) = self.all.get_mut(&slot.task_manager)
            && let Some(holder) = task_manager.slots.get_mut(slot.index as usize)
        {
            *holder = None;
        }
    }

    /// Where the worker of a job on a TaskManager listens for data.
    #[must_use]
    pub fn data_address(&self, id: &TaskManagerId, job: JobId) -> Option<&str> {
        match self.all.get(id)?.workers.get(&job)? {
            Worker::Started { data_address, .. } => Some(data_address),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Allocates slots one after the other and tells on which TaskManagers; `tms` are slots of each.
    fn check(tms: &[u32], near: &[(&str, usize)], count: usize, expected: &str) {
        let mut task_managers = TaskManagers::default();
        for (index, slots) in tms.iter().enumerate() {
            let id = TaskManagerId(format!("tm{index}"));
            let registration = TaskManagerRegistration {
                id: id.clone(),
                protocol_version: 1,
                host: String::new(),
                slots: *slots,
                hardware: HardwareDescription::default(),
                last_epoch: 0,
                running: Vec::new(),
            };
            task_managers.insert(id.clone(), TaskManager::new(&registration, String::new()));
            task_managers.connect(&id, ConnectionId(index as u64));
        }
        let near = near.iter().map(|(id, count)| (TaskManagerId((*id).to_owned()), *count)).collect();
        let given: Vec<String> = (0..count)
            .map(|_| task_managers.allocate(JobId::from_u128(1), &near))
            .map(|slot| slot.map_or("-".to_owned(), |slot| slot.to_string()))
            .collect();
        assert_eq!(given.join(" "), expected);
    }

    #[test]
    fn slots_spread_evenly_unless_inputs_are_near() {
        check(&[3, 3], &[], 4, "tm0/0 tm1/0 tm0/1 tm1/1");
        check(&[1, 3], &[], 5, "tm1/0 tm0/0 tm1/1 tm1/2 -");
        check(&[2, 2], &[("tm1", 1)], 3, "tm1/0 tm1/1 tm0/0");
        check(&[0, 1], &[], 2, "tm1/0 -");
    }
}
