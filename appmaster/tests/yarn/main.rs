//! The driver against a model of YARN that allocates late, too much and the wrong thing, loses containers and answers,
//! and is restarted. A seed decides everything; a failure prints it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may

/// The model of the ResourceManager, the NodeManagers, the TaskManagers and the JobManager.
mod world;

/// Single situations.
mod driver_scenarios;

use world::{Faults, World};

/// Whatever happens meanwhile, in the end there is exactly what is wanted, and nothing else.
#[test]
fn every_seed_ends_with_what_is_wanted() {
    let seeds = std::env::var("YARN_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000);
    let mut seen = Faults::default();
    for seed in 0..seeds {
        let mut world = World::new(seed);
        world.run();
        seen.add(&world.faults);
    }
    // A fault that never fires proves nothing.
    assert!(seen.all_fired(), "{seen:?}");
}
