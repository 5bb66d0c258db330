use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::config::DriverConfig;

/// Which nodes are left out because containers fail on them again and again.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    failures: BTreeMap<String, VecDeque<Duration>>,
    left_out: BTreeMap<String, Duration>,
    /// What the ResourceManager was told.
    told: BTreeSet<String>,
}

impl Nodes {
    /// Notes a failure on a host. True when it is left out from now on.
    pub(super) fn failed(&mut self, now: Duration, host: &str, cluster_nodes: u32, config: &DriverConfig) -> bool {
        let failures = self.failures.entry(host.to_owned()).or_default();
        failures.push_back(now);
        while failures.front().is_some_and(|at| now.saturating_sub(*at) >= config.node_penalty) {
            failures.pop_front();
        }
        let enough = failures.len() >= config.node_failures;
        // In a small cluster one may be left out all the same, if another one remains.
        let share = cluster_nodes as usize * config.most_left_out as usize / 100;
        let most = share.max(1).min((cluster_nodes as usize).saturating_sub(1));
        if !enough || self.left_out.contains_key(host) || self.left_out.len() >= most {
            return false;
        }
        self.left_out.insert(host.to_owned(), now + config.node_penalty);
        true
    }

    /// True when no container is wanted there.
    pub(super) fn is_left_out(&self, host: &str) -> bool {
        self.left_out.contains_key(host)
    }

    /// Time of the next change.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.left_out.values().min().copied()
    }

    /// Lets nodes in again whose time is over.
    pub(super) fn expire(&mut self, now: Duration) {
        let over: Vec<String> = self.left_out.extract_if(.., |_, until| *until <= now).map(|(host, _)| host).collect();
        over.iter().for_each(|host| drop(self.failures.remove(host)));
        let is_recent = |at: &Duration| now.saturating_sub(*at) < Duration::from_hours(1);
        self.failures.retain(|_, failures| failures.back().is_some_and(is_recent));
    }

    /// What the ResourceManager does not know yet: additions and removals.
    pub(super) fn changes(&mut self) -> (Vec<String>, Vec<String>) {
        let wanted: BTreeSet<String> = self.left_out.keys().cloned().collect();
        let additions = wanted.difference(&self.told).cloned().collect();
        let removals = self.told.difference(&wanted).cloned().collect();
        self.told = wanted;
        (additions, removals)
    }

    /// True when the ResourceManager must be told something.
    pub(super) fn has_changes(&self) -> bool {
        !self.left_out.keys().eq(self.told.iter())
    }

    /// The ResourceManager may have forgotten everything.
    pub(super) fn tell_again(&mut self) {
        self.told.clear();
    }
}

#[cfg(test)]
mod tests {
    use flink_graph::Configuration;
    use flink_protocol::deployment::TaskManagerContainers;

    use super::*;

    fn config() -> DriverConfig {
        let containers = TaskManagerContainers {
            memory_mb: 1,
            vcores: 1,
            slots: 1,
            resources: Vec::new(),
            environment: BTreeMap::new(),
            node_label: None,
            priority: 0,
        };
        DriverConfig::new(&Configuration::default(), &containers).unwrap()
    }

    /// How many of so many nodes are left out when containers fail on all of them.
    fn check(cluster_nodes: u32, left_out: usize) {
        let (mut nodes, config) = (Nodes::default(), config());
        for host in (0..cluster_nodes).map(|number| format!("host{number}")) {
            (0..3).for_each(|at| _ = nodes.failed(Duration::from_secs(at), &host, cluster_nodes, &config));
        }
        assert_eq!(nodes.changes().0.len(), left_out, "of {cluster_nodes}");
    }

    #[test]
    fn at_least_one_may_be_left_out_and_never_the_last() {
        [(1, 0), (2, 1), (3, 1), (5, 1), (6, 1), (7, 2), (100, 33)].into_iter().for_each(|(of, out)| check(of, out));
    }

    #[test]
    fn a_node_is_left_out_for_a_while_but_never_most_of_them() {
        let config = config();
        let mut nodes = Nodes::default();
        let at = Duration::from_secs;
        let fail = |nodes: &mut Nodes, now, host| nodes.failed(at(now), host, 4, &config);
        assert!(!fail(&mut nodes, 0, "a") && !fail(&mut nodes, 1, "a") && fail(&mut nodes, 2, "a"));
        assert!(!fail(&mut nodes, 3, "b") && !fail(&mut nodes, 3, "b") && !fail(&mut nodes, 3, "b"), "too many");
        assert!(nodes.has_changes());
        assert_eq!(nodes.changes(), (vec!["a".to_owned()], vec![]));
        assert!(!nodes.has_changes());
        nodes.tell_again();
        assert_eq!(nodes.changes(), (vec!["a".to_owned()], vec![]));
        assert_eq!(nodes.deadline(), Some(at(602)));
        nodes.expire(at(602));
        assert_eq!(nodes.changes(), (vec![], vec!["a".to_owned()]));
        assert!(!fail(&mut nodes, 700, "a"), "its failures are forgotten");
    }
}
