//! A source of the user's own: prime numbers, found split by split.

use clap::Parser;
use flink::prelude::*;
use flink_examples::custom_source;

/// Counts prime numbers by their last digit.
#[derive(Parser)]
struct Arguments {
    /// Numbers below this are looked through
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    limit: u64,
}

fn main() -> Result<(), BoxError> {
    let Arguments { limit } = Arguments::parse();
    let env = StreamExecutionEnvironment::get_execution_environment()?;
    let mut counts = custom_source::primes_by_digit(&env, limit).execute_and_collect("CustomSource")?;
    counts.sort_unstable();
    for (digit, count) in counts {
        println!("{digit} {count}");
    }
    Ok(())
}
