use std::error::Error;
use std::io;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use quick_xml::Reader;
use quick_xml::events::Event;
use tokio::net::TcpStream;

use crate::kerberos::{ANSWER_LIMIT, Context, Credential, KerberosError, KerberosLogin, Name};
use crate::user::User;
use crate::yarn::ids::ContainerId;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest silence.
const SILENCE: Duration = Duration::from_secs(30);

/// The most bytes in front of what is asked for, and of a list of logs.
const MAX_HEAD_BYTES: usize = 64 << 10;
const MAX_LIST_BYTES: usize = 4 << 20;

/// The line in front of what stands in a log.
const BEGIN: &[u8] = b"LogContents:\n";

/// The logs that a NodeManager keeps of containers, running or ended, until their application has ended. They are told over
/// HTTP: no protocol of RPC has them.
#[derive(Clone, Debug)]
pub struct NodeLogs {
    address: String,
    user: User,
}

/// A log of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeLog {
    /// The file.
    pub name: String,
    /// Its size, bytes.
    pub size: u64,
}

/// Why a NodeManager does not show a log.
#[derive(Debug, thiserror::Error)]
#[error("the NodeManager at {address}: {problem}")]
pub struct NodeLogsError {
    /// `host:port` of its web pages.
    pub address: String,
    /// What is wrong.
    pub problem: NodeLogsProblem,
}

/// See [`NodeLogsError`].
#[derive(Debug, thiserror::Error)]
pub enum NodeLogsProblem {
    /// It cannot be reached, or breaks off.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It refuses.
    #[error("it answers {0}")]
    Status(StatusCode),
    /// It answers with something else than a log.
    #[error("its answer is not understood: {0}")]
    Answer(&'static str),
    /// There is no ticket for it.
    #[error("Kerberos: {0}")]
    Kerberos(#[from] KerberosError),
}

type Result<T, E = NodeLogsProblem> = std::result::Result<T, E>;

impl NodeLogs {
    /// Whom to ask, `host:port` of a node's web pages ([`crate::yarn::NodeReport::http_address`]), and as whom.
    #[must_use]
    pub fn new(address: impl Into<String>, user: User) -> Self {
        Self { address: address.into(), user }
    }

    /// Where the logs of a container are found.
    #[must_use]
    pub fn url(&self, container: ContainerId) -> String {
        format!("http://{}{}", self.address, path(container))
    }

    /// The logs of a container; none when the node has nothing of it.
    pub async fn list(&self, container: ContainerId) -> Result<Vec<NodeLog>, NodeLogsError> {
        let listed = async {
            let mut body = match self.get(&path(container), "").await {
                // It knows nothing of the application (503 is what it makes of that), or sends us where old ones are.
                Err(NodeLogsProblem::Status(status)) if [307, 400, 404, 503].contains(&status.as_u16()) => {
                    return Ok(Vec::new());
                }
                answer => answer?,
            };
            while body.fill().await? {
                if body.buffer.len() > MAX_LIST_BYTES {
                    return Err(NodeLogsProblem::Answer("a list of logs that does not end"));
                }
            }
            logs_in(&body.buffer).ok_or(NodeLogsProblem::Answer("the list of logs is no XML"))
        };
        listed.await.map_err(|problem| self.error(problem))
    }

    /// Begins to read a log: the whole of it, or so many bytes at its end.
    pub async fn read(
        &self,
        container: ContainerId,
        log: &str,
        last: Option<u64>,
    ) -> Result<NodeLogContent, NodeLogsError> {
        let begun = async {
            let size = last.map_or(String::new(), |last| format!("size=-{last}"));
            let mut body = self.get(&format!("{}/{}", path(container), escaped(log)), &size).await?;
            let begin = body.find(BEGIN, "there is no `LogContents:`").await?;
            let told = length_in(&body.buffer[..begin]);
            let told = told.ok_or(NodeLogsProblem::Answer("it does not say how long the log is"))?;
            body.buffer.drain(..begin + BEGIN.len());
            Ok(NodeLogContent { address: self.address.clone(), left: last.map_or(told, |last| told.min(last)), body })
        };
        begun.await.map_err(|problem| self.error(problem))
    }

    fn error(&self, problem: NodeLogsProblem) -> NodeLogsError {
        NodeLogsError { address: self.address.clone(), problem }
    }

    /// Asks over a connection that serves nothing else.
    async fn get(&self, path: &str, query: &str) -> Result<Body> {
        let kerberos = self.user.kerberos();
        let who = kerberos.is_none().then(|| format!("user.name={}", escaped(self.user.name())));
        let query = [Some(query), who.as_deref()].into_iter().flatten().filter(|part| !part.is_empty());
        let mut request = Request::get(format!("{path}?{}", query.collect::<Vec<_>>().join("&")))
            .header(header::HOST, &self.address)
            .header(header::ACCEPT, "application/xml, text/plain")
            .header(header::CONNECTION, "close");
        if let Some(login) = kerberos {
            request = request.header(header::AUTHORIZATION, format!("Negotiate {}", self.ticket(login).await?));
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(io::Error::other)?;
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(&self.address)).await;
        let stream = TokioIo::new(connected.map_err(|_| silent(CONNECT_TIMEOUT))??);
        let (mut sender, connection) =
            http1::Builder::new().max_buf_size(MAX_HEAD_BYTES).handshake(stream).await.map_err(broken)?;
        // Ends when the answer is dropped; what is wrong with it is told there.
        tokio::spawn(connection);
        let answer = tokio::time::timeout(SILENCE, sender.send_request(request)).await;
        let answer = answer.map_err(|_| silent(SILENCE))?.map_err(broken)?;
        match answer.status() {
            StatusCode::OK => Ok(Body { incoming: answer.into_body(), buffer: Vec::new() }),
            status => Err(NodeLogsProblem::Status(status)),
        }
    }

    /// Proves who we are. The library may wait for a silent server: it does so on a thread that may be left to itself.
    async fn ticket(&self, login: &KerberosLogin) -> Result<String> {
        let host = self.address.rsplit_once(':').map_or(self.address.as_str(), |(host, _)| host).to_owned();
        let login = login.clone();
        let asking = tokio::task::spawn_blocking(move || {
            let name = Name::service(&format!("HTTP@{}", host.trim_matches(['[', ']'])))?;
            Context::new(Credential::acquire(&login)?, name, false).step(&[]).map(|step| BASE64.encode(step.token))
        });
        match tokio::time::timeout(ANSWER_LIMIT, asking).await {
            Ok(Ok(token)) => Ok(token?),
            Ok(Err(error)) => Err(io::Error::other(error).into()),
            Err(_) => Err(KerberosError::NoAnswer { within: ANSWER_LIMIT }.into()),
        }
    }
}

fn path(container: ContainerId) -> String {
    format!("/ws/v1/node/containers/{container}/logs")
}

/// A name as a part of a URL.
fn escaped(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    name.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn silent(limit: Duration) -> NodeLogsProblem {
    io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", limit.as_secs())).into()
}

fn broken(error: hyper::Error) -> NodeLogsProblem {
    if error.is_parse() {
        return NodeLogsProblem::Answer("it is no HTTP");
    }
    if error.is_incomplete_message() {
        return io::Error::new(io::ErrorKind::UnexpectedEof, "it closes the connection").into();
    }
    // What happened is told by the error beneath.
    let cause = error.source().map(ToString::to_string);
    io::Error::other(cause.unwrap_or_else(|| error.to_string())).into()
}

/// What has been read of an answer, and the rest.
#[derive(Debug)]
struct Body {
    incoming: Incoming,
    buffer: Vec<u8>,
}

impl Body {
    /// Reads on; false at the end.
    async fn fill(&mut self) -> Result<bool> {
        let frame = tokio::time::timeout(SILENCE, self.incoming.frame()).await.map_err(|_| silent(SILENCE))?;
        let Some(frame) = frame.transpose().map_err(broken)? else { return Ok(false) };
        self.buffer.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        Ok(true)
    }

    /// Reads on until the bytes occur; where.
    async fn find(&mut self, wanted: &[u8], otherwise: &'static str) -> Result<usize> {
        loop {
            if let Some(at) = self.buffer.windows(wanted.len()).position(|bytes| bytes == wanted) {
                return Ok(at);
            }
            if self.buffer.len() > MAX_HEAD_BYTES || !self.fill().await? {
                return Err(NodeLogsProblem::Answer(otherwise));
            }
        }
    }
}

/// What stands in a log.
#[derive(Debug)]
pub struct NodeLogContent {
    address: String,
    body: Body,
    /// Bytes that are still to come: what follows them is the NodeManager's own.
    left: u64,
}

impl NodeLogContent {
    /// The next piece; none at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, NodeLogsError> {
        if self.left == 0 {
            return Ok(None);
        }
        let more = match self.body.buffer.is_empty() {
            true => self.body.fill().await,
            false => Ok(true),
        };
        let early = || io::Error::new(io::ErrorKind::UnexpectedEof, "the log breaks off").into();
        let problem = match more {
            Ok(true) => {
                let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.body.buffer.len());
                self.left -= count as u64;
                return Ok(Some(self.body.buffer.drain(..count).collect()));
            }
            Ok(false) => early(),
            Err(problem) => problem,
        };
        Err(NodeLogsError { address: self.address.clone(), problem })
    }
}

/// `LogLength:123`, among the lines in front of a log.
fn length_in(head: &[u8]) -> Option<u64> {
    let head = String::from_utf8_lossy(head);
    head.lines().find_map(|line| line.strip_prefix("LogLength:")?.trim().parse().ok())
}

/// Each `containerLogInfo` with its `fileName` and `fileSize`.
fn logs_in(xml: &[u8]) -> Option<Vec<NodeLog>> {
    const ENTRY: &str = "containerLogInfo";
    let mut reader = Reader::from_str(std::str::from_utf8(xml).ok()?);
    let (mut logs, mut element) = (Vec::new(), String::new());
    let mut log = NodeLog { name: String::new(), size: 0 };
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                start.local_name().as_ref().clone_into(&mut element);
                if element == ENTRY {
                    log = NodeLog { name: String::new(), size: 0 };
                }
            }
            Event::Text(text) => match element.as_str() {
                "fileName" => text.trim().clone_into(&mut log.name),
                "fileSize" => log.size = text.trim().parse().unwrap_or_default(),
                _ => {}
            },
            Event::End(end) => {
                element.clear();
                if end.local_name().as_ref() == ENTRY && !log.name.is_empty() {
                    logs.push(log.clone());
                }
            }
            Event::Eof => return Some(logs),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    const CONTAINER: &str = "container_1700000000000_0001_01_000002";

    /// A NodeManager that answers one request with this; gives its logs, and what it was asked.
    async fn answering(answer: &str) -> (NodeLogs, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let logs = NodeLogs::new(listener.local_addr().unwrap().to_string(), User::simple("ada b"));
        let answer = answer.to_owned();
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                assert!(stream.read_buf(&mut request).await.unwrap() > 0);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(request).unwrap()
        });
        (logs, asked)
    }

    fn container() -> ContainerId {
        CONTAINER.parse().unwrap()
    }

    async fn read(answer: &str, last: Option<u64>) -> Result<String, String> {
        let (logs, _asked) = answering(answer).await;
        let mut content = logs.read(container(), "a", last).await.map_err(|error| error.to_string())?;
        let mut read = Vec::new();
        while let Some(piece) = content.next().await.map_err(|error| error.to_string())? {
            read.extend(piece);
        }
        Ok(String::from_utf8(read).unwrap())
    }

    #[tokio::test]
    async fn logs_are_listed() {
        let list = "<?xml version=\"1.0\"?><containerLogsInfoes><containerLogsInfo><containerLogInfo><fileName>a.err\
                    </fileName><fileSize>12</fileSize></containerLogInfo><containerLogInfo><fileName>worker-1.log</fileName>\
                    <fileSize>0</fileSize></containerLogInfo><containerId>x</containerId></containerLogsInfo>\
                    </containerLogsInfoes>";
        let (logs, asked) = answering(&format!("HTTP/1.1 200 OK\r\nA: b\r\n\r\n{list}")).await;
        let log = |name: &str, size| NodeLog { name: name.to_owned(), size };
        assert_eq!(logs.list(container()).await.unwrap(), [log("a.err", 12), log("worker-1.log", 0)]);
        let asked = asked.await.unwrap();
        let line = format!("GET /ws/v1/node/containers/{CONTAINER}/logs?user.name=ada%20b HTTP/1.1\r\n");
        assert!(asked.starts_with(&line), "{asked}");
        for (answer, expected) in [("404 Not Found", true), ("401 Unauthorized", false)] {
            let (logs, _asked) = answering(&format!("HTTP/1.1 {answer}\r\n\r\n")).await;
            match logs.list(container()).await {
                Ok(logs) => assert!(expected && logs.is_empty(), "{answer}"),
                Err(error) => assert!(!expected && error.to_string().contains(answer), "{error}"),
            }
        }
    }

    #[tokio::test]
    async fn what_a_node_writes_around_a_log_is_left_out() {
        let around = |log: &str| {
            let head = "HTTP/1.1 200 OK\r\n\r\nContainer: c on h\nLogAggregationType: LOCAL\n====\nLogType:a\n";
            format!("{head}LogLength:6\nLogContents:\n{log}\nEnd of LogType:a.\n")
        };
        assert_eq!(read(&around("one\ntw"), None).await.unwrap(), "one\ntw");
        assert_eq!(read(&around("tw"), Some(2)).await.unwrap(), "tw");
        assert_eq!(read(&around("one\ntw"), Some(9)).await.unwrap(), "one\ntw");
        let broken = around("one").replace("\nEnd of LogType:a.\n", "");
        assert!(read(&broken, None).await.unwrap_err().contains("breaks off"));
        assert!(read("HTTP/1.1 200 OK\r\n\r\nhello", None).await.unwrap_err().contains("LogContents"));
        assert!(read("hello\r\n\r\n", None).await.unwrap_err().contains("no HTTP"));
        let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(2 * MAX_HEAD_BYTES));
        assert!(read(&endless, None).await.is_err());
    }

    #[tokio::test]
    async fn nobody_there_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let error = NodeLogs::new(&address, User::simple("ada")).list(container()).await.unwrap_err().to_string();
        assert!(error.contains(&address) && error.contains("refused"), "{error}");
    }
}
