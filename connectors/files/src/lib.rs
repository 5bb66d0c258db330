//! Files: file systems behind one trait, input splits, text sources and text sinks.
//!
//! The way of a record: an input is expanded to files and cut into splits ([`split`]) on the client; a reader finds the
//! lines of one split ([`lines`]), through [`compression`] where the file is an archive; a sink writes lines under a
//! temporary name and publishes them together at the end ([`text_sink`]).

// `#[derive(Data)]` names the crate that users' programs depend on, which is above this one.
extern crate flink_api as flink;

/// Where files live: URIs, the trait [`FileSystem`](file_system::FileSystem), local files, and the registry by scheme.
pub mod file_system;

/// Inputs: files, folders and patterns, and how files are cut into splits.
pub mod split;

/// gzip, zstd and bzip2, unpacked as they are read; bzip2 also from the middle.
pub mod compression;

/// Lines of a split, without an allocation for each.
pub mod lines;

/// Words of a text.
mod words;

/// The source that emits the lines of text files.
pub mod text_source;

/// The sink that writes records as lines, and publishes them when the job has finished.
pub mod text_sink;

pub use file_system::{FileError, FileSystem, FileUri};
pub use lines::{InvalidUtf8, LineStatus, TextLineSplitReader, TextOptions};
pub use split::FileSplit;
pub use text_sink::{TextFileSink, jobs_end_with_this_process, tasks_run_on_this_host};
pub use text_source::{SKIPPED_LINES, TextFileReader, TextFileSource};
pub use words::{Words, words};
