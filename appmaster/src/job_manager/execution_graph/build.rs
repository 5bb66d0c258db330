use flink_graph::{ExecutionAttemptId, IntermediateDataSetId, JobGraph, JobVertex};
use flink_protocol::{Epoch, TimestampMillis};

use super::{ExecutionGraph, ExecutionJobVertex, ExecutionVertex, IntermediateResult, PartitionState};
use crate::job_manager::execution_graph::Execution;
use crate::job_manager::splits::InputSplitAssigner;

/// More subtasks than one JobManager can hold are refused before memory is taken for them.
const MAX_SUBTASKS: u64 = 1 << 20;

impl ExecutionGraph {
    /// Lays a JobGraph out in parallel and takes its input splits out of it.
    ///
    /// # Errors
    /// The graph cannot be run, in the user's words.
    pub fn build(graph: &mut JobGraph, epoch: Epoch, at: TimestampMillis) -> Result<Self, String> {
        check(graph)?;
        let mut built = Self {
            job: graph.job_id,
            epoch,
            vertices: Vec::new(),
            subtasks: Vec::new(),
            results: Vec::new(),
            by_id: graph.vertices.iter().enumerate().map(|(index, vertex)| (vertex.id, index)).collect(),
        };
        graph.vertices.iter_mut().for_each(|vertex| built.add_vertex(vertex, at));
        Ok(built)
    }

    fn add_vertex(&mut self, vertex: &mut JobVertex, at: TimestampMillis) {
        let (index, first) = (self.vertices.len(), self.subtasks.len());
        let splits = vertex.input_splits.as_mut().map(std::mem::take).map(InputSplitAssigner::new);
        let inputs = self.connect_inputs(index, vertex);
        let outputs = self.add_results(index, vertex);
        for subtask in 0..vertex.parallelism {
            let id = ExecutionAttemptId { job: self.job, vertex: vertex.id, subtask, attempt: 0, epoch: self.epoch };
            self.subtasks.push(ExecutionVertex { vertex: index, subtask, current: Execution::first(id, at) });
        }
        self.vertices.push(ExecutionJobVertex { vertex: vertex.clone(), first, inputs, outputs, splits, finished: 0 });
    }

    fn connect_inputs(&mut self, index: usize, vertex: &JobVertex) -> Vec<usize> {
        let place = |id: IntermediateDataSetId| self.results.iter().position(|result| result.id == id);
        let inputs: Vec<usize> = vertex.inputs.iter().filter_map(|edge| place(edge.source)).collect();
        for (result, edge) in inputs.iter().zip(&vertex.inputs) {
            self.results[*result].consumer = Some((index, edge.ship_strategy));
        }
        inputs
    }

    fn add_results(&mut self, index: usize, vertex: &JobVertex) -> Vec<usize> {
        let first = self.results.len();
        self.results.extend(vertex.outputs.iter().map(|output| IntermediateResult {
            id: output.id,
            result_type: output.result_type,
            producer: index,
            consumer: None,
            partitions: vec![PartitionState::Pending; vertex.parallelism as usize],
        }));
        (first..self.results.len()).collect()
    }
}

fn check(graph: &JobGraph) -> Result<(), String> {
    graph.validate().map_err(|error| error.to_string())?;
    let subtasks: u64 = graph.vertices.iter().map(|vertex| u64::from(vertex.parallelism)).sum();
    if subtasks > MAX_SUBTASKS {
        return Err(format!(
            "the job has {subtasks} subtasks; at most {MAX_SUBTASKS} are possible: lower its parallelism"
        ));
    }
    for vertex in &graph.vertices {
        for output in &vertex.outputs {
            let consumers = graph.consumers(output.id).count();
            if consumers > 1 {
                return Err(format!(
                    "data set {} of `{}` is read {consumers} times; each reader needs a data set of its own",
                    output.id, vertex.name
                ));
            }
        }
        if vertex
            .outputs
            .iter()
            .enumerate()
            .any(|(index, o)| o.id.producer != vertex.id || o.id.index as usize != index)
        {
            return Err(format!("the data sets of `{}` are not numbered in their order", vertex.name));
        }
    }
    Ok(())
}
