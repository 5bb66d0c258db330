use std::time::Duration;

use flink_appmaster::job_manager::Event;
use flink_graph::{ExecutionAttemptId, ExecutionState, JobId, RuntimeMode};
use flink_protocol::overview::SplitCounts;
use flink_protocol::task_manager::ToJobManager;

use crate::bench::Bench;
use crate::graphs::chain;

/// A source of two subtasks, one on each of two hosts, with splits on these hosts.
struct Reading {
    bench: Bench,
    job: JobId,
    tasks: [ExecutionAttemptId; 2],
    requests: [u64; 2],
}

impl Reading {
    fn new(hosts: &[&str], settings: &[(&str, &str)]) -> Self {
        let mut bench = Bench::new(&[1, 1]);
        let mut graph = chain(1, RuntimeMode::Batch, "source 2");
        for (key, value) in settings {
            graph.configuration.set(*key, *value);
        }
        let splits = graph.vertices[0].input_splits.as_mut().unwrap();
        let first = splits[0].clone();
        *splits = (0..)
            .zip(hosts)
            .map(|(number, host)| {
                let mut split = first.clone();
                (split.number, split.hosts) = (number, vec![(*host).to_owned()]);
                split
            })
            .collect();
        let job = bench.submit(graph);
        let mut tasks = [bench.attempt(job, 1, 0), bench.attempt(job, 1, 1)];
        tasks.sort_by_key(|task| bench.tm_of(*task));
        Self { bench, job, tasks, requests: [0, 0] }
    }

    /// The task on a host asks for its next split; what has come there by now in all.
    fn asks(&mut self, host: usize) -> Vec<Option<u32>> {
        self.repeats(host);
        self.requests[host] += 1;
        self.bench.tms[host].splits.clone()
    }

    fn repeats(&mut self, host: usize) {
        let (attempt, request) = (self.tasks[host], self.requests[host]);
        self.bench.from_tm(host, ToJobManager::RequestNextInputSplit { attempt, request });
    }

    fn after(&mut self, millis: u64, host: usize) -> Vec<Option<u32>> {
        self.bench.now += Duration::from_millis(millis);
        self.bench.send(Event::Tick);
        self.bench.tms[host].splits.clone()
    }

    fn counts(&self) -> SplitCounts {
        self.bench.details(self.job).vertices[0].splits.unwrap()
    }
}

#[test]
fn a_split_is_left_for_a_moment_to_the_task_beside_it() {
    let mut reading = Reading::new(&["host-0", "host-1", "host-1"], &[]);
    assert_eq!(reading.asks(0), [Some(0)]);
    assert_eq!(reading.asks(0), [Some(0)], "it waits");
    assert_eq!(reading.asks(1), [Some(1)]);
    reading.requests[0] -= 1;
    assert_eq!(reading.asks(0), [Some(0)], "asking again does not help");
    assert_eq!(reading.after(499, 0), [Some(0)]);
    assert_eq!(reading.asks(1), [Some(1), Some(2)]);
    assert_eq!(reading.after(0, 0), [Some(0), None], "nothing is left to wait for");
    assert_eq!((reading.counts().local, reading.counts().remote), (3, 0));
}

#[test]
fn it_is_read_from_afar_when_that_takes_too_long() {
    let mut reading = Reading::new(&["host-0", "host-1", "host-1", "host-1"], &[]);
    reading.asks(0);
    reading.asks(0);
    assert_eq!(reading.after(499, 0), [Some(0)]);
    assert_eq!(reading.after(1, 0), [Some(0), Some(1)]);
    assert_eq!(reading.asks(0), [Some(0), Some(1), Some(2)], "it has waited enough");
    reading.bench.state(reading.tasks[1], ExecutionState::Finished);
    assert_eq!(reading.asks(0).last(), Some(&Some(3)), "and nobody is left to wait for");
    assert_eq!((reading.counts().local, reading.counts().remote), (1, 3));
}

#[test]
fn there_is_no_waiting_for_hosts_without_a_task_or_when_it_is_off() {
    let mut reading = Reading::new(&["host-7", "host-7"], &[]);
    assert_eq!((reading.asks(0), reading.asks(1)), (vec![Some(0)], vec![Some(1)]));
    let mut reading = Reading::new(&["host-1", "host-1"], &[("source.split.locality-wait", "0 ms")]);
    assert_eq!(reading.asks(0), [Some(0)]);
}
