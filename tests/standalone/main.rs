//! Examples, misbehaving programs and faults on standalone clusters of real processes.
//!
//! `flink-yarn` and the examples are taken from the folder that `FLINK_YARN_BIN_DIR` names; without it they are built.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may

/// Where the programs are.
mod programs;

/// Processes: run, watched and signalled.
mod process;

/// A cluster that is stopped when its test ends.
mod cluster;

/// The client's protocol without the command, where the command would cost more than the job.
mod client;

/// The examples give the same results everywhere.
mod examples;

/// What the REST API tells of a running job and its cluster.
mod rest;

/// Programs that go wrong.
mod misbehaving;

/// Killed and stopped processes.
mod killing;

/// Ctrl-C and SIGTERM, at a terminal and without one.
mod interrupting;

/// Sources that are faster than sinks.
mod backpressure;

/// Full disks.
mod disks;

/// Many jobs, one after another and at once.
mod many_jobs;

/// What the command says to mistakes.
mod mistakes;
