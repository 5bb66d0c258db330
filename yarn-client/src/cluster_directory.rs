use std::fs;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::error::{ClientError, Result};
use crate::standalone::process::ProcessId;

/// A record of this size is none.
const MAX_RECORD_BYTES: u64 = 4 << 20;

/// Where a cluster of this user keeps its state on this host.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ClusterDirectoryOption {
    /// Folder of the standalone cluster: keys, logs, pids (default: $XDG_STATE_HOME/flink-yarn)
    #[arg(long, value_name = "DIR", help_heading = "Cluster")]
    cluster_dir: Option<PathBuf>,
}

impl ClusterDirectoryOption {
    /// The folder: the option, or the user's state folder.
    pub(crate) fn folder(&self) -> Result<ClusterDirectory> {
        let chosen = self.cluster_dir.clone().or_else(default_folder).ok_or_else(|| {
            ClientError::usage("neither XDG_STATE_HOME nor HOME is set")
                .hint("name a folder for the cluster's keys, logs and pids with --cluster-dir DIR")
        })?;
        let path = std::path::absolute(&chosen)
            .map_err(|error| ClientError::usage(format!("wrong folder {}", chosen.display())).because(&error))?;
        Ok(ClusterDirectory { path })
    }

    #[cfg(test)]
    pub(crate) fn of(path: &Path) -> Self {
        Self { cluster_dir: Some(path.to_owned()) }
    }
}

fn default_folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("flink-yarn"))
}

/// The folder of one standalone cluster.
///
/// ```text
/// cluster.json            the processes, their addresses: written by `start`, removed by `stop`
/// lock                    held while one command starts or stops the cluster
/// security/               authority, keys of client and JobManager, token of the REST API (0700, files 0600)
/// jobmanager/             its configuration
/// taskmanager-0/ …        configuration, security/ with the TaskManager's own keys, tmp/
/// logs/                   jobmanager.log, taskmanager-0.log …, and those of the run before (.1)
/// ```
#[derive(Debug, Clone)]
pub(crate) struct ClusterDirectory {
    path: PathBuf,
}

/// What is known of a cluster that was started from here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClusterRecord {
    /// `host:port` for clients and TaskManagers.
    pub(crate) address: String,
    /// URL of the REST API.
    pub(crate) rest: Option<String>,
    /// Whether its connections use TLS.
    pub(crate) tls: bool,
    /// When it was started, milliseconds since 1970.
    pub(crate) started: i64,
    /// JobManager first.
    pub(crate) processes: Vec<ProcessRecord>,
}

/// One process of a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProcessRecord {
    /// `jobmanager`, `taskmanager-0`, …
    pub(crate) name: String,
    /// The host that it was started on through ssh; none for this host.
    pub(crate) host: Option<String>,
    /// Which process it is there.
    pub(crate) id: ProcessId,
    /// Its log, on its host.
    pub(crate) log: PathBuf,
}

impl ClusterDirectory {
    pub(crate) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn security(&self) -> PathBuf {
        self.path.join("security")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    fn record_file(&self) -> PathBuf {
        self.path.join("cluster.json")
    }

    /// Makes the folder and those in it, closed to other users.
    pub(crate) fn create(&self) -> Result<()> {
        for folder in [&self.path, &self.logs()] {
            create_private(folder)?;
        }
        Ok(())
    }

    /// The cluster that was started and not stopped; it may have died since.
    pub(crate) fn read(&self) -> Result<Option<ClusterRecord>> {
        let path = self.record_file();
        let size = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(&path).because(&error)),
        };
        if size > MAX_RECORD_BYTES {
            return Err(unreadable(&path).because_text(format!("it has {size} bytes")));
        }
        let bytes = fs::read(&path).map_err(|error| unreadable(&path).because(&error))?;
        serde_json::from_slice(&bytes).map(Some).map_err(|error| unreadable(&path).because(&error))
    }

    /// Writes the record under another name first, so that nobody reads half of it.
    pub(crate) fn write(&self, record: &ClusterRecord) -> Result<()> {
        let path = self.record_file();
        let failed = |error: &dyn std::error::Error| {
            ClientError::failed(format!("cannot write {}", path.display())).because(error).hint("is the disk full?")
        };
        let mut file = tempfile::NamedTempFile::new_in(&self.path).map_err(|error| failed(&error))?;
        serde_json::to_writer_pretty(&mut file, record).map_err(|error| failed(&error))?;
        file.flush().map_err(|error| failed(&error))?;
        file.persist(&path).map_err(|error| failed(&error.error))?;
        Ok(())
    }

    /// Forgets the cluster.
    pub(crate) fn remove_record(&self) -> Result<()> {
        match fs::remove_file(self.record_file()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(ClientError::failed(format!("cannot remove {}", self.record_file().display())).because(&error))
            }
            _ => Ok(()),
        }
    }

    fn lock_file(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// The lock, where a cluster was started here and no command holds it now.
    pub(crate) fn lock_existing(&self) -> std::io::Result<fs::File> {
        fs::metadata(self.record_file())?;
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(self.lock_file())?;
        file.try_lock()?;
        Ok(file)
    }

    /// Keeps other commands from starting or stopping the cluster meanwhile.
    pub(crate) fn lock(&self) -> Result<fs::File> {
        let path = self.lock_file();
        let open = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file =
            open.map_err(|error| ClientError::failed(format!("cannot open {}", path.display())).because(&error))?;
        file.try_lock().map_err(|error| {
            ClientError::failed(format!(
                "another command is starting or stopping the cluster in {}",
                self.path.display()
            ))
            .because(&error)
            .hint("wait until it has ended, or name another folder with --cluster-dir")
        })?;
        Ok(file)
    }
}

/// Makes a folder that other users cannot look into.
pub(crate) fn create_private(folder: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| {
        ClientError::failed(format!("cannot make the folder {}", folder.display()))
            .because(&error)
            .hint("name another one with --cluster-dir DIR")
    })
}

fn unreadable(path: &Path) -> ClientError {
    ClientError::failed(format!("cannot read the cluster's record {}", path.display()))
        .hint("if no process of that cluster runs any more, remove the file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_kept_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let directory = ClusterDirectoryOption::of(&folder.path().join("c")).folder().unwrap();
        assert_eq!(directory.read().unwrap(), None);
        directory.create().unwrap();
        let record = ClusterRecord {
            address: "127.0.0.1:6123".to_owned(),
            rest: None,
            tls: true,
            started: 1,
            processes: Vec::new(),
        };
        directory.write(&record).unwrap();
        assert_eq!(directory.read().unwrap(), Some(record));
        directory.remove_record().unwrap();
        directory.remove_record().unwrap();
        assert_eq!(directory.read().unwrap(), None);
        fs::write(directory.record_file(), "{").unwrap();
        assert!(directory.read().unwrap_err().to_string().contains("cannot read the cluster's record"));
    }

    #[test]
    fn two_commands_do_not_meet() {
        let folder = tempfile::tempdir().unwrap();
        let directory = ClusterDirectoryOption::of(folder.path()).folder().unwrap();
        let _held = directory.lock().unwrap();
        assert!(directory.lock().unwrap_err().to_string().contains("another command"));
    }
}
