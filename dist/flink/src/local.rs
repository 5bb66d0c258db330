/// JobManager, TaskManager and worker on threads of this process.
mod cluster;

/// Ctrl-C and SIGTERM while jobs run.
mod interrupts;

use std::cell::RefCell;
use std::io::IsTerminal;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use flink_api::executor::finished;
use flink_api::{Configuration, ExecuteError, Executor, JobClient, JobId, JobResult, JobStatus, Program};
use flink_appmaster::job_manager::ClientCall;
use flink_console::{Progress, named};
use flink_graph::{JobGraph, options};
use flink_protocol::client::ClientResponseBody;
use flink_taskmanager::setup::JobProgram;

use crate::plan::read_request;
use crate::{configuration_file, logging};
use cluster::LocalCluster;
use interrupts::Interrupts;

/// Longest wait of one request for a job's result, where nobody is shown the job; it is asked again.
const RESULT_WAIT: Duration = Duration::from_secs(60);

/// The first picture of a job comes soon, later ones at the pace of the display.
const FIRST_PICTURE: Duration = Duration::from_millis(50);

/// Runs each action on a cluster of its own in this process: JobManager, TaskManager and worker are those of a real cluster,
/// with channels in place of sockets.
pub(crate) struct LocalExecutor {
    configuration: Configuration,
    /// Whether jobs are shown on standard error, as those on a cluster are: where `flink-yarn run` has started the program. What
    /// a program that was started by itself writes is its own affair.
    tells: bool,
    /// Who cancels the jobs when the process is told to end; nobody in the tests of programs, whose process is not ours.
    interrupts: Option<&'static Interrupts>,
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
        Self { configuration, tells: false, interrupts: None, jobs: RefCell::default() }
    }

    /// With what `flink-yarn run -t local` has left, if it started the program, else with the user's configuration file.
    pub(crate) fn from_environment() -> Result<Self, ExecuteError> {
        let (configuration, tells) = match read_request()? {
            Some(request) => (request.configuration, true),
            None => (configuration_file::of_user()?, false),
        };
        flink_files::jobs_end_with_this_process();
        flink_files::tasks_run_on_this_host();
        let mut executor = Self::new(configuration);
        (executor.tells, executor.interrupts) = (tells, Some(Interrupts::of_process()?));
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
        logging::start_in_program();
        let Program { mut graph, runtime: operators } = program;
        graph.job_id = new_job_id();
        let (job, title) = (graph.job_id, named(&graph.name, graph.job_id));
        let mut configuration = graph.configuration.clone();
        let slots = configuration.get(&options::TASK_SLOTS)?.max(graph.required_slots());
        configuration.set(options::TASK_SLOTS.key, slots.to_string());
        let shown = self.tells.then(|| progress(title.clone()));
        // Nothing is submitted, and lost, between a signal and the end of the process.
        let start = || start(configuration, operators, graph);
        let cluster = match self.interrupts {
            Some(interrupts) => interrupts.guard(job, title.clone(), start)?,
            None => start()?,
        };
        let running = Rc::new(RunningJob {
            job,
            title,
            progress: shown,
            interrupts: self.interrupts,
            cluster: RefCell::new(Some(cluster)),
            result: RefCell::default(),
        });
        let mut jobs = self.jobs.borrow_mut();
        jobs.retain(|job| job.result.borrow().is_none());
        jobs.push(running.clone());
        Ok(Box::new(LocalJob(running)))
    }
}

/// Starts a cluster with a job.
fn start(
    configuration: Configuration,
    operators: Arc<dyn JobProgram>,
    graph: JobGraph,
) -> Result<LocalCluster, ExecuteError> {
    let cluster = LocalCluster::start(configuration, operators)?;
    match cluster.call(ClientCall::SubmitJob { graph: Box::new(graph), artifact_present: true })? {
        ClientResponseBody::JobSubmitSuccess(_) => Ok(cluster),
        ClientResponseBody::JobSubmitFailure(reason) => Err(ExecuteError::Cluster(reason)),
        other => Err(unexpected(&other)),
    }
}

/// How a job is shown: a picture would be drawn over what its tasks print to the same terminal.
fn progress(title: String) -> Progress {
    let clash = std::io::stdout().is_terminal() && flink_api::sinks::prints();
    if clash { Progress::in_lines(title) } else { Progress::new(title) }
}

fn unexpected(answer: &ClientResponseBody) -> ExecuteError {
    ExecuteError::Cluster(format!("the JobManager gave an answer to another question: {answer:?}"))
}

fn new_job_id() -> JobId {
    let random = flink_transport::token::random_bytes::<16>();
    // Without random numbers of the system: a local cluster has one job.
    JobId::from_u128(random.map_or(1, u128::from_be_bytes))
}

/// A job and its cluster, which ends with it.
struct RunningJob {
    job: JobId,
    /// Name and id.
    title: String,
    /// What is shown of it, where it is shown.
    progress: Option<Progress>,
    interrupts: Option<&'static Interrupts>,
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
        let Some(progress) = &self.progress else { return };
        progress.clear();
        if result.status == JobStatus::Finished {
            eprintln!("{}", flink_console::finished(&self.title, result));
        }
    }

    /// Waits for the job's end, and ends its cluster.
    fn wait(&self) -> Result<JobResult, ExecuteError> {
        let mut wait = self.progress.as_ref().map_or(RESULT_WAIT, |_| FIRST_PICTURE);
        loop {
            if let Some(result) = self.result.borrow().clone() {
                return Ok(result);
            }
            match self.call(ClientCall::RequestJobResult { job: self.job, wait })? {
                Some(ClientResponseBody::JobResult(result)) => self.end(*result),
                Some(ClientResponseBody::JobRunning(details)) => {
                    if let Some(progress) = &self.progress {
                        progress.show(&details);
                        wait = progress.interval();
                    }
                }
                Some(other) => return Err(unexpected(&other)),
                None => return Err(ExecuteError::Cluster("the job's cluster has ended".to_owned())),
            }
        }
    }

    fn end(&self, result: JobResult) {
        self.tell(&result);
        *self.result.borrow_mut() = Some(result);
        drop(self.cluster.take());
        if let Some(interrupts) = self.interrupts {
            interrupts.ended(self.job);
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
