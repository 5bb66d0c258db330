use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, Once, PoisonError};

use flink_api::{Data, TaskWaker};
use flink_files::file_system::{
    Existing, FileError, FileKind, FileStatus, FileSystem, FileUri, FileVersion, OpenOptions, ReadHandle, ReadPoll,
    WriteHandle, register,
};
use flink_files::split::{CutOptions, cut};
use flink_files::{FileSplit, InvalidUtf8, LineStatus, TextLineSplitReader, TextOptions};

/// Longest line that is read here; also the bound on what an archive may unpack to in one line.
pub(crate) const MAX_LINE_LENGTH: usize = 1 << 16;

/// Lines that are taken from one archive; a bomb goes on behind them.
pub(crate) const MAX_LINES: usize = 1 << 16;

/// Files in memory, under `hostile:/NAME`, handed out in pieces of any size with pauses between.
#[derive(Default)]
pub(crate) struct Memory(Mutex<BTreeMap<String, MemoryFile>>);

/// What a file holds, and how much of it is read at once.
type MemoryFile = (Arc<[u8]>, usize);

pub(crate) static FILES: Memory = Memory(Mutex::new(BTreeMap::new()));

/// The registry wants to own what it serves.
struct Served;

fn refuse<T>(uri: &FileUri) -> Result<T, FileError> {
    Err(FileError::InvalidInput { input: uri.to_string(), reason: "not in this file system".to_owned() })
}

impl Memory {
    /// Puts a file there for this thread.
    pub(crate) fn put(&self, name: &str, content: &[u8], piece: usize) -> FileSplit {
        static REGISTERED: Once = Once::new();
        REGISTERED.call_once(|| register("hostile", Arc::new(Served)));
        let path = format!("/{:?}/{name}", std::thread::current().id()).replace(['(', ')'], "-");
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.insert(path.clone(), (content.into(), piece.max(1)));
        let length = content.len() as u64;
        FileSplit { uri: format!("hostile:{path}"), offset: 0, length, file_length: length, modified_nanos: 0 }
    }

    fn get(&self, uri: &FileUri) -> Option<(Arc<[u8]>, usize)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(uri.path()).cloned()
    }
}

impl FileSystem for Served {
    fn status(&self, uri: &FileUri) -> Result<FileStatus, FileError> {
        let Some((content, _)) = FILES.get(uri) else { return refuse(uri) };
        let version = FileVersion { length: content.len() as u64, modified_nanos: 0 };
        Ok(FileStatus { uri: uri.clone(), kind: FileKind::File, version })
    }

    fn list(&self, folder: &FileUri, _: &dyn Fn(&str) -> bool) -> Result<Vec<FileStatus>, FileError> {
        refuse(folder)
    }

    fn open(&self, uri: &FileUri, options: OpenOptions) -> Result<Box<dyn ReadHandle>, FileError> {
        let Some((content, piece)) = FILES.get(uri) else { return refuse(uri) };
        // As every file system does; the time of the last change is of no interest here.
        if options.version.is_some_and(|version| version.length != content.len() as u64) {
            return refuse(uri);
        }
        let next = usize::try_from(options.offset).unwrap_or(usize::MAX).min(content.len());
        Ok(Box::new(Reading { content, piece, next, paused: false }))
    }

    fn create(&self, uri: &FileUri, _: Existing) -> Result<Box<dyn WriteHandle>, FileError> {
        refuse(uri)
    }

    fn rename(&self, from: &FileUri, _: &FileUri, _: Existing) -> Result<(), FileError> {
        refuse(from)
    }

    fn delete(&self, uri: &FileUri) -> Result<bool, FileError> {
        refuse(uri)
    }

    fn create_folders(&self, uri: &FileUri) -> Result<(), FileError> {
        refuse(uri)
    }
}

struct Reading {
    content: Arc<[u8]>,
    piece: usize,
    next: usize,
    paused: bool,
}

impl ReadHandle for Reading {
    fn poll_read(&mut self, buffer: &mut [u8], waker: &TaskWaker) -> Result<ReadPoll, FileError> {
        self.paused = !self.paused;
        if self.paused {
            waker.wake();
            return Ok(ReadPoll::Pending);
        }
        let rest = &self.content[self.next..];
        let count = rest.len().min(self.piece).min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.next += count;
        Ok(if count == 0 { ReadPoll::End } else { ReadPoll::Read(count) })
    }
}

pub(crate) fn read(
    reader: &mut TextLineSplitReader,
    split: FileSplit,
    lines: &mut Vec<String>,
) -> Result<(), FileError> {
    reader.start_split(split)?;
    while lines.len() < MAX_LINES {
        if reader.for_each_line(7, |line| lines.push(line.to_owned()))? == LineStatus::SplitFinished {
            break;
        }
    }
    Ok(())
}

fn policy(number: u8) -> InvalidUtf8 {
    [InvalidUtf8::Fail, InvalidUtf8::Replace, InvalidUtf8::SkipAndCount][usize::from(number % 3)]
}

/// The lines of a text by definition; `None` where it must fail. Also how many are left out.
fn expected(mut text: &[u8], policy: InvalidUtf8) -> (Option<Vec<String>>, u64) {
    text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    if lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    let ended = text.iter().filter(|byte| **byte == b'\n').count();
    let mut skipped = 0;
    let mut shown = Vec::new();
    for (index, line) in lines.into_iter().enumerate() {
        let line = if index < ended { line.strip_suffix(b"\r").unwrap_or(line) } else { line };
        match (std::str::from_utf8(line), policy) {
            (Ok(line), _) => shown.push(line.to_owned()),
            (Err(_), InvalidUtf8::Replace) => shown.push(String::from_utf8_lossy(line).into_owned()),
            (Err(_), InvalidUtf8::SkipAndCount) => skipped += 1,
            (Err(_), InvalidUtf8::Fail) => return (None, 0),
        }
    }
    (Some(shown), skipped)
}

/// Lines of a file in splits, read in blocks that come in pieces: always those that the text has by definition. The first
/// four bytes are policy, size of splits, of blocks, of pieces.
pub fn lines(input: &[u8]) {
    let Some((&[policy_number, split_size, block, piece], text)) = input.split_first_chunk::<4>() else { return };
    let invalid_utf8 = policy(policy_number);
    let whole = FILES.put("lines.txt", text, usize::from(piece) + 1);
    let options = TextOptions { max_line_length: MAX_LINE_LENGTH, invalid_utf8, block_size: usize::from(block) };
    let mut reader = TextLineSplitReader::new(options, TaskWaker::new(|| ()));
    let (mut found, mut failed) = (Vec::new(), false);
    let size = u64::from(split_size) + 1;
    for offset in (0..whole.file_length).step_by(usize::try_from(size).unwrap()) {
        let split = FileSplit { offset, length: size.min(whole.file_length - offset), ..whole.clone() };
        failed |= read(&mut reader, split, &mut found).is_err();
    }
    let (expected, skipped) = expected(text, invalid_utf8);
    assert_eq!(failed, expected.is_none(), "bytes that are not UTF-8 fail, and nothing else does");
    if let Some(expected) = expected {
        assert_eq!(found, expected);
        assert_eq!(reader.skipped_lines(), skipped);
    }
}

/// Texts with every kind of line end.
pub fn line_seeds() -> Vec<Vec<u8>> {
    let texts: [&[u8]; 5] =
        [b"one\ntwo\r\n\r\nthree", b"\xef\xbb\xbfmark\n", b"a\xff\nb\n\xc3", "ä€😀\n😀\n".as_bytes(), b"\r\r\n\n\n"];
    let cuts = [[0, 200, 200, 200], [1, 3, 20, 2], [2, 0, 16, 0]];
    texts.iter().flat_map(|text| cuts.iter().map(|cut| [&cut[..], text].concat())).collect()
}

/// Archives through the reader of lines: damaged ones are errors, whole ones give what was packed. The first byte chooses
/// the format and whether the rest is an archive, or is packed first.
pub fn archives(input: &[u8]) {
    let Some((&[kind, piece], bytes)) = input.split_first_chunk::<2>() else { return };
    let format = kind % 3;
    let whole = kind % 2 == 1;
    let packed = if whole { pack(format, bytes) } else { bytes.to_vec() };
    let name = ["a.gz", "a.zst", "a.bz2"][usize::from(format)];
    let split = FILES.put(name, &packed, usize::from(piece) + 1);
    let options = TextOptions { max_line_length: MAX_LINE_LENGTH, invalid_utf8: InvalidUtf8::Replace, block_size: 64 };
    let mut reader = TextLineSplitReader::new(options, TaskWaker::new(|| ()));
    let mut found = Vec::new();
    let outcome = read(&mut reader, split, &mut found);
    if whole {
        outcome.expect("a whole archive can be read");
        assert_eq!(Some(found), expected(bytes, InvalidUtf8::Replace).0);
    }
}

fn pack(format: u8, bytes: &[u8]) -> Vec<u8> {
    match format {
        0 => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        1 => zstd::encode_all(bytes, 1).unwrap(),
        _ => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
    }
}

/// Texts to pack, archives, and two archives in a row.
pub fn archive_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for format in 0..3 {
        // The number that is `format` modulo 3 and even, and the one that is odd.
        let archive = [0, 4, 2][usize::from(format)];
        let text = [3, 1, 5][usize::from(format)];
        let packed = pack(format, b"one line\nanother\n");
        seeds.push([&[archive, 9], packed.as_slice()].concat());
        seeds.push([&[archive, 0], packed.as_slice(), packed.as_slice(), &[0; 4]].concat());
        seeds.push([&[text, 3], &b"some text\r\nin lines"[..]].concat());
    }
    seeds
}

/// Splits as the JobManager hands them out: what is read can be written and read again, and the reader does not believe
/// their numbers.
pub fn splits(input: &[u8]) {
    let mut rest = input;
    let Ok(split) = FileSplit::decode(&mut rest) else { return };
    let mut again = Vec::new();
    split.encode(&mut again);
    assert_eq!(again, input[..input.len() - rest.len()]);
    assert!(split.end() >= split.offset && !split.to_string().is_empty());
    let _ = FileUri::parse(&split.uri);
    let text = b"one\ntwo\nthree";
    let mine = FILES.put("split.txt", text, 4);
    let wrong = FileSplit { uri: mine.uri, ..split };
    let options = TextOptions { max_line_length: MAX_LINE_LENGTH, invalid_utf8: InvalidUtf8::Fail, block_size: 16 };
    let mut reader = TextLineSplitReader::new(options, TaskWaker::new(|| ()));
    let mut found = Vec::new();
    let _ = read(&mut reader, wrong, &mut found);
    assert!(found.len() <= 3 && found.iter().all(|line| ["one", "two", "three"].contains(&line.as_str())), "{found:?}");
}

/// Splits of that file, right and wrong.
pub fn split_seeds() -> Vec<Vec<u8>> {
    let split = |offset, length, file_length| {
        let mut out = Vec::new();
        FileSplit { uri: "file:/a".to_owned(), offset, length, file_length, modified_nanos: 1 }.encode(&mut out);
        out
    };
    vec![split(0, 13, 13), split(4, 4, 13), split(12, u64::MAX, 13), split(u64::MAX, 1, 2), split(3, 5, 1)]
}

/// What a user writes as an input: URIs, and how files of any size are cut.
pub fn inputs(input: &[u8]) {
    let Some((numbers, text)) = input.split_first_chunk::<16>() else { return };
    let text = String::from_utf8_lossy(text);
    for folder in [None, Some("/a b/c"), Some("relative")] {
        if let Ok(uri) = FileUri::parse_in(&text, folder) {
            let again = FileUri::parse(&uri.to_string()).expect("a URI that is shown can be given");
            assert_eq!(again, uri, "{text:?} in {folder:?}");
            let _ = (uri.parent(), uri.root(), uri.join("x"), uri.name().len());
        }
    }
    let [length, max_size] = [0, 8].map(|at| u64::from_le_bytes(numbers[at..at + 8].try_into().unwrap()));
    // A file of any size, but splits that are not more than fit into memory.
    let max_size = max_size.max(length / 10_000);
    let uri = FileUri::parse("hostile:/cut.txt").unwrap();
    let _ = FILES.put("cut.txt", b"", 1);
    let version = FileVersion { length, modified_nanos: 0 };
    let status = FileStatus { uri, kind: FileKind::File, version };
    if let Ok(splits) = cut(&[status], CutOptions { max_size, parallelism: 3 }) {
        let mut next = 0;
        for split in splits {
            assert_eq!(split.split.offset, next, "splits follow one another");
            next = split.split.end();
        }
        assert_eq!(next, length, "splits are the whole file");
    }
}

/// Inputs as people write them.
pub fn input_seeds() -> Vec<Vec<u8>> {
    let numbers = |length: u64, size: u64| [length.to_le_bytes(), size.to_le_bytes()].concat();
    let texts =
        ["/data/a.txt", "data/*.txt", "file:///a/{b,c}/**/x", "hdfs://host:9000/x y/%20", "a:b", "../x", "C:\\x"];
    texts.iter().map(|text| [numbers(1 << 30, 64 << 20).as_slice(), text.as_bytes()].concat()).collect()
}
