//! Sources as chains, and those that come with the engine: collections, sequences, generators.

use std::sync::Arc;
use std::time::Duration;

use flink_graph::InputSplit;
use flink_taskmanager::chunk::ChunkCursor;
use flink_taskmanager::clock::Clock;
use flink_taskmanager::data::{Data, DecodeError};
use flink_taskmanager::driver::{Driver, SourceChain, SourceDriver, SourceStatus};
use flink_taskmanager::operator::{BoxError, ChunkConsumer, OperatorContext, OperatorError, Output, Stage};

use crate::chain::{Chain, Prototype, Start};
use crate::datastream::DataStream;
use crate::settings::Isolate;
use crate::source::{Boundedness, EnumeratorContext, ReaderContext, ReaderStatus, Source, SourceReader, SourceSplit};
use crate::stream_graph::{Enumerate, SourceMeta};
use crate::task_builder::TaskBuilder;

/// The beginning of a chain that reads a source.
pub struct FromSource<S>(Prototype<S>);

impl<S: Source> FromSource<S> {
    pub(crate) fn new(source: S) -> Self {
        Self(Prototype::new(source))
    }

    pub(crate) fn meta(source: &S) -> SourceMeta {
        let (boundedness, source) = (source.boundedness(), Prototype::new(source.clone()));
        let enumerate: Enumerate = Arc::new(move |context| encode_splits(source.instance().enumerate_splits(context)?));
        SourceMeta { boundedness, enumerate }
    }
}

fn encode_splits<S: Data>(splits: Vec<SourceSplit<S>>) -> Result<Vec<InputSplit>, BoxError> {
    let encode = |(number, split): (usize, SourceSplit<S>)| {
        let mut descriptor = Vec::new();
        split.split.encode(&mut descriptor);
        let SourceSplit { description, hosts, length, .. } = split;
        Ok(InputSplit { number: u32::try_from(number)?, descriptor, description, hosts, length })
    };
    splits.into_iter().enumerate().map(encode).collect()
}

impl<S: Source> Chain for FromSource<S> {
    type Out = S::Record;
    type Built = Box<dyn SourceChain>;

    fn build<N>(&self, builder: &mut TaskBuilder<'_>, next: N) -> Result<Self::Built, BoxError>
    where
        N: Stage<S::Record> + 'static,
    {
        let context = builder.context(0);
        let reader = self.0.instance().create_reader(ReaderContext {
            subtask: context.subtask,
            parallelism: context.parallelism,
            configuration: context.configuration.clone(),
            waker: context.waker.clone(),
            clock: context.clock.clone(),
            accumulators: context.accumulators.clone(),
        })?;
        Ok(Box::new(SourceHead { reader, next, context }))
    }

    fn driver(&self, builder: &mut TaskBuilder<'_>, built: Self::Built) -> Result<Box<dyn Driver>, BoxError> {
        let splits = builder.setup().splits.clone();
        Ok(Box::new(SourceDriver::new(built, splits, builder.flags())))
    }
}

impl<S: Source> Isolate<S::Record> for FromSource<S> {
    fn isolate(stream: DataStream<S::Record, Self>) -> DataStream<S::Record, Start<S::Record>> {
        stream.boxed()
    }
}

struct SourceHead<R, N> {
    reader: R,
    next: N,
    context: OperatorContext,
}

impl<R, N> SourceHead<R, N> {
    fn error(&self, source: BoxError) -> OperatorError {
        OperatorError { operator: self.context.operator.clone(), source }
    }
}

impl<R: SourceReader, N: Stage<R::Record>> SourceChain for SourceHead<R, N> {
    fn start_split(&mut self, descriptor: &[u8]) -> Result<(), OperatorError> {
        let split = decode_all(descriptor).map_err(|error| self.error(error.into()))?;
        self.reader.start_split(split).map_err(|error| self.error(error))
    }

    fn poll(&mut self, now: Duration) -> Result<SourceStatus, OperatorError> {
        let status = self.reader.poll(now, &mut self.next);
        Ok(match status.map_err(|error| self.error(error))? {
            ReaderStatus::More => SourceStatus::More,
            ReaderStatus::Pending => SourceStatus::Pending(None),
            ReaderStatus::PendingFor(pause) => SourceStatus::Pending(Some(now + pause)),
            ReaderStatus::SplitFinished => SourceStatus::SplitFinished,
        })
    }
}

fn decode_all<S: Data>(mut descriptor: &[u8]) -> Result<S, DecodeError> {
    S::decode(&mut descriptor)
}

impl<R: SourceReader, N: Stage<R::Record>> ChunkConsumer<()> for SourceHead<R, N> {
    fn open(&mut self) -> Result<(), OperatorError> {
        self.next.open()
    }

    fn consume(&mut self, _: &mut ChunkCursor<()>) {}

    fn end(&mut self) -> bool {
        self.next.end()
    }

    fn flush(&mut self) {
        self.next.flush();
    }

    fn has_room(&mut self) -> bool {
        self.next.has_room()
    }

    fn take_error(&mut self) -> Option<OperatorError> {
        self.next.take_error()
    }
}

/// Records that are emitted between two looks at the output.
pub(crate) const BURST: u64 = 1024;

/// One split for each subtask: consecutive parts of `0..count`, as even as possible.
fn even_ranges(what: &str, count: u64, parallelism: u32) -> Vec<SourceSplit<(u64, u64)>> {
    let parts = u64::from(parallelism.max(1));
    #[allow(clippy::cast_possible_truncation)] // not above `count`
    let bound = |part: u64| (u128::from(count) * u128::from(part) / u128::from(parts)) as u64;
    let ranges = (0..parts).map(|part| (bound(part), bound(part + 1))).filter(|(begin, end)| begin < end);
    let split = |(begin, end): (u64, u64)| SourceSplit {
        split: (begin, end),
        description: format!("{what} [{begin}, {end})"),
        hosts: Vec::new(),
        length: 0,
    };
    ranges.map(split).collect()
}

/// The elements of a collection that the program holds: in every process of the job, so keep it small.
pub struct CollectionSource<T>(Arc<Vec<T>>);

impl<T> CollectionSource<T> {
    pub(crate) fn new(elements: Vec<T>) -> Self {
        Self(Arc::new(elements))
    }
}

impl<T> Clone for CollectionSource<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Data + Clone + Sync> Source for CollectionSource<T> {
    type Record = T;
    type Split = (u64, u64);
    type Reader = CollectionReader<T>;

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn enumerate_splits(&self, context: &EnumeratorContext) -> Result<Vec<SourceSplit<(u64, u64)>>, BoxError> {
        Ok(even_ranges("elements", self.0.len() as u64, context.parallelism))
    }

    fn create_reader(&self, _: ReaderContext) -> Result<Self::Reader, BoxError> {
        Ok(CollectionReader { elements: self.0.clone(), range: 0..0 })
    }
}

/// Reads a part of a collection.
pub struct CollectionReader<T> {
    elements: Arc<Vec<T>>,
    range: std::ops::Range<usize>,
}

impl<T: Data + Clone + Sync> SourceReader for CollectionReader<T> {
    type Record = T;
    type Split = (u64, u64);

    fn start_split(&mut self, (begin, end): (u64, u64)) -> Result<(), BoxError> {
        self.range = usize::try_from(begin)?..usize::try_from(end)?;
        if self.range.end > self.elements.len() {
            return Err("the program's collection is shorter on this worker than on the client".into());
        }
        Ok(())
    }

    fn poll(&mut self, _: Duration, output: &mut impl Output<T>) -> Result<ReaderStatus, BoxError> {
        for _ in 0..BURST {
            let Some(index) = self.range.next() else { return Ok(ReaderStatus::SplitFinished) };
            output.collect(self.elements[index].clone());
            if output.is_full() {
                break;
            }
        }
        Ok(ReaderStatus::More)
    }
}

/// What a generator function is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// Number of the record, from 0.
    pub index: u64,
    /// When the record was due under the rate limit, nanoseconds since 1970; 0 without one. A record that comes late
    /// still carries this time, so that a latency measured from it hides nothing.
    pub due_nanos: u64,
}

/// What makes the records of a generator: a function of the number, or one that may fail ([`Fallible`]).
pub trait Generate: Clone + Send + 'static {
    /// What it makes.
    type Record: Data;

    /// Makes one.
    ///
    /// # Errors
    /// The task fails with it.
    fn generate(&mut self, tick: Tick) -> Result<Self::Record, BoxError>;
}

impl<T, F> Generate for F
where
    T: Data,
    F: FnMut(Tick) -> T + Clone + Send + 'static,
{
    type Record = T;

    #[inline]
    fn generate(&mut self, tick: Tick) -> Result<T, BoxError> {
        Ok(self(tick))
    }
}

/// A function of a generator that may fail.
#[derive(Clone)]
pub struct Fallible<F>(F);

impl<T, F> Generate for Fallible<F>
where
    T: Data,
    F: FnMut(Tick) -> Result<T, BoxError> + Clone + Send + 'static,
{
    type Record = T;

    #[inline]
    fn generate(&mut self, tick: Tick) -> Result<T, BoxError> {
        self.0(tick)
    }
}

/// Records made by a function from their number.
#[derive(Clone)]
pub struct GeneratorSource<F> {
    function: F,
    count: Option<u64>,
    rate: Option<f64>,
}

impl<F> GeneratorSource<F> {
    /// `count` records, or records without end.
    pub fn new(function: F, count: Option<u64>) -> Self {
        Self { function, count, rate: None }
    }

    /// Limits all subtasks together to a number of records a second, which must be above 0.
    #[must_use]
    pub fn rate_per_second(self, rate: f64) -> Self {
        Self { rate: Some(rate), ..self }
    }
}

impl<F> GeneratorSource<Fallible<F>> {
    /// The same from a function that may fail, and its task with it.
    pub fn fallible(function: F, count: Option<u64>) -> Self {
        Self::new(Fallible(function), count)
    }
}

impl<F: Generate> Source for GeneratorSource<F> {
    type Record = F::Record;
    type Split = (u64, u64);
    type Reader = GeneratorReader<F>;

    fn boundedness(&self) -> Boundedness {
        if self.count.is_some() { Boundedness::Bounded } else { Boundedness::Unbounded }
    }

    fn enumerate_splits(&self, context: &EnumeratorContext) -> Result<Vec<SourceSplit<(u64, u64)>>, BoxError> {
        if let Some(rate) = self.rate.filter(|rate| !(*rate > 0.0 && rate.is_finite())) {
            return Err(
                format!("a rate of {rate} records a second is not possible: it must be a number above 0").into()
            );
        }
        Ok(even_ranges("records", self.count.unwrap_or(u64::MAX), context.parallelism))
    }

    fn create_reader(&self, context: ReaderContext) -> Result<Self::Reader, BoxError> {
        let share = |rate| rate / f64::from(context.parallelism.max(1));
        let pace = self.rate.map(|rate| Pace { rate: share(rate), clock: context.clock, begin: None, sent: 0 });
        Ok(GeneratorReader { function: self.function.clone(), range: 0..0, pace })
    }
}

/// Keeps one subtask at its share of the rate.
struct Pace {
    rate: f64,
    clock: Clock,
    /// When the first record was due: since the task's worker started, and since 1970.
    begin: Option<(Duration, Duration)>,
    sent: u64,
}

impl Pace {
    /// Shortest pause: a wake-up for every record would cost more than the records.
    const TICK: Duration = Duration::from_micros(100);

    #[allow(clippy::cast_precision_loss)] // nanoseconds in a run are far below 2^53
    fn due(&self, begin: Duration) -> Duration {
        begin + Duration::from_secs_f64(self.sent as f64 / self.rate)
    }
}

/// Reads a range of numbers through the function.
pub struct GeneratorReader<F> {
    function: F,
    range: std::ops::Range<u64>,
    pace: Option<Pace>,
}

impl<F: Generate> GeneratorReader<F> {
    fn poll_paced(&mut self, now: Duration, output: &mut impl Output<F::Record>) -> Result<ReaderStatus, BoxError> {
        let Self { function, range, pace } = self;
        let Some(pace) = pace.as_mut() else { return Ok(ReaderStatus::More) };
        let (begin, begin_1970) = *pace.begin.get_or_insert_with(|| (now, pace.clock.since_1970()));
        for _ in 0..BURST {
            let due = pace.due(begin);
            if due > now {
                return Ok(ReaderStatus::PendingFor((due - now).max(Pace::TICK)));
            }
            let Some(index) = range.next() else { return Ok(ReaderStatus::SplitFinished) };
            let due_nanos = u64::try_from((begin_1970 + (due - begin)).as_nanos()).unwrap_or(u64::MAX);
            output.collect(function.generate(Tick { index, due_nanos })?);
            pace.sent += 1;
            if output.is_full() {
                break;
            }
        }
        Ok(ReaderStatus::More)
    }
}

impl<F: Generate> SourceReader for GeneratorReader<F> {
    type Record = F::Record;
    type Split = (u64, u64);

    fn start_split(&mut self, (begin, end): (u64, u64)) -> Result<(), BoxError> {
        self.range = begin..end;
        Ok(())
    }

    fn poll(&mut self, now: Duration, output: &mut impl Output<F::Record>) -> Result<ReaderStatus, BoxError> {
        if self.pace.is_some() {
            return self.poll_paced(now, output);
        }
        for _ in 0..BURST {
            let Some(index) = self.range.next() else { return Ok(ReaderStatus::SplitFinished) };
            output.collect(self.function.generate(Tick { index, due_nanos: 0 })?);
            if output.is_full() {
                break;
            }
        }
        Ok(ReaderStatus::More)
    }
}
