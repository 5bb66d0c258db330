use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use flink_files::file_system::{FileSystem, OpenOptions};
use flink_files::split::{CutOptions, cut, expand};
use flink_files::{FileUri, LineStatus, TextLineSplitReader, TextOptions};
use flink_hdfs::{HdfsFileSystem, HdfsOptions};

use crate::cluster::{Cluster, read, serve, waker, write};

const MIB: u64 = 1 << 20;

/// A file system that writes files of many small blocks.
fn small_blocks(cluster: &Cluster, copies: u32) -> HdfsFileSystem {
    let mut configuration = cluster.configuration();
    configuration.set("dfs.blocksize", "1m");
    configuration.set("dfs.replication", copies.to_string());
    HdfsFileSystem::with_configuration(HdfsOptions::default(), configuration)
}

fn text(lines: usize) -> String {
    (0..lines).map(|number| format!("{number} {}\n", "word ".repeat(number % 40))).collect()
}

fn lines_of(uri: &FileUri, max_size: u64) -> Vec<String> {
    let files = expand(&uri.to_string(), None).unwrap();
    let (waker, wakes) = waker();
    let mut reader = TextLineSplitReader::new(TextOptions::default(), waker);
    let mut lines = Vec::new();
    for split in cut(&files, CutOptions { max_size, parallelism: 1 }).unwrap() {
        reader.start_split(split.split).unwrap();
        loop {
            match reader.for_each_line(1000, |line| lines.push(line.to_owned())).unwrap() {
                LineStatus::More => {}
                LineStatus::Pending => wakes.recv_timeout(Duration::from_secs(60)).unwrap(),
                LineStatus::SplitFinished => break,
            }
        }
    }
    lines
}

#[test]
fn splits_give_every_line_once_whatever_their_borders() {
    let cluster = Cluster::shared();
    serve(&cluster);
    let (files, folder) = (small_blocks(&cluster, 2), cluster.folder("lines"));
    let (uri, text) = (folder.join("text"), text(40_000));
    assert!(text.len() as u64 > 3 * MIB);
    write(&files, &uri, text.as_bytes());
    let expected: Vec<&str> = text.lines().collect();
    for max_size in [64 * MIB, 700_001, 100_003] {
        assert_eq!(lines_of(&uri, max_size), expected, "splits of {max_size}");
    }
    files.delete(&folder).unwrap();
}

#[test]
fn splits_end_at_blocks_and_name_their_hosts() {
    let cluster = Cluster::shared();
    serve(&cluster);
    let (files, folder) = (small_blocks(&cluster, 1), cluster.folder("hosts"));
    let uri = folder.join("file");
    write(&files, &uri, &vec![b'\n'; 8 * MIB as usize + 1]);
    let status = files.status(&uri).unwrap();
    let blocks = files.block_locations(&status).unwrap();
    let borders: Vec<(u64, u64)> = blocks.iter().map(|block| (block.offset, block.length)).collect();
    let expected: Vec<(u64, u64)> = (0..8).map(|block| (block * MIB, MIB)).chain([(8 * MIB, 1)]).collect();
    assert_eq!(borders, expected);
    let mut by_host = BTreeMap::<String, u32>::new();
    for block in &blocks {
        assert_eq!(block.hosts.len(), 1, "one copy");
        *by_host.entry(block.hosts[0].clone()).or_default() += 1;
    }
    assert!(by_host.keys().all(|host| host == "127.0.0.2" || host == "127.0.0.3"), "{by_host:?}");
    let splits = cut(&[status], CutOptions { max_size: 64 * MIB, parallelism: 1 }).unwrap();
    assert_eq!(splits.len(), 9);
    for (split, block) in splits.iter().zip(&blocks) {
        assert_eq!((split.split.offset, &split.hosts), (block.offset, &block.hosts));
    }
    let two = small_blocks(&cluster, 2);
    write(&two, &uri, &vec![b'\n'; 3 * MIB as usize]);
    let status = two.status(&uri).unwrap();
    // A file may be closed before both DataNodes have reported its last block, or with one copy that is then copied.
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let blocks = two.block_locations(&status).unwrap();
        assert_eq!(blocks.len(), 3);
        if blocks.iter().all(|block| block.hosts == ["127.0.0.2", "127.0.0.3"]) {
            break;
        }
        assert!(Instant::now() < deadline, "{blocks:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    files.delete(&folder).unwrap();
}

#[test]
fn a_file_that_changed_is_refused() {
    let cluster = Cluster::shared();
    let (files, folder) = (cluster.files(), cluster.folder("changed"));
    let uri = folder.join("file");
    write(&files, &uri, b"before");
    let options = OpenOptions { version: Some(files.status(&uri).unwrap().version), ..OpenOptions::default() };
    assert_eq!(read(&files, &uri, options, 4).unwrap(), b"before");
    std::thread::sleep(Duration::from_millis(5));
    write(&files, &uri, b"longer than");
    let error = read(&files, &uri, options, 4).unwrap_err();
    assert!(error.contains("it had 6 bytes and has 11"), "{error}");
    write(&files, &uri, b"behind");
    let error = read(&files, &uri, options, 4).unwrap_err();
    assert!(error.contains("modification time"), "{error}");
    files.delete(&folder).unwrap();
}

#[test]
fn archives_are_unpacked_as_they_are_fetched() {
    let cluster = Cluster::shared();
    serve(&cluster);
    let (files, folder) = (small_blocks(&cluster, 2), cluster.folder("archives"));
    let text = text(30_000);
    let packed = {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("text");
        std::fs::write(&file, &text).unwrap();
        assert!(std::process::Command::new("gzip").arg(&file).status().unwrap().success());
        std::fs::read(folder.path().join("text.gz")).unwrap()
    };
    write(&files, &folder.join("text.gz"), &packed);
    assert_eq!(lines_of(&folder, MIB), text.lines().collect::<Vec<_>>());
    files.delete(&folder).unwrap();
}
