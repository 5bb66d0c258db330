//! Counts events by key: how fast, or at a given rate, how late.

use clap::Parser;
use flink::prelude::*;
use flink_examples::keyed_count::{self, LATENCIES, percentile};

/// Keeps a running count for each key and prints events a second; with a rate, percentiles of the latency, too.
#[derive(Parser)]
struct Arguments {
    /// Number of different keys
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    keys: u64,
    /// Number of events
    #[arg(long, value_name = "N", default_value_t = 20_000_000)]
    events: u64,
    /// Events a second in all; as fast as possible without it
    #[arg(long, value_name = "R", value_parser = rate)]
    rate: Option<f64>,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| *rate > 0.0 && rate.is_finite());
    rate.ok_or_else(|| format!("`{text}` is not a number above 0"))
}

fn main() -> Result<(), BoxError> {
    let Arguments { keys, events, rate } = Arguments::parse();
    let env = StreamExecutionEnvironment::get_execution_environment()?;
    keyed_count::build(&env, keys, events, rate);
    let result = env.execute("KeyedCount")?;
    #[allow(clippy::cast_precision_loss)] // for display
    let per_second = events as f64 * 1000.0 / result.net_runtime_ms.max(1) as f64;
    println!("{events} events of {keys} keys in {} ms: {per_second:.0} events a second", result.net_runtime_ms);
    if rate.is_none() {
        return Ok(());
    }
    let counts = result.histogram(LATENCIES)?;
    if counts.is_empty() {
        println!("no latency: it is measured from the third second on");
    } else {
        let [p50, p90, p99, p999] = [0.5, 0.9, 0.99, 0.999].map(|share| percentile(counts, share));
        let max = counts.keys().next_back().copied().unwrap_or_default();
        println!("latency in µs: p50 {p50}, p90 {p90}, p99 {p99}, p99.9 {p999}, max {max}");
    }
    Ok(())
}
