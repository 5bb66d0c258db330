use std::collections::BTreeMap;

use serde_json::Value;

use crate::cluster::{Cluster, lines, visible};
use crate::programs::{program, repository};

/// Runs the examples that have a result, and gives it.
fn results(cluster: &Cluster, options: &[&str], name: &str) -> BTreeMap<&'static str, Vec<String>> {
    let run = |words: &[&str]| {
        let program = program(words[0]);
        let ended = cluster.call(&[&["run"], options, &[&program], &words[1..]].concat()).expect(0, &[]);
        ended.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let text = repository().join("examples/data/hamlet.txt").display().to_string();
    let output = cluster.place(name);
    run(&["wordcount", "--input", &text, "--output", &output]);
    let entries = std::fs::read_dir(&output).unwrap().count();
    assert_eq!(entries, visible(&output).len(), "something hidden stays beside the result");
    let counted = run(&["keyed_count", "--keys", "1000", "--events", "50000"]);
    assert!(counted[0].starts_with("50000 events of 1000 keys in"), "{counted:?}");
    // Latencies are measured from the third second on.
    let paced = run(&["keyed_count", "--keys", "100", "--events", "8000", "--rate", "2000"]);
    assert!(paced[0].starts_with("8000 events of 100 keys in"), "{paced:?}");
    assert_percentiles(&paced[1]);
    BTreeMap::from([
        ("wordcount", lines(&output)),
        ("cluster_tour", run(&["cluster_tour", "--last", "100000"])),
        ("custom_source", run(&["custom_source", "--limit", "100000"])),
    ])
}

/// `latency in µs: p50 1, p90 2, p99 3, p99.9 4, max 5`, none below the one before.
fn assert_percentiles(line: &str) {
    let told = line.strip_prefix("latency in µs: ").unwrap_or_else(|| panic!("{line}"));
    let (names, values): (Vec<_>, Vec<u64>) = told
        .split(", ")
        .map(|part| part.split_once(' ').unwrap())
        .map(|(name, value)| (name, value.parse::<u64>().unwrap()))
        .unzip();
    assert_eq!(names, ["p50", "p90", "p99", "p99.9", "max"], "{line}");
    assert!(values[4] > 0 && values.is_sorted(), "{line}");
}

/// What a plain program finds.
fn expected() -> BTreeMap<&'static str, Vec<String>> {
    let text = std::fs::read_to_string(repository().join("examples/data/hamlet.txt")).unwrap();
    let mut words = BTreeMap::<&str, u64>::new();
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        *words.entry(word).or_default() += 1;
    }
    let mut wordcount = shown(words);
    wordcount.sort_unstable();
    let mut sums = BTreeMap::<u64, u64>::new();
    (1..=100_000).for_each(|number| *sums.entry(number % 10).or_default() += number);
    let mut primes = BTreeMap::<u64, u64>::new();
    let is_prime = |number: &u64| (2..).take_while(|d| d * d <= *number).all(|d| !number.is_multiple_of(d));
    (2..100_000).filter(is_prime).for_each(|prime| *primes.entry(prime % 10).or_default() += 1);
    BTreeMap::from([("wordcount", wordcount), ("cluster_tour", shown(sums)), ("custom_source", shown(primes))])
}

fn shown<K: std::fmt::Display>(counts: BTreeMap<K, u64>) -> Vec<String> {
    counts.iter().map(|(key, count)| format!("{key} {count}")).collect()
}

#[test]
fn examples_give_the_same_in_one_process() {
    assert_eq!(results(&Cluster::none(), &["-t", "local", "-p", "2"], "local"), expected());
}

/// A line for each state of each task, with the task that it is about; nothing where it is not asked for.
#[test]
fn the_engine_logs_in_programs_that_are_told_to() {
    let cluster = Cluster::none();
    let tour = program("cluster_tour");
    let run = |filter: &str| {
        cluster
            .call_with("FLINK_YARN_LOG", filter, &["run", "-t", "local", &tour, "--last", "10"])
            .expect(0, &[])
            .stderr
    };
    let told = run("flink_taskmanager=debug");
    let states = told.lines().filter(|line| line.contains("task is in a new state state=RUNNING"));
    for line in states.clone() {
        assert!(["task{job=", "vertex=", "subtask=", "attempt=0}"].iter().all(|part| line.contains(part)), "{line}");
    }
    assert!(states.count() > 2, "{told}");
    assert!(!run("warn").contains("task{"));
}

#[test]
fn examples_give_the_same_on_one_task_manager() {
    // The tour needs four slots.
    let cluster = Cluster::start(1, 4, &[]);
    assert_eq!(results(&cluster, &["-p", "2"], "one"), expected());
}

#[test]
fn examples_give_the_same_over_the_network_however_it_is_set() {
    let cluster = Cluster::start(4, 1, &[]);
    assert_eq!(results(&cluster, &["-p", "2"], "two"), expected());
    assert_eq!(results(&cluster, &["-p", "4"], "four"), expected());
    let blocking = "execution.batch-shuffle-mode=ALL_EXCHANGES_BLOCKING";
    assert_eq!(results(&cluster, &["-p", "2", "-D", blocking], "blocking"), expected());
}

#[test]
fn examples_give_the_same_without_tls() {
    let cluster = Cluster::start(4, 1, &["security.ssl.internal.enabled=false"]);
    assert_eq!(results(&cluster, &["-p", "2"], "plain"), expected());
}

/// The worked example: two TaskManagers of three slots; source and map four wide, reduce three wide.
#[test]
fn the_tour_takes_four_slots_two_on_each_task_manager() {
    let cluster = Cluster::start(2, 3, &[]);
    cluster.call(&["run", &program("cluster_tour"), "--last", "1000"]).expect(0, &[]);
    let job = cluster.rest("/v1/jobs/overview")["jobs"][0]["jid"].as_str().unwrap().to_owned();
    let details = cluster.rest(&format!("/v1/jobs/{job}"));
    let subtasks = |name: &str| {
        let vertices = details["vertices"].as_array().unwrap();
        let vertex = vertices.iter().find(|vertex| vertex["name"].as_str().unwrap().contains(name)).unwrap();
        let id = vertex["id"].as_str().unwrap();
        task_managers(&cluster.rest(&format!("/v1/jobs/{job}/vertices/{id}")))
    };
    for (name, expected) in [("Sequence", vec![2, 2]), ("Digit", vec![2, 2]), ("Reduce", vec![1, 2])] {
        assert_eq!(subtasks(name), expected, "{name}");
    }
}

/// How many subtasks of a vertex each TaskManager ran, fewest first.
fn task_managers(vertex: &Value) -> Vec<u64> {
    let mut counts = BTreeMap::<&str, u64>::new();
    for subtask in vertex["subtasks"].as_array().unwrap() {
        *counts.entry(subtask["taskmanager-id"].as_str().unwrap()).or_default() += 1;
    }
    let mut counts: Vec<u64> = counts.into_values().collect();
    counts.sort_unstable();
    counts
}
