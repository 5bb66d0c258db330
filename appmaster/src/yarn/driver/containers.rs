use std::collections::BTreeMap;
use std::time::Duration;

use flink_graph::TaskManagerId;

use super::event::{Node, Resource};
use crate::job_manager::ClusterResources;

/// A container that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Worker {
    pub(super) node: Node,
    pub(super) resource: Resource,
    pub(super) phase: Phase,
    /// Since when its TaskManager has been registered, or was before it vanished.
    registered_at: Option<Duration>,
    /// When YARN has said that it may take it away.
    preempted_at: Option<Duration>,
}

/// For how long it counts that YARN has said that it may take a container away. It says so once, and not when it keeps it;
/// what it takes, it takes after 15 seconds unless its policy says otherwise (`max_wait_before_kill`).
const PREEMPTION_LAPSES: Duration = Duration::from_mins(1);

/// A TaskManager that was registered for so long shows that TaskManagers can work here.
const PROVED_AFTER: Duration = Duration::from_mins(1);

/// How far a container is. See the diagram in [`super`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its NodeManager has been asked to start it.
    Starting,
    /// It runs; its TaskManager has not registered yet.
    Awaited { since: Duration },
    /// Its TaskManager is registered; since when it is idle.
    Registered { idle_since: Option<Duration> },
    /// The JobManager was asked to let go of it.
    Returning { since: Duration },
    /// Its TaskManager ends.
    Leaving { since: Duration },
    /// The JobManager has given its TaskManager up, and YARN has not said yet what has become of the container.
    Vanished { since: Duration },
}

impl Phase {
    /// Whether jobs may use it, or will.
    pub(super) fn is_active(self) -> bool {
        !matches!(self, Self::Leaving { .. } | Self::Vanished { .. })
    }
}

impl Worker {
    pub(super) fn new(node: Node, resource: Resource, phase: Phase) -> Self {
        Self { node, resource, phase, registered_at: None, preempted_at: None }
    }

    /// Its TaskManager is registered.
    pub(super) fn registered(&mut self, now: Duration, idle_since: Option<Duration>) {
        self.phase = Phase::Registered { idle_since };
        self.registered_at.get_or_insert(now);
    }

    /// Whether its TaskManager has worked for a while.
    pub(super) fn has_proved(&self, now: Duration) -> bool {
        self.registered_at.is_some_and(|at| at + PROVED_AFTER <= now)
    }

    /// YARN says that it may take it away.
    pub(super) fn preempted(&mut self, now: Duration) {
        self.preempted_at = Some(now);
    }

    /// Whether YARN is about to take it away.
    pub(super) fn is_preempted(&self, now: Duration) -> bool {
        self.preempted_at.is_some_and(|at| now < at + PREEMPTION_LAPSES)
    }
}

/// The containers that are held.
#[derive(Debug, Default)]
pub(super) struct Workers(BTreeMap<TaskManagerId, Worker>);

impl Workers {
    pub(super) fn get(&self, id: &TaskManagerId) -> Option<&Worker> {
        self.0.get(id)
    }

    pub(super) fn get_mut(&mut self, id: &TaskManagerId) -> Option<&mut Worker> {
        self.0.get_mut(id)
    }

    pub(super) fn insert(&mut self, id: TaskManagerId, worker: Worker) {
        self.0.insert(id, worker);
    }

    pub(super) fn remove(&mut self, id: &TaskManagerId) -> Option<Worker> {
        self.0.remove(id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&TaskManagerId, &Worker)> {
        self.0.iter()
    }

    /// Containers that serve jobs, or will: all but those that leave or are gone.
    pub(super) fn active(&self) -> u32 {
        let active = self.0.values().filter(|worker| worker.phase.is_active());
        u32::try_from(active.count()).unwrap_or(u32::MAX)
    }

    /// Brings the phases in line with what the JobManager says.
    pub(super) fn observe(&mut self, now: Duration, resources: &ClusterResources) {
        for (id, worker) in &mut self.0 {
            match (worker.phase, resources.task_managers.get(id)) {
                // One that had vanished may come back: its host stood still, or was out of reach.
                (Phase::Starting | Phase::Awaited { .. } | Phase::Vanished { .. }, Some(used)) => {
                    worker.registered(now, (!used.busy).then_some(now));
                }
                (Phase::Registered { idle_since }, Some(used)) => {
                    let idle_since = (!used.busy).then_some(idle_since.unwrap_or(now));
                    worker.phase = Phase::Registered { idle_since };
                }
                (Phase::Registered { .. }, None) => worker.phase = Phase::Vanished { since: now },
                _ => {}
            }
        }
    }

    /// The idle TaskManager that should be given back first: one that is about to be taken away, then the one that has
    /// been idle longest.
    pub(super) fn first_to_return(&self, now: Duration, idle_timeout: Duration) -> Option<TaskManagerId> {
        let due = |worker: &Worker| match worker.phase {
            Phase::Registered { idle_since: Some(since) }
                if worker.is_preempted(now) || since + idle_timeout <= now =>
            {
                Some((!worker.is_preempted(now), since))
            }
            _ => None,
        };
        let due = self.0.iter().filter_map(|(id, worker)| Some((due(worker)?, id)));
        due.min().map(|(_, id)| id.clone())
    }

    /// Time at which something of a container becomes due.
    pub(super) fn deadline(
        &self,
        registration_timeout: Duration,
        idle_timeout: Duration,
        leaving_timeout: Duration,
        has_surplus: bool,
    ) -> Option<Duration> {
        let due = |worker: &Worker| match worker.phase {
            Phase::Starting | Phase::Registered { idle_since: None } => None,
            Phase::Awaited { since } => Some(since + registration_timeout),
            Phase::Registered { idle_since: Some(since) } => has_surplus.then_some(since + idle_timeout),
            Phase::Returning { since } | Phase::Leaving { since } | Phase::Vanished { since } => {
                Some(since + leaving_timeout)
            }
        };
        self.0.values().filter_map(due).min()
    }
}
