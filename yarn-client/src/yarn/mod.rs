//! Applications on YARN: started, found, followed, ended.
//!
//! ```text
//!  options, configuration ─► Plan ─► Deployment ─► Application ─► Cluster
//!                                      │  files       (id)         (address, keys)
//!                                      ▼
//!                        HDFS: artifacts by content, a folder for each application
//! ```
//!
//! What decides is without I/O (`flink_options`, `options`, `plan`, `launch`, `explain`, `diagnostics`, the readers of logs);
//! what asks Hadoop is in `resource_manager`, `staging` and `artifacts`.

/// Words of Apache Flink's commands, in ours.
pub(crate) mod flink_options;

/// Options of a new application.
pub(crate) mod options;

/// What is to be started, from the configuration alone.
pub(crate) mod plan;

/// The Hadoop cluster that this host is configured for.
pub(crate) mod hadoop;

/// The ResourceManager.
pub(crate) mod resource_manager;

/// The folders of applications in HDFS.
pub(crate) mod staging;

/// What ended applications have left there.
mod orphaned_staging;

/// Files of the containers: uploaded once, by content.
pub(crate) mod artifacts;

/// Delegation tokens, where the cluster asks for them.
mod tokens;

/// What YARN is asked to run.
mod launch;

/// Whether there is a label of nodes, and whether a queue may use it.
mod labels;

/// An application on its way into the cluster.
pub(crate) mod deployment;

/// An application that is there.
pub(crate) mod application;

/// Its end, on purpose.
pub(crate) mod shutdown;

/// Following it until it runs.
pub(crate) mod start;

/// Why it gets no containers.
mod explain;

/// Why the containers of a job that is followed do not come.
pub(crate) mod waiting;

/// What YARN says of failures.
pub(crate) mod diagnostics;

/// The file that remembers the last session.
mod properties;

/// Which application a command means.
pub(crate) mod locate;

/// Logs of what has ended.
pub(crate) mod logs;

/// What containers wrote last, for errors.
pub(crate) mod last_lines;

/// `flink-yarn session`
pub(crate) mod session;

/// `flink-yarn session -q`
mod query;

/// `flink-yarn kill`
pub(crate) mod kill;

/// `flink-yarn doctor`
pub(crate) mod doctor;
