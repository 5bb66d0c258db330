//! The JobManager on YARN: how its TaskManagers' containers come and go.
//!
//! ```text
//!  JobManager ── slots wanted, TaskManagers ──► ResourceManagerDriver ── asks, releases ──► ResourceManager
//!      ▲                                          (no I/O)  │    ▲                               │
//!      └────── lost containers, with the cause ─────────────┘    └── containers, their ends ─────┘
//!                                                           └── start, stop ──► NodeManagers
//! ```

/// Which containers to ask for, to start and to give back: a state machine without I/O.
pub mod driver;

/// When to obtain new tokens for file systems: another one.
mod token_schedule;

/// The I/O around the driver: ResourceManager, NodeManagers, JobManager.
#[cfg(feature = "yarn")]
mod service;

/// Whether this attempt still counts at the ResourceManager.
#[cfg(feature = "yarn")]
mod fencing;

/// What is run in a TaskManager's container.
#[cfg(feature = "yarn")]
mod launch;

/// Connections to NodeManagers.
#[cfg(feature = "yarn")]
mod node_managers;

#[cfg(feature = "yarn")]
pub use launch::{LaunchError, TaskManagerLaunch};
#[cfg(feature = "yarn")]
pub use service::{ContainerService, ServiceEnd};
pub use token_schedule::TokenSchedule;
