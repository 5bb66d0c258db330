//! The clusters that other tests rely on: that they start, hold what they are given, break as told, and end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may

/// Files and applications without security.
mod plain;

/// Daemons that are killed, paused and started again.
mod faults;

/// Tickets, and what happens without.
mod kerberos;

/// The second NameNode and ResourceManager.
mod high_availability;

/// Labels of nodes.
mod labels;

/// The command, and the end of a cluster.
mod script;
