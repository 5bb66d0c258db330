use std::collections::BTreeMap;
use std::time::Duration;

use flink_appmaster::job_manager::{Action, ClientCall, ConnectionId, Event, JobManager, JobManagerConfig, Now};
use flink_graph::{Configuration, ExecutionAttemptId, ExecutionState, JobGraph, JobId, JobStatus, TaskManagerId};
use flink_protocol::client::ClientResponseBody;
use flink_protocol::overview::JobDetails;
use flink_protocol::task_manager::{
    FailureKind, HardwareDescription, RunningTask, TaskDeploymentDescriptor, TaskFailure, TaskManagerRegistration,
    TaskManagerReport, TaskStateUpdate, ToJobManager, ToTaskManager,
};
use flink_protocol::{Envelope, PROTOCOL_VERSION};

pub(crate) const EPOCH: u64 = 3;
const CLIENT: ConnectionId = ConnectionId(1000);

/// What one TaskManager has: workers start at once, tasks run until the test says otherwise.
#[derive(Default)]
pub(crate) struct FakeTaskManager {
    pub(crate) tasks: BTreeMap<ExecutionAttemptId, TaskDeploymentDescriptor>,
    pub(crate) workers: Vec<JobId>,
    /// Everything that came, by name.
    pub(crate) heard: Vec<String>,
    /// What the last heartbeat said that it should have.
    pub(crate) expected: Vec<ExecutionAttemptId>,
    /// Version of the tokens that it uses.
    pub(crate) tokens: u64,
    /// The numbers of the splits that came, in their order; `None` for none left.
    pub(crate) splits: Vec<Option<u32>>,
    /// True: it takes messages and does nothing.
    pub(crate) mute: bool,
}

pub(crate) struct Bench {
    pub(crate) core: JobManager,
    pub(crate) now: Duration,
    pub(crate) tms: Vec<FakeTaskManager>,
    pub(crate) answers: Vec<Result<ClientResponseBody, String>>,
    pub(crate) terminated: Vec<JobId>,
    pub(crate) closed: Vec<ConnectionId>,
}

impl Bench {
    /// A cluster of TaskManagers with the given slots.
    pub(crate) fn new(slots: &[u32]) -> Self {
        Self::configured(slots, |_| {})
    }

    /// The same where somebody starts TaskManagers as jobs want them.
    pub(crate) fn on_demand(slots: &[u32]) -> Self {
        Self::configured(slots, |config| config.task_managers_on_demand = true)
    }

    fn configured(slots: &[u32], change: impl FnOnce(&mut JobManagerConfig)) -> Self {
        let mut configuration = Configuration::default();
        configuration.set("heartbeat.interval", "1 s").set("heartbeat.timeout", "5 s");
        let mut config = JobManagerConfig::from_configuration(&configuration).unwrap();
        change(&mut config);
        let mut bench = Self {
            core: JobManager::new(config, EPOCH, 1),
            now: Duration::ZERO,
            tms: Vec::new(),
            answers: Vec::new(),
            terminated: Vec::new(),
            closed: Vec::new(),
        };
        slots.iter().for_each(|slots| bench.add_task_manager(*slots));
        bench
    }

    pub(crate) fn add_task_manager(&mut self, slots: u32) {
        let index = self.tms.len();
        self.tms.push(FakeTaskManager::default());
        self.send(Event::Connected { connection: ConnectionId(index as u64), address: format!("10.0.0.{index}") });
        self.from_tm(index, ToJobManager::RegisterTaskManager(registration(index, slots)));
    }

    pub(crate) fn send(&mut self, event: Event) {
        let now = Now { elapsed: self.now, timestamp: self.now.as_millis() as i64 };
        let actions = self.core.on_event(now, event);
        actions.into_iter().for_each(|action| self.act(action));
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::SendToTaskManager { connection, envelope } => {
                assert_eq!(envelope.epoch, EPOCH);
                self.to_tm(connection.0 as usize, envelope.message);
            }
            Action::RespondToClient { body, .. } => self.answers.push(body),
            Action::CloseConnection { connection } => self.closed.push(connection),
            Action::JobTerminated { job } => self.terminated.push(job),
            Action::JobStatusChanged { .. } | Action::TaskManagerRegistered { .. } | Action::TaskManagerGone { .. } => {
            }
        }
    }

    fn to_tm(&mut self, index: usize, message: ToTaskManager) {
        let tm = &mut self.tms[index];
        let text = format!("{message:?}");
        tm.heard.push(text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned());
        if let ToTaskManager::Heartbeat { attempts, .. } = &message {
            tm.expected.clone_from(attempts);
        }
        if tm.mute {
            return;
        }
        match message {
            ToTaskManager::StartWorker(information) => {
                let job = information.graph.job_id;
                tm.workers.push(job);
                self.from_tm(index, ToJobManager::WorkerStarted { job, data_address: format!("host-{index}:1") });
            }
            ToTaskManager::StopWorker { job } => tm.workers.retain(|other| *other != job),
            ToTaskManager::SubmitTask(descriptor) => {
                let attempt = descriptor.attempt;
                tm.tasks.insert(attempt, *descriptor);
                self.state(attempt, ExecutionState::Running);
            }
            ToTaskManager::NextInputSplit { split, .. } => tm.splits.push(split.map(|split| split.number)),
            ToTaskManager::CancelTask(attempt) => self.state(attempt, ExecutionState::Canceled),
            _ => {}
        }
    }

    pub(crate) fn from_tm(&mut self, index: usize, message: ToJobManager) {
        let connection = ConnectionId(index as u64);
        self.send(Event::FromTaskManager { connection, envelope: Envelope { epoch: EPOCH, message } });
    }

    pub(crate) fn tm_of(&self, attempt: ExecutionAttemptId) -> usize {
        self.tms.iter().position(|tm| tm.tasks.contains_key(&attempt)).unwrap_or_default()
    }

    pub(crate) fn state(&mut self, attempt: ExecutionAttemptId, state: ExecutionState) {
        self.update(attempt, state, None);
    }

    pub(crate) fn fail(&mut self, attempt: ExecutionAttemptId, kind: FailureKind, message: &str) {
        self.update(attempt, ExecutionState::Failed, Some(TaskFailure { kind, message: message.to_owned() }));
    }

    fn update(&mut self, attempt: ExecutionAttemptId, state: ExecutionState, failure: Option<TaskFailure>) {
        let index = self.tm_of(attempt);
        if state.is_terminal() {
            self.tms[index].tasks.remove(&attempt);
        }
        let update = TaskStateUpdate { attempt, state, failure, metrics: None };
        self.from_tm(index, ToJobManager::UpdateTaskExecutionState(update));
    }

    pub(crate) fn report(&mut self, index: usize) {
        let tasks = self.tms[index].tasks.values().map(|task| RunningTask {
            attempt: task.attempt,
            slot: task.slot,
            state: ExecutionState::Running,
        });
        let report = TaskManagerReport {
            tasks: tasks.collect(),
            workers: self.tms[index].workers.clone(),
            delegation_tokens: self.tms[index].tokens,
            ..Default::default()
        };
        self.from_tm(index, ToJobManager::Heartbeat(report));
    }

    /// Lets time pass; TaskManagers that are not listed as silent report once a second.
    pub(crate) fn pass(&mut self, seconds: u64, silent: &[usize]) {
        for _ in 0..seconds * 4 {
            self.now += Duration::from_millis(250);
            self.send(Event::Tick);
            if self.now.subsec_millis() == 0 {
                (0..self.tms.len()).filter(|index| !silent.contains(index)).for_each(|index| self.report(index));
            }
        }
    }

    pub(crate) fn call(&mut self, call: ClientCall) {
        self.send(Event::FromClient { connection: CLIENT, number: 0, call });
    }

    pub(crate) fn submit(&mut self, graph: JobGraph) -> JobId {
        let job = graph.job_id;
        self.call(ClientCall::SubmitJob { graph: Box::new(graph), artifact_present: true });
        assert_eq!(self.answers.last(), Some(&Ok(ClientResponseBody::JobSubmitSuccess(job))));
        job
    }

    pub(crate) fn details(&self, job: JobId) -> JobDetails {
        self.core.job_details(job).unwrap()
    }

    pub(crate) fn status(&self, job: JobId) -> JobStatus {
        self.details(job).summary.status
    }

    pub(crate) fn failure(&mut self, job: JobId) -> String {
        self.call(ClientCall::RequestJobResult { job, wait: Duration::ZERO });
        match self.answers.pop() {
            Some(Ok(ClientResponseBody::JobResult(result))) => result.failure.unwrap_or_default(),
            other => format!("{other:?}"),
        }
    }

    /// All running tasks of a job.
    pub(crate) fn running(&self, job: JobId) -> Vec<ExecutionAttemptId> {
        self.tms.iter().flat_map(|tm| tm.tasks.keys()).copied().filter(|attempt| attempt.job == job).collect()
    }

    /// The running attempt of a subtask, by vertex number from 1.
    pub(crate) fn attempt(&self, job: JobId, vertex: u128, subtask: u32) -> ExecutionAttemptId {
        let is_it = |a: &ExecutionAttemptId| a.vertex.as_u128() == vertex && a.subtask == subtask;
        self.running(job).into_iter().find(is_it).unwrap()
    }

    /// Each vertex with the attempt numbers of its subtasks, and a letter for the state of each.
    pub(crate) fn attempts(&self, job: JobId) -> String {
        let subtask = |subtask: &flink_protocol::overview::SubtaskDetails| {
            format!("{}{}", subtask.attempt, subtask.state.to_string().chars().next().unwrap_or_default())
        };
        let vertices = self.details(job).vertices.into_iter().map(|vertex| {
            let subtasks: Vec<String> = vertex.subtasks.iter().map(subtask).collect();
            format!("{}: {}", vertex.name, subtasks.join(" "))
        });
        vertices.collect::<Vec<_>>().join("; ")
    }
}

pub(crate) fn registration(index: usize, slots: u32) -> TaskManagerRegistration {
    TaskManagerRegistration {
        id: TaskManagerId(format!("tm-{index}")),
        protocol_version: PROTOCOL_VERSION,
        host: format!("host-{index}"),
        slots,
        hardware: HardwareDescription::default(),
        last_epoch: 0,
        running: Vec::new(),
    }
}
