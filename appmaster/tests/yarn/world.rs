use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fastrand::Rng;
use flink_appmaster::job_manager::{ClusterResources, TaskManagerUse};
use flink_appmaster::yarn::driver::{
    Action, AllocateRequest, Allocation, CompletedContainer, Container, DriverConfig, Event, Node, Resource,
    ResourceManagerDriver,
};
use flink_graph::{Configuration, TaskManagerId};
use flink_protocol::deployment::TaskManagerContainers;

const SLOTS: u32 = 2;
const RESOURCE: Resource = Resource { memory_mb: 256, vcores: 1 };

/// How often each kind of fault has fired.
#[derive(Debug, Default, Clone)]
pub(crate) struct Faults(BTreeMap<&'static str, u32>);

const KINDS: [&str; 11] = [
    "lost answer",
    "lost request",
    "restart",
    "unheard registration",
    "too many",
    "wrong container",
    "start failed",
    "never registers",
    "lost container",
    "preempted",
    "vanished from the JobManager",
];

impl Faults {
    pub(crate) fn add(&mut self, other: &Self) {
        other.0.iter().for_each(|(kind, count)| *self.0.entry(kind).or_default() += count);
    }

    pub(crate) fn all_fired(&self) -> bool {
        KINDS.iter().all(|kind| self.0.contains_key(kind))
    }

    fn fire(&mut self, kind: &'static str) {
        assert!(KINDS.contains(&kind), "{kind}");
        *self.0.entry(kind).or_default() += 1;
    }
}

pub(crate) fn config() -> DriverConfig {
    let containers = TaskManagerContainers {
        memory_mb: RESOURCE.memory_mb,
        vcores: RESOURCE.vcores,
        slots: SLOTS,
        resources: Vec::new(),
        environment: BTreeMap::new(),
        node_label: None,
        priority: 0,
    };
    let mut configuration = Configuration::default();
    configuration.set("resourcemanager.start-worker.max-failure-rate", "100000");
    configuration.set("resourcemanager.taskmanager-registration.timeout", "20 s");
    DriverConfig::new(&configuration, &containers).unwrap()
}

pub(crate) fn container(number: u64) -> Container {
    Container {
        id: TaskManagerId(format!("container_1_1_01_{number:06}")),
        node: Node { host: format!("host{}", number % 5), port: 1 },
        resource: RESOURCE,
        request: 1,
    }
}

/// A container as YARN and its TaskManager see it.
#[derive(Debug, Clone, PartialEq)]
enum State {
    /// The ApplicationMaster was not told of it.
    Undelivered,
    /// It was told.
    Delivered,
    /// Its TaskManager runs, registered or not.
    Running { registered: bool },
}

enum Due {
    Answer(Event),
    Started(TaskManagerId, Result<(), String>),
    Registers(TaskManagerId),
    DemandChanges,
    GivenBack(TaskManagerId),
    Lose(u32),
}

pub(crate) struct World {
    driver: ResourceManagerDriver,
    random: Rng,
    now: Duration,
    queue: BTreeMap<(Duration, u64), Due>,
    next: u64,
    // YARN
    registered: bool,
    outstanding: u32,
    containers: BTreeMap<TaskManagerId, (Container, State)>,
    completed: Vec<CompletedContainer>,
    preempted: Vec<TaskManagerId>,
    cached: Option<Allocation>,
    // JobManager
    slots_wanted: u32,
    faulty: bool,
    pub(crate) faults: Faults,
    trace: Vec<String>,
    seed: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            driver: ResourceManagerDriver::new(config()),
            random: Rng::with_seed(seed),
            now: Duration::ZERO,
            queue: BTreeMap::new(),
            next: 0,
            registered: true,
            outstanding: 0,
            containers: BTreeMap::new(),
            completed: Vec::new(),
            preempted: Vec::new(),
            cached: None,
            slots_wanted: 0,
            faulty: true,
            faults: Faults::default(),
            trace: Vec::new(),
            seed,
        }
    }

    fn draw(&mut self, bound: u64) -> u64 {
        self.random.u64(..bound)
    }

    fn happens(&mut self, kind: &'static str, percent: u64) -> bool {
        let fires = self.faulty && self.draw(100) < percent;
        if fires {
            self.faults.fire(kind);
        }
        fires
    }

    fn after(&mut self, least_ms: u64, spread_ms: u64, due: Due) {
        let at = self.now + Duration::from_millis(least_ms + self.draw(spread_ms.max(1)));
        self.queue.insert((at, self.next), due);
        self.next += 1;
    }

    /// Two minutes with faults, then as long as it takes at most to come to rest.
    pub(crate) fn run(&mut self) {
        self.after(0, 100, Due::DemandChanges);
        self.after(500, 2_000, Due::Lose(0));
        self.tell(Event::Registered { earlier: Vec::new(), largest: Resource { memory_mb: 8192, vcores: 4 } });
        self.run_until(Duration::from_secs(120));
        self.faulty = false;
        self.run_until(Duration::from_secs(120 + 180));
        self.check_rest();
    }

    fn run_until(&mut self, end: Duration) {
        let mut steps = 0;
        loop {
            let event = self.queue.keys().next().map(|(at, _)| *at);
            let tick = self.driver.next_deadline().map(|at| at.max(self.now));
            let Some(at) = [event, tick].into_iter().flatten().min().filter(|at| *at <= end) else { break };
            steps = if at == self.now { steps + 1 } else { 0 };
            assert!(steps < 1_000, "seed {}: it spins at {:?}\n{}", self.seed, self.now, self.last_trace());
            self.now = at;
            if event == Some(at) {
                let Some((_, due)) = self.queue.pop_first() else { break };
                self.happen(due);
            } else {
                self.tell(Event::Tick);
            }
        }
        self.now = end;
    }

    fn last_trace(&self) -> String {
        self.trace[self.trace.len().saturating_sub(60)..].join("\n")
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Answer(event) => self.tell(event),
            Due::Started(id, Ok(())) => {
                let registers = !self.happens("never registers", 3);
                if let Some((_, state)) = self.containers.get_mut(&id) {
                    *state = State::Running { registered: false };
                    if registers {
                        self.after(20, 3_000, Due::Registers(id.clone()));
                    }
                }
                self.tell(Event::Started(id));
            }
            Due::Started(container, Err(reason)) => self.tell(Event::StartFailed { container, reason }),
            Due::Registers(id) => {
                if let Some((_, state)) = self.containers.get_mut(&id) {
                    *state = State::Running { registered: true };
                    self.tell_demand();
                }
            }
            Due::DemandChanges => {
                self.slots_wanted = u32::try_from(self.draw(4) * self.draw(6)).unwrap();
                self.tell_demand();
                if self.faulty {
                    self.after(100, 15_000, Due::DemandChanges);
                }
            }
            Due::GivenBack(id) => self.give_back(id),
            Due::Lose(number) => self.lose(number),
        }
    }

    fn registered_ids(&self) -> Vec<TaskManagerId> {
        let registered = self.containers.iter().filter(|(_, (_, state))| *state == State::Running { registered: true });
        registered.map(|(id, _)| id.clone()).collect()
    }

    /// The JobManager fills the TaskManagers in their order.
    fn resources(&self) -> ClusterResources {
        let mut left = self.slots_wanted;
        let mut task_managers = BTreeMap::new();
        for id in self.registered_ids() {
            let used = left.min(SLOTS);
            left -= used;
            task_managers.insert(id, TaskManagerUse { slots: SLOTS, used, busy: used > 0, connected: true });
        }
        let bytes = (0..5).map(|host| (format!("host{host}"), 10 + host)).collect();
        ClusterResources { missing_slots: left, task_managers, inputs: vec![std::sync::Arc::new(bytes)], progress: 0 }
    }

    fn tell_demand(&mut self) {
        let resources = self.resources();
        self.tell(Event::Demand(resources));
    }

    fn give_back(&mut self, id: TaskManagerId) {
        let accepted = self.resources().task_managers.get(&id).is_some_and(|used| used.used == 0);
        if accepted {
            self.end(&id, 0);
        }
        self.tell(Event::GivenBack { container: id, accepted });
        self.tell_demand();
    }

    fn end(&mut self, id: &TaskManagerId, exit_status: i32) {
        if self.containers.remove(id).is_some() {
            self.completed.push(CompletedContainer { id: id.clone(), exit_status, diagnostics: String::new() });
        }
    }

    fn lose(&mut self, number: u32) {
        if !self.faulty {
            return;
        }
        let ids: Vec<TaskManagerId> = self.containers.keys().cloned().collect();
        if !ids.is_empty() {
            let at = usize::try_from(self.draw(ids.len() as u64)).unwrap();
            let id = ids[at].clone();
            match self.draw(4) {
                0 => {
                    self.faults.fire("preempted");
                    self.preempted.push(id.clone());
                    self.end(&id, -102);
                }
                1 => {
                    self.faults.fire("vanished from the JobManager");
                    if let Some((_, state @ State::Running { registered: true })) = self.containers.get_mut(&id) {
                        *state = State::Running { registered: false };
                    }
                }
                _ => {
                    self.faults.fire("lost container");
                    self.end(&id, [1, 137, -100, -104][number as usize % 4]);
                }
            }
            self.tell_demand();
        }
        self.after(500, 12_000, Due::Lose(number + 1));
    }

    fn tell(&mut self, event: Event) {
        self.trace.push(format!("{:?} {event:?}", self.now));
        let before = self.driver.held();
        let adopts = matches!(&event, Event::Registered { .. });
        let actions = self.driver.on_event(self.now, event);
        let (held, wanted) = (self.driver.held(), self.driver.wanted());
        assert!(
            held <= wanted.max(before) || adopts,
            "seed {}: {held} held, {wanted} wanted\n{}",
            self.seed,
            self.last_trace()
        );
        for action in actions {
            self.trace.push(format!("    {action:?}"));
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Register => {
                self.registered = true;
                // What a ResourceManager has allocated that is restarted then, nobody was told, and no node knows of.
                for lost in self.cached.take().into_iter().flat_map(|allocation| allocation.containers) {
                    self.containers.remove(&lost.id);
                }
                // What the lost answer told is not told again.
                let (earlier, largest) = match self.happens("unheard registration", 30) {
                    true => (Vec::new(), Resource::default()),
                    false => (self.delivered(), Resource { memory_mb: 8192, vcores: 4 }),
                };
                self.after(5, 500, Due::Answer(Event::Registered { earlier, largest }));
            }
            Action::Allocate(request) => self.allocate(request),
            Action::StartContainer(container) => {
                let id = container.id;
                let result = match self.happens("start failed", 4) || !self.containers.contains_key(&id) {
                    true => Err("the NodeManager said no".to_owned()),
                    false => Ok(()),
                };
                self.after(5, 300, Due::Started(id, result));
            }
            Action::StopContainer { container, .. } => self.end(&container, -105),
            Action::GiveBack(id) => self.after(1, 50, Due::GivenBack(id)),
            Action::ReportLost { .. } | Action::Explain(_) => {}
            Action::Fail { reason } => panic!("seed {}: {reason}\n{}", self.seed, self.last_trace()),
        }
    }

    fn delivered(&self) -> Vec<Container> {
        let delivered = self.containers.values().filter(|(_, state)| *state != State::Undelivered);
        delivered.map(|(container, _)| container.clone()).collect()
    }

    fn allocate(&mut self, request: AllocateRequest) {
        if self.happens("restart", 2) {
            self.registered = false;
            self.outstanding = 0;
        }
        if !self.registered {
            return self.after(5, 50, Due::Answer(Event::NotRegistered));
        }
        if self.happens("lost request", 3) {
            return self.after(5, 1_000, Due::Answer(Event::HeartbeatFailed));
        }
        // As the real one: a request that repeats the last number is answered as the last one, unread.
        let allocation = match self.cached.take() {
            Some(allocation) => allocation,
            None => self.process(request),
        };
        if self.happens("lost answer", 3) {
            self.cached = Some(allocation);
            return self.after(5, 1_000, Due::Answer(Event::HeartbeatFailed));
        }
        self.after(2, 40, Due::Answer(Event::Allocated(allocation)));
    }

    fn process(&mut self, request: AllocateRequest) -> Allocation {
        if let Some(count) = request.containers {
            self.outstanding = count;
        }
        for id in &request.release {
            self.end(id, -105);
        }
        self.check_held();
        let allocation = self.deliver();
        self.allocate_more();
        match self.draw(2) {
            0 => allocation,
            // What the scheduler has found at this very moment comes along.
            _ => {
                let more = self.deliver();
                let mut all = allocation;
                all.containers.extend(more.containers);
                all.completed.extend(more.completed);
                all
            }
        }
    }

    /// In YARN's books: no more than what the driver holds, and what one round has allocated since. Answers that were lost are
    /// given again before a request is read.
    fn check_held(&self) {
        let known: BTreeSet<&TaskManagerId> = self.driver.containers().map(|(id, _)| id).collect();
        let told = self.containers.iter().filter(|(_, (_, state))| *state != State::Undelivered);
        let kept: Vec<&TaskManagerId> = told.map(|(id, _)| id).filter(|id| !known.contains(id)).collect();
        assert!(kept.is_empty(), "seed {}: {kept:?} are neither used nor given back\n{}", self.seed, self.last_trace());
    }

    fn deliver(&mut self) -> Allocation {
        let mut containers = Vec::new();
        for (container, state) in self.containers.values_mut().filter(|(_, state)| *state == State::Undelivered) {
            *state = State::Delivered;
            containers.push(container.clone());
        }
        Allocation {
            containers,
            completed: std::mem::take(&mut self.completed),
            preempted: std::mem::take(&mut self.preempted),
            cluster_nodes: 5,
            ..Allocation::default()
        }
    }

    fn allocate_more(&mut self) {
        let count = u32::try_from(self.draw(4)).unwrap().min(self.outstanding);
        self.outstanding -= count;
        let extra = u32::from(self.happens("too many", 5));
        for _ in 0..count + extra {
            self.next += 1;
            let mut container = container(self.next);
            if self.happens("wrong container", 2) {
                container.resource.memory_mb = 1;
                self.outstanding += 1;
            }
            self.containers.insert(container.id.clone(), (container, State::Undelivered));
        }
    }

    fn check_rest(&mut self) {
        let story = || format!("seed {}\n{}", self.seed, self.last_trace());
        let resources = self.resources();
        assert_eq!(resources.missing_slots, 0, "all slots are there: {}", story());
        let wanted = self.slots_wanted.div_ceil(SLOTS);
        let there: BTreeSet<&TaskManagerId> = self.containers.keys().collect();
        let held: BTreeSet<&TaskManagerId> = self.driver.containers().map(|(id, _)| id).collect();
        assert_eq!(there, held, "nothing leaks: {}", story());
        assert_eq!(there.len() as u32, wanted, "no more than wanted: {}", story());
        assert_eq!(self.outstanding, 0, "nothing is asked for in vain: {}", story());
    }
}
