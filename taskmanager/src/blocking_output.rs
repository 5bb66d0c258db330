//! Output that is stored in full before it is read: a blocking partition from the side of its task.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flink_graph::PartitionId;

use crate::blocking::{BlockingPartition, BlockingPartitionWriter, BlockingSettings};
use crate::network::SubpartitionView;
use crate::operator::BoxError;

/// Bytes that a partition gathers before it writes.
const BUFFER: usize = 4 << 20;

/// Largest element; chunks of ordinary records are far smaller.
const MAX_ELEMENT: usize = 64 << 20;

enum State {
    Written(Box<BlockingPartitionWriter>),
    Complete(BlockingPartition),
    Failed,
}

/// A partition that its task writes, and that can be read when the task has finished.
pub struct BlockingOutput(Mutex<State>);

impl BlockingOutput {
    /// Creates the partition's file in `directory`.
    ///
    /// # Errors
    /// The file exists, or the folder cannot be written to.
    pub fn create(directory: &Path, partition: PartitionId, subpartitions: u32) -> Result<Self, BoxError> {
        let path = directory.join(format!("{partition}.blocking"));
        let writer = BlockingPartitionWriter::create(BlockingSettings {
            path,
            subpartitions,
            buffer_bytes: BUFFER,
            max_element: MAX_ELEMENT,
        })?;
        Ok(Self(Mutex::new(State::Written(Box::new(writer)))))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an encoded element to a subpartition.
    ///
    /// # Errors
    /// The disk is full or failed, or the element is too large.
    pub fn append(&self, subpartition: u32, element: &[u8]) -> Result<(), BoxError> {
        match &mut *self.lock() {
            State::Written(writer) => Ok(writer.append(subpartition, element)?),
            State::Complete(_) | State::Failed => Err("the partition is closed".into()),
        }
    }

    /// Completes the partition; `end` is what every consumer reads last.
    ///
    /// # Errors
    /// The disk is full or failed.
    pub fn finish(&self, end: &[u8]) -> Result<(), BoxError> {
        let mut state = self.lock();
        let State::Written(writer) = std::mem::replace(&mut *state, State::Failed) else {
            return Err("the partition is closed".into());
        };
        *state = State::Complete(writer.finish(end)?);
        Ok(())
    }

    /// Opens a subpartition for reading.
    ///
    /// # Errors
    /// The partition is not complete, or there is no such subpartition.
    pub fn view(&self, subpartition: u32) -> Result<Arc<dyn SubpartitionView>, String> {
        match &*self.lock() {
            State::Complete(partition) => partition.view(subpartition).map_err(|error| error.to_string()),
            State::Written(_) => Err("it is not complete yet".to_owned()),
            State::Failed => Err("it could not be written".to_owned()),
        }
    }
}
