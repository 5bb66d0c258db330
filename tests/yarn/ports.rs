use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use flink_protocol::deployment::WORKER_TLS_SECRET;
use flink_protocol::worker::TlsMaterial;
use flink_test_hadoop::{Cluster, ContainerProcess, Variant};
use flink_transport::{CertificateAuthority, Role, tls};
use hadoop_rpc::Credentials;
use tokio_rustls::rustls;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};

use crate::process::eventually;
use crate::programs::program;
use crate::rest::Rest;
use crate::user::User;

/// How long a connection that is not refused is looked at.
const MOMENT: Duration = Duration::from_secs(2);

/// A client that does not care who the server is: only the server's own check is in its way.
#[derive(Debug)]
struct Anybody(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 is spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What came of a connection.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The server has ended it.
    Refused,
    /// It is open: the server has taken the certificate.
    Open,
}

/// Connects with a certificate, or without one, and waits for what the server makes of it.
fn shake_hands(address: SocketAddr, material: Option<&TlsMaterial>) -> Outcome {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)));
    let config = match material {
        None => builder.with_no_client_auth(),
        Some(material) => {
            let chain =
                CertificateDer::pem_slice_iter(material.certificate.as_bytes()).collect::<Result<_, _>>().unwrap();
            let key = PrivateKeyDer::from_pem_slice(material.private_key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let mut connection = ClientConnection::new(Arc::new(config), tls::server_name(Role::JobManager).unwrap()).unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(MOMENT)).unwrap();
    loop {
        if connection.wants_write() && connection.write_tls(&mut socket).is_err() {
            return Outcome::Refused;
        }
        if connection.wants_write() {
            continue;
        }
        match connection.read_tls(&mut socket) {
            Ok(0) => return Outcome::Refused,
            // An alert is an error here.
            Ok(_) if connection.process_new_packets().is_err() => return Outcome::Refused,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                assert!(!connection.is_handshaking(), "{address} says nothing");
                return Outcome::Open;
            }
            Err(_) => return Outcome::Refused,
        }
    }
}

/// What a server answers to bytes that are no TLS, until it ends the connection.
fn plaintext(address: SocketAddr) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let _ = socket.write_all(b"GET /v1/config HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let mut answer = Vec::new();
    // Reset, with what came before it.
    let _ = socket.read_to_end(&mut answer);
    answer
}

/// Where a process listens.
fn listening(pid: u32) -> BTreeSet<SocketAddr> {
    let inodes: BTreeSet<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let target = std::fs::read_link(entry.path()).ok()?.display().to_string();
            Some(target.strip_prefix("socket:[")?.trim_end_matches(']').to_owned())
        })
        .collect();
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap();
    let sockets = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    // 0A is LISTEN; the tenth field is the inode.
    let ours = sockets.filter(|fields| fields[3] == "0A" && inodes.contains(fields[9]));
    ours.map(|fields| address(fields[1])).collect()
}

/// `0200007F:1F90` is 127.0.0.2:8080.
fn address(text: &str) -> SocketAddr {
    let (ip, port) = text.split_once(':').unwrap();
    let ip = u32::from_str_radix(ip, 16).unwrap().to_le_bytes();
    SocketAddr::from((ip, u16::from_str_radix(port, 16).unwrap()))
}

fn credentials_of(process: &ContainerProcess) -> Credentials {
    let folder = std::fs::read_link(format!("/proc/{}/cwd", process.pid)).unwrap();
    Credentials::read(&folder.join("container_tokens")).unwrap()
}

#[test]
fn ports_are_closed_to_strangers() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "ports");
    let session = user.json(&["session", "-d", "--output", "json"]);
    let id = session["application-id"].as_str().unwrap();
    let keyed = [&program("keyed_count"), "--events", "1000000000000", "--rate", "1000"];
    user.call(&[&["run", "--detached"], &keyed[..]].concat()).expect(0, &[]);
    let find = |command: &str| user.containers(id).into_iter().find(|process| process.command.contains(command));
    eventually("a worker listens", || find("--events").is_some_and(|worker| !listening(worker.pid).is_empty()));
    let rest = Rest::of(&user, id);
    let foreign = CertificateAuthority::new("application-1-2").unwrap();
    let mut checked = 0;
    for process in user.containers(id) {
        for address in listening(process.pid) {
            assert!(!address.ip().is_unspecified(), "{} listens everywhere: {address}", process.command);
            if rest.url.ends_with(&format!(":{}", address.port())) {
                // From another host than the web proxy's, which may read.
                let elsewhere = ["--interface", "127.0.0.9"];
                let answer = rest.ask(&format!("{}/v1/config", rest.url), &elsewhere);
                assert!((300..400).contains(&answer.status), "it is sent to the proxy: {}", answer.status);
                continue;
            }
            checked += 1;
            let answer = plaintext(address);
            let is_alert = answer.is_empty() || answer[0] == 0x15;
            assert!(is_alert, "{} at {address}: {}", process.command, String::from_utf8_lossy(&answer));
            let what = format!("{} at {address}", process.command);
            assert_eq!(shake_hands(address, None), Outcome::Refused, "{what} without a certificate");
            for role in [Role::Client, Role::TaskManager, Role::Worker, Role::JobManager] {
                let stranger = foreign.issue(role, "x", 0).unwrap();
                assert_eq!(shake_hands(address, Some(&stranger)), Outcome::Refused, "{what}: a foreign {role}");
            }
        }
    }
    assert!(checked >= 2, "the JobManager's port and a worker's");
    // The same with the right keys: what is refused above is refused for its keys.
    let worker = find("--events").unwrap();
    let task_manager = find("taskmanager --yarn").unwrap();
    let keys = credentials_of(&task_manager).secret(WORKER_TLS_SECRET).unwrap().expose().to_vec();
    let keys: TlsMaterial = serde_json::from_slice(&keys).unwrap();
    let data = *listening(worker.pid).iter().next().unwrap();
    assert_eq!(shake_hands(data, Some(&keys)), Outcome::Open);
    user.call(&["kill", id]).expect(0, &[]);
    user.assert_tidy(id);
}

/// Firewalls let some ports through: those are the ones that are listened on, as Flink's keys name them.
#[test]
fn ports_are_taken_from_the_ranges_that_are_named() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "ranges");
    let range = |first: u16| (first..=first + 60, format!("{first}-{}", first + 60));
    let (rpc, rest) = (range(23_100), range(23_200));
    let rpc_key = format!("yarn.application-master.port={}", rpc.1);
    let rest_key = format!("rest.bind-port={}", rest.1);
    let session = user.json(&["session", "-d", "--output", "json", "-D", &rpc_key, "-D", &rest_key]);
    let port = |text: &str| text.rsplit(':').next().unwrap().trim_end_matches('/').parse::<u16>().unwrap();
    let id = session["application-id"].as_str().unwrap();
    assert!(rpc.0.contains(&port(session["jobmanager"].as_str().unwrap())), "{session}");
    assert!(rest.0.contains(&port(&Rest::of(&user, id).url)), "{}", Rest::of(&user, id).url);
    user.call(&["kill", id]).expect(0, &[]);
    user.assert_tidy(id);
}
