use std::io::ErrorKind;
use std::time::{Duration, Instant};

use flink_files::file_system::{Existing, FileKind, FileStatus, FileVersion};
use flink_files::{FileError, FileUri};
use hdfs_native::WriteOptions;
use hdfs_native::file::FileWriter;

use crate::failure::Attempt;
use crate::name_service::{CallError, NameService, Repeat};

/// More entries than this in one folder are not listed: it would take gigabytes.
const MAX_ENTRIES: usize = 1_000_000;

/// How often a rename is looked after whose answer was lost.
const RENAME_ATTEMPTS: usize = 3;

/// Longest wait for the DataNodes to agree on the end of a file: the NameNode may ask a dead one first, for 90 s.
const RECOVERY_LIMIT: Duration = Duration::from_secs(240);

const RECOVERY_PAUSE: Duration = Duration::from_secs(1);

/// Nanoseconds in a millisecond, which is how fine HDFS knows times.
const NANOS: i64 = 1_000_000;

/// What the NameNode says of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HdfsStatus {
    /// The path.
    pub uri: FileUri,
    /// File or folder.
    pub kind: FileKind,
    /// Size in bytes.
    pub length: u64,
    /// Time of the last change, in milliseconds since the epoch: the time stamp of a local resource of YARN.
    pub modified_millis: u64,
    /// Permission bits: `0o644`.
    pub mode: u32,
    /// Its owner.
    pub owner: String,
    /// Its group.
    pub group: String,
    /// Number of copies; 0 for folders.
    pub replication: u32,
}

impl HdfsStatus {
    fn of(uri: FileUri, found: hdfs_native::client::FileStatus) -> Self {
        Self {
            uri,
            kind: if found.isdir { FileKind::Folder } else { FileKind::File },
            length: found.length as u64,
            modified_millis: found.modification_time,
            mode: u32::from(found.permission),
            owner: found.owner,
            group: found.group,
            replication: found.replication.unwrap_or_default(),
        }
    }

    /// What it is, to be recognised later.
    #[must_use]
    pub fn version(&self) -> FileVersion {
        let millis = i64::try_from(self.modified_millis).unwrap_or(i64::MAX);
        FileVersion { length: self.length, modified_nanos: millis.saturating_mul(NANOS) }
    }

    pub(crate) fn file_status(&self) -> FileStatus {
        FileStatus { uri: self.uri.clone(), kind: self.kind, version: self.version() }
    }
}

/// What a folder uses of its quotas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HdfsUsage {
    /// Files and folders.
    pub names: u64,
    /// How many there may be; none where there is no such quota.
    pub name_quota: Option<u64>,
    /// Bytes with all copies.
    pub space: u64,
    /// How many bytes there may be; none where there is no such quota.
    pub space_quota: Option<u64>,
}

impl NameService {
    pub(crate) async fn usage(&self, uri: &FileUri) -> Result<HdfsUsage, FileError> {
        let counted = self.call(Attempt { action: "count", uri }, Repeat::Always, |client| {
            let path = uri.path().to_owned();
            async move { client.get_content_summary(&path).await }
        });
        let summary = counted.await?;
        // Without a quota it is -1, in an unsigned field.
        let quota = |value: u64| i64::try_from(value).is_ok().then_some(value);
        Ok(HdfsUsage {
            names: summary.file_count + summary.directory_count,
            name_quota: quota(summary.quota),
            space: summary.space_consumed,
            space_quota: quota(summary.space_quota),
        })
    }

    pub(crate) async fn status(&self, action: &'static str, uri: &FileUri) -> Result<HdfsStatus, FileError> {
        let found = self.call(Attempt { action, uri }, Repeat::Always, |client| {
            let path = uri.path().to_owned();
            async move { client.get_file_info(&path).await }
        });
        Ok(HdfsStatus::of(uri.clone(), found.await?))
    }

    /// What a folder holds, in the order of the NameNode.
    pub(crate) async fn list(&self, folder: &FileUri) -> Result<Vec<HdfsStatus>, FileError> {
        let attempt = Attempt { action: "list", uri: folder };
        let listed = self.call(attempt, Repeat::Always, |client| {
            let path = folder.path().to_owned();
            async move {
                let entries = client.list_status_iter(&path, false);
                let mut found = Vec::new();
                while let Some(entry) = entries.next().await.transpose()? {
                    if found.len() == MAX_ENTRIES {
                        return Ok(Err(format!("it holds more than {MAX_ENTRIES} files")));
                    }
                    found.push(entry);
                }
                Ok(Ok(found))
            }
        });
        let found = listed.await?.map_err(|reason| attempt.error(reason, ErrorKind::FileTooLarge))?;
        // Of a file, the NameNode lists the file itself.
        if let [only] = found.as_slice()
            && !only.isdir
            && only.path.trim_end_matches('/') == folder.path()
        {
            return Err(attempt.error("it is a file, not a folder", ErrorKind::NotADirectory));
        }
        let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        Ok(found.into_iter().map(|entry| HdfsStatus::of(folder.join(&name(&entry.path)), entry)).collect())
    }

    pub(crate) async fn create_folders(&self, uri: &FileUri, mode: u32) -> Result<(), FileError> {
        let attempt = Attempt { action: "create the folder", uri };
        let made = self.call(attempt, Repeat::Always, |client| {
            let path = uri.path().to_owned();
            async move { client.mkdirs(&path, mode, true).await }
        });
        Ok(made.await?)
    }

    /// Tells whether there was something to delete.
    pub(crate) async fn delete(&self, uri: &FileUri) -> Result<bool, FileError> {
        let attempt = Attempt { action: "delete", uri };
        let once = |client: hdfs_native::Client| {
            let path = uri.path().to_owned();
            async move { client.delete(&path, true).await }
        };
        match self.call(attempt, Repeat::IfNotDone, once).await {
            // When the answer was lost, there was something: the second time there is none any more.
            Err(lost) if lost.may_have_happened => Ok(self.call(attempt, Repeat::Always, once).await.map(|_| true)?),
            deleted => Ok(deleted?),
        }
    }

    pub(crate) async fn set_permission(&self, uri: &FileUri, mode: u32) -> Result<(), FileError> {
        let attempt = Attempt { action: "set the permissions of", uri };
        let set = self.call(attempt, Repeat::Always, |client| {
            let path = uri.path().to_owned();
            async move { client.set_permission(&path, mode).await }
        });
        Ok(set.await?)
    }

    /// Renames in one step. When the answer is lost, looks what has become of it.
    pub(crate) async fn rename(&self, from: &FileUri, to: &FileUri, existing: Existing) -> Result<(), FileError> {
        let mut attempts = RENAME_ATTEMPTS;
        loop {
            attempts -= 1;
            match self.try_rename(from, to, existing).await {
                Err(lost) if lost.may_have_happened && attempts > 0 => {
                    // Only we know the old name, so when it is gone, the file has the new one from us.
                    if self.is_there(from).await? {
                        continue;
                    }
                    return if self.is_there(to).await? { Ok(()) } else { Err(lost.error) };
                }
                renamed => return Ok(renamed?),
            }
        }
    }

    async fn try_rename(&self, from: &FileUri, to: &FileUri, existing: Existing) -> Result<(), CallError> {
        let overwrite = existing == Existing::Replace;
        let attempt = Attempt { action: "give the final name to", uri: to };
        let renamed = self.call(attempt, Repeat::IfNotDone, |client| {
            let (from, to) = (from.path().to_owned(), to.path().to_owned());
            async move { client.rename(&from, &to, overwrite).await }
        });
        match renamed.await {
            Err(failed) if failed.error.is_not_found() => {
                let error = Attempt { action: "rename", uri: from }
                    .error(format!("there is no such file, or no folder for its new name {to}"), ErrorKind::NotFound);
                Err(CallError { error, ..failed })
            }
            renamed => renamed,
        }
    }

    pub(crate) async fn is_there(&self, uri: &FileUri) -> Result<bool, FileError> {
        match self.status("look at", uri).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Closes a file whose writer is gone; its length is known then.
    pub(crate) async fn recover_lease(&self, uri: &FileUri) -> Result<(), FileError> {
        let attempt = Attempt { action: "close", uri };
        let begun = Instant::now();
        loop {
            let recovered = self.call(attempt, Repeat::Always, |client| {
                let path = uri.path().to_owned();
                async move { client.recover_lease(&path).await }
            });
            if recovered.await? {
                return Ok(());
            }
            if begun.elapsed() > RECOVERY_LIMIT {
                return Err(attempt.error("its last block cannot be recovered", ErrorKind::TimedOut));
            }
            tokio::time::sleep(RECOVERY_PAUSE).await;
        }
    }

    /// Opens a closed file behind its end.
    pub(crate) async fn append(&self, uri: &FileUri) -> Result<FileWriter, FileError> {
        let patient = self.patient();
        let opened = self.call(Attempt { action: "append to", uri }, Repeat::IfNotDone, |_| {
            let (path, client) = (uri.path().to_owned(), patient.clone());
            async move { client.append(&path).await }
        });
        Ok(opened.await?)
    }

    /// Creates a file, in a folder that exists unless told otherwise.
    pub(crate) async fn create(
        &self,
        uri: &FileUri,
        existing: Existing,
        options: WriteOptions,
    ) -> Result<FileWriter, FileError> {
        let attempt = Attempt { action: "create", uri };
        let overwrite = existing == Existing::Replace;
        let options = options.overwrite(overwrite);
        let repeat = if overwrite { Repeat::Always } else { Repeat::IfNotDone };
        // The writer keeps the client that made it, and has to go on through a restart of the NameNode.
        let patient = self.patient();
        self.ensure_reachable(attempt).await?;
        let created = self.call(attempt, repeat, |_| {
            let (path, options, client) = (uri.path().to_owned(), options.clone(), patient.clone());
            async move { client.create(&path, options).await }
        });
        Ok(created.await?)
    }
}
