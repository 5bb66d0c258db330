//! The JobManager from outside: events in, actions out. One TaskManager or client message a line.

/// A JobManager with TaskManagers and clients that do what they are told.
mod bench;

/// JobGraphs in one line each.
mod graphs;

/// Slots: the worked example, queueing, and jobs that are too large.
mod slots;

/// Regions and what a failure takes down.
mod failover;

/// Messages that are lost, repeated or out of date.
mod messages;
