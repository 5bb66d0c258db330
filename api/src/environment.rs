//! Where a program begins: settings, sources, actions.

use std::cell::RefCell;
use std::rc::Rc;

use flink_graph::{AccumulatorValue, Configuration, JobGraph, JobId, RuntimeMode, options};
use flink_protocol::client::JobResult;
use flink_taskmanager::data::Data;

use crate::chain::Chain;
use crate::datastream::DataStream;
use crate::executor::{ExecuteError, Executor, JobClient, Program};
use crate::source::Source;
use crate::sources::{CollectionSource, FromSource, GeneratorSource, Tick};
use crate::stream_graph::{OperatorMeta, StreamGraph};
use crate::translation::translate;

struct State {
    configuration: Configuration,
    graph: StreamGraph,
    executor: Rc<dyn Executor>,
    action: u32,
}

/// Where a program begins. Clones share one program.
#[derive(Clone)]
pub struct StreamExecutionEnvironment(Rc<RefCell<State>>);

impl StreamExecutionEnvironment {
    /// An environment whose actions `executor` runs.
    #[must_use]
    pub fn with_executor(executor: Rc<dyn Executor>) -> Self {
        let configuration = executor.configuration();
        Self(Rc::new(RefCell::new(State { configuration, graph: StreamGraph::default(), executor, action: 0 })))
    }

    pub(crate) fn with_graph<R>(&self, act: impl FnOnce(&mut StreamGraph) -> R) -> R {
        act(&mut self.0.borrow_mut().graph)
    }

    /// Sets a configuration key for this program. It wins over file and command line.
    pub fn set(&self, key: &str, value: impl Into<String>) -> &Self {
        self.0.borrow_mut().configuration.set(key, value);
        self
    }

    /// The configuration as it is now.
    #[must_use]
    pub fn configuration(&self) -> Configuration {
        self.0.borrow().configuration.clone()
    }

    /// Parallelism of operators that have none of their own.
    pub fn set_parallelism(&self, parallelism: u32) -> &Self {
        self.set(options::DEFAULT_PARALLELISM.key, parallelism.to_string())
    }

    /// Number of key groups, the largest parallelism that the job can ever be given.
    pub fn set_max_parallelism(&self, max_parallelism: u32) -> &Self {
        self.set(options::MAX_PARALLELISM.key, max_parallelism.to_string())
    }

    /// STREAMING, BATCH, or AUTOMATIC.
    pub fn set_runtime_mode(&self, mode: RuntimeMode) -> &Self {
        self.set(options::RUNTIME_MODE.key, mode.to_string())
    }

    /// Runs every operator in a task of its own.
    pub fn disable_operator_chaining(&self) -> &Self {
        self.set(options::OPERATOR_CHAINING.key, "false")
    }

    /// Reads a source.
    pub fn from_source<S: Source>(&self, source: S, name: &str) -> DataStream<S::Record, FromSource<S>> {
        let meta = FromSource::meta(&source);
        let operators = vec![OperatorMeta::new(&format!("Source: {name}"))];
        let mut stream = DataStream::headed(self, FromSource::new(source), Vec::new(), operators);
        stream.source = Some(meta);
        stream
    }

    /// The elements of a collection. Every process of the job holds it, so it should be small.
    pub fn from_collection<T: Data + Clone + Sync>(
        &self,
        elements: impl IntoIterator<Item = T>,
    ) -> DataStream<T, FromSource<CollectionSource<T>>> {
        self.from_source(CollectionSource::new(elements.into_iter().collect()), "Collection")
    }

    /// The numbers from `first` to `last`, both included.
    pub fn from_sequence(&self, first: u64, last: u64) -> DataStream<u64, impl Chain<Out = u64> + use<>> {
        let count = if last < first { 0 } else { last - first + 1 };
        self.from_source(GeneratorSource::new(move |tick: Tick| first + tick.index, Some(count)), "Sequence")
    }

    /// `count` records made by a function, or records without end; see also [`GeneratorSource::rate_per_second`].
    pub fn from_generator<T, F>(&self, count: Option<u64>, function: F) -> DataStream<T, FromSource<GeneratorSource<F>>>
    where
        T: Data,
        F: FnMut(Tick) -> T + Clone + Send + 'static,
    {
        self.from_source(GeneratorSource::new(function, count), "Generator")
    }

    /// Runs the program and waits for its end.
    ///
    /// # Errors
    /// The graph or a setting is wrong, or the job failed or was cancelled.
    pub fn execute(&self, job_name: &str) -> Result<JobResult, ExecuteError> {
        self.execute_async(job_name)?.wait()
    }

    /// Submits the program without waiting for its end. When `flink-yarn run` plans the program on a client, it goes on behind
    /// this call only when the job has ended.
    ///
    /// # Errors
    /// The graph or a setting is wrong, or the job was refused.
    pub fn execute_async(&self, job_name: &str) -> Result<Box<dyn JobClient>, ExecuteError> {
        let program = self.translate(job_name)?;
        let executor = {
            let mut state = self.0.borrow_mut();
            state.graph = StreamGraph::default();
            state.action += 1;
            state.executor.clone()
        };
        executor.submit(program)
    }

    /// The JobGraph of what the program has built so far.
    ///
    /// # Errors
    /// The graph or a setting is wrong.
    pub fn job_graph(&self, job_name: &str) -> Result<JobGraph, ExecuteError> {
        Ok(self.translate(job_name)?.graph)
    }

    fn translate(&self, job_name: &str) -> Result<Program, ExecuteError> {
        let state = self.0.borrow();
        translate(&state.graph, &state.configuration, job_name, state.action, state.executor.plans(state.action))
    }
}

impl<T: Data, C: Chain<Out = T>> DataStream<T, C> {
    /// Runs the program and brings the stream's records to it, in the order of subtasks. The stream must end.
    ///
    /// # Errors
    /// As [`StreamExecutionEnvironment::execute`]; also when the result is too large.
    pub fn execute_and_collect(self, job_name: &str) -> Result<Vec<T>, ExecuteError> {
        let environment = self.environment.clone();
        self.collect_into(COLLECTED.to_owned());
        let result = environment.execute(job_name)?;
        records(&result).map_err(|error| ExecuteError::Failed { job: result.job, cause: error })
    }
}

const COLLECTED: &str = "__collected";

fn records<T: Data>(result: &JobResult) -> Result<Vec<T>, String> {
    let mut records = Vec::new();
    if let Some(AccumulatorValue::List(parts)) = result.accumulators.0.get(COLLECTED) {
        for mut part in parts.iter().map(Vec::as_slice) {
            while !part.is_empty() {
                records.push(T::decode(&mut part).map_err(|error| format!("the collected result: {error}"))?);
            }
        }
    }
    Ok(records)
}

/// A job that is not submitted yet has this id.
pub const NO_JOB: JobId = JobId::from_u128(0);
