//! What outlives a JobManager: the jobs that it has accepted, their programs, and how they ended.
//!
//! | name | content | from → to |
//! |---|---|---|
//! | `<job>.graph` | the JobGraph | before the submission is acknowledged → the result is kept |
//! | `<job>.result` | details and result | before a client is told of the end → it is forgotten (`jobstore.max-capacity`) |
//! | `<sha256>.program` | a program that a client has sent | before the submission is acknowledged → no job that is kept needs it |
//!
//! So a job that was acknowledged is run again by the next JobManager, unless its result is there: then it is answered
//! from it, and never run again.

/// Where it is kept.
mod store;

/// In a folder of this host.
mod local;

/// Which files there are for what.
mod retrying_store;

#[cfg(test)]
mod tests;

pub use local::LocalJobStore;
pub use store::{JobStore, JobStoreError, Stored};

pub(crate) use retrying_store::{Keeper, Recovered};
