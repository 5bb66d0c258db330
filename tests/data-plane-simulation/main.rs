//! Whole jobs on one thread in virtual time: a seed decides on which workers the tasks are, how large chunks and channels
//! are, in which order tasks and connections move, and what goes wrong. Every interleaving must give the same result, and
//! none may stand still. A seed that fails is printed; `SIMULATION_SEED=…` runs it alone, `SIMULATION_SEEDS=…` runs more.
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

/// The example programs.
mod examples;

/// Sources that wait for what they have emitted.
mod liveness;

/// Failures, cancellation, broken connections, killed workers.
mod faults;

/// Runs a test under seeds `0..count`, under that of `SIMULATION_SEED` alone, or under as many as `SIMULATION_SEEDS` says.
fn for_seeds(count: u64, run: impl Fn(u64)) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let count = number("SIMULATION_SEEDS").unwrap_or(count);
    for seed in number("SIMULATION_SEED").map_or(0..count, |seed| seed..seed + 1) {
        let hint = SeedHint(seed);
        run(seed);
        std::mem::forget(hint);
    }
}

/// Says how to run a seed again when the run panics.
struct SeedHint(u64);

impl Drop for SeedHint {
    fn drop(&mut self) {
        eprintln!("the test of the thread {:?}:", std::thread::current().name().unwrap_or("?"));
        eprintln!("replay with SIMULATION_SEED={}", self.0);
    }
}
