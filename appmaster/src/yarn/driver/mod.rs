//! Which containers to ask the ResourceManager for, to start, and to give back, as a deterministic state machine without
//! I/O.
//!
//! What the jobs want is compared with what there is after each event; the difference is asked for or given back. Asks
//! are absolute numbers that the ResourceManager keeps until they are met, and it may have met more of them than it has
//! told: so a container that is not needed any more when it arrives is released at once, and never started.
//!
//! ```text
//! asked ─► Starting ─► Awaited ─► Registered ─► Leaving ─► gone
//!             │           │           │
//!             └───────────┴───────────┴──► lost: the cause in words, asked for again if wanted
//!                                     ╎
//!                                     └──► Vanished: given up by the JobManager, before YARN has said why
//! ```
//!
//! A TaskManager whose container YARN has given up may live on, when its NodeManager has died: the JobManager lets none in
//! that was reported as lost. Those that an earlier attempt has left are let in, and reported as lost when YARN has not told
//! of their containers within the time that TaskManagers have to register.

/// What goes in and what comes out.
pub mod event;

/// The settings.
pub mod config;

/// Why a container ended, in words, and whose fault it was.
pub mod exit_status;

/// On which hosts containers are wanted.
mod hosts;

/// Nodes on which containers fail again and again.
mod nodes;

/// How many failures there were lately.
mod failure_rate;

/// The containers that are held.
mod containers;

/// TaskManagers without a container of ours.
mod unowned_task_managers;

/// What the next heartbeat to the ResourceManager says.
mod heartbeat;

/// The state machine itself.
mod machine;

pub use config::DriverConfig;
pub use event::{Action, AllocateRequest, Allocation, CompletedContainer, Container, Event, Node, Resource};
pub use exit_status::{Blame, ContainerEnd};
pub use machine::{REQUEST, ResourceManagerDriver};
