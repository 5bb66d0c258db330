//! The connections between simulated workers: both state machines of production, over simulated bytes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use flink_graph::JobId;
use flink_protocol::task_manager::{FailureKind, InputChannelDescriptor, TaskFailure};
use flink_taskmanager::input::{ChannelConnector, CreditReturn, RemoteInbox};
use flink_taskmanager::network::endpoint::ConnectionSettings;
use flink_taskmanager::network::frame::Hello;
use flink_taskmanager::network::mailbox::Mailbox;
use flink_taskmanager::network::simulated::{LinkOptions, SimulatedLink};
use flink_taskmanager::network::{PartitionDirectory, RemoteChannel};
use flink_taskmanager::operator::BoxError;
use flink_taskmanager::partitions::Partitions;

use crate::deployment::address;
use crate::random::Random;
use crate::settings::Settings;

struct Link {
    consumer: usize,
    producer: usize,
    link: SimulatedLink,
    mailbox: Arc<Mailbox>,
    /// Whether a step may move something now.
    active: bool,
}

impl Link {
    fn touches(&self, worker: usize) -> bool {
        self.consumer == worker || self.producer == worker
    }
}

struct State {
    links: Vec<Link>,
    random: Random,
    now: Duration,
    dead: Vec<bool>,
}

/// All connections.
pub(crate) struct Network {
    state: Mutex<State>,
    job: JobId,
    settings: Settings,
    partitions: Vec<Arc<Partitions>>,
    added: Vec<Arc<AtomicBool>>,
}

impl Network {
    pub(crate) fn new(job: JobId, settings: &Settings, partitions: &[Arc<Partitions>], random: Random) -> Arc<Self> {
        let added = partitions.iter().map(|partitions| listen(partitions)).collect();
        let dead = vec![false; partitions.len()];
        let state = Mutex::new(State { links: Vec::new(), random, now: Duration::ZERO, dead });
        Arc::new(Self { state, job, settings: settings.clone(), partitions: partitions.to_vec(), added })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// A task of a worker was stepped: whatever it did for its links is there now.
    pub(crate) fn after_task(&self, worker: usize, now: Duration) {
        let mut state = self.lock();
        state.now = now;
        let added = self.added[worker].swap(false, Ordering::AcqRel);
        for link in state.links.iter_mut().filter(|link| link.touches(worker)) {
            link.active = true;
            if added && link.producer == worker {
                link.link.on_partition_added();
            }
        }
    }

    pub(crate) fn active(&self) -> usize {
        self.lock().links.iter().filter(|link| link.active).count()
    }

    /// Steps the active link number `choice`; says which it was and what it came to.
    pub(crate) fn step(&self, choice: usize, now: Duration) -> (usize, bool) {
        let mut state = self.lock();
        state.now = now;
        let (index, link) = state.links.iter_mut().enumerate().filter(|(_, link)| link.active).nth(choice).unwrap();
        let moved = link.link.step(now).expect("two healthy sides");
        link.active = moved;
        (index, moved)
    }

    /// Has every link that has something to do at this time take part again.
    pub(crate) fn wake_due(&self, now: Duration) {
        for link in &mut self.lock().links {
            link.active |= link.link.next_event() <= now;
        }
    }

    pub(crate) fn next_event(&self) -> Option<Duration> {
        self.lock().links.iter().map(|link| link.link.next_event()).min()
    }

    /// Cuts one connection; says between which workers (consumer, producer) it was.
    pub(crate) fn sever(&self, choice: usize) -> Option<(usize, usize)> {
        let mut state = self.lock();
        if state.links.is_empty() {
            return None;
        }
        let index = choice % state.links.len();
        let mut link = state.links.remove(index);
        drop(state);
        link.link.sever();
        Some((link.consumer, link.producer))
    }

    /// Cuts all connections of a worker that is gone, for good.
    pub(crate) fn kill(&self, worker: usize) {
        let mut state = self.lock();
        state.dead[worker] = true;
        let (gone, left) = std::mem::take(&mut state.links).into_iter().partition(|link| link.touches(worker));
        state.links = left;
        drop(state);
        let gone: Vec<Link> = gone;
        gone.into_iter().for_each(|mut link| link.link.sever());
    }

    /// The highest number of bytes that any producer's side held.
    pub(crate) fn peak_bytes(&self) -> usize {
        self.lock().links.iter().map(|link| link.link.peak_bytes()).max().unwrap_or(0)
    }

    fn link(&self, state: &mut State, consumer: usize, producer: usize) -> Link {
        let connection_settings = |worker: usize| {
            let hello = Hello { job: self.job, epoch: 1, worker: format!("worker-{worker}") };
            let day = Duration::from_secs(86_400);
            // Neither silence nor idleness ends a connection here, so that nothing but the job moves.
            Arc::new(ConnectionSettings { idle_timeout: day, linger: day, ..ConnectionSettings::new(hello) })
        };
        let options = LinkOptions {
            seed: state.random.next(),
            max_delay: self.settings.max_link_delay,
            max_piece: self.settings.max_piece,
            window: self.settings.window,
        };
        let directory: Arc<dyn PartitionDirectory> = self.partitions[producer].clone();
        let (link, mailbox) = SimulatedLink::connect(
            connection_settings(consumer),
            connection_settings(producer),
            directory,
            options,
            state.now,
        );
        Link { consumer, producer, link, mailbox, active: true }
    }
}

/// What notes that a partition was added to a worker.
fn listen(partitions: &Partitions) -> Arc<AtomicBool> {
    let added = Arc::new(AtomicBool::new(false));
    let noted = added.clone();
    partitions.set_listener(Arc::new(move || noted.store(true, Ordering::Release)));
    added
}

/// The network as one worker sees it.
pub(crate) struct Connector {
    pub(crate) worker: usize,
    pub(crate) network: Arc<Network>,
}

impl ChannelConnector for Connector {
    fn is_local(&self, channel: &InputChannelDescriptor) -> bool {
        channel.data_address == address(self.worker)
    }

    fn connect(
        &self,
        channel: &InputChannelDescriptor,
        credit: u32,
        inbox: Arc<RemoteInbox>,
    ) -> Result<Box<dyn CreditReturn>, BoxError> {
        let mut state = self.network.lock();
        let all = 0..self.network.partitions.len();
        let producer = all.into_iter().find(|worker| address(*worker) == channel.data_address);
        let producer = producer.ok_or("there is no such worker")?;
        let partition = channel.partition;
        if state.dead[producer] {
            let message = "connection refused".to_owned();
            inbox.on_failure(TaskFailure { kind: FailureKind::ConnectionLost { partition }, message });
            return Ok(Box::new(NoCredit));
        }
        let place = state.links.iter().position(|link| link.consumer == self.worker && link.producer == producer);
        let place = place.unwrap_or_else(|| {
            let link = self.network.link(&mut state, self.worker, producer);
            state.links.push(link);
            state.links.len() - 1
        });
        let link = &mut state.links[place];
        link.active = true;
        let opened = link.mailbox.open_channel(partition, channel.subpartition, credit, inbox);
        Ok(Box::new(opened.ok_or("the simulated connection has ended")?))
    }
}

struct NoCredit;

impl CreditReturn for NoCredit {
    fn add_credit(&self, _: u32) {}
}
