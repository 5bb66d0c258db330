//! Real Hadoop clusters for tests: NameNode, DataNodes, ResourceManager and NodeManagers as processes on loopback.
//!
//! ```no_run
//! use flink_test_hadoop::{Cluster, Role, Variant};
//!
//! let cluster = Cluster::shared(Variant::Plain);
//! cluster.hdfs().put("/tmp/words", b"a b a");
//! let cluster = Cluster::exclusive(Variant::Plain); // waits until no other test uses it
//! cluster.kill(Role::DataNode1);                    // started again when `cluster` is dropped
//! ```
//!
//! The first test that asks for a variant starts its cluster by `scripts/hadoop`, all others join it, from whichever
//! process. It ends some seconds after the test run, however that ends; `FLINK_YARN_KEEP_HADOOP=1` keeps it.
//! Everything here panics with the reason when it cannot do what a test asks for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may

/// Which clusters there are, and their daemons.
mod variant;

/// The handle that tests hold.
mod cluster;

/// One test alone, or many together.
mod access;

/// `scripts/hadoop`, and whose end ends a cluster.
mod script;

/// HTTP through curl, which knows Kerberos.
mod web;

/// Tokens of WebHDFS for RPC.
mod token;

/// Files, through WebHDFS.
mod hdfs;

/// Applications, nodes and queues, through YARN's REST API.
mod yarn;

/// Processes of containers.
mod containers;

pub use cluster::Cluster;
pub use containers::ContainerProcess;
pub use hdfs::{Block, FileStatus, Hdfs, Layout};
pub use variant::{Role, RpcProtection, Variant};
pub use yarn::{Submission, Yarn};
