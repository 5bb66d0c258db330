use serde::{Deserialize, Serialize};

use flink_graph::{Configuration, JobGraph, JobId, JobStatus};

use crate::client::JobResult;

/// Environment variable that chooses the mode of a program: `plan`, `worker`, or absent for local.
pub const MODE_VARIABLE: &str = "FLINK_YARN_MODE";

/// Environment variable with the path of a [`ProgramRequest`] (MessagePack), for plan mode, and for local mode when
/// started by `flink-yarn run -t local`.
pub const REQUEST_VARIABLE: &str = "FLINK_YARN_REQUEST";

/// Environment variable with the path that plan mode writes its [`PlanOutcome`] (MessagePack) to.
pub const OUTCOME_VARIABLE: &str = "FLINK_YARN_OUTCOME";

/// Environment variable with the number of the inherited descriptor over which a program in plan mode asks the client
/// ([`DriverRequest`]) to run its jobs. Without it the program ends at its first action, with an outcome.
pub const DRIVER_DESCRIPTOR_VARIABLE: &str = "FLINK_YARN_DRIVER_FD";

/// Largest frame between a program in plan mode and its client; both are the user's, on one host.
pub const DRIVER_FRAME_LIMIT: u64 = 512 << 20;

/// Environment variable with the number of the inherited file descriptor of a worker's control socket.
pub const CONTROL_DESCRIPTOR_VARIABLE: &str = "FLINK_YARN_CONTROL_FD";

/// Environment variable that names what is logged, for example `debug` or `flink_appmaster=trace,info`. Programs in local mode
/// read it, and daemons, which tell it to their workers.
pub const LOG_VARIABLE: &str = "FLINK_YARN_LOG";

/// Value of [`MODE_VARIABLE`] for plan mode.
pub const PLAN_MODE: &str = "plan";

/// Value of [`MODE_VARIABLE`] for worker mode.
pub const WORKER_MODE: &str = "worker";

/// What a client tells a program.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProgramRequest {
    /// Configuration from the file and `-D`, under what the program sets itself.
    pub configuration: Configuration,
    /// Whether the tasks of its jobs run on this host.
    #[serde(default)]
    pub tasks_run_here: bool,
}

/// What a program in plan mode asks of its client: one request at a time, each with one response. Jobs are named by the
/// number of their action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum DriverRequest {
    /// Whether an earlier run of the program, under an earlier attempt of the ApplicationMaster, has submitted this action.
    FindJob(u32),
    /// Run the next action. `job_id` is not set yet: the client chooses it.
    SubmitJob(Box<JobGraph>),
    /// The state of a job now.
    RequestJobStatus(u32),
    /// The result of a job, when it has ended.
    RequestJobResult(u32),
    /// End a job, without waiting for its end.
    CancelJob(u32),
}

/// What the client answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum DriverResponse {
    /// Whether there is such a job. To submit the action again gives it, and runs nothing.
    Found(bool),
    /// The job runs.
    Submitted(JobId),
    /// The state of the job.
    Status(JobStatus),
    /// The job has ended.
    Result(Box<JobResult>),
    /// The cancellation has begun.
    Canceling,
    /// The request was refused, and why.
    Refused(String),
}

/// What `main` had been told of an earlier action when it came to the next one: workers tell it the same
/// (`JobGraph::earlier_results`, each encoded).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum EarlierAction {
    /// The cluster did not accept the job, and why.
    Refused(String),
    /// The job was submitted, and its end was not waited for.
    Submitted {
        /// The job.
        job: JobId,
        /// The last state that the program had seen.
        status: JobStatus,
    },
    /// The job had ended.
    Ended(Box<JobResult>),
}

/// What plan mode gives back. A program that ends without an outcome has no (more) action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum PlanOutcome {
    /// The graph of the next action. `job_id` is not set yet: the client chooses it.
    Graph(Box<JobGraph>),
    /// The graph could not be made.
    Failed(String),
}
