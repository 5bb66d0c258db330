//! A connection without sockets, in virtual time, under a seed.
//!
//! A `SimulatedLink` carries the bytes between the two sides of a connection. The seed decides how the stream is cut,
//! how long pieces travel and which direction moves, so that a run can be repeated exactly. The two sides are those of
//! production; only the socket is missing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::client::ClientConnection;
use super::decoder::{FrameDecoder, SegmentPool};
use super::endpoint::{ConnectionEndpoint, ConnectionError, ConnectionSettings, Wake};
use super::mailbox::Mailbox;
use super::server::ServerConnection;
use super::{PartitionDirectory, frame::FrameError};
use fastrand::Rng;

/// How a simulated link behaves.
#[derive(Debug, Clone, Copy)]
pub struct LinkOptions {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// Longest time that a piece travels.
    pub max_delay: Duration,
    /// Largest piece that travels at once, bytes; at least 1.
    pub max_piece: usize,
    /// Bytes that a side may have on their way, as in the buffers of two sockets; at least 1.
    pub window: usize,
}

impl LinkOptions {
    /// A link under `seed` with up to 2 ms of delay and pieces of up to 64 KiB.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, max_delay: Duration::from_millis(2), max_piece: 64 * 1024, window: 256 * 1024 }
    }
}

/// The two sides of a connection and the bytes between them.
pub struct SimulatedLink {
    consumer: End,
    producer: End,
    options: LinkOptions,
    random: Rng,
    partition_listener: Wake,
}

struct End {
    side: Box<dyn ConnectionEndpoint>,
    decoder: FrameDecoder,
    awake: Arc<AtomicBool>,
    outgoing: Vec<u8>,
    /// Pieces on their way to the other end, with the time of their arrival.
    travelling: VecDeque<(Duration, Vec<u8>)>,
    in_flight: usize,
    /// Highest number of bytes that waited or travelled at once.
    peak: usize,
}

impl End {
    fn new(side: Box<dyn ConnectionEndpoint>, decoder: FrameDecoder, awake: Arc<AtomicBool>) -> Self {
        let travelling = VecDeque::new();
        Self { side, decoder, awake, outgoing: Vec::new(), travelling, in_flight: 0, peak: 0 }
    }

    fn wake(&mut self, now: Duration) -> Result<bool, ConnectionError> {
        let awake = self.awake.swap(false, Ordering::AcqRel);
        if awake {
            self.side.on_wake(now)?;
        }
        let due = self.side.deadline() <= now;
        if due {
            self.side.on_tick(now)?;
        }
        Ok(awake)
    }

    fn receive(&mut self, now: Duration, bytes: &[u8]) -> Result<(), ConnectionError> {
        self.decoder.extend(bytes);
        while let Some(frame) = self.decoder.next_frame()? {
            self.side.on_frame(now, frame)?;
        }
        Ok(())
    }

    fn arrived(&mut self, now: Duration) -> Option<Vec<u8>> {
        let (_, piece) = self.travelling.pop_front_if(|(arrival, _)| *arrival <= now)?;
        self.in_flight -= piece.len();
        Some(piece)
    }
}

impl SimulatedLink {
    /// Connects a consumer's worker with the worker that has `directory`. Channels are opened through the mailbox; a
    /// partition that is added later is told by [`on_partition_added`](Self::on_partition_added).
    #[must_use]
    pub fn connect(
        consumer: Arc<ConnectionSettings>,
        producer: Arc<ConnectionSettings>,
        directory: Arc<dyn PartitionDirectory>,
        options: LinkOptions,
        now: Duration,
    ) -> (Self, Arc<Mailbox>) {
        let (client_awake, client_wake) = flag();
        let (server_awake, server_wake) = flag();
        let mailbox = Mailbox::new(client_wake);
        let decoder = FrameDecoder::for_elements(Arc::new(SegmentPool::default()), consumer.max_element);
        let client = ClientConnection::new(consumer, "the simulated worker".to_owned(), Arc::clone(&mailbox), now);
        let server = ServerConnection::new(producer, directory, server_wake, now);
        let partition_listener = server.partition_listener();
        let link = Self {
            consumer: End::new(Box::new(client), decoder, client_awake),
            producer: End::new(Box::new(server), FrameDecoder::for_control(), server_awake),
            options,
            random: Rng::with_seed(options.seed),
            partition_listener,
        };
        (link, mailbox)
    }

    /// A partition was added to the producer's directory.
    pub fn on_partition_added(&self) {
        (self.partition_listener)();
    }

    /// Moves on by one decision of chance. `Ok(false)`: nothing can happen before [`next_event`](Self::next_event).
    ///
    /// # Errors
    /// The connection broke; both sides have ended all channels.
    pub fn step(&mut self, now: Duration) -> Result<bool, ConnectionError> {
        let consumer_first = self.chance(2) == 0;
        let result = self.step_both(now, consumer_first);
        if let Err(error) = &result {
            self.consumer.side.shut_down(error);
            self.producer.side.shut_down(error);
        }
        result
    }

    /// Breaks the connection, as a lost network would.
    pub fn sever(&mut self) {
        let error = ConnectionError::Io("the simulated network was cut".to_owned());
        self.consumer.side.shut_down(&error);
        self.producer.side.shut_down(&error);
    }

    /// The next time at which something happens by itself.
    #[must_use]
    pub fn next_event(&self) -> Duration {
        let arrivals = [&self.consumer, &self.producer].into_iter().filter_map(|end| end.travelling.front());
        let timers = self.consumer.side.deadline().min(self.producer.side.deadline());
        arrivals.map(|(arrival, _)| *arrival).fold(timers, Duration::min)
    }

    /// Highest number of bytes that the producer's side had encoded and not delivered.
    #[must_use]
    pub fn peak_bytes(&self) -> usize {
        self.producer.peak
    }

    fn step_both(&mut self, now: Duration, consumer_first: bool) -> Result<bool, ConnectionError> {
        let mut progress = self.consumer.wake(now)? | self.producer.wake(now)?;
        for to_producer in [consumer_first, !consumer_first] {
            progress |= self.send(now, to_producer)?;
            progress |= self.deliver(now, to_producer)?;
        }
        Ok(progress)
    }

    fn send(&mut self, now: Duration, to_producer: bool) -> Result<bool, ConnectionError> {
        let (delay, piece, postponed) = (self.delay(), self.piece(), self.chance(4) == 0);
        let window = self.options.window;
        let end = if to_producer { &mut self.consumer } else { &mut self.producer };
        end.side.fill(&mut end.outgoing, window);
        let size = piece.min(end.outgoing.len()).min(window.saturating_sub(end.in_flight));
        end.peak = end.peak.max(end.outgoing.len() + end.in_flight);
        if size == 0 {
            return Ok(false);
        }
        if !postponed {
            let rest = end.outgoing.split_off(size);
            let bytes = std::mem::replace(&mut end.outgoing, rest);
            // Pieces stay in order, as the bytes of a connection do.
            let arrival = end.travelling.back().map_or(now + delay, |(last, _)| (*last).max(now + delay));
            end.in_flight += size;
            end.travelling.push_back((arrival, bytes));
        }
        Ok(true)
    }

    fn deliver(&mut self, now: Duration, to_producer: bool) -> Result<bool, ConnectionError> {
        let (from, to) = if to_producer {
            (&mut self.consumer, &mut self.producer)
        } else {
            (&mut self.producer, &mut self.consumer)
        };
        let Some(bytes) = from.arrived(now) else { return Ok(false) };
        to.receive(now, &bytes)?;
        Ok(true)
    }

    fn delay(&mut self) -> Duration {
        let nanos = u64::try_from(self.options.max_delay.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.chance(nanos.saturating_add(1).max(1)))
    }

    fn piece(&mut self) -> usize {
        let limit = self.options.max_piece.max(1) as u64;
        // Small pieces are as likely as large ones: borders of frames are where mistakes are.
        let bits = self.chance(u64::from(limit.ilog2()) + 1);
        (self.chance(limit >> bits).saturating_add(1)).try_into().unwrap_or(usize::MAX)
    }

    /// A number below `limit`.
    fn chance(&mut self, limit: u64) -> u64 {
        self.random.u64(..limit.max(1))
    }
}

fn flag() -> (Arc<AtomicBool>, Wake) {
    let awake = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&awake);
    (awake, Arc::new(move || noted.store(true, Ordering::Release)))
}

/// Reads `bytes` as what a consumer (or, with `elements`, a producer) sent, cut into pieces of `piece` bytes, and says
/// how many frames there were. What the decoders do with bytes of any origin, for tests and fuzzing.
///
/// # Errors
/// The bytes are not a sequence of frames.
pub fn decode_all(bytes: &[u8], elements: bool, piece: usize) -> Result<usize, FrameError> {
    let mut decoder = if elements {
        FrameDecoder::for_elements(Arc::new(SegmentPool::default()), 1 << 20)
    } else {
        FrameDecoder::for_control()
    };
    let mut frames = 0;
    for part in bytes.chunks(piece.max(1)) {
        decoder.extend(part);
        while decoder.next_frame()?.is_some() {
            frames += 1;
        }
    }
    Ok(frames)
}
