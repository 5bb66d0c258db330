use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use flink_protocol::overview::LogPiece;

/// Largest piece of a log in one message.
const PIECE: usize = 256 << 10;

/// Lines of a worker's last words, and their bytes.
const TAIL_LINES: usize = 20;
const TAIL_BYTES: usize = 4 << 10;

/// What a worker writes, bounded on disk: the first half of the limit is kept, and of the rest the last part, in two
/// segments that take turns. Offsets count all bytes ever written, so that a reader sees what was left out.
#[derive(Debug)]
pub struct BoundedLog {
    path: PathBuf,
    head_limit: u64,
    segment_limit: u64,
    written: u64,
    head: Option<File>,
    /// The segment that is written to, with the offset at which it begins.
    tail: Option<(File, u64)>,
    /// Which of the two segments that is.
    turn: bool,
    /// Where the segment before it begins.
    older: Option<u64>,
}

impl BoundedLog {
    /// A new log that takes `limit` bytes on disk at most.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path, limit: u64) -> io::Result<Self> {
        let quarter = (limit / 4).max(1);
        Ok(Self {
            path: path.to_owned(),
            head_limit: quarter * 2,
            segment_limit: quarter,
            written: 0,
            head: Some(OpenOptions::new().write(true).create(true).truncate(true).open(path)?),
            tail: None,
            turn: false,
            older: None,
        })
    }

    /// Appends. A disk that is full costs the bytes, not the worker.
    pub fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.room();
            let (now, later) = bytes.split_at(bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
            if let Some(file) = self.head.as_mut().or(self.tail.as_mut().map(|(file, _)| file)) {
                let _ = file.write_all(now);
            }
            self.written += now.len() as u64;
            bytes = later;
        }
    }

    /// Bytes that the present file still takes; begins the next one when it is full.
    fn room(&mut self) -> u64 {
        if self.written < self.head_limit {
            return self.head_limit - self.written;
        }
        self.head = None;
        let begin = self.tail.as_ref().map(|(_, begin)| *begin);
        match begin {
            Some(begin) if self.written < begin + self.segment_limit => begin + self.segment_limit - self.written,
            previous => {
                self.older = previous;
                self.turn = !self.turn;
                let segment = File::create(self.segment(self.turn));
                self.tail = segment.ok().map(|file| (file, self.written));
                self.segment_limit
            }
        }
    }

    fn segment(&self, turn: bool) -> PathBuf {
        self.path.with_extension(if turn { "tail-1" } else { "tail-0" })
    }

    /// What was written from `offset` on, as much as one message takes. What was not kept is named in its place.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn read(&self, offset: u64) -> io::Result<LogPiece> {
        let offset = offset.min(self.written);
        if offset < self.head_limit {
            let end = self.written.min(self.head_limit);
            return self.piece(&self.path, 0, offset, end);
        }
        let newest = self.tail.as_ref().map_or(self.written, |(_, begin)| *begin);
        let oldest = self.older.unwrap_or(newest);
        if offset < oldest {
            let text = format!("\n[{} bytes were not kept: taskmanager.log.max-size]\n", oldest - offset);
            return Ok(LogPiece { text, next_offset: oldest, at_end: oldest == self.written });
        }
        if offset < newest {
            return self.piece(&self.segment(!self.turn), oldest, offset, newest);
        }
        self.piece(&self.segment(self.turn), newest, offset, self.written)
    }

    fn piece(&self, path: &Path, begin: u64, offset: u64, end: u64) -> io::Result<LogPiece> {
        if offset == end {
            return Ok(LogPiece { text: String::new(), next_offset: offset, at_end: offset == self.written });
        }
        let bytes = read_at(path, offset - begin, usize::try_from(end - offset).unwrap_or(usize::MAX))?;
        Ok(piece_of(&bytes, offset, self.written))
    }

    /// Removes it from disk. Without that it stays when the process ends, for whoever collects what is in its folder.
    pub fn remove(&mut self) {
        (self.head, self.tail) = (None, None);
        for path in [self.path.clone(), self.segment(false), self.segment(true)] {
            let _ = fs::remove_file(path);
        }
    }
}

/// Reads a piece of an ordinary log file.
///
/// # Errors
/// It cannot be read.
pub fn read_file(path: &Path, offset: u64) -> io::Result<LogPiece> {
    let size = fs::metadata(path)?.len();
    let offset = offset.min(size);
    Ok(piece_of(&read_at(path, offset, PIECE)?, offset, size))
}

fn read_at(path: &Path, position: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(position))?;
    let mut bytes = Vec::new();
    file.take(length.min(PIECE) as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn piece_of(bytes: &[u8], offset: u64, end: u64) -> LogPiece {
    // A piece that is not the last one ends with a whole line, so that no character is cut in two.
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
    let kept = if offset + (bytes.len() as u64) < end { &bytes[..whole] } else { bytes };
    let next_offset = offset + kept.len() as u64;
    LogPiece { text: String::from_utf8_lossy(kept).into_owned(), next_offset, at_end: next_offset >= end }
}

/// The last lines of a worker's standard error, for the reason of its end.
#[derive(Debug, Default)]
pub struct LastWords(Vec<u8>);

impl LastWords {
    /// Takes what was written.
    pub fn write(&mut self, bytes: &[u8]) {
        let kept = &bytes[bytes.len().saturating_sub(TAIL_BYTES)..];
        self.0.extend_from_slice(kept);
        if self.0.len() > 4 * TAIL_BYTES {
            self.0.drain(..self.0.len() - TAIL_BYTES);
        }
    }

    /// The last lines.
    #[must_use]
    pub fn text(&self) -> String {
        let bytes = &self.0[self.0.len().saturating_sub(TAIL_BYTES)..];
        let text = String::from_utf8_lossy(bytes);
        let lines: Vec<&str> = text.trim_end().lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(log: &BoundedLog) -> String {
        let mut text = String::new();
        let mut offset = 0;
        loop {
            let piece = log.read(offset).unwrap();
            assert!(piece.next_offset > offset || piece.at_end, "no progress at {offset}");
            text += &piece.text;
            offset = piece.next_offset;
            if piece.at_end {
                return text;
            }
        }
    }

    fn disk_use(folder: &Path) -> u64 {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
    }

    #[test]
    fn the_first_and_the_last_are_kept() {
        for lines in [0, 1, 10, 49, 50, 51, 100, 101, 1_000, 12_345] {
            let folder = tempfile::tempdir().unwrap();
            let mut log = BoundedLog::create(&folder.path().join("worker.log"), 1_000).unwrap();
            let all: Vec<String> = (0..lines).map(|number| format!("{number:09}\n")).collect();
            all.iter().for_each(|line| log.write(line.as_bytes()));
            let text = read_all(&log);
            assert!(disk_use(folder.path()) <= 1_000);
            if lines <= 75 {
                assert_eq!(text, all.concat());
            } else if lines > 100 {
                assert!(text.starts_with(&all[..50].concat()), "{lines}");
                assert!(text.ends_with(&all[lines - 25..].concat()), "{lines}: {text}");
                assert!(text.contains("bytes were not kept"));
            }
            drop(log);
            assert!(lines == 0 || disk_use(folder.path()) > 0, "it outlives the process, as YARN collects it then");
        }
    }

    #[test]
    fn what_is_removed_leaves_no_file() {
        for lines in [0, 1, 1_000] {
            let folder = tempfile::tempdir().unwrap();
            let mut log = BoundedLog::create(&folder.path().join("worker.log"), 1_000).unwrap();
            (0..lines).for_each(|_| log.write(b"123456789\n"));
            log.remove();
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{lines}");
        }
    }

    #[test]
    fn large_pieces_are_cut_at_lines() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = BoundedLog::create(&folder.path().join("worker.log"), 16 << 20).unwrap();
        let line = "änderung ".repeat(7) + "\n";
        log.write(line.repeat(20_000).as_bytes());
        assert!(!log.read(0).unwrap().at_end);
        assert_eq!(read_all(&log), line.repeat(20_000));
        assert!(log.read(u64::MAX).unwrap().at_end);
    }

    #[test]
    fn last_words_are_the_last_lines() {
        let mut words = LastWords::default();
        for number in 0..10_000 {
            words.write(format!("line {number}\n").as_bytes());
        }
        assert!(words.text().starts_with("line 9980\n") && words.text().ends_with("line 9999"));
        assert!(words.0.len() <= 4 * TAIL_BYTES);
        words.write(&[b'x'; 100_000]);
        assert_eq!(words.text().len(), TAIL_BYTES);
    }
}
