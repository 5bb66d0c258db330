//! Errors that name the file, what was attempted and the way out.

use std::io;

use rustix::io::Errno;

use super::FileUri;

/// Something about a file went wrong.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file system refused.
    #[error("cannot {action} {uri}: {error}. {}", advice(action, error))]
    System {
        /// What was attempted: `open`.
        action: &'static str,
        /// The path.
        uri: String,
        /// What the system said.
        error: io::Error,
    },
    /// A file system on other hosts refused, or could not be asked.
    #[error("cannot {action} {uri}: {reason}")]
    Remote {
        /// What was attempted: `open`.
        action: &'static str,
        /// The path.
        uri: String,
        /// Why, and what to do.
        reason: String,
        /// The same in the terms of the system.
        kind: io::ErrorKind,
    },
    /// A path is not one.
    #[error("`{text}` is not a path or URI of a file: {reason}")]
    InvalidUri {
        /// As given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No file system serves the scheme.
    #[error("there is no file system for {uri}: the schemes that are known are {known}")]
    UnknownScheme {
        /// The path.
        uri: String,
        /// The schemes that would have been served.
        known: String,
    },
    /// An input gives no file to read.
    #[error("the input `{input}` gives no file to read: {reason}")]
    NothingToRead {
        /// As given.
        input: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A pattern cannot be understood, or matches too much.
    #[error("the input `{input}` cannot be used: {reason}")]
    InvalidInput {
        /// As given.
        input: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The file is not the one that was enumerated.
    #[error(
        "{uri} was changed while the job was reading it: {change}. Inputs must stay as they are until the job has \
         finished; write new files beside them instead"
    )]
    Changed {
        /// The path.
        uri: String,
        /// What it was and what it is.
        change: String,
    },
    /// A line is longer than allowed.
    #[error(
        "{uri}: the line that begins at byte {offset} is longer than {limit} bytes. If the file really has such lines, \
         raise source.text.max-line-length"
    )]
    LineTooLong {
        /// The path.
        uri: String,
        /// Where the line begins, in the unpacked text; from where on is said with the path, unless from the beginning.
        offset: u64,
        /// Longest line allowed.
        limit: usize,
    },
    /// The text is not UTF-8.
    #[error(
        "{uri}: byte {offset} (0x{byte:02x}) is not UTF-8 text. Convert the file, or choose to replace or skip what is \
         not UTF-8 (TextFileSource::on_invalid_utf8)"
    )]
    InvalidUtf8 {
        /// The path.
        uri: String,
        /// Where the first wrong byte is, in the unpacked text; from where on is said with the path, unless from the
        /// beginning.
        offset: u64,
        /// That byte.
        byte: u8,
    },
    /// An archive cannot be unpacked.
    #[error("{uri}: damaged {format} data at byte {offset} of the file: {reason}. Fetch or pack the file again")]
    Damaged {
        /// The path.
        uri: String,
        /// gzip, zstd or bzip2.
        format: &'static str,
        /// How far the archive could be read; the beginning of the block where blocks are read one by one.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// The target of a sink cannot be used.
    #[error("cannot write to {uri}: {reason}")]
    Target {
        /// The path.
        uri: String,
        /// Why, and what to do.
        reason: String,
    },
    /// Publishing was given or has found something impossible.
    #[error("cannot publish the result in {uri}: {reason}")]
    Commit {
        /// The target.
        uri: String,
        /// Why, and what to do.
        reason: String,
    },
}

impl FileError {
    /// Wraps what the system said.
    pub fn system(action: &'static str, uri: &FileUri, error: impl Into<io::Error>) -> Self {
        Self::System { action, uri: uri.to_string(), error: error.into() }
    }

    /// True when there is nothing at the path: it does not exist, or one of the folders above it is a file.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self.kind(), Some(io::ErrorKind::NotFound | io::ErrorKind::NotADirectory))
    }

    /// True when something stood in the way that exists already.
    #[must_use]
    pub fn is_already_there(&self) -> bool {
        self.kind() == Some(io::ErrorKind::AlreadyExists)
    }

    /// What the file system said, in the terms of the system.
    fn kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::System { error, .. } => Some(error.kind()),
            Self::Remote { kind, .. } => Some(*kind),
            _ => None,
        }
    }
}

/// What the user can do about an error of the system.
fn advice(action: &str, error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::NOENT) if action.starts_with("create") => {
            "Nothing can be created in this place: choose another path for the result"
        }
        Some(Errno::NOENT) => "Check the path for typing errors; it must exist on every host that runs the job",
        Some(Errno::ACCESS | Errno::PERM) => "Check the owner and mode of the file and of the folders above it",
        Some(Errno::ISDIR) => "It is a folder, not a file",
        Some(Errno::NOTDIR) => "A part of the path is a file, not a folder",
        Some(Errno::NOSPC) => "The disk is full: free some space or choose another disk",
        Some(Errno::DQUOT) => "The disk quota is used up: free some space or have it raised",
        Some(Errno::FBIG) => "The file would exceed a size limit of the process (ulimit -f) or of the file system",
        Some(Errno::LOOP) => "The path has too many symbolic links, or they lead back to themselves",
        Some(Errno::MFILE | Errno::NFILE) => "Too many files are open: raise the limit (ulimit -n)",
        Some(Errno::NAMETOOLONG) => "Use a shorter path",
        Some(Errno::ROFS) => "The file system is mounted read-only: choose another place",
        Some(Errno::EXIST | Errno::NOTEMPTY) => "Delete what is there or choose another path",
        Some(Errno::XDEV) => "Both names must be on one file system",
        Some(Errno::IO) => "The device failed: see the kernel's log, and check the disk",
        Some(Errno::STALE) => "The file was removed on the file server: run the job again",
        _ => "Check the path and the file system",
    }
}
