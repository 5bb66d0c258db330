use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use flink_api::TaskWaker;
use flink_files::FileUri;
use flink_files::file_system::{Existing, FileSystem, OpenOptions, ReadPoll};
use flink_hdfs::{Hdfs, HdfsFileSystem, HdfsOptions};
use hadoop_rpc::Configuration;

/// A running cluster, started by the script when it does not run yet.
#[derive(Clone)]
pub(crate) struct Cluster {
    name: &'static str,
    configuration_folder: PathBuf,
}

impl Cluster {
    /// The one without faults, which several tests share.
    pub(crate) fn shared() -> Self {
        Self::of("plain", "plain")
    }

    /// One whose daemons may be disturbed.
    pub(crate) fn of(name: &'static str, variant: &str) -> Self {
        script(&["start", "--name", name, "--variant", variant]);
        let variables = script(&["env", "--name", name]);
        let folder = variables.lines().find_map(|line| line.strip_prefix("export HADOOP_CONF_DIR="));
        Self { name, configuration_folder: PathBuf::from(folder.unwrap()) }
    }

    /// A command of the script for this cluster: `kill datanode1`.
    pub(crate) fn run(&self, words: &[&str]) -> String {
        let (command, arguments) = words.split_first().unwrap();
        script(&[&[*command, "--name", self.name], arguments].concat())
    }

    /// An administrator's command of Hadoop's: `dfsadmin -safemode enter`.
    pub(crate) fn administer(&self, words: &[&str]) {
        let words = [&["hdfs", "--name", self.name], words].concat();
        let output = command(&words).env("HADOOP_USER_NAME", "hdfs").output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub(crate) fn configuration(&self) -> Configuration {
        Configuration::load_from(std::slice::from_ref(&self.configuration_folder)).unwrap()
    }

    pub(crate) fn files(&self) -> HdfsFileSystem {
        HdfsFileSystem::with_configuration(HdfsOptions::default(), self.configuration())
    }

    pub(crate) fn files_as(&self, user: &str) -> HdfsFileSystem {
        let options = HdfsOptions { user: Some(user.to_owned()), ..HdfsOptions::default() };
        HdfsFileSystem::with_configuration(options, self.configuration())
    }

    /// An empty folder of its own for a test, in which everybody may do everything.
    pub(crate) fn folder(&self, name: &str) -> FileUri {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let uri = uri(&format!("hdfs:///tmp/test-{name}-{}-{number}", std::process::id()));
        let hdfs = Hdfs::new(&self.configuration(), user(), HdfsOptions::default()).unwrap();
        tokio::runtime::Runtime::new().unwrap().block_on(hdfs.create_folder(uri.path(), 0o777)).unwrap();
        uri
    }
}

/// Whom the file system acts as when it is not told.
pub(crate) fn user() -> String {
    let named = ["HADOOP_USER_NAME", "USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    named.unwrap_or_else(|| "root".to_owned())
}

pub(crate) fn uri(text: &str) -> FileUri {
    FileUri::parse(text).unwrap()
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/hadoop"));
    command.args(words);
    command
}

fn script(words: &[&str]) -> String {
    let output = command(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
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
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let words = std::iter::repeat_with(|| next().to_le_bytes()).flatten();
    words.take(length).collect()
}

/// Has URIs of the engine served by this cluster.
pub(crate) fn serve(cluster: &Cluster) {
    flink_files::file_system::register("hdfs", Arc::new(cluster.files()));
}
