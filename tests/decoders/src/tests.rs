use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::{TARGETS, Target};

/// Inputs a target; `DECODER_ROUNDS` asks for more.
const ROUNDS: u64 = 4_000;

/// Slow targets end sooner.
const MAX_ROUND: Duration = Duration::from_secs(20);

struct Random(Rng);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0.usize(..bound.max(1))
    }

    fn byte(&mut self) -> u8 {
        // Small numbers, large ones and single bits are what lengths and kinds are made of.
        match self.below(4) {
            0 => self.0.u8(..8),
            1 => u8::MAX - self.0.u8(..8),
            _ => self.0.u8(..),
        }
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most + 1)).map(|_| self.byte()).collect()
    }

    /// What libFuzzer does, in small: change, insert, remove, repeat, or join two inputs.
    fn mutate(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut input = seeds[self.below(seeds.len())].clone();
        for _ in 0..1 + self.below(5) {
            let at = self.below(input.len() + 1);
            match self.below(7) {
                0 => input.truncate(at),
                1 => drop(input.drain(at..(at + self.below(9)).min(input.len()))),
                2 => drop(input.splice(at..at, self.bytes(8))),
                3 => {
                    let other = &seeds[self.below(seeds.len())];
                    input.truncate(at);
                    input.extend_from_slice(&other[self.below(other.len() + 1)..]);
                }
                4 if at < input.len() => input[at] ^= 1 << self.below(8),
                _ if at < input.len() => input[at] = self.byte(),
                _ => input.push(self.byte()),
            }
        }
        input
    }
}

fn check(target: &Target) {
    let rounds = std::env::var("DECODER_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().expect("a number"));
    let began = Instant::now();
    let mut random = Random(Rng::with_seed(1));
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty(), "{} has no seeds", target.name);
    let run = |input: Vec<u8>| {
        let outcome = std::panic::catch_unwind(|| (target.run)(&input));
        assert!(
            outcome.is_ok(),
            "{}: an input broke it: {input:?}\nas text: {:?}",
            target.name,
            String::from_utf8_lossy(&input)
        );
    };
    run(Vec::new());
    seeds.iter().cloned().for_each(run);
    for round in 0..rounds {
        if began.elapsed() > MAX_ROUND && rounds == ROUNDS {
            println!("{}: {round} rounds in {MAX_ROUND:?}", target.name);
            break;
        }
        run(if round % 8 == 0 { random.bytes(120) } else { random.mutate(&seeds) });
    }
}

macro_rules! check_each {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                let target = TARGETS.iter().find(|target| target.name == stringify!($name));
                check(target.expect("the target is in the list"));
            }
        )*

        const CHECKED: &[&str] = &[$(stringify!($name)),*];
    };
}

check_each! {
    transport_frames transport_greeting certificates tokens control_messages plan_files network_frames blocking_blocks
    records input_splits lines archives archive_splits inputs configuration_file cluster_record aggregated_logs programs rest_requests
    hadoop_configuration hadoop_credentials hadoop_frames hadoop_sasl hadoop_answers
}

/// Every target is checked here, and has its file in `fuzz/`, which does no more than call it.
#[test]
fn targets_and_fuzz_targets_are_the_same() {
    let listed: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(CHECKED.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(), listed);
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(fuzz.join("fuzz_targets")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("flink_decoder_tests::") && text.lines().count() < 12, "{name} has a body of its own");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in fuzz/Cargo.toml");
        found.insert(name);
    }
    assert_eq!(found, listed);
}
