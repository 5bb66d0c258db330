use std::path::PathBuf;

use flink_graph::{Configuration, ConfigurationError, TaskManagerId, options};
use flink_protocol::worker::TlsMaterial;

/// A new identity: the host for people, the rest so that no two lives of a TaskManager share one.
#[must_use]
pub fn new_task_manager_id(host: &str) -> TaskManagerId {
    let random = flink_transport::token::random_bytes::<4>().unwrap_or_else(|| std::process::id().to_be_bytes());
    TaskManagerId(format!("{host}:{}-{}", std::process::id(), flink_transport::token::hex(&random)))
}

/// Host name of this machine, as the system knows it.
#[must_use]
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The settings that the shell reads.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) registered_host: String,
    pub(super) data_host: String,
    pub(super) bind_host: String,
    pub(super) memory: u64,
    pub(super) log_size: u64,
    pub(super) worker_tls: Option<TlsMaterial>,
    pub(super) log_file: Option<PathBuf>,
}

impl Settings {
    pub(super) fn read(
        configuration: &Configuration,
        worker_tls: Option<TlsMaterial>,
        log_file: Option<PathBuf>,
    ) -> Result<Self, ConfigurationError> {
        let named = configuration.get(&options::TASK_MANAGER_HOST)?;
        let job_manager = configuration.get(&options::JOB_MANAGER_RPC_ADDRESS)?;
        let is_local = job_manager == "localhost"
            || job_manager.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        // A cluster on one host needs no name service, and listens to nobody else.
        let data_host = named.clone().unwrap_or_else(|| if is_local { "127.0.0.1".to_owned() } else { host_name() });
        Ok(Self {
            registered_host: named.unwrap_or_else(host_name),
            bind_host: configuration.get(&options::TASK_MANAGER_BIND_HOST)?.unwrap_or_else(|| data_host.clone()),
            data_host,
            memory: configuration.get(&options::TASK_MANAGER_MEMORY)?.0,
            log_size: configuration.get(&options::WORKER_LOG_SIZE)?.0,
            worker_tls,
            log_file,
        })
    }
}
