use flink_protocol::client::{ClientRequest, ClientRequestBody, LogRequest};
use flink_protocol::worker::TlsMaterial;
use flink_transport::frame::{frame, read_blocking};
use flink_transport::handshake::read_greeting;
use flink_transport::tls::{client_config, server_config};
use flink_transport::{CertificateAuthority, FramedReader, PeerIdentity, RestToken, Role};
use tokio::io::AsyncWriteExt;

/// Largest frame that the readers here accept.
const LIMIT: u64 = 1 << 16;

/// Frames are the same messages however the stream is cut; a reader that waits and one that does not agree. The first two
/// bytes say how it is cut.
pub fn frames(input: &[u8]) {
    let Some((&[piece, pipe], stream)) = input.split_first_chunk::<2>() else { return };
    let whole = read_all(stream);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let cut = runtime.block_on(async {
        let (mut near, far) = tokio::io::duplex(usize::from(pipe) + 1);
        let reading = async {
            let mut reader = FramedReader::new(far, LIMIT);
            let mut messages = Vec::new();
            loop {
                match reader.read::<ClientRequest>().await {
                    Ok(Some(message)) => messages.push(message),
                    Ok(None) => return (messages, true),
                    Err(_) => return (messages, false),
                }
            }
        };
        let writing = async {
            for bytes in stream.chunks(usize::from(piece) + 1) {
                if near.write_all(bytes).await.is_err() {
                    break;
                }
            }
            drop(near);
        };
        tokio::join!(reading, writing).0
    });
    // Compared as text: a NaN does not equal itself.
    assert_eq!(format!("{whole:?}"), format!("{cut:?}"), "the cutting of the stream changes what it says");
}

fn read_all(mut stream: &[u8]) -> (Vec<ClientRequest>, bool) {
    let mut messages = Vec::new();
    loop {
        match read_blocking::<ClientRequest>(&mut stream, LIMIT) {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => return (messages, true),
            Err(_) => return (messages, false),
        }
    }
}

/// Streams of requests.
pub fn frame_seeds() -> Vec<Vec<u8>> {
    let log = LogRequest { task_manager: Some("tm-1".to_owned()), job: None, offset: 7 };
    let bodies = [ClientRequestBody::RequestJobs, ClientRequestBody::RequestLog(log)];
    let mut stream = vec![3, 7];
    for (number, body) in bodies.into_iter().enumerate() {
        stream.extend(frame(&ClientRequest { number: number as u64, body }, LIMIT).unwrap());
    }
    vec![stream, vec![0, 0, 0xff, 0xff, 0xff, 0xff, 1], b"\x01\x01GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()]
}

/// The first frame of a connection, before anything is known of the other side.
pub fn greeting(input: &[u8]) {
    if let Err(error) = read_greeting(input) {
        assert!(error.to_string().len() < 16 << 10, "a refusal is as long as the greeting");
    }
}

/// Greetings that were said.
pub fn greeting_seeds() -> Vec<Vec<u8>> {
    let said = |greeting: serde_json::Value| frame(&greeting, LIMIT).unwrap();
    vec![
        said(serde_json::json!({ "Hello": { "protocol_version": 1, "role": "client" } })),
        said(serde_json::json!({ "Hello": { "protocol_version": 9, "role": "taskmanager" } })),
        said(serde_json::json!({ "Refused": { "reason": "no" } })),
        vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3],
    ]
}

/// Key material and authorities as they are handed over or lie in files.
pub fn certificates(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let material = |certificate: &str, private_key: &str| TlsMaterial {
        authority: text.to_owned(),
        certificate: certificate.to_owned(),
        private_key: private_key.to_owned(),
    };
    let (first, rest) = text.split_at(text.find("-----BEGIN PRIVATE").unwrap_or(0));
    let _ = server_config(&material(first, rest));
    let _ = client_config(&material(first, rest));
    let _ = PeerIdentity::of(&material(text, ""));
    if let Ok(authority) = CertificateAuthority::import(text) {
        assert!(CertificateAuthority::import(authority.export().expose()).is_ok(), "an authority cannot be handed on");
    }
}

/// Real ones.
pub fn certificate_seeds() -> Vec<Vec<u8>> {
    let authority = CertificateAuthority::new("c-1").unwrap();
    let issued = authority.issue(Role::TaskManager, "tm-1", 3).unwrap();
    vec![
        authority.export().expose().clone().into_bytes(),
        format!("{}{}", issued.certificate, issued.private_key).into_bytes(),
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec(),
    ]
}

/// The token of the REST API as it lies in its file, and what callers show.
pub fn tokens(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Some(token) = RestToken::parse(&text) {
        assert!(token.matches(text.trim()), "a token does not match itself");
        assert!(!token.matches("") && !token.matches(&format!("{}0", text.trim())));
        assert!(!format!("{token:?}").contains(token.expose()), "it prints itself");
    }
    if let Ok(token) = flink_appmaster::rest::AccessToken::new(&text) {
        assert!(!format!("{token:?}").contains(text.as_ref()), "it prints itself");
    }
}

/// A token and nearly one.
pub fn token_seeds() -> Vec<Vec<u8>> {
    vec!["0123456789abcdef".repeat(4).into_bytes(), b" 0123\n".to_vec(), vec![b'f'; 64]]
}
