use std::collections::{BTreeSet, VecDeque};

use super::execution_graph::ExecutionGraph;
use super::regions::Regions;

/// The regions that restart when those of `failed` subtasks do, as Flink's RestartPipelinedRegionFailoverStrategy:
///
/// - a region whose input is gone takes the region that produces that input with it;
/// - whoever reads what a restarted region produces restarts too, even when it had finished: what is produced the
///   second time may differ in order and place from what was read the first time.
#[must_use]
pub fn regions_to_restart(
    graph: &ExecutionGraph,
    regions: &Regions,
    failed: impl IntoIterator<Item = usize>,
) -> BTreeSet<usize> {
    let mut found: BTreeSet<usize> = failed.into_iter().map(|subtask| regions.of(subtask)).collect();
    let mut queue: VecDeque<usize> = found.iter().copied().collect();
    // All subtasks of a wide shuffle ask for the same neighbours; each data set is gone through once for all of them.
    let mut shuffled = BTreeSet::new();
    while let Some(region) = queue.pop_front() {
        for subtask in regions.members(region) {
            let around = lost_producers(graph, *subtask).into_iter().chain(consumers(graph, *subtask, &mut shuffled));
            for neighbour in around.collect::<Vec<_>>() {
                if found.insert(regions.of(neighbour)) {
                    queue.push_back(regions.of(neighbour));
                }
            }
        }
    }
    found
}

fn lost_producers(graph: &ExecutionGraph, subtask: usize) -> Vec<usize> {
    let inputs = graph.vertex_of(subtask).inputs.iter().copied();
    inputs
        .filter(|result| graph.results[*result].is_blocking())
        .filter(|result| graph.results[*result].partitions.iter().any(|partition| partition.is_gone()))
        .flat_map(|result| graph.producers(subtask, result).into_iter().map(move |producer| (producer, result)))
        .filter(|(producer, result)| graph.partition(*producer, *result).is_gone())
        .map(|(producer, _)| producer)
        .collect()
}

fn consumers(graph: &ExecutionGraph, subtask: usize, shuffled: &mut BTreeSet<usize>) -> Vec<usize> {
    let outputs = graph.vertex_of(subtask).outputs.iter().copied();
    outputs
        .filter(|result| graph.results[*result].is_blocking())
        .filter(|result| match graph.results[*result].consumer {
            Some((_, strategy)) if strategy.pattern() == flink_graph::DistributionPattern::AllToAll => {
                shuffled.insert(*result)
            }
            consumer => consumer.is_some(),
        })
        .flat_map(|result| graph.consumers(subtask, result))
        .collect()
}
