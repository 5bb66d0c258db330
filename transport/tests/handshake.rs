//! Who is let in, over real sockets.

#![allow(clippy::unwrap_used)] // helpers of tests are not seen as tests by the lint

use std::time::Duration;

use flink_protocol::worker::TlsMaterial;
use flink_transport::{Acceptor, CertificateAuthority, Connection, Dialer, HandshakeError, Role};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const LIMIT: u64 = 1 << 20;
const TIMEOUT: Duration = Duration::from_millis(500);

fn acceptor(material: Option<&TlsMaterial>) -> Acceptor {
    let accepted = &[Role::Client, Role::TaskManager];
    Acceptor::new(material, Role::JobManager, accepted, LIMIT, TIMEOUT, 4).unwrap()
}

/// Listens, lets one connection in, and gives the address and what became of it.
async fn listen(acceptor: Acceptor) -> (String, tokio::task::JoinHandle<Result<Connection, HandshakeError>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        acceptor.accept(socket).await
    });
    (address, task)
}

async fn meet(
    server: Option<&TlsMaterial>,
    client: Option<&TlsMaterial>,
    role: Role,
) -> (Result<Connection, HandshakeError>, Result<Connection, HandshakeError>) {
    let (address, served) = listen(acceptor(server)).await;
    let dialer = Dialer::new(client, role, LIMIT, TIMEOUT).unwrap();
    let dialed = dialer.connect(&address, Role::JobManager).await;
    (served.await.unwrap(), dialed)
}

#[tokio::test]
async fn members_of_a_cluster_speak_and_know_each_other() {
    let authority = CertificateAuthority::new("c1").unwrap();
    let server = authority.issue(Role::JobManager, "jm", 4).unwrap();
    let client = authority.issue(Role::TaskManager, "tm-1", 0).unwrap();
    let (served, dialed) = meet(Some(&server), Some(&client), Role::TaskManager).await;
    let (mut served, mut dialed) = (served.unwrap(), dialed.unwrap());
    assert_eq!(served.peer, Role::TaskManager);
    assert_eq!(served.identity.as_ref().map(|peer| peer.name.as_str()), Some("tm-1"));
    assert_eq!(dialed.identity.as_ref().map(|peer| peer.epoch), Some(4));
    served.writer.write(&"x".repeat(10_000)).await.unwrap();
    assert_eq!(dialed.reader.read::<String>().await.unwrap().map(|text| text.len()), Some(10_000));
}

#[tokio::test]
async fn without_tls_the_greeting_alone_decides() {
    let (served, dialed) = meet(None, None, Role::Client).await;
    assert_eq!(served.unwrap().peer, Role::Client);
    assert_eq!(dialed.unwrap().identity, None);
    let (served, dialed) = meet(None, None, Role::Worker).await;
    assert!(served.is_err());
    assert!(dialed.unwrap_err().to_string().contains("a worker has no business on this port"));
}

#[tokio::test]
async fn strangers_are_refused() {
    let ours = CertificateAuthority::new("c1").unwrap();
    let foreign = CertificateAuthority::new("c1").unwrap();
    let server = ours.issue(Role::JobManager, "jm", 0).unwrap();
    let stranger = foreign.issue(Role::Client, "mallory", 0).unwrap();

    let (served, dialed) = meet(Some(&server), Some(&stranger), Role::Client).await;
    assert!(matches!(served, Err(HandshakeError::Tls(_))), "{served:?}");
    assert!(dialed.is_err());

    // The server does not know the client's authority although the client trusts the server's.
    let half = TlsMaterial { authority: server.authority.clone(), ..stranger };
    let (served, dialed) = meet(Some(&server), Some(&half), Role::Client).await;
    assert!(matches!(served, Err(HandshakeError::Tls(_))), "{served:?}");
    assert!(dialed.is_err());

    let (served, dialed) = meet(Some(&server), None, Role::Client).await;
    assert!(matches!(served, Err(HandshakeError::Tls(_))), "plaintext: {served:?}");
    assert!(matches!(dialed, Err(HandshakeError::NotOurProtocol | HandshakeError::Broken(_))), "{dialed:?}");

    let client = ours.issue(Role::Client, "alice", 0).unwrap();
    let (served, dialed) = meet(None, Some(&client), Role::Client).await;
    assert!(matches!(served, Err(HandshakeError::NotOurProtocol)), "{served:?}");
    assert!(dialed.is_err());
}

#[tokio::test]
async fn a_role_is_not_borrowed() {
    let authority = CertificateAuthority::new("c1").unwrap();
    let server = authority.issue(Role::JobManager, "jm", 0).unwrap();
    let client = authority.issue(Role::Client, "alice", 0).unwrap();
    let (_, dialed) = meet(Some(&server), Some(&client), Role::TaskManager).await;
    assert!(dialed.unwrap_err().to_string().contains("is shown by a taskmanager"));

    // A worker's certificate does not make a JobManager, though it is of the right authority.
    let worker = authority.issue(Role::Worker, "w", 0).unwrap();
    let (_, dialed) = meet(Some(&worker), Some(&client), Role::Client).await;
    assert!(matches!(dialed, Err(HandshakeError::Tls(_))), "{dialed:?}");
}

#[tokio::test]
async fn hostile_bytes_are_turned_away() {
    let authority = CertificateAuthority::new("c1").unwrap();
    let server = authority.issue(Role::JobManager, "jm", 0).unwrap();
    for material in [None, Some(&server)] {
        for seed in 0..40_u32 {
            let (address, served) = listen(acceptor(material)).await;
            let mut socket = TcpStream::connect(&address).await.unwrap();
            let mut bytes = vec![0; 3_000];
            fastrand::Rng::with_seed(seed.into()).fill(&mut bytes);
            match seed % 4 {
                0 => bytes[..4].copy_from_slice(&u32::MAX.to_be_bytes()),
                1 => bytes[..4].copy_from_slice(&1_000_u32.to_be_bytes()),
                2 => bytes = b"GET / HTTP/1.1\r\n\r\n".to_vec(),
                _ => {}
            }
            let _ = socket.write_all(&bytes).await;
            let _ = socket.shutdown().await;
            assert!(served.await.unwrap().is_err());
        }
    }
}

#[tokio::test]
async fn the_silent_and_the_many_are_bounded() {
    let acceptor = acceptor(None);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut silent = Vec::new();
    let mut tasks = Vec::new();
    for _ in 0..6 {
        silent.push(TcpStream::connect(address).await.unwrap());
        let (socket, _) = listener.accept().await.unwrap();
        let acceptor = acceptor.clone();
        tasks.push(tokio::spawn(async move { acceptor.accept(socket).await }));
        tokio::task::yield_now().await;
    }
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap().unwrap_err());
    }
    let crowded = outcomes.iter().filter(|error| matches!(error, HandshakeError::Crowded)).count();
    let late = outcomes.iter().filter(|error| matches!(error, HandshakeError::TimedOut(_))).count();
    assert_eq!((crowded, late), (2, 4), "{outcomes:?}");
    // The connection of a silent peer is really closed.
    assert_eq!(silent[0].read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn nobody_there_is_said_with_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let dialer = Dialer::new(None, Role::Client, LIMIT, TIMEOUT).unwrap();
    let error = dialer.connect(&address, Role::JobManager).await.unwrap_err().to_string();
    assert!(error.contains(&address), "{error}");
}

#[tokio::test]
async fn channels_carry_messages_and_their_end() {
    let (served, dialed) = meet(None, None, Role::Client).await;
    let mut served = served.unwrap().into_channels::<u32, String>(4, 4, TIMEOUT);
    let mut dialed = dialed.unwrap().into_channels::<String, u32>(4, 4, TIMEOUT);
    for number in 0..100 {
        dialed.outgoing.send(number).await.unwrap();
        served.outgoing.send(number.to_string()).await.unwrap();
        assert_eq!(served.incoming.recv().await, Some(number));
        assert_eq!(dialed.incoming.recv().await, Some(number.to_string()));
    }
    // What was said before the end arrives, even when nobody listens for answers any more.
    served.outgoing.send("last".to_owned()).await.unwrap();
    drop(served);
    assert_eq!(dialed.incoming.recv().await.as_deref(), Some("last"));
    assert_eq!(dialed.incoming.recv().await, None);
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_disconnected() {
    let (served, dialed) = meet(None, None, Role::Client).await;
    let mut served = served.unwrap().into_channels::<u32, Vec<u8>>(4, 4, Duration::from_millis(50));
    let piece = vec![0_u8; 512 << 10];
    let mut sent = 0;
    while served.outgoing.send(piece.clone()).await.is_ok() {
        sent += 1;
        assert!(sent < 1000, "it is never disconnected");
    }
    assert_eq!(served.incoming.recv().await, None);
    drop(dialed);
}
