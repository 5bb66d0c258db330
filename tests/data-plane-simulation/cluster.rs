//! Runs a program's actions in the simulation.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use flink_api::executor::finished;
use flink_api::{
    Configuration, ExecuteError, Executor, JobClient, JobId, JobResult, JobStatus, Program, StreamExecutionEnvironment,
};
use flink_graph::ExecutionState;
use tempfile::TempDir;

use crate::random::Random;
use crate::settings::Settings;
use crate::world::{Outcome, World};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// The user cancels the job.
    CancelJob,
    /// The JobManager has a task fail.
    FailTask,
    /// A connection breaks.
    Sever,
    /// A worker is killed.
    KillWorker,
}

/// Something that goes wrong once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    /// Steps of tasks and links before it.
    pub(crate) after: u64,
    pub(crate) kind: FaultKind,
}

/// A simulated cluster under one seed.
pub(crate) struct Cluster {
    seed: u64,
    settings: Settings,
    fault: RefCell<Option<Fault>>,
    expansion: Cell<u64>,
    directory: TempDir,
    outcome: RefCell<Option<Outcome>>,
}

impl Cluster {
    pub(crate) fn new(seed: u64) -> Rc<Self> {
        Self::with(seed, Settings::draw(&mut Random::new(seed)), None)
    }

    pub(crate) fn with(seed: u64, settings: Settings, fault: Option<Fault>) -> Rc<Self> {
        let directory = TempDir::new().expect("a temporary folder");
        let outcome = RefCell::default();
        Rc::new(Self { seed, settings, fault: fault.into(), expansion: Cell::new(1), directory, outcome })
    }

    /// An environment whose actions run here, with a parallelism that the seed decides.
    pub(crate) fn environment(self: &Rc<Self>) -> StreamExecutionEnvironment {
        let env = StreamExecutionEnvironment::with_executor(self.clone());
        env.set_parallelism(1 + (self.seed % 4) as u32);
        env
    }

    /// Says how many chunks one input record can make in one queue of the program.
    pub(crate) fn expand(&self, chunks: u64) {
        self.expansion.set(chunks);
    }

    /// How the last action ended.
    pub(crate) fn outcome(&self) -> Outcome {
        self.outcome.take().expect("an action has run")
    }
}

impl Executor for Cluster {
    fn configuration(&self) -> Configuration {
        self.settings.configuration()
    }

    fn plans(&self, _: u32) -> bool {
        true
    }

    fn submit(&self, program: Program) -> Result<Box<dyn JobClient>, ExecuteError> {
        let Program { mut graph, runtime } = program;
        graph.validate()?;
        graph.job_id = JobId::from_u128(u128::from(self.seed) + 1);
        let (job, random) = (graph.job_id, Random::new(!self.seed));
        let (settings, fault, expansion) = (self.settings.clone(), self.fault.take(), self.expansion.get());
        let outcome = World::new(graph, runtime, settings, random, self.directory.path(), fault, expansion).run();
        let result = result(job, &outcome);
        self.outcome.replace(Some(outcome));
        Ok(Box::new(EndedJob(result)))
    }
}

fn result(job: JobId, outcome: &Outcome) -> JobResult {
    let (status, failure) = match outcome.failures.first() {
        Some((index, failure)) => {
            (JobStatus::Failed, Some(format!("{}: {}", outcome.deployment.name(*index), failure.message)))
        }
        None if outcome.states.contains(&ExecutionState::Canceled) => (JobStatus::Canceled, None),
        None => (JobStatus::Finished, None),
    };
    JobResult { job, status, net_runtime_ms: 0, accumulators: outcome.accumulators.clone(), failure }
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
