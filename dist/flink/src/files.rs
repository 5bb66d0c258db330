use std::fmt::Display;

use flink_api::sinks::DataStreamSink;
use flink_api::sources::FromSource;
use flink_api::{Chain, Data, DataStream, StreamExecutionEnvironment};
pub use flink_files::{InvalidUtf8, SKIPPED_LINES, TextFileSink, TextFileSource, Words, words};

/// Text files as sources.
pub trait FileSources {
    /// The lines of a file, of the files of a folder, or of the files that match a pattern; `.gz`, `.zst` and `.bz2` are unpacked.
    /// A `.gz` or `.zst` is read by one subtask, all others by several where they are large. [`TextFileSource`] has more settings.
    fn read_text_file(&self, input: &str) -> DataStream<String, FromSource<TextFileSource>>;
}

impl FileSources for StreamExecutionEnvironment {
    fn read_text_file(&self, input: &str) -> DataStream<String, FromSource<TextFileSource>> {
        self.from_source(TextFileSource::new(input), "Text File")
    }
}

/// Text files as sinks.
pub trait FileSinks {
    /// Writes each record as a line into the folder `target`, one file for each subtask; the files appear when all of them are
    /// complete. A target with files in it is refused; [`TextFileSink`] can overwrite.
    fn write_as_text(self, target: &str) -> DataStreamSink;
}

impl<T: Data + Display, C: Chain<Out = T>> FileSinks for DataStream<T, C> {
    fn write_as_text(self, target: &str) -> DataStreamSink {
        self.sink_to(TextFileSink::new(target))
    }
}
