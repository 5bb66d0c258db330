use flink_graph::DistributionPattern;

use super::execution_graph::ExecutionGraph;

/// The pipelined regions of a job: subtasks that are connected by pipelined data sets, which run at the same time and
/// fail together. Between two regions there are only blocking data sets.
#[derive(Debug)]
pub struct Regions {
    of: Vec<usize>,
    members: Vec<Vec<usize>>,
}

impl Regions {
    /// Finds the regions of a graph; they are numbered by their first subtask.
    #[must_use]
    pub fn of_graph(graph: &ExecutionGraph) -> Self {
        let mut sets = DisjointSets { parents: (0..graph.subtasks.len()).collect() };
        for (index, result) in graph.results.iter().enumerate().filter(|(_, result)| !result.is_blocking()) {
            let Some((consumer, strategy)) = result.consumer else { continue };
            let (producer, consumer) = (&graph.vertices[result.producer], &graph.vertices[consumer]);
            match strategy.pattern() {
                DistributionPattern::AllToAll => {
                    producer.subtasks().chain(consumer.subtasks()).for_each(|other| sets.join(producer.first, other));
                }
                DistributionPattern::Pointwise => {
                    for subtask in producer.subtasks() {
                        graph.consumers(subtask, index).into_iter().for_each(|other| sets.join(subtask, other));
                    }
                }
            }
        }
        Self::number(&mut sets)
    }

    fn number(sets: &mut DisjointSets) -> Self {
        let mut regions = Self { of: Vec::new(), members: Vec::new() };
        for subtask in 0..sets.parents.len() {
            // The root of a set is its smallest member, so it has been numbered before the others are looked at.
            let root = sets.root(subtask);
            let region = if root == subtask { regions.members.len() } else { regions.of[root] };
            if root == subtask {
                regions.members.push(Vec::new());
            }
            regions.of.push(region);
            regions.members[region].push(subtask);
        }
        regions
    }

    /// Number of regions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// True for a graph without subtasks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The region of a subtask.
    #[must_use]
    pub fn of(&self, subtask: usize) -> usize {
        self.of[subtask]
    }

    /// The subtasks of a region, in the order of the graph.
    #[must_use]
    pub fn members(&self, region: usize) -> &[usize] {
        &self.members[region]
    }
}

struct DisjointSets {
    parents: Vec<usize>,
}

impl DisjointSets {
    fn root(&mut self, mut item: usize) -> usize {
        while self.parents[item] != item {
            self.parents[item] = self.parents[self.parents[item]];
            item = self.parents[item];
        }
        item
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b)] = a.min(b);
    }
}
