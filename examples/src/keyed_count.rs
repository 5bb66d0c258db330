use flink::accumulators::Histogram;
use flink::prelude::*;

/// An event: its key, how many of the key there were with it, and when it was due.
#[derive(Debug, Clone, Copy, Data)]
pub struct Event {
    /// The key.
    pub key: u64,
    /// Number of events of the key so far.
    pub count: u64,
    /// When it was due, nanoseconds since 1970; 0 without a rate.
    pub due_nanos: u64,
}

/// Spreads numbers over keys (the finaliser of splitmix64), as the programs that it is compared with do.
#[must_use]
pub fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The key of an event: any of `keys`, evenly, by a multiplication where a remainder would cost as much as counting does
/// (Lemire, "Fast Random Integer Generation in an Interval", 2019).
#[must_use]
#[allow(clippy::cast_possible_truncation)] // below `keys`
pub fn key_of(number: u64, keys: u64) -> u64 {
    ((u128::from(mix(number)) * u128::from(keys)) >> 64) as u64
}

/// Name of the accumulator with the latencies, microseconds.
pub const LATENCIES: &str = "latency-us";

/// Time from the first event in which latencies are not counted, nanoseconds.
const WARM_UP_NANOS: u64 = 2_000_000_000;

/// Measures how long after it was due each counted event comes out.
#[derive(Clone, Default)]
pub struct MeasureLatency {
    histogram: Option<Histogram>,
    first: u64,
    gathered: std::collections::BTreeMap<i64, u64>,
}

impl ProcessFunction<Event> for MeasureLatency {
    type Out = Event;

    fn open(&mut self, context: &RuntimeContext) -> Result<(), BoxError> {
        self.histogram = Some(context.histogram(LATENCIES)?);
        Ok(())
    }

    fn process(
        &mut self,
        event: Event,
        context: &mut ProcessContext<'_>,
        output: &mut impl Output<Event>,
    ) -> Result<(), BoxError> {
        let now = u64::try_from(context.runtime_context().current_processing_time().as_nanos())?;
        if self.first == 0 {
            self.first = event.due_nanos;
        }
        if now.saturating_sub(self.first) > WARM_UP_NANOS {
            let micros = now.saturating_sub(event.due_nanos) / 1000;
            *self.gathered.entry(i64::try_from(micros)?).or_default() += 1;
        }
        output.collect(event);
        Ok(())
    }

    fn finish(&mut self, _: &mut ProcessContext<'_>, _: &mut impl Output<Event>) -> Result<(), BoxError> {
        if let Some(histogram) = &self.histogram {
            self.gathered.iter().for_each(|(micros, times)| histogram.add_many(*micros, *times));
        }
        Ok(())
    }
}

/// Counts `events` events of `keys` keys: as fast as possible, or at `rate` events a second in all, measuring latencies.
pub fn build(env: &StreamExecutionEnvironment, keys: u64, events: u64, rate: Option<f64>) {
    match rate {
        None => count_fast(env, keys, events),
        Some(rate) => count_paced(env, keys, events, rate),
    }
}

/// The running count of each key, `(key, count)`.
pub fn counts(
    env: &StreamExecutionEnvironment,
    keys: u64,
    events: u64,
) -> DataStream<(u64, u64), impl Chain<Out = (u64, u64)>> {
    let source = GeneratorSource::new(move |tick: Tick| key_of(tick.index, keys), Some(events));
    env.from_source(source, "Events").key_by(|key| *key).count()
}

fn count_fast(env: &StreamExecutionEnvironment, keys: u64, events: u64) {
    counts(env, keys, events).discard();
}

/// The same at a rate: each event with the count that it has made.
pub fn paced_counts(
    env: &StreamExecutionEnvironment,
    keys: u64,
    events: u64,
    rate: f64,
) -> DataStream<Event, impl Chain<Out = Event>> {
    let make = move |tick: Tick| Event { key: key_of(tick.index, keys), count: 1, due_nanos: tick.due_nanos };
    let source = GeneratorSource::new(make, Some(events)).rate_per_second(rate);
    env.from_source(source, "Events").key_by(|event| event.key).reduce(|kept, event| {
        kept.count += event.count;
        kept.due_nanos = event.due_nanos;
    })
}

fn count_paced(env: &StreamExecutionEnvironment, keys: u64, events: u64, rate: f64) {
    let counted = paced_counts(env, keys, events, rate);
    counted.process(MeasureLatency::default()).name("Latency").discard();
}

/// The value below which a share of the counted values lies.
#[must_use]
pub fn percentile(counts: &std::collections::BTreeMap<i64, u64>, share: f64) -> i64 {
    let total: u64 = counts.values().sum();
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a rank
    let rank = (total as f64 * share).ceil() as u64;
    let mut seen = 0;
    for (value, times) in counts {
        seen += times;
        if seen >= rank {
            return *value;
        }
    }
    0
}
