use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use flink_files::file_system::{
    BlockLocation, Existing, FileKind, FileStatus, FileSystem, OpenOptions, ReadHandle, WriteHandle,
};
use flink_files::{FileError, FileUri, file_system};
use hadoop_rpc::Configuration;

use crate::connections::Connections;
use crate::failure::Attempt;
use crate::name_service::NameService;
use crate::read::HdfsReadHandle;
use crate::runtime;
use crate::settings::HdfsOptions;
use crate::view::ViewFileSystem;
use crate::write::{HdfsWriteHandle, Store};

/// Longest that a call of this trait takes, with all repetitions. The parts have limits of their own, below this one.
const CALL_LIMIT: Duration = Duration::from_secs(400);

/// Has this crate serve `hdfs://` and `viewfs://` URIs in this process. Nothing is read or connected before the first use.
pub fn register(options: HdfsOptions) {
    let connections = Arc::new(Connections::new(options));
    file_system::register("hdfs", Arc::new(HdfsFileSystem { connections: Arc::clone(&connections) }));
    file_system::register("viewfs", Arc::new(ViewFileSystem::new(connections)));
}

/// HDFS, for the engine.
pub struct HdfsFileSystem {
    connections: Arc<Connections>,
}

impl HdfsFileSystem {
    /// With the configuration that the environment names, which is read at the first use.
    #[must_use]
    pub fn new(options: HdfsOptions) -> Self {
        Self { connections: Arc::new(Connections::new(options)) }
    }

    /// With a configuration that was read already.
    #[must_use]
    pub fn with_configuration(options: HdfsOptions, configuration: Configuration) -> Self {
        Self { connections: Arc::new(Connections::with_configuration(options, configuration)) }
    }

    /// Does something with the service of a URI, while this thread waits.
    fn with_service<T, F>(
        &self,
        action: &'static str,
        uri: &FileUri,
        work: impl FnOnce(Arc<NameService>, FileUri) -> F,
    ) -> Result<T, FileError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, FileError>> + Send + 'static,
    {
        let service = self.connections.service(action, uri)?;
        let done = runtime::wait(CALL_LIMIT, work(service, uri.clone()));
        done.map_err(|ended| Attempt { action, uri }.ended(ended))?
    }
}

impl FileSystem for HdfsFileSystem {
    fn status(&self, uri: &FileUri) -> Result<FileStatus, FileError> {
        const ACTION: &str = "look at";
        let found = self.with_service(ACTION, uri, |service, uri| async move { service.status(ACTION, &uri).await })?;
        Ok(found.file_status())
    }

    fn list(&self, folder: &FileUri, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<FileStatus>, FileError> {
        let found = self.with_service("list", folder, |service, folder| async move { service.list(&folder).await })?;
        let wanted = found.iter().filter(|entry| wanted(entry.uri.name()));
        let mut wanted: Vec<FileStatus> = wanted.map(crate::HdfsStatus::file_status).collect();
        wanted.sort_by(|a, b| a.uri.cmp(&b.uri));
        Ok(wanted)
    }

    fn block_locations(&self, file: &FileStatus) -> Result<Vec<BlockLocation>, FileError> {
        if file.kind != FileKind::File || file.version.length == 0 {
            return Ok(Vec::new());
        }
        let length = file.version.length;
        self.with_service("find the blocks of", &file.uri, |service, uri| async move {
            crate::locations::of_file(&service, &uri, length).await
        })
    }

    fn open(&self, uri: &FileUri, options: OpenOptions) -> Result<Box<dyn ReadHandle>, FileError> {
        let service = self.connections.service("open", uri)?;
        Ok(Box::new(HdfsReadHandle::open(service, uri.clone(), options)?))
    }

    fn create(&self, uri: &FileUri, existing: Existing) -> Result<Box<dyn WriteHandle>, FileError> {
        let file = self.with_service("create", uri, |service, uri| async move {
            let options = service.write_options.clone().create_parent(false);
            Store::create(service, uri, existing, options).await
        })?;
        Ok(Box::new(HdfsWriteHandle::new(file)?))
    }

    fn rename(&self, from: &FileUri, to: &FileUri, existing: Existing) -> Result<(), FileError> {
        let to = to.clone();
        if from.authority() != to.authority() || from.scheme() != to.scheme() {
            let reason = format!("{to} is on another file system");
            return Err(Attempt { action: "rename", uri: from }.error(reason, std::io::ErrorKind::CrossesDevices));
        }
        self.with_service("rename", from, |service, from| async move { service.rename(&from, &to, existing).await })
    }

    fn delete(&self, uri: &FileUri) -> Result<bool, FileError> {
        self.with_service("delete", uri, |service, uri| async move { service.delete(&uri).await })
    }

    fn create_folders(&self, uri: &FileUri) -> Result<(), FileError> {
        self.with_service("create the folder", uri, |service, uri| async move {
            service.create_folders(&uri, 0o777 & !service.umask).await
        })
    }
}
