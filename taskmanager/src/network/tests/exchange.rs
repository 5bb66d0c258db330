use std::time::Duration;

use flink_protocol::task_manager::FailureKind;

use super::super::mailbox::{ChannelHandle, Mailbox};
use super::super::server::EVENT_OVERDRAFT;
use super::super::simulated::{LinkOptions, SimulatedLink};
use super::*;

/// A channel of a run: what its producer still has to say, and what its consumer has heard.
struct Channel {
    number: u32,
    to_push: VecDeque<Item>,
    expected: VecDeque<Vec<u8>>,
    queue: Arc<Queue>,
    inbox: Arc<Inbox>,
    handle: Option<ChannelHandle>,
    credit: u32,
    taken: usize,
    added: bool,
}

impl Channel {
    fn new(number: u32, random: &mut Rng, largest: usize) -> Self {
        let count = random.usize(..60);
        let mut to_push: VecDeque<Item> = (0..count).map(|_| item(random, largest)).collect();
        to_push.push_back(Item::Last(bytes(random, 9)));
        let expected = to_push.iter().map(content).collect();
        let credit = 1 + random.usize(..6) as u32;
        let (queue, inbox) = (Arc::default(), Arc::default());
        Self { number, to_push, expected, queue, inbox, handle: None, credit, taken: 0, added: false }
    }

    fn act(&mut self, random: &mut Rng, world: &World<'_>) {
        match random.usize(..8) {
            0 if !self.added => {
                self.added = true;
                world.directory.add(partition(self.number), 2, &self.queue);
                world.link.on_partition_added();
            }
            1 if self.handle.is_none() => {
                let inbox = Arc::clone(&self.inbox);
                self.handle = world.mailbox.open_channel(partition(self.number), 2, self.credit, inbox);
                assert!(self.handle.is_some());
            }
            // Producers stay a few elements ahead, as queues of a bounded size do.
            2 | 3 if self.queue.len() < 4 => self.push(),
            4..=6 => self.take(),
            _ => {}
        }
        assert!(self.inbox.len() as i64 <= i64::from(self.credit) + EVENT_OVERDRAFT, "more than the credit");
        let data_ahead = self.queue.data_read() as i64 - self.taken as i64;
        assert!(data_ahead <= i64::from(self.credit) + EVENT_OVERDRAFT, "more was encoded than credit was given for");
    }

    fn push(&mut self) {
        if let Some(item) = self.to_push.pop_front() {
            self.queue.push(item);
        }
    }

    fn take(&mut self) {
        let Some(element) = self.inbox.take() else { return };
        assert_eq!(Some(element.to_vec()), self.expected.pop_front());
        self.taken += 1;
        if let Some(handle) = &self.handle {
            handle.add_credit(1);
        }
    }

    fn is_done(&self) -> bool {
        self.expected.is_empty()
    }
}

struct World<'a> {
    directory: &'a Directory,
    link: &'a SimulatedLink,
    mailbox: &'a Arc<Mailbox>,
}

fn bytes(random: &mut Rng, size: usize) -> Vec<u8> {
    let first = random.u64(..);
    (0..size).map(|index| (first >> (index % 8)) as u8 ^ index as u8).collect()
}

fn item(random: &mut Rng, largest: usize) -> Item {
    let size = match random.usize(..30) {
        0 => largest / 2 + random.usize(..largest / 2),
        1..=9 => random.usize(..largest / 10),
        10 => 0,
        _ => random.usize(..300),
    };
    let content = bytes(random, size);
    if random.usize(..5) == 0 { Item::Event(content) } else { Item::Data(content) }
}

fn content(item: &Item) -> Vec<u8> {
    match item {
        Item::Data(bytes) | Item::Event(bytes) | Item::Last(bytes) => bytes.clone(),
        Item::Failed(_) => Vec::new(),
    }
}

/// From single bytes to more than a segment.
fn max_piece(seed: u64) -> usize {
    1 << (seed % 18)
}

fn link(directory: &Arc<Directory>, seed: u64) -> (SimulatedLink, Arc<Mailbox>) {
    let options = LinkOptions {
        max_piece: max_piece(seed),
        window: 1 << (7 + seed % 11),
        max_delay: Duration::from_micros(seed % 3 * 700),
        ..LinkOptions::new(seed)
    };
    let directory = Arc::clone(directory) as Arc<dyn PartitionDirectory>;
    SimulatedLink::connect(Arc::new(settings("c")), Arc::new(settings("p")), directory, options, Duration::ZERO)
}

/// Runs one seed to its end; gives the virtual time and the bytes that were encoded at most at once.
fn run(seed: u64) -> (Duration, usize) {
    let mut random = Rng::with_seed(seed ^ 0xdead_beef);
    let directory = Arc::new(Directory::default());
    let (mut link, mailbox) = link(&directory, seed);
    // What a slow link carries is smaller, so that the run ends.
    let largest = (max_piece(seed) * 64).clamp(400, 350_000);
    let mut channels: Vec<Channel> =
        (0..1 + random.usize(..7) as u32).map(|number| Channel::new(number, &mut random, largest)).collect();
    let mut now = Duration::ZERO;
    let mut idle_steps = 0;
    while !channels.iter().all(Channel::is_done) {
        let progress = link.step(now).unwrap();
        idle_steps = if progress { 0 } else { idle_steps + 1 };
        for _ in 0..random.usize(..4) {
            let index = random.usize(..channels.len());
            channels[index].act(&mut random, &World { directory: &directory, link: &link, mailbox: &mailbox });
        }
        if !progress {
            now = now.max(link.next_event().min(now + Duration::from_micros(200)));
        }
        assert!(now < Duration::from_secs(20) && idle_steps < 200_000, "seed {seed}: no end");
    }
    for channel in &channels {
        assert_eq!(channel.inbox.failures(), [], "seed {seed}");
        assert_eq!(channel.queue.closed().len(), 1, "seed {seed}");
    }
    (now, link.peak_bytes())
}

#[test]
fn nothing_is_lost_or_reordered_and_nothing_stops_under_any_seed() {
    for seed in 0..400 {
        let (_, peak) = std::panic::catch_unwind(|| run(seed)).unwrap_or_else(|_| panic!("failed with seed {seed}"));
        // The window of the link, the buffer of the connection, and one element over each.
        assert!(peak < (2 << 17) + 2 * 360_000, "seed {seed}: {peak} bytes were encoded ahead");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [3, 77, 1234] {
        assert_eq!(run(seed), run(seed));
    }
}

#[test]
fn a_cut_connection_fails_every_channel_once_on_both_sides() {
    for seed in 0..100 {
        let mut random = Rng::with_seed(seed);
        let directory = Arc::new(Directory::default());
        let (mut link, mailbox) = link(&directory, seed);
        let queue = Arc::new(Queue::default());
        directory.add(partition(0), 2, &queue);
        queue.push(Item::Data(vec![1; 1000]));
        let (inbox, late) = (Arc::new(Inbox::default()), Arc::new(Inbox::default()));
        let _handle = mailbox.open_channel(partition(0), 2, 2, inbox.clone()).unwrap();
        let mut now = Duration::ZERO;
        for _ in 0..random.usize(..60) {
            link.step(now).unwrap();
            now = now.max(link.next_event().min(now + Duration::from_millis(1)));
        }
        let _late_handle = mailbox.open_channel(partition(0), 2, 2, late.clone()).unwrap();
        link.sever();
        for inbox in [inbox, late] {
            let [failure] = inbox.failures().try_into().unwrap();
            assert_eq!(failure.kind, FailureKind::ConnectionLost { partition: partition(0) });
            assert!(failure.message.contains("the simulated worker"), "{}", failure.message);
        }
        assert!(queue.closed().len() <= 1);
        assert!(mailbox.open_channel(partition(0), 2, 2, Arc::new(Inbox::default())).is_none());
    }
}

#[test]
fn a_dropped_handle_cancels_its_channel_only() {
    for seed in 0..100 {
        let directory = Arc::new(Directory::default());
        let (mut link, mailbox) = link(&directory, seed);
        let queues = [Arc::new(Queue::default()), Arc::new(Queue::default())];
        let inboxes = [Arc::new(Inbox::default()), Arc::new(Inbox::default())];
        for (number, queue) in (0..).zip(&queues) {
            directory.add(partition(number), 2, queue);
            (0..5).for_each(|i| queue.push(Item::Data(vec![i; 60 * max_piece(seed).min(100)])));
            queue.push(Item::Last(Vec::new()));
        }
        let mut handles: Vec<_> = (0..)
            .zip(&inboxes)
            .map(|(number, inbox)| mailbox.open_channel(partition(number), 2, 2, inbox.clone()))
            .collect();
        let mut now = Duration::ZERO;
        for step in 0..20_000 {
            link.step(now).unwrap();
            now = now.max(link.next_event().min(now + Duration::from_millis(1)));
            if step == seed * 5 {
                handles[0] = None;
            }
            if inboxes[1].take().is_some() {
                handles[1].as_ref().unwrap().add_credit(1);
            }
        }
        assert!(queues[0].closed().len() == 1 && queues[1].closed() == ["all was read"], "seed {seed}");
        assert_eq!([inboxes[0].failures(), inboxes[1].failures()], [[], []]);
    }
}
