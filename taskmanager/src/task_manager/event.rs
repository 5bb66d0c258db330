use flink_graph::{Artifact, JobId};
use flink_protocol::overview::LogPiece;
use flink_protocol::task_manager::{DelegationTokens, JobInformation, ProcessStatistics, ToJobManager, ToTaskManager};
use flink_protocol::worker::{FromWorker, ToWorker};
use flink_protocol::{Envelope, Epoch};

/// Names one worker that was started; never used twice, so that what an old worker of a job still says is told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub u64);

/// Everything that can happen to a TaskManager.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A connection to a JobManager is open. There is one at a time.
    Connected,
    /// The connection has ended, or could not be opened any more.
    Disconnected,
    /// The JobManager says something over the present connection.
    FromJobManager(Envelope<ToTaskManager>),
    /// The answer to [`Action::FindArtifact`].
    ArtifactFound {
        /// Which artifact.
        sha256: String,
        /// Whether it is here already.
        present: bool,
    },
    /// The last piece of an artifact is stored and its hash is right; or something was wrong at any piece.
    ArtifactStored {
        /// Which artifact.
        sha256: String,
        /// Why it is not here.
        result: Result<(), String>,
    },
    /// A worker says something.
    FromWorker {
        /// Which one.
        worker: WorkerId,
        /// What.
        message: FromWorker,
    },
    /// A worker is gone, or could not be started. Comes once for each [`Action::SpawnWorker`].
    WorkerExited {
        /// Which one.
        worker: WorkerId,
        /// Exit status or signal, and its last words: for the user.
        reason: String,
    },
    /// The answer to [`Action::CollectStatistics`].
    Statistics(ProcessStatistics),
    /// The answer to [`Action::ReadLog`].
    LogRead {
        /// Number of the request.
        request: u64,
        /// The piece.
        piece: Result<LogPiece, String>,
    },
    /// The tokens of an [`Action::StoreTokens`] are in use.
    TokensStored {
        /// That of the action.
        epoch: Epoch,
        /// Their version.
        version: u64,
    },
    /// The process is to end.
    ShutDown {
        /// Why.
        reason: String,
    },
    /// Time has passed. Needed at `next_deadline`, harmless at any other time.
    Tick,
}

/// What the shell must do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Send a message. It may be lost: what matters is sent again.
    SendToJobManager(Envelope<ToJobManager>),
    /// Give up the connection (nothing of it is delivered any more, nor is its end) and open another.
    CloseConnection,
    /// Say whether an artifact is here.
    FindArtifact(Artifact),
    /// Store a piece of an artifact; pieces come in order, without gaps.
    StoreArtifactPiece {
        /// Which artifact.
        sha256: String,
        /// Where the piece begins; 0 begins anew.
        offset: u64,
        /// The bytes.
        bytes: Vec<u8>,
        /// True for the last piece: check the hash and answer.
        last: bool,
    },
    /// Start a worker and give it its [`flink_protocol::worker::WorkerStart`].
    SpawnWorker {
        /// Its name from now on.
        worker: WorkerId,
        /// What it runs.
        information: Box<JobInformation>,
    },
    /// Say something to a worker; nothing happens when it is gone.
    SendToWorker {
        /// Which one.
        worker: WorkerId,
        /// What.
        message: ToWorker,
    },
    /// End a worker at once. Its end is reported as any other.
    KillWorker {
        /// Which one.
        worker: WorkerId,
        /// Why, for the log.
        reason: String,
    },
    /// Measure; answered by [`Event::Statistics`].
    CollectStatistics,
    /// Read a piece of a log; answered by [`Event::LogRead`].
    ReadLog {
        /// Number of the request.
        request: u64,
        /// The job whose worker wrote it; `None` for the TaskManager's own.
        job: Option<JobId>,
        /// Where to begin.
        offset: u64,
    },
    /// Use these tokens for file systems from now on, and have the workers use them; answered by [`Event::TokensStored`]
    /// when it is done. When it fails they come again.
    StoreTokens {
        /// The epoch under which they came.
        epoch: Epoch,
        /// The tokens.
        tokens: DelegationTokens,
    },
    /// The TaskManager is at its end; workers that are left must be killed.
    Terminate {
        /// Why.
        reason: String,
        /// False when it was told to end.
        failed: bool,
    },
}
