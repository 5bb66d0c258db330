use std::time::Duration;

use flink_graph::{ExecutionAttemptId, ExecutionState, SlotId};
use flink_protocol::task_manager::TaskMetrics;
use flink_protocol::{Epoch, TimestampMillis};

use crate::job_manager::timing::Resend;

/// One run of one subtask.
#[derive(Debug)]
pub struct Execution {
    /// Its name.
    pub id: ExecutionAttemptId,
    /// Its state, as far as it is known here.
    pub state: ExecutionState,
    /// When it came into each state.
    pub timestamps: Vec<(ExecutionState, TimestampMillis)>,
    /// Where it runs or ran. The slot may long be somebody else's when it is over.
    pub location: Option<SlotId>,
    /// Its last figures.
    pub metrics: Option<TaskMetrics>,
    /// The message that waits for an answer: SubmitTask, or CancelTask.
    pub unanswered: Option<Resend>,
    /// When its TaskManager last showed that it has it.
    pub last_seen: Duration,
    /// Since when it should have ended.
    pub canceling_since: Option<Duration>,
}

impl Execution {
    /// The first attempt.
    #[must_use]
    pub fn first(id: ExecutionAttemptId, at: TimestampMillis) -> Self {
        Self {
            id,
            state: ExecutionState::Created,
            timestamps: vec![(ExecutionState::Created, at)],
            location: None,
            metrics: None,
            unanswered: None,
            last_seen: Duration::ZERO,
            canceling_since: None,
        }
    }

    /// The attempt after this one.
    #[must_use]
    pub fn next_attempt(&self, epoch: Epoch, at: TimestampMillis) -> Self {
        Self::first(ExecutionAttemptId { attempt: self.id.attempt + 1, epoch, ..self.id }, at)
    }

    /// True when it was sent to its TaskManager and has not ended.
    #[must_use]
    pub fn is_deployed(&self) -> bool {
        self.state >= ExecutionState::Deploying && !self.state.is_terminal()
    }

    pub(super) fn transition(&mut self, next: ExecutionState, at: TimestampMillis) -> bool {
        let allowed = self.state.can_become(next);
        if allowed {
            self.state = next;
            self.timestamps.push((next, at));
        }
        allowed
    }
}
