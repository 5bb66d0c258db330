use std::future::Future;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use flink_files::file_system::Existing;
use flink_files::{FileError, FileUri};
use hadoop_rpc::Configuration;
use hdfs_native::WriteOptions;
use tokio::io::AsyncReadExt;

use crate::connections::Connections;
use crate::failure::Attempt;
use crate::name_service::NameService;
use crate::operations::{HdfsStatus, HdfsUsage};
use crate::read;
use crate::runtime;
use crate::settings::{HdfsOptions, default_file_system};
use crate::view::{MountTable, Target};
use crate::write::Store;

/// Bytes of a local file that are read and handed on at once.
const UPLOAD_CHUNK: usize = 1 << 20;

const UPLOAD: &str = "upload to";
const WRITE: &str = "write";

/// How a file is uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upload {
    /// Number of copies; the cluster's default without it.
    pub replication: Option<u32>,
    /// Permission bits.
    pub mode: u32,
    /// What to do when the path exists already.
    pub existing: Existing,
}

impl Default for Upload {
    fn default() -> Self {
        Self { replication: None, mode: 0o644, existing: Existing::Replace }
    }
}

/// A client for staging files: uploads, small files, folders. Cheap to clone.
///
/// Paths are absolute paths of the default file system (`/user/me/x`), relative ones to the user's home, or whole URIs. A
/// file that is being written has a hidden temporary name beside the final one, and appears when it is complete and
/// durable. Every call has a time-out, and goes on through a restart or failover of the NameNode.
#[derive(Clone)]
pub struct Hdfs {
    connections: Arc<Connections>,
    root: FileUri,
    user: String,
    makes_folders: bool,
}

impl Hdfs {
    /// A client of the file system that `fs.defaultFS` names, for a user. Nothing is connected yet.
    ///
    /// # Errors
    /// The default file system is not HDFS, or a view on it.
    pub fn new(
        configuration: &Configuration,
        user: impl Into<String>,
        options: HdfsOptions,
    ) -> Result<Self, FileError> {
        let root = default_file_system(configuration).filter(|uri| matches!(uri.scheme(), "hdfs" | "viewfs"));
        let root = root.ok_or_else(|| {
            let input = "fs.defaultFS".to_owned();
            let value = configuration.get_trimmed("fs.defaultFS").unwrap_or_default();
            let reason = if configuration.is_found() {
                format!("it is `{value}`, and HDFS is needed here: set it to hdfs://NAMENODE:PORT in core-site.xml")
            } else {
                "no Hadoop configuration was found: set HADOOP_CONF_DIR to the folder with core-site.xml".to_owned()
            };
            FileError::InvalidInput { input, reason }
        })?;
        let user = user.into();
        let options = HdfsOptions { user: Some(user.clone()), ..options };
        let connections = Arc::new(Connections::with_configuration(options, configuration.clone()));
        Ok(Self { connections, root, user, makes_folders: true })
    }

    /// The same, but files are written to folders that exist only: where a folder has been renamed meanwhile, that fails.
    #[must_use]
    pub fn without_new_folders(self) -> Self {
        Self { makes_folders: false, ..self }
    }

    /// The user's home folder; it need not exist.
    ///
    /// # Errors
    /// The mount table of a view is wrong.
    pub fn home(&self) -> Result<FileUri, FileError> {
        let configuration = self.connections.configuration()?;
        let key = match self.root.scheme() {
            "viewfs" => format!("fs.viewfs.mounttable.{}.homedir", self.root.authority()),
            _ => "dfs.user.home.dir.prefix".to_owned(),
        };
        let prefix = configuration.get_trimmed(&key).unwrap_or_else(|| "/user".to_owned());
        self.mounted(&self.root.join(&prefix).join(&self.user))
    }

    /// The URI of a path, as every host of the cluster understands it.
    ///
    /// # Errors
    /// It is malformed, or leads nowhere in a view.
    pub fn uri(&self, path: &str) -> Result<FileUri, FileError> {
        let uri = match path.strip_prefix('/') {
            Some(absolute) => self.root.join(absolute),
            None => FileUri::parse_in(path, Some(&self.home()?.to_string()))?,
        };
        self.mounted(&uri)
    }

    fn mounted(&self, uri: &FileUri) -> Result<FileUri, FileError> {
        let attempt = Attempt { action: "use", uri };
        match uri.scheme() {
            "hdfs" => return Ok(uri.clone()),
            "viewfs" => {}
            _ => return Err(attempt.error("it is not in HDFS", ErrorKind::Unsupported)),
        }
        let table = MountTable::find(uri.authority(), &*self.connections.configuration()?)?;
        match table.resolve(uri.path()) {
            Target::Mounted(target) if target.scheme() == "hdfs" => Ok(target),
            Target::Mounted(target) => {
                Err(attempt.error(format!("it leads to {target}, which is not in HDFS"), ErrorKind::Unsupported))
            }
            Target::Above(..) | Target::Nowhere => Err(attempt.error("nothing is mounted there", ErrorKind::NotFound)),
        }
    }

    async fn with_service<T, F>(
        &self,
        action: &'static str,
        path: &str,
        work: impl FnOnce(Arc<NameService>, FileUri) -> F,
    ) -> Result<T, FileError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, FileError>> + Send + 'static,
    {
        let uri = self.uri(path)?;
        let service = self.connections.service(action, &uri)?;
        let done = runtime::run(work(service, uri.clone())).await;
        done.map_err(|ended| Attempt { action, uri: &uri }.ended(ended))?
    }

    /// Looks at a path.
    ///
    /// # Errors
    /// It does not exist ([`FileError::is_not_found`]) or cannot be looked at.
    pub async fn status(&self, path: &str) -> Result<HdfsStatus, FileError> {
        const ACTION: &str = "look at";
        self.with_service(ACTION, path, |service, uri| async move { service.status(ACTION, &uri).await }).await
    }

    /// What a folder holds, in order of names.
    ///
    /// # Errors
    /// The folder does not exist, or may not be listed.
    pub async fn list(&self, folder: &str) -> Result<Vec<HdfsStatus>, FileError> {
        let listed = self.with_service("list", folder, |service, uri| async move { service.list(&uri).await });
        let mut found = listed.await?;
        found.sort_by(|a, b| a.uri.cmp(&b.uri));
        Ok(found)
    }

    /// Creates a folder, and those above it; one that exists gets the permission bits `mode`.
    ///
    /// # Errors
    /// A file is in the way, or it may not be created.
    pub async fn create_folder(&self, path: &str, mode: u32) -> Result<(), FileError> {
        self.with_service("create the folder", path, |service, uri| async move {
            service.create_folders(&uri, mode).await?;
            let found = service.status("look at", &uri).await?;
            if found.mode & 0o777 != mode { service.set_permission(&uri, mode).await } else { Ok(()) }
        })
        .await
    }

    /// Uploads a local file. `progress` is told how many bytes have gone so far.
    ///
    /// # Errors
    /// The local file cannot be read or changes meanwhile, or the target cannot be written.
    pub async fn upload(
        &self,
        local: &Path,
        path: &str,
        upload: Upload,
        progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<HdfsStatus, FileError> {
        let (local, makes_folders) = (local.to_owned(), self.makes_folders);
        self.with_service(UPLOAD, path, move |service, uri| async move {
            let options = options(&service, upload.replication, upload.mode).create_parent(makes_folders);
            let content = |file| send_local(local, file, progress);
            publish(&service, &uri, options, upload.existing, content).await
        })
        .await
    }

    /// Writes a small file, replacing what there was.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn write(&self, path: &str, bytes: impl Into<Bytes>, mode: u32) -> Result<HdfsStatus, FileError> {
        let (bytes, makes_folders) = (bytes.into(), self.makes_folders);
        self.with_service(WRITE, path, move |service, uri| async move {
            let content = |mut file: Store| async move {
                let written = if bytes.is_empty() { Ok(()) } else { file.write(bytes).await };
                (file, written)
            };
            let options = options(&service, None, mode).create_parent(makes_folders);
            publish(&service, &uri, options, Existing::Replace, content).await
        })
        .await
    }

    /// The content of a file, which must not have more than `limit` bytes.
    ///
    /// # Errors
    /// It does not exist, is larger, or cannot be read.
    pub async fn read(&self, path: &str, limit: usize) -> Result<Vec<u8>, FileError> {
        self.with_service("read", path, move |service, uri| async move { read::read_all(&service, &uri, limit).await })
            .await
    }

    /// Up to `length` bytes of a file from `offset` on; fewer only where it ends.
    ///
    /// # Errors
    /// It does not exist, or cannot be read.
    pub async fn read_part(&self, path: &str, offset: u64, length: usize) -> Result<Vec<u8>, FileError> {
        self.with_service("read", path, move |service, uri| async move {
            read::read_part(&service, &uri, offset, length).await
        })
        .await
    }

    /// Gives a file or folder another name.
    ///
    /// # Errors
    /// There is no such file, or the new name is taken.
    pub async fn rename(&self, from: &str, to: &str, existing: Existing) -> Result<(), FileError> {
        let to = self.uri(to)?;
        self.with_service("rename", from, |service, from| async move {
            if from.authority() != to.authority() {
                let reason = format!("{to} is on another file system");
                return Err(Attempt { action: "rename", uri: &from }.error(reason, ErrorKind::CrossesDevices));
            }
            service.rename(&from, &to, existing).await
        })
        .await
    }

    /// Deletes a file, or a folder with all that it holds. Tells whether there was one.
    ///
    /// # Errors
    /// It may not be deleted.
    pub async fn delete(&self, path: &str) -> Result<bool, FileError> {
        self.with_service("delete", path, |service, uri| async move { service.delete(&uri).await }).await
    }

    /// Sets the permission bits.
    ///
    /// # Errors
    /// It does not exist, or belongs to somebody else.
    pub async fn set_permission(&self, path: &str, mode: u32) -> Result<(), FileError> {
        const ACTION: &str = "set the permissions of";
        self.with_service(ACTION, path, move |service, uri| async move { service.set_permission(&uri, mode).await })
            .await
    }

    /// How much of the quotas of a folder is used. The NameNode counts all that is in the folder for it.
    ///
    /// # Errors
    /// It does not exist, or may not be looked into.
    pub async fn usage(&self, folder: &str) -> Result<HdfsUsage, FileError> {
        self.with_service("count", folder, |service, uri| async move { service.usage(&uri).await }).await
    }
}

fn options(service: &NameService, replication: Option<u32>, mode: u32) -> WriteOptions {
    let options = service.write_options.clone().permission(mode);
    match replication {
        Some(copies) => options.replication(copies),
        None => options,
    }
}

/// Writes a file under a temporary name, and gives it its own when it is durable.
async fn publish<F>(
    service: &Arc<NameService>,
    uri: &FileUri,
    options: WriteOptions,
    existing: Existing,
    content: impl FnOnce(Store) -> F,
) -> Result<HdfsStatus, FileError>
where
    F: Future<Output = (Store, Result<(), FileError>)>,
{
    if existing == Existing::Refuse && service.is_there(uri).await? {
        return Err(Attempt { action: "create", uri }.error("it exists already", ErrorKind::AlreadyExists));
    }
    let temporary = temporary_name(uri);
    let store = Store::create(Arc::clone(service), temporary.clone(), Existing::Replace, options).await?;
    let (mut store, written) = content(store).await;
    let published = match written {
        Ok(()) => match store.finish().await {
            Ok(()) => service.rename(&temporary, uri, existing).await,
            failed => failed,
        },
        failed => failed,
    };
    drop(store);
    match published {
        Ok(()) => service.status("look at", uri).await,
        Err(error) => {
            // What cannot be removed is hidden, and of no harm.
            let _ = service.delete(&temporary).await;
            Err(error)
        }
    }
}

/// A name beside the final one that nobody else has, and that Hadoop's tools take for what it is.
fn temporary_name(uri: &FileUri) -> FileUri {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let (process, number) = (std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let folder = uri.parent().unwrap_or_else(|| uri.root());
    folder.join(&format!(".{}.{process:x}-{nanos:x}-{number:x}._COPYING_", uri.name()))
}

async fn send_local(
    local: PathBuf,
    mut file: Store,
    progress: impl Fn(u64) + Send + Sync + 'static,
) -> (Store, Result<(), FileError>) {
    let sent = send_chunks(&local, &mut file, progress).await;
    (file, sent)
}

async fn send_chunks(local: &Path, file: &mut Store, progress: impl Fn(u64)) -> Result<(), FileError> {
    let uri = file.uri().clone();
    let cannot = |reason: String| {
        Attempt { action: UPLOAD, uri: &uri }.error(format!("{}: {reason}", local.display()), ErrorKind::InvalidInput)
    };
    let mut source = tokio::fs::File::open(local).await.map_err(|error| cannot(error.to_string()))?;
    let metadata = source.metadata().await.map_err(|error| cannot(error.to_string()))?;
    if !metadata.is_file() {
        return Err(cannot("it is not a file".to_owned()));
    }
    let mut sent = 0;
    loop {
        let mut buffer = BytesMut::with_capacity(UPLOAD_CHUNK);
        let count = source.read_buf(&mut buffer).await.map_err(|error| cannot(error.to_string()))?;
        if count == 0 {
            break;
        }
        file.write(buffer.freeze()).await?;
        sent += count as u64;
        progress(sent);
    }
    if sent == metadata.len() {
        return Ok(());
    }
    Err(cannot(format!("it changed while it was read: it had {} bytes, and {sent} were read", metadata.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(pairs: &[(&str, &str)]) -> Result<Hdfs, FileError> {
        let mut configuration = Configuration::new();
        for (key, value) in pairs {
            configuration.set(key, *value);
        }
        Hdfs::new(&configuration, "me", HdfsOptions::default())
    }

    #[test]
    fn paths_become_uris() {
        let hdfs = client(&[("fs.defaultFS", "hdfs://nn:9000")]).unwrap();
        let check = |path: &str, expected: &str| assert_eq!(hdfs.uri(path).unwrap().to_string(), expected, "{path}");
        assert_eq!(hdfs.home().unwrap().to_string(), "hdfs://nn:9000/user/me");
        check("/a/b", "hdfs://nn:9000/a/b");
        check(".flink-yarn/x", "hdfs://nn:9000/user/me/.flink-yarn/x");
        check("hdfs://other/x", "hdfs://other/x");
        assert!(hdfs.uri("file:///x").unwrap_err().to_string().contains("not in HDFS"));
        let name = temporary_name(&hdfs.uri("/a/b").unwrap());
        assert!(name.path().starts_with("/a/.b.") && name.path().ends_with("._COPYING_"), "{name}");
    }

    #[test]
    fn a_view_leads_to_hdfs() {
        let view = client(&[
            ("fs.defaultFS", "viewfs://c"),
            ("fs.viewfs.mounttable.c.homedir", "/homes"),
            ("fs.viewfs.mounttable.c.link./homes", "hdfs://a:1/user"),
            ("fs.viewfs.mounttable.c.link./local", "file:///tmp"),
        ])
        .unwrap();
        assert_eq!(view.home().unwrap().to_string(), "hdfs://a:1/user/me");
        assert!(view.uri("/local/x").unwrap_err().to_string().contains("file:/tmp/x"));
        assert!(view.uri("/").is_err());
    }

    #[test]
    fn without_hdfs_it_says_what_to_set() {
        let error = client(&[]).err().unwrap().to_string();
        assert!(error.contains("fs.defaultFS") && error.contains("HADOOP_CONF_DIR"), "{error}");
    }
}
