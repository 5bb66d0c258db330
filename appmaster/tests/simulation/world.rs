use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Write as _};
use std::time::Duration;

use flink_appmaster::job_manager::random::Random;
use flink_appmaster::job_manager::{self as jm, ClientCall, ConnectionId, JobManager, JobManagerConfig, Now};
use flink_graph::{Configuration, ExecutionAttemptId, ExecutionState, JobId, TaskManagerId};
use flink_protocol::Envelope;
use flink_protocol::client::ClientResponseBody;
use flink_protocol::task_manager::{HardwareDescription, ProcessStatistics, ToJobManager, ToTaskManager};
use flink_protocol::worker::{FromWorker, ToWorker};
use flink_taskmanager::task_manager::{self as tm, TaskManagerConfig, TaskManagerCore, WorkerId};

use crate::clients::{Client, Phase};
use crate::jobs::random_job;
use crate::workers::{Output, Worker, WorkerKey};

/// What is broken on purpose, to see that it is noticed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Mutation {
    None,
    SplitTwice,
    SplitLost,
    SplitsNotGivenBack,
    FinishedNeverHeard,
    WorkersNeverStop,
}

/// How much goes wrong in a run; chances are in thousandths.
pub(crate) struct Profile {
    pub(crate) task_failure: u64,
    pub(crate) deaf_task: u64,
    lost: u64,
    doubled: u64,
    slowest_ms: u64,
    /// Pause between two faults of processes and connections, at the most.
    fault_pause_ms: u64,
    faults_end: Duration,
}

/// What a run came to.
pub(crate) struct Report {
    pub(crate) outcome: Result<(), String>,
    pub(crate) log: String,
    counts: BTreeMap<&'static str, u64>,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            task_failure: 0,
            deaf_task: 0,
            lost: 0,
            doubled: 0,
            slowest_ms: 20,
            fault_pause_ms: 0,
            faults_end: Duration::ZERO,
        }
    }
}

impl Report {
    pub(crate) fn empty() -> Self {
        Self { outcome: Ok(()), log: String::new(), counts: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        other.counts.iter().for_each(|(what, times)| *self.counts.entry(what).or_default() += times);
    }

    pub(crate) fn summary(&self) -> String {
        self.counts.iter().map(|(what, times)| format!("{what}: {times}\n")).collect()
    }

    /// A simulation in which nothing goes wrong proves nothing.
    pub(crate) fn assert_everything_happened(&self) {
        for what in [
            "message lost",
            "message doubled",
            "connection broken",
            "TaskManager killed",
            "TaskManager stopped for a while",
            "worker killed",
            "JobManager killed",
            "client killed",
            "task failed",
            "job finished",
            "job failed",
            "job canceled",
            "job restarted",
        ] {
            assert!(self.counts.get(what).is_some_and(|times| *times > 20), "{what}: hardly ever");
        }
    }
}

/// The other end of a connection to the JobManager.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Peer {
    TaskManager(usize),
    Client(usize),
}

struct Link {
    peer: Peer,
    /// Whether each end still thinks that it is open.
    at_job_manager: bool,
    at_peer: bool,
}

struct TaskManagerProcess {
    core: TaskManagerCore,
    link: Option<ConnectionId>,
    stopped_until: Duration,
    tick: Option<Duration>,
    life: u64,
}

enum Item {
    ToJobManager(ConnectionId, Box<jm::Event>),
    ToTaskManager(ConnectionId, Envelope<ToTaskManager>),
    ToClient(ConnectionId, Result<ClientResponseBody, String>),
    LinkLost(ConnectionId),
    Connect(usize, u64),
    JobManagerTick,
    TaskManagerTick(usize, u64),
    JobManagerStarts,
    TaskManagerStarts(usize),
    Fault,
    WorkerBoots(WorkerKey),
    ToWorker(WorkerKey, ToWorker),
    FromWorker(WorkerKey, FromWorker),
    WorkerExits(WorkerKey, String),
    TaskStep(WorkerKey, ExecutionAttemptId),
    ClientTurn(usize),
}

/// The whole cluster, and its time.
pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) profile: Profile,
    pub(crate) mutation: Mutation,
    pub(crate) clients: Vec<Client>,
    pub(crate) workers: BTreeMap<WorkerKey, Worker>,
    pub(crate) outputs: BTreeMap<ExecutionAttemptId, Output>,
    pub(crate) ended: BTreeSet<ExecutionAttemptId>,
    pub(crate) first_reader: BTreeMap<(JobId, i64), ExecutionAttemptId>,
    now: Duration,
    agenda: BTreeMap<(Duration, u64), Item>,
    next: u64,
    job_manager: Option<JobManager>,
    job_manager_since: Duration,
    job_manager_tick: Option<Duration>,
    epoch: u64,
    task_managers: Vec<Option<TaskManagerProcess>>,
    slots: u32,
    links: BTreeMap<ConnectionId, Link>,
    next_link: u64,
    client_links: Vec<Option<ConnectionId>>,
    with_log: bool,
    report: Report,
    seed: u64,
}

fn configuration() -> Configuration {
    let mut configuration = Configuration::default();
    configuration.set("heartbeat.interval", "1 s").set("heartbeat.timeout", "5 s");
    configuration
}

impl World {
    pub(crate) fn new(seed: u64, mutation: Mutation, with_log: bool) -> Self {
        let mut random = Random::new(seed);
        let profile = random_profile(&mut random, seed);
        let task_managers = 1 + random.below(3) as usize;
        let mut world = Self {
            profile,
            mutation,
            clients: Vec::new(),
            workers: BTreeMap::new(),
            outputs: BTreeMap::new(),
            ended: BTreeSet::new(),
            first_reader: BTreeMap::new(),
            now: Duration::ZERO,
            agenda: BTreeMap::new(),
            next: 0,
            job_manager: None,
            job_manager_since: Duration::ZERO,
            job_manager_tick: None,
            epoch: 0,
            task_managers: (0..task_managers).map(|_| None).collect(),
            slots: 1 + random.below(4) as u32,
            links: BTreeMap::new(),
            next_link: 0,
            client_links: Vec::new(),
            with_log,
            report: Report::empty(),
            seed,
            random,
        };
        world.populate();
        world
    }

    fn populate(&mut self) {
        self.after(Duration::ZERO, Item::JobManagerStarts);
        (0..self.task_managers.len())
            .for_each(|index| self.after(Duration::from_millis(10), Item::TaskManagerStarts(index)));
        for number in 0..1 + self.random.below(5) {
            let spec = random_job(&mut self.random, number);
            let cancels = self.random.below(6) == 0;
            self.clients.push(Client { spec, phase: Phase::Submitting, cancels, number: 0 });
            self.client_links.push(None);
            let start = Duration::from_millis(self.random.below(10_000));
            self.after(start, Item::ClientTurn(number as usize));
        }
        if self.profile.fault_pause_ms > 0 {
            self.after(Duration::from_secs(1), Item::Fault);
        }
    }

    /// Runs until every client knows how its job ended and the cluster has come to rest.
    pub(crate) fn run(mut self) -> Report {
        let latest = self.profile.faults_end + Duration::from_secs(1800);
        let mut rest_until = None;
        while self.report.outcome.is_ok() {
            let Some(((at, _), item)) = self.agenda.pop_first() else { break };
            self.now = at;
            if self.now > latest {
                self.jobs_must_have_ended();
                break;
            }
            if rest_until.is_some_and(|until| self.now > until) {
                self.nothing_must_be_left();
                break;
            }
            self.handle(item);
            let over = |client: &Client| matches!(client.phase, Phase::Ended(_) | Phase::GaveUp);
            if rest_until.is_none()
                && self.now > self.profile.faults_end
                && self.clients.iter().all(over)
                && self.idle()
            {
                rest_until = Some(self.now + Duration::from_secs(60));
            }
        }
        self.report
    }

    fn idle(&self) -> bool {
        self.job_manager.as_ref().is_some_and(|job_manager| job_manager.overview().jobs_running == 0)
    }

    fn jobs_must_have_ended(&mut self) {
        let open: Vec<String> =
            self.clients.iter().map(|c| format!("{}: {:?}", c.spec.graph.job_id, c.phase)).collect();
        let shown = self.job_manager.as_ref().map(|job_manager| {
            let jobs = job_manager.jobs();
            let waiting = jobs.iter().map(|job| job_manager.job_details(job.id).and_then(|job| job.waiting_for));
            format!("{:?} {:?}", jobs, waiting.collect::<Vec<_>>())
        });
        self.violation(format!("a job has not ended: {open:?}; {shown:?}"));
    }

    fn nothing_must_be_left(&mut self) {
        let Some(job_manager) = &self.job_manager else { return };
        let overview = job_manager.overview();
        let up = self.task_managers.iter().flatten().count();
        let mut left = Vec::new();
        if overview.slots_available != overview.slots_total || overview.slots_total != up as u32 * self.slots {
            left.push(format!("slots are left held: {overview:?}"));
        }
        if job_manager.task_managers().iter().any(|task_manager| !task_manager.allocated.is_empty()) {
            left.push("allocations are left".to_owned());
        }
        for process in self.task_managers.iter().flatten() {
            if process.core.jobs().next().is_some() || process.core.running().next().is_some() {
                left.push(format!("a worker or task is left on {}", process.core.id()));
            }
        }
        if !self.workers.is_empty() {
            left.push(format!("{} worker processes are left", self.workers.len()));
        }
        if !left.is_empty() {
            self.violation(left.join("; "));
        }
    }

    fn handle(&mut self, item: Item) {
        match item {
            Item::ToJobManager(link, event) => {
                if self.links.get(&link).is_some_and(|link| link.at_job_manager) {
                    self.job_manager_event(*event);
                }
            }
            Item::JobManagerTick => {
                self.job_manager_tick = None;
                self.job_manager_event(jm::Event::Tick);
            }
            Item::ToTaskManager(link, envelope) => self.deliver_to_task_manager(link, envelope),
            Item::ToClient(link, body) => {
                if let Some(Link { peer: Peer::Client(index), at_peer: true, .. }) = self.links.get(&link) {
                    let index = *index;
                    self.log("client", &(index, &body));
                    self.client_answered(index, body);
                }
            }
            Item::LinkLost(link) => self.peer_notices(link),
            Item::Connect(index, life) => self.connect_task_manager(index, life),
            Item::TaskManagerTick(index, life) => self.tick_task_manager(index, life),
            Item::JobManagerStarts => self.start_job_manager(),
            Item::TaskManagerStarts(index) => self.start_task_manager(index),
            Item::Fault => self.fault(),
            Item::WorkerBoots(key) => self.worker_booted(key),
            Item::ToWorker(key, message) => self.to_worker(key, message),
            Item::FromWorker(key, message) => {
                self.task_manager_event(key.0, key.1, tm::Event::FromWorker { worker: WorkerId(key.2), message });
            }
            Item::WorkerExits(key, reason) => {
                self.task_manager_event(key.0, key.1, tm::Event::WorkerExited { worker: WorkerId(key.2), reason });
            }
            Item::TaskStep(key, attempt) => self.task_step(key, attempt),
            Item::ClientTurn(index) => self.client_turn(index),
        }
    }

    // --- the JobManager ---

    fn start_job_manager(&mut self) {
        self.epoch += 1;
        self.job_manager_since = self.now;
        if let Ok(config) = JobManagerConfig::from_configuration(&configuration()) {
            self.job_manager = Some(JobManager::new(config, self.epoch, self.seed ^ self.epoch));
        }
        self.job_manager_event(jm::Event::Tick);
    }

    fn job_manager_event(&mut self, event: jm::Event) {
        let finished = |event: &jm::Event| match event {
            jm::Event::FromTaskManager { envelope, .. } => matches!(
                &envelope.message,
                ToJobManager::UpdateTaskExecutionState(update) if update.state == ExecutionState::Finished
            ),
            _ => false,
        };
        if self.mutation == Mutation::FinishedNeverHeard && finished(&event) {
            return;
        }
        self.log("JobManager", &event);
        let Some(job_manager) = &mut self.job_manager else { return };
        let elapsed = self.now - self.job_manager_since;
        let now = Now { elapsed, timestamp: self.now.as_millis() as i64 };
        let actions = job_manager.on_event(now, event);
        let deadline = job_manager.next_deadline().map(|at| at.max(elapsed) + self.job_manager_since);
        actions.into_iter().for_each(|action| self.job_manager_acts(action));
        if let Some(at) = deadline.filter(|at| self.job_manager_tick.is_none_or(|set| *at < set)) {
            self.job_manager_tick = Some(at);
            self.after(at - self.now, Item::JobManagerTick);
        }
    }

    fn job_manager_acts(&mut self, action: jm::Action) {
        self.log("  does", &action);
        match action {
            jm::Action::SendToTaskManager { connection, envelope } => {
                self.carry(|| Item::ToTaskManager(connection, envelope.clone()));
            }
            jm::Action::RespondToClient { connection, body, .. } => {
                self.carry(|| Item::ToClient(connection, body.clone()));
            }
            jm::Action::CloseConnection { connection } => {
                if let Some(link) = self.links.get_mut(&connection) {
                    link.at_job_manager = false;
                    self.after(Duration::from_millis(5), Item::LinkLost(connection));
                }
            }
            jm::Action::JobStatusChanged { status: flink_graph::JobStatus::Restarting, .. } => {
                self.happened("job restarted");
            }
            jm::Action::JobTerminated { .. } | jm::Action::JobStatusChanged { .. } => {}
        }
    }

    // --- TaskManagers ---

    fn start_task_manager(&mut self, index: usize) {
        let life = self.next;
        let mut own = configuration();
        own.set("taskmanager.numberOfTaskSlots", self.slots.to_string());
        let id = TaskManagerId(format!("tm-{index}-{life}"));
        let hardware = HardwareDescription::default();
        let Ok(config) = TaskManagerConfig::from_configuration(&own, id, format!("host-{index}"), hardware) else {
            return;
        };
        let core = TaskManagerCore::new(config, self.now);
        let process = TaskManagerProcess { core, link: None, stopped_until: Duration::ZERO, tick: None, life };
        self.task_managers[index] = Some(process);
        self.connect_later(index, life);
        self.task_manager_event(index, life, tm::Event::Tick);
    }

    fn connect_later(&mut self, index: usize, life: u64) {
        let pause = Duration::from_millis(20 + self.random.below(200));
        self.after(pause, Item::Connect(index, life));
    }

    fn connect_task_manager(&mut self, index: usize, life: u64) {
        let Some(process) = &self.task_managers[index] else { return };
        if process.life != life || process.link.is_some() {
            return;
        }
        if process.stopped_until > self.now {
            let pause = process.stopped_until - self.now;
            return self.after(pause, Item::Connect(index, life));
        }
        let Some(link) = self.open_link(Peer::TaskManager(index)) else { return self.connect_later(index, life) };
        if let Some(process) = &mut self.task_managers[index] {
            process.link = Some(link);
        }
        self.task_manager_event(index, life, tm::Event::Connected);
    }

    fn deliver_to_task_manager(&mut self, link: ConnectionId, envelope: Envelope<ToTaskManager>) {
        let Some(Link { peer: Peer::TaskManager(index), at_peer: true, .. }) = self.links.get(&link) else { return };
        let index = *index;
        let Some(process) = self.task_managers[index].as_ref().filter(|process| process.link == Some(link)) else {
            return;
        };
        if process.stopped_until > self.now {
            let pause = process.stopped_until - self.now;
            return self.after(pause, Item::ToTaskManager(link, envelope));
        }
        let life = process.life;
        self.task_manager_event(index, life, tm::Event::FromJobManager(envelope));
    }

    fn tick_task_manager(&mut self, index: usize, life: u64) {
        let Some(process) = self.task_managers[index].as_mut().filter(|process| process.life == life) else { return };
        process.tick = None;
        self.task_manager_event(index, life, tm::Event::Tick);
    }

    fn task_manager_event(&mut self, index: usize, life: u64, event: tm::Event) {
        let Some(process) = self.task_managers[index].as_mut().filter(|process| process.life == life) else { return };
        if process.stopped_until > self.now {
            let pause = process.stopped_until - self.now;
            return self.retry_when_running(index, life, event, pause);
        }
        if self.with_log {
            let _ = writeln!(self.report.log, "{:?} tm-{index}-{life} {event:?}", self.now);
        }
        let actions = process.core.on_event(self.now, event);
        actions.into_iter().for_each(|action| self.task_manager_acts(index, life, action));
        let Some(process) = self.task_managers[index].as_mut().filter(|process| process.life == life) else { return };
        let deadline = process.core.next_deadline().map(|at| at.max(self.now));
        if let Some(at) = deadline.filter(|at| process.tick.is_none_or(|set| *at < set)) {
            process.tick = Some(at);
            self.after(at - self.now, Item::TaskManagerTick(index, life));
        }
    }

    /// A process that is stopped (SIGSTOP) handles what came in the meantime when it goes on.
    fn retry_when_running(&mut self, index: usize, life: u64, event: tm::Event, pause: Duration) {
        match event {
            tm::Event::FromWorker { worker, message } => {
                self.after(pause, Item::FromWorker((index, life, worker.0), message));
            }
            tm::Event::WorkerExited { worker, reason } => {
                self.after(pause, Item::WorkerExits((index, life, worker.0), reason));
            }
            tm::Event::Tick => {
                if let Some(process) = &mut self.task_managers[index] {
                    process.tick = Some(self.now + pause);
                }
                self.after(pause, Item::TaskManagerTick(index, life));
            }
            // Connections of a stopped process are opened and lost when it runs again.
            _ => {}
        }
    }

    fn task_manager_acts(&mut self, index: usize, life: u64, action: tm::Action) {
        if self.with_log {
            let _ = writeln!(self.report.log, "  does {action:?}");
        }
        let link = self.task_managers[index].as_ref().and_then(|process| process.link);
        match action {
            tm::Action::SendToJobManager(envelope) => {
                if let Some(connection) = link {
                    let event = jm::Event::FromTaskManager { connection, envelope };
                    self.carry(|| Item::ToJobManager(connection, Box::new(event.clone())));
                }
            }
            tm::Action::CloseConnection => {
                link.iter().for_each(|link| self.close_by_peer(*link));
                if let Some(process) = &mut self.task_managers[index] {
                    process.link = None;
                }
                self.connect_later(index, life);
            }
            tm::Action::SpawnWorker { worker, information } => {
                let key = (index, life, worker.0);
                let address = format!("tm-{index}-{life}:{}", worker.0);
                self.workers.insert(key, Worker::new(address, &information.graph));
                let pause = Duration::from_millis(5 + self.random.below(300));
                self.after(pause, Item::WorkerBoots(key));
            }
            tm::Action::SendToWorker { worker, message } => {
                self.after(Duration::from_millis(1), Item::ToWorker((index, life, worker.0), message));
            }
            tm::Action::KillWorker { worker, .. } if self.mutation != Mutation::WorkersNeverStop => {
                self.worker_gone((index, life, worker.0), "killed");
            }
            tm::Action::CollectStatistics => {
                self.task_manager_event(index, life, tm::Event::Statistics(ProcessStatistics::default()));
            }
            tm::Action::Terminate { .. } => self.kill_task_manager(index),
            _ => {}
        }
    }

    // --- workers and clients ---

    pub(crate) fn from_worker(&mut self, key: WorkerKey, message: FromWorker) {
        self.after(Duration::from_millis(1), Item::FromWorker(key, message));
    }

    pub(crate) fn worker_exited(&mut self, key: WorkerKey, reason: &str) {
        self.after(Duration::from_millis(1), Item::WorkerExits(key, reason.to_owned()));
    }

    pub(crate) fn step_later(&mut self, key: WorkerKey, attempt: ExecutionAttemptId, most_ms: u64) {
        let pause = Duration::from_millis(1 + self.random.below(most_ms));
        self.after(pause, Item::TaskStep(key, attempt));
    }

    pub(crate) fn client_later(&mut self, index: usize, pause: Duration) {
        self.after(pause, Item::ClientTurn(index));
    }

    pub(crate) fn request(&mut self, index: usize, call: ClientCall) {
        let open = self.client_links[index].filter(|link| self.links.get(link).is_some_and(|link| link.at_peer));
        let Some(connection) = open.or_else(|| self.open_link(Peer::Client(index))) else { return };
        self.client_links[index] = Some(connection);
        self.clients[index].number += 1;
        let number = self.clients[index].number;
        let event = jm::Event::FromClient { connection, number, call };
        self.carry(|| Item::ToJobManager(connection, Box::new(event.clone())));
    }

    // --- the network ---

    fn open_link(&mut self, peer: Peer) -> Option<ConnectionId> {
        self.job_manager.as_ref()?;
        let connection = ConnectionId(self.next_link);
        self.next_link += 1;
        self.links.insert(connection, Link { peer, at_job_manager: true, at_peer: true });
        let address = format!("{peer:?}");
        self.job_manager_event(jm::Event::Connected { connection, address });
        Some(connection)
    }

    /// Carries a message, unless it gets lost; perhaps twice; the later may overtake the earlier.
    fn carry(&mut self, item: impl Fn() -> Item) {
        if self.chance(self.profile.lost) {
            return self.happened("message lost");
        }
        let copies = if self.chance(self.profile.doubled) { 2 } else { 1 };
        if copies == 2 {
            self.happened("message doubled");
        }
        for _ in 0..copies {
            let slowest = if self.faults_go_on() { self.profile.slowest_ms } else { 1 };
            let pause = Duration::from_millis(1 + self.random.below(slowest));
            self.after(pause, item());
        }
    }

    fn close_by_peer(&mut self, connection: ConnectionId) {
        let Some(link) = self.links.get_mut(&connection) else { return };
        link.at_peer = false;
        self.tell_job_manager_of_loss(connection);
    }

    fn tell_job_manager_of_loss(&mut self, connection: ConnectionId) {
        if self.links.get(&connection).is_some_and(|link| link.at_job_manager) {
            // Nothing is delivered after the loss was noticed.
            self.job_manager_event(jm::Event::Disconnected { connection });
        }
        if let Some(link) = self.links.get_mut(&connection) {
            link.at_job_manager = false;
        }
    }

    fn peer_notices(&mut self, connection: ConnectionId) {
        let Some(link) = self.links.get_mut(&connection).filter(|link| link.at_peer) else { return };
        let peer = link.peer;
        if let Peer::TaskManager(index) = peer
            && let Some(process) = self.task_managers[index].as_mut().filter(|process| process.link == Some(connection))
        {
            if process.stopped_until > self.now {
                let pause = process.stopped_until - self.now;
                return self.after(pause, Item::LinkLost(connection));
            }
            process.link = None;
            let life = process.life;
            self.task_manager_event(index, life, tm::Event::Disconnected);
            self.connect_later(index, life);
        }
        if let Some(link) = self.links.get_mut(&connection) {
            link.at_peer = false;
        }
    }

    // --- faults ---

    pub(crate) fn faults_go_on(&self) -> bool {
        self.now < self.profile.faults_end
    }

    /// True with a chance of so many thousandths, as long as things may go wrong.
    pub(crate) fn chance(&mut self, thousandths: u64) -> bool {
        self.random.below(1000) < thousandths && self.faults_go_on()
    }

    fn fault(&mut self) {
        if !self.faults_go_on() {
            return;
        }
        let task_manager = self.random.below(self.task_managers.len() as u64) as usize;
        match self.random.below(12) {
            0 | 1 => self.kill_task_manager(task_manager),
            2 => self.stop_task_manager(task_manager),
            3..=5 => self.kill_some_worker(),
            6 => self.kill_job_manager(),
            7 => self.kill_some_client(),
            _ => self.break_some_link(),
        }
        let pause = Duration::from_millis(500 + self.random.below(self.profile.fault_pause_ms));
        self.after(pause, Item::Fault);
    }

    fn kill_task_manager(&mut self, index: usize) {
        let Some(process) = self.task_managers[index].take() else { return };
        self.happened("TaskManager killed");
        let life = process.life;
        process.link.iter().for_each(|link| self.close_by_peer(*link));
        let workers: Vec<WorkerKey> =
            self.workers.keys().filter(|key| (key.0, key.1) == (index, life)).copied().collect();
        workers.into_iter().for_each(|key| self.worker_gone(key, "its TaskManager is gone"));
        let pause = Duration::from_millis(200 + self.random.below(15_000));
        self.after(pause, Item::TaskManagerStarts(index));
    }

    fn stop_task_manager(&mut self, index: usize) {
        let until = self.now + Duration::from_millis(self.random.below(15_000));
        if let Some(process) = &mut self.task_managers[index] {
            process.stopped_until = until;
            self.happened("TaskManager stopped for a while");
        }
    }

    fn kill_some_worker(&mut self) {
        let nth = self.random.below(self.workers.len() as u64) as usize;
        if let Some(key) = self.workers.keys().nth(nth).copied() {
            self.happened("worker killed");
            self.worker_gone(key, "killed by chance");
        }
    }

    fn kill_job_manager(&mut self) {
        if self.job_manager.take().is_none() {
            return;
        }
        self.happened("JobManager killed");
        let links: Vec<ConnectionId> = self.links.keys().copied().collect();
        for connection in links {
            if let Some(link) = self.links.get_mut(&connection) {
                link.at_job_manager = false;
            }
            let pause = Duration::from_millis(self.random.below(100));
            self.after(pause, Item::LinkLost(connection));
        }
        let pause = Duration::from_millis(100 + self.random.below(8_000));
        self.after(pause, Item::JobManagerStarts);
    }

    fn kill_some_client(&mut self) {
        let index = self.random.below(self.clients.len() as u64) as usize;
        self.happened("client killed");
        self.client_links[index].take().iter().for_each(|link| self.close_by_peer(*link));
        // It starts again with what it has on disk: the job that it wanted to run.
        if self.clients[index].phase == Phase::Waiting {
            self.clients[index].phase = Phase::Submitting;
        }
    }

    fn break_some_link(&mut self) {
        let open: Vec<ConnectionId> =
            self.links.iter().filter(|(_, l)| l.at_peer && l.at_job_manager).map(|(id, _)| *id).collect();
        let Some(connection) = open.get(self.random.below(open.len() as u64) as usize).copied() else { return };
        self.happened("connection broken");
        self.tell_job_manager_of_loss(connection);
        let pause = Duration::from_millis(self.random.below(3000));
        self.after(pause, Item::LinkLost(connection));
    }

    // --- book-keeping ---

    fn after(&mut self, pause: Duration, item: Item) {
        self.agenda.insert((self.now + pause, self.next), item);
        self.next += 1;
    }

    pub(crate) fn happened(&mut self, what: &'static str) {
        *self.report.counts.entry(what).or_default() += 1;
        self.log("*", &what);
    }

    pub(crate) fn violation(&mut self, what: String) {
        self.log("VIOLATION", &what);
        if self.report.outcome.is_ok() {
            self.report.outcome = Err(what);
        }
    }

    fn log(&mut self, who: &str, what: &dyn Debug) {
        if self.with_log {
            let _ = writeln!(self.report.log, "{:?} {who} {what:?}", self.now);
        }
    }
}

/// Some runs are calm, some are wild.
fn random_profile(random: &mut Random, seed: u64) -> Profile {
    if seed % 10 == 0 {
        return Profile::default();
    }
    Profile {
        task_failure: [0, 20, 100][random.below(3) as usize],
        deaf_task: [0, 100][random.below(2) as usize],
        lost: [0, 10, 100][random.below(3) as usize],
        doubled: [0, 20, 200][random.below(3) as usize],
        slowest_ms: [5, 100, 2000][random.below(3) as usize],
        fault_pause_ms: [0, 3_000, 10_000, 30_000][random.below(4) as usize],
        faults_end: Duration::from_secs(20 + random.below(60)),
    }
}
