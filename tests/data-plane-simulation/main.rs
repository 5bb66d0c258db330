//! Whole jobs on one thread in virtual time: a seed decides on which workers the tasks are, how large chunks and channels
//! are, in which order tasks and connections move, and what goes wrong. Every interleaving must give the same result, and
//! none may stand still. A seed that fails is printed; `SIMULATION_SEED=…` runs it alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may
#![allow(clippy::cast_possible_truncation)] // numbers in a simulation are small

/// The source of chance.
mod random;

/// What a seed decides before a run.
mod settings;

/// Where subtasks run, and what they are deployed with.
mod deployment;

/// The connections between workers.
mod network;

/// The loop that moves tasks, connections and time.
mod world;

/// Runs a program's actions in the simulation.
mod cluster;

/// Programs that must give the same result under every seed.
mod pipelines;

/// Sources that wait for what they have emitted.
mod liveness;

/// Failures, cancellation, broken connections, killed workers.
mod faults;

/// Runs a test under seeds `0..count`, or under that of `SIMULATION_SEED` alone.
fn for_seeds(count: u64, run: impl Fn(u64)) {
    let only: Option<u64> = std::env::var("SIMULATION_SEED").ok().map(|text| text.parse().expect("a number"));
    let seeds = only.map_or(0..count, |seed| seed..seed + 1);
    for seed in seeds {
        let hint = SeedHint(seed);
        run(seed);
        std::mem::forget(hint);
    }
}

/// Says how to run a seed again when the run panics.
struct SeedHint(u64);

impl Drop for SeedHint {
    fn drop(&mut self) {
        eprintln!("replay with SIMULATION_SEED={}", self.0);
    }
}
