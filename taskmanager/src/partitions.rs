//! The result partitions of a worker, for its own tasks and for the network.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flink_graph::{ExecutionAttemptId, PartitionId};

use crate::blocking_output::BlockingOutput;
use crate::data::Data;
use crate::network::{OpenError, PartitionDirectory, SubpartitionView};
use crate::subpartition::{Listener, Subpartition};

/// One subpartition, as a typed queue for local consumers and as bytes for others.
#[derive(Clone)]
struct Queue {
    typed: Arc<dyn Any + Send + Sync>,
    view: Arc<dyn SubpartitionView>,
}

enum Partition {
    Pipelined(Vec<Queue>),
    Blocking(Arc<BlockingOutput>),
}

/// What a consumer in the same worker finds.
pub enum LocalPartition<T> {
    /// A queue that is read while it is written.
    Pipelined(Arc<Subpartition<T>>),
    /// A file, complete.
    Stored(Arc<dyn SubpartitionView>),
}

#[derive(Default)]
struct State {
    partitions: BTreeMap<PartitionId, Partition>,
    released: BTreeSet<PartitionId>,
    network: Option<Listener>,
    waiting: BTreeMap<PartitionId, Vec<Listener>>,
}

/// Released partitions that are remembered, so that a late consumer is told so instead of waiting.
const RELEASED_REMEMBERED: usize = 10_000;

/// The result partitions of a worker.
#[derive(Default)]
pub struct Partitions(Mutex<State>);

impl Partitions {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a partition that is read while it is written.
    pub fn add_pipelined<T: Data>(&self, id: PartitionId, subpartitions: &[Arc<Subpartition<T>>]) {
        let queues = subpartitions.iter().map(|queue| Queue { typed: queue.clone(), view: queue.clone() });
        self.add(id, Partition::Pipelined(queues.collect()));
    }

    /// Adds a partition that is read when it is complete.
    pub fn add_blocking(&self, id: PartitionId, output: Arc<BlockingOutput>) {
        self.add(id, Partition::Blocking(output));
    }

    fn add(&self, id: PartitionId, partition: Partition) {
        let mut state = self.lock();
        state.partitions.insert(id, partition);
        let mut listeners = state.waiting.remove(&id).unwrap_or_default();
        listeners.extend(state.network.clone());
        drop(state);
        listeners.iter().for_each(|notify| notify());
    }

    /// Opens a subpartition for a consumer in this worker. If it is not there yet, `notify` is called when it is.
    ///
    /// # Errors
    /// The partition was released, failed, or has records of another type.
    pub fn open_local<T: Data>(
        &self,
        id: PartitionId,
        subpartition: u32,
        notify: Listener,
    ) -> Result<Option<LocalPartition<T>>, String> {
        let mut state = self.lock();
        match state.partitions.get(&id) {
            Some(Partition::Pipelined(queues)) => {
                let queue = queues.get(subpartition as usize).ok_or("there is no such subpartition")?.typed.clone();
                let typed = queue.downcast().map_err(|_| format!("its records are not {}", T::type_name()))?;
                Ok(Some(LocalPartition::Pipelined(typed)))
            }
            Some(Partition::Blocking(output)) => {
                output.view(subpartition).map(|view| Some(LocalPartition::Stored(view)))
            }
            None if state.released.contains(&id) => Err("it was released".to_owned()),
            None => {
                state.waiting.entry(id).or_default().push(notify);
                Ok(None)
            }
        }
    }

    /// Forgets partitions and removes their files. A consumer that still reads one keeps what it has opened.
    pub fn release(&self, ids: &[PartitionId]) {
        let mut state = self.lock();
        for id in ids {
            state.partitions.remove(id);
            state.released.insert(*id);
        }
        while state.released.len() > RELEASED_REMEMBERED {
            state.released.pop_first();
        }
    }

    /// Forgets the pipelined partitions of an execution that ended without completing them.
    pub fn release_of(&self, producer: ExecutionAttemptId) {
        let mut state = self.lock();
        let mine: Vec<_> = state.partitions.keys().filter(|id| id.producer == producer).copied().collect();
        drop(std::mem::take(&mut mine.iter().filter_map(|id| state.partitions.remove(id)).collect::<Vec<_>>()));
        state.released.extend(mine);
    }
}

impl PartitionDirectory for Partitions {
    fn open(&self, partition: PartitionId, subpartition: u32) -> Result<Arc<dyn SubpartitionView>, OpenError> {
        let state = self.lock();
        match state.partitions.get(&partition) {
            Some(Partition::Pipelined(queues)) => queues
                .get(subpartition as usize)
                .map(|queue| queue.view.clone())
                .ok_or_else(|| OpenError::Gone("there is no such subpartition".to_owned())),
            Some(Partition::Blocking(output)) => output.view(subpartition).map_err(OpenError::Gone),
            None if state.released.contains(&partition) => Err(OpenError::Gone("it was released".to_owned())),
            None => Err(OpenError::NotFound),
        }
    }

    fn set_listener(&self, listener: Listener) {
        self.lock().network = Some(listener);
    }
}
