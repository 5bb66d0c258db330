//! A job's tasks, links and JobManager on one thread, in virtual time.
//!
//! A task is stepped only when it was woken, when it said that it did work, or when its time has come. So a wake-up that
//! is lost leaves the run with nothing to do and tasks that have not ended, which is reported with the seed.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flink_graph::{Accumulators, ExecutionState, InputSplit, JobGraph};
use flink_protocol::task_manager::{FailureKind, TaskFailure, TaskStateUpdate};
use flink_taskmanager::driver::SplitExchange;
use flink_taskmanager::network::{PartitionDirectory, SubpartitionView};
use flink_taskmanager::operator::{TaskFlags, TaskWaker};
use flink_taskmanager::partitions::Partitions;
use flink_taskmanager::setup::{JobProgram, TaskSetup};
use flink_taskmanager::task::{Task, TaskCounters, TaskMailbox, TaskStep};

use crate::deployment::Deployment;
use crate::cluster::{Fault, FaultKind};
use crate::network::{Connector, Network};
use crate::random::Random;
use crate::settings::{Policy, Settings};

/// Virtual time without a step of any task after which nothing will ever happen: longer than any time-out of a link.
const STANDSTILL: Duration = Duration::from_secs(60);

/// Steps after which a run counts as one that goes round in circles.
const MOST_STEPS: u64 = 20_000_000;

/// A subtask's task and what others see of it.
struct Seat {
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
    pub(crate) log: Vec<LogLine>,
    pub(crate) fault_fired: bool,
    /// Workers (consumer, producer) of a connection that was cut.
    pub(crate) severed: Option<(usize, usize)>,
    pub(crate) deployment: Deployment,
    pub(crate) peak_link_bytes: usize,
    pub(crate) peak_backlog: u64,
}

type Shared<T> = Arc<Mutex<Vec<T>>>;

pub(crate) struct World<'a> {
    settings: Settings,
    random: Random,
    now: Duration,
    last_step: Duration,
    steps: u64,
    deployment: Deployment,
    graph: Arc<JobGraph>,
    program: Arc<dyn JobProgram>,
    directory: &'a Path,
    partitions: Vec<Arc<Partitions>>,
    network: Arc<Network>,
    seats: Vec<Seat>,
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

    fn seat(&self, index: usize) -> Seat {
        let ready = Arc::new(AtomicBool::new(false));
        let woken = ready.clone();
        let requests = self.requests.clone();
        let request = move |number| requests.lock().unwrap().push((index, number));
        Seat {
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
        while !self.seats.iter().all(|seat| seat.state.is_terminal()) {
            self.steps += 1;
            if self.steps > MOST_STEPS {
                self.give_up("no end after so many steps: the tasks go round in circles");
            }
            self.inject_fault();
            self.fire_due_events();
            self.wake_for_nothing();
            if !self.move_something() {
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
            log: self.log,
            fault_fired: self.fault_fired,
            severed: self.severed,
            peak_link_bytes: self.network.peak_bytes(),
            deployment: self.deployment,
            peak_backlog: self.peak_backlog,
        }
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
            Policy::Starve(one) if any == one % self.seats.len() => ready.iter().copied().find(|i| *i != any).or(Some(any)),
            Policy::Starve(_) => Some(any),
        }
    }

    fn step(&mut self, index: usize) {
        let took = self.delay(self.settings.max_step);
        let (now, seat) = (self.now, &mut self.seats[index]);
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

    fn on_update(&mut self, index: usize, update: TaskStateUpdate) {
        let seat = &mut self.seats[index];
        assert!(!seat.state.is_terminal(), "{} after {}", update.state, seat.state);
        seat.state = update.state;
        match update.state {
            ExecutionState::Finished => {
                let metrics = update.metrics.expect("figures of a task that ended");
                self.records.0 += metrics.records_out;
                self.records.1 += metrics.records_in;
                self.parts.insert(index, metrics.accumulators);
                self.deploy_those_that_waited_for(index);
            }
            ExecutionState::Failed => {
                let failure = update.failure.expect("the reason of a failure");
                self.failures.push((index, failure));
                self.cancel_all();
            }
            // What was opened before this is on the worker: the views of its queues are the observers of their bounds.
            ExecutionState::Running => self.observe(index),
            _ => {}
        }
    }

    fn deploy_those_that_waited_for(&mut self, finished: usize) {
        for index in 0..self.seats.len() {
            let awaited = &self.deployment.subtasks[index].awaited;
            let all = awaited.iter().all(|other| self.seats[*other].state == ExecutionState::Finished);
            if awaited.contains(&finished) && all {
                let delay = self.delay(self.settings.deployment);
                self.at(delay, Event::Deploy(index));
            }
        }
    }

    /// Makes a task from its descriptor, as a worker does.
    fn deploy(&mut self, index: usize) {
        if self.seats[index].state.is_terminal() {
            return;
        }
        let descriptor = self.deployment.descriptor(index);
        let (attempt, worker) = (descriptor.attempt, self.deployment.subtasks[index].worker);
        let seat = &mut self.seats[index];
        let counters = TaskCounters::default();
        let mut setup = TaskSetup {
            vertex: self.graph.vertex(attempt.vertex).cloned().expect("a vertex of the job"),
            configuration: self.graph.configuration.clone(),
            descriptor,
            graph: self.graph.clone(),
            flags: Arc::new(TaskFlags::default()),
            waker: seat.waker.clone(),
            counters: counters.clone(),
            splits: seat.splits.clone(),
            partitions: self.partitions[worker].clone(),
            connector: Arc::new(Connector { worker, network: self.network.clone() }),
            directory: self.directory.to_owned(),
            network_bytes: Arc::default(),
        };
        let (updates, partitions) = (self.updates.clone(), self.partitions[worker].clone());
        let report = move |update: TaskStateUpdate| {
            if update.state.is_terminal() && update.state != ExecutionState::Finished {
                partitions.release_of(attempt);
            }
            updates.lock().unwrap().push(update);
        };
        let program = self.program.clone();
        let build = Box::new(move || program.build_task(attempt.vertex, &mut setup));
        seat.task = Some(Task::new(attempt, build, seat.mailbox.clone(), counters, Box::new(report)));
        seat.state = ExecutionState::Deploying;
        seat.ready.store(true, Ordering::Release);
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

    fn answer_split(&mut self, subtask: usize, request: u64) {
        let splits = self.unassigned.get_mut(&self.deployment.subtasks[subtask].vertex).expect("a source");
        let place = self.random.below(splits.len());
        let split = splits.remove(place);
        if self.settings.doubled_answers {
            let delay = self.delay(self.settings.max_split_delay * 2);
            self.at(delay, Event::RepeatAnswer { subtask, request, split: split.clone() });
        }
        self.give_split(subtask, request, split);
    }

    fn give_split(&mut self, subtask: usize, request: u64, split: Option<InputSplit>) {
        let seat = &self.seats[subtask];
        seat.splits.answer(request, split);
        seat.waker.wake();
    }

    fn cancel(&mut self, index: usize) {
        let seat = &mut self.seats[index];
        if seat.task.is_some() {
            seat.mailbox.cancel();
            seat.waker.wake();
        } else if !seat.state.is_terminal() {
            seat.state = ExecutionState::Canceled;
        }
    }

    /// The JobManager cancels what is left of a job, each task with a message of its own.
    fn cancel_all(&mut self) {
        for index in 0..self.seats.len() {
            let delay = self.delay(self.settings.deployment * 4);
            self.at(delay, Event::Cancel(index));
        }
    }

    fn inject_fault(&mut self) {
        let Some(fault) = self.fault.take_if(|fault| fault.after <= self.steps) else { return };
        self.fault_fired = true;
        match fault.kind {
            FaultKind::CancelJob => self.cancel_all(),
            FaultKind::FailTask => {
                let seat = &self.seats[self.random.below(self.seats.len())];
                seat.mailbox.fail("the JobManager said so".to_owned());
                seat.waker.wake();
                self.fault_fired = seat.task.is_some();
            }
            FaultKind::Sever => {
                self.severed = self.network.sever(self.random.below(16));
                self.fault_fired = self.severed.is_some();
            }
            FaultKind::KillWorker => self.kill_worker(),
        }
    }

    /// A worker is gone with its tasks; the others see their connections end, the JobManager hears of it.
    fn kill_worker(&mut self) {
        let worker = self.random.below(self.settings.workers);
        for index in 0..self.seats.len() {
            if self.deployment.subtasks[index].worker == worker && !self.seats[index].state.is_terminal() {
                self.seats[index].task = None;
                self.seats[index].state = ExecutionState::Failed;
                let failure = TaskFailure { kind: FailureKind::TaskManagerLost, message: "killed".to_owned() };
                self.failures.push((index, failure));
            }
        }
        self.network.kill(worker);
        self.cancel_all();
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
