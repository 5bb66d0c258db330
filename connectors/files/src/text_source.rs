//! The source that emits the lines of text files.

use std::ops::ControlFlow;
use std::time::Duration;

use flink_api::source::{
    Boundedness, EnumeratorContext, ReaderContext, ReaderStatus, Source, SourceReader, SourceSplit,
};
use flink_api::{BoxError, Output, SharedAccumulators};
use flink_graph::{AccumulatorValue, Configuration, ConfigurationError, options};

use crate::lines::{InvalidUtf8, LineStatus, TextLineSplitReader, TextOptions};
use crate::split::{CutOptions, FileSplit, cut, expand};

/// Lines emitted in one step of the task.
const LINES_PER_POLL: usize = 1000;

/// Emits the lines of text files, each as a record, without their line ends.
///
/// The input is a file, a folder, a pattern, or a list of them: see [`expand`]. Large files are read by several subtasks
/// at once, also those packed with bzip2; files packed with gzip or zstd are read by one subtask each. How a file is packed
/// is told by its ending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextFileSource {
    input: String,
    invalid_utf8: InvalidUtf8,
    max_line_length: Option<usize>,
    split_size: Option<u64>,
}

impl TextFileSource {
    /// Reads an input; nothing is opened yet.
    #[must_use]
    pub fn new(input: impl Into<String>) -> Self {
        Self { input: input.into(), invalid_utf8: InvalidUtf8::Fail, max_line_length: None, split_size: None }
    }

    /// What to do with bytes that are not UTF-8; the job fails if this is not called.
    #[must_use]
    pub fn on_invalid_utf8(mut self, policy: InvalidUtf8) -> Self {
        self.invalid_utf8 = policy;
        self
    }

    /// Longest line in bytes, in place of the job's `source.text.max-line-length`.
    #[must_use]
    pub fn max_line_length(mut self, bytes: usize) -> Self {
        self.max_line_length = Some(bytes);
        self
    }

    /// Largest split in bytes, in place of the job's `source.file.split-size`.
    #[must_use]
    pub fn split_size(mut self, bytes: u64) -> Self {
        self.split_size = Some(bytes);
        self
    }

    /// The input, as given.
    #[must_use]
    pub fn input(&self) -> &str {
        &self.input
    }

    /// How the lines of the splits are to be read, for a reader of one's own.
    ///
    /// # Errors
    /// The configuration has a value that is not one.
    pub fn text_options(&self, configuration: &Configuration) -> Result<TextOptions, ConfigurationError> {
        let max_line_length = match self.max_line_length {
            Some(bytes) => bytes,
            None => configuration.get(&options::SOURCE_MAX_LINE_LENGTH)?.bytes(),
        };
        Ok(TextOptions { max_line_length, invalid_utf8: self.invalid_utf8, ..TextOptions::default() })
    }

    fn max_split_size(&self, configuration: &Configuration) -> Result<u64, ConfigurationError> {
        self.split_size.map_or_else(|| configuration.get(&options::SOURCE_SPLIT_SIZE).map(|size| size.0), Ok)
    }
}

impl Source for TextFileSource {
    type Record = String;
    type Split = FileSplit;
    type Reader = TextFileReader;

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn enumerate_splits(&self, context: &EnumeratorContext) -> Result<Vec<SourceSplit<FileSplit>>, BoxError> {
        let folder = context.configuration.get(&options::CLIENT_WORKING_DIRECTORY)?;
        let files = expand(&self.input, folder.as_deref())?;
        let max_size = self.max_split_size(&context.configuration)?;
        Ok(cut(&files, CutOptions { max_size, parallelism: context.parallelism })?)
    }

    fn create_reader(&self, context: ReaderContext) -> Result<TextFileReader, BoxError> {
        let options = self.text_options(&context.configuration)?;
        let lines = TextLineSplitReader::new(options, context.waker);
        Ok(TextFileReader { lines, skipped: SkippedLines { told: 0, accumulators: context.accumulators } })
    }
}

/// Emits the lines of splits.
pub struct TextFileReader {
    lines: TextLineSplitReader,
    skipped: SkippedLines,
}

/// The accumulator with the number of lines that were left out because they were not UTF-8
/// ([`InvalidUtf8::SkipAndCount`]); it is there when there are any.
pub const SKIPPED_LINES: &str = "skipped_lines";

struct SkippedLines {
    told: u64,
    accumulators: SharedAccumulators,
}

impl SkippedLines {
    fn tell(&mut self, number: u64) {
        let new = number.saturating_sub(self.told);
        if new == 0 {
            return;
        }
        self.told = number;
        let add = |value: &mut AccumulatorValue| {
            if let AccumulatorValue::Long(sum) = value {
                *sum = sum.saturating_add_unsigned(new);
            }
        };
        self.accumulators.update(SKIPPED_LINES, || AccumulatorValue::Long(0), add);
    }
}

impl TextFileReader {
    /// Lines left out so far because they were not UTF-8 ([`InvalidUtf8::SkipAndCount`]).
    #[must_use]
    pub fn skipped_lines(&self) -> u64 {
        self.lines.skipped_lines()
    }

    /// The reader beneath, for those who can work on borrowed lines.
    pub fn lines(&mut self) -> &mut TextLineSplitReader {
        &mut self.lines
    }
}

impl SourceReader for TextFileReader {
    type Record = String;
    type Split = FileSplit;

    fn start_split(&mut self, split: FileSplit) -> Result<(), BoxError> {
        Ok(self.lines.start_split(split)?)
    }

    fn poll(&mut self, _: Duration, output: &mut impl Output<String>) -> Result<ReaderStatus, BoxError> {
        let status = self.lines.try_for_each_line(LINES_PER_POLL, |line| {
            output.collect(line.to_owned());
            if output.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        self.skipped.tell(self.lines.skipped_lines());
        let status = status?;
        Ok(match status {
            LineStatus::More => ReaderStatus::More,
            LineStatus::Pending => ReaderStatus::Pending,
            LineStatus::SplitFinished => ReaderStatus::SplitFinished,
        })
    }
}
