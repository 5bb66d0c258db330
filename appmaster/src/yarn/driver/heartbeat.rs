use std::collections::BTreeSet;
use std::time::Duration;

use flink_graph::TaskManagerId;

use super::config::DriverConfig;

/// Least pause between two heartbeats, however much there is to say.
const MIN_PAUSE: Duration = Duration::from_millis(10);

/// Longest silence about containers that were asked for before they are asked for again, in case the ResourceManager
/// has lost the ask.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// What has been said to the ResourceManager, and when it is spoken to next.
#[derive(Debug)]
pub(super) struct Heartbeat {
    /// True while an answer is awaited.
    pub(super) in_flight: bool,
    /// What the request on its way asked for, if it asked.
    asked_in_flight: Option<u32>,
    /// How many containers the ResourceManager still has to hand over as far as is known: what it will allocate and
    /// what it has allocated but not told. `None` when it must be told again.
    told: Option<u32>,
    told_at: Duration,
    /// Releases that the ResourceManager was told, until it says that the containers have ended: it forgets them when it
    /// is restarted.
    released: BTreeSet<TaskManagerId>,
    /// Those of them that it was not told yet.
    to_release: BTreeSet<TaskManagerId>,
    last_sent: Option<Duration>,
    /// Since when the number asked for is what it is.
    pub(super) asking_since: Option<Duration>,
    /// Requests that repeat everything, since one was lost.
    repeats: u32,
}

impl Heartbeat {
    pub(super) fn new() -> Self {
        Self {
            in_flight: false,
            asked_in_flight: None,
            // Nothing is asked for at first, and the ResourceManager knows as much.
            told: Some(0),
            told_at: Duration::ZERO,
            released: BTreeSet::new(),
            to_release: BTreeSet::new(),
            last_sent: None,
            asking_since: None,
            repeats: 0,
        }
    }

    pub(super) fn release(&mut self, id: TaskManagerId) {
        if self.released.insert(id.clone()) {
            self.to_release.insert(id);
        }
    }

    /// True when the container was released before.
    pub(super) fn is_released(&self, id: &TaskManagerId) -> bool {
        self.released.contains(id)
    }

    /// The ResourceManager says that a container has ended.
    pub(super) fn completed(&mut self, id: &TaskManagerId) -> bool {
        self.to_release.remove(id);
        self.released.remove(id)
    }

    /// Containers of ours have arrived.
    pub(super) fn arrived(&mut self, count: u32) {
        self.told = match (self.asked_in_flight, self.told) {
            // Whether they were allocated before or after the ask was taken to heart cannot be known.
            (Some(_), _) if count > 0 => None,
            (_, told) => told.map(|told| told.saturating_sub(count)),
        };
    }

    pub(super) fn answered(&mut self) {
        self.in_flight = false;
        self.asked_in_flight = None;
        if self.repeats > 0 {
            self.repeats -= 1;
            self.forget_what_was_said();
        }
    }

    /// The request may have been heeded or not; the next one may be answered as if it were the lost one, unread.
    pub(super) fn failed(&mut self) {
        self.in_flight = false;
        self.asked_in_flight = None;
        self.repeats = 2;
        self.forget_what_was_said();
    }

    /// The ResourceManager has lost its memory.
    pub(super) fn forgotten(&mut self) {
        self.in_flight = false;
        self.asked_in_flight = None;
        self.forget_what_was_said();
    }

    fn forget_what_was_said(&mut self) {
        self.told = None;
        self.to_release.clone_from(&self.released);
    }

    /// True when there is something to say at once.
    pub(super) fn has_news(&self, outstanding: u32) -> bool {
        self.told != Some(outstanding) || !self.to_release.is_empty()
    }

    /// When the next heartbeat is due.
    pub(super) fn due(&self, outstanding: u32, hurry: bool, config: &DriverConfig, news: bool) -> Duration {
        let Some(last) = self.last_sent else { return Duration::ZERO };
        if news || (self.has_news(outstanding) && self.repeats == 0) {
            return last + MIN_PAUSE;
        }
        let is_fresh = self.asking_since.is_some_and(|since| last < since + config.first_request_time);
        let pause = match (outstanding > 0, hurry) {
            _ if self.repeats > 0 => config.request_interval,
            (true, _) if is_fresh => config.first_request_interval,
            (true, _) | (_, true) => config.request_interval,
            _ => config.heartbeat_interval,
        };
        last + pause
    }

    /// Makes the next request's number and releases.
    pub(super) fn send(&mut self, now: Duration, outstanding: u32) -> (Option<u32>, Vec<TaskManagerId>) {
        let is_stale = outstanding > 0 && now >= self.told_at + ASK_AGAIN;
        let ask = (self.told != Some(outstanding) || is_stale).then_some(outstanding);
        if let Some(count) = ask {
            self.told = Some(count);
            self.told_at = now;
        }
        self.asked_in_flight = ask;
        self.in_flight = true;
        self.last_sent = Some(now);
        (ask, std::mem::take(&mut self.to_release).into_iter().collect())
    }
}
