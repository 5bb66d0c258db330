use flink::prelude::*;

/// Sums the numbers 1 to `last` by their last digit: a source and a map with parallelism 4, a reduce with parallelism 3.
/// On two TaskManagers of three slots it takes four slots, two on each, and every slot holds one subtask of each vertex
/// that has one left.
pub fn sums(env: &StreamExecutionEnvironment, last: u64) -> DataStream<(u64, u64)> {
    env.set_runtime_mode(RuntimeMode::Batch);
    env.from_sequence(1, last)
        .set_parallelism(4)
        .rebalance()
        .map(|number| (number % 10, number))
        .name("Digit")
        .set_parallelism(4)
        .key_by(|(digit, _)| *digit)
        .sum(|(_, sum)| sum)
        .name("Reduce")
        .set_parallelism(3)
}
