use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use flink_graph::PortRange;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::access::{AccessToken, Guard};
use super::proxy::{Peer, ProxyRule};
use super::routes::{Shared, router};
use super::view::ClusterView;
use crate::listening::listen_on;

/// Connections at once; more wait in the kernel until one ends.
const MAX_CONNECTIONS: usize = 64;
/// Largest first line and headers of a request.
pub(super) const MAX_HEAD_BYTES: usize = 16 << 10;
/// Most headers of a request.
pub(super) const MAX_HEADERS: usize = 64;

/// How the API is served.
#[derive(Debug, Clone)]
pub struct RestOptions {
    /// Host name or address to listen on (`rest.bind-address`).
    pub bind_host: String,
    /// Ports to listen on (`rest.port`, `rest.bind-port`): the first free one.
    pub ports: PortRange,
    /// Names besides localhost that clients call the server by (`rest.address`).
    pub hosts: Vec<String>,
    /// What a client must show to change something, and off loopback to read; none: nothing can be changed.
    pub token: Option<AccessToken>,
    /// YARN's web proxy, where there is one: then nobody else reads without the token, on loopback neither.
    pub proxy: Option<ProxyRule>,
    /// Longest wait for the head of a request, the silence between two requests included.
    pub head_timeout: Duration,
    /// Longest life of a connection; clients connect again.
    pub connection_lifetime: Duration,
}

impl RestOptions {
    /// Usual time-outs, and no token.
    #[must_use]
    pub fn new(bind_host: impl Into<String>, ports: impl Into<PortRange>) -> Self {
        Self {
            bind_host: bind_host.into(),
            ports: ports.into(),
            hosts: Vec::new(),
            token: None,
            proxy: None,
            head_timeout: Duration::from_secs(10),
            connection_lifetime: Duration::from_secs(120),
        }
    }
}

/// The API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {host}:{ports} for the REST API ({source}): set rest.port to a free port, or to 0 for any, \
         and rest.bind-address to an address of this host"
    )]
    Bind {
        /// Host as configured.
        host: String,
        /// Ports as configured.
        ports: PortRange,
        /// Why.
        source: io::Error,
    },
    /// Others can reach the server, but none could show a token.
    #[error(
        "the REST API would listen on {0}, where other hosts reach it, without a token: give it a token, or set \
         jobmanager.bind-host to 127.0.0.1"
    )]
    TokenNeeded(SocketAddr),
}

/// A server that runs until it is shut down or dropped.
#[derive(Debug)]
pub struct RestServer {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl RestServer {
    /// The address that is listened on, with the port that was picked.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests and lets those that run come to their end, for a few seconds.
    pub async fn shut_down(self) {
        let Self { stop, accepting, .. } = self;
        stop.send_replace(true);
        // It bounds its own wait; an error would be its panic, which is reported already.
        let _ = accepting.await;
    }
}

/// Listens and serves. A dropped [`RestServer`] ends by itself as if shut down.
///
/// # Errors
/// The port is taken, or the address is not on loopback and there is no token.
pub async fn serve(options: RestOptions, view: Arc<dyn ClusterView>) -> Result<RestServer, RestError> {
    let bind_error = |source| RestError::Bind { host: options.bind_host.clone(), ports: options.ports.clone(), source };
    let listener = listen_on(&options.bind_host, &options.ports).await.map_err(bind_error)?;
    let address = listener.local_addr().map_err(bind_error)?;
    let loopback = address.ip().to_canonical().is_loopback();
    if !loopback && options.token.is_none() {
        return Err(RestError::TokenNeeded(address));
    }
    let (token, hosts, proxy) = (options.token.clone(), options.hosts.clone(), options.proxy.clone());
    let guard = Guard { loopback: loopback && proxy.is_none(), token, hosts, proxy };
    let router = router(Arc::new(Shared { view, guard }));
    let (stop, stopped) = watch::channel(false);
    let limits = Limits { head_timeout: options.head_timeout, lifetime: options.connection_lifetime };
    let accepting = tokio::spawn(accept(listener, router, limits, stopped));
    Ok(RestServer { address, stop, accepting })
}

#[derive(Clone, Copy)]
struct Limits {
    head_timeout: Duration,
    lifetime: Duration,
}

impl Limits {
    /// Time that a connection has to end once it was told to.
    fn grace(self) -> Duration {
        Duration::from_secs(5).min(self.lifetime)
    }
}

async fn accept(listener: TcpListener, router: Router, limits: Limits, mut stopped: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = told_to_stop(&mut stopped) => break,
            next = next => next,
        };
        match accepted {
            Ok((stream, peer)) => {
                let router = router.clone().layer(Extension(Peer(peer)));
                let serving = serve_connection(stream, router, limits, stopped.clone());
                connections.spawn(async move {
                    serving.await;
                    drop(place);
                });
            }
            Err(error) => {
                // Mostly too many open files: trying again at once would only burn a processor.
                tracing::warn!(%error, "the REST API cannot accept a connection");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if timeout(limits.grace() * 2, ended).await.is_err() {
        tracing::debug!("connections of the REST API did not end in time");
    }
}

/// Also when the [`RestServer`] was dropped.
async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn serve_connection(stream: TcpStream, router: Router, limits: Limits, mut stopped: watch::Receiver<bool>) {
    // Only costs some milliseconds where it is refused.
    let _ = stream.set_nodelay(true);
    let mut http = http1::Builder::new();
    // A client that has said all, and closed its side, still gets its answer.
    http.half_close(true)
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection of the REST API broke");
            }
            return;
        }
        () = sleep(limits.lifetime) => {}
        () = told_to_stop(&mut stopped) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(limits.grace(), connection).await;
}
