use std::time::Duration;

use super::super::event::{Action, Resource};
use super::{DriverState, ResourceManagerDriver};

/// Pause between two explanations of what is waited for.
const EXPLAIN_AGAIN: Duration = Duration::from_mins(1);

impl ResourceManagerDriver {
    /// Tells users what is waited for when containers do not come.
    pub(super) fn explain(&mut self, now: Duration) {
        let outstanding = self.outstanding();
        if outstanding == 0 || self.phase != DriverState::Registered {
            self.waiting_since = None;
            self.explain_at = None;
            if std::mem::take(&mut self.explained) {
                self.actions.push(Action::Explain(None));
            }
            return;
        }
        let since = *self.waiting_since.get_or_insert(now);
        let at = *self.explain_at.get_or_insert(since + self.config.explain_after);
        if at > now {
            return;
        }
        self.explain_at = Some(now + EXPLAIN_AGAIN);
        self.explained = true;
        let why = self.available.map_or(String::new(), |available| format!(": {}", self.why_none_comes(available)));
        self.actions.push(Action::Explain(Some(format!(
            "waiting for {outstanding} container{} of {} from YARN for {} s{why}; more: flink-yarn doctor",
            if outstanding == 1 { "" } else { "s" },
            self.config.resource,
            (now - since).as_secs()
        ))));
    }

    /// What follows from how much the application may still get. Of single nodes the ResourceManager does not tell.
    fn why_none_comes(&self, available: Resource) -> String {
        let wanted = self.config.resource;
        if wanted.memory_mb > available.memory_mb || (self.counts_vcores && wanted.vcores > available.vcores) {
            return format!(
                "YARN says that this application may get no more than {available} now, since its queue, its user's share of it, \
                 or the cluster is full"
            );
        }
        format!("YARN says that this application may still get {available}, so no single node has that much room")
    }
}
