//! The worker: the tasks of one job on one TaskManager, on the threads of its slots.
//!
//! It speaks `ToWorker` and `FromWorker` with its TaskManager, over a socket pair from a process of its own
//! (`process`) or over channels in local mode.

/// A worker in a process of its own: the user's program in worker mode.
pub mod process;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use flink_graph::{Configuration, ExecutionAttemptId, ExecutionState, JobGraph};
use flink_protocol::task_manager::{
    FailureKind, InputChannelDescriptor, TaskDeploymentDescriptor, TaskFailure, TaskStateUpdate,
};
use flink_protocol::worker::{FromWorker, ToWorker, WorkerMetrics};

use crate::clock::Clock;
use crate::driver::SplitExchange;
use crate::input::{ChannelConnector, CreditReturn, RemoteInbox};
use crate::network::connection::DataPlane;
use crate::operator::{BoxError, TaskFlags};
use crate::partitions::Partitions;
use crate::setup::{JobProgram, TaskSetup};
use crate::slot::Slot;
use crate::task::{Task, TaskCounters, TaskMailbox};

/// Takes what a worker says, from any thread; never blocks.
pub type WorkerOutbox = Arc<dyn Fn(FromWorker) + Send + Sync>;

/// The way to other workers.
pub struct WorkerNetwork {
    /// `host:port` under which this worker's partitions are read.
    pub address: String,
    /// The connections; `None` where the whole cluster is one worker.
    pub data_plane: Option<DataPlane>,
}

impl ChannelConnector for WorkerNetwork {
    fn is_local(&self, channel: &InputChannelDescriptor) -> bool {
        channel.data_address == self.address
    }

    fn connect(
        &self,
        channel: &InputChannelDescriptor,
        credit: u32,
        inbox: Arc<RemoteInbox>,
    ) -> Result<Box<dyn CreditReturn>, BoxError> {
        let plane = self.data_plane.as_ref().ok_or("this worker has no data plane")?;
        let InputChannelDescriptor { partition, subpartition, data_address, .. } = channel;
        Ok(Box::new(plane.open_channel(data_address, *partition, *subpartition, credit, inbox)))
    }
}

struct TaskHandle {
    mailbox: Arc<TaskMailbox>,
    waker: crate::operator::TaskWaker,
    splits: Arc<SplitExchange>,
    counters: TaskCounters,
}

type TaskHandles = Arc<Mutex<BTreeMap<ExecutionAttemptId, TaskHandle>>>;

/// Runs the tasks of one job.
pub struct Worker {
    program: Arc<dyn JobProgram>,
    graph: Arc<JobGraph>,
    configuration: Configuration,
    directory: PathBuf,
    network: Arc<WorkerNetwork>,
    partitions: Arc<Partitions>,
    outbox: WorkerOutbox,
    started: Instant,
    slots: BTreeMap<(u32, Option<ExecutionAttemptId>), Slot>,
    tasks: TaskHandles,
}

impl Worker {
    /// A worker without tasks.
    #[must_use]
    pub fn new(
        program: Arc<dyn JobProgram>,
        graph: JobGraph,
        configuration: Configuration,
        directory: PathBuf,
        network: WorkerNetwork,
        partitions: Arc<Partitions>,
        outbox: WorkerOutbox,
    ) -> Self {
        Self {
            program,
            graph: Arc::new(graph),
            configuration,
            directory,
            network: Arc::new(network),
            partitions,
            outbox,
            started: Instant::now(),
            slots: BTreeMap::new(),
            tasks: TaskHandles::default(),
        }
    }

    /// Does what the TaskManager says; `Break` after `Stop`.
    pub fn on_message(&mut self, message: ToWorker) -> ControlFlow<()> {
        match message {
            ToWorker::Start(_) => {} // It has started, or it would not be here.
            ToWorker::SubmitTask(descriptor) => self.submit(*descriptor),
            ToWorker::CancelTask(attempt) => self.with_task(attempt, |task| task.mailbox.cancel()),
            ToWorker::FailTask { attempt, reason } => self.with_task(attempt, |task| task.mailbox.fail(reason)),
            ToWorker::NextInputSplit { attempt, request, split } => {
                self.with_task(attempt, |task| task.splits.answer(request, split));
            }
            ToWorker::ReleasePartitions { partitions } => self.partitions.release(&partitions),
            ToWorker::RequestMetrics => (self.outbox)(FromWorker::Metrics(self.metrics())),
            ToWorker::Stop => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    /// Ends the threads; tasks that still run are dropped.
    pub fn stop(self, patience: Duration) {
        for task in self.tasks.lock().unwrap_or_else(PoisonError::into_inner).values() {
            task.mailbox.cancel();
            task.waker.wake();
        }
        for slot in self.slots.into_values() {
            slot.stop(patience);
        }
    }

    fn with_task(&self, attempt: ExecutionAttemptId, act: impl FnOnce(&TaskHandle)) {
        if let Some(task) = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).get(&attempt) {
            act(task);
            task.waker.wake();
        }
    }

    fn metrics(&self) -> WorkerMetrics {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let plane = self.network.data_plane.as_ref();
        WorkerMetrics {
            tasks: tasks.iter().map(|(attempt, task)| task.counters.snapshot(*attempt)).collect(),
            network_read_bytes: plane.map_or(0, DataPlane::bytes_received),
            network_written_bytes: plane.map_or(0, DataPlane::bytes_sent),
        }
    }

    fn submit(&mut self, descriptor: TaskDeploymentDescriptor) {
        let attempt = descriptor.attempt;
        if self.tasks.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&attempt) {
            return;
        }
        if let Err(error) = self.start_task(descriptor) {
            let failure = TaskFailure { kind: FailureKind::Runtime, message: error.to_string() };
            let state = ExecutionState::Failed;
            let update = TaskStateUpdate { attempt, state, failure: Some(failure), metrics: None };
            (self.outbox)(FromWorker::UpdateTaskExecutionState(update));
        }
    }

    fn start_task(&mut self, descriptor: TaskDeploymentDescriptor) -> Result<(), BoxError> {
        let attempt = descriptor.attempt;
        let vertex = self.graph.vertex(attempt.vertex).cloned().ok_or("the job has no such vertex")?;
        // A task whose user code blocks has a thread of its own, and so delays nobody.
        let thread = (descriptor.slot, vertex.blocking.then_some(attempt));
        if vertex.blocking {
            self.drop_idle_threads();
        }
        if let Entry::Vacant(place) = self.slots.entry(thread) {
            place.insert(Slot::start(format!("slot-{}", descriptor.slot), self.started)?);
        }
        let slot = &self.slots[&thread];
        let readiness = slot.readiness();
        let outbox = self.outbox.clone();
        let request = move |request| outbox(FromWorker::RequestNextInputSplit { attempt, request });
        let setup = TaskSetup {
            descriptor,
            graph: self.graph.clone(),
            vertex,
            configuration: self.configuration.clone(),
            flags: Arc::new(TaskFlags::default()),
            waker: readiness.waker(),
            clock: Clock::system(),
            counters: TaskCounters::default(),
            splits: Arc::new(SplitExchange::new(request)),
            partitions: self.partitions.clone(),
            connector: self.network.clone(),
            directory: self.directory.clone(),
        };
        let task = self.task(setup);
        slot.add(task, readiness);
        Ok(())
    }

    /// Registers a task, and makes it; it takes itself off the register when it ends.
    fn task(&self, mut setup: TaskSetup) -> Task {
        let attempt = setup.descriptor.attempt;
        let (mailbox, counters) = (Arc::new(TaskMailbox::new(setup.flags.clone())), setup.counters.clone());
        let handle = TaskHandle {
            mailbox: mailbox.clone(),
            waker: setup.waker.clone(),
            splits: setup.splits.clone(),
            counters: counters.clone(),
        };
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).insert(attempt, handle);
        let (tasks, outbox, partitions) = (self.tasks.clone(), self.outbox.clone(), self.partitions.clone());
        let report = move |update: TaskStateUpdate| {
            if update.state.is_terminal() {
                tasks.lock().unwrap_or_else(PoisonError::into_inner).remove(&attempt);
            }
            if update.state.is_terminal() && update.state != ExecutionState::Finished {
                partitions.release_of(attempt);
            }
            outbox(FromWorker::UpdateTaskExecutionState(update));
        };
        let program = self.program.clone();
        let build = Box::new(move || program.build_task(attempt.vertex, &mut setup));
        Task::new(attempt, build, mailbox, counters, Box::new(report))
    }

    /// Ends the threads of tasks with one of their own that have ended.
    fn drop_idle_threads(&mut self) {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let is_idle = |key: &(u32, Option<ExecutionAttemptId>)| key.1.is_some_and(|a| !tasks.contains_key(&a));
        let idle: Vec<_> = self.slots.keys().copied().filter(is_idle).collect();
        drop(tasks);
        for key in idle {
            if let Some(slot) = self.slots.remove(&key) {
                slot.stop(Duration::ZERO);
            }
        }
    }
}
