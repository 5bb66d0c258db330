use flink_graph::{DistributionPattern, PartitionId, ShipStrategy, TaskManagerId};
use flink_protocol::task_manager::{
    InputChannelDescriptor, InputGateDescriptor, ResultPartitionDescriptor, TaskDeploymentDescriptor,
};

use super::ExecutionGraph;

impl ExecutionGraph {
    /// What a subtask is deployed with; `None` as long as a slot, or the address of a producer's worker, is missing.
    pub fn descriptor<'a>(
        &self,
        subtask: usize,
        address: impl Fn(&TaskManagerId) -> Option<&'a str>,
    ) -> Option<TaskDeploymentDescriptor> {
        let execution = &self.subtasks[subtask].current;
        let vertex = self.vertex_of(subtask);
        let gate = |result: &usize| self.gate(subtask, *result, &address);
        Some(TaskDeploymentDescriptor {
            attempt: execution.id,
            slot: execution.location.as_ref()?.index,
            inputs: vertex.inputs.iter().map(gate).collect::<Option<_>>()?,
            outputs: vertex.outputs.iter().map(|result| self.output(subtask, *result)).collect(),
        })
    }

    fn gate<'a>(
        &self,
        subtask: usize,
        result: usize,
        address: &impl Fn(&TaskManagerId) -> Option<&'a str>,
    ) -> Option<InputGateDescriptor> {
        let channel = |producer: usize| {
            let execution = &self.subtasks[producer].current;
            let task_manager = &execution.location.as_ref()?.task_manager;
            Some(InputChannelDescriptor {
                partition: PartitionId { output: self.results[result].id.index, producer: execution.id },
                subpartition: self.subpartition(producer, subtask, result)?,
                task_manager: task_manager.clone(),
                data_address: address(task_manager)?.to_owned(),
            })
        };
        let channels = self.producers(subtask, result).into_iter().map(channel).collect::<Option<_>>()?;
        Some(InputGateDescriptor { channels })
    }

    /// The position of a consumer among those of a producer.
    fn subpartition(&self, producer: usize, consumer: usize, result: usize) -> Option<u32> {
        if self.results[result].pattern() == DistributionPattern::AllToAll {
            return Some(self.subtasks[consumer].subtask);
        }
        let place = self.consumers(producer, result).into_iter().position(|other| other == consumer)?;
        u32::try_from(place).ok()
    }

    fn output(&self, subtask: usize, result: usize) -> ResultPartitionDescriptor {
        let data_set = &self.results[result];
        let consumer = data_set.consumer.map(|(consumer, strategy)| (&self.vertices[consumer].vertex, strategy));
        let subpartitions = match data_set.pattern() {
            DistributionPattern::AllToAll => consumer.map_or(0, |(vertex, _)| vertex.parallelism),
            DistributionPattern::Pointwise => self.consumers(subtask, result).len() as u32,
        };
        ResultPartitionDescriptor {
            partition: PartitionId { output: data_set.id.index, producer: self.subtasks[subtask].current.id },
            result_type: data_set.result_type,
            ship_strategy: consumer.map_or(ShipStrategy::Forward, |(_, strategy)| strategy),
            subpartitions,
            key_groups: consumer.map_or(0, |(vertex, _)| vertex.max_parallelism),
            consumer_parallelism: consumer.map_or(0, |(vertex, _)| vertex.parallelism),
        }
    }
}
