//! A task: one execution of one subtask, stepped by the thread of its slot.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use flink_graph::{ExecutionAttemptId, ExecutionState};
use flink_protocol::task_manager::{FailureKind, TaskFailure, TaskMetrics, TaskStateUpdate};

use crate::driver::{Driver, Step, TaskError};
use crate::operator::{BoxError, SharedAccumulators, TaskFlags};

/// Counters of a task, written by it and read for heartbeats.
#[derive(Debug, Clone, Default)]
pub struct TaskCounters {
    /// Records received.
    pub records_in: Arc<AtomicU64>,
    /// Records sent.
    pub records_out: Arc<AtomicU64>,
    /// Bytes received.
    pub bytes_in: Arc<AtomicU64>,
    /// Bytes sent.
    pub bytes_out: Arc<AtomicU64>,
    /// Nanoseconds spent processing.
    pub busy: Arc<AtomicU64>,
    /// Nanoseconds spent without input.
    pub idle: Arc<AtomicU64>,
    /// Nanoseconds spent waiting for room at the outputs.
    pub backpressured: Arc<AtomicU64>,
    /// Accumulators of the subtask.
    pub accumulators: SharedAccumulators,
}

impl TaskCounters {
    /// The values now.
    #[must_use]
    pub fn snapshot(&self, attempt: ExecutionAttemptId) -> TaskMetrics {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TaskMetrics {
            attempt,
            records_in: get(&self.records_in),
            records_out: get(&self.records_out),
            bytes_in: get(&self.bytes_in),
            bytes_out: get(&self.bytes_out),
            busy_ms: get(&self.busy) / 1_000_000,
            idle_ms: get(&self.idle) / 1_000_000,
            backpressured_ms: get(&self.backpressured) / 1_000_000,
            accumulators: self.accumulators.snapshot(),
        }
    }
}

/// What others tell a task to do.
#[derive(Debug, Default)]
pub struct TaskMailbox {
    mail: Mutex<Option<Mail>>,
    flags: Arc<TaskFlags>,
}

#[derive(Debug)]
enum Mail {
    Cancel,
    Fail(TaskFailure),
}

impl TaskMailbox {
    /// The mailbox of the task with these flags, which are set so that a step with slow records does not go on to its end.
    #[must_use]
    pub fn new(flags: Arc<TaskFlags>) -> Self {
        Self { mail: Mutex::default(), flags }
    }

    /// Has the task end at its next step.
    pub fn cancel(&self) {
        self.put(Mail::Cancel);
    }

    /// Has the task end as failed at its next step.
    pub fn fail(&self, reason: String) {
        self.put(Mail::Fail(TaskFailure { kind: FailureKind::Runtime, message: reason }));
    }

    fn put(&self, mail: Mail) {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(mail);
        self.flags.set_ending();
    }

    fn take(&self) -> Option<Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Makes the driver of a task, on the thread of its slot.
pub type DriverBuilder = Box<dyn FnOnce() -> Result<Box<dyn Driver>, BoxError> + Send>;

enum Phase {
    New(DriverBuilder),
    Running(Box<dyn Driver>),
    Ended,
}

/// Whether a task can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskStep {
    /// It can.
    Ready,
    /// Not before it is woken, or before this time.
    Waiting(Option<Duration>),
    /// Never.
    Ended,
}

/// One execution of one subtask.
pub struct Task {
    attempt: ExecutionAttemptId,
    phase: Phase,
    mailbox: Arc<TaskMailbox>,
    counters: TaskCounters,
    report: Box<dyn FnMut(TaskStateUpdate) + Send>,
    last_step: (Duration, Step),
    /// What is logged in a step says of which task it is. Not entered for each record.
    span: tracing::Span,
}

impl Task {
    /// A task that builds its driver at its first step. `report` takes each new state.
    #[must_use]
    pub fn new(
        attempt: ExecutionAttemptId,
        build: DriverBuilder,
        mailbox: Arc<TaskMailbox>,
        counters: TaskCounters,
        report: Box<dyn FnMut(TaskStateUpdate) + Send>,
    ) -> Self {
        let last_step = (Duration::MAX, Step::DidWork);
        let span = tracing::error_span!(
            "task",
            job = %attempt.job,
            vertex = %attempt.vertex,
            subtask = attempt.subtask,
            attempt = attempt.attempt
        );
        Self { attempt, phase: Phase::New(build), mailbox, counters, report, last_step, span }
    }

    /// Which execution it is.
    #[must_use]
    pub fn attempt(&self) -> ExecutionAttemptId {
        self.attempt
    }

    /// Does a bounded piece of work; `clock` is read before and after it.
    pub fn step(&mut self, clock: impl Fn() -> Duration) -> TaskStep {
        let span = std::mem::replace(&mut self.span, tracing::Span::none());
        let step = span.in_scope(|| self.step_in_span(clock));
        self.span = span;
        step
    }

    fn step_in_span(&mut self, clock: impl Fn() -> Duration) -> TaskStep {
        if let Some(mail) = self.mailbox.take() {
            return self.process_mail(mail);
        }
        let start = clock();
        self.account(start);
        let outcome = self.guarded(start);
        let end = clock();
        self.counters.busy.fetch_add(nanos(end.saturating_sub(start)), Ordering::Relaxed);
        match outcome {
            Ok(step) => self.after(step, end),
            Err(failure) => self.end(ExecutionState::Failed, Some(failure)),
        }
    }

    /// Books the time since the last step on what the task waited for.
    fn account(&mut self, now: Duration) {
        let (since, step) = self.last_step;
        let counter = match step {
            Step::WantsInput(_) => &self.counters.idle,
            Step::WantsOutputRoom => &self.counters.backpressured,
            Step::DidWork | Step::Done => return,
        };
        counter.fetch_add(nanos(now.saturating_sub(since)), Ordering::Relaxed);
    }

    fn after(&mut self, step: Step, now: Duration) -> TaskStep {
        self.last_step = (now, step);
        match step {
            Step::DidWork => TaskStep::Ready,
            Step::WantsInput(until) => TaskStep::Waiting(until),
            Step::WantsOutputRoom => TaskStep::Waiting(None),
            Step::Done => self.end(ExecutionState::Finished, None),
        }
    }

    fn process_mail(&mut self, mail: Mail) -> TaskStep {
        match mail {
            Mail::Cancel => self.end(ExecutionState::Canceled, None),
            Mail::Fail(failure) => self.end(ExecutionState::Failed, Some(failure)),
        }
    }

    /// Runs user code; a panic of it fails the task, not the worker.
    fn guarded(&mut self, now: Duration) -> Result<Step, TaskFailure> {
        install_panic_hook();
        catch_unwind(AssertUnwindSafe(|| self.advance(now))).unwrap_or_else(|payload| Err(panic_failure(&*payload)))
    }

    fn advance(&mut self, now: Duration) -> Result<Step, TaskFailure> {
        match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Ended => Ok(Step::Done),
            Phase::New(build) => {
                self.report(ExecutionState::Initializing, None);
                let mut driver = build().map_err(|error| runtime_failure(&*error))?;
                driver.open().map_err(task_failure)?;
                self.report(ExecutionState::Running, None);
                self.phase = Phase::Running(driver);
                Ok(Step::DidWork)
            }
            Phase::Running(mut driver) => {
                let step = driver.step(now).map_err(task_failure)?;
                self.phase = Phase::Running(driver);
                Ok(step)
            }
        }
    }

    fn end(&mut self, state: ExecutionState, failure: Option<TaskFailure>) -> TaskStep {
        // Outputs are failed (unless complete), files closed and channels canceled before anyone hears of the end. User
        // code may panic in a destructor, too.
        let phase = std::mem::replace(&mut self.phase, Phase::Ended);
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(phase)));
        let failure = failure.or_else(|| dropped.err().map(|payload| panic_failure(&*payload)));
        let state = if failure.is_some() { ExecutionState::Failed } else { state };
        self.report(state, failure);
        TaskStep::Ended
    }

    fn report(&mut self, state: ExecutionState, failure: Option<TaskFailure>) {
        tracing::debug!(%state, "task is in a new state");
        let metrics = state.is_terminal().then(|| self.counters.snapshot(self.attempt));
        (self.report)(TaskStateUpdate { attempt: self.attempt, state, failure, metrics });
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// An error with its causes, one a line.
#[must_use]
pub fn error_chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let line = error.to_string();
        if !text.ends_with(&line) {
            text.push_str("\ncaused by: ");
            text.push_str(&line);
        }
        cause = error.source();
    }
    text
}

fn runtime_failure(error: &(dyn std::error::Error + Send + Sync + 'static)) -> TaskFailure {
    TaskFailure { kind: FailureKind::Runtime, message: error_chain(error) }
}

fn task_failure(error: TaskError) -> TaskFailure {
    match error {
        TaskError::Input(failure) => failure,
        TaskError::Operator(error) => TaskFailure {
            kind: FailureKind::User { operator: error.operator.to_string() },
            message: error_chain(&*error.source),
        },
    }
}

thread_local! {
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps where a panic happened, which the payload does not say.
fn install_panic_hook() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        let earlier = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let place = info.location().map(|at| format!(" at {}:{}", at.file(), at.line())).unwrap_or_default();
            LAST_PANIC.with(|last| *last.borrow_mut() = Some(place));
            earlier(info);
        }));
    });
}

fn panic_failure(payload: &(dyn Any + Send)) -> TaskFailure {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned());
    let place = LAST_PANIC.with(|last| last.borrow_mut().take()).unwrap_or_default();
    let message = format!("the program panicked{place}: {text}");
    TaskFailure { kind: FailureKind::User { operator: String::new() }, message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flink_graph::{JobId, JobVertexId};

    struct Scripted(Vec<Result<Step, &'static str>>);

    impl Driver for Scripted {
        fn open(&mut self) -> Result<(), TaskError> {
            Ok(())
        }

        fn step(&mut self, _: Duration) -> Result<Step, TaskError> {
            match self.0.remove(0) {
                Ok(step) => Ok(step),
                Err("panic") => panic!("user panic"),
                Err(text) => Err(TaskError::Operator(crate::operator::OperatorError {
                    operator: "Map".into(),
                    source: text.into(),
                })),
            }
        }
    }

    fn attempt() -> ExecutionAttemptId {
        let (job, vertex) = (JobId::from_u128(1), JobVertexId::from_u128(2));
        ExecutionAttemptId { job, vertex, subtask: 0, attempt: 0, epoch: 1 }
    }

    fn run(script: Vec<Result<Step, &'static str>>, cancel_at: Option<usize>) -> Vec<(ExecutionState, String)> {
        let states = Arc::new(Mutex::new(Vec::new()));
        let (seen, mailbox) = (states.clone(), Arc::new(TaskMailbox::default()));
        let report = Box::new(move |update: TaskStateUpdate| {
            let text = update.failure.map(|failure| failure.message).unwrap_or_default();
            seen.lock().unwrap().push((update.state, text));
        });
        let build: DriverBuilder = Box::new(|| Ok(Box::new(Scripted(script))));
        let mut task = Task::new(attempt(), build, mailbox.clone(), TaskCounters::default(), report);
        for step in 0.. {
            if cancel_at == Some(step) {
                mailbox.cancel();
            }
            if task.step(|| Duration::ZERO) == TaskStep::Ended {
                break;
            }
        }
        drop(task);
        Arc::try_unwrap(states).unwrap().into_inner().unwrap()
    }

    #[test]
    fn a_life_is_reported_in_order() {
        use ExecutionState::*;
        let states = |lives: Vec<(ExecutionState, String)>| lives.into_iter().map(|(s, _)| s).collect::<Vec<_>>();
        assert_eq!(states(run(vec![Ok(Step::DidWork), Ok(Step::Done)], None)), [Initializing, Running, Finished]);
        assert_eq!(states(run(vec![Ok(Step::DidWork); 9], Some(3))), [Initializing, Running, Canceled]);
        assert_eq!(states(run(vec![], Some(0))), [Canceled]);
    }

    /// Records that take long, as long as the task may go on.
    struct Slow(Arc<TaskFlags>);

    impl Driver for Slow {
        fn open(&mut self) -> Result<(), TaskError> {
            Ok(())
        }

        fn step(&mut self, _: Duration) -> Result<Step, TaskError> {
            let until = std::time::Instant::now() + Duration::from_secs(60);
            while !self.0.interrupted() {
                assert!(std::time::Instant::now() < until, "nobody interrupts the step");
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(Step::WantsOutputRoom)
        }
    }

    #[test]
    fn a_step_with_slow_records_is_interrupted() {
        let flags = Arc::new(TaskFlags::default());
        let mailbox = Arc::new(TaskMailbox::new(flags.clone()));
        let canceled = mailbox.clone();
        let report = Box::new(move |update: TaskStateUpdate| match update.state {
            ExecutionState::Running => {
                let mailbox = canceled.clone();
                std::thread::spawn(move || mailbox.cancel());
            }
            state => assert_ne!(state, ExecutionState::Failed, "{:?}", update.failure),
        });
        let build: DriverBuilder = Box::new(|| Ok(Box::new(Slow(flags))));
        let mut task = Task::new(attempt(), build, mailbox, TaskCounters::default(), report);
        while task.step(|| Duration::ZERO) != TaskStep::Ended {}
    }

    #[test]
    fn a_panic_is_a_failure_with_its_place() {
        let (state, text) = run(vec![Err("panic")], None).pop().unwrap();
        assert_eq!(state, ExecutionState::Failed);
        assert!(text.contains("user panic") && text.contains("task.rs:"), "{text}");
        let (_, text) = run(vec![Err("bad record")], None).pop().unwrap();
        assert_eq!(text, "bad record");
    }
}
