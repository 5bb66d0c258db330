use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flink_api::executor::finished;
use flink_api::{
    BoxError, Configuration, ExecuteError, Executor, JobClient, JobId, JobResult, JobStatus, Program,
    StreamExecutionEnvironment,
};
use flink_graph::{Accumulators, InputSplit, JobGraph, JobVertex};
use flink_protocol::task_manager::InputChannelDescriptor;
use flink_taskmanager::clock::Clock;
use flink_taskmanager::driver::{Driver, SplitExchange, Step, TaskError};
use flink_taskmanager::input::{ChannelConnector, CreditReturn, RemoteInbox};
use flink_taskmanager::operator::{TaskFlags, TaskWaker};
use flink_taskmanager::partitions::Partitions;
use flink_taskmanager::setup::TaskSetup;
use flink_taskmanager::task::TaskCounters;

use crate::deployment::descriptor;

/// An environment whose actions run on the thread that calls them: each task of the job is stepped in turn. The same
/// program does the same steps in every run.
#[must_use]
pub fn environment() -> StreamExecutionEnvironment {
    StreamExecutionEnvironment::with_executor(Rc::new(SingleThread))
}

struct SingleThread;

impl Executor for SingleThread {
    fn configuration(&self) -> Configuration {
        Configuration::default()
    }

    fn plans(&self, _: u32) -> bool {
        true
    }

    fn submit(&self, program: Program) -> Result<Box<dyn JobClient>, ExecuteError> {
        let Program { mut graph, runtime } = program;
        graph.job_id = JobId::from_u128(1);
        graph.validate()?;
        let splits = take_splits(&mut graph);
        let graph = Arc::new(graph);
        let mut tasks = Vec::new();
        for (vertex, splits) in graph.vertices.iter().zip(splits) {
            let splits = Arc::new(Mutex::new(splits));
            for subtask in 0..vertex.parallelism {
                tasks.push((vertex.clone(), subtask, splits.clone()));
            }
        }
        let partitions = Arc::new(Partitions::default());
        let tasks = tasks.into_iter().map(|(vertex, subtask, splits)| {
            let (exchange, answers) = split_exchange();
            let mut setup = setup(&graph, vertex, subtask, &partitions, exchange.clone())?;
            let driver = runtime.build_task(setup.vertex.id, &mut setup)?;
            Ok(RunningTask { driver, exchange, requests: answers, splits, ended: false })
        });
        let tasks = tasks.collect::<Result<Vec<_>, BoxError>>().map_err(|error| cluster_error(&error))?;
        run(tasks)?;
        let (job, accumulators) = (graph.job_id, Accumulators::default());
        let result = JobResult { job, status: JobStatus::Finished, net_runtime_ms: 0, accumulators, failure: None };
        Ok(Box::new(EndedJob(result)))
    }
}

type Splits = Arc<Mutex<VecDeque<InputSplit>>>;
type Requests = Arc<Mutex<VecDeque<u64>>>;

/// A task between its steps.
struct RunningTask {
    driver: Box<dyn Driver>,
    exchange: Arc<SplitExchange>,
    requests: Requests,
    splits: Splits,
    ended: bool,
}

impl RunningTask {
    /// Steps the task once; false when it had nothing to do.
    fn step(&mut self) -> Result<bool, TaskError> {
        let step = self.driver.step(Duration::ZERO)?;
        let request = locked(&self.requests).pop_front();
        if let Some(request) = request {
            self.exchange.answer(request, locked(&self.splits).pop_front());
        }
        self.ended = step == Step::Done;
        Ok(matches!(step, Step::DidWork | Step::Done))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take_splits(graph: &mut JobGraph) -> Vec<VecDeque<InputSplit>> {
    let splits = graph.vertices.iter_mut().map(|vertex| vertex.input_splits.replace(Vec::new()));
    splits.map(|splits| splits.unwrap_or_default().into()).collect()
}

fn split_exchange() -> (Arc<SplitExchange>, Requests) {
    let requests = Requests::default();
    let sender = requests.clone();
    (Arc::new(SplitExchange::new(move |request| locked(&sender).push_back(request))), requests)
}

fn setup(
    graph: &Arc<JobGraph>,
    vertex: JobVertex,
    subtask: u32,
    partitions: &Arc<Partitions>,
    splits: Arc<SplitExchange>,
) -> Result<TaskSetup, BoxError> {
    Ok(TaskSetup {
        descriptor: descriptor(graph, &vertex, subtask)?,
        graph: graph.clone(),
        vertex,
        configuration: graph.configuration.clone(),
        flags: Arc::new(TaskFlags::default()),
        waker: TaskWaker::new(|| {}),
        clock: Clock::system(),
        counters: TaskCounters::default(),
        splits,
        partitions: partitions.clone(),
        connector: Arc::new(NoNetwork),
        directory: std::env::temp_dir(),
    })
}

fn run(mut tasks: Vec<RunningTask>) -> Result<(), ExecuteError> {
    for task in &mut tasks {
        task.driver.open().map_err(task_error)?;
    }
    while !tasks.is_empty() {
        let mut moved = false;
        for task in &mut tasks {
            moved |= task.step().map_err(task_error)?;
        }
        if !moved {
            return Err(ExecuteError::Cluster("no task can go on, and not all have ended".to_owned()));
        }
        tasks.retain(|task| !task.ended);
    }
    Ok(())
}

fn cluster_error(error: &BoxError) -> ExecuteError {
    ExecuteError::Cluster(error.to_string())
}

fn task_error(error: TaskError) -> ExecuteError {
    ExecuteError::Cluster(match error {
        TaskError::Operator(error) => format!("{}: {}", error.operator, error.source),
        TaskError::Input(failure) => failure.message,
    })
}

/// Every task is in this process.
struct NoNetwork;

impl ChannelConnector for NoNetwork {
    fn is_local(&self, _: &InputChannelDescriptor) -> bool {
        true
    }

    fn connect(
        &self,
        _: &InputChannelDescriptor,
        _: u32,
        _: Arc<RemoteInbox>,
    ) -> Result<Box<dyn CreditReturn>, BoxError> {
        Err("there is no network".into())
    }
}

struct EndedJob(JobResult);

impl JobClient for EndedJob {
    fn job_id(&self) -> JobId {
        self.0.job
    }

    fn status(&self) -> Result<JobStatus, ExecuteError> {
        Ok(self.0.status)
    }

    fn cancel(&self) -> Result<(), ExecuteError> {
        Ok(())
    }

    fn wait(&self) -> Result<JobResult, ExecuteError> {
        finished(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_with_a_shuffle_gives_its_result() {
        let sum = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let seen = sum.clone();
        let env = environment();
        env.set_parallelism(3);
        let counts = env.from_sequence(1, 10_000).key_by(|number| number % 10).count();
        let look = move |(_, count): (u64, u64)| seen.fetch_max(count, std::sync::atomic::Ordering::Relaxed);
        counts.map(look).discard();
        env.execute("counts").unwrap();
        assert_eq!(sum.load(std::sync::atomic::Ordering::Relaxed), 1000);
    }

    #[test]
    fn a_failing_operator_is_named() {
        let env = environment();
        env.from_sequence(1, 3).try_map(|_| Err::<u64, BoxError>("no".into())).name("Refuse").discard();
        assert_eq!(env.execute("fails").unwrap_err().to_string(), "Refuse: no");
    }
}
