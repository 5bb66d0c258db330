/// What users are told while containers do not come.
mod explanation;

use std::collections::BTreeMap;
use std::time::Duration;

use flink_graph::TaskManagerId;

use super::config::DriverConfig;
use super::containers::{Phase, Worker, Workers};
use super::event::{Action, AllocateRequest, Allocation, CompletedContainer, Container, Event, Resource};
use super::exit_status::{Blame, ContainerEnd};
use super::failure_rate::FailureRate;
use super::heartbeat::Heartbeat;
use super::hosts::{self, NodeHosts};
use super::nodes::Nodes;
use super::unowned_task_managers::UnownedTaskManagers;
use crate::job_manager::ClusterResources;

/// Upper bound of the TaskManagers that are asked for, whatever the jobs want.
const MAX_TASK_MANAGERS: u32 = 10_000;

/// The number of the ask for TaskManagers. There is one kind of TaskManager, so one ask.
pub const REQUEST: i64 = 1;

/// Where the driver stands with the ResourceManager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DriverState {
    /// Waits to be registered.
    Registering,
    /// Sends heartbeats.
    Registered,
    /// Has given up; nothing is done any more.
    Failed,
}

/// The driver. See [the module](super).
#[derive(Debug)]
pub struct ResourceManagerDriver {
    config: DriverConfig,
    phase: DriverState,
    resources: ClusterResources,
    workers: Workers,
    unowned: UnownedTaskManagers,
    heartbeat: Heartbeat,
    nodes: Nodes,
    node_hosts: NodeHosts,
    failures: FailureRate,
    cluster_nodes: u32,
    available: Option<Resource>,
    /// Whether the scheduler counts cores, and not memory alone.
    counts_vcores: bool,
    /// Since when containers are wanted without any coming.
    waiting_since: Option<Duration>,
    explain_at: Option<Duration>,
    /// True when what jobs wait for was explained and not taken back.
    explained: bool,
    actions: Vec<Action>,
}

impl ResourceManagerDriver {
    /// A driver that is not registered yet: its first event is [`Event::Registered`].
    #[must_use]
    pub fn new(config: DriverConfig) -> Self {
        Self {
            config,
            phase: DriverState::Registering,
            resources: ClusterResources::default(),
            workers: Workers::default(),
            unowned: UnownedTaskManagers::default(),
            heartbeat: Heartbeat::new(),
            nodes: Nodes::default(),
            node_hosts: NodeHosts::default(),
            failures: FailureRate::default(),
            cluster_nodes: 0,
            available: None,
            counts_vcores: false,
            waiting_since: None,
            explain_at: None,
            explained: false,
            actions: Vec::new(),
        }
    }

    /// The same with hosts of nodes that YARN is known to have; it tells of later ones ([`Allocation::nodes`]).
    #[must_use]
    pub fn with_nodes<'a>(mut self, hosts: impl IntoIterator<Item = &'a String>) -> Self {
        hosts.into_iter().for_each(|host| self.node_hosts.learn(host));
        self
    }

    /// Handles one event. What is due by now is done too, whatever the event is.
    pub fn on_event(&mut self, now: Duration, event: Event) -> Vec<Action> {
        if self.phase == DriverState::Failed {
            return Vec::new();
        }
        let before = self.outstanding();
        match event {
            Event::Registered { earlier, largest } => self.on_registered(now, earlier, largest),
            Event::Allocated(allocation) => self.on_allocated(now, allocation),
            Event::HeartbeatFailed => {
                self.heartbeat.failed();
                self.nodes.tell_again();
            }
            Event::NotRegistered => self.on_not_registered(),
            Event::Refused { reason } => self.fail(format!("the ResourceManager refuses TaskManagers: {reason}")),
            Event::Started(id) => {
                if let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.phase == Phase::Starting) {
                    worker.phase = Phase::Awaited { since: now };
                }
            }
            Event::StartFailed { container, reason } => {
                let end = ContainerEnd {
                    reason: format!("its container could not be started: {reason}"),
                    blame: Blame::Container,
                };
                self.give_up(now, &container, &end, false);
            }
            Event::GivenBack { container, accepted } => self.on_given_back(now, &container, accepted),
            Event::Demand(resources) => self.on_demand(now, resources),
            Event::Tick => {}
        }
        if self.outstanding() > before {
            self.heartbeat.asking_since = Some(now);
        }
        self.expire(now);
        self.return_surplus(now);
        self.explain(now);
        self.send_heartbeat_if_due(now);
        std::mem::take(&mut self.actions)
    }

    /// Time at which [`Event::Tick`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        if self.phase == DriverState::Failed {
            return None;
        }
        let config = &self.config;
        let (registration, idle, leaving) = (config.registration_timeout, config.idle_timeout, config.leaving_timeout);
        let workers = self.workers.deadline(registration, idle, leaving, self.surplus() > 0);
        let is_registered = self.phase == DriverState::Registered;
        let unowned = is_registered.then(|| self.unowned.deadline(registration)).flatten();
        let heartbeat = (is_registered && !self.heartbeat.in_flight).then(|| self.heartbeat_due());
        [workers, unowned, heartbeat, self.nodes.deadline(), self.explain_at].into_iter().flatten().min()
    }

    /// TaskManagers that the jobs need: those that they use, and as many as it takes for the slots that they wait for. One
    /// whose container is not ours counts neither here nor among those that are held.
    #[must_use]
    pub fn wanted(&self) -> u32 {
        let ours = self.resources.task_managers.iter().filter(|(id, _)| self.workers.get(id).is_some());
        let used = ours.map(|(_, used)| used).filter(|used| used.busy);
        let (busy, free) = used.fold((0_u32, 0_u32), |(busy, free), used| {
            let more = if used.connected { used.slots.saturating_sub(used.used) } else { 0 };
            (busy + 1, free.saturating_add(more))
        });
        let rest = self.resources.missing_slots.saturating_sub(free);
        busy.saturating_add(rest.div_ceil(self.config.slots)).min(MAX_TASK_MANAGERS)
    }

    /// Containers that are held and not on their way out.
    #[must_use]
    pub fn held(&self) -> u32 {
        self.workers.active()
    }

    /// The containers that are held, those that leave included, with the place of each.
    pub fn containers(&self) -> impl Iterator<Item = (&TaskManagerId, &super::Node)> {
        self.workers.iter().map(|(id, worker)| (id, &worker.node))
    }

    /// True when `id` is a container that the jobs may use.
    #[must_use]
    pub fn holds(&self, id: &TaskManagerId) -> bool {
        self.workers.get(id).is_some_and(|worker| worker.phase.is_active())
    }

    /// Containers beyond those that are wanted, without those that the JobManager was asked to let go of already.
    fn surplus(&self) -> u32 {
        let returning = self.workers.iter().filter(|(_, worker)| matches!(worker.phase, Phase::Returning { .. }));
        let returning = u32::try_from(returning.count()).unwrap_or(u32::MAX);
        self.held().saturating_sub(self.wanted()).saturating_sub(returning)
    }

    /// Containers to ask for.
    fn outstanding(&self) -> u32 {
        self.wanted().saturating_sub(self.held())
    }

    fn on_registered(&mut self, now: Duration, earlier: Vec<Container>, largest: Resource) {
        let wanted = self.config.resource;
        let known = largest != Resource::default();
        if known && (wanted.memory_mb > largest.memory_mb || wanted.vcores > largest.vcores) {
            return self.fail(format!(
                "a TaskManager needs a container of {wanted}, but the largest that this cluster or queue grants has \
                 {largest}: lower taskmanager.memory.process.size or yarn.containers.vcores. The limit is \
                 yarn.scheduler.maximum-allocation-mb and -vcores, or what the largest node has"
            ));
        }
        if known {
            self.counts_vcores = largest.vcores < u32::MAX;
        }
        self.phase = DriverState::Registered;
        self.unowned.wait_again(now);
        self.adopt(now, earlier);
    }

    /// Containers of earlier attempts go on; their TaskManagers have as much time to register as new ones.
    fn adopt(&mut self, now: Duration, earlier: Vec<Container>) {
        for container in earlier {
            if self.workers.get(&container.id).is_none() && !self.heartbeat.is_released(&container.id) {
                self.node_hosts.learn(&container.node.host);
                let phase = Phase::Awaited { since: now };
                self.workers.insert(container.id, Worker::new(container.node, container.resource, phase));
            }
        }
        self.observe(now);
    }

    /// Brings what is held in line with who is registered.
    fn observe(&mut self, now: Duration) {
        self.workers.observe(now, &self.resources);
        self.unowned.observe(now, &self.resources, &self.workers);
    }

    fn on_not_registered(&mut self) {
        if self.phase == DriverState::Registered {
            self.phase = DriverState::Registering;
            self.heartbeat.forgotten();
            self.nodes.tell_again();
            self.actions.push(Action::Register);
        }
    }

    fn on_allocated(&mut self, now: Duration, allocation: Allocation) {
        self.cluster_nodes = allocation.cluster_nodes;
        self.available = allocation.available.or(self.available);
        allocation.nodes.iter().for_each(|host| self.node_hosts.learn(host));
        self.adopt(now, allocation.earlier);
        let ours = allocation.containers.iter().filter(|container| self.fits(container)).count();
        self.heartbeat.arrived(u32::try_from(ours).unwrap_or(u32::MAX));
        for container in allocation.containers {
            self.on_container(now, container);
        }
        for completed in allocation.completed {
            self.on_completed(now, &completed);
        }
        for id in allocation.preempted {
            if let Some(worker) = self.workers.get_mut(&id) {
                worker.preempted(now);
            }
        }
        self.heartbeat.answered();
    }

    fn fits(&self, container: &Container) -> bool {
        let (needs, has) = (self.config.resource, container.resource);
        container.request == REQUEST && has.memory_mb >= needs.memory_mb && has.vcores >= needs.vcores.min(1)
    }

    /// A container that is needed is started at once, any other one is released unused.
    fn on_container(&mut self, now: Duration, container: Container) {
        let is_known = self.workers.get(&container.id).is_some() || self.heartbeat.is_released(&container.id);
        if is_known {
            return;
        }
        if !self.fits(&container) || self.outstanding() == 0 {
            return self.heartbeat.release(container.id);
        }
        self.waiting_since = Some(now);
        self.explain_at = None;
        self.node_hosts.learn(&container.node.host);
        let worker = Worker::new(container.node.clone(), container.resource, Phase::Starting);
        self.workers.insert(container.id.clone(), worker);
        self.actions.push(Action::StartContainer(container));
    }

    fn on_completed(&mut self, now: Duration, completed: &CompletedContainer) {
        let was_released = self.heartbeat.completed(&completed.id);
        let Some(worker) = self.workers.get(&completed.id) else { return };
        if was_released || matches!(worker.phase, Phase::Leaving { .. }) {
            self.workers.remove(&completed.id);
            return;
        }
        let mut end = ContainerEnd::explain(completed.exit_status, &completed.diagnostics, worker.resource);
        if worker.is_preempted(now) {
            end.blame = Blame::Nobody;
        }
        self.give_up(now, &completed.id, &end, true);
    }

    /// A container is lost or of no use: the JobManager is told, and the failure counted where it is one.
    fn give_up(&mut self, now: Duration, id: &TaskManagerId, end: &ContainerEnd, is_gone: bool) {
        let Some(worker) = self.workers.remove(id) else { return };
        if !is_gone {
            self.heartbeat.release(id.clone());
            self.actions.push(Action::StopContainer { container: id.clone(), node: worker.node.clone() });
        }
        let reason = format!("container {id} on {} is lost: {}", worker.node, end.reason);
        let by_cluster = end.blame != Blame::Container;
        self.actions.push(Action::ReportLost { task_manager: id.clone(), reason: reason.clone(), by_cluster });
        if end.blame == Blame::Nobody {
            return;
        }
        let host = &worker.node.host;
        if self.nodes.failed(now, host, self.cluster_nodes, &self.config) {
            let minutes = self.config.node_penalty.as_secs() / 60;
            tracing::warn!(%host, minutes, "containers fail on this node again and again: it is left out for a while");
        }
        let has_proved = worker.has_proved(now) || self.workers.iter().any(|(_, other)| other.has_proved(now));
        self.count_failure(now, reason, end.blame, has_proved);
    }

    /// Ends the application when there were too many failures, in a short time or one after the other.
    fn count_failure(&mut self, now: Duration, reason: String, blame: Blame, has_proved: bool) {
        const KEY: &str = "resourcemanager.start-worker.max-failure-rate";
        let limit = self.config.max_failure_rate;
        let in_a_row = self.failures.add_to_row(&reason, has_proved, limit);
        let in_a_minute = if blame == Blame::Container { self.failures.add(now, reason, limit) } else { None };
        if let Some((count, causes)) = in_a_minute {
            self.fail(format!(
                "{count} TaskManagers have failed within a minute, more than the {limit} that {KEY} allows:\n{causes}"
            ));
        } else if let Some((count, causes)) = in_a_row {
            self.fail(format!(
                "{count} TaskManagers in a row have failed, and none has been registered for a minute; ten in a row are \
                 allowed, or {KEY} if that is more:\n{causes}"
            ));
        }
    }

    fn on_demand(&mut self, now: Duration, resources: ClusterResources) {
        self.resources = resources;
        self.observe(now);
    }

    fn on_given_back(&mut self, now: Duration, id: &TaskManagerId, accepted: bool) {
        let Some(worker) = self.workers.get_mut(id) else { return };
        if matches!(worker.phase, Phase::Returning { .. }) {
            worker.phase = match accepted {
                true => Phase::Leaving { since: now },
                false => Phase::Registered { idle_since: None },
            };
        }
    }

    /// What has taken too long.
    fn expire(&mut self, now: Duration) {
        self.nodes.expire(now);
        let (registration, leaving) = (self.config.registration_timeout, self.config.leaving_timeout);
        let late = |worker: &Worker| match worker.phase {
            Phase::Awaited { since } if since + registration <= now => Some(ContainerEnd {
                reason: format!(
                    "its TaskManager did not register within {} s \
                     (resourcemanager.taskmanager-registration.timeout); its log says why",
                    registration.as_secs_f64()
                ),
                blame: Blame::Container,
            }),
            // Its host may be at fault, or the network.
            Phase::Vanished { since } if since + leaving <= now => Some(ContainerEnd {
                reason: "its TaskManager was given up by the JobManager, and YARN says nothing of it".to_owned(),
                blame: Blame::Node,
            }),
            _ => None,
        };
        let late: Vec<(TaskManagerId, ContainerEnd)> =
            self.workers.iter().filter_map(|(id, worker)| Some((id.clone(), late(worker)?))).collect();
        late.iter().for_each(|(id, end)| self.give_up(now, id, end, false));
        self.send_unowned_away(now);
        self.stop_overdue_containers(now);
    }

    /// While the ResourceManager is away, it cannot tell of their containers.
    fn send_unowned_away(&mut self, now: Duration) {
        if self.phase != DriverState::Registered {
            return;
        }
        for stranger in self.unowned.take_late(now, self.config.registration_timeout) {
            let reason = format!("YARN does not count the container {stranger} as one of this application any more");
            // Should YARN hear of it after all, it is given back.
            self.heartbeat.release(stranger.clone());
            self.actions.push(Action::ReportLost { task_manager: stranger, reason, by_cluster: true });
        }
    }

    fn stop_overdue_containers(&mut self, now: Duration) {
        let timeout = self.config.leaving_timeout;
        let lingers = |worker: &Worker| match worker.phase {
            Phase::Returning { since } | Phase::Leaving { since } => since + timeout <= now,
            _ => false,
        };
        let lingering: Vec<TaskManagerId> =
            self.workers.iter().filter(|(_, worker)| lingers(worker)).map(|(id, _)| id.clone()).collect();
        for id in lingering {
            let Some(worker) = self.workers.remove(&id) else { continue };
            self.heartbeat.release(id.clone());
            self.actions.push(Action::StopContainer { container: id.clone(), node: worker.node });
        }
    }

    /// Asks the JobManager to let go of TaskManagers that have been idle for long enough.
    fn return_surplus(&mut self, now: Duration) {
        if self.phase == DriverState::Failed {
            return;
        }
        let mut surplus = self.surplus();
        while surplus > 0
            && let Some(id) = self.workers.first_to_return(now, self.config.idle_timeout)
        {
            if let Some(worker) = self.workers.get_mut(&id) {
                worker.phase = Phase::Returning { since: now };
            }
            self.actions.push(Action::GiveBack(id));
            surplus -= 1;
        }
    }

    fn heartbeat_due(&self) -> Duration {
        // A TaskManager that has lost its connection may be dead: YARN knows it soon.
        let hurry = self.resources.task_managers.values().any(|used| !used.connected)
            || self.workers.iter().any(|(_, worker)| !worker.phase.is_active());
        self.heartbeat.due(self.outstanding(), hurry, &self.config, self.nodes.has_changes())
    }

    fn send_heartbeat_if_due(&mut self, now: Duration) {
        if self.phase != DriverState::Registered || self.heartbeat.in_flight || self.heartbeat_due() > now {
            return;
        }
        let (containers, release) = self.heartbeat.send(now, self.outstanding());
        let (blacklist_additions, blacklist_removals) = self.nodes.changes();
        let hosts = containers.map(|count| self.hosts_for(count)).unwrap_or_default();
        let request = AllocateRequest { containers, hosts, release, blacklist_additions, blacklist_removals };
        self.actions.push(Action::Allocate(request));
    }

    /// Where the next containers should be, to be near what the waiting jobs read.
    fn hosts_for(&self, count: u32) -> BTreeMap<String, u32> {
        let held = self.workers.iter().filter(|(_, worker)| worker.phase.is_active());
        let held = held.map(|(_, worker)| worker.node.host.as_str());
        let inputs = self.resources.inputs.iter().flat_map(|bytes| bytes.iter());
        let inputs = inputs.map(|(host, bytes)| (self.node_hosts.name_of(host), *bytes));
        hosts::spread(inputs.filter(|(host, _)| !self.nodes.is_left_out(host)), held, count)
    }

    fn fail(&mut self, reason: String) {
        self.phase = DriverState::Failed;
        self.actions.push(Action::Fail { reason });
    }
}
