use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use flink_graph::{ExecutionAttemptId, InputSplit};
use flink_protocol::overview::SplitCounts;

use crate::host_names::host_key;

/// Larger splits come first: a large one that is read last keeps everybody waiting.
type Rank = (Reverse<u64>, u32);

/// Hands out the input splits of one vertex, one at a time.
///
/// Every split is at each moment either free or held by exactly one subtask. A subtask gives its splits back only when
/// it is restarted, so what a finished attempt read stays read.
#[derive(Debug)]
pub struct InputSplitAssigner {
    splits: Vec<InputSplit>,
    free: BTreeSet<Rank>,
    free_by_host: BTreeMap<String, BTreeSet<Rank>>,
    holders: BTreeMap<u32, Holder>,
}

/// What one attempt was given.
#[derive(Debug)]
struct Holder {
    attempt: ExecutionAttemptId,
    last_request: u64,
    last_answer: Option<usize>,
    splits: Vec<(usize, Locality)>,
}

/// Where a split's data is, seen from the host that reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Locality {
    Local,
    Remote,
    /// The split names no host.
    Anywhere,
}

impl InputSplitAssigner {
    /// All splits are free.
    #[must_use]
    pub fn new(splits: Vec<InputSplit>) -> Self {
        let mut assigner =
            Self { splits, free: BTreeSet::new(), free_by_host: BTreeMap::new(), holders: BTreeMap::new() };
        (0..assigner.splits.len()).for_each(|index| assigner.put(index));
        assigner
    }

    /// Answers a request of the current attempt of a subtask on `host`. The outer `None` means no answer at all: the
    /// request is an old one, overtaken by a later one of the same attempt. The same request gets the same answer.
    pub fn next(&mut self, attempt: ExecutionAttemptId, request: u64, host: &str) -> Option<Option<InputSplit>> {
        let index = match self.holders.get(&attempt.subtask).filter(|holder| holder.attempt == attempt) {
            Some(holder) if request < holder.last_request => return None,
            Some(holder) if request == holder.last_request => holder.last_answer,
            _ => self.assign(attempt, request, host),
        };
        Some(index.and_then(|index| self.splits.get(index).cloned()))
    }

    /// Takes back what a subtask was given: it starts again.
    pub fn give_back(&mut self, subtask: u32) {
        let held = self.holders.remove(&subtask).map(|holder| holder.splits).unwrap_or_default();
        held.into_iter().for_each(|(index, _)| self.put(index));
    }

    /// How far the splits are handed out.
    #[must_use]
    pub fn counts(&self) -> SplitCounts {
        let mut counts = SplitCounts { total: count(self.splits.len()), ..SplitCounts::default() };
        for (index, locality) in self.holders.values().flat_map(|holder| &holder.splits) {
            let length = self.splits.get(*index).map(|split| split.length).unwrap_or_default();
            counts.assigned += 1;
            let (splits, bytes) = match locality {
                Locality::Local => (&mut counts.local, &mut counts.local_bytes),
                Locality::Remote => (&mut counts.remote, &mut counts.remote_bytes),
                Locality::Anywhere => continue,
            };
            *splits += 1;
            *bytes = bytes.saturating_add(length);
        }
        counts
    }

    /// True when the request has its answer already, or is overtaken by a later one.
    #[must_use]
    pub fn is_answered(&self, attempt: ExecutionAttemptId, request: u64) -> bool {
        let holder = self.holders.get(&attempt.subtask).filter(|holder| holder.attempt == attempt);
        holder.is_some_and(|holder| request <= holder.last_request)
    }

    /// True when a split is free.
    #[must_use]
    pub fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// True when a split is free whose data is on the host.
    #[must_use]
    pub fn has_free_on(&self, host: &str) -> bool {
        self.free_by_host.get(&host_key(host)).is_some_and(|ranks| !ranks.is_empty())
    }

    /// Adds the bytes of all splits, whether they are free or not, to those of the hosts that have them.
    pub fn add_bytes_by_host(&self, bytes: &mut BTreeMap<String, u64>) {
        for split in &self.splits {
            for host in &split.hosts {
                let sum = bytes.entry(host.clone()).or_default();
                *sum = sum.saturating_add(split.length);
            }
        }
    }

    fn assign(&mut self, attempt: ExecutionAttemptId, request: u64, host: &str) -> Option<usize> {
        if self.holders.get(&attempt.subtask).is_some_and(|holder| holder.attempt != attempt) {
            self.give_back(attempt.subtask);
        }
        let taken = self.take(host);
        let holder = self.holders.entry(attempt.subtask).or_insert_with(|| Holder {
            attempt,
            last_request: request,
            last_answer: None,
            splits: Vec::new(),
        });
        holder.last_request = request;
        holder.last_answer = taken.map(|(index, _)| index);
        holder.splits.extend(taken);
        holder.last_answer
    }

    /// The largest split on the host, else the largest of all.
    fn take(&mut self, host: &str) -> Option<(usize, Locality)> {
        let local = self.free_by_host.get(&host_key(host)).and_then(|ranks| ranks.first().copied());
        let rank = local.or_else(|| self.free.first().copied())?;
        self.free.remove(&rank);
        let index = rank.1 as usize;
        let hosts = self.splits.get(index).map(|split| split.hosts.as_slice()).unwrap_or_default();
        for host in hosts {
            if let Some(ranks) = self.free_by_host.get_mut(&host_key(host)) {
                ranks.remove(&rank);
            }
        }
        let locality = match local {
            Some(_) => Locality::Local,
            None if hosts.is_empty() => Locality::Anywhere,
            None => Locality::Remote,
        };
        Some((index, locality))
    }

    fn put(&mut self, index: usize) {
        let Some(split) = self.splits.get(index) else { return };
        let rank = (Reverse(split.length), count(index));
        self.free.insert(rank);
        for host in &split.hosts {
            self.free_by_host.entry(host_key(host)).or_default().insert(rank);
        }
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use flink_graph::{JobId, JobVertexId};

    use super::*;

    fn split(number: u32, length: u64, hosts: &[&str]) -> InputSplit {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        InputSplit { number, descriptor: Vec::new(), description: String::new(), hosts, length }
    }

    fn attempt(subtask: u32, attempt: u32) -> ExecutionAttemptId {
        let (job, vertex) = (JobId::from_u128(1), JobVertexId::from_u128(1));
        ExecutionAttemptId { job, vertex, subtask, attempt, epoch: 1 }
    }

    fn drain(assigner: &mut InputSplitAssigner, who: ExecutionAttemptId, host: &str) -> Vec<u32> {
        (0..).map_while(|request| assigner.next(who, request, host).flatten()).map(|split| split.number).collect()
    }

    #[test]
    fn local_splits_first_then_by_size() {
        let splits = vec![split(0, 5, &["b"]), split(1, 9, &["b"]), split(2, 1, &["a"]), split(3, 3, &["a", "b"])];
        for (host, expected) in [("a", [3, 2, 1, 0]), ("b", [1, 0, 3, 2]), ("c", [1, 0, 3, 2])] {
            let mut assigner = InputSplitAssigner::new(splits.clone());
            assert_eq!(drain(&mut assigner, attempt(0, 0), host), expected, "{host}");
        }
        let mut assigner = InputSplitAssigner::new(splits);
        assigner.next(attempt(0, 0), 0, "a");
        assigner.next(attempt(1, 0), 0, "c");
        let expected = SplitCounts { total: 4, assigned: 2, local: 1, remote: 1, local_bytes: 3, remote_bytes: 9 };
        assert_eq!(assigner.counts(), expected);
    }

    #[test]
    fn a_split_with_several_hosts_is_local_on_each_of_them() {
        let hosts: [&[&str]; 6] = [&["a", "b"], &["b", "c"], &["c", "a"], &["a", "b", "c"], &["c"], &[]];
        let splits = hosts.iter().zip(0..).map(|(hosts, number)| split(number, 1, hosts)).collect();
        let mut assigner = InputSplitAssigner::new(splits);
        // As long as a host has a free split, it gets one of its own, and no split is given out twice.
        for (request, host, expected) in [(0, "a", 0), (0, "b", 1), (0, "c", 2), (1, "b", 3), (1, "c", 4), (1, "a", 5)]
        {
            let subtask = u32::from(host.as_bytes()[0]);
            let found = assigner.next(attempt(subtask, 0), request, host).flatten().map(|split| split.number);
            assert_eq!(found, Some(expected), "{host}");
        }
        let counts = assigner.counts();
        assert_eq!((counts.assigned, counts.local, counts.remote), (6, 5, 0), "a split without hosts is neither");
    }

    #[test]
    fn a_host_has_several_names() {
        let check = |split_host: &str, host: &str, local: u32| {
            let mut assigner = InputSplitAssigner::new(vec![split(0, 7, &[split_host])]);
            assigner.next(attempt(0, 0), 0, host);
            let counts = assigner.counts();
            assert_eq!((counts.local, counts.remote), (local, 1 - local), "{split_host} {host}");
        };
        check("node1.example.com", "node1", 1);
        check("Node1", "node1.example.com.", 1);
        check("node1.example.com", "node2.example.com", 0);
        check("127.0.0.2", "127.0.0.2", 1);
        check("127.0.0.2", "127.0.0.3", 0);
    }

    #[test]
    fn the_same_request_gets_the_same_answer() {
        let mut assigner = InputSplitAssigner::new(vec![split(0, 1, &[]), split(1, 1, &[])]);
        let number = |answer: Option<Option<InputSplit>>| answer.map(|split| split.map(|split| split.number));
        let who = attempt(0, 0);
        assert_eq!(number(assigner.next(who, 0, "")), Some(Some(0)));
        assert_eq!(number(assigner.next(who, 0, "")), Some(Some(0)));
        assert_eq!(number(assigner.next(who, 1, "")), Some(Some(1)));
        assert_eq!(number(assigner.next(who, 0, "")), None, "overtaken");
        assert_eq!(number(assigner.next(who, 2, "")), Some(None));
        assigner.give_back(7);
        assert_eq!(number(assigner.next(who, 2, "")), Some(None), "none stays none");
    }

    #[test]
    fn splits_of_a_restarted_subtask_are_free_again_and_others_stay() {
        let mut assigner = InputSplitAssigner::new((0..4).map(|n| split(n, 10 - u64::from(n), &[])).collect());
        assigner.next(attempt(0, 0), 0, "");
        assigner.next(attempt(1, 0), 0, "");
        assigner.next(attempt(0, 0), 1, "");
        assigner.give_back(0);
        assert_eq!(drain(&mut assigner, attempt(0, 1), ""), [0, 2, 3]);
        assert_eq!(assigner.counts().assigned, 4);
    }
}
