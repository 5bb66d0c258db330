//! What runs on a TaskManager: slots, tasks, input, operators, state, output, network, memory.
//!
//! A task is a state machine that is stepped by the thread of its slot (or by a seeded simulation) and never blocks. It
//! knows no YARN, no HDFS, no SQL and no connector.

/// The exchange of data between workers.
pub mod network;

/// What the operators of a chain see of one another.
pub mod operator;
