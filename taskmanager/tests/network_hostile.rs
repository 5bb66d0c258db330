//! Hostile bytes on the data port. In a process of its own, because it looks at the memory of the process.

// Helpers of a test may fail like the test itself.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fastrand::Rng;
use flink_graph::{ExecutionAttemptId, JobId, JobVertexId, PartitionId};
use flink_protocol::task_manager::TaskFailure;
use flink_taskmanager::network::endpoint::ConnectionSettings;
use flink_taskmanager::network::frame::{Frame, Hello};
use flink_taskmanager::network::{
    DataPlane, DataPlaneConfig, DataPlaneTls, OpenError, PartitionDirectory, ReadOutcome, RemoteChannel,
    SubpartitionView,
};
use flink_transport::{CertificateAuthority, Role};

const JOB: JobId = JobId::from_u128(7);
const TIMEOUT: Duration = Duration::from_secs(60);
const ALLOWED_GROWTH: usize = 8 << 20;

fn partition() -> PartitionId {
    let vertex = JobVertexId::from_u128(1);
    PartitionId { output: 0, producer: ExecutionAttemptId { job: JOB, vertex, subtask: 0, attempt: 0, epoch: 1 } }
}

struct OneElement;

impl SubpartitionView for OneElement {
    fn read_next(&self, buffer: &mut Vec<u8>) -> ReadOutcome {
        buffer.extend_from_slice(b"ours");
        ReadOutcome::Event { last: true }
    }

    fn backlog(&self) -> u32 {
        1
    }

    fn set_listener(&self, listener: Arc<dyn Fn() + Send + Sync>) {
        listener();
    }

    fn close(&self, _reason: &str) {}
}

struct Directory;

impl PartitionDirectory for Directory {
    fn open(&self, _partition: PartitionId, _subpartition: u32) -> Result<Arc<dyn SubpartitionView>, OpenError> {
        Ok(Arc::new(OneElement))
    }

    fn set_listener(&self, _listener: Arc<dyn Fn() + Send + Sync>) {}
}

struct Heard(Sender<Result<Bytes, TaskFailure>>);

impl RemoteChannel for Heard {
    fn on_element(&self, element: Bytes) {
        self.0.send(Ok(element)).ok();
    }

    fn on_failure(&self, failure: TaskFailure) {
        self.0.send(Err(failure)).ok();
    }
}

fn plane(tls: Option<DataPlaneTls>) -> DataPlane {
    let mut settings = ConnectionSettings::new(Hello { job: JOB, epoch: 1, worker: "w".to_owned() });
    settings.handshake_timeout = Duration::from_secs(5);
    DataPlane::listen(DataPlaneConfig::new("127.0.0.1", settings), Arc::new(Directory), tls).unwrap()
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn hostile_bytes(random: &mut Rng) -> Vec<u8> {
    let mut hello = Vec::new();
    Frame::Hello(Hello { job: JOB, epoch: 1, worker: "w".to_owned() }).encode(&mut hello);
    match random.u8(..8) {
        0 => (0..random.usize(..3000)).map(|_| random.u8(..)).collect(),
        1 => vec![0xff, 0xff, 0xff, 0x7f, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3],
        2 => [&hello[..], &[0xff, 0xff, 0xff, 0x7f, 4, 0, 0, 0, 0, 0, 0, 0], &[7; 60_000]].concat(),
        3 => hello[..hello.len() / 2].to_vec(),
        4 => b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(50),
        // A TLS record that claims the largest size and never ends.
        5 => [&[0x16, 0x03, 0x01, 0x40, 0x00][..], &vec![1; random.usize(..16_384)]].concat(),
        // An endless handshake message.
        6 => [0x16, 0x03, 0x01, 0x00, 0x04, 0x01, 0xff, 0xff, 0xff].repeat(2000),
        _ => {
            let at = random.usize(..hello.len());
            hello[at] ^= 1 << random.u8(..8);
            hello.repeat(100)
        }
    }
}

fn attack(address: SocketAddr, random: &mut Rng) {
    let Ok(mut socket) = TcpStream::connect(address) else { return };
    // The other side may close at any moment.
    socket.write_all(&hostile_bytes(random)).ok();
    if random.u8(..4) == 0 {
        socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        drop(socket.read(&mut [0; 4096]));
    }
}

fn check_serves(producer: &DataPlane, consumer: &DataPlane) {
    let (sender, receiver) = channel();
    let address = producer.local_address().to_string();
    let _handle = consumer.open_channel(&address, partition(), 0, 1, Arc::new(Heard(sender)));
    assert_eq!(receiver.recv_timeout(TIMEOUT).unwrap().unwrap(), "ours");
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn many_hostile_connections(tls: Option<DataPlaneTls>) {
    let producer = plane(tls.clone());
    let mut random = Rng::with_seed(42);
    (0..500).for_each(|_| attack(producer.local_address(), &mut random));
    let before = resident_bytes();
    (0..5000).for_each(|_| attack(producer.local_address(), &mut random));
    let growth = resident_bytes().saturating_sub(before);
    assert!(growth < ALLOWED_GROWTH, "the process grew by {growth} bytes");
    check_serves(&producer, &plane(tls));
}

/// Strangers who hold their connections open are bounded in number and time, and keep nobody out.
fn connections_held_open(tls: Option<DataPlaneTls>) {
    let producer = plane(tls.clone());
    let consumer = plane(tls);
    let files = open_files();
    let before = resident_bytes();
    let held: Vec<TcpStream> = (0..300)
        .map(|_| {
            let mut socket = TcpStream::connect(producer.local_address()).unwrap();
            socket.write_all(&[0x16, 0x03, 0x01, 0x40, 0x00, 1]).ok();
            socket
        })
        .collect();
    check_serves(&producer, &consumer);
    // 300 ends are ours; of the other ends 64 strangers are kept, and the consumer's connection has two.
    wait_for("strangers are dropped", || open_files() <= files + 300 + 64 + 2);
    let growth = resident_bytes().saturating_sub(before);
    assert!(growth < ALLOWED_GROWTH, "the process grew by {growth} bytes");
    wait_for("strangers are given up", || open_files() <= files + 300 + 2);
    check_serves(&producer, &consumer);
    drop(held);
}

/// A producer that answers with damaged or endless frames fails its channel and takes no memory.
fn hostile_producers() {
    let consumer = plane(None);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut random = Rng::with_seed(7);
    let mut before = 0;
    for round in 0..300 {
        let (sender, receiver) = channel();
        let handle = consumer.open_channel(&address, partition(), 0, 1, Arc::new(Heard(sender)));
        let (mut socket, _) = listener.accept().unwrap();
        socket.write_all(&hostile_bytes(&mut random)).ok();
        drop(socket);
        receiver.recv_timeout(TIMEOUT).unwrap().unwrap_err();
        drop(handle);
        if round == 100 {
            before = resident_bytes();
        }
    }
    let growth = resident_bytes().saturating_sub(before);
    assert!(growth < ALLOWED_GROWTH, "the process grew by {growth} bytes");
}

#[test]
fn hostile_bytes_neither_crash_nor_grow_the_process() {
    let authority = CertificateAuthority::new("test").unwrap();
    let tls = DataPlaneTls::from_material(&authority.issue(Role::Worker, "w", 1).unwrap()).unwrap();
    for tls in [None, Some(tls)] {
        many_hostile_connections(tls.clone());
        connections_held_open(tls);
    }
    hostile_producers();
}
