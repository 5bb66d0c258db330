use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flink_api::functions::Collector;
use flink_api::source::{
    Boundedness, EnumeratorContext, ReaderContext, ReaderStatus, Source, SourceReader, SourceSplit,
};
use flink_api::{BoxError, DataStream, Output, OutputTag, ProcessContext, ProcessFunction, TaskWaker};

use crate::cluster::Cluster;
use crate::for_seeds;
use crate::random::Random;

/// What has come out at the end of a pipeline.
#[derive(Clone, Default)]
pub(crate) struct Arrivals {
    seen: Arc<AtomicU64>,
    source: Arc<Mutex<Option<TaskWaker>>>,
}

impl Arrivals {
    /// Counts a record that has come out, and lets the source know.
    pub(crate) fn note(&self, record: u64) -> u64 {
        self.seen.fetch_add(1, Ordering::AcqRel);
        if let Some(waker) = &*self.source.lock().unwrap() {
            waker.wake();
        }
        record
    }
}

/// Emits a few records at a time and no more before all of them have come out at the end: whatever is held back on the
/// way, waiting for more, is waited for for ever.
#[derive(Clone)]
pub(crate) struct Cautious {
    /// Numbers of records, the last one first.
    pub(crate) batches: Vec<u64>,
    /// Records that one makes.
    pub(crate) copies: u64,
    pub(crate) arrivals: Arrivals,
}

impl Source for Cautious {
    type Record = u64;
    type Split = u64;
    type Reader = CautiousReader;

    fn boundedness(&self) -> Boundedness {
        Boundedness::Unbounded
    }

    fn enumerate_splits(&self, _: &EnumeratorContext) -> Result<Vec<SourceSplit<u64>>, BoxError> {
        Ok(vec![SourceSplit { split: 0, description: String::new(), hosts: Vec::new(), length: 0 }])
    }

    fn create_reader(&self, context: ReaderContext) -> Result<CautiousReader, BoxError> {
        let mut batches = self.batches.clone();
        let left = batches.pop().unwrap_or(0);
        Ok(CautiousReader {
            batches,
            left,
            emitted: 0,
            copies: self.copies,
            waker: context.waker,
            arrivals: self.arrivals.clone(),
        })
    }
}

pub(crate) struct CautiousReader {
    batches: Vec<u64>,
    left: u64,
    emitted: u64,
    copies: u64,
    waker: TaskWaker,
    arrivals: Arrivals,
}

impl SourceReader for CautiousReader {
    type Record = u64;
    type Split = u64;

    // There is one split, and so one subtask that reads.
    fn start_split(&mut self, _: u64) -> Result<(), BoxError> {
        self.arrivals.source.lock().unwrap().replace(self.waker.clone());
        Ok(())
    }

    fn poll(&mut self, _: Duration, output: &mut impl Output<u64>) -> Result<ReaderStatus, BoxError> {
        while self.left > 0 {
            self.left -= 1;
            self.emitted += 1;
            output.collect(self.emitted);
            if output.is_full() {
                return Ok(ReaderStatus::More);
            }
        }
        if self.arrivals.seen.load(Ordering::Acquire) < self.emitted * self.copies {
            return Ok(ReaderStatus::Pending);
        }
        match self.batches.pop() {
            None => Ok(ReaderStatus::SplitFinished),
            Some(size) => {
                self.left = size;
                Ok(ReaderStatus::More)
            }
        }
    }
}

fn check(copies: u64, build: impl Fn(DataStream<u64>, &mut Random) -> DataStream<u64>) {
    for_seeds(300, |seed| {
        let (cluster, mut random) = (Cluster::new(seed), Random::new(seed ^ 0x11fe));
        cluster.expand(64 * copies);
        let env = cluster.environment();
        let batches: Vec<u64> = (0..6).map(|_| random.magnitude(7)).collect();
        let (total, arrivals) = (batches.iter().sum::<u64>(), Arrivals::default());
        let seen = arrivals.seen.clone();
        let source = Cautious { batches, copies, arrivals: arrivals.clone() };
        let stream = env.from_source(source, "Cautious").boxed();
        build(stream, &mut random).map(move |n| arrivals.note(n)).discard();
        env.execute("live").unwrap();
        assert_eq!(seen.load(Ordering::Acquire), total * copies);
    });
}

fn wide(random: &mut Random) -> u32 {
    random.between(1, 4) as u32
}

#[test]
fn nothing_waits_on_a_straight_way() {
    check(1, |stream, random| {
        let stream = stream.rebalance().map(|n| n).set_parallelism(wide(random));
        stream.shuffle().filter(|_| true).set_parallelism(wide(random))
    });
}

#[test]
fn nothing_waits_behind_a_keyed_shuffle() {
    check(1, |stream, random| {
        stream.key_by(|n| n % 5).reduce(|kept, n| *kept = n).set_parallelism(wide(random)).rebalance()
    });
}

#[test]
fn nothing_waits_where_one_record_becomes_many() {
    check(30, |stream, random| {
        let many = stream.rebalance().flat_map(|n, out: &mut Collector<u64>| out.extend(n * 100..n * 100 + 30));
        many.set_parallelism(wide(random)).shuffle().map(|n| n).set_parallelism(wide(random))
    });
}

#[test]
fn nothing_waits_where_one_stream_feeds_many() {
    check(5, |stream, random| {
        let chained = stream.clone().map(|n| n).boxed();
        let below = chained.clone().map(|n| n + 1).boxed().rebalance().map(|n| n).set_parallelism(wide(random));
        let keyed = stream.clone().map(|n| n).key_by(|n| *n).reduce(|_, _| {}).boxed();
        let far = stream.clone().shuffle().map(|n| n).set_parallelism(wide(random));
        stream.union(chained).union(below).union(keyed).union(far).map(|n| n).boxed()
    });
}

#[test]
fn nothing_waits_in_a_broadcast() {
    check(3, |stream, _| stream.broadcast().map(|n| n).set_parallelism(3).rescale());
}

/// Every record goes on and, twice, to the side.
#[derive(Clone)]
struct Both(OutputTag<u64>);

impl ProcessFunction<u64> for Both {
    type Out = u64;

    fn process(
        &mut self,
        n: u64,
        context: &mut ProcessContext<'_>,
        output: &mut impl Output<u64>,
    ) -> Result<(), BoxError> {
        context.output(&self.0, n);
        output.collect(n);
        context.output(&self.0, n);
        Ok(())
    }
}

#[test]
fn nothing_waits_in_a_side_output() {
    check(4, |stream, random| {
        let tag = OutputTag::new("side");
        let main = stream.process(Both(tag.clone())).boxed();
        let chained = main.side_output(&tag).map(|n| n).boxed();
        let connected = chained.connect(main.clone().shuffle()).map(|n| n, |n| n).set_parallelism(wide(random));
        main.union(connected).map(|n| n).boxed()
    });
}
