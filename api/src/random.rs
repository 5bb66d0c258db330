use flink_graph::id::stable_hash;

/// A seed that a text stands for.
#[allow(clippy::cast_possible_truncation)] // both halves count
pub(crate) fn seed_of(text: &[u8]) -> u64 {
    let hash = stable_hash(text);
    (hash ^ hash >> 64) as u64
}

/// xorshift64: numbers for `shuffle`, at the cost of a few instructions a record.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The seed is the place where the numbers are used, job included: the same for every attempt, so that the same records go
    /// the same way, and another one for every other place, so that two shuffles know nothing of each other.
    pub(crate) fn new(place: &[u8]) -> Self {
        // Zero would stay zero.
        Self(seed_of(place) | 1)
    }

    /// The next number below `bound`.
    #[allow(clippy::cast_possible_truncation)] // the result is below `bound`
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((u128::from(self.0) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_has_numbers_of_its_own() {
        let (mut here, mut there) = (Random::new(b"job vertex 0 0"), Random::new(b"job vertex 0 1"));
        let mut pairs = [[0_u32; 4]; 4];
        for _ in 0..16_000 {
            pairs[here.below(4)][there.below(4)] += 1;
        }
        // A thousand of each pair, give or take a few standard deviations of 31.
        assert!(pairs.iter().flatten().all(|count| (800..1200).contains(count)), "{pairs:?}");
    }
}
