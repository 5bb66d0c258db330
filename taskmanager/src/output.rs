//! The end of a task: records leave it through result writers, one for each data set that the vertex produces.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::blocking_output::BlockingOutput;
use crate::chunk::{Chunk, Element};
use crate::data::{Data, key_group, key_group_owner};
use crate::operator::{BoxError, TaskFlags};
use crate::subpartition::Subpartition;

/// Limits of chunks.
#[derive(Debug, Clone, Copy)]
pub struct ChunkLimits {
    /// Bytes, on the heap and inline, at which a chunk is full.
    pub bytes: usize,
    /// Records at which a chunk is full.
    pub records: usize,
}

impl ChunkLimits {
    /// Limits for records of type `T` under a limit in bytes.
    #[must_use]
    pub fn of<T>(bytes: usize) -> Self {
        Self { bytes, records: (bytes / size_of::<T>().max(1)).clamp(1, 16_384) }
    }
}

enum Target<T> {
    Pipelined(Arc<Subpartition<T>>),
    Blocking(Arc<BlockingOutput>, u32),
}

struct SubpartitionWriter<T> {
    chunk: Chunk<T>,
    heap_bytes: usize,
    full: bool,
    target: Target<T>,
}

/// Writes records into the subpartitions of one result partition.
pub struct ResultWriter<T> {
    lanes: Vec<SubpartitionWriter<T>>,
    limits: ChunkLimits,
    flags: Arc<TaskFlags>,
    records_out: Arc<AtomicU64>,
    bytes_out: Arc<AtomicU64>,
    error: Option<BoxError>,
    scratch: Vec<u8>,
    ended: bool,
}

impl<T: Data> ResultWriter<T> {
    /// Writes to queues that are read while they are written.
    #[must_use]
    pub fn pipelined(
        subpartitions: Vec<Arc<Subpartition<T>>>,
        chunk_bytes: usize,
        flags: Arc<TaskFlags>,
        records_out: Arc<AtomicU64>,
        bytes_out: Arc<AtomicU64>,
    ) -> Self {
        let targets = subpartitions.into_iter().map(Target::Pipelined);
        Self::new(targets, chunk_bytes, flags, records_out, bytes_out)
    }

    /// Writes to a file that is read when it is complete.
    #[must_use]
    pub fn blocking(
        output: &Arc<BlockingOutput>,
        subpartitions: u32,
        chunk_bytes: usize,
        flags: Arc<TaskFlags>,
        records_out: Arc<AtomicU64>,
        bytes_out: Arc<AtomicU64>,
    ) -> Self {
        let targets = (0..subpartitions).map(|index| Target::Blocking(output.clone(), index));
        Self::new(targets, chunk_bytes, flags, records_out, bytes_out)
    }

    fn new(
        targets: impl Iterator<Item = Target<T>>,
        chunk_bytes: usize,
        flags: Arc<TaskFlags>,
        records_out: Arc<AtomicU64>,
        bytes_out: Arc<AtomicU64>,
    ) -> Self {
        let lanes = targets
            .map(|target| SubpartitionWriter { chunk: Chunk::default(), heap_bytes: 0, full: false, target })
            .collect();
        let limits = ChunkLimits::of::<T>(chunk_bytes);
        Self { lanes, limits, flags, records_out, bytes_out, error: None, scratch: Vec::new(), ended: false }
    }

    /// Number of subpartitions.
    #[must_use]
    pub fn subpartitions(&self) -> usize {
        self.lanes.len()
    }

    /// Writes a record without a key.
    #[inline(always)]
    pub fn write(&mut self, subpartition: usize, record: T) {
        let lane = &mut self.lanes[subpartition];
        lane.heap_bytes += record.heap_bytes();
        lane.chunk.records.push(record);
        if lane.chunk.records.len() >= self.limits.records || lane.heap_bytes >= self.limits.bytes {
            self.hand_on(subpartition);
        }
    }

    /// Writes a record with the hash of its key.
    #[inline(always)]
    pub fn write_keyed(&mut self, subpartition: usize, record: T, hash: u64) {
        let lane = &mut self.lanes[subpartition];
        lane.chunk.hashes.push(hash);
        self.write(subpartition, record);
    }

    /// Hands on what has been gathered, however little: the task has nothing else to do.
    pub fn flush(&mut self) {
        for index in 0..self.lanes.len() {
            if !self.lanes[index].chunk.records.is_empty() {
                self.hand_on(index);
            }
        }
    }

    /// Hands on the rest and the end of the partition, once: a task asks again as long as another output has not ended.
    pub fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.flush();
        for lane in &self.lanes {
            if let Target::Pipelined(queue) = &lane.target {
                queue.push(Element::EndOfPartition);
            }
        }
        if let Some(SubpartitionWriter { target: Target::Blocking(output, _), .. }) = self.lanes.first() {
            let mut end = Vec::new();
            Element::<T>::EndOfPartition.encode(&mut end);
            if let Err(error) = output.finish(&end) {
                self.fail(error);
            }
        }
    }

    /// Whether every subpartition has room. If not, the task is woken when this may have changed.
    pub fn has_room(&mut self) -> bool {
        let mut room = true;
        for lane in self.lanes.iter_mut().filter(|lane| lane.full) {
            if let Target::Pipelined(queue) = &lane.target {
                lane.full = !queue.has_room();
                room &= !lane.full;
            }
        }
        room
    }

    /// The error that writing to disk came to, once.
    pub fn take_error(&mut self) -> Option<BoxError> {
        self.error.take()
    }

    #[inline(never)]
    fn hand_on(&mut self, subpartition: usize) {
        let lane = &mut self.lanes[subpartition];
        let records = lane.chunk.records.len();
        let bytes = records * size_of::<T>() + lane.heap_bytes;
        self.records_out.fetch_add(records as u64, Ordering::Relaxed);
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
        lane.heap_bytes = 0;
        let element = Element::Chunk(std::mem::take(&mut lane.chunk));
        match &lane.target {
            Target::Pipelined(queue) => {
                let (next, room) = queue.push(element);
                lane.chunk = next;
                if !room {
                    lane.full = true;
                    self.flags.set_output_full();
                }
            }
            Target::Blocking(output, index) => {
                self.scratch.clear();
                element.encode(&mut self.scratch);
                let written = output.append(*index, &self.scratch);
                if let Element::Chunk(mut chunk) = element {
                    chunk.clear();
                    lane.chunk = chunk;
                }
                if let Err(error) = written {
                    self.fail(error);
                }
            }
        }
    }

    fn fail(&mut self, error: BoxError) {
        self.error.get_or_insert(error);
        self.flags.set_failed();
    }
}

impl<T> Drop for ResultWriter<T> {
    // After `end` the consumer, or the queue, already has the end of the partition: failing it then is ignored.
    fn drop(&mut self) {
        for lane in &self.lanes {
            if let Target::Pipelined(queue) = &lane.target {
                queue.fail_unless_ended("the producing task ended before its output was complete");
            }
        }
    }
}

/// Which subtask a key belongs to, by its hash: a table, since a division for each record would cost more than hashing it.
#[derive(Debug, Clone)]
pub struct KeyRouting {
    owners: Box<[u32]>,
}

impl KeyRouting {
    /// Routing to `parallelism` subtasks that share `key_groups` key groups (max parallelism).
    #[must_use]
    pub fn new(key_groups: u32, parallelism: u32) -> Self {
        Self { owners: (0..key_groups).map(|group| key_group_owner(group, key_groups, parallelism)).collect() }
    }

    /// The subpartition of a key.
    #[inline]
    #[must_use]
    #[allow(clippy::cast_possible_truncation)] // there are at most 2^32 key groups
    pub fn subpartition(&self, hash: u64) -> usize {
        self.owners[key_group(hash, self.owners.len() as u32) as usize] as usize
    }
}
