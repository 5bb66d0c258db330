//! Where subtasks run and what they are deployed with, as the JobManager decides it.

use flink_graph::job_graph::{consumers_of, producers_of};
use flink_graph::{
    DistributionPattern, ExecutionAttemptId, JobEdge, JobGraph, JobVertex, PartitionId, ResultPartitionType,
    ShipStrategy, TaskManagerId,
};
use flink_protocol::task_manager::{
    InputChannelDescriptor, InputGateDescriptor, ResultPartitionDescriptor, TaskDeploymentDescriptor,
};

use crate::random::Random;

/// A subtask with its place.
pub(crate) struct Placement {
    pub(crate) vertex: usize,
    pub(crate) subtask: u32,
    pub(crate) worker: usize,
    /// Indices of the subtasks that it reads from.
    pub(crate) producers: Vec<usize>,
    /// Of those, the ones that must have finished before it is deployed.
    pub(crate) awaited: Vec<usize>,
}

/// All subtasks of a job, producers first.
pub(crate) struct Deployment {
    pub(crate) graph: JobGraph,
    pub(crate) subtasks: Vec<Placement>,
    /// Index of the first subtask of each vertex.
    first: Vec<usize>,
}

pub(crate) fn address(worker: usize) -> String {
    format!("worker-{worker}:1")
}

impl Deployment {
    pub(crate) fn draw(graph: JobGraph, workers: usize, random: &mut Random) -> Self {
        let mut this = Self { graph, subtasks: Vec::new(), first: Vec::new() };
        for vertex in 0..this.graph.vertices.len() {
            this.first.push(this.subtasks.len());
            for subtask in 0..this.graph.vertices[vertex].parallelism {
                let (producers, awaited) = this.producers(vertex, subtask);
                let worker = random.below(workers);
                this.subtasks.push(Placement { vertex, subtask, worker, producers, awaited });
            }
        }
        this
    }

    pub(crate) fn vertex(&self, index: usize) -> &JobVertex {
        &self.graph.vertices[self.subtasks[index].vertex]
    }

    pub(crate) fn attempt(&self, index: usize) -> ExecutionAttemptId {
        let subtask = self.subtasks[index].subtask;
        ExecutionAttemptId { job: self.graph.job_id, vertex: self.vertex(index).id, subtask, attempt: 0, epoch: 1 }
    }

    pub(crate) fn name(&self, index: usize) -> String {
        let vertex = self.vertex(index);
        format!("{} ({}/{})", vertex.name, self.subtasks[index].subtask + 1, vertex.parallelism)
    }

    /// The subtask that produces a partition.
    pub(crate) fn producer_of(&self, partition: PartitionId) -> usize {
        let same = |index: &usize| self.attempt(*index) == partition.producer;
        (0..self.subtasks.len()).find(same).expect("a partition of this job")
    }

    fn producers(&self, vertex: usize, subtask: u32) -> (Vec<usize>, Vec<usize>) {
        let consumer = &self.graph.vertices[vertex];
        let (mut all, mut awaited) = (Vec::new(), Vec::new());
        for edge in &consumer.inputs {
            let (place, producer) = self.producer_vertex(edge);
            let share = producers_of(edge.ship_strategy.pattern(), producer.parallelism, consumer.parallelism, subtask);
            let share = share.into_iter().map(|index| self.first[place] + index as usize);
            all.extend(share.clone());
            if producer.outputs[edge.source.index as usize].result_type == ResultPartitionType::Blocking {
                awaited.extend(share);
            }
        }
        (all, awaited)
    }

    fn producer_vertex(&self, edge: &JobEdge) -> (usize, &JobVertex) {
        let mut vertices = self.graph.vertices.iter().enumerate();
        vertices.find(|(_, vertex)| vertex.id == edge.source.producer).expect("a producer in front of its consumer")
    }

    pub(crate) fn descriptor(&self, index: usize) -> TaskDeploymentDescriptor {
        let vertex = self.vertex(index);
        TaskDeploymentDescriptor {
            attempt: self.attempt(index),
            slot: 0,
            inputs: vertex.inputs.iter().map(|edge| self.gate(index, edge)).collect(),
            outputs: (0..vertex.outputs.len()).map(|output| self.output(index, output)).collect(),
        }
    }

    fn gate(&self, index: usize, edge: &JobEdge) -> InputGateDescriptor {
        let (place, producer) = self.producer_vertex(edge);
        let (consumers, subtask) = (self.vertex(index).parallelism, self.subtasks[index].subtask);
        let pattern = edge.ship_strategy.pattern();
        let channel = |number: u32| {
            let producer_index = self.first[place] + number as usize;
            let subpartition = match pattern {
                DistributionPattern::AllToAll => subtask,
                DistributionPattern::Pointwise => {
                    let share = consumers_of(pattern, producer.parallelism, consumers, number);
                    share.iter().position(|other| *other == subtask).expect("a producer's consumer") as u32
                }
            };
            let worker = self.subtasks[producer_index].worker;
            InputChannelDescriptor {
                partition: PartitionId { output: edge.source.index, producer: self.attempt(producer_index) },
                subpartition,
                task_manager: TaskManagerId(format!("tm-{worker}")),
                data_address: address(worker),
            }
        };
        let channels = producers_of(pattern, producer.parallelism, consumers, subtask).into_iter().map(channel);
        InputGateDescriptor { channels: channels.collect() }
    }

    fn output(&self, index: usize, output: usize) -> ResultPartitionDescriptor {
        let (vertex, subtask) = (self.vertex(index), self.subtasks[index].subtask);
        let data_set = &vertex.outputs[output];
        let consumer = self.graph.consumers(data_set.id).next();
        let (strategy, parallelism, key_groups) = consumer.map_or((ShipStrategy::Forward, 0, 0), |(vertex, input)| {
            (vertex.inputs[input].ship_strategy, vertex.parallelism, vertex.max_parallelism)
        });
        let share = consumers_of(strategy.pattern(), vertex.parallelism, parallelism, subtask);
        ResultPartitionDescriptor {
            partition: PartitionId { output: data_set.id.index, producer: self.attempt(index) },
            result_type: data_set.result_type,
            ship_strategy: strategy,
            subpartitions: share.len() as u32,
            key_groups,
            consumer_parallelism: parallelism,
        }
    }
}
