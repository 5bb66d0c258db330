//! What a task does in one step, by the kind of its input.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flink_graph::InputSplit;
use flink_protocol::task_manager::TaskFailure;

use crate::chunk::ChunkCursor;
use crate::data::Data;
use crate::input::{GateRead, InputGate};
use crate::operator::{ChunkConsumer, OperatorError, TaskFlags};

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Something was done; there may be more to do.
    DidWork,
    /// There is nothing to read before the task is woken, or before this time.
    WantsInput(Option<Duration>),
    /// There is no room at an output before the task is woken.
    WantsOutputRoom,
    /// The input has ended and everything was handed on.
    Done,
}

/// Why a task failed.
#[derive(Debug)]
pub enum TaskError {
    /// An operator failed.
    Operator(OperatorError),
    /// An input failed.
    Input(TaskFailure),
}

/// The work of a task. It never blocks.
pub trait Driver: Send {
    /// Opens the operators.
    ///
    /// # Errors
    /// An operator cannot start.
    fn open(&mut self) -> Result<(), TaskError>;

    /// Does a bounded piece of work. `now` is the time since the worker's start.
    ///
    /// # Errors
    /// The task has failed; it is not stepped again.
    fn step(&mut self, now: Duration) -> Result<Step, TaskError>;
}

/// Chunks that a task takes in one step, before other tasks of its slot have their turn.
const CHUNKS_PER_STEP: usize = 4;

fn failure(error: Option<OperatorError>) -> TaskError {
    TaskError::Operator(error.unwrap_or_else(|| OperatorError {
        operator: "task".into(),
        source: "an operator failed without an error".into(),
    }))
}

/// What the flags of a task mean at the beginning of a step: go on, or not.
fn check<T>(
    flags: &TaskFlags,
    dirty: &mut bool,
    chain: &mut (impl ChunkConsumer<T> + ?Sized),
) -> Result<Option<Step>, TaskError> {
    let interrupted = flags.interrupted();
    let room = !interrupted || flags.failed() || chain.has_room();
    // Asking for room moves records that waited for it, so that an operator may have failed only now.
    if flags.failed() {
        return Err(failure(chain.take_error()));
    }
    if !room {
        // A part of the chain that had room may have cleared the flag for itself.
        flags.set_output_full();
        return Ok(Some(Step::WantsOutputRoom));
    }
    if interrupted {
        flags.clear_output_full();
        // Records that waited may be in a chunk now that nothing else would hand on.
        *dirty = true;
    }
    Ok(None)
}

/// The end of the input, which may take several steps.
fn finish<T>(flags: &TaskFlags, chain: &mut (impl ChunkConsumer<T> + ?Sized)) -> Result<Step, TaskError> {
    let complete = chain.end();
    if flags.failed() {
        return Err(failure(chain.take_error()));
    }
    Ok(if complete { Step::Done } else { Step::DidWork })
}

/// One gate with what was read from it and not processed yet.
struct Input<T> {
    gate: InputGate<T>,
    channel: u32,
    cursor: ChunkCursor<T>,
    ended: bool,
}

impl<T: Data> Input<T> {
    fn new(gate: InputGate<T>) -> Self {
        Self { gate, channel: 0, cursor: ChunkCursor::default(), ended: false }
    }

    /// Makes sure that there are records in the cursor; false when there are none now.
    fn fill(&mut self) -> Result<bool, TaskError> {
        if self.cursor.remaining() > 0 {
            return Ok(true);
        }
        match self.gate.poll().map_err(TaskError::Input)? {
            GateRead::Chunk { channel, chunk } => {
                self.channel = channel;
                self.cursor = ChunkCursor::new(chunk);
                Ok(true)
            }
            GateRead::Empty => Ok(false),
            GateRead::End => {
                self.ended = true;
                Ok(false)
            }
        }
    }

    fn consumed(&mut self) {
        if self.cursor.remaining() == 0 {
            let chunk = std::mem::take(&mut self.cursor).recycle();
            self.gate.give_back(self.channel, chunk);
        }
    }
}

/// Reads one input.
pub struct OneInputDriver<T> {
    input: Input<T>,
    chain: Box<dyn ChunkConsumer<T>>,
    flags: Arc<TaskFlags>,
    dirty: bool,
}

impl<T: Data> OneInputDriver<T> {
    /// Feeds `chain` from `gate`.
    #[must_use]
    pub fn new(gate: InputGate<T>, chain: Box<dyn ChunkConsumer<T>>, flags: Arc<TaskFlags>) -> Self {
        Self { input: Input::new(gate), chain, flags, dirty: false }
    }
}

impl<T: Data> Driver for OneInputDriver<T> {
    fn open(&mut self) -> Result<(), TaskError> {
        self.chain.open().map_err(TaskError::Operator)
    }

    fn step(&mut self, _now: Duration) -> Result<Step, TaskError> {
        if let Some(step) = check(&self.flags, &mut self.dirty, &mut *self.chain)? {
            return Ok(step);
        }
        for _ in 0..CHUNKS_PER_STEP {
            if !self.input.fill()? {
                if self.input.ended {
                    return finish(&self.flags, &mut *self.chain);
                }
                return Ok(idle(&mut self.dirty, &mut *self.chain));
            }
            self.dirty = true;
            self.chain.consume(&mut self.input.cursor);
            self.input.consumed();
            if self.flags.interrupted() {
                break;
            }
        }
        Ok(Step::DidWork)
    }
}

/// Nothing to read: hands on what has been gathered, once.
fn idle<T>(dirty: &mut bool, chain: &mut (impl ChunkConsumer<T> + ?Sized)) -> Step {
    if std::mem::take(dirty) {
        chain.flush();
        return Step::DidWork;
    }
    Step::WantsInput(None)
}

/// A chain with two inputs of different types.
pub trait TwoInputChain<A, B>: Send {
    /// The chain as the consumer of its first input; also its life cycle.
    fn first(&mut self) -> &mut dyn ChunkConsumer<A>;

    /// Takes records of the second input.
    fn consume_second(&mut self, records: &mut ChunkCursor<B>);
}

/// Reads two inputs in turn.
pub struct TwoInputDriver<A, B> {
    first: Input<A>,
    second: Input<B>,
    chain: Box<dyn TwoInputChain<A, B>>,
    flags: Arc<TaskFlags>,
    dirty: bool,
}

impl<A: Data, B: Data> TwoInputDriver<A, B> {
    /// Feeds `chain` from both gates.
    #[must_use]
    pub fn new(
        first: InputGate<A>,
        second: InputGate<B>,
        chain: Box<dyn TwoInputChain<A, B>>,
        flags: Arc<TaskFlags>,
    ) -> Self {
        Self { first: Input::new(first), second: Input::new(second), chain, flags, dirty: false }
    }
}

impl<A: Data, B: Data> Driver for TwoInputDriver<A, B> {
    fn open(&mut self) -> Result<(), TaskError> {
        self.chain.first().open().map_err(TaskError::Operator)
    }

    fn step(&mut self, _now: Duration) -> Result<Step, TaskError> {
        if let Some(step) = check(&self.flags, &mut self.dirty, self.chain.first())? {
            return Ok(step);
        }
        let first = !self.first.ended && self.first.fill()?;
        if first {
            self.chain.first().consume(&mut self.first.cursor);
            self.first.consumed();
        }
        let second = !self.flags.interrupted() && !self.second.ended && self.second.fill()?;
        if second {
            self.chain.consume_second(&mut self.second.cursor);
            self.second.consumed();
        }
        if first || second {
            self.dirty = true;
            return Ok(Step::DidWork);
        }
        if self.first.ended && self.second.ended {
            return finish(&self.flags, self.chain.first());
        }
        Ok(idle(&mut self.dirty, self.chain.first()))
    }
}

/// What a source can say after it was polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceStatus {
    /// There may be more at once.
    More,
    /// Nothing before the task is woken, or before this time.
    Pending(Option<Duration>),
    /// The split is read; the next one is wanted.
    SplitFinished,
}

/// A source with the chain behind it. `ChunkConsumer<()>` is the chain's life cycle.
pub trait SourceChain: ChunkConsumer<()> {
    /// Begins with a split.
    ///
    /// # Errors
    /// The split cannot be opened.
    fn start_split(&mut self, descriptor: &[u8]) -> Result<(), OperatorError>;

    /// Emits some records into the chain.
    ///
    /// # Errors
    /// Reading failed.
    fn poll(&mut self, now: Duration) -> Result<SourceStatus, OperatorError>;
}

/// Asks the JobManager for splits, through the worker.
#[derive(Default)]
pub struct SplitExchange {
    state: Mutex<SplitState>,
    send: Option<Box<dyn Fn(u64) + Send + Sync>>,
}

#[derive(Default)]
struct SplitState {
    next_request: u64,
    answer: Option<Option<InputSplit>>,
}

impl SplitExchange {
    /// `send` passes a request with its number on; the answer comes by [`answer`](Self::answer).
    pub fn new(send: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self { state: Mutex::default(), send: Some(Box::new(send)) }
    }

    /// Takes the answer to a request in. An answer to an earlier request is ignored.
    pub fn answer(&self, request: u64, split: Option<InputSplit>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.next_request == request + 1 && state.answer.is_none() {
            state.answer = Some(split);
        }
    }

    fn request(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let request = state.next_request;
        state.next_request += 1;
        state.answer = None;
        drop(state);
        if let Some(send) = &self.send {
            send(request);
        }
    }

    fn take(&self) -> Option<Option<InputSplit>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).answer.take()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SourceState {
    WantsSplit,
    WaitsForSplit,
    Reads,
    Ends,
}

/// Reads splits, one after another, until the JobManager has no more.
pub struct SourceDriver {
    chain: Box<dyn SourceChain>,
    splits: Arc<SplitExchange>,
    flags: Arc<TaskFlags>,
    state: SourceState,
    dirty: bool,
}

impl SourceDriver {
    /// Reads the splits that come through `splits`.
    #[must_use]
    pub fn new(chain: Box<dyn SourceChain>, splits: Arc<SplitExchange>, flags: Arc<TaskFlags>) -> Self {
        Self { chain, splits, flags, state: SourceState::WantsSplit, dirty: false }
    }

    fn read(&mut self, now: Duration) -> Result<Step, TaskError> {
        self.dirty = true;
        match self.chain.poll(now).map_err(TaskError::Operator)? {
            SourceStatus::More => Ok(Step::DidWork),
            SourceStatus::SplitFinished => {
                self.state = SourceState::WantsSplit;
                Ok(Step::DidWork)
            }
            SourceStatus::Pending(until) => {
                self.dirty = false;
                self.chain.flush();
                // What the flush brought to an operator may have failed there.
                Ok(if self.flags.failed() { Step::DidWork } else { Step::WantsInput(until) })
            }
        }
    }

    fn wait_for_split(&mut self) -> Result<Step, TaskError> {
        match self.splits.take() {
            None => Ok(idle(&mut self.dirty, &mut *self.chain)),
            Some(None) => {
                self.state = SourceState::Ends;
                Ok(Step::DidWork)
            }
            Some(Some(split)) => {
                self.chain.start_split(&split.descriptor).map_err(TaskError::Operator)?;
                self.state = SourceState::Reads;
                Ok(Step::DidWork)
            }
        }
    }
}

impl Driver for SourceDriver {
    fn open(&mut self) -> Result<(), TaskError> {
        self.chain.open().map_err(TaskError::Operator)
    }

    fn step(&mut self, now: Duration) -> Result<Step, TaskError> {
        if let Some(step) = check(&self.flags, &mut self.dirty, &mut *self.chain)? {
            return Ok(step);
        }
        match self.state {
            SourceState::WantsSplit => {
                self.splits.request();
                self.state = SourceState::WaitsForSplit;
                Ok(Step::DidWork)
            }
            SourceState::WaitsForSplit => self.wait_for_split(),
            SourceState::Reads => self.read(now),
            SourceState::Ends => finish(&self.flags, &mut *self.chain),
        }
    }
}
