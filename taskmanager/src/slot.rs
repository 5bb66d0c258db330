//! Slots: the threads that step tasks.
//!
//! The tasks that share a slot take turns on one thread. It parks when none of them can go on, after a short spin: a chunk
//! from another thread often is only a moment away.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use crate::operator::TaskWaker;
use crate::task::{Task, TaskStep};

/// Rounds of spinning before a slot parks: a few microseconds.
const SPINS: u32 = 64;

/// Longest park; nothing relies on it, it bounds the harm of a wake-up that a user's source forgot.
const MAX_PARK: Duration = Duration::from_millis(500);

#[derive(Default)]
struct Signal {
    notified: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Signal {
    fn wake(&self) {
        if !self.notified.swap(true, Ordering::AcqRel)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }
}

/// Whether a task may have something to do.
#[derive(Clone)]
pub struct Readiness {
    ready: Arc<AtomicBool>,
    signal: Arc<Signal>,
}

impl Readiness {
    /// A waker that sets it.
    #[must_use]
    pub fn waker(&self) -> TaskWaker {
        let this = self.clone();
        TaskWaker::new(move || {
            if !this.ready.swap(true, Ordering::AcqRel) {
                this.signal.wake();
            }
        })
    }
}

struct ScheduledTask {
    task: Task,
    readiness: Readiness,
    wake_at: Option<Duration>,
}

#[derive(Default)]
struct Inbox {
    arrivals: Vec<ScheduledTask>,
    stop: bool,
}

/// A thread that steps tasks.
pub struct Slot {
    signal: Arc<Signal>,
    inbox: Arc<Mutex<Inbox>>,
    thread: Option<JoinHandle<()>>,
}

impl Slot {
    /// Starts the thread. `clock` counts from the start of the worker.
    ///
    /// # Errors
    /// The system refuses another thread.
    pub fn start(name: String, started: Instant) -> io::Result<Self> {
        let signal = Arc::new(Signal::default());
        let inbox = Arc::new(Mutex::new(Inbox::default()));
        let (their_signal, their_inbox) = (signal.clone(), inbox.clone());
        let thread = thread::Builder::new().name(name).spawn(move || run(&their_signal, &their_inbox, started))?;
        signal.thread.get_or_init(|| thread.thread().clone());
        Ok(Self { signal, inbox, thread: Some(thread) })
    }

    /// The readiness of a task that will be added: its channels need a waker before the task exists.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        Readiness { ready: Arc::new(AtomicBool::new(true)), signal: self.signal.clone() }
    }

    /// Adds a task.
    pub fn add(&self, task: Task, readiness: Readiness) {
        let seat = ScheduledTask { task, readiness, wake_at: None };
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).arrivals.push(seat);
        self.signal.wake();
    }

    /// Ends the thread after the step that it is in; tasks that are left are dropped unreported. A thread that user code
    /// holds is left behind.
    pub fn stop(mut self, patience: Duration) {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
        self.signal.wake();
        let deadline = Instant::now() + patience;
        if let Some(thread) = self.thread.take() {
            while !thread.is_finished() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(1));
            }
            if thread.is_finished() && thread.join().is_err() {
                tracing::error!("a slot thread panicked outside of a task");
            }
        }
    }
}

fn run(signal: &Signal, inbox: &Mutex<Inbox>, started: Instant) {
    let clock = || started.elapsed();
    let mut seats: Vec<ScheduledTask> = Vec::new();
    loop {
        signal.notified.store(false, Ordering::Release);
        {
            let mut inbox = inbox.lock().unwrap_or_else(PoisonError::into_inner);
            if inbox.stop {
                return;
            }
            seats.append(&mut inbox.arrivals);
        }
        let mut worked = false;
        let mut now = clock();
        seats.retain_mut(|seat| {
            let due = seat.wake_at.is_some_and(|at| at <= now);
            if !seat.readiness.ready.swap(false, Ordering::AcqRel) && !due {
                return true;
            }
            seat.wake_at = None;
            worked = true;
            match seat.task.step(clock) {
                TaskStep::Ended => return false,
                TaskStep::Ready => seat.readiness.ready.store(true, Ordering::Release),
                TaskStep::Waiting(until) => seat.wake_at = until,
            }
            now = clock();
            true
        });
        if !worked {
            let next = seats.iter().filter_map(|seat| seat.wake_at).min();
            park(signal, next.map_or(MAX_PARK, |at| at.saturating_sub(clock()).min(MAX_PARK)));
        }
    }
}

fn park(signal: &Signal, longest: Duration) {
    for _ in 0..SPINS {
        if signal.notified.load(Ordering::Acquire) {
            return;
        }
        std::hint::spin_loop();
    }
    thread::park_timeout(longest);
}
