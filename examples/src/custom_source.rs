use std::time::Duration;

use flink::prelude::*;

/// Prime numbers below a limit, found in parallel: every split is a range of numbers to look through.
#[derive(Debug, Clone)]
pub struct PrimeSource {
    /// Numbers from 2 to below this are looked through.
    pub limit: u64,
    /// Numbers in one split.
    pub split_size: u64,
}

/// A range of numbers.
#[derive(Debug, Clone, PartialEq, Eq, Data)]
pub struct Range {
    /// The first number.
    pub begin: u64,
    /// The number behind the last one.
    pub end: u64,
}

impl Source for PrimeSource {
    type Record = u64;
    type Split = Range;
    type Reader = PrimeReader;

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn enumerate_splits(&self, _: &EnumeratorContext) -> Result<Vec<SourceSplit<Range>>, BoxError> {
        if self.split_size == 0 {
            return Err("the size of a split must be at least 1".into());
        }
        let begins = (2..self.limit).step_by(usize::try_from(self.split_size)?);
        let split = |begin: u64| {
            let end = self.limit.min(begin.saturating_add(self.split_size));
            let description = format!("numbers [{begin}, {end})");
            SourceSplit { split: Range { begin, end }, description, hosts: Vec::new(), length: 0 }
        };
        Ok(begins.map(split).collect())
    }

    fn create_reader(&self, _: ReaderContext) -> Result<PrimeReader, BoxError> {
        Ok(PrimeReader { range: 0..0 })
    }
}

/// Looks through ranges.
pub struct PrimeReader {
    range: std::ops::Range<u64>,
}

fn is_prime(number: u64) -> bool {
    number >= 2
        && (2..).take_while(|divisor| divisor * divisor <= number).all(|divisor| !number.is_multiple_of(divisor))
}

impl SourceReader for PrimeReader {
    type Record = u64;
    type Split = Range;

    fn start_split(&mut self, split: Range) -> Result<(), BoxError> {
        self.range = split.begin..split.end;
        Ok(())
    }

    fn poll(&mut self, _: Duration, output: &mut impl Output<u64>) -> Result<ReaderStatus, BoxError> {
        for _ in 0..1000 {
            let Some(number) = self.range.next() else { return Ok(ReaderStatus::SplitFinished) };
            if is_prime(number) {
                output.collect(number);
            }
            if output.is_full() {
                break;
            }
        }
        Ok(ReaderStatus::More)
    }
}

/// The number of primes below `limit` by their last digit.
pub fn primes_by_digit(env: &StreamExecutionEnvironment, limit: u64) -> DataStream<(u64, u64)> {
    env.set_runtime_mode(RuntimeMode::Automatic);
    let source = PrimeSource { limit, split_size: 10_000 };
    env.from_source(source, "Primes").key_by(|prime| prime % 10).count().boxed()
}
