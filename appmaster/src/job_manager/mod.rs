//! The JobManager as a deterministic state machine without I/O: the same events at the same times under the same seed
//! give the same actions. A shell around it owns sockets, timers, artifacts and logs.
//!
//! ```text
//! Event ─► JobManager::on_event ─► manager/: which TaskManager, client or timer is it?
//!                                    ├─ TaskManagers   slots, workers, heartbeats
//!                                    ├─ JobMaster      one a job: ExecutionGraph, scheduling, failover, cancellation
//!                                    └─ slot queue     regions that wait for slots, first come first served
//!        ◄── Vec<Action>
//! ```
//!
//! Messages may be lost, late, doubled and reordered. So nothing relies on one message: what matters is sent again with
//! growing pauses until it is answered (`timing::Resend`), and after each event a job looks at what *is* and does what
//! is due next (`JobMaster::advance`), instead of counting on having been told.

/// What goes in and what comes out.
pub mod event;

/// The settings that the JobManager reads.
pub mod config;

/// Timers, and messages that are sent again until they are answered.
pub mod timing;

/// ExecutionGraph: vertices, subtasks, executions and the data sets between them.
pub mod execution_graph;

/// Pipelined regions: what is deployed, and restarted, together.
pub mod regions;

/// Which pipelined regions a failure takes down.
pub mod failover;

/// Whether and when a job restarts after a failure.
pub mod restart;

/// Input splits: handed out one at a time, near the data.
pub mod splits;

/// Which subtasks of a job share a slot.
pub mod slot_sharing;

/// The registered TaskManagers: connections, slots, workers.
pub mod task_managers;

/// What the jobs want of TaskManagers, and what they have.
pub mod resources;

/// TaskManagers that do not come back.
mod lost_task_managers;

/// What the parts of the JobManager share while an event is handled.
mod context;

/// The JobMaster: everything about one job.
mod job;

/// Jobs that have ended, as long as they are remembered.
mod finished_jobs;

/// The JobManager itself.
mod manager;

pub use config::JobManagerConfig;
pub use event::{Action, ClientCall, ConnectionId, Event, Now, TokenFile};
pub use manager::{EndedJob, JobManager};
pub use resources::{ClusterResources, TaskManagerUse};
