use std::time::Duration;

use flink_graph::{Accumulators, JobStatus, TaskManagerId, options};
use flink_protocol::client::JobResult;

use super::JobMaster;
use crate::job_manager::context::Context;
use crate::job_manager::event::Action;

impl JobMaster {
    /// The user wants the job to end.
    ///
    /// # Errors
    /// It has ended already.
    pub(crate) fn cancel(&mut self, cx: &mut Context) -> Result<(), String> {
        match self.status {
            JobStatus::Canceling => Ok(()),
            status if status.is_globally_terminal() => Err(format!("job {} is {status} already", self.id())),
            _ => {
                self.set_status(cx, JobStatus::Canceling, None);
                self.cancel_everything(cx);
                Ok(())
            }
        }
    }

    /// Whether the job has neither ended nor begun to.
    pub(crate) fn goes_on(&self) -> bool {
        !self.status.is_globally_terminal() && !matches!(self.status, JobStatus::Canceling | JobStatus::Failing)
    }

    pub(super) fn cancel_everything(&mut self, cx: &mut Context) {
        self.pending_restart = None;
        (0..self.regions.len()).for_each(|region| self.withdraw(region, cx));
        (0..self.graph.subtasks.len()).for_each(|subtask| self.cancel_subtask(subtask, true, cx));
        cx.touched.insert(self.id());
    }

    pub(super) fn end_when_over(&mut self, cx: &mut Context) {
        let over = (0..self.graph.subtasks.len()).all(|subtask| self.state(subtask).is_terminal());
        let finished = self.graph.vertices.iter().all(|vertex| vertex.all_finished());
        match self.status {
            JobStatus::Canceling if over => self.end(JobStatus::Canceled, cx),
            JobStatus::Failing if over => self.end(JobStatus::Failed, cx),
            JobStatus::Running if finished => self.finish(cx),
            _ => {}
        }
    }

    fn finish(&mut self, cx: &mut Context) {
        let (merged, error) = self.merge_accumulators();
        let collected = merged.list_bytes();
        if collected > cx.config.largest_result {
            return self.fail(result_too_large(collected, cx.config.largest_result), cx);
        }
        if let Some(error) = error {
            // The job did its work, so it is not failed for this; but what is missing must be seen somewhere.
            self.note_exception(None, &error, cx);
        }
        self.end(JobStatus::Finished, cx);
    }

    fn end(&mut self, status: JobStatus, cx: &mut Context) {
        let job = self.id();
        let reason =
            self.failure.as_ref().filter(|_| status == JobStatus::Failed).map(|failure| failure.message.clone());
        self.set_status(cx, status, reason);
        self.ended = Some(cx.now);
        let held: Vec<usize> = self.sharing.held().map(|(shared, _)| shared).collect();
        held.into_iter().for_each(|shared| self.release_slot(shared, cx));
        let places: Vec<TaskManagerId> = cx.task_managers.iter().map(|(id, _)| id.clone()).collect();
        places.iter().for_each(|place| cx.stop_worker(place, job));
        cx.actions.push(Action::JobTerminated { job });
    }

    /// How the job ended; `None` while it has not.
    pub(crate) fn result(&self) -> Option<JobResult> {
        let ended = self.ended?;
        let failed = self.failure.as_ref().filter(|_| self.status == JobStatus::Failed);
        Some(JobResult {
            job: self.id(),
            status: self.status,
            net_runtime_ms: milliseconds(ended.elapsed.saturating_sub(self.submitted.elapsed)),
            accumulators: self.accumulators(),
            failure: failed.map(|failure| failure.message.clone()),
        })
    }

    /// The accumulators of all executions that count, merged.
    pub(super) fn accumulators(&self) -> Accumulators {
        self.merge_accumulators().0
    }

    /// What could be merged, and what was wrong with the rest.
    fn merge_accumulators(&self) -> (Accumulators, Option<String>) {
        let mut merged = Accumulators::default();
        let all = self.graph.subtasks.iter().filter_map(|subtask| subtask.current.metrics.as_ref());
        let errors: Vec<String> = all
            .filter_map(|metrics| merged.merge(&metrics.accumulators).err())
            .map(|error| error.to_string())
            .collect();
        (merged, errors.into_iter().next())
    }
}

fn result_too_large(bytes: usize, limit: usize) -> String {
    format!(
        "the collected result has {bytes} bytes, more than the {limit} that fit a message to the client: write it to files, or \
         raise {} (and {})",
        options::RPC_FRAME_SIZE.key,
        options::COLLECT_MAX_SIZE.key
    )
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
