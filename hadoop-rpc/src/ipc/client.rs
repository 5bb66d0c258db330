use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use prost::Message;

use crate::credentials::Token;
use crate::error::{Endpoint, Error};
use crate::ipc::connection::Connection;
use crate::ipc::frame::{call_frame, call_header};
use crate::ipc::identity::Identity;
use crate::ipc::retry::{Idempotence, RetryPolicy, Tries, Verdict};
use crate::ipc::settings::Settings;
use crate::proto::rpc::RequestHeaderProto;

/// What is spoken with a server.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// The Java interface.
    pub name: &'static str,
    /// Its version.
    pub version: u64,
}

/// A method of a protocol.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// Its name.
    pub name: &'static str,
    /// Whether it may be sent twice.
    pub idempotence: Idempotence,
}

impl Method {
    /// A method that may be sent twice.
    #[must_use]
    pub const fn idempotent(name: &'static str) -> Self {
        Self { name, idempotence: Idempotence::Idempotent }
    }

    /// A method whose repetition the server recognises.
    #[must_use]
    pub const fn at_most_once(name: &'static str) -> Self {
        Self { name, idempotence: Idempotence::AtMostOnce }
    }

    /// A method that must not be sent twice.
    #[must_use]
    pub const fn once(name: &'static str) -> Self {
        Self { name, idempotence: Idempotence::NotIdempotent }
    }
}

/// A service: one server, or several of which one is active. Clones share its connection.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
    retry: RetryPolicy,
}

#[derive(Debug)]
struct Shared {
    service: &'static str,
    endpoints: Vec<Endpoint>,
    protocol: Protocol,
    settings: Settings,
    identity: Mutex<Identity>,
    /// Makes calls recognisable over connections.
    id: [u8; 16],
    next_call: AtomicI32,
    current: tokio::sync::Mutex<Current>,
}

/// The server that is used, and the connection to it.
#[derive(Debug, Default)]
struct Current {
    server: usize,
    connection: Option<Arc<Connection>>,
    /// Raised whenever the server is changed, so that several failed calls change it once.
    generation: u64,
}

impl Client {
    /// A client of a service. It connects when it is first called.
    #[must_use]
    pub fn new(
        service: &'static str,
        endpoints: Vec<Endpoint>,
        protocol: Protocol,
        identity: Identity,
        settings: Settings,
    ) -> Self {
        let mut id = [0; 16];
        // Without random bytes a second client of this process could be taken for this one; the address differs then.
        if getrandom::fill(&mut id).is_err() {
            id[..8].copy_from_slice(&(std::process::id() as u64).to_be_bytes());
        }
        let shared = Shared {
            service,
            endpoints,
            protocol,
            settings,
            identity: Mutex::new(identity),
            id,
            next_call: AtomicI32::new(0),
            current: tokio::sync::Mutex::new(Current::default()),
        };
        Self { shared: Arc::new(shared), retry: RetryPolicy::default() }
    }

    /// The same service, with other patience.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// The servers.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.shared.endpoints
    }

    /// Shows another token from the next call on; calls on their way are not disturbed.
    pub async fn set_token(&self, token: Token) {
        let mut current = self.shared.current.lock().await;
        self.shared.identity.lock().unwrap_or_else(PoisonError::into_inner).token = Some(token);
        current.connection = None;
    }

    /// Calls a method. With several servers the active one is found; a failed call is repeated when that is safe, until
    /// the patience ends.
    pub async fn call<Request: Message, Response: Message + Default>(
        &self,
        method: Method,
        request: &Request,
    ) -> Result<Response, Error> {
        let limit = self.shared.settings.largest_request;
        let size = request.encoded_len();
        if size > limit.saturating_sub(1024) {
            return Err(Error::TooLarge { method: method.name, size, limit });
        }
        let number = self.shared.next_call();
        let mut tries = Tries::new(self.retry, self.shared.endpoints.len(), Instant::now());
        let mut failures = Failures::default();
        for retry in 0.. {
            let (generation, error) = match self.attempt(method, number, retry, request).await {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            let verdict = tries.after(Instant::now(), &error, method.idempotence, jitter());
            tracing::debug!(method = method.name, %error, ?verdict, "a call failed");
            match verdict {
                Verdict::GiveUp => return Err(failures.into_error(error, &self.shared, self.retry)),
                Verdict::Again { pause, next_server } => {
                    failures.add(error);
                    if next_server {
                        self.shared.next_server(generation).await;
                    }
                    tokio::time::sleep(pause).await;
                }
            }
        }
        Err(failures.unavailable(&self.shared, self.retry))
    }

    async fn attempt<Request: Message, Response: Message + Default>(
        &self,
        method: Method,
        number: i32,
        retry: i32,
        request: &Request,
    ) -> Result<Response, (u64, Error)> {
        let shared = &self.shared;
        let (generation, connection) = shared.connection().await?;
        let header = RequestHeaderProto {
            method_name: method.name.to_owned(),
            declaring_class_protocol_name: shared.protocol.name.to_owned(),
            client_protocol_version: shared.protocol.version,
        };
        let frame = call_frame(&call_header(number, &shared.id, retry), &header, request);
        let answer = connection.call(number, method.name, frame, shared.settings.call_timeout).await;
        let bytes = answer.map_err(|error| (generation, error))?;
        Response::decode_length_delimited(bytes).map_err(|error| {
            let endpoint = connection.endpoint().clone();
            (generation, Error::Malformed { endpoint, method: method.name, what: error.to_string() })
        })
    }
}

impl Shared {
    /// Numbers of calls begin again after the largest; negative ones are Hadoop's own.
    fn next_call(&self) -> i32 {
        self.next_call.fetch_add(1, Ordering::Relaxed) & i32::MAX
    }

    /// The open connection, or a new one. Others wait for it meanwhile rather than make their own.
    async fn connection(&self) -> Result<(u64, Arc<Connection>), (u64, Error)> {
        let mut current = self.current.lock().await;
        let generation = current.generation;
        if let Some(connection) = current.connection.as_ref().filter(|connection| connection.is_open()) {
            return Ok((generation, Arc::clone(connection)));
        }
        current.connection = None;
        let identity = self.identity.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let none = || Error::Unavailable {
            service: self.service,
            within: std::time::Duration::ZERO,
            tried: "none is known".into(),
        };
        let endpoint = self.endpoints.get(current.server).ok_or_else(|| (generation, none()))?;
        let opened = Connection::open(endpoint, self.protocol.name, &identity, &self.settings, &self.id).await;
        let connection = Arc::new(opened.map_err(|error| (generation, error))?);
        current.connection = Some(Arc::clone(&connection));
        Ok((generation, connection))
    }

    /// Goes on to the next server, unless another call has done so since.
    async fn next_server(&self, generation: u64) {
        let mut current = self.current.lock().await;
        if current.generation == generation && !self.endpoints.is_empty() {
            current.server = (current.server + 1) % self.endpoints.len();
            current.generation += 1;
            current.connection = None;
        }
    }
}

/// The last failure at each server.
#[derive(Debug, Default)]
struct Failures {
    last: Vec<String>,
}

const MAX_FAILURES: usize = 8;

impl Failures {
    fn add(&mut self, error: Error) {
        let text = error.to_string();
        self.last.retain(|other| *other != text);
        if self.last.len() == MAX_FAILURES {
            self.last.remove(0);
        }
        self.last.push(text);
    }

    /// The error of a single server says it all; several are told together.
    fn into_error(mut self, error: Error, shared: &Shared, policy: RetryPolicy) -> Error {
        if shared.endpoints.len() < 2 || !error.is_transient() {
            return error;
        }
        self.add(error);
        self.unavailable(shared, policy)
    }

    fn unavailable(self, shared: &Shared, policy: RetryPolicy) -> Error {
        Error::Unavailable { service: shared.service, within: policy.patience, tried: self.last.join("; ") }
    }
}

fn jitter() -> u8 {
    let mut byte = [0];
    // Without random bytes all clients pause alike; that is all.
    let _ = getrandom::fill(&mut byte);
    byte[0]
}
