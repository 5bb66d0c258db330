//! Tests of the file connector on real files.

#![allow(clippy::unwrap_used, clippy::panic)] // The helpers of tests are tests too.

/// Archives: members, truncation, damage.
mod archives;

/// Splits of bzip2 files, against the whole file.
mod blocks;

/// Inputs: folders, patterns, hidden files.
mod inputs;

/// Local files: what is refused, and how it is said.
mod local;

/// A file system that delivers late and in small pieces, as remote ones do.
mod remote;

/// Lines of splits of every size, against the whole file.
mod lines;

/// Writing, publishing, overwriting, taking back.
mod sink;

/// The source as a task drives it.
mod source;

/// How fast lines are found; run by hand.
mod speed;

use std::fs;
use std::path::Path;

use flink_api::TaskWaker;
use flink_files::file_system::{self, FileError};
use flink_files::{FileSplit, FileUri, LineStatus, TextLineSplitReader, TextOptions};

fn write(path: &Path, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// A split of a file as it is now.
fn split(path: &Path, offset: u64, length: u64) -> FileSplit {
    let uri = FileUri::parse(path.to_str().unwrap()).unwrap();
    let version = file_system::of(&uri).unwrap().status(&uri).unwrap().version;
    let (file_length, modified_nanos) = (version.length, version.modified_nanos);
    FileSplit { uri: uri.to_string(), offset, length, file_length, modified_nanos }
}

fn whole(path: &Path) -> FileSplit {
    split(path, 0, fs::metadata(path).unwrap().len())
}

fn reader(options: TextOptions) -> TextLineSplitReader {
    TextLineSplitReader::new(options, TaskWaker::new(|| ()))
}

fn read_lines(reader: &mut TextLineSplitReader, split: FileSplit) -> Result<Vec<String>, FileError> {
    let mut lines = Vec::new();
    reader.start_split(split)?;
    for _ in 0..1_000_000 {
        match reader.for_each_line(3, |line| lines.push(line.to_owned()))? {
            LineStatus::SplitFinished => return Ok(lines),
            LineStatus::More | LineStatus::Pending => {}
        }
    }
    panic!("the split never ended");
}
