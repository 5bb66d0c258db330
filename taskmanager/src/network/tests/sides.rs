use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flink_protocol::task_manager::FailureKind;

use super::super::client::ClientConnection;
use super::super::decoder::{FrameDecoder, SegmentPool};
use super::super::endpoint::{ConnectionEndpoint, ConnectionError};
use super::super::frame::{ChannelFailure, Element, Failure, Frame, PartitionRequest};
use super::super::mailbox::{ChannelHandle, Mailbox};
use super::super::server::{EVENT_OVERDRAFT, ServerConnection};
use super::*;

const NOW: Duration = Duration::from_secs(100);

fn server(directory: &Arc<Directory>) -> ServerConnection {
    let mut server = ServerConnection::new(
        Arc::new(settings("producer")),
        Arc::clone(directory) as Arc<dyn PartitionDirectory>,
        Arc::new(|| {}),
        NOW,
    );
    server.on_frame(NOW, Frame::Hello(settings("consumer").hello)).unwrap();
    server
}

fn request(channel: u32, number: u32, credit: u32) -> Frame {
    Frame::PartitionRequest(PartitionRequest { channel, partition: partition(number), subpartition: 0, credit })
}

/// What a side has to send, as frames.
fn frames(side: &mut dyn ConnectionEndpoint) -> Vec<Frame> {
    let mut out = Vec::new();
    side.fill(&mut out, 1 << 20);
    let mut decoder = FrameDecoder::for_elements(Arc::new(SegmentPool::default()), 1 << 20);
    if !matches!(out.get(4), None | Some(1)) {
        // A decoder expects a Hello first.
        let mut hello = Vec::new();
        Frame::Hello(settings("x").hello).encode(&mut hello);
        decoder.extend(&hello);
        decoder.next_frame().unwrap();
    }
    decoder.extend(&out);
    std::iter::from_fn(|| decoder.next_frame().unwrap()).filter(|frame| !matches!(frame, Frame::Hello(_))).collect()
}

fn elements(frames: &[Frame]) -> Vec<(u32, u32)> {
    let element = |frame: &Frame| match frame {
        Frame::Element(element) => Some((element.channel, element.sequence)),
        _ => None,
    };
    frames.iter().filter_map(element).collect()
}

#[test]
fn ready_channels_take_turns_within_their_credit() {
    let directory = Arc::new(Directory::default());
    let mut server = server(&directory);
    for number in 0..3 {
        let queue = Arc::new(Queue::default());
        (0..5).for_each(|_| queue.push(Item::Data(vec![1; 10])));
        directory.add(partition(number), 0, &queue);
        server.on_frame(NOW, request(number, number, 2 + number)).unwrap();
    }
    let sent = elements(&frames(&mut server));
    assert_eq!(sent, [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1), (1, 2), (2, 2), (2, 3)]);
    server.on_frame(NOW, Frame::AddCredit { channel: 0, credit: 2 }).unwrap();
    assert_eq!(elements(&frames(&mut server)), [(0, 2), (0, 3)]);
}

#[test]
fn events_go_ahead_of_credit_and_data_does_not() {
    let directory = Arc::new(Directory::default());
    let queue = Arc::new(Queue::default());
    directory.add(partition(0), 0, &queue);
    let mut server = server(&directory);
    server.on_frame(NOW, request(0, 0, 1)).unwrap();
    queue.push(Item::Data(vec![1]));
    (0..20).for_each(|_| queue.push(Item::Event(vec![2])));
    let sent = frames(&mut server).len() as i64;
    assert_eq!(sent, 1 + EVENT_OVERDRAFT, "what a consumer holds stays bounded");
    server.on_frame(NOW, Frame::AddCredit { channel: 0, credit: 12 }).unwrap();
    assert_eq!(frames(&mut server).len(), 12);
    queue.push(Item::Data(vec![1]));
    server.on_wake(NOW).unwrap();
    assert_eq!(frames(&mut server), []);
}

#[test]
fn the_end_of_a_partition_waits_for_no_credit() {
    let directory = Arc::new(Directory::default());
    let queue = Arc::new(Queue::default());
    directory.add(partition(0), 0, &queue);
    let mut server = server(&directory);
    server.on_frame(NOW, request(0, 0, 0)).unwrap();
    assert_eq!(frames(&mut server), []);
    queue.push(Item::Last(vec![2]));
    server.on_wake(NOW).unwrap();
    assert!(matches!(frames(&mut server)[..], [Frame::Element(Element { event: true, last: true, .. })]));
    assert_eq!(queue.closed(), ["all was read"]);
}

#[test]
fn a_partition_that_comes_late_is_found_and_one_that_never_comes_is_told() {
    let directory = Arc::new(Directory::default());
    let mut server = server(&directory);
    server.on_frame(NOW, request(0, 0, 1)).unwrap();
    server.on_frame(NOW, request(1, 1, 1)).unwrap();
    let queue = Arc::new(Queue::default());
    queue.push(Item::Data(vec![1]));
    directory.add(partition(0), 0, &queue);
    (server.partition_listener())();
    server.on_wake(NOW).unwrap();
    assert_eq!(elements(&frames(&mut server)), [(0, 0)]);
    let late = NOW + Duration::from_secs(10);
    assert_eq!(server.deadline(), late);
    server.on_tick(late).unwrap();
    let [Frame::Failure(failure)] = &frames(&mut server)[..] else { panic!("one failure is due") };
    assert_eq!((failure.channel, failure.kind), (1, ChannelFailure::NotFound));
    assert!(failure.message.contains("is not on this worker"), "{}", failure.message);
}

#[test]
fn a_failed_or_oversized_producer_fails_its_channel_only() {
    let directory = Arc::new(Directory::default());
    let queues: Vec<Arc<Queue>> = (0..3).map(|_| Arc::default()).collect();
    (0..).zip(&queues).for_each(|(number, queue)| directory.add(partition(number), 0, queue));
    directory.add_gone(partition(3), "released");
    queues[0].push(Item::Failed("the task threw".to_owned()));
    queues[1].push(Item::Data(vec![0; (65 << 20) + 1]));
    queues[2].push(Item::Data(vec![0; 5]));
    let mut server = server(&directory);
    (0..4).for_each(|number| server.on_frame(NOW, request(number, number, 1)).unwrap());
    let sent = frames(&mut server);
    let failed = |channel, text: &str| {
        sent.iter().any(|frame| {
            matches!(frame, Frame::Failure(Failure { channel: c, kind: ChannelFailure::ProducerFailed, message })
                if *c == channel && message.contains(text))
        })
    };
    assert!(failed(0, "the task threw") && failed(1, "max-record-size") && failed(3, "released"), "{sent:?}");
    assert_eq!(elements(&sent), [(2, 0)]);
    assert_eq!(server.open_channels(), 1);
}

#[test]
fn another_job_and_a_stale_epoch_are_refused() {
    let check = |hello: Hello, expect: &str| {
        let directory = Arc::new(Directory::default()) as Arc<dyn PartitionDirectory>;
        let mut server = ServerConnection::new(Arc::new(settings("p")), directory, Arc::new(|| {}), NOW);
        let error = server.on_frame(NOW, Frame::Hello(hello.clone())).unwrap_err();
        assert!(matches!(&error, ConnectionError::Refused(reason) if reason.contains(expect)), "{error}");
        assert!(!server.is_established());
        let (mut client, _, _) = client();
        assert_eq!(client.on_frame(NOW, Frame::Hello(hello)), Err(error));
    };
    check(Hello { job: JobId::from_u128(1), ..settings("x").hello }, "belongs to job");
    check(Hello { epoch: 2, ..settings("x").hello }, "stale epoch 2");
    let (mut client, _, _) = client();
    client.on_frame(NOW, Frame::Hello(Hello { epoch: 4, ..settings("x").hello })).unwrap();
}

fn client() -> (ClientConnection, Arc<Mailbox>, Arc<AtomicUsize>) {
    let wakes = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&wakes);
    let mailbox = Mailbox::new(Arc::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    }));
    let client = ClientConnection::new(Arc::new(settings("consumer")), "peer:1".to_owned(), Arc::clone(&mailbox), NOW);
    (client, mailbox, wakes)
}

fn opened(client: &mut ClientConnection, mailbox: &Arc<Mailbox>, credit: u32) -> (Arc<Inbox>, ChannelHandle) {
    let inbox = Arc::new(Inbox::default());
    let handle = mailbox.open_channel(partition(0), 0, credit, inbox.clone()).unwrap();
    client.on_wake(NOW).unwrap();
    (inbox, handle)
}

fn element(channel: u32, sequence: u32, event: bool) -> Frame {
    let payload = Bytes::from_static(b"x");
    Frame::Element(Element { channel, sequence, backlog: 3, event, last: false, payload })
}

#[test]
fn credit_is_announced_by_halves() {
    let (mut client, mailbox, wakes) = client();
    let (_inbox, handle) = opened(&mut client, &mailbox, 8);
    frames(&mut client);
    let before = wakes.load(Ordering::Relaxed);
    (0..3).for_each(|_| handle.add_credit(1));
    assert_eq!(wakes.load(Ordering::Relaxed), before, "the connection is not woken for little");
    handle.add_credit(1);
    handle.add_credit(1);
    assert_eq!(wakes.load(Ordering::Relaxed), before + 1);
    client.on_wake(NOW).unwrap();
    assert_eq!(frames(&mut client), [Frame::AddCredit { channel: 0, credit: 5 }]);
}

#[test]
fn gaps_and_elements_without_credit_fail_the_channel() {
    let check = |elements: &[Frame], expect: &str| {
        let (mut client, mailbox, _) = client();
        let (inbox, _handle) = opened(&mut client, &mailbox, 2);
        frames(&mut client);
        for element in elements {
            client.on_frame(NOW, element.clone()).unwrap();
        }
        let [failure] = inbox.failures().try_into().unwrap();
        assert!(failure.message.contains(expect), "{}", failure.message);
        assert_eq!(frames(&mut client), [Frame::CancelChannel { channel: 0 }]);
    };
    check(&[element(0, 0, false), element(0, 2, false)], "element 2 came where 1 was due");
    check(&[element(0, 0, false), element(0, 0, false)], "element 0 came where 1 was due");
    check(&[element(0, 0, false), element(0, 1, false), element(0, 2, false)], "element 2 came without credit");
    let events: Vec<Frame> = (0..3 + EVENT_OVERDRAFT as u32).map(|n| element(0, n, true)).collect();
    check(&events, "element 10 came without credit");
}

#[test]
fn a_channel_that_was_never_opened_ends_the_connection() {
    let (mut client, mailbox, _) = client();
    let (inbox, handle) = opened(&mut client, &mailbox, 2);
    drop(handle);
    client.on_wake(NOW).unwrap();
    client.on_frame(NOW, element(0, 0, false)).unwrap();
    assert_eq!((inbox.len(), inbox.failures().len()), (0, 0));
    assert!(client.on_frame(NOW, element(1, 0, false)).is_err());
}

#[test]
fn failures_of_the_producer_and_of_the_connection_are_told_apart() {
    let (mut client, mailbox, _) = client();
    let (failed, _handle) = opened(&mut client, &mailbox, 2);
    let (lost, _other) = opened(&mut client, &mailbox, 2);
    let failure = Failure { channel: 0, kind: ChannelFailure::ProducerFailed, message: "it threw".to_owned() };
    client.on_frame(NOW, Frame::Failure(failure)).unwrap();
    client.shut_down(&ConnectionError::Io("Connection reset by peer (os error 104)".to_owned()));
    let partition = partition(0);
    let [failed] = failed.failures().try_into().unwrap();
    assert_eq!(failed.kind, FailureKind::PartitionUnavailable { partition });
    assert!(failed.message.contains("peer:1") && failed.message.contains("it threw"), "{}", failed.message);
    let [lost] = lost.failures().try_into().unwrap();
    assert_eq!(lost.kind, FailureKind::ConnectionLost { partition });
    assert!(lost.message.contains("peer:1") && lost.message.contains("os error 104"), "{}", lost.message);
}

#[test]
fn silence_is_asked_about_and_then_ends_the_connection() {
    let (mut client, mailbox, _) = client();
    let (_inbox, _handle) = opened(&mut client, &mailbox, 2);
    client.on_frame(NOW, Frame::Hello(settings("p").hello)).unwrap();
    frames(&mut client);
    let idle = settings("x").idle_timeout;
    let mut now = client.deadline();
    client.on_tick(now).unwrap();
    assert_eq!(frames(&mut client), [Frame::Ping]);
    client.on_frame(now, Frame::Pong).unwrap();
    now = client.deadline();
    client.on_tick(now).unwrap();
    assert_eq!(frames(&mut client), [Frame::Ping]);
    now = client.deadline();
    assert_eq!(client.on_tick(now), Err(ConnectionError::Idle(idle)));
}

#[test]
fn a_connection_without_channels_ends_after_a_while() {
    let (mut client, mailbox, _) = client();
    client.on_frame(NOW, Frame::Hello(settings("p").hello)).unwrap();
    let later = NOW + settings("x").linger;
    let (_inbox, handle) = opened(&mut client, &mailbox, 2);
    client.on_tick(later).unwrap();
    assert!(!client.is_done());
    drop(handle);
    client.on_wake(later).unwrap();
    let last = client.deadline();
    assert!(last <= later + settings("x").linger);
    client.on_frame(later, Frame::Pong).unwrap();
    client.on_tick(later + settings("x").linger).unwrap();
    assert!(client.is_done());
    assert!(mailbox.open_channel(partition(0), 0, 1, Arc::new(Inbox::default())).is_none());
}
