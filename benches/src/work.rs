use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use flink_api::sink::{Sink, SinkContext, SinkWriter};
use flink_api::sources::Tick;
use flink_api::{BoxError, RuntimeMode};
use flink_examples::keyed_count::mix;
use flink_examples::wordcount::{WordCount, count_words};
use flink_graph::{ExecutionAttemptId, JobId, JobVertexId, PartitionId};
use flink_taskmanager::chunk::{Chunk, Element};
use flink_taskmanager::data::Data;
use flink_taskmanager::input::{CreditReturn, GateRead, InputGate};
use flink_taskmanager::network::{RemoteChannel, SubpartitionView};
use flink_taskmanager::operator::TaskWaker;
use flink_taskmanager::subpartition::Subpartition;

use crate::single_thread::environment;
use crate::text::{Text, WORDS_PER_LINE};

/// A kind of work of which any amount can be done.
pub struct Work {
    /// Its name.
    pub name: &'static str,
    /// What one of it is.
    pub unit: &'static str,
    /// How much of it shows the cost of one.
    pub units: u64,
    /// Does so much of it and gives a number that depends on all of it.
    pub run: fn(u64) -> Result<u64, BoxError>,
}

/// Everything whose instructions are counted.
pub const ALL: &[Work] = &[
    Work { name: "chain-of-10-maps", unit: "record", units: 1 << 20, run: chain },
    Work { name: "exchange-in-a-worker", unit: "chunk", units: 50_000, run: local_exchange },
    Work { name: "exchange-over-the-wire", unit: "chunk of 1,000 (u64, u64)", units: 500, run: remote_exchange },
    Work { name: "keyed-reduce", unit: "record", units: 1 << 19, run: keyed_reduce },
    Work { name: "wordcount", unit: "word", units: 1 << 19, run: wordcount },
];

/// Ten maps that the compiler can neither merge nor leave out.
fn chain(records: u64) -> Result<u64, BoxError> {
    let (env, sum) = (environment(), Sum::default());
    env.from_sequence(1, records)
        .map(|n| n ^ (n >> 7))
        .map(|n| n.wrapping_mul(0x9e37_79b9))
        .map(|n| n ^ (n >> 11))
        .map(|n| n.wrapping_add(n << 3))
        .map(|n| n ^ (n >> 13))
        .map(|n| n.wrapping_mul(0x85eb_ca6b))
        .map(|n| n ^ (n >> 17))
        .map(|n| n.wrapping_add(n << 5))
        .map(|n| n ^ (n >> 19))
        .map(|n| n.rotate_left(23))
        .sink_to(sum.clone());
    env.execute("chain")?;
    Ok(sum.total())
}

/// Running counts of 1,000 keys, with two subtasks on each side of the shuffle.
fn keyed_reduce(records: u64) -> Result<u64, BoxError> {
    let (env, sum) = (environment(), Sum::default());
    env.set_parallelism(2).set_runtime_mode(RuntimeMode::Streaming);
    env.from_generator(Some(records), |tick: Tick| (mix(tick.index) % 1000, 1u64))
        .key_by(|(key, _)| *key)
        .reduce(|kept, record| kept.1 += record.1)
        .map(|(key, count)| key.wrapping_add(count))
        .sink_to(sum.clone());
    env.execute("keyed reduce")?;
    Ok(sum.total())
}

/// The example, over lines that are in memory already.
fn wordcount(words: u64) -> Result<u64, BoxError> {
    const LINES: usize = 1000;
    let (env, sum) = (environment(), Sum::default());
    env.set_parallelism(2).set_runtime_mode(RuntimeMode::Batch);
    let mut text = Text::new(10_000, 42);
    let mut line = || {
        let mut line = String::new();
        text.append_line(&mut line);
        line
    };
    let lines: Arc<Vec<String>> = Arc::new((0..LINES).map(|_| line()).collect());
    let count = words / WORDS_PER_LINE as u64;
    #[allow(clippy::cast_possible_truncation)] // a remainder of `LINES`
    let lines = env.from_generator(Some(count), move |tick: Tick| lines[(tick.index % LINES as u64) as usize].clone());
    count_words(lines).map(|counted: WordCount| counted.count).sink_to(sum.clone());
    env.execute("wordcount")?;
    Ok(sum.total())
}

/// Chunks that are handed over with what is in them.
fn local_exchange(chunks: u64) -> Result<u64, BoxError> {
    let (queue, mut gate) = ends();
    gate.connect_local(0, queue.clone());
    let (mut chunk, mut sum) = (Chunk::default(), 0);
    for number in 0..chunks {
        chunk.records.push((number, number));
        (chunk, _) = queue.push(Element::Chunk(chunk));
        sum += receive(&mut gate)?;
    }
    Ok(sum)
}

/// Chunks that are filled, encoded as for the network, and decoded by the consumer.
fn remote_exchange(chunks: u64) -> Result<u64, BoxError> {
    const RECORDS: u64 = 1000;
    let (queue, mut gate) = ends();
    let inbox = gate.remote_inbox(0);
    gate.connect_remote(0, inbox.clone(), Box::new(Unlimited));
    let (mut chunk, mut sum) = (Chunk::default(), 0);
    for number in 0..chunks {
        chunk.records.extend((0..RECORDS).map(|record| (number, record)));
        (chunk, _) = queue.push(Element::Chunk(chunk));
        let mut encoded = Vec::new();
        queue.read_next(&mut encoded);
        inbox.on_element(Bytes::from(encoded));
        sum += receive(&mut gate)?;
    }
    Ok(sum)
}

type Pair = (u64, u64);

/// A queue and the gate of its consumer.
fn ends() -> (Arc<Subpartition<Pair>>, InputGate<Pair>) {
    let waker = || TaskWaker::new(|| {});
    let producer = ExecutionAttemptId {
        job: JobId::from_u128(1),
        vertex: JobVertexId::from_u128(1),
        subtask: 0,
        attempt: 0,
        epoch: 1,
    };
    let gate = InputGate::new(vec![PartitionId { producer, output: 0 }], waker(), Arc::default(), Arc::default());
    (Arc::new(Subpartition::new(4, waker())), gate)
}

fn receive(gate: &mut InputGate<Pair>) -> Result<u64, BoxError> {
    match gate.poll().map_err(|failure| failure.message)? {
        GateRead::Chunk { channel, chunk } => {
            let last = chunk.records.last().map_or(0, |record| record.1);
            gate.give_back(channel, chunk);
            Ok(last)
        }
        GateRead::Empty | GateRead::End => Err("the chunk has not come".into()),
    }
}

struct Unlimited;

impl CreditReturn for Unlimited {
    fn add_credit(&self, _: u32) {}
}

/// A sink that adds up: nothing in front of it can be left out.
#[derive(Clone, Default)]
struct Sum(Arc<AtomicU64>);

struct SumWriter {
    sum: u64,
    total: Arc<AtomicU64>,
}

impl Sum {
    fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Sink<u64> for Sum {
    type Writer = SumWriter;

    fn create_writer(&self, _: &SinkContext) -> Result<SumWriter, BoxError> {
        Ok(SumWriter { sum: 0, total: self.0.clone() })
    }
}

impl SinkWriter<u64> for SumWriter {
    fn write(&mut self, record: u64) -> Result<(), BoxError> {
        self.sum = self.sum.wrapping_add(record);
        Ok(())
    }

    fn finish(&mut self) -> Result<Vec<u8>, BoxError> {
        self.total.fetch_add(self.sum, Ordering::Relaxed);
        let mut encoded = Vec::new();
        self.sum.encode(&mut encoded);
        Ok(encoded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_work_is_done() {
        let each = |number: u64| {
            let n = number ^ (number >> 7);
            let n = n.wrapping_mul(0x9e37_79b9);
            let n = n ^ (n >> 11);
            let n = n.wrapping_add(n << 3);
            let n = n ^ (n >> 13);
            let n = n.wrapping_mul(0x85eb_ca6b);
            let n = n ^ (n >> 17);
            let n = n.wrapping_add(n << 5);
            (n ^ (n >> 19)).rotate_left(23)
        };
        assert_eq!(chain(5000).unwrap(), (1..=5000).map(each).fold(0, u64::wrapping_add));
        assert_eq!(local_exchange(100).unwrap(), (0..100u64).sum::<u64>());
        assert_eq!(remote_exchange(7).unwrap(), 7 * 999);
        assert_eq!(wordcount(5000).unwrap(), 5000);
        let mut counts = [0; 1000];
        let running = (0..5000).map(|index| {
            let key = mix(index) % 1000;
            counts[key as usize] += 1;
            key + counts[key as usize]
        });
        assert_eq!(keyed_reduce(5000).unwrap(), running.sum::<u64>());
    }
}
