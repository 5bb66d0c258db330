//! The JobManager: turns each JobGraph into an ExecutionGraph, schedules its executions on slots, serves input splits,
//! restarts what fails, and shows all of it over REST.

/// Names of hosts, which HDFS and YARN may spell differently.
mod host_names;

/// The JobManager as a state machine without I/O.
pub mod job_manager;

/// What outlives a JobManager: jobs, programs, results.
pub mod job_store;

/// The process around it: sockets, timers, the store of artifacts.
pub mod server;

/// The JobManager on YARN: its TaskManagers' containers.
pub mod yarn;

/// Ports that are listened on.
mod listening;

/// The REST API.
#[cfg(feature = "rest")]
pub mod rest;
