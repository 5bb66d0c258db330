//! From received bytes to frames, without a copy of what is large and without fresh memory for each frame.
//!
//! Bytes are received into segments of `SEGMENT_SIZE`; elements are handed out as slices of them. A segment is used
//! again when all its slices are gone, the one used last first, because its memory is still in the processor's caches.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::frame::{
    ELEMENT_PREFIX_SIZE, Frame, FrameError, HEADER_SIZE, Header, Kind, MAX_CONTROL_BODY, MAX_HELLO_BODY,
};

/// Bytes of a receive segment.
pub const SEGMENT_SIZE: usize = 128 * 1024;

/// Elements below this size get memory of their own: a slice would keep its whole segment from being used again, so
/// that a few small elements waiting in each of many channels would hold many times their size.
const COPY_BELOW: usize = 8 * 1024;

/// Least room for a read from the network.
const MIN_READ: usize = 16 * 1024;

/// Receive buffer of a side that gets control frames only, and of a peer that has not said Hello.
const CONTROL_BUFFER: usize = HEADER_SIZE + MAX_CONTROL_BODY;

/// Segments kept for use again, for all connections of a worker.
const MAX_RETIRED: usize = 64;

/// Segments looked at before a new one is made.
const MAX_PROBES: usize = 8;

/// The segments of all connections of a worker.
#[derive(Debug, Default)]
pub struct SegmentPool {
    /// Handles to segments whose slices are, or were, still held by others; the newest last.
    retired: Mutex<Vec<BytesMut>>,
}

impl SegmentPool {
    fn take(&self) -> BytesMut {
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        let newest_first = (0..retired.len()).rev().take(MAX_PROBES);
        let free = newest_first.into_iter().find(|&index| retired[index].try_reclaim(SEGMENT_SIZE));
        match free {
            Some(index) => retired.remove(index),
            None => BytesMut::with_capacity(SEGMENT_SIZE),
        }
    }

    fn retire(&self, mut segment: BytesMut) {
        segment.clear();
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        if retired.len() == MAX_RETIRED {
            retired.remove(0);
        }
        retired.push(segment);
    }
}

/// Cuts received bytes into frames.
#[derive(Debug)]
pub struct FrameDecoder {
    buffer: BytesMut,
    /// Where segments come from; `None` when no elements are expected.
    pool: Option<Arc<SegmentPool>>,
    max_element: usize,
    /// Bytes that the frame at the front still lacks.
    missing: usize,
    /// The buffer is not a segment of the pool: the small one of the beginning, or one made for a large element.
    foreign: bool,
    greeted: bool,
}

impl FrameDecoder {
    /// For the producer's side: elements are refused.
    #[must_use]
    pub fn for_control() -> Self {
        Self::new(None, 0)
    }

    /// For the consumer's side: elements of up to `max_element` bytes.
    #[must_use]
    pub fn for_elements(pool: Arc<SegmentPool>, max_element: usize) -> Self {
        Self::new(Some(pool), max_element)
    }

    fn new(pool: Option<Arc<SegmentPool>>, max_element: usize) -> Self {
        Self { buffer: BytesMut::new(), pool, max_element, missing: HEADER_SIZE, foreign: true, greeted: false }
    }

    /// Room to receive into, never empty. Call [`next_frame`](Self::next_frame) until it has none after each read.
    pub fn space(&mut self) -> &mut BytesMut {
        if !self.greeted || self.pool.is_none() {
            self.control_space();
        } else if self.buffer.len() + self.missing > SEGMENT_SIZE {
            self.grow_for_large_element();
        } else {
            self.segment_space();
        }
        &mut self.buffer
    }

    fn control_space(&mut self) {
        // A body over the limit was refused by `next_frame`, so that the buffer stays at twice its size at most.
        if self.buffer.capacity() - self.buffer.len() < self.missing.max(1) {
            self.buffer.reserve(CONTROL_BUFFER);
        }
    }

    /// Takes memory as the bytes come in, twice what there is at most, whatever size the header announced.
    fn grow_for_large_element(&mut self) {
        if self.buffer.capacity() == self.buffer.len() {
            let more = self.missing.min(self.buffer.len().max(SEGMENT_SIZE));
            self.buffer.reserve(more);
            self.foreign = true;
        }
    }

    fn segment_space(&mut self) {
        if !self.foreign && self.segment_has_room() {
            return;
        }
        let Some(pool) = &self.pool else { return };
        let mut next = pool.take();
        next.extend_from_slice(&self.buffer);
        let old = std::mem::replace(&mut self.buffer, next);
        // The memory of a large element is given back when its slices are gone.
        if !std::mem::take(&mut self.foreign) {
            pool.retire(old);
        }
    }

    fn segment_has_room(&mut self) -> bool {
        let wanted = self.missing.max(MIN_READ);
        let enough = self.buffer.capacity() - self.buffer.len() >= wanted;
        let start_over = self.buffer.is_empty() || !enough;
        (start_over && self.buffer.try_reclaim(SEGMENT_SIZE - self.buffer.len())) || enough
    }

    /// Appends bytes that were received elsewhere (decrypted, or simulated).
    pub fn extend(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.space();
            let room = (space.capacity() - space.len()).min(bytes.len());
            space.put_slice(&bytes[..room]);
            bytes = &bytes[room..];
            self.missing = self.missing.saturating_sub(room).max(1);
        }
    }

    /// The next whole frame.
    ///
    /// # Errors
    /// The bytes are no frame, or one that this side does not accept. The connection is of no use then.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(header) = Header::read(&self.buffer).map_err(|error| self.before_hello(error))? else {
            self.missing = HEADER_SIZE - self.buffer.len();
            return Ok(None);
        };
        self.check(&header)?;
        let size = HEADER_SIZE + header.body;
        if self.buffer.len() < size {
            self.missing = size - self.buffer.len();
            return Ok(None);
        }
        self.buffer.advance(HEADER_SIZE);
        let body = self.take_body(header.body);
        self.missing = HEADER_SIZE.saturating_sub(self.buffer.len()).max(1);
        let frame = header.decode(body)?;
        self.greeted = true;
        Ok(Some(frame))
    }

    fn before_hello(&self, error: FrameError) -> FrameError {
        if self.greeted { error } else { FrameError::NotADataConnection }
    }

    fn check(&self, header: &Header) -> Result<(), FrameError> {
        let limit = match header.kind {
            Kind::Hello if !self.greeted => MAX_HELLO_BODY,
            // Why the connection is refused, told instead of a Hello.
            Kind::Failure if !self.greeted && self.pool.is_some() => MAX_CONTROL_BODY,
            _ if !self.greeted => return Err(FrameError::NotADataConnection),
            Kind::Hello => return Err(damaged(header, "a second Hello")),
            Kind::Element if self.pool.is_none() => return Err(damaged(header, "elements come from producers only")),
            Kind::Element => ELEMENT_PREFIX_SIZE + self.max_element,
            _ => MAX_CONTROL_BODY,
        };
        if header.body > limit {
            return Err(self.before_hello(FrameError::TooLarge { size: header.body, limit }));
        }
        Ok(())
    }

    fn take_body(&mut self, size: usize) -> Bytes {
        if size < COPY_BELOW {
            let body = Bytes::copy_from_slice(&self.buffer[..size]);
            self.buffer.advance(size);
            body
        } else {
            self.buffer.split_to(size).freeze()
        }
    }
}

fn damaged(header: &Header, problem: &'static str) -> FrameError {
    FrameError::Damaged { kind: header.kind as u8, problem }
}
