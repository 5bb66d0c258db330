//! What the containers need, in HDFS: uploaded once, by content.
//!
//! A file with the SHA-256 `h` and the name `n` is `<home>/.flink-yarn/artifacts/h/n` and is never changed. So the same
//! binary and the same program are uploaded once, and each node fetches them once for all applications of the user.

/// A local file and its hash.
mod content;

/// Executables without what they do not need to run.
mod elf;

/// Which files there are, from the plan.
mod files;

/// What the user sees of an upload.
mod progress;

/// Uploads.
mod upload;

pub(crate) use content::Content;
pub(crate) use elf::needed;
pub(crate) use files::{Item, Program, Source, items};
pub(crate) use upload::{Uploader, failed};
