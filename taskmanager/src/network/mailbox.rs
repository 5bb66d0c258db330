//! What consumers say to their side of a connection, from any thread and without waiting.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use flink_graph::PartitionId;

use super::RemoteChannel;
use super::endpoint::{Wake, lock};

/// What a consumer said.
pub(super) enum Command {
    /// Open a channel.
    Open(OpenChannel),
    /// Enough of a channel's credit is free to be announced.
    Credit(u32),
    /// The consumer does not want the channel any more.
    Cancel(u32),
}

pub(super) struct OpenChannel {
    pub(super) id: u32,
    pub(super) partition: PartitionId,
    pub(super) subpartition: u32,
    pub(super) initial_credit: u32,
    pub(super) channel: Arc<dyn RemoteChannel>,
    pub(super) shared: Arc<SharedChannel>,
}

/// What a handle and its connection both see of a channel.
#[derive(Debug, Default)]
pub(super) struct SharedChannel {
    /// Credit that the producer does not know of.
    unannounced: AtomicU32,
    backlog: AtomicU32,
}

impl SharedChannel {
    pub(super) fn take_credit(&self) -> u32 {
        self.unannounced.swap(0, Ordering::AcqRel)
    }

    pub(super) fn set_backlog(&self, backlog: u32) {
        self.backlog.store(backlog, Ordering::Relaxed);
    }
}

/// The way to the consumer's side of one connection.
pub struct Mailbox {
    state: Mutex<State>,
    wake: Wake,
}

#[derive(Default)]
struct State {
    commands: Vec<Command>,
    channels_opened: u32,
    closed: bool,
}

impl Mailbox {
    /// A mailbox whose owner is called by `wake` when something came after it was emptied.
    #[must_use]
    pub fn new(wake: Wake) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), wake })
    }

    /// Opens a channel that reads a subpartition. `None` when the connection has ended: a new one is needed.
    ///
    /// The channel is told of elements and of its failure from the connection's thread. When the handle is dropped,
    /// a call that is under way may still finish.
    #[must_use]
    pub fn open_channel(
        self: &Arc<Self>,
        partition: PartitionId,
        subpartition: u32,
        initial_credit: u32,
        channel: Arc<dyn RemoteChannel>,
    ) -> Option<ChannelHandle> {
        let shared = Arc::new(SharedChannel::default());
        let id = {
            let mut state = lock(&self.state);
            // The last number stands for the connection itself.
            if state.closed || state.channels_opened == u32::MAX {
                return None;
            }
            let id = state.channels_opened;
            state.channels_opened += 1;
            let shared = Arc::clone(&shared);
            state.commands.push(Command::Open(OpenChannel {
                id,
                partition,
                subpartition,
                initial_credit,
                channel,
                shared,
            }));
            id
        };
        (self.wake)();
        let announce_at = initial_credit.div_ceil(2).max(1);
        Some(ChannelHandle { id, announce_at, shared, mailbox: Arc::clone(self) })
    }

    fn post(&self, command: Command) {
        let first = {
            let mut state = lock(&self.state);
            if state.closed {
                return;
            }
            state.commands.push(command);
            state.commands.len() == 1
        };
        if first {
            (self.wake)();
        }
    }

    pub(super) fn take(&self) -> Vec<Command> {
        std::mem::take(&mut lock(&self.state).commands)
    }

    /// Number of channels that were ever opened: a producer that names another one is wrong.
    pub(super) fn channels_opened(&self) -> u32 {
        lock(&self.state).channels_opened
    }

    /// Closes the mailbox and takes what nobody will carry out any more.
    pub(super) fn close(&self) -> Vec<Command> {
        let mut state = lock(&self.state);
        state.closed = true;
        std::mem::take(&mut state.commands)
    }

    /// Closes the mailbox if nothing came; says whether it did.
    pub(super) fn close_if_empty(&self) -> bool {
        let mut state = lock(&self.state);
        state.closed = state.closed || state.commands.is_empty();
        state.closed
    }
}

/// The consumer's hold on a remote channel. Dropping it cancels the channel.
pub struct ChannelHandle {
    id: u32,
    announce_at: u32,
    shared: Arc<SharedChannel>,
    mailbox: Arc<Mailbox>,
}

impl ChannelHandle {
    /// The handle of a channel that never had a connection.
    pub(super) fn detached() -> Self {
        let mailbox = Mailbox::new(Arc::new(|| {}));
        mailbox.close();
        Self { id: 0, announce_at: 1, shared: Arc::default(), mailbox }
    }

    /// Says that `count` elements, data or events, were taken, so that as many more may come. Never blocks; the
    /// connection is told when half of the initial credit has come together, which still keeps the producer busy.
    pub fn add_credit(&self, count: u32) {
        let before = self.shared.unannounced.fetch_add(count, Ordering::AcqRel);
        if before < self.announce_at && before.saturating_add(count) >= self.announce_at {
            self.mailbox.post(Command::Credit(self.id));
        }
    }

    /// Number of elements that the producer had ready when it sent the last one.
    #[must_use]
    pub fn backlog(&self) -> u32 {
        self.shared.backlog.load(Ordering::Relaxed)
    }
}

impl Drop for ChannelHandle {
    fn drop(&mut self) {
        self.mailbox.post(Command::Cancel(self.id));
    }
}
