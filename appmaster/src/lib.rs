//! The JobManager: turns each JobGraph into an ExecutionGraph, schedules its executions on slots, serves input splits,
//! restarts what fails, and shows all of it over REST.

/// The JobManager as a state machine without I/O.
pub mod job_manager;

/// The process around it: sockets, timers, the store of artifacts.
pub mod server;

/// The REST API.
#[cfg(feature = "rest")]
pub mod rest;
