use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flink_api::TaskWaker;
use flink_files::file_system::{
    Existing, FileError, FileKind, FileStatus, FileSystem, FileVersion, OpenOptions, ReadHandle, ReadPoll, WriteHandle,
    register,
};
use flink_files::{FileSplit, FileUri, LineStatus, TextLineSplitReader, TextOptions};

/// One file, delivered in pieces of some bytes; every second call has to wait.
struct Remote {
    content: Vec<u8>,
    piece: usize,
}

struct Reading {
    content: Vec<u8>,
    next: usize,
    piece: usize,
    ready: bool,
}

impl ReadHandle for Reading {
    fn poll_read(&mut self, buffer: &mut [u8], waker: &TaskWaker) -> Result<ReadPoll, FileError> {
        self.ready = !self.ready;
        if self.ready {
            waker.wake();
            return Ok(ReadPoll::Pending);
        }
        let count = self.piece.min(buffer.len()).min(self.content.len() - self.next);
        buffer[..count].copy_from_slice(&self.content[self.next..self.next + count]);
        self.next += count;
        Ok(if count == 0 { ReadPoll::End } else { ReadPoll::Read(count) })
    }
}

fn refused<T>(uri: &FileUri) -> Result<T, FileError> {
    Err(FileError::system("change", uri, std::io::Error::other("the file system is read-only")))
}

impl FileSystem for Remote {
    fn status(&self, uri: &FileUri) -> Result<FileStatus, FileError> {
        let version = FileVersion { length: self.content.len() as u64, modified_nanos: 0 };
        Ok(FileStatus { uri: uri.clone(), kind: FileKind::File, version })
    }

    fn list(&self, folder: &FileUri, _: &dyn Fn(&str) -> bool) -> Result<Vec<FileStatus>, FileError> {
        refused(folder)
    }

    fn open(&self, _: &FileUri, options: OpenOptions) -> Result<Box<dyn ReadHandle>, FileError> {
        let next = usize::try_from(options.offset).unwrap();
        Ok(Box::new(Reading { content: self.content.clone(), next, piece: self.piece, ready: false }))
    }

    fn create(&self, uri: &FileUri, _: Existing) -> Result<Box<dyn WriteHandle>, FileError> {
        refused(uri)
    }

    fn rename(&self, from: &FileUri, _: &FileUri, _: Existing) -> Result<(), FileError> {
        refused(from)
    }

    fn delete(&self, uri: &FileUri) -> Result<bool, FileError> {
        refused(uri)
    }

    fn create_folders(&self, uri: &FileUri) -> Result<(), FileError> {
        refused(uri)
    }
}

/// The lines of a file, split in parts, from a file system under a scheme of its own; and how often there was a wait.
fn lines(scheme: &str, name: &str, remote: Remote, parts: u64) -> (Vec<String>, usize) {
    let length = remote.content.len() as u64;
    register(scheme, Arc::new(remote));
    let wakes = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&wakes);
    let waker = TaskWaker::new(move || {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let mut reader = TextLineSplitReader::new(TextOptions { block_size: 32, ..TextOptions::default() }, waker);
    let (mut lines, mut waits) = (Vec::new(), 0);
    for part in 0..parts {
        let (offset, end) = (length * part / parts, length * (part + 1) / parts);
        let uri = format!("{scheme}://host/{name}");
        let split = FileSplit { uri, offset, length: end - offset, file_length: length, modified_nanos: 0 };
        reader.start_split(split).unwrap();
        loop {
            match reader.for_each_line(2, |line| lines.push(line.to_owned())).unwrap() {
                LineStatus::More => {}
                LineStatus::Pending => waits += 1,
                LineStatus::SplitFinished => break,
            }
        }
    }
    assert_eq!(waits, wakes.load(Ordering::SeqCst), "every wait is followed by a call of the waker");
    (lines, waits)
}

#[test]
fn data_that_comes_late_and_in_small_pieces_gives_the_same_lines() {
    let text: String = (0..60).map(|i| format!("line {} {}\r\n", "ä".repeat(i), i)).collect();
    let expected: Vec<&str> = text.lines().collect();
    for piece in [1, 2, 3, 7, 31, 100] {
        for parts in [1, 2, 5, 40] {
            let remote = Remote { content: text.clone().into_bytes(), piece };
            let (found, waits) = lines("late", "text", remote, parts);
            assert_eq!(found, expected, "pieces of {piece}, {parts} splits");
            assert!(waits > 0);
        }
        let members = [gzip(text.as_bytes()), gzip(b"end")].concat();
        let (found, waits) = lines("late", "text.gz", Remote { content: members, piece }, 1);
        assert_eq!(found[..60], expected, "gzip in pieces of {piece}");
        assert!(found[60..] == ["end"] && waits > 0);
        for parts in [1, 2, 5, 40] {
            let blocks = Remote { content: bzip2(&text), piece };
            let (found, waits) = lines("late", "text.bz2", blocks, parts);
            assert_eq!(found, expected, "bzip2 in pieces of {piece}, {parts} splits");
            assert!(waits > 0);
        }
    }
}

/// In blocks of some lines.
fn bzip2(text: &str) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    for block in text.as_bytes().chunks(300) {
        encoder.write_all(block).unwrap();
        encoder.flush().unwrap();
    }
    encoder.finish().unwrap()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}
