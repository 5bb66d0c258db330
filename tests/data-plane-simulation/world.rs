//! A job's tasks, links and JobManager on one thread, in virtual time.
//!
//! A task is stepped only when it was woken, when it said that it did work, or when its time has come. So a wake-up that
//! is lost leaves the run with nothing to do and tasks that have not ended, which is reported with the seed.

/// The JobManager of the simulated cluster.
mod job_manager;

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flink_graph::{Accumulators, ExecutionState, InputSplit, JobGraph};
use flink_protocol::task_manager::{TaskFailure, TaskStateUpdate};
use flink_taskmanager::driver::SplitExchange;
use flink_taskmanager::network::{PartitionDirectory, SubpartitionView};
use flink_taskmanager::operator::TaskWaker;
use flink_taskmanager::partitions::Partitions;
use flink_taskmanager::setup::JobProgram;
use flink_taskmanager::task::{Task, TaskMailbox, TaskStep};

use crate::cluster::Fault;
use crate::deployment::Deployment;
use crate::network::Network;
use crate::random::Random;
use crate::settings::{Policy, Settings};

/// Virtual time without a step of any task after which nothing will ever happen: longer than any time-out of a link.
const STANDSTILL: Duration = Duration::from_secs(60);

/// Steps after which a run counts as one that goes round in circles.
const MAX_STEPS: u64 = 20_000_000;

/// A subtask's task and what others see of it.
struct ScheduledTask {
    task: Option<Task>,
    ready: Arc<AtomicBool>,
    waker: TaskWaker,
    wake_at: Option<Duration>,
    said: Option<TaskStep>,
    state: ExecutionState,
    mailbox: Arc<TaskMailbox>,
    splits: Arc<SplitExchange>,
    outputs: Vec<Arc<dyn SubpartitionView>>,
}

/// What happens at a certain time.
enum Event {
    Deploy(usize),
    AnswerSplit { subtask: usize, request: u64 },
    RepeatAnswer { subtask: usize, request: u64, split: Option<InputSplit> },
    Cancel(usize),
}

/// One line of the event log: when, who (links count on behind the tasks), and what it came to.
pub(crate) type LogLine = (u64, usize, u8);

/// How a run ended.
pub(crate) struct Outcome {
    pub(crate) states: Vec<ExecutionState>,
    /// In the order in which they were reported.
    pub(crate) failures: Vec<(usize, TaskFailure)>,
    pub(crate) accumulators: Accumulators,
    /// Records that went from task to task.
    pub(crate) records: u64,
    pub(crate) log: Vec<LogLine>,
    pub(crate) fault_fired: bool,
    /// Workers (consumer, producer) of a connection that was cut.
    pub(crate) severed: Option<(usize, usize)>,
    pub(crate) deployment: Deployment,
    /// Most bytes that a connection held.
    pub(crate) peak_link_bytes: usize,
    /// Most chunks that a queue held.
    pub(crate) peak_backlog: u64,
}

type Shared<T> = Arc<Mutex<Vec<T>>>;

pub(crate) struct World<'a> {
    settings: Settings,
    random: Random,
    now: Duration,
    /// The time of the step, in nanoseconds, as tasks see it.
    clock: Arc<AtomicU64>,
    last_step: Duration,
    steps: u64,
    deployment: Deployment,
    graph: Arc<JobGraph>,
    program: Arc<dyn JobProgram>,
    directory: &'a Path,
    partitions: Vec<Arc<Partitions>>,
    network: Arc<Network>,
    seats: Vec<ScheduledTask>,
    last_stepped: usize,
    events: BTreeMap<(Duration, u64), Event>,
    scheduled: u64,
    unassigned: BTreeMap<usize, VecDeque<InputSplit>>,
    requests: Shared<(usize, u64)>,
    updates: Shared<TaskStateUpdate>,
    parts: BTreeMap<usize, Accumulators>,
    records: (u64, u64),
    failures: Vec<(usize, TaskFailure)>,
    log: Vec<LogLine>,
    fault: Option<Fault>,
    fault_fired: bool,
    severed: Option<(usize, usize)>,
    /// Chunks that one input record may make beyond the capacity of a channel.
    expansion: u64,
    peak_backlog: u64,
}

impl<'a> World<'a> {
    pub(crate) fn new(
        mut graph: JobGraph,
        program: Arc<dyn JobProgram>,
        settings: Settings,
        mut random: Random,
        directory: &'a Path,
        fault: Option<Fault>,
        expansion: u64,
    ) -> Self {
        let splits = graph.vertices.iter_mut().map(|vertex| vertex.input_splits.replace(Vec::new()));
        let unassigned = splits.map(|splits| splits.unwrap_or_default().into()).enumerate().collect();
        let deployment = Deployment::draw(graph, settings.workers, &mut random);
        let partitions: Vec<_> = (0..settings.workers).map(|_| Arc::new(Partitions::default())).collect();
        let links = Random::new(random.next());
        let network = Network::new(deployment.graph.job_id, &settings, &partitions, links);
        let mut this = Self {
            settings,
            random,
            now: Duration::ZERO,
            clock: Arc::default(),
            last_step: Duration::ZERO,
            steps: 0,
            graph: Arc::new(deployment.graph.clone()),
            deployment,
            program,
            directory,
            partitions,
            network,
            seats: Vec::new(),
            last_stepped: 0,
            events: BTreeMap::new(),
            scheduled: 0,
            unassigned,
            requests: Shared::default(),
            updates: Shared::default(),
            parts: BTreeMap::new(),
            records: (0, 0),
            failures: Vec::new(),
            log: Vec::new(),
            fault,
            fault_fired: false,
            severed: None,
            expansion,
            peak_backlog: 0,
        };
        this.seats = (0..this.deployment.subtasks.len()).map(|index| this.seat(index)).collect();
        for index in 0..this.seats.len() {
            if this.deployment.subtasks[index].awaited.is_empty() {
                let delay = this.delay(this.settings.deployment);
                this.at(delay, Event::Deploy(index));
            }
        }
        this
    }

    fn seat(&self, index: usize) -> ScheduledTask {
        let ready = Arc::new(AtomicBool::new(false));
        let woken = ready.clone();
        let requests = self.requests.clone();
        let request = move |number| requests.lock().unwrap().push((index, number));
        ScheduledTask {
            task: None,
            ready,
            waker: TaskWaker::new(move || woken.store(true, Ordering::Release)),
            wake_at: None,
            said: None,
            state: ExecutionState::Created,
            mailbox: Arc::default(),
            splits: Arc::new(SplitExchange::new(request)),
            outputs: Vec::new(),
        }
    }

    fn delay(&mut self, longest: Duration) -> Duration {
        Duration::from_nanos(self.random.between(0, longest.as_nanos() as u64))
    }

    fn at(&mut self, delay: Duration, event: Event) {
        self.scheduled += 1;
        // What happens at one time happens in any order.
        let number = self.random.next() << 32 | self.scheduled;
        self.events.insert((self.now + delay, number), event);
    }

    /// Runs until every task has ended.
    pub(crate) fn run(mut self) -> Outcome {
        while !self.has_ended() {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                self.give_up("no end after so many steps: the tasks go round in circles");
            }
            self.inject_fault();
            self.fire_due_events();
            self.wake_for_nothing();
            if !self.move_something() && !self.has_ended() {
                self.skip_time();
            }
        }
        self.check_end();
        let accumulators = self.parts.values().fold(Accumulators::default(), |mut all, part| {
            all.merge(part).expect("accumulators of one kind");
            all
        });
        Outcome {
            states: self.seats.iter().map(|seat| seat.state).collect(),
            failures: self.failures,
            accumulators,
            records: self.records.0,
            log: self.log,
            fault_fired: self.fault_fired,
            severed: self.severed,
            peak_link_bytes: self.network.peak_bytes(),
            deployment: self.deployment,
            peak_backlog: self.peak_backlog,
        }
    }

    fn has_ended(&self) -> bool {
        self.seats.iter().all(|seat| seat.state.is_terminal())
    }

    fn fire_due_events(&mut self) {
        while let Some(entry) = self.events.first_entry()
            && entry.key().0 <= self.now
        {
            match entry.remove() {
                Event::Deploy(index) => self.deploy(index),
                Event::AnswerSplit { subtask, request } => self.answer_split(subtask, request),
                Event::RepeatAnswer { subtask, request, split } => self.give_split(subtask, request, split),
                Event::Cancel(index) => self.cancel(index),
            }
        }
    }

    fn wake_for_nothing(&mut self) {
        if self.settings.spurious_wakes && self.random.once_in(64) {
            let seat = &self.seats[self.random.below(self.seats.len())];
            seat.waker.wake();
        }
    }

    fn move_something(&mut self) -> bool {
        let ready: Vec<usize> = (0..self.seats.len()).filter(|index| self.can_go_on(*index)).collect();
        let active = self.network.active();
        let link = active > 0 && (ready.is_empty() || self.random.between(0, 7) < self.settings.link_turns);
        if link {
            let choice = self.random.below(active);
            let (index, moved) = self.network.step(choice, self.now);
            self.log.push((self.now.as_nanos() as u64, self.seats.len() + index, u8::from(moved)));
        } else if let Some(index) = self.choose(&ready) {
            self.step(index);
        }
        link || !ready.is_empty()
    }

    fn can_go_on(&self, index: usize) -> bool {
        let seat = &self.seats[index];
        let due = seat.wake_at.is_some_and(|at| at <= self.now);
        seat.task.is_some() && (due || seat.ready.load(Ordering::Acquire))
    }

    fn choose(&mut self, ready: &[usize]) -> Option<usize> {
        let any = *ready.get(self.random.below(ready.len()))?;
        // Now and then out of line, or a policy would hide what others show.
        if self.random.once_in(16) {
            return Some(any);
        }
        match self.settings.policy {
            Policy::Uniform => Some(any),
            Policy::UpstreamFirst => ready.first().copied(),
            Policy::DownstreamFirst => ready.last().copied(),
            Policy::Sticky if ready.contains(&self.last_stepped) => Some(self.last_stepped),
            Policy::Sticky => Some(any),
            Policy::Starve(one) if any == one % self.seats.len() => {
                ready.iter().copied().find(|i| *i != any).or(Some(any))
            }
            Policy::Starve(_) => Some(any),
        }
    }

    fn step(&mut self, index: usize) {
        let took = self.delay(self.settings.max_step);
        let (now, seat) = (self.now, &mut self.seats[index]);
        self.clock.store(now.as_nanos() as u64, Ordering::Relaxed);
        seat.ready.store(false, Ordering::Release);
        seat.wake_at = None;
        let Some(task) = &mut seat.task else { return };
        let said = task.step(|| now);
        seat.said = Some(said);
        match said {
            TaskStep::Ended => seat.task = None,
            TaskStep::Ready => seat.ready.store(true, Ordering::Release),
            TaskStep::Waiting(until) => seat.wake_at = until,
        }
        self.log.push((now.as_nanos() as u64, index, code(said)));
        self.last_stepped = index;
        self.now += took;
        self.last_step = self.now;
        self.after_task(index);
    }

    /// What a worker does with what its task said while it was stepped.
    fn after_task(&mut self, index: usize) {
        self.check_bound(index);
        self.network.after_task(self.deployment.subtasks[index].worker, self.now);
        for (subtask, request) in drain(&self.requests) {
            let delay = self.delay(self.settings.max_split_delay);
            self.at(delay, Event::AnswerSplit { subtask, request });
        }
        for update in drain(&self.updates) {
            self.on_update(index, update);
        }
    }

    fn observe(&mut self, index: usize) {
        let directory = &self.partitions[self.deployment.subtasks[index].worker];
        for output in self.deployment.descriptor(index).outputs {
            let views = (0..output.subpartitions).filter_map(|number| directory.open(output.partition, number).ok());
            self.seats[index].outputs.extend(views);
        }
    }

    /// No queue holds more than its capacity and what one input record makes, a flush, and the end.
    fn check_bound(&mut self, index: usize) {
        let backlog = self.seats[index].outputs.iter().map(|view| u64::from(view.backlog())).max().unwrap_or(0);
        self.peak_backlog = self.peak_backlog.max(backlog);
        if backlog > self.settings.capacity + self.expansion + 2 {
            self.give_up(&format!("{} has {backlog} chunks in a queue", self.deployment.name(index)));
        }
    }

    fn skip_time(&mut self) {
        let own = self.seats.iter().filter(|seat| seat.task.is_some()).filter_map(|seat| seat.wake_at);
        let own = own.chain(self.events.first_key_value().map(|((at, _), _)| *at)).min();
        let next = own.into_iter().chain(self.network.next_event()).min();
        match next {
            Some(next) if own.is_some() || next < self.last_step + STANDSTILL => self.now = self.now.max(next),
            _ => self.give_up("deadlock: no task can go on, nothing is on its way"),
        }
        self.network.wake_due(self.now);
    }

    fn check_end(&self) {
        if !self.seats.iter().all(|seat| seat.state == ExecutionState::Finished) {
            return;
        }
        assert_eq!(self.records.0, self.records.1, "records sent and received");
        for seat in &self.seats {
            assert!(seat.outputs.iter().all(|view| view.backlog() == 0), "something was left in a queue");
        }
    }

    fn give_up(&self, problem: &str) -> ! {
        let mut text = format!("{problem}\nat {:?}, {} steps, {:?}\n", self.now, self.steps, self.settings);
        for (index, seat) in self.seats.iter().enumerate() {
            let worker = self.deployment.subtasks[index].worker;
            let backlogs: Vec<_> = seat.outputs.iter().map(|view| view.backlog()).collect();
            let ready = seat.ready.load(Ordering::Acquire);
            let (name, state, said) = (self.deployment.name(index), seat.state, seat.said);
            let _ = writeln!(text, "  {name} on {worker}: {state}, said {said:?}, ready {ready}, queued {backlogs:?}");
        }
        panic!("{text}");
    }
}

fn drain<T>(shared: &Shared<T>) -> Vec<T> {
    std::mem::take(&mut shared.lock().unwrap())
}

fn code(said: TaskStep) -> u8 {
    match said {
        TaskStep::Ready => 2,
        TaskStep::Waiting(None) => 3,
        TaskStep::Waiting(Some(_)) => 4,
        TaskStep::Ended => 5,
    }
}
