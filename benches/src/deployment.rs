use flink_graph::job_graph::{consumers_of, producers_of};
use flink_graph::{
    DistributionPattern, ExecutionAttemptId, JobEdge, JobGraph, JobVertex, JobVertexId, PartitionId, ShipStrategy,
    TaskManagerId,
};
use flink_protocol::task_manager::{
    InputChannelDescriptor, InputGateDescriptor, ResultPartitionDescriptor, TaskDeploymentDescriptor,
};
use flink_taskmanager::operator::BoxError;

/// What the JobManager would say to a subtask if all of them were in one worker.
pub(crate) fn descriptor(
    graph: &JobGraph,
    vertex: &JobVertex,
    subtask: u32,
) -> Result<TaskDeploymentDescriptor, BoxError> {
    let inputs = vertex.inputs.iter().map(|edge| gate(graph, vertex, subtask, edge)).collect::<Result<_, _>>()?;
    let outputs = (0..vertex.outputs.len()).map(|output| partition(graph, vertex, subtask, output)).collect();
    Ok(TaskDeploymentDescriptor { attempt: attempt(graph, vertex.id, subtask), slot: 0, inputs, outputs })
}

fn attempt(graph: &JobGraph, vertex: JobVertexId, subtask: u32) -> ExecutionAttemptId {
    ExecutionAttemptId { job: graph.job_id, vertex, subtask, attempt: 0, epoch: 1 }
}

fn gate(graph: &JobGraph, vertex: &JobVertex, subtask: u32, edge: &JobEdge) -> Result<InputGateDescriptor, BoxError> {
    let producer = graph.vertex(edge.source.producer).ok_or("an edge without its producer")?;
    let pattern = edge.ship_strategy.pattern();
    let channel = |number| {
        let share = consumers_of(pattern, producer.parallelism, vertex.parallelism, number);
        let subpartition = match pattern {
            DistributionPattern::AllToAll => subtask,
            DistributionPattern::Pointwise => {
                u32::try_from(share.iter().position(|consumer| *consumer == subtask).unwrap_or_default())?
            }
        };
        let partition = PartitionId { output: edge.source.index, producer: attempt(graph, producer.id, number) };
        let task_manager = TaskManagerId("this".to_owned());
        Ok(InputChannelDescriptor { partition, subpartition, task_manager, data_address: String::new() })
    };
    let producers = producers_of(pattern, producer.parallelism, vertex.parallelism, subtask);
    Ok(InputGateDescriptor { channels: producers.into_iter().map(channel).collect::<Result<_, BoxError>>()? })
}

#[allow(clippy::cast_possible_truncation)] // not more than the consumers' parallelism
fn partition(graph: &JobGraph, vertex: &JobVertex, subtask: u32, output: usize) -> ResultPartitionDescriptor {
    let data_set = &vertex.outputs[output];
    let consumer = graph.consumers(data_set.id).next();
    let (strategy, consumers, key_groups) = consumer.map_or((ShipStrategy::Forward, 0, 0), |(consumer, input)| {
        (consumer.inputs[input].ship_strategy, consumer.parallelism, consumer.max_parallelism)
    });
    ResultPartitionDescriptor {
        partition: PartitionId { output: data_set.id.index, producer: attempt(graph, vertex.id, subtask) },
        result_type: data_set.result_type,
        ship_strategy: strategy,
        subpartitions: consumers_of(strategy.pattern(), vertex.parallelism, consumers, subtask).len() as u32,
        key_groups,
        consumer_parallelism: consumers,
    }
}
