use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use crate::host_names::host_key;

/// Hosts with input that are thought of at most: those with most of it. More containers than that are near it anyway.
const MAX_HOSTS: usize = 4096;

/// The hosts of YARN's nodes as YARN names them: it gives containers under no other name.
#[derive(Debug, Default)]
pub(super) struct NodeHosts {
    /// By what the names of one host have in common. Hosts of two domains may have it in common, too.
    names: BTreeMap<String, BTreeSet<String>>,
}

impl NodeHosts {
    /// Remembers a name that YARN uses.
    pub(super) fn learn(&mut self, name: &str) {
        let names = self.names.entry(host_key(name)).or_default();
        if !names.contains(name) {
            names.insert(name.to_owned());
        }
    }

    /// YARN's name of a host that HDFS may call by another one. A host of which YARN has said nothing, or that could be one
    /// of several, keeps its name.
    pub(super) fn name_of<'a>(&'a self, host: &'a str) -> &'a str {
        let Some(names) = self.names.get(&host_key(host)) else { return host };
        let exact = names.iter().find(|name| name.eq_ignore_ascii_case(host));
        let only = names.first().filter(|_| names.len() == 1);
        exact.or(only).map_or(host, String::as_str)
    }
}

/// A host, with what a TaskManager more would have to read there.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate<'a> {
    share: u64,
    host: std::cmp::Reverse<&'a str>,
    bytes: u64,
    task_managers: u64,
}

impl<'a> Candidate<'a> {
    fn new(host: &'a str, bytes: u64, task_managers: u64) -> Self {
        Self { share: bytes / (task_managers + 1), host: std::cmp::Reverse(host), bytes, task_managers }
    }
}

/// Spreads containers over the hosts that have input, by its bytes. `held` are the hosts of the containers that there are.
///
/// One container after the other goes to where a TaskManager would find most to read (as seats go to parties after
/// D'Hondt).
pub(super) fn spread<'a>(
    inputs: impl Iterator<Item = (&'a str, u64)>,
    held: impl Iterator<Item = &'a str>,
    count: u32,
) -> BTreeMap<String, u32> {
    let mut bytes = BTreeMap::<&str, u64>::new();
    for (host, more) in inputs.filter(|(_, bytes)| *bytes > 0) {
        let sum = bytes.entry(host).or_default();
        *sum = sum.saturating_add(more);
    }
    let mut there = BTreeMap::<&str, u64>::new();
    held.for_each(|host| *there.entry(host).or_default() += 1);
    let mut candidates: Vec<_> = bytes.into_iter().collect();
    candidates.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    candidates.truncate(MAX_HOSTS);
    let task_managers = |host| there.get(host).copied().unwrap_or_default();
    let candidates = candidates.into_iter().map(|(host, bytes)| Candidate::new(host, bytes, task_managers(host)));
    let mut candidates: BinaryHeap<Candidate<'_>> = candidates.collect();
    let mut wanted = BTreeMap::<String, u32>::new();
    for _ in 0..count {
        let Some(best) = candidates.pop() else { break };
        *wanted.entry(best.host.0.to_owned()).or_default() += 1;
        candidates.push(Candidate::new(best.host.0, best.bytes, best.task_managers + 1));
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(inputs: &[(&str, u64)], held: &[&str], count: u32, expected: &str) {
        let wanted = spread(inputs.iter().copied(), held.iter().copied(), count);
        let wanted: Vec<String> = wanted.iter().map(|(host, count)| format!("{host}:{count}")).collect();
        assert_eq!(wanted.join(" "), expected, "{inputs:?} {held:?} {count}");
    }

    #[test]
    fn containers_go_where_the_input_is() {
        check(&[("a", 10), ("b", 10)], &[], 2, "a:1 b:1");
        check(&[("a", 10), ("b", 10)], &[], 5, "a:3 b:2");
        check(&[("a", 30), ("b", 10)], &[], 4, "a:3 b:1");
        check(&[("a", 1), ("b", 100), ("c", 100)], &[], 2, "b:1 c:1");
    }

    #[test]
    fn those_that_are_there_count() {
        check(&[("a", 10), ("b", 10)], &["a"], 1, "b:1");
        check(&[("a", 10), ("b", 10)], &["a", "a", "x"], 3, "a:1 b:2");
    }

    #[test]
    fn hosts_are_named_as_yarn_names_them() {
        let mut nodes = NodeHosts::default();
        let known = ["node1", "Node2.example.org", "127.0.0.2", "node3.a.example", "node3.b.example", "node1"];
        known.into_iter().for_each(|name| nodes.learn(name));
        let table = [
            ("node1.example.org", "node1"),
            ("NODE1", "node1"),
            ("node2", "Node2.example.org"),
            ("node2.example.org.", "Node2.example.org"),
            ("127.0.0.2", "127.0.0.2"),
            ("127.0.0.3", "127.0.0.3"),
            ("node3.B.example", "node3.b.example"),
            ("node3.c.example", "node3.c.example"),
            ("node4", "node4"),
        ];
        table.into_iter().for_each(|(host, name)| assert_eq!(nodes.name_of(host), name, "{host}"));
    }

    #[test]
    fn without_input_any_host_will_do() {
        check(&[], &["a"], 3, "");
        check(&[("a", 0)], &[], 1, "");
        check(&[("a", 1)], &[], 0, "");
        check(&[("a", 5), ("a", 5), ("b", 9)], &[], 1, "a:1");
    }
}
