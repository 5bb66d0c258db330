use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use flink_api::executor::finished;
use flink_api::{Configuration, ExecuteError, Executor, JobClient, JobId, JobResult, JobStatus, Program};
use flink_appmaster::job_manager::ClientCall;
use flink_appmaster::server::{Handle, JobManagerServer, ServerOptions};
use flink_graph::options;
use flink_protocol::PROTOCOL_VERSION;
use flink_protocol::client::ClientResponseBody;
use flink_protocol::worker::{FromWorker, ToWorker};
use flink_taskmanager::partitions::Partitions;
use flink_taskmanager::setup::JobProgram;
use flink_taskmanager::task_manager::connector::InMemoryConnector;
use flink_taskmanager::task_manager::launcher::{
    WORKER_QUEUE, WorkerControl, WorkerEvents, WorkerLaunch, WorkerLauncher,
};
use flink_taskmanager::task_manager::new_task_manager_id;
use flink_taskmanager::task_manager::shell::TaskManagerProcess;
use flink_taskmanager::worker::process::configuration;
use flink_taskmanager::worker::{Worker, WorkerNetwork};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};

use crate::configuration_file;
use crate::plan::read_request;

/// Address of the one worker of a local cluster: every channel of its tasks is within the process.
const LOCAL_ADDRESS: &str = "local";

/// Longest wait of one request for a job's result; it is asked again.
const RESULT_WAIT: Duration = Duration::from_secs(60);

/// Time that the parts of a local cluster have to end.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Runs each action on a cluster of its own in this process: JobManager, TaskManager and worker are those of a real cluster,
/// with channels in place of sockets.
pub(crate) struct LocalExecutor {
    configuration: Configuration,
    /// Whether the end of jobs is told on standard error: where `flink-yarn run` has started the program, as it does for jobs on
    /// a cluster.
    tells: bool,
    /// Jobs that may run still; the program may have dropped its own hold on them.
    jobs: RefCell<Vec<Rc<RunningJob>>>,
}

impl LocalExecutor {
    pub(crate) fn new(mut configuration: Configuration) -> Self {
        let unset = |key: &str, configuration: &Configuration| configuration.raw(key).is_none();
        if unset(options::DEFAULT_PARALLELISM.key, &configuration) {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            configuration.set(options::DEFAULT_PARALLELISM.key, cores.to_string());
        }
        set_working_directory(&mut configuration);
        Self { configuration, tells: false, jobs: RefCell::default() }
    }

    /// With what `flink-yarn run -t local` has left, if it started the program, else with the user's configuration file.
    pub(crate) fn from_environment() -> Result<Self, ExecuteError> {
        let Some(request) = read_request()? else { return Ok(Self::new(configuration_file::of_user()?)) };
        let mut executor = Self::new(request.configuration);
        executor.tells = true;
        Ok(executor)
    }
}

/// Relative paths mean the folder in which the user started the program, on whatever host and in whatever folder workers run.
pub(crate) fn set_working_directory(configuration: &mut Configuration) {
    let key = options::CLIENT_WORKING_DIRECTORY.key;
    if configuration.raw(key).is_none()
        && let Ok(folder) = std::env::current_dir()
    {
        configuration.set(key, folder.to_string_lossy());
    }
}

impl Executor for LocalExecutor {
    fn configuration(&self) -> Configuration {
        self.configuration.clone()
    }

    fn plans(&self, _: u32) -> bool {
        true
    }

    fn submit(&self, program: Program) -> Result<Box<dyn JobClient>, ExecuteError> {
        let Program { mut graph, runtime: operators } = program;
        graph.job_id = new_job_id();
        let (job, name) = (graph.job_id, graph.name.clone());
        let mut configuration = graph.configuration.clone();
        let slots = configuration.get(&options::TASK_SLOTS)?.max(graph.required_slots());
        configuration.set(options::TASK_SLOTS.key, slots.to_string());
        let cluster = LocalCluster::start(configuration, operators)?;
        let call = ClientCall::SubmitJob { graph: Box::new(graph), artifact_present: true };
        match cluster.call(call)? {
            ClientResponseBody::JobSubmitSuccess(_) => {
                let tells = self.tells.then_some(name);
                let running = Rc::new(RunningJob {
                    job,
                    tells,
                    cluster: RefCell::new(Some(cluster)),
                    result: RefCell::default(),
                });
                let mut jobs = self.jobs.borrow_mut();
                jobs.retain(|job| job.result.borrow().is_none());
                jobs.push(running.clone());
                Ok(Box::new(LocalJob(running)))
            }
            ClientResponseBody::JobSubmitFailure(reason) => Err(ExecuteError::Cluster(reason)),
            other => Err(unexpected(&other)),
        }
    }
}

fn unexpected(answer: &ClientResponseBody) -> ExecuteError {
    ExecuteError::Cluster(format!("the JobManager gave an answer to another question: {answer:?}"))
}

fn new_job_id() -> JobId {
    let random = flink_transport::token::random_bytes::<16>();
    // Without random numbers of the system: a local cluster has one job.
    JobId::from_u128(random.map_or(1, u128::from_be_bytes))
}

/// A JobManager and a TaskManager on threads of this process.
struct LocalCluster {
    runtime: Option<Runtime>,
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    task_manager: Option<tokio::task::JoinHandle<()>>,
}

impl LocalCluster {
    fn start(configuration: Configuration, operators: Arc<dyn JobProgram>) -> Result<Self, ExecuteError> {
        let cannot =
            |error: &dyn std::fmt::Display| ExecuteError::Cluster(format!("cannot start a local cluster: {error}"));
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("cluster").enable_all().build();
        let runtime = runtime.map_err(|error| cannot(&error))?;
        let started = runtime.block_on(JobManagerServer::start(ServerOptions::local(configuration.clone())));
        let handle = started.map_err(|error| cannot(&error))?;
        let link_source = handle.clone();
        let connector = InMemoryConnector::new(move || link_source.connect_task_manager());
        let id = new_task_manager_id("local");
        let task_manager = TaskManagerProcess::new(configuration, id, connector, InProcessLauncher { operators });
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
            "the program has ended".to_owned()
        };
        let task_manager = runtime.spawn(async move {
            if let Err(error) = task_manager.run(shutdown).await {
                tracing::error!("the local TaskManager has ended: {error}");
            }
        });
        Ok(Self { runtime: Some(runtime), handle, stop: Some(stop), task_manager: Some(task_manager) })
    }

    fn call(&self, call: ClientCall) -> Result<ClientResponseBody, ExecuteError> {
        let Some(runtime) = &self.runtime else {
            return Err(ExecuteError::Cluster("the cluster has ended".to_owned()));
        };
        let answer = runtime.block_on(self.handle.call(call));
        answer.map_err(|error| ExecuteError::Cluster(error.to_string()))?.map_err(ExecuteError::Cluster)
    }
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        let (Some(runtime), Some(task_manager)) = (self.runtime.take(), self.task_manager.take()) else { return };
        drop(self.stop.take());
        runtime.block_on(async {
            if tokio::time::timeout(STOP_PATIENCE, task_manager).await.is_err() {
                tracing::warn!("the local TaskManager did not end in time");
            }
            self.handle.shut_down().await;
        });
        runtime.shutdown_timeout(STOP_PATIENCE);
    }
}

/// A job and its cluster, which ends with it.
struct RunningJob {
    job: JobId,
    /// The job's name, where its end is told.
    tells: Option<String>,
    cluster: RefCell<Option<LocalCluster>>,
    result: RefCell<Option<JobResult>>,
}

impl RunningJob {
    /// Asks the cluster; `None` when it has ended with the job.
    fn call(&self, call: ClientCall) -> Result<Option<ClientResponseBody>, ExecuteError> {
        self.cluster.borrow().as_ref().map(|cluster| cluster.call(call)).transpose()
    }

    /// How it failed the program hears, and may tell.
    fn tell(&self, result: &JobResult) {
        if let (Some(name), JobStatus::Finished) = (&self.tells, result.status) {
            let name: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            eprintln!("Job {name} ({}) finished in {} ms", result.job, result.net_runtime_ms);
        }
    }

    /// Waits for the job's end, and ends its cluster.
    fn wait(&self) -> Result<JobResult, ExecuteError> {
        loop {
            if let Some(result) = self.result.borrow().clone() {
                return Ok(result);
            }
            match self.call(ClientCall::RequestJobResult { job: self.job, wait: RESULT_WAIT })? {
                Some(ClientResponseBody::JobResult(result)) => {
                    self.tell(&result);
                    *self.result.borrow_mut() = Some(*result);
                    drop(self.cluster.take());
                }
                Some(ClientResponseBody::JobRunning(_)) => {}
                Some(other) => return Err(unexpected(&other)),
                None => return Err(ExecuteError::Cluster("the job's cluster has ended".to_owned())),
            }
        }
    }
}

impl Drop for LocalExecutor {
    /// The program ends: what it has started, and not waited for, comes to its end first.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for job in self.jobs.take() {
            let unnoticed = job.result.borrow().is_none();
            if let (true, Err(error)) = (unnoticed, job.wait().and_then(finished)) {
                eprintln!("{error}");
            }
        }
    }
}

struct LocalJob(Rc<RunningJob>);

impl JobClient for LocalJob {
    fn job_id(&self) -> JobId {
        self.0.job
    }

    fn status(&self) -> Result<JobStatus, ExecuteError> {
        if let Some(result) = &*self.0.result.borrow() {
            return Ok(result.status);
        }
        match self.0.call(ClientCall::RequestJobDetails(self.0.job))? {
            Some(ClientResponseBody::JobDetails(details)) => Ok(details.summary.status),
            Some(other) => Err(unexpected(&other)),
            None => Err(ExecuteError::Cluster("the job's cluster has ended".to_owned())),
        }
    }

    fn cancel(&self) -> Result<(), ExecuteError> {
        match self.0.call(ClientCall::CancelJob(self.0.job))? {
            Some(ClientResponseBody::CancellationSuccess(_)) | None => Ok(()),
            Some(ClientResponseBody::CancellationFailure(reason)) => Err(ExecuteError::Cluster(reason)),
            Some(other) => Err(unexpected(&other)),
        }
    }

    fn wait(&self) -> Result<JobResult, ExecuteError> {
        self.0.wait().and_then(finished)
    }
}

/// Runs the worker on threads of this process, with the operators that the program has built.
struct InProcessLauncher {
    operators: Arc<dyn JobProgram>,
}

impl WorkerLauncher for InProcessLauncher {
    fn launch(&mut self, launch: WorkerLaunch, events: WorkerEvents) -> Result<WorkerControl, String> {
        let (messages, inbox) = mpsc::channel(WORKER_QUEUE);
        // Unbounded, but every message answers one of the TaskManager's or is a state of one of its tasks.
        let (sender, outbox) = mpsc::unbounded_channel();
        let start = *launch.start;
        let address = LOCAL_ADDRESS.to_owned();
        let started = FromWorker::Started { protocol_version: PROTOCOL_VERSION, data_address: address.clone() };
        sender.send(started).map_err(|error| error.to_string())?;
        let worker = Worker::new(
            self.operators.clone(),
            start.job.graph.clone(),
            configuration(&start),
            PathBuf::from(&start.directory),
            WorkerNetwork { address, data_plane: None },
            Arc::new(Partitions::default()),
            Arc::new(move |message| {
                // The TaskManager has ended when this fails, and the worker is ended with it.
                let _ = sender.send(message);
            }),
        );
        tokio::spawn(serve(worker, inbox, outbox, events));
        Ok(WorkerControl { messages, kill: Box::new(|| {}), pid: None })
    }
}

/// Moves messages between the TaskManager and its worker until one of them ends.
async fn serve(
    mut worker: Worker,
    mut inbox: mpsc::Receiver<ToWorker>,
    mut outbox: mpsc::UnboundedReceiver<FromWorker>,
    events: WorkerEvents,
) {
    loop {
        tokio::select! {
            biased;
            Some(message) = outbox.recv() => {
                if !events.message(message).await {
                    break;
                }
            }
            message = inbox.recv() => {
                let ended = message.is_none_or(|message| worker.on_message(message) == ControlFlow::Break(()));
                if ended {
                    break;
                }
            }
        }
    }
    let stopped = tokio::task::spawn_blocking(move || worker.stop(STOP_PATIENCE)).await;
    if let Err(error) = stopped {
        tracing::error!("stopping the tasks failed: {error}");
    }
    events.exited("it was told to stop".to_owned()).await;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Instant;

    use flink_api::StreamExecutionEnvironment;
    use flink_api::sources::{GeneratorSource, Tick};

    use super::*;
    use crate::environment::GetExecutionEnvironment;

    fn environment() -> Result<StreamExecutionEnvironment, ExecuteError> {
        let mut configuration = Configuration::default();
        configuration.set("parallelism.default", "1");
        StreamExecutionEnvironment::create_local_environment(configuration)
    }

    fn endless(env: &StreamExecutionEnvironment) {
        let source = GeneratorSource::new(|tick: Tick| tick.index, None).rate_per_second(1000.0);
        env.from_source(source, "Numbers").discard();
    }

    #[test]
    fn main_goes_on_while_a_job_runs() {
        let env = environment().unwrap();
        endless(&env);
        let client = env.execute_async("endless").unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while client.status().unwrap() != JobStatus::Running {
            assert!(Instant::now() < until, "it never runs");
            std::thread::sleep(Duration::from_millis(5));
        }
        env.from_sequence(1, 10).discard();
        env.execute("meanwhile").unwrap();
        assert_eq!(client.status().unwrap(), JobStatus::Running);
        client.cancel().unwrap();
        for _ in 0..2 {
            assert!(matches!(client.wait(), Err(ExecuteError::Canceled(job)) if job == client.job_id()));
        }
        assert_eq!(client.status().unwrap(), JobStatus::Canceled);
        client.cancel().unwrap();
    }

    #[test]
    fn a_job_that_nobody_waits_for_comes_to_its_end() {
        static SEEN: AtomicU64 = AtomicU64::new(0);
        let env = environment().unwrap();
        let see = |number: u64| SEEN.fetch_add(number, Ordering::Relaxed);
        env.from_sequence(1, 1000).map(see).discard();
        drop(env.execute_async("left").unwrap());
        drop(env);
        assert_eq!(SEEN.load(Ordering::Relaxed), 500_500);
    }

    #[test]
    fn one_type_of_error_fits_every_main() {
        fn ours() -> Result<(), ExecuteError> {
            let env = environment()?;
            env.execute("nothing")?;
            Ok(())
        }
        fn any() -> Result<(), Box<dyn std::error::Error>> {
            let env = environment()?;
            env.execute("nothing")?;
            Ok(())
        }
        fn any_that_travels() -> Result<(), flink_api::BoxError> {
            let env = environment()?;
            env.execute("nothing")?;
            Ok(())
        }
        let expected = ours().unwrap_err().to_string();
        assert_eq!(any().unwrap_err().to_string(), expected);
        assert_eq!(any_that_travels().unwrap_err().to_string(), expected);
    }
}
