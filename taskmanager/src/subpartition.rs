//! The queue between one producer subtask and one consumer subtask.
//!
//! A consumer in the same worker takes the chunks themselves. For a consumer on another worker the network encodes them as
//! it sends them. Either way the memory of a chunk goes back to the producer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::chunk::{Chunk, Element};
use crate::data::Data;
use crate::network::{ReadOutcome, SubpartitionView};
use crate::operator::TaskWaker;

/// What is called when a consumer that found the queue empty can read again.
pub type Listener = Arc<dyn Fn() + Send + Sync>;

/// A bounded queue of chunks with one producer and one consumer.
///
/// The bound is a soft one: a chunk is never refused, but the producer is told that there is no room, and takes no more
/// input until there is. So the queue holds at most what one input record makes beyond its capacity.
pub struct Subpartition<T> {
    capacity: usize,
    state: Mutex<State<T>>,
    producer: TaskWaker,
}

struct State<T> {
    queue: VecDeque<Element<T>>,
    free: Vec<Chunk<T>>,
    producer_waits: bool,
    failure: Option<String>,
    /// The consumer took the end of the partition or went away: what is written now goes nowhere.
    consumer_gone: bool,
    listener: Option<Listener>,
}

/// What a consumer in the same worker gets.
#[derive(Debug)]
pub enum LocalRead<T> {
    /// The next element.
    Element(Element<T>),
    /// Nothing is there; the listener will be called.
    Empty,
    /// The producer failed or was canceled before the end.
    Failed(String),
}

impl<T> Subpartition<T> {
    /// Makes an empty queue of `capacity` chunks.
    #[must_use]
    pub fn new(capacity: usize, producer: TaskWaker) -> Self {
        let state = State {
            queue: VecDeque::with_capacity(capacity + 1),
            free: Vec::new(),
            producer_waits: false,
            failure: None,
            consumer_gone: false,
            listener: None,
        };
        Self { capacity, state: Mutex::new(state), producer }
    }

    // A panic while the lock is held is impossible but for allocation failure; the state is then still consistent.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an element; gives an empty chunk to fill next, and whether there is room for it.
    pub fn push(&self, element: Element<T>) -> (Chunk<T>, bool) {
        let mut state = self.lock();
        let next = state.free.pop().unwrap_or_default();
        if state.consumer_gone {
            return (next, true);
        }
        let was_empty = state.queue.is_empty();
        state.queue.push_back(element);
        let room = state.queue.len() < self.capacity;
        state.producer_waits = !room;
        let listener = was_empty.then(|| state.listener.clone()).flatten();
        drop(state);
        if let Some(notify) = listener {
            notify();
        }
        (next, room)
    }

    /// Whether the producer may go on. If not, its task is woken when it may.
    pub fn has_room(&self) -> bool {
        let mut state = self.lock();
        let room = state.queue.len() < self.capacity || state.consumer_gone;
        state.producer_waits = !room;
        room
    }

    /// Ends the queue before its end of partition.
    pub fn fail(&self, reason: &str) {
        let mut state = self.lock();
        if state.failure.is_some() || state.consumer_gone {
            return;
        }
        state.failure = Some(reason.to_owned());
        state.queue.clear();
        let listener = state.listener.clone();
        drop(state);
        if let Some(notify) = listener {
            notify();
        }
    }

    /// Ends the queue unless its end of partition was written: what a producer leaves behind however it ends.
    pub fn fail_unless_ended(&self, reason: &str) {
        let ended = matches!(self.lock().queue.back(), Some(Element::EndOfPartition));
        if !ended {
            self.fail(reason);
        }
    }

    /// Takes the next element, for a consumer in the same worker.
    pub fn take(&self) -> LocalRead<T> {
        let mut state = self.lock();
        let Some(element) = state.queue.pop_front() else {
            return state.failure.clone().map_or(LocalRead::Empty, LocalRead::Failed);
        };
        state.consumer_gone |= matches!(element, Element::EndOfPartition);
        self.wake_producer(state);
        LocalRead::Element(element)
    }

    fn wake_producer(&self, mut state: MutexGuard<'_, State<T>>) {
        if state.producer_waits && state.queue.len() < self.capacity {
            state.producer_waits = false;
            drop(state);
            self.producer.wake();
        }
    }

    /// Gives the memory of a read chunk back.
    pub fn give_back(&self, mut chunk: Chunk<T>) {
        chunk.clear();
        let mut state = self.lock();
        if state.free.len() < self.capacity {
            state.free.push(chunk);
        }
    }

    fn listen(&self, listener: Listener) {
        let mut state = self.lock();
        let ready = !state.queue.is_empty() || state.failure.is_some();
        state.listener = Some(listener.clone());
        drop(state);
        if ready {
            listener();
        }
    }

    /// The consumer goes away: the producer may write on, into nothing.
    pub fn consumer_goes(&self) {
        let mut state = self.lock();
        state.consumer_gone = true;
        state.listener = None;
        state.queue.clear();
        state.free = Vec::new();
        self.wake_producer(state);
    }
}

/// A queue whose record type is not known to the caller: what producers hand to the directory of partitions.
pub trait AnySubpartition: SubpartitionView + std::any::Any {
    /// Ends the queue before its end of partition.
    fn fail_partition(&self, reason: &str);
}

impl<T: Data> AnySubpartition for Subpartition<T> {
    fn fail_partition(&self, reason: &str) {
        self.fail(reason);
    }
}

impl<T: Data> SubpartitionView for Subpartition<T> {
    fn read_next(&self, buffer: &mut Vec<u8>) -> ReadOutcome {
        match self.take() {
            LocalRead::Empty => ReadOutcome::Empty,
            LocalRead::Failed(reason) => ReadOutcome::Failed(reason),
            LocalRead::Element(element) => {
                element.encode(buffer);
                match element {
                    Element::Chunk(chunk) => {
                        self.give_back(chunk);
                        ReadOutcome::Data
                    }
                    Element::EndOfPartition => ReadOutcome::Event { last: true },
                }
            }
        }
    }

    fn backlog(&self) -> u32 {
        u32::try_from(self.lock().queue.len()).unwrap_or(u32::MAX)
    }

    fn is_event_next(&self) -> bool {
        let state = self.lock();
        match state.queue.front() {
            Some(element) => matches!(element, Element::EndOfPartition),
            None => state.failure.is_some(),
        }
    }

    fn set_listener(&self, listener: Listener) {
        self.listen(listener);
    }

    fn close(&self, _reason: &str) {
        self.consumer_goes();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn queue(capacity: usize) -> (Arc<Subpartition<u64>>, Arc<AtomicU32>) {
        let wakes = Arc::new(AtomicU32::new(0));
        let counter = wakes.clone();
        let waker = TaskWaker::new(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        (Arc::new(Subpartition::new(capacity, waker)), wakes)
    }

    fn chunk(record: u64) -> Element<u64> {
        Element::Chunk(Chunk { records: vec![record], hashes: vec![] })
    }

    #[test]
    fn a_full_queue_holds_the_producer_back_until_there_is_room() {
        let (queue, wakes) = queue(2);
        assert!(queue.push(chunk(1)).1);
        assert!(!queue.push(chunk(2)).1);
        assert!(!queue.has_room());
        assert!(matches!(queue.take(), LocalRead::Element(Element::Chunk(c)) if c.records == [1]));
        assert_eq!(wakes.load(Ordering::Relaxed), 1);
        assert!(queue.has_room());
    }

    #[test]
    fn memory_goes_back_to_the_producer() {
        let (queue, _) = queue(2);
        queue.push(Element::Chunk(Chunk { records: Vec::with_capacity(100), hashes: vec![] }));
        let LocalRead::Element(Element::Chunk(read)) = queue.take() else { panic!() };
        queue.give_back(read);
        assert_eq!(queue.push(chunk(1)).0.records.capacity(), 100);
    }

    #[test]
    fn a_failed_producer_is_not_an_end() {
        let (queue, _) = queue(2);
        queue.push(chunk(1));
        queue.fail("gone");
        assert!(matches!(queue.take(), LocalRead::Failed(reason) if reason == "gone"));
        let mut buffer = Vec::new();
        assert_eq!(queue.read_next(&mut buffer), ReadOutcome::Failed("gone".to_owned()));
    }

    #[test]
    fn the_network_reads_what_was_written() {
        let (queue, _) = queue(2);
        queue.push(chunk(7));
        queue.push(Element::EndOfPartition);
        let mut buffer = Vec::new();
        assert_eq!(queue.read_next(&mut buffer), ReadOutcome::Data);
        assert!(matches!(Element::<u64>::decode(&buffer, Chunk::default()), Ok(Element::Chunk(c)) if c.records == [7]));
        assert_eq!(queue.read_next(&mut buffer), ReadOutcome::Event { last: true });
    }
}
