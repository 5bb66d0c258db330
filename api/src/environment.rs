//! Where a program begins: settings, sources, actions.

use std::cell::RefCell;
use std::rc::Rc;

use flink_graph::keys::{check_keys, check_values, remove_without_effect};
use flink_graph::{AccumulatorValue, Configuration, JobGraph, JobId, RuntimeMode, options};
use flink_protocol::client::JobResult;
use flink_taskmanager::data::Data;
use flink_taskmanager::operator::BoxError;

use crate::chain::Chain;
use crate::datastream::DataStream;
use crate::executor::{ExecuteError, Executor, JobClient, Program};
use crate::sequence::SequenceSource;
use crate::settling::Sinks;
use crate::source::Source;
use crate::sources::{CollectionSource, Fallible, FromSource, GeneratorSource, Tick};
use crate::stream_graph::{OperatorMeta, StreamGraph};
use crate::translation::translate;

struct State {
    configuration: Configuration,
    /// What of it the program has set itself.
    own: Configuration,
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
        Self(Rc::new(RefCell::new(State {
            configuration,
            own: Configuration::default(),
            graph: StreamGraph::default(),
            executor,
            action: 0,
        })))
    }

    pub(crate) fn with_graph<R>(&self, act: impl FnOnce(&mut StreamGraph) -> R) -> R {
        act(&mut self.0.borrow_mut().graph)
    }

    /// Sets a configuration key for this program. It wins over file and command line. A key that looks like one of the
    /// engine's and is none, and a wrong value, are refused by the next action.
    pub fn set(&self, key: &str, value: impl Into<String>) -> &Self {
        let (state, value) = (&mut *self.0.borrow_mut(), value.into());
        state.own.set(key, value.as_str());
        state.configuration.set(key, value);
        self
    }

    /// Sets all keys of a configuration, as [`set`](Self::set) sets one.
    pub fn configure(&self, configuration: &Configuration) -> &Self {
        configuration.0.iter().for_each(|(key, value)| {
            self.set(key, value.as_str());
        });
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

    /// The numbers from `first` to `last`, both included. For numbers below zero:
    /// `env.from_source(SequenceSource::new(-5_i64, 5), "Sequence")`.
    pub fn from_sequence(&self, first: u64, last: u64) -> DataStream<u64, FromSource<SequenceSource<u64>>> {
        self.from_source(SequenceSource::new(first, last), "Sequence")
    }

    /// `count` records made by a function, or records without end; see also [`GeneratorSource::rate_per_second`].
    pub fn from_generator<T, F>(&self, count: Option<u64>, function: F) -> DataStream<T, FromSource<GeneratorSource<F>>>
    where
        T: Data,
        F: FnMut(Tick) -> T + Clone + Send + 'static,
    {
        self.from_source(GeneratorSource::new(function, count), "Generator")
    }

    /// The same from a function that may fail, and its task with it.
    pub fn try_from_generator<T, F>(
        &self,
        count: Option<u64>,
        function: F,
    ) -> DataStream<T, FromSource<GeneratorSource<Fallible<F>>>>
    where
        T: Data,
        F: FnMut(Tick) -> Result<T, BoxError> + Clone + Send + 'static,
    {
        self.from_source(GeneratorSource::fallible(function, count), "Generator")
    }

    /// Runs the program and waits for its end.
    ///
    /// # Errors
    /// The graph or a setting is wrong, or the job failed or was canceled.
    pub fn execute(&self, job_name: &str) -> Result<JobResult, ExecuteError> {
        self.execute_async(job_name)?.wait()
    }

    /// Submits the program without waiting for its end, in every mode. A job that nobody waits for before `main` ends is waited
    /// for then.
    ///
    /// On a worker, `main` is told what it had been told where it began: of a job that was not waited for before the action that
    /// the worker runs, it knows no result.
    ///
    /// # Errors
    /// The graph or a setting is wrong, or the job was refused.
    pub fn execute_async(&self, job_name: &str) -> Result<Box<dyn JobClient>, ExecuteError> {
        let (program, sinks) = self.translate(job_name)?;
        let executor = {
            let mut state = self.0.borrow_mut();
            state.graph = StreamGraph::default();
            state.action += 1;
            state.executor.clone()
        };
        Ok(sinks.settling(executor.submit(program)?))
    }

    /// The JobGraph of what the program has built so far.
    ///
    /// # Errors
    /// The graph or a setting is wrong.
    pub fn job_graph(&self, job_name: &str) -> Result<JobGraph, ExecuteError> {
        Ok(self.translate(job_name)?.0.graph)
    }

    fn translate(&self, job_name: &str) -> Result<(Program, Sinks), ExecuteError> {
        let state = self.0.borrow();
        check_settings(&state.own)?;
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

/// Refuses settings of the program that the engine cannot follow.
fn check_settings(own: &Configuration) -> Result<(), ExecuteError> {
    let mut own = own.clone();
    // Keys that mean something to Apache Flink alone do no harm.
    remove_without_effect(&mut own);
    check_keys(&own)?;
    Ok(check_values(&own)?)
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
