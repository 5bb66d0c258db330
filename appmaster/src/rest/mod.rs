//! The REST API in the paths and shapes of Flink's own, and the metrics for Prometheus.
//!
//! `serve` listens; each request passes the `access` rules, finds its handler in the table of `routes`, asks the
//! `ClusterView` and is answered in the shape that the modules `jobs`, `vertices`, `task_managers` and `metrics`
//! give it. All of them are pure functions of what the view said and of the clock.
//!
//! There is no JVM here. Where Flink's shape has fields for its memory pools, the one number of memory that a process
//! has stands in the heap's place, and the other pools are 0.

/// What the API shows, and asks the cluster to do.
mod view;

/// Who may do what: tokens, and the rules that keep browsers' pages out.
mod access;

/// The proxy through which YARN shows the API.
mod proxy;

/// The page at the root.
mod index;

/// Errors as answers.
mod failure;

/// The paths and their handlers.
mod routes;

/// Jobs in Flink's shapes.
mod jobs;

/// Vertices and subtasks in Flink's shapes.
mod vertices;

/// TaskManagers in Flink's shapes.
mod task_managers;

/// Configuration in Flink's shapes, without secrets.
mod configuration;

/// The metrics that there are, by the names of Flink's.
mod metrics;

/// Figures of the process that serves.
mod process;

/// The metrics as text for Prometheus.
mod prometheus;

/// Sockets: bounded connections with time-outs.
mod connections;

/// For tests with hostile bytes.
#[doc(hidden)]
pub mod probe;

#[cfg(test)]
mod tests;

pub use access::{AccessToken, InvalidToken};
pub use connections::{RestError, RestOptions, RestServer, serve};
pub use proxy::{ProxyRule, Readers};
pub use view::{Answer, Cancellation, ClusterView, Unavailable};

/// Milliseconds since 1970, now.
fn now_millis() -> flink_protocol::TimestampMillis {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
