//! Consecutive numbers as a source.

use std::time::Duration;

use flink_taskmanager::data::Data;
use flink_taskmanager::operator::{BoxError, Output};

use crate::source::{Boundedness, EnumeratorContext, ReaderContext, ReaderStatus, Source, SourceReader, SourceSplit};
use crate::sources::BURST;

/// A whole number that a sequence can be made of.
pub trait SequenceNumber: Data + Copy {
    /// How far it is from `first`, which is not larger.
    fn distance(self, first: Self) -> u64;

    /// The number `distance` further on.
    fn forward(self, distance: u64) -> Self;
}

impl SequenceNumber for u64 {
    #[inline]
    fn distance(self, first: Self) -> u64 {
        self.wrapping_sub(first)
    }

    #[inline]
    fn forward(self, distance: u64) -> Self {
        self.wrapping_add(distance)
    }
}

impl SequenceNumber for i64 {
    #[inline]
    #[allow(clippy::cast_sign_loss)] // what wraps around here wraps back in `forward`
    fn distance(self, first: Self) -> u64 {
        self.wrapping_sub(first) as u64
    }

    #[inline]
    #[allow(clippy::cast_possible_wrap)]
    fn forward(self, distance: u64) -> Self {
        self.wrapping_add(distance as Self)
    }
}

/// The numbers from the first to the last, both included; none when the last is smaller.
#[derive(Debug, Clone)]
pub struct SequenceSource<N> {
    first: N,
    last: N,
}

impl<N> SequenceSource<N> {
    /// The numbers from `first` to `last`.
    pub fn new(first: N, last: N) -> Self {
        Self { first, last }
    }
}

impl<N: SequenceNumber + PartialOrd> Source for SequenceSource<N> {
    type Record = N;
    /// Distances from the first number, the end not included. They wrap around, as 2^64 numbers have an end, too.
    type Split = (u64, u64);
    type Reader = SequenceReader<N>;

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn enumerate_splits(&self, context: &EnumeratorContext) -> Result<Vec<SourceSplit<(u64, u64)>>, BoxError> {
        if self.last < self.first {
            return Ok(Vec::new());
        }
        let count = u128::from(self.last.distance(self.first)) + 1;
        // A split has two different ends, so that all 2^64 numbers are more than one.
        let parts = u128::from(context.parallelism.max(if count > u128::from(u64::MAX) { 2 } else { 1 }));
        #[allow(clippy::cast_possible_truncation)] // wraps around
        let bound = |part: u128| (count * part / parts) as u64;
        let ranges = (0..parts).map(|part| (bound(part), bound(part + 1))).filter(|(begin, end)| begin != end);
        let split = |(begin, end): (u64, u64)| SourceSplit {
            split: (begin, end),
            description: format!("numbers {begin} to {} of the sequence", end.wrapping_sub(1)),
            hosts: Vec::new(),
            length: 0,
        };
        Ok(ranges.map(split).collect())
    }

    fn create_reader(&self, _: ReaderContext) -> Result<SequenceReader<N>, BoxError> {
        Ok(SequenceReader { first: self.first, next: 0, end: 0 })
    }
}

/// Counts.
pub struct SequenceReader<N> {
    first: N,
    next: u64,
    end: u64,
}

impl<N: SequenceNumber> SourceReader for SequenceReader<N> {
    type Record = N;
    type Split = (u64, u64);

    fn start_split(&mut self, (begin, end): (u64, u64)) -> Result<(), BoxError> {
        (self.next, self.end) = (begin, end);
        Ok(())
    }

    fn poll(&mut self, _: Duration, output: &mut impl Output<N>) -> Result<ReaderStatus, BoxError> {
        for _ in 0..BURST {
            if self.next == self.end {
                return Ok(ReaderStatus::SplitFinished);
            }
            let number = self.first.forward(self.next);
            self.next = self.next.wrapping_add(1);
            output.collect(number);
            if output.is_full() {
                break;
            }
        }
        Ok(ReaderStatus::More)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn splits<N: SequenceNumber + PartialOrd>(first: N, last: N, parallelism: u32) -> Vec<(u64, u64)> {
        let context = EnumeratorContext { parallelism, configuration: flink_graph::Configuration::default() };
        let splits = SequenceSource::new(first, last).enumerate_splits(&context).unwrap();
        splits.into_iter().map(|split| split.split).collect()
    }

    #[test]
    fn sequences_have_every_number_once() {
        let half = 1 << 63;
        assert_eq!(splits(1_u64, 10, 2), [(0, 5), (5, 10)]);
        assert_eq!(splits(-3_i64, 1, 2), [(0, 2), (2, 5)]);
        assert_eq!(splits(5_u64, 5, 4), [(0, 1)]);
        assert_eq!(splits(6_u64, 5, 4), []);
        assert_eq!(splits(0, u64::MAX, 1), [(0, half), (half, 0)]);
        assert_eq!(splits(i64::MIN, i64::MAX, 1), [(0, half), (half, 0)]);
        assert_eq!((i64::MIN.forward(half), i64::MIN.forward(u64::MAX)), (0, i64::MAX));
    }

    struct Kept<N>(Vec<N>);

    impl<N> Output<N> for Kept<N> {
        fn collect(&mut self, record: N) {
            self.0.push(record);
        }

        fn is_full(&self) -> bool {
            self.0.len() == 3
        }
    }

    #[test]
    fn the_last_split_of_all_numbers_ends() {
        let mut reader = SequenceReader { first: i64::MIN, next: 0, end: 0 };
        reader.start_split((u64::MAX - 1, 0)).unwrap();
        let mut kept = Kept(Vec::new());
        assert_eq!(reader.poll(Duration::ZERO, &mut kept).unwrap(), ReaderStatus::SplitFinished);
        assert_eq!(kept.0, [i64::MAX - 1, i64::MAX]);
        reader.start_split((7, 17)).unwrap();
        kept.0.clear();
        assert_eq!(reader.poll(Duration::ZERO, &mut kept).unwrap(), ReaderStatus::More);
        assert_eq!((kept.0.len(), reader.next), (3, 10));
    }
}
