//! What a user sees of a running job on a terminal, and is asked there: the same for a job on a cluster, which `flink-yarn`
//! follows, and for one in the program's own process.

/// Numbers, durations and times for people.
pub mod human;

/// The picture of a running job.
mod progress;

/// What is told at a job's end.
mod ending;

/// Questions on the terminal.
mod question;

/// Ctrl-C and SIGTERM.
mod signals;

pub use ending::{accumulators_of_user, finished};
pub use progress::{Progress, clean, named};
pub use signals::{EndSignal, Signals};

use std::time::Duration;

/// Longest wait for the end of a job that was canceled. Its worker is killed long before.
pub const CANCEL_TIMEOUT: Duration = Duration::from_secs(60);
