use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use flink_api::sources::{GeneratorSource, Tick};
use flink_api::{BoxError, Output, ProcessContext, ProcessFunction, RuntimeContext};
use flink_examples::{cluster_tour, custom_source, keyed_count, wordcount};

use crate::cluster::Cluster;
use crate::for_seeds;

const SEEDS: u64 = 300;

const TEXT: &str = "To be, or not to be, that is the question:\r\nWhether 'tis nobler in the mind to suffer\n\n\
    The slings and arrows of outrageous fortune,\nOr to take arms against a sea of troubles";

/// The definition of words, character by character.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

fn counted(text: &str) -> Vec<String> {
    let counts = words(text).fold(BTreeMap::<&str, u64>::new(), |mut counts, word| {
        *counts.entry(word).or_default() += 1;
        counts
    });
    let mut lines: Vec<_> = counts.into_iter().map(|(word, count)| format!("{word} {count}")).collect();
    lines.sort();
    lines
}

fn lines_below(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut lines: Vec<_> = files
        .flat_map(|file| fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    lines.sort();
    lines
}

#[test]
fn wordcount_counts_the_words_of_files() {
    for_seeds(SEEDS, |seed| {
        let (cluster, folder) = (Cluster::new(seed), tempfile::tempdir().unwrap());
        let (input, output) = (folder.path().join("in"), folder.path().join("out"));
        fs::create_dir(&input).unwrap();
        (0..3).for_each(|number| fs::write(input.join(format!("part-{number}")), TEXT).unwrap());
        cluster.expand(80);
        let env = cluster.environment();
        wordcount::build(&env, input.to_str().unwrap(), output.to_str().unwrap(), false, Default::default());
        env.execute("wordcount").unwrap();
        assert_eq!(lines_below(&output), counted(&format!("{TEXT}\n{TEXT}\n{TEXT}")));
    });
}

#[test]
fn wordcount_counts_the_words_of_a_collection() {
    for_seeds(SEEDS, |seed| {
        let cluster = Cluster::new(seed);
        // The words of a line.
        cluster.expand(12);
        let lines = cluster.environment().from_collection(TEXT.lines().map(str::to_owned)).rebalance();
        let counts = wordcount::count_words(lines).execute_and_collect("wordcount").unwrap();
        let mut lines: Vec<_> = counts.iter().map(ToString::to_string).collect();
        // A running count comes out for every word; the last one of each word is its highest.
        lines.sort();
        let total = words(TEXT).count();
        assert_eq!(lines.len(), total);
        assert!(counted(TEXT).iter().all(|line| lines.contains(line)));
    });
}

#[test]
fn the_cluster_tour_sums_by_digit() {
    let sum = |digit: u64| (1..=500).filter(|n| n % 10 == digit).sum::<u64>();
    let expected: Vec<_> = (0..10).map(|digit| (digit, sum(digit))).collect();
    for_seeds(SEEDS, |seed| {
        let cluster = Cluster::new(seed);
        cluster.expand(64);
        let mut sums = cluster_tour::sums(&cluster.environment(), 500).execute_and_collect("tour").unwrap();
        sums.sort_unstable();
        assert_eq!(sums, expected);
    });
}

#[test]
fn the_custom_source_finds_all_primes() {
    let expected = [(1, 306), (2, 1), (3, 310), (5, 1), (7, 308), (9, 303)];
    for_seeds(SEEDS, |seed| {
        let cluster = Cluster::new(seed);
        cluster.expand(64);
        let stream = custom_source::primes_by_digit(&cluster.environment(), 10_000);
        let mut counts = stream.execute_and_collect("primes").unwrap();
        counts.sort_unstable();
        assert_eq!(counts, expected);
    });
}

/// Notes when each record came, and something drawn from the function's seed.
#[derive(Clone, Default)]
struct Witness(u64);

impl ProcessFunction<u64> for Witness {
    type Out = (u64, u64, u64);

    fn open(&mut self, context: &RuntimeContext) -> Result<(), BoxError> {
        self.0 = context.random_seed();
        Ok(())
    }

    fn process(
        &mut self,
        due: u64,
        context: &mut ProcessContext<'_>,
        output: &mut impl Output<(u64, u64, u64)>,
    ) -> Result<(), BoxError> {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let now = u64::try_from(context.runtime_context().current_processing_time().as_nanos())?;
        output.collect((due, now, self.0));
        Ok(())
    }
}

#[test]
fn a_seed_gives_the_same_times_and_random_numbers() {
    for_seeds(SEEDS / 3, |seed| {
        let run = || {
            let env = Cluster::new(seed).environment();
            let source = GeneratorSource::new(|tick: Tick| tick.due_nanos, Some(200)).rate_per_second(1000.0);
            env.from_source(source, "Paced")
                .rebalance()
                .process(Witness::default())
                .execute_and_collect("times")
                .unwrap()
        };
        let records = run();
        assert_eq!(records, run());
        assert!(records.iter().all(|(due, now, _)| due <= now && now - due < 10_000_000_000), "{records:?}");
        let drawn: BTreeSet<u64> = records.iter().map(|(_, _, drawn)| *drawn).collect();
        assert_eq!(drawn.len(), 200);
    });
}

#[test]
fn the_keyed_count_ends_with_and_without_a_rate() {
    for_seeds(SEEDS, |seed| {
        let cluster = Cluster::new(seed);
        cluster.expand(64);
        let env = cluster.environment();
        keyed_count::build(&env, 10, 300, (seed % 2 == 0).then_some(100_000.0));
        env.execute("keyed_count").unwrap();
        assert_eq!(cluster.outcome().records, 300);
    });
}

/// The largest count of each key is the number of its events.
#[test]
fn the_keyed_count_counts_the_events_of_each_key() {
    let mut expected = BTreeMap::<u64, u64>::new();
    (0..300).for_each(|index| *expected.entry(keyed_count::key_of(index, 10)).or_default() += 1);
    for_seeds(SEEDS, |seed| {
        let cluster = Cluster::new(seed);
        cluster.expand(64);
        let env = cluster.environment();
        let counts = if seed % 2 == 0 {
            keyed_count::counts(&env, 10, 300).execute_and_collect("counts").unwrap()
        } else {
            let paced = keyed_count::paced_counts(&env, 10, 300, 100_000.0);
            paced.map(|event| (event.key, event.count)).execute_and_collect("counts").unwrap()
        };
        assert_eq!(counts.len(), 300);
        let mut largest = BTreeMap::<u64, u64>::new();
        for (key, count) in counts {
            let kept = largest.entry(key).or_default();
            *kept = count.max(*kept);
        }
        assert_eq!(largest, expected);
    });
}
