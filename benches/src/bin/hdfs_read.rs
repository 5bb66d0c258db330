//! Reads the files of a folder in HDFS one after another: `hdfs_read plain FOLDER` with the crate hdfs-native alone, one
//! stream, `hdfs_read engine FOLDER` as sources do. Prints the bytes and the seconds as JSON. `HADOOP_CONF_DIR` names the
//! cluster.

use std::error::Error;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use flink_api::TaskWaker;
use flink_files::FileUri;
use flink_files::file_system::{FileSystem, OpenOptions, ReadPoll};
use flink_hdfs::{HdfsFileSystem, HdfsOptions};
use futures_core::Stream;
use hadoop_rpc::Configuration;

/// As sources read.
const BUFFER: usize = 256 << 10;

/// Longest wait for the next bytes.
const TIMEOUT: Duration = Duration::from_secs(100);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [way, folder] = arguments.as_slice() else { return Err("usage: hdfs_read plain|engine FOLDER".into()) };
    let configuration = Configuration::load()?;
    let files = HdfsFileSystem::with_configuration(HdfsOptions::default(), configuration.clone());
    let listed = files.list(&FileUri::parse(folder)?, &|_| true)?;
    let paths: Vec<FileUri> = listed.into_iter().map(|file| file.uri).collect();
    let begun = Instant::now();
    let bytes = match way.as_str() {
        "plain" => plain(&configuration, &paths)?,
        "engine" => paths.iter().map(|path| engine(&files, path)).sum::<Result<u64, _>>()?,
        way => return Err(format!("`{way}` is neither `plain` nor `engine`").into()),
    };
    println!("{{\"bytes\": {bytes}, \"seconds\": {}}}", begun.elapsed().as_secs_f64());
    Ok(())
}

fn plain(configuration: &Configuration, paths: &[FileUri]) -> Result<u64, Box<dyn Error>> {
    let url = configuration.get("fs.defaultFS").ok_or("fs.defaultFS is not set")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let client = hdfs_native::ClientBuilder::new().with_url(url).build()?;
        let mut bytes = 0;
        for path in paths {
            let reader = client.read(path.path()).await?;
            let mut stream = pin!(reader.read_range_stream(0, reader.file_length()));
            while let Some(piece) = poll_fn(|context| stream.as_mut().poll_next(context)).await {
                bytes += piece?.len() as u64;
            }
        }
        Ok(bytes)
    })
}

fn engine(files: &dyn FileSystem, path: &FileUri) -> Result<u64, Box<dyn Error>> {
    let (sender, wakes) = mpsc::sync_channel(1);
    let waker = TaskWaker::new(move || {
        // Full means that it is awake already.
        let _ = sender.try_send(());
    });
    let mut handle = files.open(path, OpenOptions::default())?;
    let (mut bytes, mut buffer) = (0, vec![0; BUFFER]);
    loop {
        match handle.poll_read(&mut buffer, &waker)? {
            ReadPoll::Read(count) => bytes += count as u64,
            ReadPoll::End => return Ok(bytes),
            ReadPoll::Pending => wakes.recv_timeout(TIMEOUT)?,
        }
    }
}
