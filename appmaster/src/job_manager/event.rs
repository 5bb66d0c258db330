use std::time::Duration;

use flink_graph::{JobGraph, JobId, JobStatus, TaskManagerId};
use flink_protocol::client::ClientResponseBody;
use flink_protocol::task_manager::{ToJobManager, ToTaskManager};
use flink_protocol::{Envelope, TimestampMillis};

/// Names one connection of a client or TaskManager; the shell never uses a number twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// The time of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Monotonic time since the JobManager's start: all time-outs go by it.
    pub elapsed: Duration,
    /// The clock on the wall: only shown to people.
    pub timestamp: TimestampMillis,
}

/// Everything that can happen to the JobManager.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant)] // it is handed over once and taken apart at once
pub enum Event {
    /// A peer connected; whether it is a client or a TaskManager shows in its first message.
    Connected {
        /// The new connection.
        connection: ConnectionId,
        /// The peer's address, for people.
        address: String,
    },
    /// A connection ended. What it carried before has been delivered or never will be.
    Disconnected {
        /// The connection that is gone.
        connection: ConnectionId,
    },
    /// A TaskManager says something.
    FromTaskManager {
        /// The connection that it came over.
        connection: ConnectionId,
        /// The message under the epoch that the TaskManager believes in.
        envelope: Envelope<ToJobManager>,
    },
    /// A client asks something. It is answered once, by [`Action::RespondToClient`] with the same number.
    FromClient {
        /// The connection that it came over.
        connection: ConnectionId,
        /// Number of the request within the connection.
        number: u64,
        /// What is asked.
        call: ClientCall,
    },
    /// Whoever runs the TaskManagers' containers says that one is gone: should its TaskManager live, it is refused.
    TaskManagerLost {
        /// Which one.
        task_manager: TaskManagerId,
        /// The cause in words.
        reason: String,
        /// Whether that is the cluster's doing (its place was wanted for others, its node is lost), and not the job's.
        by_cluster: bool,
    },
    /// An idle TaskManager is to end; one that is not idle goes on (see [`crate::job_manager::JobManager::is_idle`]).
    ReleaseTaskManager {
        /// Which one.
        task_manager: TaskManagerId,
    },
    /// What keeps TaskManagers from coming, for people; `None` when nothing does.
    ResourceNote(Option<String>),
    /// No more TaskManagers will come, for this reason: every job fails with it.
    NoMoreTaskManagers(String),
    /// There are newer tokens for file systems.
    DelegationTokens(TokenFile),
    /// Time has passed. Needed at [`crate::job_manager::JobManager::next_deadline`], harmless at any other time.
    Tick,
}

/// A Hadoop token file: never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenFile(pub Vec<u8>);

impl std::fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenFile(***)")
    }
}

/// The requests of clients that the JobManager answers; artifacts and logs are the shell's.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientCall {
    /// Run a job.
    SubmitJob {
        /// The job.
        graph: Box<JobGraph>,
        /// Whether the cluster has the program of the graph; true when the graph has none.
        artifact_present: bool,
    },
    /// The result of a job, at its end or after the wait.
    RequestJobResult {
        /// The job.
        job: JobId,
        /// Longest wait.
        wait: Duration,
    },
    /// End a job.
    CancelJob(JobId),
    /// The jobs that are known.
    RequestJobs,
    /// Everything about one job.
    RequestJobDetails(JobId),
    /// The cluster as a whole.
    RequestClusterOverview,
    /// The TaskManagers.
    RequestTaskManagers,
}

/// What the shell must do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Send a message. It may be lost: the JobManager sends it again when it matters.
    SendToTaskManager {
        /// Over which connection.
        connection: ConnectionId,
        /// The message.
        envelope: Envelope<ToTaskManager>,
    },
    /// Answer a request.
    RespondToClient {
        /// Over which connection.
        connection: ConnectionId,
        /// Number of the request.
        number: u64,
        /// The answer, or why there is none.
        body: Result<ClientResponseBody, String>,
    },
    /// Close a connection. The shell need not report it as [`Event::Disconnected`], but may.
    CloseConnection {
        /// Which one.
        connection: ConnectionId,
    },
    /// A job is over: what was kept for it can go.
    JobTerminated {
        /// The job.
        job: JobId,
    },
    /// A TaskManager has registered, for the first time or as a new process; for the log.
    TaskManagerRegistered {
        /// Which one.
        task_manager: TaskManagerId,
        /// Its host.
        host: String,
        /// Slots that it offers.
        slots: usize,
    },
    /// A TaskManager is registered no more; for the log.
    TaskManagerGone {
        /// Which one.
        task_manager: TaskManagerId,
        /// The cause in words.
        reason: String,
        /// Whether it said farewell or was sent away.
        orderly: bool,
    },
    /// A job is in a new state; for the log.
    JobStatusChanged {
        /// The job.
        job: JobId,
        /// Its name.
        name: String,
        /// Its new state.
        status: JobStatus,
        /// Why, when there is a reason.
        reason: Option<String>,
    },
}
