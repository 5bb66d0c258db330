//! The process around the [`JobManager`](crate::job_manager::JobManager): one task owns the state machine and handles
//! one input after the other; everything else (sockets, in-memory links, REST) sends it inputs and gets its outputs
//! through bounded queues.
//!
//! ```text
//! listener ─► handshake ─► connection ─┐
//! connect_task_manager/_client ────────┼─► Input ─► event loop: JobManager, artifacts, logs ─► queue of a connection
//! Handle::query, REST ─────────────────┘
//! ```

/// What a JobManager is started with, and what can go wrong.
mod options;

/// The side of those who use a JobManager: REST, local mode, the command.
mod handle;

/// The one task that owns the state machine.
mod event_loop;

/// What clients ask that is not the state machine's: artifacts and logs.
mod requests;

/// Jobs and results, kept for the next JobManager.
mod job_persistence;

/// Sockets, and links within the process, as inputs.
mod connections;

/// Programs, as files.
mod artifacts;

/// What REST sees.
#[cfg(feature = "rest")]
mod view;

#[cfg(test)]
mod tests;

#[cfg(test)]
mod cluster_tests;

#[cfg(test)]
mod keeping_tests;

pub use connections::{ClientLink, TaskManagerLink};
pub use handle::{Handle, Stopped};
pub use options::{ServerError, ServerOptions, epoch_of_now};

/// The JobManager as a process.
#[derive(Debug)]
pub struct JobManagerServer;

impl JobManagerServer {
    /// Starts the event loop, and the listener where one is wanted, on the present tokio runtime.
    ///
    /// # Errors
    /// A setting or a key is wrong, or the port cannot be listened on.
    pub async fn start(options: ServerOptions) -> Result<Handle, ServerError> {
        event_loop::start(options).await
    }
}
