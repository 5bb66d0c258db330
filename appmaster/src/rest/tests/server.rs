use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::fake::{self, FakeView, JOB, TOKEN};
use super::http::{get, send};
use crate::rest::{RestOptions, serve};

#[tokio::test]
async fn a_port_in_use_names_the_setting() {
    let view = FakeView::new();
    let server = fake::start(&view).await;
    let taken = RestOptions::new("127.0.0.1", server.address().port());
    let error = serve(taken, Arc::clone(&view) as _).await.unwrap_err().to_string();
    assert!(error.contains("rest.port") && error.contains("127.0.0.1:"), "{error}");
}

#[tokio::test]
async fn the_port_is_free_after_the_shutdown() {
    let view = FakeView::new();
    let server = fake::start(&view).await;
    let address = server.address();
    // A client that says nothing does not hold the shutdown up for long.
    let _silent = TcpStream::connect(address).await.unwrap();
    assert_eq!(get(address, "/v1/jobs").await.status, 200);
    let begin = Instant::now();
    server.shut_down().await;
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
    assert!(TcpStream::connect(address).await.is_err());
    let again = serve(RestOptions::new("127.0.0.1", address.port()), Arc::clone(&view) as _).await.unwrap();
    drop(again);
    let closed = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(60), closed).await.expect("a dropped server ends");
}

#[tokio::test]
async fn slow_and_lasting_connections_end() {
    let view = FakeView::new();
    let mut options = RestOptions::new("127.0.0.1", 0);
    options.head_timeout = Duration::from_millis(100);
    options.connection_lifetime = Duration::from_millis(700);
    let server = serve(options, Arc::clone(&view) as _).await.unwrap();
    let ends = async |mut stream: TcpStream| {
        let mut rest = Vec::new();
        let end = timeout(Duration::from_secs(60), stream.read_to_end(&mut rest)).await;
        assert!(end.is_ok(), "still open after {rest:?}");
    };
    // Half a head; nothing at all; one request and then silence.
    let mut half = TcpStream::connect(server.address()).await.unwrap();
    half.write_all(b"GET /v1/jobs HTTP/1.1\r\nHost: loc").await.unwrap();
    ends(half).await;
    ends(TcpStream::connect(server.address()).await.unwrap()).await;
    let mut idle = TcpStream::connect(server.address()).await.unwrap();
    idle.write_all(b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    ends(idle).await;
    // One that asks without end is told to connect again.
    let mut busy = TcpStream::connect(server.address()).await.unwrap();
    let asking = async {
        let mut buffer = vec![0; 4096];
        loop {
            let asked = busy.write_all(b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
            if asked.is_err() || busy.read(&mut buffer).await.map_or(true, |read| read == 0) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(60), asking).await.expect("a connection has an end");
}

#[tokio::test]
async fn a_body_is_neither_read_nor_waited_for() {
    let view = FakeView::new();
    let server = fake::start(&view).await;
    let bearer = format!("Bearer {TOKEN}");
    let path = format!("/v1/jobs/{JOB}?mode=cancel");
    let patch = async |name: &str, value: &str| {
        send(server.address(), "PATCH", &path, &[("authorization", &bearer), (name, value)]).await
    };
    assert_eq!(patch("content-length", "1000000000").await.status, 413);
    // The body never comes.
    assert_eq!(patch("content-length", "10").await.status, 202);
    assert_eq!(patch("transfer-encoding", "chunked").await.status, 202);
}

/// More clients than there are places: all are served in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_take_turns() {
    let view = FakeView::new();
    let server = fake::start(&view).await;
    let address = server.address();
    let clients: Vec<_> =
        (0..300).map(|_| tokio::spawn(async move { get(address, "/v1/jobs").await.status })).collect();
    for client in clients {
        assert_eq!(client.await.unwrap(), 200);
    }
}
