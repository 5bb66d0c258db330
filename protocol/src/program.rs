use serde::{Deserialize, Serialize};

use flink_graph::{Configuration, JobGraph};

/// Environment variable that chooses the mode of a program: `plan`, `worker`, or absent for local.
pub const MODE_VARIABLE: &str = "FLINK_YARN_MODE";

/// Environment variable with the path of a [`ProgramRequest`] (MessagePack), for plan mode, and for local mode when
/// started by `flink-yarn run -t local`.
pub const REQUEST_VARIABLE: &str = "FLINK_YARN_REQUEST";

/// Environment variable with the path that plan mode writes its [`PlanOutcome`] (MessagePack) to.
pub const OUTCOME_VARIABLE: &str = "FLINK_YARN_OUTCOME";

/// Environment variable with the number of the inherited file descriptor of a worker's control socket.
pub const CONTROL_DESCRIPTOR_VARIABLE: &str = "FLINK_YARN_CONTROL_FD";

/// Value of [`MODE_VARIABLE`] for plan mode.
pub const PLAN_MODE: &str = "plan";

/// Value of [`MODE_VARIABLE`] for worker mode.
pub const WORKER_MODE: &str = "worker";

/// What a client tells a program.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProgramRequest {
    /// Configuration from the file and `-D`, under what the program sets itself.
    pub configuration: Configuration,
    /// Results of the actions that have run already, as the program's `main` will see them.
    pub earlier_results: Vec<Vec<u8>>,
}

/// What plan mode gives back. A program that ends without an outcome has no (more) action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum PlanOutcome {
    /// The graph of the next action. `job_id` is not set yet: the client chooses it.
    Graph(Box<JobGraph>),
    /// The graph could not be made.
    Failed(String),
}
