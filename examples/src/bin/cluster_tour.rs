//! The worked example of slot sharing: look at it with `flink-yarn info cluster_tour`.

use clap::Parser;
use flink::prelude::*;
use flink_examples::cluster_tour;

/// Sums numbers by their last digit, on four slots.
#[derive(Parser)]
struct Arguments {
    /// The last number
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    last: u64,
}

fn main() -> Result<(), BoxError> {
    let Arguments { last } = Arguments::parse();
    let env = StreamExecutionEnvironment::get_execution_environment()?;
    let mut sums = cluster_tour::sums(&env, last).execute_and_collect("ClusterTour")?;
    sums.sort_unstable();
    for (digit, sum) in sums {
        println!("{digit} {sum}");
    }
    Ok(())
}
