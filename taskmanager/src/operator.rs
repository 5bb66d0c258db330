//! What the operators of a chain see of one another.
//!
//! A chain is one generic struct, `Chained` in `Chained` down to what takes the records out of it: the compiler sees
//! through it, and no record costs a dynamic call, an allocation or a lock inside. Chains meet at chunks.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use flink_graph::{AccumulatorValue, Accumulators, Configuration, JobId};

use crate::chunk::ChunkCursor;
use crate::clock::Clock;

/// Any error of user code: `?` converts every error type into it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Takes the records that an operator emits.
pub trait Output<T> {
    /// Hands one record on. It never fails and never blocks: an error further down the chain ends the task after the
    /// operator returned, and records for which there is no room yet are kept.
    fn collect(&mut self, record: T);

    /// True when the operator should return soon, because there is no room downstream or the task is ending. A source
    /// checks it between records; an operator that emits few records for one need not.
    fn is_full(&self) -> bool;
}

impl<T, O: Output<T> + ?Sized> Output<T> for &mut O {
    #[inline(always)]
    fn collect(&mut self, record: T) {
        (**self).collect(record);
    }

    #[inline]
    fn is_full(&self) -> bool {
        (**self).is_full()
    }
}

/// Wakes a task from any thread. Cheap when it is awake already.
#[derive(Clone)]
pub struct TaskWaker(Arc<dyn Fn() + Send + Sync>);

impl TaskWaker {
    /// Makes a waker from what it does.
    #[must_use]
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(wake))
    }

    /// Has the task stepped again soon.
    pub fn wake(&self) {
        (self.0)();
    }
}

impl std::fmt::Debug for TaskWaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TaskWaker")
    }
}

/// Why a task should stop taking input: one byte that the innermost loop tests after each record.
#[derive(Debug, Default)]
pub struct TaskFlags(AtomicU8);

impl TaskFlags {
    const OUTPUT_FULL: u8 = 1;
    const FAILED: u8 = 2;
    const ENDING: u8 = 4;

    /// True when the task should take no further record now.
    #[inline(always)]
    pub fn interrupted(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// True when an operator or output has failed.
    pub fn failed(&self) -> bool {
        self.0.load(Ordering::Relaxed) & Self::FAILED != 0
    }

    /// There is no room downstream.
    pub fn set_output_full(&self) {
        self.0.fetch_or(Self::OUTPUT_FULL, Ordering::Relaxed);
    }

    /// There is room again.
    pub fn clear_output_full(&self) {
        self.0.fetch_and(!Self::OUTPUT_FULL, Ordering::Relaxed);
    }

    /// An operator or output has failed.
    pub fn set_failed(&self) {
        self.0.fetch_or(Self::FAILED, Ordering::Relaxed);
    }

    /// Somebody has told the task to end: the step that it is in is its last one.
    pub fn set_ending(&self) {
        self.0.fetch_or(Self::ENDING, Ordering::Relaxed);
    }
}

/// An operator has failed.
#[derive(Debug)]
pub struct OperatorError {
    /// Name of the operator.
    pub operator: Arc<str>,
    /// What it said.
    pub source: BoxError,
}

/// What an operator knows of where it runs.
#[derive(Debug, Clone)]
pub struct OperatorContext {
    /// Name of the operator.
    pub operator: Arc<str>,
    /// The job.
    pub job: JobId,
    /// Index of the subtask.
    pub subtask: u32,
    /// Number of subtasks.
    pub parallelism: u32,
    /// Number of key groups.
    pub max_parallelism: u32,
    /// Number of the attempt, from 0.
    pub attempt: u32,
    /// Configuration of the job.
    pub configuration: Configuration,
    /// Flags of the task.
    pub flags: Arc<TaskFlags>,
    /// Accumulators of the subtask.
    pub accumulators: SharedAccumulators,
    /// Wakes the task.
    pub waker: TaskWaker,
    /// The time of day.
    pub clock: Clock,
}

/// The accumulators of one subtask; its operators write, the worker reads for heartbeats.
#[derive(Debug, Clone, Default)]
pub struct SharedAccumulators(Arc<Mutex<Accumulators>>);

impl SharedAccumulators {
    /// Changes the value of one accumulator, which begins as `initial`.
    pub fn update(
        &self,
        name: &str,
        initial: impl FnOnce() -> AccumulatorValue,
        change: impl FnOnce(&mut AccumulatorValue),
    ) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = all.0.get_mut(name) {
            change(value);
        } else {
            let mut value = initial();
            change(&mut value);
            all.0.insert(name.to_owned(), value);
        }
    }

    /// The values now.
    #[must_use]
    pub fn snapshot(&self) -> Accumulators {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One operator with one input, called record by record.
pub trait Operator<In>: Send + 'static {
    /// What it emits.
    type Out;

    /// False when [`process`](Self::process) never fails, which makes the check for an earlier error disappear.
    const FALLIBLE: bool = true;

    /// Runs once before the first record.
    ///
    /// # Errors
    /// The operator cannot start; the task fails.
    fn open(&mut self, context: &OperatorContext) -> Result<(), BoxError> {
        let _ = context;
        Ok(())
    }

    /// Takes one record.
    ///
    /// # Errors
    /// The task fails with it.
    fn process(&mut self, record: In, output: &mut impl Output<Self::Out>) -> Result<(), BoxError>;

    /// The input has ended; the last chance to emit.
    ///
    /// # Errors
    /// The task fails with it.
    fn end(&mut self, output: &mut impl Output<Self::Out>) -> Result<(), BoxError> {
        let _ = output;
        Ok(())
    }

    /// The task has nothing else to do: what is buffered should go out.
    ///
    /// # Errors
    /// The task fails with it.
    fn flush(&mut self) -> Result<(), BoxError> {
        Ok(())
    }

    /// Ends outputs of the operator's own (side outputs), after [`end`](Self::end). False when they have more to hand on
    /// than there is room for: it is called again then.
    fn end_outputs(&mut self) -> bool {
        true
    }

    /// Whether outputs of the operator's own (side outputs) have room. If not, the task is woken when they may.
    fn has_room(&mut self) -> bool {
        true
    }

    /// The first failure at outputs of the operator's own (side outputs) or behind them; who notes it sets the task's flag.
    fn take_output_error(&mut self) -> Option<OperatorError> {
        None
    }
}

/// What follows in a chain: takes records, and the turning points of a task's life.
pub trait Stage<T>: Output<T> + Send {
    /// Opens everything from here on, last operator first, so that each finds its output open.
    ///
    /// # Errors
    /// An operator cannot start.
    fn open(&mut self) -> Result<(), OperatorError>;

    /// The input has ended: operators emit what they keep, outputs hand on the end. False when there is more to hand on
    /// than there is room for: it is called again then.
    fn end(&mut self) -> bool;

    /// The task has nothing else to do: gathered records are handed on.
    fn flush(&mut self);

    /// Whether there is room downstream. If not, the task is woken when there may be.
    fn has_room(&mut self) -> bool;

    /// The first failure from here on.
    fn take_error(&mut self) -> Option<OperatorError>;
}

/// An operator and what follows it.
#[derive(Debug)]
pub struct Chained<Op, Next> {
    operator: Op,
    next: Next,
    context: OperatorContext,
    error: Option<BoxError>,
    ended: bool,
}

impl<Op, Next> Chained<Op, Next> {
    /// Puts an operator in front of `next`.
    pub fn new(operator: Op, context: OperatorContext, next: Next) -> Self {
        Self { operator, next, context, error: None, ended: false }
    }

    #[cold]
    fn fail(&mut self, error: BoxError) {
        self.error.get_or_insert(error);
        self.context.flags.set_failed();
    }
}

impl<In, Op, Next> Output<In> for Chained<Op, Next>
where
    Op: Operator<In>,
    Next: Stage<Op::Out>,
{
    // Inlined always: a record that goes through memory between two operators is written in fields and read whole, which
    // the processor cannot forward, and costs more than the operators.
    #[inline(always)]
    fn collect(&mut self, record: In) {
        if Op::FALLIBLE && self.error.is_some() {
            return;
        }
        if let Err(error) = self.operator.process(record, &mut self.next) {
            self.fail(error);
        }
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.context.flags.interrupted()
    }
}

impl<In, Op, Next> Stage<In> for Chained<Op, Next>
where
    Op: Operator<In>,
    Next: Stage<Op::Out>,
{
    fn open(&mut self) -> Result<(), OperatorError> {
        self.next.open()?;
        let operator = self.context.operator.clone();
        self.operator.open(&self.context).map_err(|source| OperatorError { operator, source })
    }

    fn end(&mut self) -> bool {
        if !std::mem::replace(&mut self.ended, true)
            && let Err(error) = self.operator.end(&mut self.next)
        {
            self.fail(error);
        }
        // A failed task must not look as if its output were complete.
        self.context.flags.failed() || self.operator.end_outputs() && self.next.end()
    }

    fn flush(&mut self) {
        if let Err(error) = self.operator.flush() {
            self.fail(error);
        }
        self.next.flush();
    }

    fn has_room(&mut self) -> bool {
        // Both are asked: each remembers that the task waits.
        let mine = self.operator.has_room();
        self.next.has_room() && mine
    }

    fn take_error(&mut self) -> Option<OperatorError> {
        let mine = self.error.take();
        mine.map(|source| OperatorError { operator: self.context.operator.clone(), source })
            .or_else(|| self.operator.take_output_error())
            .or_else(|| self.next.take_error())
    }
}

/// A chain seen from the task, or from the chain before it: fed with chunks.
pub trait ChunkConsumer<T>: Send {
    /// Opens the chain.
    ///
    /// # Errors
    /// An operator cannot start.
    fn open(&mut self) -> Result<(), OperatorError>;

    /// Takes records from the cursor until it is empty or the task is interrupted.
    fn consume(&mut self, records: &mut ChunkCursor<T>);

    /// The input has ended. False when there is more to emit than there is room for: it is called again then.
    fn end(&mut self) -> bool;

    /// The task has nothing else to do.
    fn flush(&mut self);

    /// Whether there is room downstream.
    fn has_room(&mut self) -> bool;

    /// The first failure of the chain.
    fn take_error(&mut self) -> Option<OperatorError>;
}

/// The head of a chain that takes records one by one.
#[derive(Debug)]
pub struct Head<Next> {
    next: Next,
    flags: Arc<TaskFlags>,
}

impl<Next> Head<Next> {
    /// Feeds `next`.
    pub fn new(next: Next, flags: Arc<TaskFlags>) -> Self {
        Self { next, flags }
    }
}

impl<T: Send, Next: Stage<T>> ChunkConsumer<T> for Head<Next> {
    fn open(&mut self) -> Result<(), OperatorError> {
        self.next.open()
    }

    fn consume(&mut self, records: &mut ChunkCursor<T>) {
        while !self.flags.interrupted() {
            let Some(record) = records.next_record() else { return };
            self.next.collect(record);
        }
    }

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
