use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use flink_api::TaskWaker;
use flink_files::FileUri;
use flink_files::file_system::{Existing, FileSystem, OpenOptions, ReadPoll};
use flink_hdfs::{Hdfs, HdfsFileSystem, HdfsOptions};
use flink_test_hadoop::Variant;
use hadoop_rpc::Configuration;

/// A running cluster, and file systems on it.
pub(crate) struct Cluster(pub(crate) flink_test_hadoop::Cluster);

impl Cluster {
    /// For tests that leave the daemons alone.
    pub(crate) fn shared() -> Self {
        Self(flink_test_hadoop::Cluster::shared(Variant::Plain))
    }

    /// For tests that disturb them.
    pub(crate) fn exclusive(variant: Variant) -> Self {
        Self(flink_test_hadoop::Cluster::exclusive(variant))
    }

    /// An administrator's command of Hadoop's: `dfsadmin -safemode enter`.
    pub(crate) fn administer(&self, words: &[&str]) {
        self.0.command_as("hdfs", &[&["hdfs"], words].concat());
    }

    pub(crate) fn configuration(&self) -> Configuration {
        Configuration::load_from(&[self.0.conf_dir().to_owned()]).unwrap()
    }

    pub(crate) fn files(&self) -> HdfsFileSystem {
        HdfsFileSystem::with_configuration(HdfsOptions::default(), self.configuration())
    }

    pub(crate) fn files_as(&self, user: &str) -> HdfsFileSystem {
        let options = HdfsOptions { user: Some(user.to_owned()), ..HdfsOptions::default() };
        HdfsFileSystem::with_configuration(options, self.configuration())
    }

    /// The client for staging.
    pub(crate) fn client(&self, user: &str) -> Hdfs {
        Hdfs::new(&self.configuration(), user, HdfsOptions::default()).unwrap()
    }

    /// An empty folder of its own for a test, in which everybody may do everything.
    pub(crate) fn folder(&self, name: &str) -> FileUri {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let uri = uri(&format!("hdfs:///tmp/test-{name}-{}-{number}", std::process::id()));
        wait_for(self.client(self.0.user()).create_folder(uri.path(), 0o777)).unwrap();
        uri
    }
}

/// Runs something to its end.
pub(crate) fn wait_for<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

pub(crate) fn uri(text: &str) -> FileUri {
    FileUri::parse(text).unwrap()
}

pub(crate) fn write(files: &dyn FileSystem, uri: &FileUri, content: &[u8]) {
    let mut handle = files.create(uri, Existing::Replace).unwrap();
    handle.write_all(content).unwrap();
    handle.finish().unwrap();
}

/// Reads from an offset on, in buffers of some size, waiting for the waker.
pub(crate) fn read(
    files: &dyn FileSystem,
    uri: &FileUri,
    options: OpenOptions,
    buffer: usize,
) -> Result<Vec<u8>, String> {
    let (waker, wakes) = waker();
    let mut handle = files.open(uri, options).map_err(|error| error.to_string())?;
    let (mut content, mut buffer) = (Vec::new(), vec![0; buffer]);
    loop {
        match handle.poll_read(&mut buffer, &waker).map_err(|error| error.to_string())? {
            ReadPoll::Read(count) => content.extend_from_slice(&buffer[..count]),
            ReadPoll::End => return Ok(content),
            ReadPoll::Pending => wakes.recv_timeout(Duration::from_secs(100)).map_err(|_| "nobody woke the reader")?,
        }
    }
}

/// A waker, and what it wakes.
pub(crate) fn waker() -> (TaskWaker, mpsc::Receiver<()>) {
    let (sender, receiver) = mpsc::sync_channel(1);
    let waker = TaskWaker::new(move || {
        // Full means that it is awake already.
        let _ = sender.try_send(());
    });
    (waker, receiver)
}

/// Bytes that repeat nowhere soon.
pub(crate) fn bytes(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(1).fill(&mut bytes);
    bytes
}

/// Has URIs of the engine served by this cluster.
pub(crate) fn serve(cluster: &Cluster) {
    flink_files::file_system::register("hdfs", Arc::new(cluster.files()));
}
