use std::future::ready;
use std::sync::{Arc, Mutex};

use flink_graph::{
    AccumulatorValue, Accumulators, Configuration, ExecutionState, JobId, JobStatus, JobVertexId, OperatorInfo,
    RuntimeMode,
};
use flink_protocol::overview::{
    ClusterOverview, ExceptionEntry, JobDetails, JobSummary, StateCounts, SubtaskDetails, SubtaskMetrics,
    TaskManagerSummary, VertexDetails,
};
use flink_protocol::task_manager::{HardwareDescription, ProcessStatistics};

use crate::rest::{
    AccessToken, Answer, Cancellation, ClusterView, RestError, RestOptions, RestServer, Unavailable, serve,
};

pub(super) const JOB: &str = "a3e2f8ff5e70b18d42e7c088680073cb";
pub(super) const SOURCE: &str = "bc764cd8ddf7a0cff126f51c16239658";
pub(super) const SINK: &str = "20ba6b65f97481d5570070de90e4e791";
pub(super) const TASK_MANAGER: &str = "localhost:36919-c2a036";
pub(super) const TOKEN: &str = "a-token-for-the-tests";
const START: i64 = 1_795_224_446_184;

/// The cluster that the recorded Flink was: one keyed job on one TaskManager with two slots.
pub(super) struct FakeView {
    job: Mutex<Option<JobDetails>>,
    pub(super) canceled: Mutex<Vec<JobId>>,
    /// What `cancel` answers for the job.
    pub(super) cancellation: Mutex<Cancellation>,
    pub(super) available: Mutex<bool>,
}

impl FakeView {
    pub(super) fn new() -> Arc<Self> {
        Self::with(job())
    }

    pub(super) fn with(job: JobDetails) -> Arc<Self> {
        Arc::new(Self {
            job: Mutex::new(Some(job)),
            canceled: Mutex::default(),
            cancellation: Mutex::new(Cancellation::Accepted),
            available: Mutex::new(true),
        })
    }

    fn answer<T: Send + 'static>(&self, value: T) -> Answer<'_, T> {
        let available = *self.available.lock().unwrap();
        Box::pin(ready(available.then_some(value).ok_or_else(|| Unavailable("it is ending".to_owned()))))
    }
}

impl ClusterView for FakeView {
    fn configuration(&self) -> Configuration {
        let mut configuration = Configuration::default();
        configuration.set("rest.port", "18081").set("s3.secret-key", "hush");
        configuration
    }

    fn overview(&self) -> Answer<'_, ClusterOverview> {
        self.answer(ClusterOverview { task_managers: 1, slots_total: 2, jobs_running: 1, ..Default::default() })
    }

    fn jobs(&self) -> Answer<'_, Vec<JobSummary>> {
        let job = self.job.lock().unwrap().clone();
        self.answer(job.into_iter().map(|job| job.summary).collect())
    }

    fn job(&self, id: JobId) -> Answer<'_, Option<JobDetails>> {
        let job = self.job.lock().unwrap().clone();
        self.answer(job.filter(|job| job.summary.id == id))
    }

    fn task_managers(&self) -> Answer<'_, Vec<TaskManagerSummary>> {
        self.answer(vec![task_manager()])
    }

    fn cancel(&self, job: JobId) -> Answer<'_, Cancellation> {
        self.canceled.lock().unwrap().push(job);
        let known = job.to_string() == JOB;
        let answer = if known { self.cancellation.lock().unwrap().clone() } else { Cancellation::UnknownJob };
        self.answer(answer)
    }
}

/// A server on a free port of loopback, with the token.
pub(super) async fn start(view: &Arc<FakeView>) -> RestServer {
    start_at("127.0.0.1", Some(TOKEN), view).await.unwrap()
}

pub(super) async fn start_at(host: &str, token: Option<&str>, view: &Arc<FakeView>) -> Result<RestServer, RestError> {
    let mut options = RestOptions::new(host, 0);
    options.token = token.map(|token| AccessToken::new(token).unwrap());
    let view: Arc<FakeView> = Arc::clone(view);
    serve(options, view).await
}

pub(super) fn job() -> JobDetails {
    let mut tasks = StateCounts::default();
    (0..4).for_each(|_| tasks.add(ExecutionState::Running));
    JobDetails {
        summary: JobSummary {
            id: JOB.parse().unwrap(),
            name: "keyed-count".to_owned(),
            status: JobStatus::Running,
            mode: RuntimeMode::Streaming,
            start_time: START,
            end_time: -1,
            last_modification: START + 2011,
            tasks,
        },
        timestamps: vec![(JobStatus::Created, START + 618), (JobStatus::Running, START + 808)],
        configuration: Configuration::default(),
        vertices: vec![source(), sink()],
        exceptions: vec![],
        exceptions_truncated: false,
        restarts: 0,
        accumulators: Accumulators::default(),
        waiting_for: None,
    }
}

/// The same job after a failure that it recovered from, with an accumulator.
pub(super) fn restarted_job() -> JobDetails {
    let mut job = job();
    let failure = |timestamp: i64, task: Option<&str>| ExceptionEntry {
        timestamp,
        message: "Map (1/2): cannot parse `x`\ncaused by: invalid digit".to_owned(),
        task: task.map(str::to_owned),
        task_manager: task.map(|_| TASK_MANAGER.to_owned()),
    };
    job.exceptions = vec![failure(START + 2, Some("Map (1/2)")), failure(START + 1, None)];
    job.restarts = 2;
    job.accumulators.0.insert("words".to_owned(), AccumulatorValue::Long(7));
    job
}

fn source() -> VertexDetails {
    VertexDetails {
        id: SOURCE.parse::<JobVertexId>().unwrap(),
        name: "Source: gen".to_owned(),
        slot_sharing_group: "default".to_owned(),
        operators: vec![operator("Source: gen", &[])],
        parallelism: 2,
        max_parallelism: 128,
        splits: None,
        subtasks: vec![subtask(0, SubtaskMetrics::default()), subtask(1, SubtaskMetrics::default())],
        inputs: vec![],
    }
}

fn sink() -> VertexDetails {
    let metrics = |records_in, bytes_in, idle_ms, busy_ms| SubtaskMetrics {
        records_in,
        bytes_in,
        idle_ms,
        busy_ms,
        ..Default::default()
    };
    VertexDetails {
        id: SINK.parse::<JobVertexId>().unwrap(),
        name: "KeyedProcess -> Sink: Writer".to_owned(),
        operators: vec![operator("KeyedProcess", &[]), operator("Sink: Writer", &["KeyedProcess"])],
        subtasks: vec![
            subtask(0, metrics(876_879, 25_447_694, 14620, 3004)),
            subtask(1, metrics(872_378, 25_257_253, 14684, 2940)),
        ],
        inputs: vec![(SOURCE.parse::<JobVertexId>().unwrap(), "pipelined".to_owned(), "HASH".to_owned())],
        ..source()
    }
}

fn operator(name: &str, chained_to: &[&str]) -> OperatorInfo {
    let chained_to = chained_to.iter().map(|name| (*name).to_owned()).collect();
    OperatorInfo { name: name.to_owned(), uid: None, chained_to }
}

fn subtask(subtask: u32, metrics: SubtaskMetrics) -> SubtaskDetails {
    SubtaskDetails {
        subtask,
        attempt: 0,
        state: ExecutionState::Running,
        location: Some((TASK_MANAGER.to_owned(), "localhost".to_owned())),
        timestamps: vec![
            (ExecutionState::Created, START + 682),
            (ExecutionState::Scheduled, START + 821),
            (ExecutionState::Deploying, START + 1196),
            (ExecutionState::Initializing, START + 1641 - 5 * i64::from(subtask)),
            (ExecutionState::Running, START + 2011),
        ],
        metrics,
        accumulators: Accumulators([("words".to_owned(), AccumulatorValue::Long(3))].into()),
    }
}

fn task_manager() -> TaskManagerSummary {
    TaskManagerSummary {
        id: TASK_MANAGER.to_owned(),
        address: "localhost:36919".to_owned(),
        host: "localhost".to_owned(),
        slots: 2,
        free_slots: 0,
        allocated: vec![(JOB.parse().unwrap(), 2), (JOB.parse().unwrap(), 2)],
        last_heartbeat: START + 16_107,
        hardware: HardwareDescription { cpu_cores: 2.0, physical_memory: 24 << 30, process_memory: 4 << 30 },
        statistics: ProcessStatistics {
            resident_bytes: 20 << 20,
            workers_resident_bytes: 100 << 20,
            cpu_time_ms: 1234,
            cpu_load: 0.5,
            ..Default::default()
        },
    }
}
