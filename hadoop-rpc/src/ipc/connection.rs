use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::error::{AuthenticationError, Endpoint, Error, RemoteException};
use crate::ipc::frame::{FrameError, Reply, decode_response};
use crate::ipc::handshake;
use crate::ipc::identity::Identity;
use crate::ipc::settings::Settings;
use crate::ipc::stream::{FrameReader, FrameWriter};

/// Frames that wait to be written; callers wait when there are more.
const WAITING_FRAMES: usize = 32;
/// Calls that wait for their answers.
const MAX_CALLS: usize = 4096;

/// A connection that carries several calls at once: one task writes their frames, one reads the answers and hands each
/// to its call. Both end with the last handle, when the server closes, and after a while without calls.
#[derive(Debug)]
pub(crate) struct Connection {
    endpoint: Endpoint,
    frames: mpsc::Sender<Vec<u8>>,
    calls: Arc<Mutex<Calls>>,
    reader: JoinHandle<()>,
}

/// How a call ended, as far as the connection can tell.
#[derive(Debug)]
pub(crate) enum Outcome {
    Answer(Bytes),
    Exception(RemoteException),
    Refused(RemoteException),
    Lost(String),
}

#[derive(Debug, Default)]
struct Calls {
    waiting: HashMap<i32, oneshot::Sender<Outcome>>,
    /// Why nothing more can be sent.
    ended: Option<End>,
    /// Whether the server has answered anything at all.
    answered: bool,
}

#[derive(Clone, Debug)]
enum End {
    Closed(String),
    /// The server threw a fatal exception: it will not speak to us.
    Fatal {
        exception: RemoteException,
        unauthorized: bool,
    },
    /// The first bytes were not Hadoop's.
    OtherProtocol(String),
}

impl Connection {
    pub(crate) async fn open(
        endpoint: &Endpoint,
        protocol: &str,
        identity: &Identity,
        settings: &Settings,
        client: &[u8; 16],
    ) -> Result<Self, Error> {
        let (reader, writer) = handshake::open(endpoint, protocol, identity, settings, client).await?;
        let calls = Arc::new(Mutex::new(Calls::default()));
        let (frames, queue) = mpsc::channel(WAITING_FRAMES);
        tokio::spawn(write_frames(writer, queue, Arc::clone(&calls), settings.idle_timeout));
        let reader = tokio::spawn(read_answers(reader, endpoint.clone(), Arc::clone(&calls)));
        Ok(Self { endpoint: endpoint.clone(), frames, calls, reader })
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether calls can still be sent.
    pub(crate) fn is_open(&self) -> bool {
        !self.frames.is_closed() && lock(&self.calls).ended.is_none()
    }

    /// Sends a call, and waits for its answer.
    pub(crate) async fn call(
        &self,
        number: i32,
        method: &'static str,
        frame: Vec<u8>,
        within: Duration,
    ) -> Result<Bytes, Error> {
        let guard = CallGuard { calls: &self.calls, number };
        let exchange = async {
            let answer = self.begin(number)?;
            if self.frames.send(frame).await.is_err() {
                return Err(self.not_sent());
            }
            Ok(answer.await.unwrap_or_else(|_| Outcome::Lost("it was closed".to_owned())))
        };
        let outcome = timeout(within, exchange).await;
        drop(guard);
        let endpoint = self.endpoint.clone();
        match outcome {
            Err(_) => Err(Error::TimedOut { endpoint, method, within }),
            Ok(Err(error)) => Err(error),
            Ok(Ok(Outcome::Answer(bytes))) => Ok(bytes),
            Ok(Ok(Outcome::Exception(exception))) => Err(exception.into()),
            Ok(Ok(Outcome::Refused(exception))) => Err(refused(endpoint, exception)),
            Ok(Ok(Outcome::Lost(cause))) => Err(self.lost(method, cause)),
        }
    }

    fn begin(&self, number: i32) -> Result<oneshot::Receiver<Outcome>, Error> {
        let (sender, receiver) = oneshot::channel();
        let mut calls = lock(&self.calls);
        if calls.ended.is_some() || calls.waiting.len() >= MAX_CALLS {
            drop(calls);
            return Err(self.not_sent());
        }
        calls.waiting.insert(number, sender);
        Ok(receiver)
    }

    fn not_sent(&self) -> Error {
        let (endpoint, calls) = (self.endpoint.clone(), lock(&self.calls));
        match &calls.ended {
            Some(End::Closed(cause)) => Error::Connect { endpoint, cause: cause.clone() },
            Some(End::Fatal { exception, unauthorized: true }) => refused(endpoint, exception.clone()),
            Some(End::Fatal { exception, .. }) => exception.clone().into(),
            Some(End::OtherProtocol(found)) => Error::OtherProtocol { endpoint, found: found.clone() },
            None => Error::Connect { endpoint, cause: "too many calls wait for answers".to_owned() },
        }
    }

    fn lost(&self, method: &'static str, cause: String) -> Error {
        let endpoint = self.endpoint.clone();
        match &lock(&self.calls).ended {
            Some(End::OtherProtocol(found)) => Error::OtherProtocol { endpoint, found: found.clone() },
            _ => Error::Lost { endpoint, method, cause },
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The writing task ends by itself when its queue is closed.
        self.reader.abort();
    }
}

fn refused(endpoint: Endpoint, RemoteException { class, message, .. }: RemoteException) -> Error {
    Error::Authentication { endpoint, reason: Box::new(AuthenticationError::Refused { class, message }) }
}

/// Takes the call out of the waiting ones, however waiting for it ends.
struct CallGuard<'a> {
    calls: &'a Mutex<Calls>,
    number: i32,
}

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        lock(self.calls).waiting.remove(&self.number);
    }
}

fn lock(calls: &Mutex<Calls>) -> MutexGuard<'_, Calls> {
    calls.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn write_frames(
    mut writer: FrameWriter,
    mut queue: mpsc::Receiver<Vec<u8>>,
    calls: Arc<Mutex<Calls>>,
    idle: Duration,
) {
    loop {
        match timeout(idle, queue.recv()).await {
            Ok(Some(frame)) => {
                if let Err(error) = writer.write(&frame).await {
                    end(&calls, End::Closed(error.to_string()));
                    return;
                }
            }
            Ok(None) => break,
            Err(_) if close_if_idle(&calls) => break,
            Err(_) => {}
        }
    }
    writer.shut_down().await;
}

/// Marks a connection without calls as ended: nobody can begin one on it after that.
fn close_if_idle(calls: &Mutex<Calls>) -> bool {
    let mut calls = lock(calls);
    let idle = calls.waiting.is_empty();
    if idle && calls.ended.is_none() {
        calls.ended = Some(End::Closed("it was closed after a while without calls".to_owned()));
    }
    idle
}

async fn read_answers(mut reader: FrameReader, endpoint: Endpoint, calls: Arc<Mutex<Calls>>) {
    let host = endpoint.authority();
    let reason = loop {
        let frame = match reader.next().await {
            Ok(Some(frame)) => frame,
            Ok(None) => break End::Closed("the server closed it".to_owned()),
            Err(error) => break unreadable(&endpoint, error, lock(&calls).answered),
        };
        match decode_response(frame, &host) {
            Ok((_, Reply::Exception { exception, fatal: true, unauthorized })) => {
                break End::Fatal { exception, unauthorized };
            }
            Ok((number, reply)) => answer(&calls, number, reply),
            Err(error) => break unreadable(&endpoint, error, lock(&calls).answered),
        }
    };
    end(&calls, reason);
}

fn unreadable(endpoint: &Endpoint, error: FrameError, answered: bool) -> End {
    match error {
        FrameError::Io(error) => End::Closed(error.to_string()),
        error if answered => End::Closed(error.to_string()),
        error => match handshake::unreadable(endpoint, error) {
            Error::OtherProtocol { found, .. } => End::OtherProtocol(found),
            other => End::Closed(other.to_string()),
        },
    }
}

fn answer(calls: &Mutex<Calls>, number: i32, reply: Reply) {
    let mut calls = lock(calls);
    calls.answered = true;
    // A call that timed out is not there any more: its answer is of no use.
    if let Some(waiting) = calls.waiting.remove(&number) {
        let _ = waiting.send(match reply {
            Reply::Success(bytes) => Outcome::Answer(bytes),
            Reply::Exception { exception, .. } => Outcome::Exception(exception),
        });
    }
}

fn end(calls: &Mutex<Calls>, reason: End) {
    let mut calls = lock(calls);
    for (_, waiting) in calls.waiting.drain() {
        let _ = waiting.send(match &reason {
            End::Closed(cause) | End::OtherProtocol(cause) => Outcome::Lost(cause.clone()),
            End::Fatal { exception, unauthorized: true } => Outcome::Refused(exception.clone()),
            End::Fatal { exception, .. } => Outcome::Exception(exception.clone()),
        });
    }
    calls.ended.get_or_insert(reason);
}
