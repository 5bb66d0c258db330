use std::time::Duration;

use flink_appmaster::job_manager::ClientCall;
use flink_graph::{AccumulatorValue, JobStatus};
use flink_protocol::client::{ClientResponseBody, JobResult};

use crate::jobs::JobSpec;
use crate::store::NOT_KEPT;
use crate::world::World;

/// A client with one job.
pub(crate) struct Client {
    pub(crate) spec: JobSpec,
    pub(crate) phase: Phase,
    pub(crate) cancels: bool,
    pub(crate) number: u64,
    /// How its job ended.
    pub(crate) told: Option<Box<JobResult>>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Phase {
    Submitting,
    Waiting,
    Ended(JobStatus),
    /// The JobManager that knew the job is gone, and the client leaves it at that.
    GaveUp,
}

impl World {
    /// A client says what it wants (again): its last request or the answer may be lost.
    pub(crate) fn client_turn(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let call = match &client.phase {
            Phase::Submitting => {
                ClientCall::SubmitJob { graph: Box::new(client.spec.graph.clone()), artifact_present: true }
            }
            Phase::Waiting => {
                ClientCall::RequestJobResult { job: client.spec.graph.job_id, wait: Duration::from_secs(5) }
            }
            // Whoever asks again hears the same, as long as it is kept.
            Phase::Ended(_) if self.store.is_some() => {
                ClientCall::RequestJobResult { job: client.spec.graph.job_id, wait: Duration::ZERO }
            }
            Phase::Ended(_) | Phase::GaveUp => return,
        };
        let cancel = client.cancels && client.phase == Phase::Waiting && self.chance(200);
        self.request(index, call);
        if cancel {
            let job = self.clients[index].spec.graph.job_id;
            self.happened("cancel asked for");
            self.request(index, ClientCall::CancelJob(job));
        }
        let ended = matches!(self.clients[index].phase, Phase::Ended(_));
        let pause = Duration::from_millis(3000 + self.random.u64(..if ended { 20_000 } else { 3000 }));
        self.client_later(index, pause);
    }

    pub(crate) fn client_answered(&mut self, index: usize, body: Result<ClientResponseBody, String>) {
        let resubmits = self.random.u64(..4) > 0;
        let kept = self.store.is_some();
        let client = &mut self.clients[index];
        match (&client.phase, body) {
            (Phase::Submitting, Ok(ClientResponseBody::JobSubmitSuccess(_))) => {
                client.phase = Phase::Waiting;
                self.client_later(index, Duration::from_millis(1));
            }
            (Phase::Submitting, Ok(ClientResponseBody::JobSubmitFailure(reason))) if reason == NOT_KEPT => {
                // It finds the JobManager that has taken over.
                self.client_links[index].take().iter().for_each(|link| self.close_by_peer(*link));
            }
            (Phase::Submitting, Ok(ClientResponseBody::JobSubmitFailure(reason))) => {
                self.violation(format!("a good job was refused: {reason}"));
            }
            (Phase::Waiting, Ok(ClientResponseBody::JobResult(result))) => {
                client.phase = Phase::Ended(result.status);
                client.told = Some(result.clone());
                self.check_result(index, &result);
            }
            (Phase::Ended(_), Ok(ClientResponseBody::JobResult(result))) if kept => {
                if client.told.as_ref().is_some_and(|told| *told == result) {
                    return self.happened("result told again");
                }
                let told = client.told.take();
                self.violation(format!("a client was told {told:?}, and now {result:?}"));
            }
            (Phase::Waiting | Phase::Ended(_), Err(reason)) if kept => {
                let job = client.spec.graph.job_id;
                self.violation(format!("job {job} was forgotten: {reason}"));
            }
            // The JobManager was restarted and has forgotten the job.
            (Phase::Waiting, Err(_)) if resubmits => client.phase = Phase::Submitting,
            (Phase::Waiting, Err(_)) => client.phase = Phase::GaveUp,
            _ => {}
        }
    }

    fn check_result(&mut self, index: usize, result: &JobResult) {
        let client = &self.clients[index];
        let wrong = match result.status {
            JobStatus::Finished => check_finished(&client.spec, result).err(),
            JobStatus::Failed if result.failure.is_none() => Some("it failed without a reason".to_owned()),
            JobStatus::Canceled if !client.cancels => Some("it was canceled by nobody".to_owned()),
            _ => None,
        };
        self.happened(match result.status {
            JobStatus::Finished => "job finished",
            JobStatus::Failed => "job failed",
            _ => "job canceled",
        });
        if let Some(wrong) = wrong {
            self.violation(format!("job {}: {wrong}", result.job));
        }
    }
}

/// Every split went through to every sink exactly once, and every subtask counts once.
fn check_finished(spec: &JobSpec, result: &JobResult) -> Result<(), String> {
    for (sink, expected) in spec.expected() {
        let mut arrived = match result.accumulators.0.get(&format!("sink {sink}")) {
            Some(AccumulatorValue::List(records)) => records
                .iter()
                .map(|record| record.as_slice().try_into().map(i64::from_le_bytes).map_err(|error| format!("{error}")))
                .collect::<Result<Vec<i64>, String>>()?,
            _ => Vec::new(),
        };
        arrived.sort_unstable();
        if arrived != expected {
            return Err(format!("splits at sink {sink}: {arrived:?}, expected {expected:?}"));
        }
    }
    let subtasks: u64 = spec.graph.vertices.iter().map(|vertex| u64::from(vertex.parallelism)).sum();
    match result.accumulators.0.get("subtasks") {
        Some(AccumulatorValue::Histogram(times))
            if times.len() as u64 == subtasks && times.values().all(|times| *times == 1) =>
        {
            Ok(())
        }
        other => Err(format!("{subtasks} subtasks should count once each: {other:?}")),
    }
}
