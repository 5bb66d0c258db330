use std::io::Write;
use std::time::Duration;

use flink_api::source::{EnumeratorContext, ReaderContext, ReaderStatus, Source, SourceReader};
use flink_api::{AccumulatorValue, Clock, Output, SharedAccumulators, TaskWaker};
use flink_files::{FileSplit, InvalidUtf8, TextFileSource};
use flink_graph::Configuration;
use tempfile::tempdir;

use super::write;

#[derive(Default)]
struct Collected {
    lines: Vec<String>,
    room: usize,
}

impl Output<String> for Collected {
    fn collect(&mut self, record: String) {
        self.lines.push(record);
    }

    fn is_full(&self) -> bool {
        self.lines.len() >= self.room
    }
}

fn splits(source: &TextFileSource, configuration: &Configuration) -> Result<Vec<FileSplit>, String> {
    let context = EnumeratorContext { parallelism: 2, configuration: configuration.clone() };
    let splits = source.enumerate_splits(&context).map_err(|error| error.to_string())?;
    Ok(splits.into_iter().map(|split| split.split).collect())
}

fn run(source: &TextFileSource, configuration: &Configuration) -> Result<(Vec<String>, u64), String> {
    let accumulators = SharedAccumulators::default();
    let context = ReaderContext {
        subtask: 0,
        parallelism: 2,
        configuration: configuration.clone(),
        waker: TaskWaker::new(|| ()),
        clock: Clock::system(),
        accumulators: accumulators.clone(),
    };
    let mut reader = source.create_reader(context).map_err(|error| error.to_string())?;
    let mut output = Collected::default();
    assert_eq!(reader.poll(Duration::ZERO, &mut output).unwrap(), ReaderStatus::SplitFinished);
    for split in splits(source, configuration)? {
        reader.start_split(split).map_err(|error| error.to_string())?;
        loop {
            output.room = output.lines.len() + 7;
            let status = reader.poll(Duration::ZERO, &mut output).map_err(|error| error.to_string())?;
            assert!(output.lines.len() <= output.room, "it stops when the output is full");
            if status == ReaderStatus::SplitFinished {
                break;
            }
        }
    }
    let counted = accumulators.snapshot().0.remove("skipped_lines").unwrap_or(AccumulatorValue::Long(0));
    assert_eq!(counted, AccumulatorValue::Long(reader.skipped_lines().try_into().unwrap()));
    Ok((output.lines, reader.skipped_lines()))
}

#[test]
fn the_source_emits_the_lines_of_all_files() {
    let folder = tempdir().unwrap();
    let text: Vec<String> = (0..10_000).map(|i| format!("line {i}")).collect();
    write(&folder.path().join("in/a.txt"), text[..5000].join("\n"));
    write(&folder.path().join("in/b.txt"), text[5000..].join("\r\n"));
    write(&folder.path().join("in/c.txt"), "");
    let mut configuration = Configuration::default();
    configuration.set("source.file.split-size", "1000");
    configuration.set("client.working-directory", folder.path().to_str().unwrap());
    let source = TextFileSource::new("in/*.txt");
    assert!(splits(&source, &configuration).unwrap().len() > 90);
    assert_eq!(run(&source, &configuration).unwrap().0, text);
}

#[test]
fn a_bzip2_file_is_read_in_splits_and_a_gzip_file_is_not() {
    let folder = tempdir().unwrap();
    let text: Vec<String> = (0..10_000).map(|i| format!("line {i}")).collect();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for lines in text.chunks(500) {
        let block = lines.join("\n") + "\n";
        bzip2.write_all(block.as_bytes()).unwrap();
        bzip2.flush().unwrap();
        gzip.write_all(block.as_bytes()).unwrap();
    }
    write(&folder.path().join("a.bz2"), bzip2.finish().unwrap());
    write(&folder.path().join("a.gz"), gzip.finish().unwrap());
    let configuration = Configuration::default();
    for (name, parts) in [("a.bz2", 10..100), ("a.gz", 1..2)] {
        let source = TextFileSource::new(folder.path().join(name).to_str().unwrap()).split_size(1000);
        assert!(parts.contains(&splits(&source, &configuration).unwrap().len()), "{name}");
        assert_eq!(run(&source, &configuration).unwrap().0, text, "{name}");
    }
}

#[test]
fn settings_of_the_source_and_of_the_job() {
    let folder = tempdir().unwrap();
    write(&folder.path().join("a.txt"), b"good line\nb\xffd\nlong: 1234567890\n");
    let source = TextFileSource::new(folder.path().to_str().unwrap());
    let mut configuration = Configuration::default();
    let skipping = source.clone().on_invalid_utf8(InvalidUtf8::SkipAndCount);
    assert_eq!(run(&skipping, &configuration).unwrap(), (vec!["good line".into(), "long: 1234567890".into()], 1));
    assert!(run(&source, &configuration).unwrap_err().contains("byte 11 (0xff) is not UTF-8"));
    configuration.set("source.text.max-line-length", "12");
    assert!(run(&skipping, &configuration).unwrap_err().contains("longer than 12 bytes"));
    assert_eq!(run(&skipping.max_line_length(16), &configuration).unwrap().0.len(), 2);
    configuration.set("source.text.max-line-length", "long");
    assert!(run(&source, &configuration).unwrap_err().contains("source.text.max-line-length"));
    assert!(splits(&TextFileSource::new("/no/such/place"), &configuration).unwrap_err().contains("/no/such/place"));
}
