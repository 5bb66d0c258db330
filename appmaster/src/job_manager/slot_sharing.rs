use std::collections::BTreeMap;

use flink_graph::{DistributionPattern, SlotId};

use super::execution_graph::ExecutionGraph;

/// Which subtasks of a job share a slot: at most one subtask of each vertex of a slot sharing group in one.
///
/// The sharing is fixed when the job is submitted. Each shared slot takes a slot of a TaskManager when the first of its
/// subtasks is to be deployed, and gives it back when none of them is left.
#[derive(Debug)]
pub struct SlotSharing {
    /// Index of the shared slot of each subtask.
    of: Vec<usize>,
    slots: Vec<SharedSlot>,
}

#[derive(Debug)]
struct SharedSlot {
    subtasks: Vec<usize>,
    physical: Option<SlotId>,
}

impl SlotSharing {
    /// Shares out the slots of a graph: a subtask goes where a producer of one of its pointwise inputs is, else into the
    /// first slot of its group that has none of its vertex.
    #[must_use]
    pub fn of_graph(graph: &ExecutionGraph) -> Self {
        let mut sharing = Self { of: vec![usize::MAX; graph.subtasks.len()], slots: Vec::new() };
        let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for vertex in &graph.vertices {
            let group = groups.entry(vertex.vertex.slot_sharing_group.as_str()).or_default();
            let mut taken = vec![false; sharing.slots.len()];
            for subtask in vertex.subtasks() {
                let near = sharing.near_producer(graph, subtask).filter(|slot| group.contains(slot) && !taken[*slot]);
                if let Some(slot) = near {
                    taken[slot] = true;
                    sharing.place(subtask, slot);
                }
            }
            let mut others = group.clone().into_iter().filter(|slot| !taken[*slot]);
            for subtask in vertex.subtasks().filter(|subtask| sharing.of[*subtask] == usize::MAX).collect::<Vec<_>>() {
                let slot = others.next().unwrap_or_else(|| sharing.open(group));
                sharing.place(subtask, slot);
            }
        }
        sharing
    }

    fn near_producer(&self, graph: &ExecutionGraph, subtask: usize) -> Option<usize> {
        let pointwise = |result: &&usize| {
            let strategy = graph.results[**result].consumer.map(|(_, strategy)| strategy.pattern());
            strategy == Some(DistributionPattern::Pointwise)
        };
        let result = graph.vertex_of(subtask).inputs.iter().find(pointwise)?;
        graph.producers(subtask, *result).first().map(|producer| self.of[*producer])
    }

    fn open(&mut self, group: &mut Vec<usize>) -> usize {
        self.slots.push(SharedSlot { subtasks: Vec::new(), physical: None });
        group.push(self.slots.len() - 1);
        self.slots.len() - 1
    }

    fn place(&mut self, subtask: usize, slot: usize) {
        self.of[subtask] = slot;
        self.slots[slot].subtasks.push(subtask);
    }

    /// Index of the shared slot of a subtask.
    #[must_use]
    pub fn of(&self, subtask: usize) -> usize {
        self.of[subtask]
    }

    /// The subtasks of a shared slot.
    #[must_use]
    pub fn subtasks(&self, slot: usize) -> &[usize] {
        &self.slots[slot].subtasks
    }

    /// The slot of a TaskManager that a shared slot has now.
    #[must_use]
    pub fn physical(&self, slot: usize) -> Option<&SlotId> {
        self.slots[slot].physical.as_ref()
    }

    /// Gives a shared slot a slot of a TaskManager.
    pub fn assign(&mut self, slot: usize, physical: SlotId) {
        self.slots[slot].physical = Some(physical);
    }

    /// Takes the slot of a TaskManager from a shared slot.
    pub fn release(&mut self, slot: usize) -> Option<SlotId> {
        self.slots[slot].physical.take()
    }

    /// The slots of TaskManagers that the job has now.
    pub fn held(&self) -> impl Iterator<Item = (usize, &SlotId)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| Some((index, slot.physical.as_ref()?)))
    }

    /// The shared slots of some subtasks, each once, in order.
    #[must_use]
    pub fn of_all<'a>(&self, subtasks: impl IntoIterator<Item = &'a usize>) -> Vec<usize> {
        let mut slots: Vec<usize> = subtasks.into_iter().map(|subtask| self.of[*subtask]).collect();
        slots.sort_unstable();
        slots.dedup();
        slots
    }
}
