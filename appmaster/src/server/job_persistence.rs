use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use flink_graph::{Artifact, JobGraph, JobId};
use flink_protocol::client::ClientResponseBody;

use super::event_loop::{EventLoop, Input, OWN_CONNECTION};
use super::options::ServerError;
use crate::job_manager::{ClientCall, ConnectionId, Event};
use crate::job_store::{JobStore, Keeper, Recovered};

/// Longest wait at the end for results that are still being kept.
const STORE_FLUSH_TIMEOUT: Duration = Duration::from_secs(20);

/// Who submits a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SubmissionOrigin {
    /// A client, under this number.
    Client(ConnectionId, u64),
    /// The JobManager itself: an earlier one had accepted the job.
    Recovery,
}

/// Jobs and results on their way to the store.
#[derive(Debug)]
pub(super) struct Keeping {
    keeper: Keeper,
    inputs: mpsc::WeakSender<Input>,
    /// Jobs that have ended without being kept as ended yet, with the answers that wait for it.
    ending: BTreeMap<JobId, Vec<HeldAnswer>>,
}

/// An answer that must not leave before what it says is durable.
#[derive(Debug)]
struct HeldAnswer {
    connection: ConnectionId,
    number: u64,
    body: Result<ClientResponseBody, String>,
}

impl EventLoop {
    /// Takes on the programs that are here, and what an earlier JobManager has left.
    pub(super) async fn take_over(
        &mut self,
        programs: &[(Artifact, PathBuf)],
        store: Option<Arc<dyn JobStore>>,
        inputs: mpsc::WeakSender<Input>,
        capacity: usize,
    ) -> Result<(), ServerError> {
        for (program, path) in programs {
            self.artifacts.adopt(&program.sha256, program.size, path).map_err(ServerError::Recovery)?;
        }
        let Some(store) = store else { return Ok(()) };
        let keeper = Keeper::new(store, capacity);
        let Recovered { running, ended } = keeper.recover().await.map_err(ServerError::Recovery)?;
        if !running.is_empty() || !ended.is_empty() {
            tracing::info!(running = running.len(), ended = ended.len(), "taking over the jobs of the last JobManager");
        }
        self.keeping = Some(Keeping { keeper: keeper.clone(), inputs, ending: BTreeMap::new() });
        ended.into_iter().for_each(|job| self.job_manager.restore_finished(job));
        for graph in running {
            self.fetch_program(&keeper, &graph).await;
            self.job_kept(SubmissionOrigin::Recovery, Box::new(graph), Ok(()));
        }
        Ok(())
    }

    /// Without its program the job fails, and says so.
    async fn fetch_program(&mut self, keeper: &Keeper, graph: &JobGraph) {
        let Some(program) = graph.program.as_ref().filter(|program| !self.artifacts.contains(&program.sha256)) else {
            return;
        };
        let fetched = match self.artifacts.place(&program.sha256) {
            Ok(path) => keeper.fetch_program(&program.sha256, &path).await,
            Err(error) => Err(error),
        };
        match fetched {
            Ok(true) => self.artifacts.received(&program.sha256, program.size),
            Ok(false) => {
                tracing::error!(job = %graph.job_id, program = program.name, "the program of a job was not kept")
            }
            Err(error) => tracing::error!(job = %graph.job_id, error, "the program of a job cannot be fetched"),
        }
    }

    /// Keeps a job, then runs it.
    pub(super) fn submit(&mut self, asker: SubmissionOrigin, graph: Box<JobGraph>) {
        let is_known = self.job_manager.job_graph(graph.job_id).is_some();
        let Some(keeping) = self.keeping.as_ref().filter(|_| !is_known) else {
            return self.job_kept(asker, graph, Ok(()));
        };
        let Some(inputs) = keeping.inputs.upgrade() else { return };
        let keeper = keeping.keeper.clone();
        let program = graph.program.as_ref().map(|program| program.sha256.clone());
        let program = program.and_then(|sha256| Some((self.artifacts.path_to_keep(&sha256)?, sha256)));
        tokio::spawn(async move {
            let file = program.as_ref().map(|(path, sha256)| (sha256.as_str(), path.as_path()));
            let kept = keeper.keep_job(&graph, file).await.map_err(|error| error.to_string());
            let _ = inputs.send(Input::JobKept { asker, graph, kept }).await;
        });
    }

    pub(super) fn job_kept(&mut self, asker: SubmissionOrigin, graph: Box<JobGraph>, kept: Result<(), String>) {
        let job = graph.job_id;
        let (connection, number) = match asker {
            SubmissionOrigin::Client(connection, number) => (connection, number),
            // Nobody waits for this answer.
            SubmissionOrigin::Recovery => (OWN_CONNECTION, u64::MAX),
        };
        if let Err(reason) = kept {
            let reason =
                format!("the job was not accepted, since it cannot be kept for the case of a failure: {reason}");
            return self.respond(connection, number, Ok(ClientResponseBody::JobSubmitFailure(reason)));
        }
        let program = graph.program.as_ref();
        let artifact_present = program.is_none_or(|program| self.artifacts.touch(&program.sha256));
        let call = ClientCall::SubmitJob { graph, artifact_present };
        self.handle(Event::FromClient { connection, number, call });
        if self.job_manager.job_graph(job).is_none() {
            self.forget_job(job);
        }
    }

    /// A job that is not to be run again, without a result that could be kept.
    fn forget_job(&self, job: JobId) {
        let Some(keeping) = &self.keeping else { return };
        let keeper = keeping.keeper.clone();
        tokio::spawn(async move {
            if let Err(error) = keeper.forget_job(job).await {
                tracing::warn!(%job, %error, "a job that is over stays in the store of jobs");
            }
        });
    }

    /// A job has ended: keeps its result before anybody is told.
    pub(super) fn keep_result(&mut self, job: JobId) {
        let Some(keeping) = &mut self.keeping else { return };
        let Some(inputs) = keeping.inputs.upgrade() else { return };
        let Some(ended) = self.job_manager.ended_job(job) else { return self.forget_job(job) };
        keeping.ending.entry(job).or_default();
        let keeper = keeping.keeper.clone();
        tokio::spawn(async move {
            match keeper.keep_result(&ended).await {
                Ok(()) => {}
                // The job is another JobManager's, which is to say how it ends: whoever asks here gets no answer.
                Err(error) if error.is_taken_over => {
                    return tracing::error!(%job, %error, "another JobManager has taken over");
                }
                Err(error) => {
                    tracing::error!(%job, %error, "the result of a job cannot be kept: if the JobManager is lost, it runs again");
                }
            }
            let _ = inputs.send(Input::ResultKept { job }).await;
        });
    }

    /// True for the result of a job that is not kept yet.
    pub(super) fn must_wait(&self, body: &Result<ClientResponseBody, String>) -> bool {
        let Ok(ClientResponseBody::JobResult(result)) = body else { return false };
        // The answer to who waited for the end comes before the news that the job has ended.
        self.keeping.as_ref().is_some_and(|keeping| keeping.ending.contains_key(&result.job))
    }

    pub(super) fn hold_back(
        &mut self,
        connection: ConnectionId,
        number: u64,
        body: Result<ClientResponseBody, String>,
    ) {
        if let (Some(keeping), Ok(ClientResponseBody::JobResult(result))) = (&mut self.keeping, &body) {
            let job = result.job;
            keeping.ending.entry(job).or_default().push(HeldAnswer { connection, number, body });
        }
    }

    pub(super) fn result_kept(&mut self, job: JobId) {
        let held = self.keeping.as_mut().and_then(|keeping| keeping.ending.remove(&job));
        for HeldAnswer { connection, number, body } in held.unwrap_or_default() {
            self.respond(connection, number, body);
        }
    }

    /// At the end: waits for results that are on their way.
    pub(super) async fn finish_keeping(&mut self, inputs: &mut mpsc::Receiver<Input>) {
        let waiting = async {
            while self.keeping.as_ref().is_some_and(|keeping| !keeping.ending.is_empty()) {
                match inputs.recv().await {
                    Some(Input::ResultKept { job }) => self.result_kept(job),
                    Some(_) => {}
                    None => return,
                }
            }
        };
        let _ = tokio::time::timeout(STORE_FLUSH_TIMEOUT, waiting).await;
    }
}
