//! Inputs: files, folders and patterns, and how files are cut into splits.

/// From inputs to files: folders, patterns, lists.
mod expand;

/// One pattern, matched component by component.
mod pattern;

/// From files to splits.
mod cut;

pub use cut::{CutOptions, cut};
pub use expand::{expand, is_visible};

use std::fmt;

use flink_api::Data;

use crate::file_system::FileVersion;

/// A part of a file that one reader reads alone: the lines that begin in it.
#[derive(Debug, Clone, PartialEq, Eq, Data)]
pub struct FileSplit {
    /// The file.
    pub uri: String,
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
    /// Size of the whole file when it was enumerated.
    pub file_length: u64,
    /// Time of the file's last change when it was enumerated, since the epoch.
    pub modified_nanos: i64,
}

impl FileSplit {
    /// First byte behind the split.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.length)
    }

    /// Whether there is nothing of the file outside of it.
    #[must_use]
    pub fn is_whole_file(&self) -> bool {
        self.offset == 0 && self.length >= self.file_length
    }

    /// What the file must still be when it is read.
    #[must_use]
    pub fn version(&self) -> FileVersion {
        FileVersion { length: self.file_length, modified_nanos: self.modified_nanos }
    }
}

impl fmt::Display for FileSplit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}, {})", self.uri, self.offset, self.end())
    }
}
