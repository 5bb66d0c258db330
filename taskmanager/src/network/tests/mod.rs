//! The exchange, from single frames to two workers over sockets.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use fastrand::Rng;
use flink_graph::{ExecutionAttemptId, JobId, JobVertexId, PartitionId};
use flink_protocol::task_manager::TaskFailure;

use super::endpoint::{ConnectionSettings, lock};
use super::frame::Hello;
use super::{OpenError, PartitionDirectory, ReadOutcome, RemoteChannel, SubpartitionView};

/// Random and mutated bytes for every decoder.
mod decoders;

/// Both state machines over a simulated link.
mod exchange;

/// Single rules of the two state machines.
mod sides;

/// Two workers over sockets, and strangers who are refused.
mod sockets;

const JOB: JobId = JobId::from_u128(0xa11ce);

fn partition(number: u32) -> PartitionId {
    let vertex = JobVertexId::from_u128(0xbeef);
    let producer = ExecutionAttemptId { job: JOB, vertex, subtask: number, attempt: 0, epoch: 3 };
    PartitionId { output: 1, producer }
}

fn settings(worker: &str) -> ConnectionSettings {
    ConnectionSettings::new(Hello { job: JOB, epoch: 3, worker: worker.to_owned() })
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Data(Vec<u8>),
    Event(Vec<u8>),
    Last(Vec<u8>),
    Failed(String),
}

type Listener = Arc<dyn Fn() + Send + Sync>;

/// A subpartition in memory.
#[derive(Default)]
struct Queue {
    state: Mutex<QueueState>,
}

#[derive(Default)]
struct QueueState {
    items: VecDeque<Item>,
    listener: Option<Listener>,
    closed: Vec<String>,
    data_read: usize,
}

impl Queue {
    fn push(&self, item: Item) {
        let listener = {
            let mut state = lock(&self.state);
            state.items.push_back(item);
            if state.items.len() == 1 { state.listener.clone() } else { None }
        };
        if let Some(listener) = listener {
            listener();
        }
    }

    fn len(&self) -> usize {
        lock(&self.state).items.len()
    }

    fn closed(&self) -> Vec<String> {
        lock(&self.state).closed.clone()
    }

    fn data_read(&self) -> usize {
        lock(&self.state).data_read
    }
}

impl SubpartitionView for Queue {
    fn read_next(&self, buffer: &mut Vec<u8>) -> ReadOutcome {
        let mut state = lock(&self.state);
        let (outcome, bytes) = match state.items.pop_front() {
            None => return ReadOutcome::Empty,
            Some(Item::Failed(reason)) => return ReadOutcome::Failed(reason),
            Some(Item::Data(bytes)) => {
                state.data_read += 1;
                (ReadOutcome::Data, bytes)
            }
            Some(Item::Event(bytes)) => (ReadOutcome::Event { last: false }, bytes),
            Some(Item::Last(bytes)) => (ReadOutcome::Event { last: true }, bytes),
        };
        buffer.extend_from_slice(&bytes);
        outcome
    }

    fn backlog(&self) -> u32 {
        self.len() as u32
    }

    fn is_event_next(&self) -> bool {
        !matches!(lock(&self.state).items.front(), None | Some(Item::Data(_)))
    }

    fn set_listener(&self, listener: Listener) {
        let call = {
            let mut state = lock(&self.state);
            state.listener = Some(Arc::clone(&listener));
            !state.items.is_empty()
        };
        if call {
            listener();
        }
    }

    fn close(&self, reason: &str) {
        lock(&self.state).closed.push(reason.to_owned());
    }
}

/// A queue, or why it is gone.
type Place = Result<Arc<Queue>, String>;

#[derive(Default)]
struct Directory {
    queues: Mutex<BTreeMap<(PartitionId, u32), Place>>,
    listener: Mutex<Option<Listener>>,
}

impl Directory {
    fn add(&self, partition: PartitionId, subpartition: u32, queue: &Arc<Queue>) {
        lock(&self.queues).insert((partition, subpartition), Ok(Arc::clone(queue)));
        let listener = lock(&self.listener).clone();
        if let Some(listener) = listener {
            listener();
        }
    }

    fn add_gone(&self, partition: PartitionId, reason: &str) {
        lock(&self.queues).insert((partition, 0), Err(reason.to_owned()));
    }
}

impl PartitionDirectory for Directory {
    fn open(&self, partition: PartitionId, subpartition: u32) -> Result<Arc<dyn SubpartitionView>, OpenError> {
        match lock(&self.queues).get(&(partition, subpartition)) {
            None => Err(OpenError::NotFound),
            Some(Err(reason)) => Err(OpenError::Gone(reason.clone())),
            Some(Ok(queue)) => Ok(Arc::clone(queue) as Arc<dyn SubpartitionView>),
        }
    }

    fn set_listener(&self, listener: Listener) {
        *lock(&self.listener) = Some(listener);
    }
}

/// What came over one channel.
#[derive(Default)]
struct Inbox {
    state: Mutex<InboxState>,
}

#[derive(Default)]
struct InboxState {
    elements: VecDeque<Bytes>,
    failures: Vec<TaskFailure>,
}

impl Inbox {
    fn take(&self) -> Option<Bytes> {
        lock(&self.state).elements.pop_front()
    }

    fn len(&self) -> usize {
        lock(&self.state).elements.len()
    }

    fn failures(&self) -> Vec<TaskFailure> {
        lock(&self.state).failures.clone()
    }
}

impl RemoteChannel for Inbox {
    fn on_element(&self, element: Bytes) {
        let mut state = lock(&self.state);
        assert!(state.failures.is_empty(), "an element after the failure");
        state.elements.push_back(element);
    }

    fn on_failure(&self, failure: TaskFailure) {
        lock(&self.state).failures.push(failure);
    }
}
