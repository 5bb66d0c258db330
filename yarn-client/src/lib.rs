//! The commands of `flink-yarn`: they run programs, start, find and follow clusters.
//!
//! This crate knows neither the JobManager nor the TaskManager: the binary hands both in as [`Daemons`]. The reading order
//! is the order of the modules.

/// The command line: one enum of all commands, and their options.
mod command;

/// What goes wrong, in the user's words, and the exit codes.
mod error;

/// Standard output as text or JSON; a closed pipe is no reason to panic.
mod output;

/// The configuration: file, `-D`, options; checked before anything starts.
mod settings;

/// The folder of a cluster that was started here: processes, logs, keys.
mod cluster_directory;

/// Requests to the JobManager.
mod connection;

/// The user's program: found, started in plan mode, hashed.
mod program;

/// Applications on YARN: `session`, `kill`, `doctor`, and what `run`, `list`, `cancel` and `logs` need of them.
mod yarn;

/// `flink-yarn run`
mod run;

/// `flink-yarn info`
mod info;

/// `flink-yarn list`
mod list;

/// `flink-yarn cancel`
mod cancel;

/// Which task of a job is meant.
mod task_choice;

/// `flink-yarn logs`
mod logs;

/// `flink-yarn standalone start|stop|status`
mod standalone;

/// `flink-yarn jobmanager` and `flink-yarn taskmanager`: what the binary hands in, and how it is called.
mod daemon;

/// `flink-yarn completions`
mod completions;

#[doc(hidden)]
pub mod decoders;

pub use command::execute;
pub use daemon::{Announcement, DaemonError, Daemons, JobManagerStart, Ready, TaskManagerStart};
pub use error::{ClientError, Exit};
pub use program::kill_with_parent;
