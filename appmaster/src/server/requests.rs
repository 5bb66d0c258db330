use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use flink_graph::{JobId, TaskManagerId};
use flink_protocol::Envelope;
use flink_protocol::client::{ClientRequest, ClientRequestBody, ClientResponseBody, LogRequest};
use flink_protocol::overview::LogPiece;
use flink_protocol::task_manager::ToTaskManager;

use super::event_loop::EventLoop;
use super::job_persistence::SubmissionOrigin;
use crate::job_manager::{ClientCall, ConnectionId, Event};

/// Log requests that may be on their way at one time.
const MAX_LOG_REQUESTS: usize = 1024;

/// Bytes of the JobManager's own log in one message.
const LOG_PIECE: u64 = 256 << 10;

/// A client that waits for a piece of a TaskManager's log.
#[derive(Debug)]
pub(super) struct PendingLog {
    connection: ConnectionId,
    number: u64,
    task_manager: String,
    deadline: Instant,
}

impl PendingLog {
    pub(super) fn is_for(&self, connection: ConnectionId) -> bool {
        self.connection == connection
    }
}

impl EventLoop {
    /// Answers a client, or hands the request to the state machine; true when it asks for the end.
    pub(super) fn on_client_request(&mut self, connection: ConnectionId, request: ClientRequest) -> bool {
        let number = request.number;
        let call = match request.body {
            ClientRequestBody::RequestMissingArtifacts(wanted) => {
                let missing = wanted.into_iter().filter(|sha256| !self.artifacts.contains(sha256)).collect();
                self.respond(connection, number, Ok(ClientResponseBody::MissingArtifacts(missing)));
                return false;
            }
            ClientRequestBody::PutArtifact { sha256, offset, bytes, last } => {
                let job_manager = &self.job_manager;
                let in_use = |sha256: &str| job_manager.is_artifact_in_use(sha256);
                let stored = self.artifacts.put(connection, &sha256, offset, &bytes, last, in_use);
                self.respond(connection, number, stored.map(|()| ClientResponseBody::ArtifactStored));
                return false;
            }
            ClientRequestBody::RequestLog(request) => {
                self.request_log(connection, number, request);
                return false;
            }
            ClientRequestBody::ShutDownCluster => {
                self.respond(connection, number, Ok(ClientResponseBody::ShuttingDown));
                return true;
            }
            ClientRequestBody::SubmitJob { graph, detached: _ } => {
                self.submit(SubmissionOrigin::Client(connection, number), graph);
                return false;
            }
            ClientRequestBody::RequestJobResult { job, wait_ms } => {
                ClientCall::RequestJobResult { job, wait: Duration::from_millis(wait_ms) }
            }
            ClientRequestBody::CancelJob(job) => ClientCall::CancelJob(job),
            ClientRequestBody::RequestJobs => ClientCall::RequestJobs,
            ClientRequestBody::RequestJobDetails(job) => ClientCall::RequestJobDetails(job),
            ClientRequestBody::RequestClusterOverview => ClientCall::RequestClusterOverview,
            ClientRequestBody::RequestTaskManagers => ClientCall::RequestTaskManagers,
        };
        self.handle(Event::FromClient { connection, number, call });
        false
    }

    /// Sends a TaskManager a piece of a program.
    pub(super) fn send_artifact(&mut self, connection: ConnectionId, sha256: String, offset: u64) {
        let bytes = self.artifacts.read(&sha256, offset, self.piece_size).map(Into::into);
        let message = ToTaskManager::ArtifactPiece { sha256, offset, bytes };
        self.send(connection, Envelope { epoch: self.epoch, message });
    }

    fn request_log(&mut self, connection: ConnectionId, number: u64, request: LogRequest) {
        let asked = match (&request.task_manager, request.job) {
            (None, None) => {
                let piece = self.own_log(request.offset).map(ClientResponseBody::Log);
                return self.respond(connection, number, piece);
            }
            (Some(name), _) => Ok(name.clone()),
            (None, Some(job)) => self.task_manager_of(job),
        };
        let found = asked.and_then(|name| {
            let at = self.registered.get(&TaskManagerId(name.clone())).copied();
            at.map(|at| (name.clone(), at)).ok_or_else(|| format!("TaskManager {name} is not registered"))
        });
        match found {
            Err(reason) => self.respond(connection, number, Err(reason)),
            Ok(_) if self.logs.len() >= MAX_LOG_REQUESTS => {
                let reason = "too many log requests are on their way; try again".to_owned();
                self.respond(connection, number, Err(reason));
            }
            Ok((task_manager, at)) => {
                let id = self.next_log;
                self.next_log += 1;
                let deadline = Instant::now() + self.request_timeout;
                self.logs.insert(id, PendingLog { connection, number, task_manager, deadline });
                let message = ToTaskManager::RequestLog { request: id, job: request.job, offset: request.offset };
                self.send(at, Envelope { epoch: self.epoch, message });
            }
        }
    }

    /// The TaskManager that runs or ran a job, if it is one alone.
    fn task_manager_of(&self, job: JobId) -> Result<String, String> {
        let details = self.job_manager.job_details(job).ok_or_else(|| format!("job {job} is not known"))?;
        let subtasks = details.vertices.iter().flat_map(|vertex| &vertex.subtasks);
        let names: BTreeSet<&String> =
            subtasks.filter_map(|subtask| subtask.location.as_ref()).map(|(name, _)| name).collect();
        let mut names = names.into_iter();
        match (names.next(), names.next()) {
            (None, _) => Err(format!("job {job} has not run on any TaskManager, so it has no log")),
            (Some(name), None) => Ok(name.clone()),
            (Some(first), Some(second)) => {
                let all: Vec<&str> = [first, second].into_iter().chain(names).map(String::as_str).collect();
                Err(format!("job {job} runs on several TaskManagers; say which one's log: {}", all.join(", ")))
            }
        }
    }

    fn own_log(&self, offset: u64) -> Result<LogPiece, String> {
        let path = self.log_file.as_ref().ok_or("the JobManager writes no log file")?;
        read_piece(path, offset).map_err(|error| format!("cannot read {}: {error}", path.display()))
    }

    pub(super) fn log_arrived(&mut self, request: u64, piece: Result<LogPiece, String>) {
        if let Some(pending) = self.logs.remove(&request) {
            self.respond(pending.connection, pending.number, piece.map(ClientResponseBody::Log));
        }
    }

    pub(super) fn expire_logs(&mut self) {
        if self.logs.is_empty() {
            return;
        }
        let now = Instant::now();
        let late: Vec<PendingLog> =
            self.logs.extract_if(|_, pending| now >= pending.deadline).map(|(_, pending)| pending).collect();
        for pending in late {
            let seconds = self.request_timeout.as_secs_f64();
            let reason =
                format!("TaskManager {} did not answer within {seconds} s (rpc.ask.timeout)", pending.task_manager);
            self.respond(pending.connection, pending.number, Err(reason));
        }
    }
}

fn read_piece(path: &std::path::Path, offset: u64) -> std::io::Result<LogPiece> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = std::fs::File::open(path)?;
    let size = file.metadata()?.len();
    let offset = offset.min(size);
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(LOG_PIECE).read_to_end(&mut bytes)?;
    if offset + (bytes.len() as u64) < size {
        // Whole lines, so that no character is cut in two.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
        bytes.truncate(whole);
    }
    let next_offset = offset + bytes.len() as u64;
    Ok(LogPiece { text: String::from_utf8_lossy(&bytes).into_owned(), next_offset, at_end: next_offset >= size })
}
