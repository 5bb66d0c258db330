use std::time::Duration;

use flink_api::sink::{Sink, SinkContext, SinkWriter};
use flink_files::{LineStatus, TextFileSink, TextOptions};
use flink_graph::{Configuration, JobId};
use tempfile::tempdir;

use super::{reader, whole, write};

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
