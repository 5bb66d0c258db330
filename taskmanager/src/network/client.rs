//! The consumer's side of a connection.
//!
//! It opens channels for those who ask through its `Mailbox`, hands their elements on in order, and announces their
//! credit. What comes for a channel that is not there any more was on its way when the channel ended, and is dropped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flink_graph::PartitionId;
use flink_protocol::task_manager::{FailureKind, TaskFailure};

use super::RemoteChannel;
use super::endpoint::{ConnectionEndpoint, ConnectionError, ConnectionSettings};
use super::frame::{CONNECTION_CHANNEL, Element, Failure, Frame, Hello, PartitionRequest};
use super::liveness::{Liveness, Probe};
use super::mailbox::{Command, Mailbox, OpenChannel, SharedChannel};
use super::server::EVENT_OVERDRAFT;

/// Bytes of frames that wait for a producer's worker that does not read them.
const MAX_OUTGOING: usize = 16 << 20;

/// The consumer's side of one connection.
pub struct ClientConnection {
    settings: Arc<ConnectionSettings>,
    /// Who is at the other end, for messages.
    peer: String,
    phase: Phase,
    mailbox: Arc<Mailbox>,
    channels: BTreeMap<u32, Inbound>,
    /// Frames to be sent.
    outgoing: Vec<u8>,
    liveness: Liveness,
    /// Since when there is no channel.
    unused_since: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    AwaitingHello { deadline: Duration },
    Established,
    ShutDown,
}

struct Inbound {
    partition: PartitionId,
    channel: Arc<dyn RemoteChannel>,
    shared: Arc<SharedChannel>,
    /// Number of the element that comes next.
    sequence: u32,
    /// Elements that the producer may still send.
    credit: i64,
}

impl Inbound {
    fn accept(&mut self, element: &Element) -> Result<(), String> {
        if element.sequence != self.sequence {
            return Err(format!("element {} came where {} was due", element.sequence, self.sequence));
        }
        let least = if element.event { -EVENT_OVERDRAFT } else { 0 };
        if self.credit <= least {
            return Err(format!("element {} came without credit", element.sequence));
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.credit -= 1;
        self.shared.set_backlog(element.backlog);
        Ok(())
    }

    fn fail(&self, kind: FailureKind, message: String) {
        self.channel.on_failure(TaskFailure { kind, message });
    }

    fn connection_lost(&self, peer: &str, problem: &str) {
        let message =
            format!("the connection to {peer} was lost while reading partition {}: {problem}", self.partition);
        self.fail(FailureKind::ConnectionLost { partition: self.partition }, message);
    }
}

impl ClientConnection {
    /// A connection to the worker that `peer` names (in messages), which serves `mailbox`.
    #[must_use]
    pub fn new(settings: Arc<ConnectionSettings>, peer: String, mailbox: Arc<Mailbox>, now: Duration) -> Self {
        let mut outgoing = Vec::new();
        Frame::Hello(settings.hello.clone()).encode(&mut outgoing);
        Self {
            phase: Phase::AwaitingHello { deadline: now + settings.handshake_timeout },
            liveness: Liveness::new(settings.idle_timeout, now),
            settings,
            peer,
            mailbox,
            channels: BTreeMap::new(),
            outgoing,
            unused_since: Some(now),
        }
    }

    /// Number of open channels.
    #[must_use]
    pub fn open_channels(&self) -> usize {
        self.channels.len()
    }

    fn on_hello(&mut self, peer: &Hello) -> Result<(), ConnectionError> {
        self.settings.check_peer(peer)?;
        self.phase = Phase::Established;
        if !peer.worker.is_empty() {
            self.peer = format!("{} ({})", self.peer, peer.worker);
        }
        Ok(())
    }

    fn open(&mut self, request: OpenChannel) {
        let OpenChannel { id, partition, subpartition, initial_credit, channel, shared } = request;
        let credit = initial_credit;
        Frame::PartitionRequest(PartitionRequest { channel: id, partition, subpartition, credit })
            .encode(&mut self.outgoing);
        self.channels.insert(id, Inbound { partition, channel, shared, sequence: 0, credit: credit.into() });
        self.unused_since = None;
    }

    fn announce_credit(&mut self, id: u32) {
        let Some(inbound) = self.channels.get_mut(&id) else { return };
        let credit = inbound.shared.take_credit();
        if credit > 0 {
            inbound.credit += i64::from(credit);
            Frame::AddCredit { channel: id, credit }.encode(&mut self.outgoing);
        }
    }

    fn cancel(&mut self, now: Duration, id: u32) {
        if self.remove(now, id).is_some() {
            Frame::CancelChannel { channel: id }.encode(&mut self.outgoing);
        }
    }

    fn remove(&mut self, now: Duration, id: u32) -> Option<Inbound> {
        let inbound = self.channels.remove(&id);
        if self.channels.is_empty() && self.unused_since.is_none() {
            self.unused_since = Some(now);
        }
        inbound
    }

    fn on_element(&mut self, now: Duration, element: Element) -> Result<(), ConnectionError> {
        let id = element.channel;
        let Some(inbound) = self.channels.get_mut(&id) else { return self.check_known(id) };
        if let Err(problem) = inbound.accept(&element) {
            inbound.connection_lost(&self.peer, &problem);
            self.cancel(now, id);
            return Ok(());
        }
        inbound.channel.on_element(element.payload);
        if element.last {
            self.remove(now, id);
        }
        Ok(())
    }

    fn on_ping(&mut self) -> Result<(), ConnectionError> {
        if self.outgoing.len() > MAX_OUTGOING {
            return Err(ConnectionError::Refused("it asks for more than it reads".to_owned()));
        }
        Frame::Pong.encode(&mut self.outgoing);
        Ok(())
    }

    fn check_known(&self, id: u32) -> Result<(), ConnectionError> {
        if id < self.mailbox.channels_opened() {
            return Ok(());
        }
        Err(ConnectionError::Refused(format!("channel {id} was never opened")))
    }

    fn on_failure(&mut self, now: Duration, failure: Failure) -> Result<(), ConnectionError> {
        if failure.channel == CONNECTION_CHANNEL {
            return Err(ConnectionError::RefusedByPeer(failure.message));
        }
        let Some(inbound) = self.remove(now, failure.channel) else { return self.check_known(failure.channel) };
        let partition = inbound.partition;
        let message = format!("partition {partition} cannot be read from {}: {}", self.peer, failure.message);
        inbound.fail(FailureKind::PartitionUnavailable { partition }, message);
        Ok(())
    }

    fn on_command(&mut self, now: Duration, command: Command) {
        match command {
            Command::Open(request) => self.open(request),
            Command::Credit(id) => self.announce_credit(id),
            Command::Cancel(id) => self.cancel(now, id),
        }
    }
}

impl ConnectionEndpoint for ClientConnection {
    fn on_frame(&mut self, now: Duration, frame: Frame) -> Result<(), ConnectionError> {
        self.liveness.heard(now);
        match frame {
            Frame::Element(element) => self.on_element(now, element),
            Frame::Failure(failure) => self.on_failure(now, failure),
            Frame::Hello(hello) => self.on_hello(&hello),
            Frame::Ping => self.on_ping(),
            Frame::Pong => Ok(()),
            Frame::PartitionRequest(_) | Frame::AddCredit { .. } | Frame::CancelChannel { .. } => {
                Err(ConnectionError::Refused("a producer asks for nothing".to_owned()))
            }
        }
    }

    fn on_wake(&mut self, now: Duration) -> Result<(), ConnectionError> {
        for command in self.mailbox.take() {
            self.on_command(now, command);
        }
        Ok(())
    }

    fn on_tick(&mut self, now: Duration) -> Result<(), ConnectionError> {
        if let Phase::AwaitingHello { deadline } = self.phase
            && deadline <= now
        {
            return Err(ConnectionError::HandshakeTimeout(self.settings.handshake_timeout));
        }
        match self.liveness.probe(now) {
            Probe::Wait => {}
            Probe::Ask => Frame::Ping.encode(&mut self.outgoing),
            Probe::GiveUp => return Err(ConnectionError::Idle(self.settings.idle_timeout)),
        }
        let lingered = self.unused_since.is_some_and(|since| since + self.settings.linger <= now);
        if lingered && self.mailbox.close_if_empty() {
            self.phase = Phase::ShutDown;
        }
        Ok(())
    }

    fn deadline(&self) -> Duration {
        let unused = self.unused_since.map_or(Duration::MAX, |since| since + self.settings.linger);
        let phase = match self.phase {
            Phase::AwaitingHello { deadline } => deadline,
            Phase::Established | Phase::ShutDown => Duration::MAX,
        };
        self.liveness.deadline().min(unused).min(phase)
    }

    fn fill(&mut self, out: &mut Vec<u8>, _limit: usize) {
        out.append(&mut self.outgoing);
    }

    fn is_established(&self) -> bool {
        self.phase == Phase::Established
    }

    fn is_done(&self) -> bool {
        self.phase == Phase::ShutDown
    }

    fn refuse(&mut self, _error: &ConnectionError, _out: &mut Vec<u8>) {
        // A producer learns all it needs from the end of the connection.
    }

    fn shut_down(&mut self, error: &ConnectionError) {
        self.phase = Phase::ShutDown;
        for command in self.mailbox.close() {
            // Channels that nobody has asked the producer for yet fail like the others.
            if let Command::Open(request) = command {
                self.open(request);
            } else if let Command::Cancel(id) = command {
                self.channels.remove(&id);
            }
        }
        let problem = error.to_string();
        for inbound in std::mem::take(&mut self.channels).into_values() {
            inbound.connection_lost(&self.peer, &problem);
        }
    }
}

impl Drop for ClientConnection {
    fn drop(&mut self) {
        self.shut_down(&ConnectionError::ShutDown);
    }
}
