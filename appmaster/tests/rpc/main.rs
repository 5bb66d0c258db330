//! Hostile bytes on the JobManager's RPC port, with TLS and without: nothing crashes, hangs or grows. A binary of its own,
//! because what it measures is the memory of the whole process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use fastrand::Rng;
use flink_appmaster::server::{Handle, JobManagerServer, ServerOptions};
use flink_graph::Configuration;
use flink_protocol::PROTOCOL_VERSION;
use flink_protocol::client::{ClientRequest, ClientRequestBody, ClientResponse, ClientResponseBody};
use flink_protocol::worker::TlsMaterial;
use flink_transport::{CertificateAuthority, Dialer, Role};
use tokio::runtime::Runtime;

const TIMEOUT: Duration = Duration::from_secs(120);
const MAX_GROWTH_BYTES: usize = 8 << 20;

/// Connections that have not shaken hands of which the JobManager keeps so many.
const MAX_STRANGERS: usize = 64;

/// A JobManager, and a member of its cluster that may speak to it.
struct Server {
    runtime: Runtime,
    handle: Handle,
    client: Option<TlsMaterial>,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start(authority: Option<&CertificateAuthority>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut configuration = Configuration::default();
        configuration.set("jobmanager.rpc.port", "0");
        configuration.set("io.tmp.dirs", folder.path().display().to_string());
        let keys = |role| authority.map(|authority| authority.issue(role, "name", 0).unwrap());
        let started = JobManagerServer::start(ServerOptions::network(configuration, keys(Role::JobManager)));
        let handle = runtime.block_on(started).unwrap();
        Self { runtime, handle, client: keys(Role::Client), _folder: folder }
    }

    fn address(&self) -> SocketAddr {
        self.handle.rpc_address().unwrap()
    }

    /// Whether a client is let in and answered.
    fn answers(&self) -> bool {
        let dialer = Dialer::new(self.client.as_ref(), Role::Client, 1 << 20, TIMEOUT).unwrap();
        self.runtime.block_on(async {
            let Ok(mut connection) = dialer.connect(&self.address().to_string(), Role::JobManager).await else {
                return false;
            };
            let request = ClientRequest { number: 1, body: ClientRequestBody::RequestJobs };
            connection.writer.write(&request).await.unwrap();
            let read = tokio::time::timeout(TIMEOUT, connection.reader.read::<ClientResponse>()).await;
            let answer = read.unwrap().unwrap().unwrap();
            matches!(answer.body, Ok(ClientResponseBody::Jobs(jobs)) if jobs.is_empty())
        })
    }
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn random_bytes(random: &mut Rng, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; random.usize(..most)];
    random.fill(&mut bytes);
    bytes
}

fn frame(length: u32, content: &[u8]) -> Vec<u8> {
    [&length.to_be_bytes()[..], content].concat()
}

/// What a member says first where there is no TLS.
fn greeting(role: &str) -> Vec<u8> {
    let map = [&[0x81, 0xa5][..], b"Hello", &[0x82, 0xb0], b"protocol_version", &[PROTOCOL_VERSION as u8]].concat();
    let text = [&map[..], &[0xa4], b"role", &[0xa0 | role.len() as u8], role.as_bytes()].concat();
    frame(text.len() as u32, &text)
}

fn hostile_bytes(random: &mut Rng) -> Vec<u8> {
    let role = if random.bool() { "client" } else { "taskmanager" };
    let hello = greeting(role);
    match random.u8(..10) {
        0 => random_bytes(random, 3000),
        1 => frame(u32::MAX, &random_bytes(random, 5000)),
        2 => hello[..hello.len() / 2].to_vec(),
        3 => b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(50),
        // A TLS record that claims the largest size and never ends.
        4 => [&[0x16, 0x03, 0x01, 0x40, 0x00][..], &random_bytes(random, 16_384)].concat(),
        // An endless handshake message.
        5 => [0x16, 0x03, 0x01, 0x00, 0x04, 0x01, 0xff, 0xff, 0xff].repeat(2000),
        6 => {
            let mut damaged = hello.clone();
            let at = random.usize(..damaged.len());
            damaged[at] ^= 1 << random.u8(..8);
            damaged.repeat(100)
        }
        // Past the handshake: as much as may be announced, and a part of it; then too much; then what is no message.
        7 => [hello, frame(60 << 20, &random_bytes(random, 60_000))].concat(),
        8 => [hello, frame(u32::MAX, &random_bytes(random, 5000))].concat(),
        _ => (0..20).fold(hello, |mut all, _| {
            let content = random_bytes(random, 200);
            all.extend(frame(content.len() as u32, &content));
            all
        }),
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

fn many_hostile_connections(server: &Server) {
    let mut random = Rng::with_seed(42);
    // The first ones fill the pools of allocator and runtime.
    (0..1000).for_each(|_| attack(server.address(), &mut random));
    assert!(server.answers());
    let before = resident_bytes();
    (0..4000).for_each(|_| attack(server.address(), &mut random));
    wait_for("a member is let in after all that", || server.answers());
    let growth = resident_bytes().saturating_sub(before);
    assert!(growth < MAX_GROWTH_BYTES, "the process grew by {growth} bytes");
}

/// Strangers who hold their connections open are bounded in number and time.
fn connections_held_open(server: &Server) {
    let files = open_files();
    let before = resident_bytes();
    let hold = |_| {
        let mut socket = TcpStream::connect(server.address()).unwrap();
        socket.write_all(&[0x16, 0x03, 0x01, 0x40, 0x00, 1]).ok();
        socket
    };
    let held: Vec<TcpStream> = (0..300).map(hold).collect();
    // 300 ends are ours.
    wait_for("strangers are turned away", || open_files() <= files + 300 + MAX_STRANGERS);
    let growth = resident_bytes().saturating_sub(before);
    assert!(growth < MAX_GROWTH_BYTES, "the process grew by {growth} bytes");
    wait_for("strangers are given up", || open_files() <= files + 300);
    assert!(server.answers());
    drop(held);
}

#[test]
fn hostile_bytes_neither_crash_nor_grow_the_job_manager() {
    let authority = CertificateAuthority::new("test").unwrap();
    for authority in [None, Some(&authority)] {
        let server = Server::start(authority);
        many_hostile_connections(&server);
        connections_held_open(&server);
        server.runtime.block_on(server.handle.shut_down());
    }
}
