use std::collections::{BTreeMap, VecDeque};

use flink_graph::TaskManagerId;

/// The most that are remembered: whoever was told to end that many others ago has ended.
const MOST: usize = 4096;

/// TaskManagers whose containers are gone, or were given back: whoever runs the containers has said so. Their ids do not come
/// again, so one that registers under such an id is a process that was left over, as when its NodeManager died.
#[derive(Debug, Default)]
pub(super) struct GoneTaskManagers {
    reasons: BTreeMap<TaskManagerId, String>,
    oldest_first: VecDeque<TaskManagerId>,
}

impl GoneTaskManagers {
    pub(super) fn add(&mut self, id: &TaskManagerId, reason: &str) {
        if self.reasons.insert(id.clone(), reason.to_owned()).is_none() {
            self.oldest_first.push_back(id.clone());
        }
        if self.oldest_first.len() > MOST
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.reasons.remove(&oldest);
        }
    }

    /// Why this one is gone, if it is.
    pub(super) fn reason(&self, id: &TaskManagerId) -> Option<&str> {
        self.reasons.get(id).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let id = |number: usize| TaskManagerId(format!("{number}"));
        let mut gone = GoneTaskManagers::default();
        (0..=MOST).for_each(|number| gone.add(&id(number), "lost"));
        (0..3).for_each(|_| gone.add(&id(MOST), "lost again"));
        assert_eq!((gone.reason(&id(0)), gone.reason(&id(1))), (None, Some("lost")));
        assert_eq!(gone.reason(&id(MOST)), Some("lost again"));
    }
}
