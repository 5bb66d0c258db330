use std::io::Write;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use flink_api::sink::{Sink, SinkContext, SinkWriter};
use flink_files::{FileSplit, LineStatus, TextFileSink, TextOptions};
use flink_graph::{Configuration, JobId};
use tempfile::tempdir;

use super::{reader, split, whole, write};

/// CPU time of this thread so far.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

#[test]
#[ignore = "a measurement: cargo test --release -p flink-files -- --ignored --nocapture speed"]
fn lines_of_sixty_bytes() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("text");
    let text: String = (0..5_000_000_u64)
        .map(|i| format!("{:0>1$}\n", i.wrapping_mul(0x9e37_79b9), 40 + usize::try_from(i * 7 % 40).unwrap()))
        .collect();
    write(&path, &text);
    for block_size in [64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20] {
        let mut best = f64::MAX;
        let (mut lines, mut bytes) = (0_u64, 0);
        for _ in 0..5 {
            (lines, bytes) = (0, 0);
            let mut reader = reader(TextOptions { block_size, ..TextOptions::default() });
            let begin = cpu_time();
            reader.start_split(whole(&path)).unwrap();
            let mut count = |line: &str| {
                lines += 1;
                bytes += line.len();
            };
            while reader.for_each_line(1000, &mut count).unwrap() == LineStatus::More {}
            best = best.min((cpu_time() - begin).as_secs_f64());
        }
        assert_eq!((lines, bytes), (5_000_000, text.len() - 5_000_000));
        #[allow(clippy::cast_precision_loss)] // a figure for people
        let gigabytes = text.len() as f64 / 1e9;
        println!("blocks of {:4} KiB: {:.2} GB per CPU second", block_size >> 10, gigabytes / best);
    }
}

#[test]
#[ignore = "a measurement: cargo test --release -p flink-files -- --ignored --nocapture speed"]
fn lines_written() {
    let folder = tempdir().unwrap();
    let sink = TextFileSink::new(folder.path().to_str().unwrap());
    let configuration = Configuration::default();
    let context = SinkContext {
        job: JobId::from_u128(1),
        subtask: 0,
        parallelism: 1,
        attempt: 0,
        configuration,
        accumulators: Default::default(),
    };
    let line = "x".repeat(59);
    for _ in 0..3 {
        let mut writer = Sink::<&str>::create_writer(&sink, &context).unwrap();
        let begin = cpu_time();
        for _ in 0..5_000_000 {
            writer.write(line.as_str()).unwrap();
        }
        println!("written: {:.2} GB per CPU second", 0.3 / (cpu_time() - begin).as_secs_f64());
    }
}

/// CPU time of this process so far.
fn process_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// Takes splits from a common list until there are none, as subtasks do; gives the lines and their bytes.
fn read_splits(splits: &Mutex<Vec<FileSplit>>) -> (u64, usize) {
    let mut reader = reader(TextOptions::default());
    let (mut lines, mut bytes) = (0, 0);
    loop {
        let Some(split) = splits.lock().unwrap().pop() else { return (lines, bytes) };
        reader.start_split(split).unwrap();
        let mut count = |line: &str| {
            lines += 1;
            bytes += line.len() + 1;
        };
        while reader.for_each_line(1000, &mut count).unwrap() != LineStatus::SplitFinished {}
    }
}

#[test]
#[ignore = "a measurement: cargo test --release -p flink-files -- --ignored --nocapture speed"]
fn lines_unpacked_by_several() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("text.bz2");
    let mut random = Rng::with_seed(7);
    let word = |_| (0..random.u8(3..9)).map(|_| random.char('a'..='l')).collect::<String>();
    let words: Vec<String> = (0..5000).map(word).collect();
    let mut text = String::new();
    while text.len() < 100_000_000 {
        // Some words are more frequent than others.
        let rare = random.usize(..words.len());
        text += &words[random.usize(..=rare)];
        text.push(if random.u8(..10) == 0 { '\n' } else { ' ' });
    }
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    encoder.write_all(text.as_bytes()).unwrap();
    write(&path, encoder.finish().unwrap());
    let file = whole(&path);
    println!("{} MB, packed to {} MB", text.len() / 1_000_000, file.length / 1_000_000);
    let sizes = [(1, file.length), (1, 1 << 20), (1, 4 << 20), (2, 1 << 20), (2, 4 << 20)];
    for (threads, size) in sizes {
        let offsets = (0..file.length).step_by(usize::try_from(size).unwrap());
        let splits = offsets.map(|offset| split(&path, offset, size.min(file.length - offset)));
        let splits: Vec<FileSplit> = splits.collect();
        let count = splits.len();
        let splits = Mutex::new(splits);
        let (began, begin) = (Instant::now(), process_cpu_time());
        let (lines, bytes) = thread::scope(|scope| {
            let readers: Vec<_> = (0..threads).map(|_| scope.spawn(|| read_splits(&splits))).collect();
            let counts = readers.into_iter().map(|reader| reader.join().unwrap());
            counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1))
        });
        let (wall, cpu) = (began.elapsed(), process_cpu_time() - begin);
        println!("{threads} threads, {count} splits: {wall:.2?}, {cpu:.2?} of CPU");
        assert_eq!(lines, text.lines().count() as u64);
        assert_eq!(bytes, text.trim_end_matches('\n').len() + 1);
    }
}
