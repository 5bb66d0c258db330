use std::fs;
use std::path::Path;
use std::sync::Arc;

use flink_api::sink::{Sink, SinkContext, SinkWriter};
use flink_files::file_system::{
    BlockLocation, Existing, FileError, FileStatus, FileSystem, LocalFileSystem, OpenOptions, ReadHandle, WriteHandle,
    register,
};
use flink_files::{FileUri, TextFileSink, text_sink::TextFileWriter};
use flink_graph::{Configuration, JobId};
use tempfile::{TempDir, tempdir};

use super::write;

fn context(subtask: u32, attempt: u32) -> SinkContext {
    let configuration = Configuration::default();
    SinkContext {
        job: JobId::from_u128(7),
        subtask,
        parallelism: 2,
        attempt,
        configuration,
        accumulators: Default::default(),
    }
}

fn target(folder: &TempDir) -> std::path::PathBuf {
    folder.path().join("out")
}

fn sink(folder: &TempDir) -> TextFileSink {
    TextFileSink::new(target(folder).to_str().unwrap())
}

fn prepare(sink: &TextFileSink) -> Result<(), String> {
    Sink::<u64>::prepare(sink, &context(0, 0)).map_err(|error| error.to_string())
}

fn writer(sink: &TextFileSink, subtask: u32, attempt: u32) -> TextFileWriter {
    Sink::<u64>::create_writer(sink, &context(subtask, attempt)).unwrap()
}

fn finish(writer: &mut TextFileWriter) -> Vec<u8> {
    SinkWriter::<u64>::finish(writer).unwrap()
}

/// Writes numbers in a subtask.
fn written(sink: &TextFileSink, subtask: u32, attempt: u32, numbers: std::ops::Range<u64>) -> Vec<u8> {
    let mut writer = writer(sink, subtask, attempt);
    for number in numbers {
        writer.write(number).unwrap();
    }
    finish(&mut writer)
}

fn commit(sink: &TextFileSink, parts: &[Vec<u8>]) -> Result<(), String> {
    Sink::<u64>::commit(sink, &context(0, 0), parts.to_vec()).map_err(|error| error.to_string())
}

fn abort(sink: &TextFileSink, attempt: u32) {
    Sink::<u64>::abort(sink, &context(0, attempt));
}

/// Names and contents of all that is in a folder, hidden files too, but for what a publication keeps.
fn listing(folder: &Path) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.ends_with("-published") {
            continue;
        }
        let content = if path.is_dir() { listing(&path).join(" ") } else { fs::read_to_string(&path).unwrap() };
        found.push(format!("{name}={}", content.trim_end().replace('\n', ",")));
    }
    found.sort();
    found
}

#[test]
fn parts_appear_when_they_are_committed() {
    let folder = tempdir().unwrap();
    let sink = sink(&folder);
    prepare(&sink).unwrap();
    let parts = [written(&sink, 1, 0, 10..12), written(&sink, 0, 0, 0..3)];
    let hidden: Vec<_> = fs::read_dir(target(&folder)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(hidden, [".flink-yarn-00000000000000000000000000000007-0"]);
    commit(&sink, &parts).unwrap();
    let expected = ["part-00000=0,1,2", "part-00001=10,11"];
    assert_eq!(listing(&target(&folder)), expected);
    // Again, after a crash whose outcome was not known; and an abort that comes too late.
    commit(&sink, &parts).unwrap();
    abort(&sink, 9);
    assert_eq!(listing(&target(&folder)), expected);
}

/// The committer published, and was lost before anybody heard of it.
#[test]
fn a_result_that_nobody_heard_of_is_replaced_by_the_next_attempt() {
    let folder = tempdir().unwrap();
    let sink = sink(&folder);
    commit(&sink, &[written(&sink, 0, 0, 0..3), written(&sink, 1, 0, 3..5)]).unwrap();
    // The next attempt distributes the records otherwise, and is lost in the same way.
    for (attempt, middle) in [(1, 1), (2, 4)] {
        let parts = [written(&sink, 0, attempt, 0..middle), written(&sink, 1, attempt, middle..5)];
        commit(&sink, &parts).unwrap();
        commit(&sink, &parts).unwrap();
    }
    assert_eq!(listing(&target(&folder)), ["part-00000=0,1,2,3", "part-00001=4"]);
    // What is not the job's own is refused as before, and so is its own result to another job.
    let parts = [written(&sink, 0, 3, 0..5)];
    write(&target(&folder).join("part-00001"), "somebody's");
    let error = commit(&sink, &parts).unwrap_err();
    assert!(error.contains("part-00001 was put there"), "{error}");
    fs::remove_file(target(&folder).join("part-00001")).unwrap();
    let other = SinkContext { job: JobId::from_u128(8), ..context(0, 0) };
    let mut writer = Sink::<u64>::create_writer(&sink, &other).unwrap();
    let part = finish(&mut writer);
    assert!(Sink::<u64>::commit(&sink, &other, vec![part.clone()]).is_err());
    // What is kept goes with the result that replaces the job's, or when everybody has heard of it.
    Sink::<u64>::commit(&sink.clone().overwrite(true), &other, vec![part]).unwrap();
    let kept = || {
        let entries = fs::read_dir(target(&folder)).unwrap();
        entries.filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().ends_with("-published")).count()
    };
    assert_eq!(kept(), 1);
    Sink::<u64>::settle(&sink, &context(0, 0));
    assert_eq!(kept(), 1, "it is another job's");
    Sink::<u64>::settle(&sink, &other);
    assert_eq!(kept(), 0);
}

#[test]
fn no_records_give_empty_parts_and_large_ones_pass_whole() {
    let folder = tempdir().unwrap();
    let sink = sink(&folder);
    let empty = written(&sink, 0, 0, 0..0);
    let mut writer = writer(&sink, 1, 0);
    let large = "x".repeat(1 << 20);
    for record in ["a", &large, "", "b", &large[..(128 << 10) - 1], &large[..128 << 10], "c"] {
        writer.write(record).unwrap();
    }
    commit(&sink, &[empty, finish(&mut writer)]).unwrap();
    assert_eq!(fs::read(target(&folder).join("part-00000")).unwrap(), b"");
    let lengths: Vec<usize> =
        fs::read_to_string(target(&folder).join("part-00001")).unwrap().lines().map(str::len).collect();
    assert_eq!(lengths, [1, 1 << 20, 0, 1, (128 << 10) - 1, 128 << 10, 1]);
}

#[test]
fn a_target_that_cannot_be_used_is_refused_before_anything_runs() {
    let folder = tempdir().unwrap();
    let path = target(&folder);
    let refused = |sink: &TextFileSink, expected: &str| {
        let error = prepare(sink).unwrap_err();
        assert!(error.contains(expected), "{error}");
    };
    fs::create_dir(&path).unwrap();
    prepare(&sink(&folder)).unwrap();
    write(&path.join(".flink-yarn-old-0/part-00000"), "left by a process that was killed");
    prepare(&sink(&folder)).unwrap();
    write(&path.join("part-00000"), "x");
    refused(&sink(&folder), "the folder exists and is not empty");
    prepare(&sink(&folder).overwrite(true)).unwrap();
    fs::remove_dir_all(&path).unwrap();
    write(&path, "x");
    refused(&sink(&folder), "it is a file");
    refused(&sink(&folder).overwrite(true), "it is a file");
    refused(&TextFileSink::new(path.join("below").to_str().unwrap()), "out is a file, not a folder");
    refused(&TextFileSink::new("/").overwrite(true), "root");
    refused(&TextFileSink::new("s4://x/y"), "there is no file system");
    let error = Sink::<u64>::create_writer(&sink(&folder), &context(0, 0)).err().unwrap().to_string();
    assert!(error.contains("cannot create the folder"), "{error}");
}

#[test]
fn an_old_result_stays_until_the_new_one_is_complete() {
    let folder = tempdir().unwrap();
    let path = target(&folder);
    for (name, content) in [("part-00000", "old"), ("part-00005", "old"), ("sub/x", "old"), (".part-00000.crc", "c")] {
        write(&path.join(name), content);
    }
    write(&path.join(".keep"), "k");
    let sink = sink(&folder).overwrite(true);
    let parts = [written(&sink, 0, 0, 0..1), written(&sink, 1, 0, 1..2)];
    assert_eq!(fs::read_to_string(path.join("part-00000")).unwrap(), "old");
    abort(&sink, 0);
    let old = [".keep=k", ".part-00000.crc=c", "part-00000=old", "part-00005=old", "sub=x=old"];
    assert_eq!(listing(&path), old);
    assert!(commit(&sink, &parts).unwrap_err().contains("is gone or was changed"));
    assert_eq!(listing(&path), old);
    let parts = [written(&sink, 0, 1, 0..1), written(&sink, 1, 1, 1..2)];
    commit(&sink, &parts).unwrap();
    assert_eq!(listing(&path), [".keep=k", "part-00000=0", "part-00001=1"]);
}

#[test]
fn what_was_put_into_the_target_meanwhile_is_not_overwritten() {
    let folder = tempdir().unwrap();
    let sink = sink(&folder);
    let parts = [written(&sink, 0, 0, 0..1)];
    write(&target(&folder).join("part-00000"), "of another job");
    let error = commit(&sink, &parts).unwrap_err();
    assert!(error.contains("was put there while the job was running"), "{error}");
    abort(&sink, 0);
    assert_eq!(listing(&target(&folder)), ["part-00000=of another job"]);
}

#[test]
fn an_abort_removes_attempts_up_to_its_own() {
    let folder = tempdir().unwrap();
    let sink = sink(&folder);
    let _ = (written(&sink, 0, 0, 0..1), written(&sink, 1, 1, 0..1));
    let part = written(&sink, 0, 2, 5..6);
    abort(&sink, 1);
    commit(&sink, &[part]).unwrap();
    assert_eq!(listing(&target(&folder)), ["part-00000=5"]);
}

#[test]
fn a_writer_that_is_dropped_removes_its_file() {
    let folder = tempdir().unwrap();
    let sink = sink(&folder);
    let mut writer = writer(&sink, 0, 0);
    writer.write(1_u64).unwrap();
    drop(writer);
    assert_eq!(listing(&target(&folder)), <[&str; 0]>::default(), "nor does it leave the folder of its attempt");
}

#[test]
fn a_committer_takes_nothing_that_is_not_a_part_of_its_job() {
    let folder = tempdir().unwrap();
    write(&target(&folder).join("x/part-00000"), "secret");
    let sink = sink(&folder).overwrite(true);
    let good = String::from_utf8(written(&sink, 0, 0, 0..1)).unwrap();
    let (before, after) = (good.split_once('\n').unwrap().0.to_owned(), good.split_once('\n').unwrap().1.to_owned());
    let hostile = [
        String::new(),
        format!("x\n{after}"),
        format!("../x\n{after}"),
        format!("{before}/../x\n{after}"),
        format!("{before}0x\n{after}"),
        good.replace("part-00000", "../part-00000"),
        good.replace("part-00000", "part-0"),
        good.replace("part-00000", "part-+0000"),
        format!("{good}\nmore"),
        good.replace('\n', " "),
    ];
    for bytes in hostile {
        assert!(commit(&sink, &[bytes.clone().into_bytes()]).unwrap_err().contains("damaged"), "{bytes:?}");
    }
    let good = good.into_bytes();
    assert!(commit(&sink, &[good.clone(), good.clone()]).unwrap_err().contains("two writers"));
    assert!(commit(&sink, &[vec![0xff]]).unwrap_err().contains("damaged"));
    commit(&sink, &[good]).unwrap();
}

/// Local files, with faults.
struct Faulty {
    local: LocalFileSystem,
    fault: Fault,
}

#[derive(Clone)]
enum Fault {
    /// Files are written to a device that is always full.
    DiskFull,
    /// So many renames work, and no more until the file exists.
    RenamesUntil { count: Arc<std::sync::atomic::AtomicUsize> },
}

impl Faulty {
    fn local(uri: &FileUri) -> FileUri {
        FileUri::parse(uri.path()).unwrap()
    }

    fn back(uri: &FileUri, like: &FileUri) -> FileUri {
        like.root().join(uri.path())
    }
}

impl FileSystem for Faulty {
    fn status(&self, uri: &FileUri) -> Result<FileStatus, FileError> {
        let status = self.local.status(&Self::local(uri))?;
        Ok(FileStatus { uri: uri.clone(), ..status })
    }

    fn list(&self, folder: &FileUri, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<FileStatus>, FileError> {
        let found = self.local.list(&Self::local(folder), wanted)?;
        Ok(found.into_iter().map(|status| FileStatus { uri: Self::back(&status.uri, folder), ..status }).collect())
    }

    fn block_locations(&self, file: &FileStatus) -> Result<Vec<BlockLocation>, FileError> {
        self.local.block_locations(file)
    }

    fn open(&self, uri: &FileUri, options: OpenOptions) -> Result<Box<dyn ReadHandle>, FileError> {
        self.local.open(&Self::local(uri), options)
    }

    fn create(&self, uri: &FileUri, existing: Existing) -> Result<Box<dyn WriteHandle>, FileError> {
        match self.fault {
            Fault::DiskFull => self.local.create(&FileUri::parse("/dev/full")?, existing),
            Fault::RenamesUntil { .. } => self.local.create(&Self::local(uri), existing),
        }
    }

    fn rename(&self, from: &FileUri, to: &FileUri, existing: Existing) -> Result<(), FileError> {
        use std::sync::atomic::Ordering;
        if let Fault::RenamesUntil { count } = &self.fault {
            let left = count.load(Ordering::SeqCst);
            match left {
                // The process is dead from here on, or this one call fails.
                0 => return Err(FileError::system("rename", from, std::io::Error::other("no more renames"))),
                usize::MAX => {}
                FAIL_ONCE_AT => count.store(usize::MAX, Ordering::SeqCst),
                _ => count.store(left - 1, Ordering::SeqCst),
            }
            if left == FAIL_ONCE_AT {
                return Err(FileError::system("rename", from, std::io::Error::other("one rename fails")));
            }
        }
        self.local.rename(&Self::local(from), &Self::local(to), existing)
    }

    fn delete(&self, uri: &FileUri) -> Result<bool, FileError> {
        self.local.delete(&Self::local(uri))
    }

    fn create_folders(&self, uri: &FileUri) -> Result<(), FileError> {
        self.local.create_folders(&Self::local(uri))
    }
}

/// Counting down from above, the rename at this count fails and all later ones work.
const FAIL_ONCE_AT: usize = 1000;

#[test]
fn a_full_disk_is_named_and_nothing_is_published() {
    register("full", Arc::new(Faulty { local: LocalFileSystem, fault: Fault::DiskFull }));
    let folder = tempdir().unwrap();
    let sink = TextFileSink::new(format!("full://{}", target(&folder).to_str().unwrap()));
    let mut writer = writer(&sink, 0, 0);
    let error = (0..100_000_u64).find_map(|number| writer.write(number).err()).unwrap().to_string();
    assert!(error.contains("No space left on device") && error.contains("The disk is full"), "{error}");
    drop(writer);
    let mut writer = self::writer(&sink, 1, 0);
    writer.write(1_u64).unwrap();
    let error = SinkWriter::<u64>::finish(&mut writer).unwrap_err().to_string();
    assert!(error.contains("The disk is full"), "{error}");
    drop(writer);
    abort(&sink, 0);
    assert!(listing(&target(&folder)).is_empty());
}

/// An old result and the parts of a new one, whose publishing needs five renames: journal, two old ones, two
/// new ones. A sixth puts the journal aside.
struct Interrupted {
    folder: TempDir,
    sink: TextFileSink,
    parts: Vec<Vec<u8>>,
    renames: Arc<std::sync::atomic::AtomicUsize>,
}

const OLD: [&str; 2] = ["part-00000=old", "x=old"];
const PUBLISHED: [&str; 2] = ["part-00000=0", "part-00001=1"];

impl Interrupted {
    fn new(scheme: &str) -> Self {
        let renames = Arc::new(std::sync::atomic::AtomicUsize::new(usize::MAX));
        let fault = Fault::RenamesUntil { count: Arc::clone(&renames) };
        register(scheme, Arc::new(Faulty { local: LocalFileSystem, fault }));
        let folder = tempdir().unwrap();
        write(&target(&folder).join("part-00000"), "old");
        write(&target(&folder).join("x"), "old");
        let sink = TextFileSink::new(format!("{scheme}://{}", target(&folder).to_str().unwrap())).overwrite(true);
        let parts = vec![written(&sink, 0, 0, 0..1), written(&sink, 1, 0, 1..2)];
        Self { folder, sink, parts, renames }
    }

    fn commit_with(&self, renames: usize) -> Result<(), String> {
        self.renames.store(renames, std::sync::atomic::Ordering::SeqCst);
        let result = commit(&self.sink, &self.parts);
        self.renames.store(usize::MAX, std::sync::atomic::Ordering::SeqCst);
        result
    }

    fn visible(&self) -> Vec<String> {
        listing(&target(&self.folder)).into_iter().filter(|name| !name.starts_with('.')).collect()
    }
}

#[test]
fn a_committer_that_dies_anywhere_is_repeated_or_taken_back() {
    for renames in 0..5 {
        let repeated = Interrupted::new("dying");
        repeated.commit_with(renames).unwrap_err();
        repeated.commit_with(usize::MAX).unwrap();
        assert_eq!(listing(&target(&repeated.folder)), PUBLISHED, "after {renames} renames, repeated");

        let taken_back = Interrupted::new("dying");
        taken_back.commit_with(renames).unwrap_err();
        abort(&taken_back.sink, 0);
        assert_eq!(listing(&target(&taken_back.folder)), OLD, "after {renames} renames, taken back");

        let again = Interrupted::new("dying");
        again.commit_with(renames).unwrap_err();
        let parts = [written(&again.sink, 0, 1, 7..8)];
        commit(&again.sink, &parts).unwrap();
        assert_eq!(listing(&target(&again.folder)), ["part-00000=7"], "after {renames} renames, written anew");
    }
    let whole = Interrupted::new("dying");
    whole.commit_with(6).unwrap();
    assert_eq!(listing(&target(&whole.folder)), PUBLISHED);
}

#[test]
fn a_commit_that_fails_is_undone_and_can_be_repeated() {
    for renames in 0..5 {
        let interrupted = Interrupted::new("failing");
        let error = interrupted.commit_with(FAIL_ONCE_AT + renames).unwrap_err();
        assert!(error.contains("one rename fails"), "{error}");
        assert_eq!(interrupted.visible(), OLD, "after {renames} renames");
        interrupted.commit_with(usize::MAX).unwrap();
        assert_eq!(listing(&target(&interrupted.folder)), PUBLISHED, "after {renames} renames, repeated");
    }
}

/// What a killed job has left, of which the lock says whether it lives.
#[test]
fn leftovers_of_killed_jobs_are_removed() {
    let folder = tempdir().unwrap();
    let target = target(&folder);
    let names = ["dead", "alive", "elsewhere"];
    for name in names {
        let attempt = target.join(format!(".flink-yarn-{name}-0"));
        fs::create_dir_all(&attempt).unwrap();
        fs::write(attempt.join("part-00000"), name).unwrap();
    }
    let lock = |name: &str| {
        let path = target.join(format!(".flink-yarn-{name}-lock"));
        LocalFileSystem.lock(&FileUri::parse(path.to_str().unwrap()).unwrap()).unwrap()
    };
    drop(lock("dead").unwrap());
    let held = lock("alive").unwrap();
    assert!(lock("alive").is_none());
    prepare(&sink(&folder)).unwrap();
    let alive = [
        ".flink-yarn-alive-0=part-00000=alive",
        ".flink-yarn-alive-lock=",
        ".flink-yarn-elsewhere-0=part-00000=elsewhere",
    ];
    assert_eq!(listing(&target), alive);
    drop(held);
    prepare(&sink(&folder)).unwrap();
    assert_eq!(listing(&target), [".flink-yarn-elsewhere-0=part-00000=elsewhere"]);
}

#[test]
fn a_place_where_nothing_can_be_made_is_no_missing_input() {
    let told = |action: &'static str| {
        let error = std::io::Error::from_raw_os_error(2);
        FileError::System { action, uri: "file:///proc/out".to_owned(), error }.to_string()
    };
    assert!(told("create the folder").ends_with("choose another path for the result"), "{}", told("create the folder"));
    assert!(told("open").contains("must exist on every host"), "{}", told("open"));
}
