//! Tests of HDFS as a file system on real NameNodes and DataNodes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // The helpers of tests are tests too.

/// The cluster that the tests use.
mod cluster;

/// Files and folders: looked at, created, renamed, deleted.
mod files;

/// Inputs: splits with their hosts, and their lines.
mod inputs;

/// Results: published, replaced, taken back.
mod results;

/// The client for staging.
mod staging;

/// What is said when something is wrong.
mod mistakes;

/// Daemons that die, pause and come back, while files are read and written.
mod faults;

/// How fast files are read; run by hand.
mod speed;
