use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use flink_graph::PortRange;
use flink_graph::configuration::ConfigValue;
use flink_protocol::task_manager::FailureKind;
use flink_transport::{CertificateAuthority, Role};

use super::super::frame::Frame;
use super::super::{DataPlane, DataPlaneConfig, DataPlaneTls};
use super::*;

const TIMEOUT: Duration = Duration::from_secs(60);

/// A channel whose consumer is the test.
struct Heard(Sender<Result<Bytes, TaskFailure>>);

impl RemoteChannel for Heard {
    fn on_element(&self, element: Bytes) {
        self.0.send(Ok(element)).ok();
    }

    fn on_failure(&self, failure: TaskFailure) {
        self.0.send(Err(failure)).ok();
    }
}

fn heard() -> (Arc<Heard>, Receiver<Result<Bytes, TaskFailure>>) {
    let (sender, receiver) = channel();
    (Arc::new(Heard(sender)), receiver)
}

fn plane(settings: ConnectionSettings, directory: &Arc<Directory>, tls: Option<DataPlaneTls>) -> DataPlane {
    let config = DataPlaneConfig::new("127.0.0.1", settings);
    DataPlane::listen(config, Arc::clone(directory) as Arc<dyn PartitionDirectory>, tls).unwrap()
}

fn impatient(worker: &str) -> ConnectionSettings {
    let short = Duration::from_millis(300);
    ConnectionSettings { handshake_timeout: short, idle_timeout: short, linger: short, ..settings(worker) }
}

fn tls_of(authority: &CertificateAuthority, role: Role) -> DataPlaneTls {
    DataPlaneTls::from_material(&authority.issue(role, "w-1", 3).unwrap()).unwrap()
}

fn secured() -> [Option<DataPlaneTls>; 2] {
    let authority = CertificateAuthority::new("test").unwrap();
    [None, Some(tls_of(&authority, Role::Worker))]
}

#[test]
fn two_workers_exchange_both_ways_with_and_without_tls() {
    for tls in secured() {
        let directories = [Arc::new(Directory::default()), Arc::new(Directory::default())];
        let planes = [plane(settings("a"), &directories[0], tls.clone()), plane(settings("b"), &directories[1], tls)];
        let queues: Vec<Arc<Queue>> = (0..10).map(|_| Arc::default()).collect();
        let mut channels = Vec::new();
        for (number, queue) in (0..).zip(&queues) {
            let (here, there) = (number as usize % 2, (number as usize + 1) % 2);
            let (heard, receiver) = heard();
            let address = planes[here].local_address().to_string();
            let handle = planes[there].open_channel(&address, partition(number), 0, 3, heard);
            // The producer of every third channel is deployed after its consumer.
            if number % 3 == 0 {
                std::thread::sleep(Duration::from_millis(20));
            }
            directories[here].add(partition(number), 0, queue);
            channels.push((handle, receiver));
        }
        let producer = std::thread::spawn(move || {
            for round in 0..200_u32 {
                queues.iter().for_each(|queue| queue.push(Item::Data(vec![round as u8; 1 + round as usize * 97])));
            }
            // One element is larger than all buffers.
            queues[0].push(Item::Data(vec![9; 3 << 20]));
            queues.iter().for_each(|queue| queue.push(Item::Last(vec![])));
        });
        for (number, (handle, receiver)) in channels.iter().enumerate() {
            for round in 0..200_u32 {
                let element = receiver.recv_timeout(TIMEOUT).unwrap().unwrap();
                assert_eq!(element, vec![round as u8; 1 + round as usize * 97]);
                handle.add_credit(1);
            }
            if number == 0 {
                assert_eq!(receiver.recv_timeout(TIMEOUT).unwrap().unwrap().len(), 3 << 20);
            }
            assert_eq!(receiver.recv_timeout(TIMEOUT).unwrap().unwrap(), Bytes::new());
        }
        producer.join().unwrap();
        assert!(planes[0].bytes_received() > 200 * 97 * 100 && planes[1].bytes_sent() > 200 * 97 * 100);
    }
}

fn failure_of(consumer: &DataPlane, address: &str) -> TaskFailure {
    let (heard, receiver) = heard();
    let _handle = consumer.open_channel(address, partition(0), 0, 2, heard);
    receiver.recv_timeout(TIMEOUT).unwrap().unwrap_err()
}

fn check_refused(consumer: &DataPlane, address: &str, expect: &str) {
    let failure = failure_of(consumer, address);
    assert_eq!(failure.kind, FailureKind::ConnectionLost { partition: partition(0) });
    assert!(failure.message.contains(address) && failure.message.contains(expect), "{}", failure.message);
}

#[test]
fn another_job_and_a_stale_epoch_are_refused_over_sockets() {
    let directory = Arc::new(Directory::default());
    for tls in secured() {
        let producer = plane(settings("p"), &directory, tls.clone());
        let address = producer.local_address().to_string();
        let mut other = settings("c");
        other.hello.job = JobId::from_u128(5);
        check_refused(&plane(other, &directory, tls.clone()), &address, "refuses the connection: this worker belongs");
        let mut stale = settings("c");
        stale.hello.epoch = 2;
        check_refused(&plane(stale, &directory, tls), &address, "stale epoch 2");
    }
}

#[test]
fn strangers_to_the_cluster_are_refused() {
    let directory = Arc::new(Directory::default());
    let queue = Arc::new(Queue::default());
    queue.push(Item::Data(b"secret".to_vec()));
    directory.add(partition(0), 0, &queue);
    let authority = CertificateAuthority::new("ours").unwrap();
    let foreign = CertificateAuthority::new("theirs").unwrap();
    let producer = plane(settings("p"), &directory, Some(tls_of(&authority, Role::Worker)));
    let address = producer.local_address().to_string();
    let consumer = |tls| plane(settings("c"), &directory, tls);
    check_refused(&consumer(None), &address, "lost");
    check_refused(&consumer(Some(tls_of(&foreign, Role::Worker))), &address, "TLS");
    // A certificate of the cluster, but of a client.
    check_refused(&consumer(Some(tls_of(&authority, Role::Client))), &address, "lost");
    // TLS to a port without it.
    let plain = plane(settings("p"), &directory, None);
    check_refused(&consumer(Some(tls_of(&authority, Role::Worker))), &plain.local_address().to_string(), "lost");
    assert_eq!(queue.len(), 1, "nothing was read");
}

#[test]
fn a_plaintext_peer_gets_nothing_out_of_a_tls_port() {
    let directory = Arc::new(Directory::default());
    let [_, tls] = secured();
    let producer = plane(settings("p"), &directory, tls);
    let mut socket = TcpStream::connect(producer.local_address()).unwrap();
    let mut hello = Vec::new();
    Frame::Hello(settings("c").hello).encode(&mut hello);
    socket.write_all(&hello).unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).ok();
    // At most a TLS alert.
    assert!(answer.is_empty() || answer[0] == 21, "{answer:?}");
}

#[test]
fn a_worker_that_is_not_there_or_does_not_answer_is_named() {
    let directory = Arc::new(Directory::default());
    let consumer = plane(impatient("c"), &directory, None);
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    check_refused(&consumer, &gone, "Connection refused");
    check_refused(&consumer, "no such address", "no connection");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    check_refused(&consumer, &silent.local_addr().unwrap().to_string(), "did not finish the handshake");
}

#[test]
fn a_peer_that_falls_silent_is_given_up() {
    let directory = Arc::new(Directory::default());
    let consumer = plane(impatient("c"), &directory, None);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let peer = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut hello = Vec::new();
        Frame::Hello(settings("p").hello).encode(&mut hello);
        socket.write_all(&hello).unwrap();
        let mut rest = Vec::new();
        socket.read_to_end(&mut rest).ok();
    });
    let started = Instant::now();
    check_refused(&consumer, &address, "nothing was heard from the peer for 300 ms");
    assert!(started.elapsed() >= Duration::from_millis(300));
    peer.join().unwrap();
}

#[test]
fn an_idle_connection_lives_on_and_an_unused_one_is_closed() {
    let directory = Arc::new(Directory::default());
    let queue = Arc::new(Queue::default());
    directory.add(partition(0), 0, &queue);
    let second = Duration::from_secs(1);
    let soon_idle = |worker| ConnectionSettings { idle_timeout: second, linger: second, ..settings(worker) };
    let producer = plane(soon_idle("p"), &directory, None);
    let consumer = plane(soon_idle("c"), &directory, None);
    let address = producer.local_address().to_string();
    let (first, receiver) = heard();
    let handle = consumer.open_channel(&address, partition(0), 0, 2, first);
    std::thread::sleep(second * 3);
    queue.push(Item::Data(b"late".to_vec()));
    assert_eq!(receiver.recv_timeout(TIMEOUT).unwrap().unwrap(), "late");
    drop(handle);
    std::thread::sleep(second * 2);
    assert!(receiver.try_recv().is_err(), "a canceled channel is not told of anything");
    queue.push(Item::Data(b"again".to_vec()));
    let (second, receiver) = heard();
    let _handle = consumer.open_channel(&address, partition(0), 0, 2, second);
    assert_eq!(receiver.recv_timeout(TIMEOUT).unwrap().unwrap(), "again");
}

#[test]
fn a_missing_partition_and_a_failed_producer_are_told_from_a_lost_connection() {
    let directory = Arc::new(Directory::default());
    directory.add_gone(partition(1), "its task was canceled");
    let mut short = settings("p");
    short.handshake_timeout = Duration::from_millis(200);
    let producer = plane(short, &directory, None);
    let consumer = plane(settings("c"), &directory, None);
    let address = producer.local_address().to_string();
    let failure = failure_of(&consumer, &address);
    assert_eq!(failure.kind, FailureKind::PartitionUnavailable { partition: partition(0) });
    let (heard_gone, receiver) = heard();
    let _handle = consumer.open_channel(&address, partition(1), 0, 2, heard_gone);
    let failure = receiver.recv_timeout(TIMEOUT).unwrap().unwrap_err();
    assert_eq!(failure.kind, FailureKind::PartitionUnavailable { partition: partition(1) });
    assert!(failure.message.contains("its task was canceled"), "{}", failure.message);
}

#[test]
fn the_end_of_a_worker_ends_both_sides_of_its_channels() {
    for own_runtime in [true, false] {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let directory = Arc::new(Directory::default());
        let queue = Arc::new(Queue::default());
        directory.add(partition(0), 0, &queue);
        let mut config = DataPlaneConfig::new("127.0.0.1", settings("p"));
        config.runtime = (!own_runtime).then(|| runtime.handle().clone());
        let producer = DataPlane::listen(config, directory.clone(), None).unwrap();
        let consumer = plane(settings("c"), &directory, None);
        let (inbox, receiver) = heard();
        let _handle = consumer.open_channel(&producer.local_address().to_string(), partition(0), 0, 2, inbox);
        queue.push(Item::Data(vec![1]));
        receiver.recv_timeout(TIMEOUT).unwrap().unwrap();
        drop(producer);
        let failure = receiver.recv_timeout(TIMEOUT).unwrap().unwrap_err();
        assert_eq!(failure.kind, FailureKind::ConnectionLost { partition: partition(0) });
        let deadline = Instant::now() + TIMEOUT;
        while queue.closed().is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(queue.closed().len(), 1);
    }
}

#[test]
fn the_first_free_port_of_a_range_is_taken() {
    let directory = Arc::new(Directory::default());
    let first = plane(settings("a"), &directory, None);
    let taken = first.local_address().port();
    let listen = |ports: &str| {
        let mut config = DataPlaneConfig::new("127.0.0.1", settings("b"));
        config.ports = PortRange::parse(ports).unwrap();
        DataPlane::listen(config, Arc::clone(&directory) as Arc<dyn PartitionDirectory>, None)
    };
    let error = listen(&taken.to_string()).err().unwrap().to_string();
    assert!(error.contains("taskmanager.data.port") && error.contains(&taken.to_string()), "{error}");
    let second = listen(&format!("{taken},{}-65535", taken.saturating_add(1))).unwrap();
    assert!(second.local_address().port() > taken);
}
