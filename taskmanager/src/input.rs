//! The inputs of a task: gates of channels.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use flink_graph::PartitionId;
use flink_protocol::task_manager::{FailureKind, InputChannelDescriptor, TaskFailure};

use crate::chunk::{Chunk, Element};
use crate::data::Data;
use crate::network::mailbox::ChannelHandle;
use crate::network::{ReadOutcome, RemoteChannel, SubpartitionView};
use crate::operator::{BoxError, TaskWaker};
use crate::partitions::{LocalPartition, Partitions};
use crate::subpartition::{LocalRead, Subpartition};

/// Channels that have something to read, in the order in which they came to it: a slow channel is never asked, and a
/// fast one cannot starve the others.
pub struct ReadyList {
    queue: Mutex<(VecDeque<u32>, Vec<bool>)>,
    waker: TaskWaker,
}

impl ReadyList {
    fn new(channels: usize, waker: TaskWaker) -> Self {
        Self { queue: Mutex::new((VecDeque::with_capacity(channels), vec![false; channels])), waker }
    }

    fn lock(&self) -> MutexGuard<'_, (VecDeque<u32>, Vec<bool>)> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a channel has something to read, and wakes the task.
    pub fn add(&self, channel: u32) {
        let mut guard = self.lock();
        let (queue, queued) = &mut *guard;
        if std::mem::replace(&mut queued[channel as usize], true) {
            return;
        }
        queue.push_back(channel);
        drop(guard);
        self.waker.wake();
    }

    fn pop(&self) -> Option<u32> {
        let mut guard = self.lock();
        let (queue, queued) = &mut *guard;
        let channel = queue.pop_front()?;
        queued[channel as usize] = false;
        Some(channel)
    }
}

/// Returns credits to the producer of a remote channel; dropping it cancels the channel.
pub trait CreditReturn: Send {
    /// The consumer has room for this many more elements.
    fn add_credit(&self, credits: u32);
}

impl CreditReturn for ChannelHandle {
    fn add_credit(&self, credits: u32) {
        Self::add_credit(self, credits);
    }
}

/// How the channels of a worker's tasks reach their producers.
pub trait ChannelConnector: Send + Sync {
    /// Whether the producer is in this worker.
    fn is_local(&self, channel: &InputChannelDescriptor) -> bool;

    /// Asks another worker for a subpartition, which it delivers to `inbox`. Does not wait for the connection.
    ///
    /// # Errors
    /// The worker has no data plane.
    fn connect(
        &self,
        channel: &InputChannelDescriptor,
        credit: u32,
        inbox: Arc<RemoteInbox>,
    ) -> Result<Box<dyn CreditReturn>, BoxError>;
}

/// What the network has delivered for one channel and the task has not read yet. Bounded by the credits granted.
pub struct RemoteInbox {
    channel: u32,
    ready: Arc<ReadyList>,
    state: Mutex<(VecDeque<Bytes>, Option<TaskFailure>)>,
}

impl RemoteInbox {
    fn lock(&self) -> MutexGuard<'_, (VecDeque<Bytes>, Option<TaskFailure>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RemoteChannel for RemoteInbox {
    fn on_element(&self, element: Bytes) {
        self.lock().0.push_back(element);
        self.ready.add(self.channel);
    }

    fn on_failure(&self, failure: TaskFailure) {
        self.lock().1.get_or_insert(failure);
        self.ready.add(self.channel);
    }
}

enum Channel<T> {
    /// The producer is in this worker but was not deployed when it was last looked for.
    Awaited {
        partitions: Arc<Partitions>,
        subpartition: u32,
    },
    /// Not connected.
    Unconnected,
    Local(Arc<Subpartition<T>>),
    Stored {
        view: Arc<dyn SubpartitionView>,
        buffer: Vec<u8>,
        free: Chunk<T>,
    },
    Remote {
        inbox: Arc<RemoteInbox>,
        credit: Box<dyn CreditReturn>,
        free: Chunk<T>,
    },
    Ended,
}

/// What a gate has for its task.
#[derive(Debug)]
pub enum GateRead<T> {
    /// Records of a channel.
    Chunk {
        /// The channel that they came through; its memory goes back there.
        channel: u32,
        /// The records.
        chunk: Chunk<T>,
    },
    /// Nothing is there; the task will be woken.
    Empty,
    /// Every channel has ended.
    End,
}

/// One input of a task.
pub struct InputGate<T> {
    channels: Vec<Channel<T>>,
    partitions: Vec<PartitionId>,
    ready: Arc<ReadyList>,
    open: usize,
    records_in: Arc<AtomicU64>,
    bytes_in: Arc<AtomicU64>,
}

impl<T: Data> InputGate<T> {
    /// A gate whose channels read these partitions, none of them connected yet.
    #[must_use]
    pub fn new(
        partitions: Vec<PartitionId>,
        waker: TaskWaker,
        records_in: Arc<AtomicU64>,
        bytes_in: Arc<AtomicU64>,
    ) -> Self {
        let channels: Vec<_> = partitions.iter().map(|_| Channel::Unconnected).collect();
        let ready = Arc::new(ReadyList::new(channels.len(), waker));
        Self { open: channels.len(), channels, partitions, ready, records_in, bytes_in }
    }

    /// Connects a channel to a producer in this worker as soon as that is deployed. How long that may take is the
    /// JobManager's concern: it deploys regions whole, and restarts them whole.
    pub fn connect_when_there(&mut self, channel: u32, partitions: Arc<Partitions>, subpartition: u32) {
        self.channels[channel as usize] = Channel::Awaited { partitions, subpartition };
        self.ready.add(channel);
    }

    fn look_for(&mut self, channel: u32, partitions: &Arc<Partitions>, subpartition: u32) -> Result<bool, String> {
        let ready = self.ready.clone();
        let notify = Arc::new(move || ready.add(channel));
        match partitions.open_local(self.partitions[channel as usize], subpartition, notify)? {
            None => return Ok(false),
            Some(LocalPartition::Pipelined(producer)) => self.connect_local(channel, producer),
            Some(LocalPartition::Stored(view)) => self.connect_stored(channel, view),
        }
        Ok(true)
    }

    /// Connects a channel to a producer in this worker: chunks are passed by ownership.
    pub fn connect_local(&mut self, channel: u32, producer: Arc<Subpartition<T>>) {
        let ready = self.ready.clone();
        producer.set_listener(Arc::new(move || ready.add(channel)));
        self.channels[channel as usize] = Channel::Local(producer);
    }

    /// Connects a channel to a blocking partition that is stored on this host.
    pub fn connect_stored(&mut self, channel: u32, view: Arc<dyn SubpartitionView>) {
        let ready = self.ready.clone();
        view.set_listener(Arc::new(move || ready.add(channel)));
        self.channels[channel as usize] = Channel::Stored { view, buffer: Vec::new(), free: Chunk::default() };
    }

    /// The inbox that the network is to deliver a channel's elements to.
    #[must_use]
    pub fn remote_inbox(&self, channel: u32) -> Arc<RemoteInbox> {
        Arc::new(RemoteInbox { channel, ready: self.ready.clone(), state: Mutex::default() })
    }

    /// Connects a channel to a producer on another worker.
    pub fn connect_remote(&mut self, channel: u32, inbox: Arc<RemoteInbox>, credit: Box<dyn CreditReturn>) {
        self.channels[channel as usize] = Channel::Remote { inbox, credit, free: Chunk::default() };
        self.ready.add(channel);
    }

    /// The next records, from whichever channel has some.
    ///
    /// # Errors
    /// A producer or a connection failed, or what came is damaged.
    pub fn poll(&mut self) -> Result<GateRead<T>, TaskFailure> {
        while self.open > 0 {
            let Some(channel) = self.ready.pop() else { return Ok(GateRead::Empty) };
            match self.read(channel)? {
                None => {}
                Some(Element::EndOfPartition) => {
                    self.channels[channel as usize] = Channel::Ended;
                    self.open -= 1;
                }
                Some(Element::Chunk(chunk)) => {
                    // There may be more; the channel goes to the end of the line.
                    self.ready.add(channel);
                    self.records_in.fetch_add(chunk.records.len() as u64, Ordering::Relaxed);
                    return Ok(GateRead::Chunk { channel, chunk });
                }
            }
        }
        Ok(GateRead::End)
    }

    fn read(&mut self, channel: u32) -> Result<Option<Element<T>>, TaskFailure> {
        let partition = self.partitions[channel as usize];
        if let Channel::Awaited { partitions, subpartition } = &self.channels[channel as usize] {
            let (partitions, subpartition) = (partitions.clone(), *subpartition);
            let found = self.look_for(channel, &partitions, subpartition);
            // Connecting has added the channel to the ready list again.
            return found.map(|_| None).map_err(|reason| unavailable(partition, &reason));
        }
        match &mut self.channels[channel as usize] {
            Channel::Awaited { .. } | Channel::Unconnected | Channel::Ended => Ok(None),
            Channel::Local(producer) => match producer.take() {
                LocalRead::Empty => Ok(None),
                LocalRead::Failed(reason) => Err(unavailable(partition, &reason)),
                LocalRead::Element(element) => {
                    if let Element::Chunk(chunk) = &element {
                        self.bytes_in.fetch_add(chunk.bytes() as u64, Ordering::Relaxed);
                    }
                    Ok(Some(element))
                }
            },
            Channel::Stored { view, buffer, free } => {
                buffer.clear();
                match view.read_next(buffer) {
                    ReadOutcome::Empty => Ok(None),
                    ReadOutcome::Failed(reason) => Err(unavailable(partition, &reason)),
                    ReadOutcome::Data | ReadOutcome::Event { .. } => {
                        self.bytes_in.fetch_add(buffer.len() as u64, Ordering::Relaxed);
                        decode(partition, buffer, std::mem::take(free)).map(Some)
                    }
                }
            }
            Channel::Remote { inbox, credit, free } => {
                let mut state = inbox.lock();
                let Some(element) = state.0.pop_front() else {
                    return state.1.take().map_or(Ok(None), Err);
                };
                drop(state);
                self.bytes_in.fetch_add(element.len() as u64, Ordering::Relaxed);
                let decoded = decode(partition, &element, std::mem::take(free))?;
                drop(element);
                credit.add_credit(1);
                Ok(Some(decoded))
            }
        }
    }

    /// Gives the memory of records that were read back to where they came from.
    pub fn give_back(&mut self, channel: u32, chunk: Chunk<T>) {
        match &mut self.channels[channel as usize] {
            Channel::Local(producer) => producer.give_back(chunk),
            Channel::Stored { free, .. } | Channel::Remote { free, .. } => *free = chunk,
            Channel::Awaited { .. } | Channel::Unconnected | Channel::Ended => {}
        }
    }
}

impl<T> Drop for InputGate<T> {
    fn drop(&mut self) {
        for channel in &self.channels {
            match channel {
                Channel::Local(producer) => producer.consumer_goes(),
                Channel::Stored { view, .. } => view.close("the consumer has ended"),
                Channel::Awaited { .. } | Channel::Unconnected | Channel::Remote { .. } | Channel::Ended => {}
            }
        }
    }
}

fn unavailable(partition: PartitionId, reason: &str) -> TaskFailure {
    let message = format!("the producer {partition} is gone: {reason}");
    TaskFailure { kind: FailureKind::PartitionUnavailable { partition }, message }
}

fn decode<T: Data>(partition: PartitionId, bytes: &[u8], free: Chunk<T>) -> Result<Element<T>, TaskFailure> {
    Element::decode(bytes, free).map_err(|error| TaskFailure {
        kind: FailureKind::ConnectionLost { partition },
        message: format!("what {partition} sent is not a chunk of {}: {error}", T::type_name()),
    })
}
