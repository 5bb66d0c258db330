//! Hostile bytes on the port of the REST API: nothing crashes, hangs or grows. A binary of its own, because what it
//! measures is the memory of the whole process.
#![cfg(feature = "rest")]
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may

use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use flink_appmaster::rest::{AccessToken, Answer, Cancellation, ClusterView, RestOptions, serve};
use flink_graph::{Configuration, JobId};
use flink_protocol::overview::{ClusterOverview, JobDetails, JobSummary, TaskManagerSummary};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const MAX_GROWTH_BYTES: u64 = 8 << 20;

/// A cluster in which nothing happens.
struct Idle;

impl ClusterView for Idle {
    fn configuration(&self) -> Configuration {
        Configuration::default()
    }

    fn overview(&self) -> Answer<'_, ClusterOverview> {
        Box::pin(ready(Ok(ClusterOverview::default())))
    }

    fn jobs(&self) -> Answer<'_, Vec<JobSummary>> {
        Box::pin(ready(Ok(vec![])))
    }

    fn job(&self, _: JobId) -> Answer<'_, Option<JobDetails>> {
        Box::pin(ready(Ok(None)))
    }

    fn task_managers(&self) -> Answer<'_, Vec<TaskManagerSummary>> {
        Box::pin(ready(Ok(vec![])))
    }

    fn cancel(&self, _: JobId) -> Answer<'_, Cancellation> {
        Box::pin(ready(Ok(Cancellation::UnknownJob)))
    }
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * rustix::param::page_size() as u64
}

/// Sends bytes until the server has enough, and reads what it says, up to its end of the connection.
async fn attack(address: SocketAddr, pieces: impl IntoIterator<Item = &[u8]>) -> usize {
    let stream = timeout(Duration::from_secs(60), TcpStream::connect(address)).await.unwrap().unwrap();
    let (mut read, mut write) = stream.into_split();
    let sending = async {
        for piece in pieces {
            if write.write_all(piece).await.is_err() {
                break;
            }
        }
        let _ = write.shutdown().await;
    };
    let reading = async {
        let (mut buffer, mut total) = ([0; 4096], 0);
        while let Ok(count @ 1..) = read.read(&mut buffer).await {
            total += count;
        }
        total
    };
    let both = async { tokio::join!(sending, reading).1 };
    timeout(Duration::from_secs(60), both).await.expect("the server keeps a connection that it should end")
}

async fn is_well(address: SocketAddr) -> bool {
    let request = b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".as_slice();
    attack(address, [request]).await > 0
}

async fn random_bytes(address: SocketAddr, random: &mut Rng, buffer: &mut [u8]) {
    for _ in 0..300 {
        let length = 1 + random.usize(..buffer.len());
        random.fill(&mut buffer[..length]);
        attack(address, [&buffer[..length]]).await;
    }
}

async fn damaged_requests(address: SocketAddr, random: &mut Rng) {
    let request =
        b"PATCH /v1/jobs/a3e2f8ff5e70b18d42e7c088680073cb?mode=cancel&get=%zz HTTP/1.1\r\nHost: localhost\r\n\
        Authorization: Bearer a-token-for-the-tests\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}";
    for _ in 0..500 {
        let mut damaged = request.to_vec();
        for _ in 0..=random.usize(..4) {
            let place = random.usize(..damaged.len());
            damaged[place] = random.u8(..);
        }
        damaged.truncate(1 + random.usize(..damaged.len()));
        attack(address, [damaged.as_slice()]).await;
    }
}

async fn huge_heads(address: SocketAddr) {
    let block = [b'a'; 4096];
    let endless = |begin: &'static [u8]| std::iter::once(begin).chain(std::iter::repeat_n(block.as_slice(), 4096));
    attack(address, endless(b"GET /")).await;
    attack(address, endless(b"GET /v1/jobs HTTP/1.1\r\nHost: ")).await;
    attack(address, endless(b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ")).await;
    attack(address, endless(b"")).await;
    let many = std::iter::repeat_n(b"x-header: value\r\n".as_slice(), 100_000);
    attack(address, std::iter::once(b"GET /v1/jobs HTTP/1.1\r\n".as_slice()).chain(many)).await;
}

async fn huge_bodies(address: SocketAddr) {
    let head = b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".as_slice();
    let chunk = [b"1000\r\n".as_slice(), &[b'b'; 4096], b"\r\n"].concat();
    attack(address, std::iter::once(head).chain(std::iter::repeat_n(chunk.as_slice(), 4096))).await;
    let head = b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 18446744073709551615\r\n\r\n".as_slice();
    attack(address, std::iter::once(head).chain(std::iter::repeat_n(chunk.as_slice(), 4096))).await;
    let pipelined = std::iter::repeat_n(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".as_slice(), 2000);
    attack(address, pipelined).await;
}

/// More silent clients than there are places; the others are served when the first have timed out.
async fn slow_clients(address: SocketAddr) {
    let mut silent = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /v1/jobs HTTP/1.1\r\nHost: lo").await.unwrap();
        silent.push(stream);
    }
    assert!(is_well(address).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_bytes_neither_crash_nor_grow_the_server() {
    let mut options = RestOptions::new("127.0.0.1", 0);
    options.token = Some(AccessToken::new("a-token-for-the-tests").unwrap());
    options.head_timeout = Duration::from_millis(500);
    let server = serve(options, Arc::new(Idle)).await.unwrap();
    let address = server.address();
    let mut random = Rng::with_seed(1);
    let mut buffer = vec![0; 64 << 10];
    // The first round fills the pools of allocator and runtime.
    let mut before = 0;
    for round in 0..3 {
        random_bytes(address, &mut random, &mut buffer).await;
        damaged_requests(address, &mut random).await;
        huge_heads(address).await;
        huge_bodies(address).await;
        slow_clients(address).await;
        assert!(is_well(address).await, "round {round}");
        if round == 0 {
            before = resident_bytes();
        }
    }
    let growth = resident_bytes().saturating_sub(before);
    assert!(growth < MAX_GROWTH_BYTES, "grew by {growth} bytes from {before}");
    println!("resident {before} bytes after the first round, {growth} more after two others");
    server.shut_down().await;
}
