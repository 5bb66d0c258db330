//! The producer's side of a connection.
//!
//! ```text
//!             PartitionRequest          credit, element there
//! (nothing) ──────────────────► Ready ◄──────────────────────┐
//!     │ not there yet            │  │ one element a turn      │
//!     ▼                          │  ├──── no credit ────► AwaitingCredit
//!  Waiting ── PartitionAdded ──► │  └──── no element ───► AwaitingData
//!     │ time-out                 │ last element, failure, CancelChannel, connection lost
//!     ▼                          ▼
//!  NotFound                    closed
//! ```
//!
//! Ready channels take turns of one element, so that none starves. An element costs one credit. Events may go up to
//! `EVENT_OVERDRAFT` elements ahead of credit, which the next credits pay, so that a barrier or the end of a partition
//! is not held up by data that the consumer has not taken yet, and so that what a consumer holds stays bounded.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::endpoint::{ConnectionEndpoint, ConnectionError, ConnectionSettings, Wake, lock};
use super::frame::{
    ChannelFailure, ELEMENT_PREFIX_SIZE, Failure, Frame, HEADER_SIZE, PartitionRequest, begin_element, finish_element,
};
use super::liveness::{Liveness, Probe};
use super::{OpenError, PartitionDirectory, ReadOutcome, SubpartitionView};

/// Number of events that may be sent on a channel ahead of its credit.
pub const EVENT_OVERDRAFT: i64 = 8;

/// Bytes of control frames that wait for a peer that does not read them.
const MAX_CONTROL_BACKLOG: usize = 16 << 20;

/// The producer's side of one connection.
pub struct ServerConnection {
    settings: Arc<ConnectionSettings>,
    directory: Arc<dyn PartitionDirectory>,
    phase: Phase,
    channels: BTreeMap<u32, Outbound>,
    /// Channels whose turn comes, each once.
    ready: VecDeque<u32>,
    ready_channels: Arc<ReadyChannels>,
    waiting: Vec<Waiting>,
    /// Control frames to be sent before the next element.
    control: Vec<u8>,
    liveness: Liveness,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    AwaitingHello { deadline: Duration },
    Established,
    ShutDown,
}

struct Outbound {
    view: Arc<dyn SubpartitionView>,
    credit: i64,
    sequence: u32,
    state: ChannelState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChannelState {
    Ready,
    AwaitingData,
    AwaitingCredit,
}

struct Waiting {
    request: PartitionRequest,
    deadline: Duration,
}

/// What became of a channel's turn.
enum Outcome {
    Sent,
    Paused(ChannelState),
    Ended { reason: String },
    Failed { reason: String },
}

/// What producer threads note for the connection.
struct ReadyChannels {
    /// Channels whose views have something again.
    channels: Mutex<BTreeSet<u32>>,
    partition_added: AtomicBool,
    wake: Wake,
}

impl ReadyChannels {
    fn note_channel(&self, channel: u32) {
        let first = {
            let mut channels = lock(&self.channels);
            channels.insert(channel) && channels.len() == 1
        };
        // The connection takes all at once, so that one call is enough for all that come before it does.
        if first {
            (self.wake)();
        }
    }

    fn note_partition(&self) {
        if !self.partition_added.swap(true, Ordering::AcqRel) {
            (self.wake)();
        }
    }

    fn take_channels(&self) -> BTreeSet<u32> {
        std::mem::take(&mut *lock(&self.channels))
    }

    fn take_partition_added(&self) -> bool {
        self.partition_added.swap(false, Ordering::AcqRel)
    }
}

impl ServerConnection {
    /// A connection that was accepted. `wake` is called when views have something.
    #[must_use]
    pub fn new(
        settings: Arc<ConnectionSettings>,
        directory: Arc<dyn PartitionDirectory>,
        wake: Wake,
        now: Duration,
    ) -> Self {
        Self {
            phase: Phase::AwaitingHello { deadline: now + settings.handshake_timeout },
            liveness: Liveness::new(settings.idle_timeout, now),
            settings,
            directory,
            channels: BTreeMap::new(),
            ready: VecDeque::new(),
            ready_channels: Arc::new(ReadyChannels {
                channels: Mutex::default(),
                partition_added: AtomicBool::new(false),
                wake,
            }),
            waiting: Vec::new(),
            control: Vec::new(),
        }
    }

    /// What is to be called, from any thread, when a partition was added to the directory. The directory has one
    /// listener and serves many connections, so that the caller hands this out.
    #[must_use]
    pub fn partition_listener(&self) -> Wake {
        let ready_channels = Arc::clone(&self.ready_channels);
        Arc::new(move || ready_channels.note_partition())
    }

    /// Number of channels that are open or wait for their partition.
    #[must_use]
    pub fn open_channels(&self) -> usize {
        self.channels.len() + self.waiting.len()
    }

    fn on_hello(&mut self, peer: &super::frame::Hello) -> Result<(), ConnectionError> {
        self.settings.check_peer(peer)?;
        self.phase = Phase::Established;
        Frame::Hello(self.settings.hello.clone()).encode(&mut self.control);
        Ok(())
    }

    fn on_request(&mut self, now: Duration, request: PartitionRequest) -> Result<(), ConnectionError> {
        let channel = request.channel;
        let used = self.channels.contains_key(&channel) || self.waiting.iter().any(|w| w.request.channel == channel);
        if used {
            return Err(ConnectionError::Refused(format!("channel {channel} is open already")));
        }
        if self.open_channels() >= self.settings.max_channels {
            return Err(ConnectionError::Refused(format!("more than {} channels", self.settings.max_channels)));
        }
        if let Some(request) = self.try_open(request) {
            self.waiting.push(Waiting { request, deadline: now + self.settings.handshake_timeout });
        }
        Ok(())
    }

    /// Opens a channel, or fails it; gives the request back when its partition is not there yet.
    fn try_open(&mut self, request: PartitionRequest) -> Option<PartitionRequest> {
        match self.directory.open(request.partition, request.subpartition) {
            Ok(view) => self.open(&request, view),
            Err(OpenError::NotFound) => return Some(request),
            Err(OpenError::Gone(reason)) => self.fail(request.channel, ChannelFailure::ProducerFailed, reason),
        }
        None
    }

    fn open(&mut self, request: &PartitionRequest, view: Arc<dyn SubpartitionView>) {
        let (channel, ready_channels) = (request.channel, Arc::clone(&self.ready_channels));
        let outbound = Outbound {
            view: Arc::clone(&view),
            credit: request.credit.into(),
            sequence: 0,
            state: ChannelState::AwaitingData,
        };
        self.channels.insert(channel, outbound);
        view.set_listener(Arc::new(move || ready_channels.note_channel(channel)));
        // A view may have had elements before anyone listened: its first turn finds out.
        self.make_ready(channel);
    }

    fn fail(&mut self, channel: u32, kind: ChannelFailure, message: String) {
        Frame::Failure(Failure { channel, kind, message }).encode(&mut self.control);
    }

    fn make_ready(&mut self, channel: u32) {
        let Some(outbound) = self.channels.get_mut(&channel) else { return };
        if outbound.state != ChannelState::Ready {
            outbound.state = ChannelState::Ready;
            self.ready.push_back(channel);
        }
    }

    fn add_credit(&mut self, channel: u32, credit: u32) {
        // A channel may have ended while the credit was on its way.
        let Some(outbound) = self.channels.get_mut(&channel) else { return };
        outbound.credit = outbound.credit.saturating_add(credit.into());
        if outbound.state == ChannelState::AwaitingCredit {
            self.make_ready(channel);
        }
    }

    fn cancel(&mut self, channel: u32) {
        self.waiting.retain(|waiting| waiting.request.channel != channel);
        self.ready.retain(|&ready| ready != channel);
        self.close(channel, "the consumer does not read it any more");
    }

    fn close(&mut self, channel: u32, reason: &str) {
        if let Some(outbound) = self.channels.remove(&channel) {
            outbound.view.close(reason);
        }
    }

    fn retry_waiting(&mut self) {
        for waiting in std::mem::take(&mut self.waiting) {
            if let Some(request) = self.try_open(waiting.request) {
                self.waiting.push(Waiting { request, deadline: waiting.deadline });
            }
        }
    }

    fn expire_waiting(&mut self, now: Duration) {
        let (late, waiting) = std::mem::take(&mut self.waiting).into_iter().partition(|w| w.deadline <= now);
        self.waiting = waiting;
        for Waiting { request, .. } in late {
            let message = format!(
                "partition {} is not on this worker, and did not appear within {} ms",
                request.partition,
                self.settings.handshake_timeout.as_millis()
            );
            self.fail(request.channel, ChannelFailure::NotFound, message);
        }
    }

    fn take_turn(&mut self, channel: u32, out: &mut Vec<u8>) {
        let Some(outbound) = self.channels.get_mut(&channel) else { return };
        match outbound.send_one(channel, out, self.settings.max_element) {
            Outcome::Sent => self.ready.push_back(channel),
            Outcome::Paused(state) => outbound.state = state,
            Outcome::Ended { reason } => self.close(channel, &reason),
            Outcome::Failed { reason } => {
                self.close(channel, &reason);
                self.fail(channel, ChannelFailure::ProducerFailed, reason);
            }
        }
    }
}

impl Outbound {
    fn send_one(&mut self, channel: u32, out: &mut Vec<u8>, max_element: usize) -> Outcome {
        let may_send = self.credit > 0 || (self.credit > -EVENT_OVERDRAFT && self.view.is_event_next());
        if !may_send {
            return Outcome::Paused(ChannelState::AwaitingCredit);
        }
        let start = begin_element(out, channel, self.sequence);
        let outcome = self.view.read_next(out);
        let (event, last) = match outcome {
            ReadOutcome::Data => (false, false),
            ReadOutcome::Event { last } => (true, last),
            ReadOutcome::Empty => {
                out.truncate(start);
                return Outcome::Paused(ChannelState::AwaitingData);
            }
            ReadOutcome::Failed(reason) => {
                out.truncate(start);
                return Outcome::Failed { reason };
            }
        };
        let size = out.len() - start - HEADER_SIZE - ELEMENT_PREFIX_SIZE;
        if size > max_element {
            out.truncate(start);
            return Outcome::Failed { reason: too_large(size, max_element) };
        }
        finish_element(out, start, event, last, if last { 0 } else { self.view.backlog() });
        self.sequence = self.sequence.wrapping_add(1);
        self.credit -= 1;
        if last { Outcome::Ended { reason: "all was read".to_owned() } } else { Outcome::Sent }
    }
}

fn too_large(size: usize, limit: usize) -> String {
    format!(
        "an element of {size} bytes is over the limit of {limit} bytes: make the record smaller, or raise \
         taskmanager.network.max-record-size"
    )
}

impl ConnectionEndpoint for ServerConnection {
    fn on_frame(&mut self, now: Duration, frame: Frame) -> Result<(), ConnectionError> {
        self.liveness.heard(now);
        match frame {
            Frame::Hello(hello) => self.on_hello(&hello)?,
            Frame::PartitionRequest(request) => self.on_request(now, request)?,
            Frame::AddCredit { channel, credit } => self.add_credit(channel, credit),
            Frame::CancelChannel { channel } => self.cancel(channel),
            Frame::Ping => Frame::Pong.encode(&mut self.control),
            Frame::Pong => {}
            Frame::Element(_) | Frame::Failure(_) => {
                return Err(ConnectionError::Refused("a consumer sends no elements and no failures".to_owned()));
            }
        }
        if self.control.len() > MAX_CONTROL_BACKLOG {
            return Err(ConnectionError::Refused("it asks for more than it reads".to_owned()));
        }
        Ok(())
    }

    fn on_wake(&mut self, _now: Duration) -> Result<(), ConnectionError> {
        for channel in self.ready_channels.take_channels() {
            self.make_ready(channel);
        }
        if self.ready_channels.take_partition_added() {
            self.retry_waiting();
        }
        Ok(())
    }

    fn on_tick(&mut self, now: Duration) -> Result<(), ConnectionError> {
        if let Phase::AwaitingHello { deadline } = self.phase
            && deadline <= now
        {
            return Err(ConnectionError::HandshakeTimeout(self.settings.handshake_timeout));
        }
        self.expire_waiting(now);
        match self.liveness.probe(now) {
            Probe::Wait => {}
            Probe::Ask => Frame::Ping.encode(&mut self.control),
            Probe::GiveUp => return Err(ConnectionError::Idle(self.settings.idle_timeout)),
        }
        Ok(())
    }

    fn deadline(&self) -> Duration {
        match self.phase {
            Phase::AwaitingHello { deadline } => deadline,
            Phase::Established | Phase::ShutDown => {
                self.waiting.iter().map(|waiting| waiting.deadline).fold(self.liveness.deadline(), Duration::min)
            }
        }
    }

    fn fill(&mut self, out: &mut Vec<u8>, limit: usize) {
        while out.len() < limit {
            out.append(&mut self.control);
            let Some(channel) = self.ready.pop_front() else { break };
            self.take_turn(channel, out);
        }
        out.append(&mut self.control);
    }

    fn is_established(&self) -> bool {
        self.phase == Phase::Established
    }

    fn is_done(&self) -> bool {
        self.phase == Phase::ShutDown
    }

    fn refuse(&mut self, error: &ConnectionError, out: &mut Vec<u8>) {
        out.append(&mut self.control);
        if let Some(frame) = error.last_words() {
            frame.encode(out);
        }
    }

    fn shut_down(&mut self, error: &ConnectionError) {
        self.phase = Phase::ShutDown;
        self.waiting.clear();
        self.ready.clear();
        for outbound in std::mem::take(&mut self.channels).into_values() {
            outbound.view.close(&format!("the connection to its consumer ended: {error}"));
        }
    }
}

impl Drop for ServerConnection {
    fn drop(&mut self) {
        self.shut_down(&ConnectionError::ShutDown);
    }
}
