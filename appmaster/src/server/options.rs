use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flink_graph::{Artifact, Configuration, ConfigurationError, PortRange, options};
use flink_protocol::Epoch;
use flink_protocol::worker::TlsMaterial;
use flink_transport::TlsError;

use crate::job_store::JobStore;

/// What a JobManager is started with.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Configuration of the cluster.
    pub configuration: Configuration,
    /// Its keys; `None` without TLS.
    pub tls: Option<TlsMaterial>,
    /// Its epoch; `None` takes the clock, so that a JobManager that is started later leads over an earlier one.
    pub epoch: Option<Epoch>,
    /// Whether others may connect over the network. Without it, only links within the process reach it.
    pub listen: bool,
    /// The file of the process's own log, for `RequestLog`.
    pub log_file: Option<PathBuf>,
    /// Where jobs and results are kept for the next JobManager; `None` keeps none.
    pub job_store: Option<Arc<dyn JobStore>>,
    /// Programs that are here as files already, as they will be for the next JobManager: the store does not keep them.
    pub programs: Vec<(Artifact, PathBuf)>,
    /// Whether somebody starts TaskManagers as the jobs want them ([`crate::yarn::ContainerService`]).
    pub task_managers_on_demand: bool,
}

impl ServerOptions {
    /// For a cluster that is reached over the network.
    #[must_use]
    pub fn network(configuration: Configuration, tls: Option<TlsMaterial>) -> Self {
        Self {
            configuration,
            tls,
            epoch: None,
            listen: true,
            log_file: None,
            job_store: None,
            programs: Vec::new(),
            task_managers_on_demand: false,
        }
    }

    /// For a cluster within this process.
    #[must_use]
    pub fn local(configuration: Configuration) -> Self {
        Self { listen: false, ..Self::network(configuration, None) }
    }
}

/// A JobManager could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A setting is wrong.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// The keys are wrong.
    #[error("the JobManager's keys cannot be used: {0}")]
    Keys(#[from] TlsError),
    /// What an earlier JobManager has left cannot be read.
    #[error("the jobs of the last JobManager cannot be taken over: {0}")]
    Recovery(String),
    /// The port cannot be listened on.
    #[error("cannot listen on {address}: {source}; {hint}")]
    Listen {
        /// Where.
        address: String,
        /// Why not.
        source: io::Error,
        /// What to change.
        hint: &'static str,
    },
}

/// The settings that the shell reads.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) bind_host: String,
    pub(super) ports: PortRange,
    pub(super) frame_limit: u64,
    pub(super) request_timeout: Duration,
    pub(super) artifact_folder: PathBuf,
}

impl Settings {
    pub(super) fn read(configuration: &Configuration) -> Result<Self, ConfigurationError> {
        let address = configuration.get(&options::JOB_MANAGER_RPC_ADDRESS)?;
        let folders = configuration.get(&options::IO_TMP_DIRS)?.unwrap_or_default();
        let folder = folders.split(',').map(str::trim).find(|name| !name.is_empty());
        Ok(Self {
            bind_host: configuration.get(&options::JOB_MANAGER_BIND_HOST)?.unwrap_or(address),
            ports: match configuration.get(&options::JOB_MANAGER_RPC_BIND_PORT)? {
                Some(ports) => ports,
                None => configuration.get(&options::JOB_MANAGER_RPC_PORT)?.into(),
            },
            frame_limit: configuration.get(&options::RPC_FRAME_SIZE)?.0,
            request_timeout: configuration.get(&options::RPC_TIMEOUT)?.max(Duration::from_millis(1)),
            artifact_folder: folder.map_or_else(std::env::temp_dir, PathBuf::from),
        })
    }
}

pub(super) fn listen_error(address: String, source: io::Error) -> ServerError {
    let hint = match source.kind() {
        io::ErrorKind::AddrInUse => {
            "another process uses this port: end it, or choose another with jobmanager.rpc.port (0 picks a free one)"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this host does not have that address: set jobmanager.bind-host (0.0.0.0 for all) or jobmanager.rpc.address"
        }
        io::ErrorKind::PermissionDenied => "choose a jobmanager.rpc.port of 1024 or more",
        _ => "check jobmanager.rpc.address, jobmanager.bind-host and jobmanager.rpc.port",
    };
    ServerError::Listen { address, source, hint }
}

/// Milliseconds since 1970: grows from one start of a JobManager to the next.
#[must_use]
pub fn epoch_of_now() -> Epoch {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(1)
}
