//! The messages between the processes, one name for one event, and their wire form. No logic.
//!
//! | from → to | module |
//! |---|---|
//! | TaskManager ↔ JobManager | [`task_manager`] |
//! | client ↔ JobManager | [`client`] |
//! | TaskManager ↔ worker | [`worker`] |
//! | client or TaskManager → the user's program | [`program`] |
//! | client → ApplicationMaster → TaskManager, on YARN | [`deployment`] |
//!
//! Every message between two processes is one MessagePack map with named fields ([`wire`]): a field that one side
//! does not know is skipped, and one it misses takes its default, so that neighbouring versions understand each other.

/// What TaskManager and JobManager say to one another.
pub mod task_manager;

/// What a client and the JobManager say to one another.
pub mod client;

/// What a TaskManager and the workers that it supervises say to one another.
pub mod worker;

/// How the modes of a user's program are chosen and what it gives back.
pub mod program;

/// What the parts of an application on YARN leave for one another: files, environment, credentials.
pub mod deployment;

/// What the cluster looks like at one moment: what REST, `list` and the dashboard show.
pub mod overview;

/// Frames, and the encoding of messages.
pub mod wire;

pub use wire::{Envelope, Epoch, PROTOCOL_VERSION};

/// Milliseconds since 1970-01-01 UTC, as in Flink's REST API.
pub type TimestampMillis = i64;
