use std::collections::BTreeSet;
use std::time::Duration;

use flink_graph::{JobId, TaskManagerId};

/// What a timer reminds of. A timer only says "look again": whoever it wakes checks whether something is due, so one
/// that fires in vain does no harm.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Heartbeats to all TaskManagers.
    Heartbeats,
    /// A TaskManager may have been silent for too long.
    Silence(TaskManagerId),
    /// A message about a worker may have to be sent again.
    Worker(TaskManagerId, JobId),
    /// A message about a subtask, by its number in the ExecutionGraph, may have to be sent again.
    Subtask(JobId, usize),
    /// A subtask, by its number in the ExecutionGraph, may have waited for a split on its own host for long enough.
    Split(JobId, usize),
    /// The restart delay of a job may be over.
    Restart(JobId),
    /// A job may have waited for slots for too long.
    SlotRequest(JobId),
    /// A client may have waited for the result of a job for long enough.
    Waiter(u64),
}

/// The timers that are set, soonest first.
#[derive(Debug, Default)]
pub(crate) struct TimerQueue {
    timers: BTreeSet<(Duration, Timer)>,
}

impl TimerQueue {
    pub(crate) fn set(&mut self, at: Duration, timer: Timer) {
        self.timers.insert((at, timer));
    }

    pub(crate) fn next(&self) -> Option<Duration> {
        self.timers.first().map(|(at, _)| *at)
    }

    pub(crate) fn take_due(&mut self, now: Duration) -> Option<Timer> {
        self.next().filter(|at| *at <= now)?;
        self.timers.pop_first().map(|(_, timer)| timer)
    }
}

/// When a message that was not answered is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resend {
    since: Duration,
    due: Duration,
    pause: Duration,
}

impl Resend {
    /// For a message that is sent now for the first time.
    #[must_use]
    pub fn started(now: Duration, pause: Duration) -> Self {
        Self { since: now, due: now + pause, pause }
    }

    /// When it is sent next.
    #[must_use]
    pub fn due(&self) -> Duration {
        self.due
    }

    /// How long there has been no answer.
    #[must_use]
    pub fn unanswered_for(&self, now: Duration) -> Duration {
        now.saturating_sub(self.since)
    }

    /// Notes that it is sent once more; the pause doubles up to `longest`.
    pub fn sent_again(&mut self, now: Duration, longest: Duration) {
        self.pause = (self.pause * 2).min(longest);
        self.due = now + self.pause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest() {
        let second = Duration::from_secs(1);
        let mut resend = Resend::started(second, second);
        let mut pauses = Vec::new();
        for _ in 0..4 {
            let now = resend.due();
            resend.sent_again(now, second * 5);
            pauses.push((resend.due() - now).as_secs());
        }
        assert_eq!(pauses, [2, 4, 5, 5]);
        assert_eq!(resend.unanswered_for(second * 9), second * 8);
    }

    #[test]
    fn timers_fire_in_order_and_not_early() {
        let mut agenda = TimerQueue::default();
        agenda.set(Duration::from_secs(2), Timer::Heartbeats);
        agenda.set(Duration::from_secs(1), Timer::Waiter(7));
        assert_eq!(agenda.next(), Some(Duration::from_secs(1)));
        assert_eq!(agenda.take_due(Duration::ZERO), None);
        assert_eq!(agenda.take_due(Duration::from_secs(3)), Some(Timer::Waiter(7)));
        assert_eq!(agenda.take_due(Duration::from_secs(3)), Some(Timer::Heartbeats));
        assert_eq!(agenda.take_due(Duration::from_secs(3)), None);
    }
}
