use std::time::Duration;

use super::config::TaskManagerConfig;

/// When a message that waits for its answer is sent again: at once, then with pauses that double.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resend {
    due: Duration,
    pause: Duration,
    longest: Duration,
    /// How often it was sent.
    sent: u32,
}

impl Resend {
    /// Due now, with the pauses of ordinary messages.
    pub(super) fn new(now: Duration, config: &TaskManagerConfig) -> Self {
        Self::with_pauses(now, config.resend_pause, config.longest_resend_pause)
    }

    /// Due now, with these pauses.
    pub(super) fn with_pauses(now: Duration, first: Duration, longest: Duration) -> Self {
        Self { due: now, pause: first, longest, sent: 0 }
    }

    /// True when it is to be sent now; it then counts as sent.
    pub(super) fn take(&mut self, now: Duration) -> bool {
        if now < self.due {
            return false;
        }
        self.due = now + self.pause;
        self.pause = (self.pause * 2).min(self.longest);
        self.sent += 1;
        true
    }

    /// When it is to be sent next.
    pub(super) fn due(&self) -> Duration {
        self.due
    }

    /// How often it was sent.
    pub(super) fn sent(&self) -> u32 {
        self.sent
    }
}
