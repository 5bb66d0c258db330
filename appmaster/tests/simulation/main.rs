//! A deterministic simulation of a whole cluster: the real JobManager and TaskManagers, with a model of the workers and
//! clients, over a network that loses, delays, doubles and reorders messages and breaks connections, while processes of
//! every kind crash. One seed is one run. A seed that fails is printed; `SIMULATION_SEED=n cargo test -p flink-appmaster
//! --test simulation` replays it with its whole event log.

// Harness functions outside of #[test] fail by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::wrong_self_convention)]

/// Random jobs, and what each must have done when it finished.
mod jobs;

/// Workers: a model that runs tasks in virtual time.
mod workers;

/// Clients: submit, cancel, wait, and check the result.
mod clients;

/// TaskManagers: the real state machine in a process that can be stopped and killed.
mod task_managers;

/// Connections, and what happens to messages on them.
mod network;

/// What goes wrong.
mod faults;

/// The JobManager, and who speaks to it.
mod leader;

/// What outlives a JobManager, and JobManagers that outlive their reign.
mod store;

/// Time, and what must hold at the end.
mod world;

use world::{Mutation, Report, World};

const SEEDS: u64 = 1_000;

fn run(seed: u64, mutation: Mutation, with_log: bool) -> Report {
    World::new(seed, mutation, with_log).run()
}

fn check(seed: u64) -> Report {
    let report = run(seed, Mutation::None, false);
    if let Err(violation) = &report.outcome {
        let log = run(seed, Mutation::None, true).log;
        let telling =
            |line: &&str| !["Heartbeat", "Statistics", "Tick", "Metrics"].iter().any(|dull| line.contains(dull));
        let tail: Vec<&str> = log.lines().filter(telling).rev().take(100).collect();
        for line in tail.into_iter().rev() {
            eprintln!("{line}");
        }
        panic!("seed {seed}: {violation}\nreplay it with SIMULATION_SEED={seed}");
    }
    report
}

#[test]
fn every_job_ends_and_nothing_leaks() {
    if let Ok(seed) = std::env::var("SIMULATION_SEED") {
        let seed = seed.parse().expect("SIMULATION_SEED is a number");
        let report = run(seed, Mutation::None, true);
        println!("{}", report.log);
        return report.outcome.unwrap();
    }
    let seeds = std::env::var("SIMULATION_SEEDS").map_or(SEEDS, |seeds| seeds.parse().expect("a number"));
    let mut total = Report::empty();
    for seed in 0..seeds {
        total.add(&check(seed));
    }
    println!("{}", total.summary());
    if seeds >= SEEDS {
        total.assert_everything_happened();
    }
}

#[test]
fn a_seed_gives_the_same_run() {
    for seed in [1, 7, 42] {
        let (first, second) = (run(seed, Mutation::None, true), run(seed, Mutation::None, true));
        assert!(first.log.lines().count() > 100);
        assert_eq!(first.log, second.log, "seed {seed}");
    }
    assert_ne!(run(1, Mutation::None, true).log, run(2, Mutation::None, true).log);
}

/// A broken cluster must be noticed: each mutation breaks one promise, and the check of that promise must fire.
fn assert_noticed(mutation: Mutation, expected: &str) {
    let mut violations = (0..500).filter_map(|seed| run(seed, mutation, false).outcome.err());
    assert!(violations.any(|violation| violation.contains(expected)), "{mutation:?} was not noticed");
}

#[test]
fn a_split_read_twice_is_noticed() {
    assert_noticed(Mutation::SplitTwice, "splits");
}

#[test]
fn a_lost_split_is_noticed() {
    assert_noticed(Mutation::SplitLost, "splits");
}

#[test]
fn splits_that_do_not_come_back_are_noticed() {
    assert_noticed(Mutation::SplitsNotGivenBack, "splits");
}

#[test]
fn a_job_that_does_not_end_is_noticed() {
    assert_noticed(Mutation::FinishedNeverHeard, "has not ended");
}

#[test]
fn a_store_that_forgets_is_noticed() {
    assert_noticed(Mutation::StoreForgets, "was forgotten");
}

#[test]
fn a_replaced_job_manager_that_tells_results_is_noticed() {
    assert_noticed(Mutation::ZombieTells, "was told");
}

#[test]
fn a_worker_that_stays_is_noticed() {
    assert_noticed(Mutation::WorkersNeverStop, "left");
}
