use std::future::poll_fn;
use std::pin::pin;
use std::time::{Duration, Instant};

use flink_files::file_system::{FileSystem, OpenOptions, ReadPoll};
use flink_files::{FileUri, LineStatus, TextLineSplitReader, TextOptions};
use futures_core::Stream;

use crate::cluster::{Cluster, serve, uri, waker};

const FILE: &str = "hdfs:///tmp/speed-1g";
const SIZE: u64 = 1 << 30;

/// Wall time, CPU time of this process and bytes.
fn measured(what: &str, work: impl FnOnce() -> u64) -> f64 {
    let (begun, cpu) = (Instant::now(), cpu());
    let bytes = work();
    let (wall, cpu) = (begun.elapsed().as_secs_f64(), cpu_since(cpu));
    let rate = bytes as f64 / wall / 1e6;
    println!("{what:<34} {bytes} bytes, {wall:6.2} s, {rate:7.0} MB/s, {cpu:5.2} s CPU");
    rate
}

fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

fn cpu_since(before: Duration) -> f64 {
    (cpu() - before).as_secs_f64()
}

fn file(cluster: &Cluster) -> FileUri {
    let (files, file) = (cluster.files(), uri(FILE));
    if files.status(&file).map_or(0, |status| status.version.length) != SIZE {
        let line = "the quick brown fox jumps over the lazy dog and runs away from it, again and again\n";
        let text = line.repeat((1 << 20) / line.len() + 1);
        let mut handle = files.create(&file, flink_files::file_system::Existing::Replace).unwrap();
        measured("write", || {
            for _ in 0..SIZE >> 20 {
                handle.write_all(&text.as_bytes()[..1 << 20]).unwrap();
            }
            handle.finish().unwrap();
            SIZE
        });
    }
    file
}

/// The client beneath, alone: its stream over the whole file.
fn plain(cluster: &Cluster, file: &FileUri) -> u64 {
    let url = cluster.configuration().get("fs.defaultFS").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let client = hdfs_native::ClientBuilder::new().with_url(url).build().unwrap();
        let reader = client.read(file.path()).await.unwrap();
        let mut stream = pin!(reader.read_range_stream(0, reader.file_length()));
        let mut bytes = 0;
        while let Some(piece) = poll_fn(|context| stream.as_mut().poll_next(context)).await {
            bytes += piece.unwrap().len() as u64;
        }
        bytes
    })
}

fn ours(files: &dyn FileSystem, file: &FileUri, buffer: usize) -> u64 {
    let (waker, wakes) = waker();
    let mut handle = files.open(file, OpenOptions::default()).unwrap();
    let (mut bytes, mut buffer) = (0, vec![0; buffer]);
    loop {
        match handle.poll_read(&mut buffer, &waker).unwrap() {
            ReadPoll::Read(count) => bytes += count as u64,
            ReadPoll::End => return bytes,
            ReadPoll::Pending => wakes.recv_timeout(Duration::from_secs(100)).unwrap(),
        }
    }
}

/// All splits one after another, cut to lines.
fn lines(files: &dyn FileSystem, file: &FileUri) -> u64 {
    let status = files.status(file).unwrap();
    let (waker, wakes) = waker();
    let mut reader = TextLineSplitReader::new(TextOptions::default(), waker);
    let options = flink_files::split::CutOptions { max_size: 64 << 20, parallelism: 2 };
    let mut bytes = 0;
    for split in flink_files::split::cut(&[status], options).unwrap() {
        reader.start_split(split.split).unwrap();
        loop {
            match reader.for_each_line(10_000, |line| bytes += line.len() as u64 + 1).unwrap() {
                LineStatus::More => {}
                LineStatus::Pending => wakes.recv_timeout(Duration::from_secs(100)).unwrap(),
                LineStatus::SplitFinished => break,
            }
        }
    }
    bytes
}

#[test]
#[ignore = "a measurement: run it alone, with --release"]
fn reading_is_nearly_as_fast_as_the_client_beneath() {
    let cluster = Cluster::shared();
    serve(&cluster);
    let (file, files) = (file(&cluster), cluster.files());
    plain(&cluster, &file);
    let (mut best_plain, mut best_ours) = (0.0_f64, 0.0_f64);
    for _ in 0..3 {
        best_plain = best_plain.max(measured("hdfs-native, one stream", || plain(&cluster, &file)));
        best_ours = best_ours.max(measured("through the file system", || ours(&files, &file, 256 << 10)));
        measured("through the file system, as lines", || lines(&files, &file));
    }
    println!("{:.0} % of the client beneath", 100.0 * best_ours / best_plain);
    assert!(best_ours > 0.8 * best_plain);
}
