//! The JobManager from outside: events in, actions out. One TaskManager or client message a line.

// Helper functions outside of #[test] fail by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::wrong_self_convention)]

/// A JobManager with TaskManagers and clients that do what they are told.
mod bench;

/// JobGraphs in one line each.
mod graphs;

/// Slots: the worked example, queueing, and jobs that are too large.
mod slots;

/// What is told to, and by, whoever runs the TaskManagers' containers.
mod resources;

/// Which task gets which split of the input, and when.
mod input;

/// Regions and what a failure takes down.
mod failover;

/// Messages that are lost, repeated or out of date.
mod messages;
