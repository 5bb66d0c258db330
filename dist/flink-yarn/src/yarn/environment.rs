use std::path::{Path, PathBuf};

use flink_graph::Configuration;
use flink_hdfs::{Hdfs, HdfsOptions};
use hadoop_rpc::Credentials;
use hadoop_rpc::yarn::ContainerId;

/// Why a process in a container cannot start.
pub(super) type StartError = Box<dyn std::error::Error + Send + Sync>;

/// Keys of the engine's configuration that begin so set the Hadoop key behind it.
const HADOOP_PREFIX: &str = "flink.hadoop.";

/// What YARN tells a container by its environment.
#[derive(Debug)]
pub(super) struct ContainerEnvironment {
    /// The container.
    pub(super) container: ContainerId,
    /// The host as YARN names it.
    pub(super) host: String,
    /// Folders for temporary files, on different disks.
    pub(super) local_folders: Vec<PathBuf>,
    /// Folder for logs, which YARN collects.
    pub(super) log_folder: PathBuf,
    /// Path under which YARN's web proxy shows the application.
    pub(super) web_proxy_base: Option<String>,
    /// Tokens and secrets.
    pub(super) credentials: Credentials,
}

impl ContainerEnvironment {
    pub(super) fn read() -> Result<Self, StartError> {
        Ok(Self {
            container: variable("CONTAINER_ID")?.parse()?,
            host: variable("NM_HOST")?,
            local_folders: folders(&variable("LOCAL_DIRS")?),
            log_folder: log_folder().ok_or("LOG_DIRS is not set")?,
            web_proxy_base: variable("APPLICATION_WEB_PROXY_BASE").ok().filter(|base| !base.is_empty()),
            credentials: Credentials::from_environment()?.ok_or("HADOOP_TOKEN_FILE_LOCATION is not set")?,
        })
    }

    /// A secret that the container was given.
    pub(super) fn secret(&self, name: &str) -> Result<&[u8], StartError> {
        let secret = self.credentials.secret(name);
        Ok(secret.ok_or_else(|| format!("the container was not given the secret {name}"))?.expose())
    }

    /// `LOCAL_DIRS` as `io.tmp.dirs`.
    pub(super) fn temporary_folders(&self) -> String {
        let folders: Vec<String> = self.local_folders.iter().map(|folder| folder.display().to_string()).collect();
        folders.join(",")
    }
}

/// A file for logs, if YARN names a folder for them.
pub(super) fn log_file(name: &str) -> Option<PathBuf> {
    log_folder().map(|folder| folder.join(name))
}

fn log_folder() -> Option<PathBuf> {
    variable("LOG_DIRS").ok().and_then(|text| folders(&text).into_iter().next())
}

fn folders(text: &str) -> Vec<PathBuf> {
    text.split(',').map(str::trim).filter(|folder| !folder.is_empty()).map(PathBuf::from).collect()
}

fn variable(name: &str) -> Result<String, StartError> {
    std::env::var(name).map_err(|_| format!("{name} is not set: this command is run by YARN, in a container").into())
}

/// The Hadoop configuration of the node, with what the engine's own configuration says on top.
pub(super) fn hadoop_configuration(configuration: &Configuration) -> Result<hadoop_rpc::Configuration, StartError> {
    let mut hadoop = hadoop_rpc::Configuration::load()?;
    for (key, value) in &configuration.0 {
        if let Some(key) = key.strip_prefix(HADOOP_PREFIX) {
            hadoop.set(key, value.clone());
        }
    }
    Ok(hadoop)
}

/// A client of HDFS that waits for a NameNode that is just restarting.
pub(super) fn hdfs(hadoop: &hadoop_rpc::Configuration, user: &str) -> Result<Hdfs, StartError> {
    Ok(Hdfs::new(hadoop, user, HdfsOptions::default().patient())?)
}

/// Reads a file of the container as JSON.
pub(super) fn json_file<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, StartError> {
    let bytes = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", path.display()).into())
}
