use fastrand::Rng;
use flink_graph::id::stable_hash;

/// Random numbers of a place, job included: the same for every attempt, so that the same records go the same way, and others
/// for every other place, so that two shuffles know nothing of each other.
pub(crate) fn random_at(place: &[u8]) -> Rng {
    Rng::with_seed(seed_of(place))
}

/// A seed that a text stands for.
#[allow(clippy::cast_possible_truncation)] // both halves count
pub(crate) fn seed_of(text: &[u8]) -> u64 {
    let hash = stable_hash(text);
    (hash ^ hash >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_has_numbers_of_its_own() {
        let (mut here, mut there) = (random_at(b"job vertex 0 0"), random_at(b"job vertex 0 1"));
        let mut pairs = [[0_u32; 4]; 4];
        for _ in 0..16_000 {
            pairs[here.usize(..4)][there.usize(..4)] += 1;
        }
        // A thousand of each pair, give or take a few standard deviations of 31.
        assert!(pairs.iter().flatten().all(|count| (800..1200).contains(count)), "{pairs:?}");
    }
}
