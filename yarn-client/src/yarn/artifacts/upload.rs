use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flink_console::human;
use flink_files::FileError;
use flink_files::file_system::{Existing, FileKind};
use flink_hdfs::{Hdfs, HdfsStatus, Upload};
use flink_protocol::deployment::{BINARY_FILE, ContainerFile, ContainerFileKind, ContainerFileVisibility};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Content;
use super::content::changed;
use super::files::{Item, Source};
use super::progress::Progress;
use crate::error::{ClientError, Result};
use crate::yarn::orphaned_staging;

/// Files that are uploaded at the same time.
const AT_ONCE: usize = 4;

/// Everybody may read and nobody may change what is stored: it is the user's own folder that keeps others out.
const FILE_MODE: u32 = 0o555;

/// What is put beside a file that is used again.
const USED: &str = ".used";

/// For the folders above: nobody but the user.
const FOLDER_MODE: u32 = 0o700;

/// Uploads what is not there yet.
#[derive(Clone)]
pub(crate) struct Uploader {
    hdfs: Hdfs,
    /// `…/.flink-yarn/artifacts`.
    folder: String,
    replication: Option<u32>,
}

/// What an upload came to.
#[derive(Debug, Default)]
pub(crate) struct Uploaded {
    /// The files, as containers name them.
    pub(crate) files: Vec<ContainerFile>,
    /// Bytes that had to be sent.
    pub(crate) bytes: u64,
    /// Files that had to be sent.
    pub(crate) sent: usize,
}

/// A file that must be sent, or is there.
struct Known {
    content: Content,
    path: String,
    stored: Option<HdfsStatus>,
}

impl Uploader {
    pub(crate) fn new(hdfs: Hdfs, staging: &str, replication: Option<u32>) -> Self {
        Self { hdfs, folder: format!("{staging}/artifacts"), replication }
    }

    /// Brings everything that the items need into HDFS. `contents` are the local files among them, by the items' names.
    pub(crate) async fn bring(&self, items: &[Item], contents: &BTreeMap<String, Content>) -> Result<Uploaded> {
        let mut done = Uploaded::default();
        let provided = self.all_provided(items).await?;
        // A provided binary stands for this one, which is not uploaded then.
        let has_binary = provided.iter().any(|file| file.name == BINARY_FILE);
        let items: Vec<&Item> = items.iter().filter(|item| !(has_binary && item.is_own_binary())).collect();
        let wanted = |name: &str| items.iter().any(|item| item.name == name);
        let contents: BTreeMap<String, Content> = contents
            .iter()
            .filter(|(name, _)| wanted(name))
            .map(|(name, content)| (name.clone(), content.clone()))
            .collect();
        let known = self.look(&contents).await?;
        let stored = self.send_missing(known, &mut done).await?;
        self.note_use(stored.keys()).await;
        for item in items {
            match &item.source {
                Source::Local { .. } => {
                    let sha256 = contents.get(&item.name).map(|content| &content.sha256);
                    let status = sha256.and_then(|sha256| stored.get(sha256)).ok_or_else(|| missing(&item.name))?;
                    done.files.push(container_file(item, status, ContainerFileVisibility::Private));
                }
                Source::Stored(uri) => {
                    let status = self.hdfs.status(uri).await.map_err(|error| failed(&error))?;
                    done.files.push(container_file(item, &status, ContainerFileVisibility::Private));
                }
                Source::StoredFolder(_) => {}
            }
        }
        done.files.extend(provided);
        // What was asked for by name comes first in the list and wins.
        let mut names = std::collections::BTreeSet::new();
        done.files.retain(|file| names.insert(file.name.clone()));
        Ok(done)
    }

    /// Takes away what an upload of this process has left that was given up: files that are not whole.
    pub(crate) async fn discard(&self, contents: &BTreeMap<String, Content>) {
        let ours = format!(".{:x}-", std::process::id());
        for content in contents.values() {
            let folder = format!("{}/{}", self.folder, content.sha256);
            let (left, is_all) = self.unfinished(&folder, |name| name.contains(&ours)).await;
            if is_all {
                let _ = self.hdfs.delete(&folder).await;
                continue;
            }
            for path in left {
                let _ = self.hdfs.delete(&path).await;
            }
        }
    }

    /// Takes away what other clients have begun of a file that is there now: they have died, or will find it there.
    async fn remove_unfinished(&self, folder: &str) {
        for path in self.unfinished(folder, |_| true).await.0 {
            let _ = self.hdfs.delete(&path).await;
        }
    }

    /// The files of a folder that are not whole, of those with such names; and whether it holds no others. What cannot be
    /// listed or removed is hidden, and of no harm.
    async fn unfinished(&self, folder: &str, is_meant: impl Fn(&str) -> bool) -> (Vec<String>, bool) {
        let Ok(listed) = self.hdfs.list(folder).await else { return (Vec::new(), false) };
        let is_unfinished = |status: &&HdfsStatus| {
            let name = status.uri.path().rsplit('/').next().unwrap_or_default();
            name.starts_with('.') && name.ends_with("_COPYING_") && is_meant(name)
        };
        let found: Vec<String> = listed.iter().filter(is_unfinished).map(|status| status.uri.to_string()).collect();
        let is_all = found.len() == listed.len();
        (found, is_all)
    }

    /// Which contents are there already.
    async fn look(&self, contents: &BTreeMap<String, Content>) -> Result<Vec<Known>> {
        let mut looking = JoinSet::new();
        let mut known = BTreeMap::new();
        for content in contents.values() {
            let name = content.stored_name();
            let path = format!("{}/{}/{name}", self.folder, content.sha256);
            if known.insert(content.sha256.clone(), path.clone()).is_some() {
                continue;
            }
            let (hdfs, content) = (self.hdfs.clone(), content.clone());
            looking.spawn(async move {
                let stored = match hdfs.status(&path).await {
                    Ok(status) if status.length == content.size => Ok(Some(status)),
                    // Files appear when they are whole, so that another size is somebody else's doing: it is replaced.
                    Ok(_) => hdfs.delete(&path).await.map(|_| None),
                    Err(error) if error.is_not_found() => Ok(None),
                    Err(error) => Err(error),
                };
                stored.map(|stored| Known { content, path, stored })
            });
        }
        let mut all = Vec::new();
        while let Some(found) = looking.join_next().await {
            let found = found.map_err(|error| ClientError::failed("looking into HDFS did not end").because(&error))?;
            all.push(found.map_err(|error| failed(&error))?);
        }
        Ok(all)
    }

    /// Notes that contents are in use: the time at which something was last put into their folders says so.
    async fn note_use(&self, hashes: impl Iterator<Item = &String>) {
        let mut noting = JoinSet::new();
        for sha256 in hashes {
            let (hdfs, folder) = (self.hdfs.clone(), format!("{}/{sha256}", self.folder));
            noting.spawn(async move {
                let status = hdfs.status(&folder).await?;
                match orphaned_staging::is_noted(Duration::from_millis(status.modified_millis)) {
                    true => Ok(()),
                    false => hdfs.write(&format!("{folder}/{USED}"), Vec::new(), FILE_MODE).await.map(|_| ()),
                }
            });
        }
        // Whoever cannot note it uses it all the same, and it is missed in a month at the earliest.
        while let Some(noted) = noting.join_next().await {
            let _: Option<std::result::Result<(), FileError>> = noted.ok();
        }
    }

    async fn send_missing(&self, known: Vec<Known>, done: &mut Uploaded) -> Result<BTreeMap<String, HdfsStatus>> {
        let (missing, there): (Vec<_>, Vec<_>) = known.into_iter().partition(|known| known.stored.is_none());
        let mut stored: BTreeMap<String, HdfsStatus> =
            there.into_iter().filter_map(|known| Some((known.content.sha256.clone(), known.stored?))).collect();
        if missing.is_empty() {
            return Ok(stored);
        }
        let (started, total) = (Instant::now(), missing.iter().map(|known| known.content.size).sum());
        (done.bytes, done.sent) = (total, missing.len());
        self.hdfs.create_folder(&self.folder, FOLDER_MODE).await.map_err(|error| failed(&error))?;
        let progress = Arc::new(Progress::new(total));
        let result = self.send(missing, &progress).await;
        progress.clear();
        stored.extend(result?);
        crate::output::notice(format!(
            "Uploaded {} bytes in {} file(s) to {} in {}",
            human::count(total),
            done.sent,
            self.folder,
            human::duration(started.elapsed())
        ));
        Ok(stored)
    }

    /// When one fails the others are given up: what is not whole is removed by whoever writes it.
    async fn send(&self, missing: Vec<Known>, progress: &Arc<Progress>) -> Result<Vec<(String, HdfsStatus)>> {
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        let mut sending = JoinSet::new();
        for known in missing {
            let (uploader, permits, progress) = (self.clone(), Arc::clone(&permits), Arc::clone(progress));
            sending.spawn(async move {
                let _permit = permits.acquire_owned().await;
                uploader.send_one(known, &progress).await
            });
        }
        let mut sent = Vec::new();
        while let Some(result) = sending.join_next().await {
            sent.push(result.map_err(|error| ClientError::failed("an upload did not end").because(&error))??);
        }
        Ok(sent)
    }

    async fn send_one(&self, known: Known, progress: &Arc<Progress>) -> Result<(String, HdfsStatus)> {
        let Known { content, path, .. } = known;
        let preparing = content.clone();
        let upload = tokio::task::spawn_blocking(move || preparing.to_upload()).await;
        let upload =
            upload.map_err(|error| ClientError::failed("preparing an upload did not end").because(&error))??;
        let how = Upload { replication: self.replication, mode: FILE_MODE, existing: Existing::Refuse };
        let (progress, before) = (Arc::clone(progress), std::sync::atomic::AtomicU64::new(0));
        let tell = move |so_far: u64| {
            let before = before.swap(so_far, std::sync::atomic::Ordering::Relaxed);
            progress.add(so_far.saturating_sub(before));
        };
        let status = match self.hdfs.upload(upload.path(), &path, how, tell).await {
            Ok(status) => {
                self.remove_unfinished(path.rsplit_once('/').map_or("", |(folder, _)| folder)).await;
                status
            }
            // Another client was quicker, and may have taken away what this one had begun. Its containers rely on the time
            // stamp of its file.
            Err(error) => self.hdfs.status(&path).await.map_err(|_| failed(&error))?,
        };
        if status.length != content.size {
            // It must not stay under a hash that is not its own.
            let _ = self.hdfs.delete(&path).await;
            return Err(changed(&content.path));
        }
        Ok((content.sha256, status))
    }

    async fn all_provided(&self, items: &[Item]) -> Result<Vec<ContainerFile>> {
        let mut files = Vec::new();
        for item in items {
            if let Source::StoredFolder(uri) = &item.source {
                files.extend(self.provided(item, uri).await?);
            }
        }
        Ok(files)
    }

    /// The files of a folder that was filled by somebody before.
    async fn provided(&self, item: &Item, folder: &str) -> Result<Vec<ContainerFile>> {
        let listed = self.hdfs.list(folder).await.map_err(|error| failed(&error))?;
        let files = listed.into_iter().filter(|status| status.kind == FileKind::File);
        let place = |name: &str| if item.name.is_empty() { name.to_owned() } else { format!("{}/{name}", item.name) };
        let files = files.filter_map(|status| {
            let name = status.uri.path().rsplit('/').next().map(place)?;
            // Everybody's copy is shared on a node only where everybody may read it.
            let visibility = match status.mode & 0o004 {
                0 => ContainerFileVisibility::Private,
                _ => ContainerFileVisibility::Public,
            };
            let item = Item { name, source: item.source.clone(), kind: ContainerFileKind::File };
            Some(container_file(&item, &status, visibility))
        });
        Ok(files.collect())
    }
}

fn container_file(item: &Item, status: &HdfsStatus, visibility: ContainerFileVisibility) -> ContainerFile {
    ContainerFile {
        name: item.name.clone(),
        uri: status.uri.to_string(),
        size: status.length,
        timestamp: i64::try_from(status.modified_millis).unwrap_or(i64::MAX),
        kind: item.kind,
        visibility,
    }
}

fn missing(name: &str) -> ClientError {
    ClientError::failed(format!("the file `{name}` is not in HDFS after its upload")).hint("run the command again")
}

/// What HDFS said, with what to do about it.
pub(crate) fn failed(error: &FileError) -> ClientError {
    ClientError::failed("what the containers need could not be put into HDFS")
        .because(error)
        .hint("`flink-yarn doctor` looks at permissions, quota and the way to HDFS")
}
