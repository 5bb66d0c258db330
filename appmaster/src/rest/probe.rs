use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::RestOptions;
use super::access::Guard;
use super::connections::{MAX_HEAD_BYTES, MAX_HEADERS};
use super::routes::{Shared, router};
use super::view::ClusterView;

/// Longest conversation.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a caller is told who says `bytes` and no more, over a connection that is no socket.
pub async fn converse(options: &RestOptions, view: Arc<dyn ClusterView>, bytes: &[u8]) -> Vec<u8> {
    let (token, hosts, proxy) = (options.token.clone(), options.hosts.clone(), options.proxy.clone());
    let router = router(Arc::new(Shared { view, guard: Guard { loopback: true, token, hosts, proxy } }));
    let (mut near, far) = tokio::io::duplex(64 << 10);
    let mut http = http1::Builder::new();
    http.half_close(true).max_buf_size(MAX_HEAD_BYTES).max_headers(MAX_HEADERS);
    let serving = http.serve_connection(TokioIo::new(far), TowerToHyperService::new(router));
    let mut told = Vec::new();
    let asking = async {
        let (mut reading, mut writing) = tokio::io::split(&mut near);
        let said = async {
            // It may have hung up on what came first.
            let _ = writing.write_all(bytes).await;
            let _ = writing.shutdown().await;
        };
        tokio::join!(said, reading.read_to_end(&mut told))
    };
    let _ = tokio::time::timeout(TIMEOUT, async { tokio::join!(serving, asking) }).await;
    told
}
