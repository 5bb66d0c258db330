use std::fmt;

use serde::{Deserialize, Serialize};

/// The life of a job.
///
/// ```text
/// CREATED ─► RUNNING ─► FINISHED
///    │          │ ╲
///    │          │  ╲─► RESTARTING ─► RUNNING        (a restart strategy allowed it)
///    │          ▼          │
///    │       FAILING ◄─────┘ ─► FAILED              (it did not)
///    ▼          │
/// CANCELING ◄───┴── (from every state that is not terminal) ─► CANCELED
/// ```
///
/// SUSPENDED is Flink's state of a job whose JobManager has lost its place. No job enters it here: a JobManager that is
/// replaced hears no more of its jobs, and the next one shows those that were kept as its own, from CREATED on. It is listed
/// where tools expect all of Flink's states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum JobStatus {
    /// Accepted, waiting for slots.
    Created,
    /// At least one execution was deployed.
    Running,
    /// Failed for good; its executions are being ended.
    Failing,
    /// Failed; its executions are being ended, or the restart delay runs.
    Restarting,
    /// Canceled by the user; its executions are being ended.
    Canceling,
    /// Ended by the user.
    Canceled,
    /// Ended because its input ended.
    Finished,
    /// Ended with an error.
    Failed,
    /// Never entered, see above.
    Suspended,
}

impl JobStatus {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 9] = [
        Self::Created,
        Self::Running,
        Self::Failing,
        Self::Restarting,
        Self::Canceling,
        Self::Canceled,
        Self::Finished,
        Self::Failed,
        Self::Suspended,
    ];

    /// True when the job will not change any more anywhere.
    #[must_use]
    pub fn is_globally_terminal(self) -> bool {
        matches!(self, Self::Canceled | Self::Finished | Self::Failed)
    }

    /// True when `next` may follow.
    #[must_use]
    pub fn can_become(self, next: Self) -> bool {
        use JobStatus::{Canceled, Canceling, Created, Failed, Failing, Finished, Restarting, Running, Suspended};
        match self {
            Created => matches!(next, Running | Failing | Restarting | Canceling),
            Running => matches!(next, Finished | Failing | Restarting | Canceling),
            Restarting => matches!(next, Running | Created | Failing | Canceling),
            Failing => matches!(next, Failed | Canceling),
            Canceling => matches!(next, Canceled),
            Canceled | Finished | Failed | Suspended => false,
        }
    }
}

impl fmt::Display for JobStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "CREATED",
            Self::Running => "RUNNING",
            Self::Failing => "FAILING",
            Self::Restarting => "RESTARTING",
            Self::Canceling => "CANCELING",
            Self::Canceled => "CANCELED",
            Self::Finished => "FINISHED",
            Self::Failed => "FAILED",
            Self::Suspended => "SUSPENDED",
        })
    }
}

/// The life of one execution: CREATED → SCHEDULED → DEPLOYING → INITIALIZING → RUNNING → FINISHED, from each of them to
/// FAILED or through CANCELING to CANCELED.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ExecutionState {
    /// Known, nothing asked for yet.
    Created,
    /// Waits for a slot.
    Scheduled,
    /// Sent to its TaskManager.
    Deploying,
    /// On its slot; the operators are being opened.
    Initializing,
    /// Processes records.
    Running,
    /// Ended because its input ended.
    Finished,
    /// Told to end.
    Canceling,
    /// Ended because it was told to.
    Canceled,
    /// Ended with an error.
    Failed,
}

impl ExecutionState {
    /// All states, in the order of a life.
    pub const ALL: [Self; 9] = [
        Self::Created,
        Self::Scheduled,
        Self::Deploying,
        Self::Initializing,
        Self::Running,
        Self::Finished,
        Self::Canceling,
        Self::Canceled,
        Self::Failed,
    ];

    /// True when the execution will not change any more.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Finished | Self::Canceled | Self::Failed)
    }

    /// True when `next` may follow.
    #[must_use]
    pub fn can_become(self, next: Self) -> bool {
        match self {
            terminal if terminal.is_terminal() => false,
            Self::Canceling => matches!(next, Self::Canceled | Self::Failed | Self::Finished),
            _ => match next {
                Self::Canceling | Self::Canceled | Self::Failed => true,
                // Messages may overtake each other, so a later state of the same life may be heard of first.
                Self::Finished => self >= Self::Deploying,
                Self::Created => false,
                later => later > self,
            },
        }
    }
}

impl fmt::Display for ExecutionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "CREATED",
            Self::Scheduled => "SCHEDULED",
            Self::Deploying => "DEPLOYING",
            Self::Initializing => "INITIALIZING",
            Self::Running => "RUNNING",
            Self::Finished => "FINISHED",
            Self::Canceling => "CANCELING",
            Self::Canceled => "CANCELED",
            Self::Failed => "FAILED",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_a_terminal_state() {
        for state in ExecutionState::ALL.into_iter().filter(|s| s.is_terminal()) {
            assert!(ExecutionState::ALL.iter().all(|next| !state.can_become(*next)));
        }
    }

    #[test]
    fn a_life_goes_forward_only() {
        use ExecutionState::*;
        assert!(Deploying.can_become(Running) && Running.can_become(Finished) && Running.can_become(Canceling));
        assert!(!Running.can_become(Deploying) && !Canceling.can_become(Running) && !Created.can_become(Finished));
    }
}
