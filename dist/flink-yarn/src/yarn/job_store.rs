use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread::{self, Thread};
use std::time::Duration;

use flink_appmaster::job_store::{JobStore, JobStoreError, Stored};
use flink_files::file_system::{Existing, FileSystem, OpenOptions, ReadPoll};
use flink_files::{FileError, FileUri};
use flink_hdfs::{Hdfs, HdfsFileSystem, HdfsOptions, Upload};
use flink_taskmanager::operator::TaskWaker;

use super::attempts::AttemptName;
use super::environment::StartError;

const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Bytes that are copied from HDFS at once.
const PIECE: usize = 256 << 10;

/// Silence of HDFS after which a copy fails; its own limits are below this one.
const STORE_TIMEOUT: Duration = Duration::from_secs(300);

const NAME: AttemptName = AttemptName { before: "jobs", after: "" };

/// Jobs and results in the staging folder of an application, in a folder that has the number of the attempt that leads.
/// The next attempt renames it, and so takes it over in one step: what the one before writes from then on finds no folder.
#[derive(Clone)]
pub(super) struct HdfsJobStore {
    /// Makes no folders: one that was taken over stays away.
    hdfs: Hdfs,
    hadoop: hadoop_rpc::Configuration,
    user: String,
    staging: String,
    epoch: u64,
    folder: String,
}

impl fmt::Debug for HdfsJobStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HdfsJobStore({})", self.folder)
    }
}

impl HdfsJobStore {
    /// The store of an attempt, with what is left of the attempts before.
    pub(super) async fn take_over(
        hdfs: Hdfs,
        hadoop: hadoop_rpc::Configuration,
        user: &str,
        staging: &str,
        epoch: u64,
    ) -> Result<Self, StartError> {
        let path = |epoch| format!("{staging}/{}", NAME.of(epoch));
        let folder = path(epoch);
        match NAME.found(&hdfs, staging).await?.pop() {
            Some(other) if other > epoch => {
                return Err(format!("attempt {other} has the jobs already, this is attempt {epoch}").into());
            }
            Some(other) if other < epoch => hdfs.rename(&path(other), &folder, Existing::Refuse).await?,
            _ => hdfs.create_folder(&folder, FOLDER_MODE).await?,
        }
        let (hdfs, user, staging) = (hdfs.without_new_folders(), user.to_owned(), staging.to_owned());
        Ok(Self { hdfs, hadoop, user, staging, epoch, folder })
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    fn error(&self, doing: &'static str, name: &str, cause: &dyn fmt::Display) -> JobStoreError {
        let (name, place, cause) = (name.to_owned(), self.folder.clone(), cause.to_string());
        JobStoreError { doing, name, place, cause, is_taken_over: false }
    }

    /// The error of something that was not written: it tells when that is because of a later attempt.
    async fn not_written(&self, name: &str, cause: &FileError) -> JobStoreError {
        let latest = NAME.found(&self.hdfs, &self.staging).await.unwrap_or_default().pop();
        let is_taken_over = latest.is_some_and(|latest| latest > self.epoch);
        JobStoreError { is_taken_over, ..self.error("write", name, cause) }
    }

    async fn is_there(&self, name: &str) -> Result<bool, FileError> {
        match self.hdfs.status(&self.path(name)).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn fetch(&self, name: &str, to: &Path) -> Result<(), String> {
        let uri = self.hdfs.uri(&self.path(name)).map_err(|error| error.to_string())?;
        let options = HdfsOptions { user: Some(self.user.clone()), ..HdfsOptions::default().patient() };
        let (hadoop, to) = (self.hadoop.clone(), to.to_owned());
        let copied =
            tokio::task::spawn_blocking(move || copy(&HdfsFileSystem::with_configuration(options, hadoop), &uri, &to));
        copied.await.map_err(|error| error.to_string())?
    }
}

impl JobStore for HdfsJobStore {
    fn write<'a>(&'a self, name: &'a str, bytes: Vec<u8>) -> Stored<'a, ()> {
        Box::pin(async move {
            match self.hdfs.write(&self.path(name), bytes, FILE_MODE).await {
                Ok(_) => Ok(()),
                Err(error) => Err(self.not_written(name, &error).await),
            }
        })
    }

    fn read<'a>(&'a self, name: &'a str, limit: u64) -> Stored<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            match self.hdfs.read(&self.path(name), usize::try_from(limit).unwrap_or(usize::MAX)).await {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if error.is_not_found() => Ok(None),
                Err(error) => Err(self.error("read", name, &error)),
            }
        })
    }

    fn upload<'a>(&'a self, name: &'a str, from: &'a Path) -> Stored<'a, ()> {
        Box::pin(async move {
            let upload = Upload { replication: None, mode: FILE_MODE, existing: Existing::Replace };
            let stored = async {
                if self.is_there(name).await? {
                    return Ok(());
                }
                self.hdfs.upload(from, &self.path(name), upload, |_| {}).await.map(drop)
            };
            match stored.await {
                Ok(()) => Ok(()),
                Err(error) => Err(self.not_written(name, &error).await),
            }
        })
    }

    fn download<'a>(&'a self, name: &'a str, to: &'a Path) -> Stored<'a, bool> {
        Box::pin(async move {
            if !self.is_there(name).await.map_err(|error| self.error("look for", name, &error))? {
                return Ok(false);
            }
            self.fetch(name, to).await.map_err(|error| self.error("read", name, &error))?;
            Ok(true)
        })
    }

    fn list(&self) -> Stored<'_, Vec<String>> {
        Box::pin(async move {
            let listed = self.hdfs.list(&self.folder).await.map_err(|error| self.error("list", "", &error))?;
            let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
            let names = listed.iter().map(|status| name(status.uri.path()));
            Ok(names.filter(|name| !name.starts_with('.')).collect())
        })
    }

    fn remove<'a>(&'a self, name: &'a str) -> Stored<'a, ()> {
        Box::pin(async move {
            let removed = self.hdfs.delete(&self.path(name)).await;
            removed.map(drop).map_err(|error| self.error("remove", name, &error))
        })
    }
}

/// Copies a file of HDFS to this host, piece by piece: programs may be larger than the container's memory.
fn copy(hdfs: &HdfsFileSystem, uri: &FileUri, to: &PathBuf) -> Result<(), String> {
    let cannot = |error: &dyn fmt::Display| format!("{}: {error}", to.display());
    let mut source = hdfs.open(uri, OpenOptions::default()).map_err(|error| error.to_string())?;
    let mut target = std::fs::File::create(to).map_err(|error| cannot(&error))?;
    let waiting: Thread = thread::current();
    let waker = TaskWaker::new(move || waiting.unpark());
    let mut buffer = vec![0; PIECE];
    loop {
        match source.poll_read(&mut buffer, &waker).map_err(|error| error.to_string())? {
            ReadPoll::Read(count) => target.write_all(&buffer[..count]).map_err(|error| cannot(&error))?,
            ReadPoll::Pending => thread::park_timeout(STORE_TIMEOUT),
            ReadPoll::End => return Ok(()),
        }
    }
}
