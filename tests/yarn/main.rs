//! Jobs on real YARN and HDFS. `flink-yarn` and the examples are taken from the folder that `FLINK_YARN_BIN_DIR` names;
//! without it they are built.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may

/// Where the programs are.
#[path = "../standalone/programs.rs"]
mod programs;

/// Processes: run, watched and signalled.
#[path = "../standalone/process.rs"]
#[allow(dead_code)] // shared with the tests of standalone clusters, which use more of it
mod process;

/// A user of a Hadoop cluster with the command.
mod user;

/// Jobs in applications of their own, and in sessions.
mod deployment;

/// Clients that leave.
mod killing;

/// What is wrong is told, soon, with what to do.
mod mistakes;

/// Nothing secret is seen anywhere.
mod secrets;
