//! Every call, against real daemons. Needs Java and Maven Central once; see `scripts/hadoop`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may

/// An application that only waits, whose ApplicationMaster is the test.
mod master;

/// A client without security.
mod client;

/// An ApplicationMaster and its containers.
mod application_master;

/// The NameNode.
mod name_node;

/// What goes wrong, in words.
mod errors;

/// Kerberos, delegation tokens, and each protection.
mod kerberos;

/// Two of each, of which one is active.
mod high_availability;

/// Tokens that roll over.
mod tokens;
