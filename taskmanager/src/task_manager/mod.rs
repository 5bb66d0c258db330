//! The TaskManager: offers slots, supervises one worker a job, and stands between its workers and the JobManager.
//!
//! ```text
//!                 ┌──────────────── TaskManagerCore (no I/O) ────────────────┐
//! JobManager ◄──► │ registration ─ workers ─ tasks ─ downloads               │ ◄──► workers (socket pair or channel)
//!                 └──────────────────────────────────────────────────────────┘
//!                   ▲ Event                                    Action ▼
//!                 shell: connection, launcher, statistics, logs, artifacts
//! ```
//!
//! Registration phase: `RegisterTaskManager` with growing pauses until it is acknowledged. Operational phase: heartbeats
//! and task messages. When the JobManager is lost, back to the registration phase, with the tasks that still run.

/// What goes in and what comes out.
pub mod event;

/// The settings.
pub mod config;

/// Messages that are sent again until they are answered.
mod resend;

/// The state machine: one event in, actions out.
mod state_machine;

/// The two phases, heartbeats, and what is ended because the JobManager does not know it.
mod registration;

/// Workers: fetching their program, starting, running, stopping.
mod workers;

/// Executions: their states, and the reports of them.
mod tasks;

/// Programs on their way here.
mod downloads;

/// The process around the state machine.
pub mod shell;

/// How the JobManager is reached.
pub mod connector;

/// Connections, opened one after the other.
mod links;

/// The settings of the shell, and who this TaskManager is.
mod settings;

/// How workers are started.
pub mod launcher;

/// Workers as processes.
pub mod process;

/// What workers print.
pub mod logs;

/// Programs that are here.
pub mod artifacts;

/// Folders for temporary files.
pub mod folders;

/// Memory, processor, disk.
pub mod statistics;

#[cfg(test)]
mod tests;

#[cfg(test)]
mod process_tests;

pub use config::TaskManagerConfig;
pub use connector::{Connector, InMemoryConnector, JobManagerLink, NetworkConnector};
pub use event::{Action, Event, WorkerId};
pub use launcher::{WorkerControl, WorkerEvents, WorkerLaunch, WorkerLauncher};
pub use process::ProcessLauncher;
pub use settings::{host_name, new_task_manager_id};
pub use shell::{TaskManagerError, TaskManagerProcess, TokenStore};
pub use state_machine::TaskManagerCore;
