//! Whether the other side of a connection is still there.

use std::time::Duration;

/// Counts the silence of a peer: asks after a part of the idle time-out, gives up after all of it.
#[derive(Debug)]
pub(super) struct Liveness {
    idle_timeout: Duration,
    probe_after: Duration,
    last_heard: Duration,
    asked: bool,
}

/// What the silence asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    /// Nothing yet.
    Wait,
    /// Send a Ping.
    Ask,
    /// The peer is gone.
    GiveUp,
}

impl Liveness {
    pub(super) fn new(idle_timeout: Duration, now: Duration) -> Self {
        Self { idle_timeout, probe_after: idle_timeout / 3, last_heard: now, asked: false }
    }

    pub(super) fn heard(&mut self, now: Duration) {
        self.last_heard = now;
        self.asked = false;
    }

    pub(super) fn probe(&mut self, now: Duration) -> Probe {
        let silence = now.saturating_sub(self.last_heard);
        if silence >= self.idle_timeout {
            Probe::GiveUp
        } else if silence >= self.probe_after && !self.asked {
            self.asked = true;
            Probe::Ask
        } else {
            Probe::Wait
        }
    }

    pub(super) fn deadline(&self) -> Duration {
        self.last_heard + if self.asked { self.idle_timeout } else { self.probe_after }
    }
}
