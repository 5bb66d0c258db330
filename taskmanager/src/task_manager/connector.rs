use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use flink_protocol::Envelope;
use flink_protocol::task_manager::{ToJobManager, ToTaskManager};
use flink_transport::{ChannelPair, Dialer, Role};

/// The TaskManager's end of a connection to the JobManager.
pub type JobManagerLink = ChannelPair<Envelope<ToTaskManager>, Envelope<ToJobManager>>;

/// Opens connections to the JobManager: over the network, or within this process.
pub trait Connector: Send + 'static {
    /// Tries once.
    fn connect(&mut self) -> Pin<Box<dyn Future<Output = Result<JobManagerLink, String>> + Send + '_>>;
}

/// Messages of the JobManager that are read before they are handled.
const READ_AHEAD: usize = 64;

/// Messages that may wait for the JobManager: all tasks of a large job may change their state at one moment.
const SEND_QUEUE: usize = 1 << 16;

/// Connects over TCP, with mutual TLS where the dialer has keys.
#[derive(Debug)]
pub struct NetworkConnector {
    dialer: Dialer,
    address: String,
    write_timeout: Duration,
}

impl NetworkConnector {
    /// To the JobManager at `host:port`. One that takes no message for `write_timeout` counts as lost.
    #[must_use]
    pub fn new(dialer: Dialer, address: String, write_timeout: Duration) -> Self {
        Self { dialer, address, write_timeout }
    }
}

impl Connector for NetworkConnector {
    fn connect(&mut self) -> Pin<Box<dyn Future<Output = Result<JobManagerLink, String>> + Send + '_>> {
        Box::pin(async {
            let connection = self.dialer.connect(&self.address, Role::JobManager).await.map_err(|e| e.to_string())?;
            Ok(connection.into_channels(READ_AHEAD, SEND_QUEUE, self.write_timeout))
        })
    }
}

/// Connects to a JobManager in this process.
pub struct InMemoryConnector<F>(F);

impl<F> std::fmt::Debug for InMemoryConnector<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InMemoryConnector")
    }
}

impl<F: FnMut() -> Option<JobManagerLink> + Send + 'static> InMemoryConnector<F> {
    /// `open` gives a new link, or none when the JobManager has ended.
    pub fn new(open: F) -> Self {
        Self(open)
    }
}

impl<F: FnMut() -> Option<JobManagerLink> + Send + 'static> Connector for InMemoryConnector<F> {
    fn connect(&mut self) -> Pin<Box<dyn Future<Output = Result<JobManagerLink, String>> + Send + '_>> {
        let link = (self.0)().ok_or_else(|| "the JobManager has ended".to_owned());
        Box::pin(std::future::ready(link))
    }
}
