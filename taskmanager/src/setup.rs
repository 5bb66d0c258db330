//! What a program's operators get when a task is built: gates, writers, contexts.

use std::sync::Arc;

use flink_graph::{
    Configuration, ConfigurationError, Fingerprint, JobGraph, JobVertex, JobVertexId, ResultPartitionType, options,
};
use flink_protocol::task_manager::{InputChannelDescriptor, TaskDeploymentDescriptor};

use crate::blocking_output::BlockingOutput;
use crate::clock::Clock;
use crate::data::Data;
use crate::driver::{Driver, SplitExchange};
use crate::input::{ChannelConnector, InputGate};
use crate::operator::{BoxError, OperatorContext, TaskFlags, TaskWaker};
use crate::output::{KeyRouting, ResultWriter};
use crate::partitions::Partitions;
use crate::subpartition::Subpartition;
use crate::task::TaskCounters;

/// A program's graph with its operators, ready to be run: what `execute` hands to a worker.
pub trait JobProgram: Send + Sync {
    /// What must equal the submitted graph's fingerprint.
    fn fingerprint(&self) -> &Fingerprint;

    /// Builds the driver of one subtask.
    ///
    /// # Errors
    /// There is no such vertex, or an operator cannot be made.
    fn build_task(&self, vertex: JobVertexId, setup: &mut TaskSetup) -> Result<Box<dyn Driver>, BoxError>;
}

/// Everything that the parts of one task are made from.
pub struct TaskSetup {
    /// What the JobManager said.
    pub descriptor: TaskDeploymentDescriptor,
    /// The job.
    pub graph: Arc<JobGraph>,
    /// The vertex.
    pub vertex: JobVertex,
    /// Configuration of cluster and job.
    pub configuration: Configuration,
    /// Flags of the task.
    pub flags: Arc<TaskFlags>,
    /// Wakes the task.
    pub waker: TaskWaker,
    /// The time of day.
    pub clock: Clock,
    /// Counters of the task.
    pub counters: TaskCounters,
    /// Where a source gets its splits.
    pub splits: Arc<SplitExchange>,
    /// The partitions of the worker.
    pub partitions: Arc<Partitions>,
    /// How channels reach their producers.
    pub connector: Arc<dyn ChannelConnector>,
    /// Folder for files of the task.
    pub directory: std::path::PathBuf,
}

impl TaskSetup {
    /// The context of an operator of this task.
    #[must_use]
    pub fn context(&self, operator: &str) -> OperatorContext {
        OperatorContext {
            operator: operator.into(),
            job: self.graph.job_id,
            subtask: self.descriptor.attempt.subtask,
            parallelism: self.vertex.parallelism,
            max_parallelism: self.vertex.max_parallelism,
            attempt: self.descriptor.attempt.attempt,
            configuration: self.configuration.clone(),
            flags: self.flags.clone(),
            accumulators: self.counters.accumulators.clone(),
            waker: self.waker.clone(),
            clock: self.clock.clone(),
        }
    }

    fn chunk_bytes(&self) -> Result<usize, ConfigurationError> {
        Ok(self.configuration.get(&options::CHUNK_SIZE)?.bytes().max(1))
    }

    fn channel_chunks(&self) -> Result<u32, ConfigurationError> {
        Ok(self.configuration.get(&options::CHANNEL_CHUNKS)?.max(1))
    }

    /// One gate over the inputs `indices` of the vertex (several for a union), connected.
    ///
    /// # Errors
    /// The descriptor has no such input, or a setting is wrong.
    pub fn input_gate<T: Data>(&self, indices: &[usize]) -> Result<InputGate<T>, BoxError> {
        let inputs = indices.iter().map(|index| self.descriptor.inputs.get(*index).ok_or("the task has no such input"));
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        let channels: Vec<_> = inputs.iter().flat_map(|input| &input.channels).collect();
        let partitions = channels.iter().map(|channel| channel.partition).collect();
        let TaskCounters { records_in, bytes_in, .. } = self.counters.clone();
        let mut gate = InputGate::new(partitions, self.waker.clone(), records_in, bytes_in);
        let credit = self.channel_chunks()?;
        for (number, channel) in (0..).zip(channels) {
            self.connect(&mut gate, number, channel, credit)?;
        }
        Ok(gate)
    }

    fn connect<T: Data>(
        &self,
        gate: &mut InputGate<T>,
        number: u32,
        channel: &InputChannelDescriptor,
        credit: u32,
    ) -> Result<(), BoxError> {
        if self.connector.is_local(channel) {
            gate.connect_when_there(number, self.partitions.clone(), channel.subpartition);
            return Ok(());
        }
        let inbox = gate.remote_inbox(number);
        let handle = self.connector.connect(channel, credit, inbox.clone())?;
        gate.connect_remote(number, inbox, handle);
        Ok(())
    }

    /// The writer of output `index`, with its partition added to the worker's.
    ///
    /// # Errors
    /// The descriptor has no such output, a setting is wrong, or the file of a blocking partition cannot be made.
    pub fn result_writer<T: Data>(&self, index: usize) -> Result<ResultWriter<T>, BoxError> {
        let output = self.descriptor.outputs.get(index).ok_or("the task has no such output")?;
        let (flags, chunk_bytes) = (self.flags.clone(), self.chunk_bytes()?);
        let TaskCounters { records_out, bytes_out, .. } = self.counters.clone();
        if output.result_type == ResultPartitionType::Blocking {
            let file = Arc::new(BlockingOutput::create(&self.directory, output.partition, output.subpartitions)?);
            self.partitions.add_blocking(output.partition, file.clone());
            return Ok(ResultWriter::blocking(&file, output.subpartitions, chunk_bytes, flags, records_out, bytes_out));
        }
        let capacity = self.channel_chunks()? as usize;
        let queue = || Arc::new(Subpartition::new(capacity, self.waker.clone()));
        let queues: Vec<_> = (0..output.subpartitions).map(|_| queue()).collect();
        self.partitions.add_pipelined(output.partition, &queues);
        Ok(ResultWriter::pipelined(queues, chunk_bytes, flags, records_out, bytes_out))
    }

    /// How the keys of output `index` are spread over its consumers.
    ///
    /// # Errors
    /// The descriptor has no such output.
    pub fn key_routing(&self, index: usize) -> Result<KeyRouting, BoxError> {
        let output = self.descriptor.outputs.get(index).ok_or("the task has no such output")?;
        Ok(KeyRouting::new(output.key_groups, output.consumer_parallelism))
    }
}
