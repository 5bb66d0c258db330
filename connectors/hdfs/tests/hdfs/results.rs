use flink_api::sink::{Sink, SinkContext, SinkWriter};
use flink_files::file_system::{FileSystem, OpenOptions};
use flink_files::text_sink::TextFileWriter;
use flink_files::{FileUri, TextFileSink};
use flink_graph::{Configuration, JobId};
use flink_hdfs::HdfsFileSystem;

use crate::cluster::{Cluster, read, serve, write};

fn context(subtask: u32, attempt: u32) -> SinkContext {
    let configuration = Configuration::default();
    let accumulators = Default::default();
    SinkContext { job: JobId::from_u128(7), subtask, parallelism: 2, attempt, configuration, accumulators }
}

fn writer(sink: &TextFileSink, subtask: u32, attempt: u32) -> TextFileWriter {
    Sink::<u64>::create_writer(sink, &context(subtask, attempt)).unwrap()
}

/// Writes numbers in a subtask, and gives back what is to be published.
fn written(sink: &TextFileSink, subtask: u32, numbers: std::ops::Range<u64>) -> Vec<u8> {
    let mut writer = writer(sink, subtask, 0);
    numbers.for_each(|number| writer.write(number).unwrap());
    SinkWriter::<u64>::finish(&mut writer).unwrap()
}

fn visible(files: &HdfsFileSystem, folder: &FileUri) -> Vec<String> {
    let found = files.list(folder, &|name| !name.starts_with('.')).unwrap();
    let content = |uri| String::from_utf8(read(files, uri, OpenOptions::default(), 1000).unwrap()).unwrap();
    found.iter().map(|s| format!("{}={}", s.uri.name(), content(&s.uri).trim_end().replace('\n', ","))).collect()
}

fn prepare(sink: &TextFileSink) -> Result<(), String> {
    Sink::<u64>::prepare(sink, &context(0, 0)).map_err(|error| error.to_string())
}

fn commit(sink: &TextFileSink, parts: &[Vec<u8>]) -> Result<(), String> {
    Sink::<u64>::commit(sink, &context(0, 0), parts.to_vec()).map_err(|error| error.to_string())
}

#[test]
fn parts_appear_together_and_replace_an_old_result_on_request() {
    let cluster = Cluster::shared();
    serve(&cluster);
    let (files, folder) = (cluster.files(), cluster.folder("results"));
    let target = folder.join("out");
    let sink = TextFileSink::new(target.to_string());
    prepare(&sink).unwrap();
    let parts = [written(&sink, 1, 10..12), written(&sink, 0, 0..3)];
    assert!(visible(&files, &target).is_empty());
    commit(&sink, &parts).unwrap();
    let expected = ["part-00000=0,1,2", "part-00001=10,11"];
    assert_eq!(visible(&files, &target), expected);
    commit(&sink, &parts).unwrap();
    assert_eq!(visible(&files, &target), expected, "again has the same effect");

    let error = prepare(&sink).unwrap_err();
    assert!(error.contains("not empty"), "{error}");
    let replacing = sink.overwrite(true);
    prepare(&replacing).unwrap();
    let parts = [written(&replacing, 0, 5..6)];
    assert_eq!(visible(&files, &target), expected, "the old result stays until the new one is complete");
    commit(&replacing, &parts).unwrap();
    assert_eq!(visible(&files, &target), ["part-00000=5"]);
    files.delete(&folder).unwrap();
}

#[test]
fn a_failed_job_leaves_nothing() {
    let cluster = Cluster::shared();
    serve(&cluster);
    let (files, folder) = (cluster.files(), cluster.folder("aborted"));
    let target = folder.join("out");
    files.create_folders(&target).unwrap();
    write(&files, &target.join("old"), b"old");
    let sink = TextFileSink::new(target.to_string()).overwrite(true);
    let mut unfinished = writer(&sink, 0, 0);
    for number in 0..50_000_u64 {
        unfinished.write(number).unwrap();
    }
    let finished = written(&sink, 1, 0..10);
    drop(unfinished);
    Sink::<u64>::abort(&sink, &context(0, 0));
    let left = files.list(&target, &|_| true).unwrap();
    assert_eq!(left.iter().map(|status| status.uri.name()).collect::<Vec<_>>(), ["old"]);
    assert!(commit(&sink, &[finished]).is_err());
    files.delete(&folder).unwrap();
}
