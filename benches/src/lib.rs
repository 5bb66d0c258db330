//! What the measuring programs in `src/bin` share.

/// Text of words that are distributed as those of a language are: the same bytes at every call.
pub mod text;

/// Where the tasks of a job run when all of them are in this process.
mod deployment;

/// Runs the tasks of a job on the calling thread, without a cluster.
pub mod single_thread;

/// Pieces of work whose instructions are counted.
pub mod work;
