use std::time::Duration;

use flink_graph::{Configuration, options};

use crate::random::Random;

/// Which of the tasks that can go on is stepped next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Any.
    Uniform,
    /// Producers before their consumers: queues are as full as they get.
    UpstreamFirst,
    /// Consumers before their producers: queues are as empty as they get.
    DownstreamFirst,
    /// The same as before, as long as it can go on.
    Sticky,
    /// One task has its turn only when no other can go on.
    Starve(usize),
}

/// What a seed decides before a run begins.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) workers: usize,
    pub(crate) chunk_bytes: u64,
    /// Chunks that a channel holds.
    pub(crate) capacity: u64,
    /// Bytes in which records of a key are merged in front of a shuffle.
    pub(crate) pre_aggregation: u64,
    pub(crate) policy: Policy,
    /// How often, of eight times, a link moves instead of a task.
    pub(crate) link_turns: u64,
    pub(crate) max_link_delay: Duration,
    pub(crate) max_piece: usize,
    pub(crate) window: usize,
    /// Longest time that a step takes.
    pub(crate) max_step: Duration,
    /// Time over which tasks are deployed.
    pub(crate) deployment: Duration,
    /// Longest time until a request for a split is answered.
    pub(crate) max_split_delay: Duration,
    /// Whether answers come twice.
    pub(crate) doubled_answers: bool,
    /// Whether tasks are woken for nothing. Not in every run, since that may make good for a wake-up that was lost.
    pub(crate) spurious_wakes: bool,
}

impl Settings {
    pub(crate) fn draw(random: &mut Random) -> Self {
        let max_piece = random.magnitude(16) as usize;
        let micros = |random: &mut Random, bits| Duration::from_micros(random.magnitude(bits) - 1);
        Self {
            workers: random.between(1, 4) as usize,
            chunk_bytes: random.magnitude(15),
            capacity: random.between(1, 8),
            pre_aggregation: random.magnitude(14),
            policy: match random.below(6) {
                0 => Policy::UpstreamFirst,
                1 => Policy::DownstreamFirst,
                2 => Policy::Sticky,
                3 => Policy::Starve(random.below(12)),
                _ => Policy::Uniform,
            },
            link_turns: random.between(1, 7),
            max_link_delay: micros(random, 12),
            max_piece,
            // Small windows go with small pieces: the other way round a run would move bytes for ever.
            window: (max_piece << random.below(5)).max(64),
            max_step: micros(random, 7),
            deployment: micros(random, 13),
            max_split_delay: micros(random, 13),
            doubled_answers: random.once_in(3),
            spurious_wakes: random.once_in(3),
        }
    }

    /// What the cluster's configuration says of it.
    pub(crate) fn configuration(&self) -> Configuration {
        let mut configuration = Configuration::default();
        configuration.set(options::CHUNK_SIZE.key, format!("{} b", self.chunk_bytes));
        configuration.set(options::CHANNEL_CHUNKS.key, self.capacity.to_string());
        configuration.set(options::PRE_AGGREGATION_SIZE.key, format!("{} b", self.pre_aggregation));
        configuration
    }
}
