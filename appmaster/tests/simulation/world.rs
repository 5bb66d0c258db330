use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Write as _};
use std::time::Duration;

use fastrand::Rng;
use flink_appmaster::job_manager::{self as jm, ClientCall, ConnectionId, JobManager};
use flink_graph::{Configuration, ExecutionAttemptId, JobId};
use flink_protocol::Envelope;
use flink_protocol::client::ClientResponseBody;
use flink_protocol::task_manager::ToTaskManager;
use flink_protocol::worker::{FromWorker, ToWorker};
use flink_taskmanager::task_manager::{self as tm, TaskManagerCore, WorkerId};

use crate::clients::{Client, Phase};
use crate::jobs::random_job;
use crate::store::{Store, Zombie};
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
    StoreForgets,
    ZombieTells,
}

/// How much goes wrong in a run; chances are in thousandths.
pub(crate) struct Profile {
    pub(crate) task_failure: u64,
    pub(crate) deaf_task: u64,
    pub(crate) late_worker: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) slowest_ms: u64,
    /// Pause between two faults of processes and connections, at the most.
    pub(crate) fault_pause_ms: u64,
    pub(crate) faults_end: Duration,
}

/// What a run came to.
pub(crate) struct Report {
    pub(crate) outcome: Result<(), String>,
    pub(crate) log: String,
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            task_failure: 0,
            deaf_task: 0,
            late_worker: 0,
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
            "worker started late",
            "worker never started",
            "JobManager killed",
            "client killed",
            "task failed",
            "job finished",
            "job failed",
            "job canceled",
            "job restarted",
            "tokens renewed",
            "tokens not stored",
            "job taken over",
            "result told again",
            "write lost",
            "write without a writer",
            "JobManager stood still",
            "job ended under a replaced JobManager",
        ] {
            assert!(self.counts.get(what).is_some_and(|times| *times > 20), "{what}: hardly ever");
        }
    }
}

/// The other end of a connection to the JobManager.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Peer {
    TaskManager(usize),
    Client(usize),
}

pub(crate) struct Link {
    pub(crate) peer: Peer,
    /// To which JobManager.
    pub(crate) epoch: u64,
    /// Whether each end still thinks that it is open.
    pub(crate) at_job_manager: bool,
    pub(crate) at_peer: bool,
}

pub(crate) struct TaskManagerProcess {
    pub(crate) core: TaskManagerCore,
    pub(crate) link: Option<ConnectionId>,
    pub(crate) stopped_until: Duration,
    pub(crate) tick: Option<Duration>,
    pub(crate) life: u64,
}

pub(crate) enum Item {
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
    NewTokens,
    TokensStored(usize, u64, u64, u64),
    /// Under this epoch, the write of this number.
    Written(u64, u64),
    ZombieGoesOn(u64),
    ZombieTick(u64),
    ZombieEnds(u64),
}

/// The whole cluster, and its time.
pub(crate) struct World {
    pub(crate) random: Rng,
    pub(crate) profile: Profile,
    pub(crate) mutation: Mutation,
    pub(crate) clients: Vec<Client>,
    pub(crate) workers: BTreeMap<WorkerKey, Worker>,
    pub(crate) outputs: BTreeMap<ExecutionAttemptId, Output>,
    pub(crate) ended: BTreeSet<ExecutionAttemptId>,
    pub(crate) first_reader: BTreeMap<(JobId, i64), ExecutionAttemptId>,
    pub(crate) now: Duration,
    pub(crate) agenda: BTreeMap<(Duration, u64), Item>,
    pub(crate) next: u64,
    pub(crate) job_manager: Option<JobManager>,
    /// What outlives it, in half of the runs.
    pub(crate) store: Option<Store>,
    pub(crate) zombie: Option<Zombie>,
    pub(crate) job_manager_since: Duration,
    pub(crate) job_manager_tick: Option<Duration>,
    pub(crate) epoch: u64,
    pub(crate) task_managers: Vec<Option<TaskManagerProcess>>,
    pub(crate) slots: u32,
    pub(crate) links: BTreeMap<ConnectionId, Link>,
    pub(crate) next_link: u64,
    pub(crate) client_links: Vec<Option<ConnectionId>>,
    pub(crate) with_log: bool,
    pub(crate) report: Report,
    pub(crate) seed: u64,
    /// Decides about tokens alone.
    pub(crate) chance_of_tokens: Rng,
    /// How often the present JobManager was given tokens.
    pub(crate) tokens: u64,
}

pub(crate) fn configuration() -> Configuration {
    let mut configuration = Configuration::default();
    configuration.set("heartbeat.interval", "1 s").set("heartbeat.timeout", "5 s");
    configuration.set("taskmanager.worker.start-timeout", "30 s");
    configuration
}

impl World {
    pub(crate) fn new(seed: u64, mutation: Mutation, with_log: bool) -> Self {
        let mut random = Rng::with_seed(seed);
        let profile = random_profile(&mut random, seed);
        let task_managers = 1 + random.u64(..3) as usize;
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
            store: (seed % 2 == 1).then(Store::default),
            zombie: None,
            job_manager_since: Duration::ZERO,
            job_manager_tick: None,
            epoch: 0,
            task_managers: (0..task_managers).map(|_| None).collect(),
            slots: 1 + random.u64(..4) as u32,
            links: BTreeMap::new(),
            next_link: 0,
            client_links: Vec::new(),
            with_log,
            report: Report::empty(),
            seed,
            random,
            chance_of_tokens: Rng::with_seed(!seed),
            tokens: 0,
        };
        world.populate();
        world
    }

    pub(crate) fn populate(&mut self) {
        self.after(Duration::ZERO, Item::JobManagerStarts);
        (0..self.task_managers.len())
            .for_each(|index| self.after(Duration::from_millis(10), Item::TaskManagerStarts(index)));
        for number in 0..1 + self.random.u64(..5) {
            let spec = random_job(&mut self.random, number);
            let cancels = self.random.u64(..6) == 0;
            self.clients.push(Client { spec, phase: Phase::Submitting, cancels, number: 0, told: None });
            self.client_links.push(None);
            let start = Duration::from_millis(self.random.u64(..10_000));
            self.after(start, Item::ClientTurn(number as usize));
        }
        if self.profile.fault_pause_ms > 0 {
            self.after(Duration::from_secs(1), Item::Fault);
        }
        self.after(Duration::from_secs(2), Item::NewTokens);
    }

    /// Runs until every client knows how its job ended and the cluster has come to rest.
    pub(crate) fn run(mut self) -> Report {
        let patience = if self.mutation == Mutation::None { 1800 } else { 600 };
        let latest = self.profile.faults_end + Duration::from_secs(patience);
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

    pub(crate) fn idle(&self) -> bool {
        let rests = |job_manager: &JobManager| job_manager.overview().jobs_running == 0;
        self.zombie.is_none() && self.job_manager.as_ref().is_some_and(rests)
    }

    pub(crate) fn jobs_must_have_ended(&mut self) {
        let open: Vec<String> =
            self.clients.iter().map(|c| format!("{}: {:?}", c.spec.graph.job_id, c.phase)).collect();
        let shown = self.job_manager.as_ref().map(|job_manager| {
            let jobs = job_manager.jobs();
            let waiting = jobs.iter().map(|job| job_manager.job_details(job.id).and_then(|job| job.waiting_for));
            format!("{:?} {:?}", jobs, waiting.collect::<Vec<_>>())
        });
        self.violation(format!("a job has not ended: {open:?}; {shown:?}"));
    }

    pub(crate) fn nothing_must_be_left(&mut self) {
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
            if process.core.delegation_tokens() != self.tokens {
                left.push(format!("{} has old tokens", process.core.id()));
            }
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

    pub(crate) fn handle(&mut self, item: Item) {
        match item {
            Item::ToJobManager(link, event) => {
                if self.links.get(&link).is_some_and(|link| link.at_job_manager) {
                    self.event_of_link(link, *event);
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
            Item::NewTokens => self.renew_tokens(),
            Item::Written(epoch, number) => self.written(epoch, number),
            Item::ZombieGoesOn(epoch) => self.zombie_goes_on(epoch),
            Item::ZombieTick(epoch) => self.zombie_ticks(epoch),
            Item::ZombieEnds(epoch) => self.zombie_ends(epoch),
            Item::TokensStored(index, life, epoch, version) => {
                self.task_manager_event(index, life, tm::Event::TokensStored { epoch, version });
            }
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
        let pause = Duration::from_millis(1 + self.random.u64(..most_ms));
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

    // --- book-keeping ---

    pub(crate) fn after(&mut self, pause: Duration, item: Item) {
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

    pub(crate) fn log(&mut self, who: &str, what: &dyn Debug) {
        if self.with_log {
            let _ = writeln!(self.report.log, "{:?} {who} {what:?}", self.now);
        }
    }
}

/// Some runs are calm, some are wild.
fn random_profile(random: &mut Rng, seed: u64) -> Profile {
    if seed.is_multiple_of(10) {
        return Profile::default();
    }
    Profile {
        task_failure: [0, 20, 100][random.u64(..3) as usize],
        deaf_task: [0, 100][random.u64(..2) as usize],
        late_worker: [0, 0, 100, 400][random.u64(..4) as usize],
        lost: [0, 10, 100][random.u64(..3) as usize],
        doubled: [0, 20, 200][random.u64(..3) as usize],
        slowest_ms: [5, 100, 2000][random.u64(..3) as usize],
        fault_pause_ms: [0, 3_000, 10_000, 30_000][random.u64(..4) as usize],
        faults_end: Duration::from_secs(20 + random.u64(..60)),
    }
}
