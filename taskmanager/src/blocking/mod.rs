//! Blocking partitions: what a task produces is stored on local disk by subpartition, and read when all of it is there,
//! any number of times.
//!
//! A `BlockingPartitionWriter` sorts elements by subpartition in a buffer of fixed size. When it is full, its content
//! goes to the end of the partition's one file as a *region*: for each subpartition its run of blocks, then an index of
//! the runs. So one large write takes the place of many small ones whatever the number of subpartitions, and memory
//! stays bounded: 16 bytes are kept for each region. Every block and index entry is checked before it is used.

/// The layout of blocks and index entries.
pub mod block;

/// From elements to regions.
mod writer;

/// From regions to elements.
mod reader;

use std::io;
use std::path::{Path, PathBuf};

pub use reader::BlockingPartition;
pub use writer::{BlockingPartitionWriter, BlockingSettings};

/// A blocking partition could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum BlockingError {
    /// The disk or a quota is full.
    #[error(
        "no space left for {} at offset {offset}: free space in that folder, or set io.tmp.dirs to a larger disk ({source})",
        path.display()
    )]
    DiskFull {
        /// The partition's file.
        path: PathBuf,
        /// Where the write was to go.
        offset: u64,
        /// What the operating system said.
        source: io::Error,
    },
    /// The disk failed in another way.
    #[error("cannot {action} {} at offset {offset}: {source} (folder of io.tmp.dirs)", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The partition's file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file does not have what was written.
    #[error(
        "{} is damaged at offset {offset}: {problem}; the producer has to run again (check the disk if this repeats)",
        path.display()
    )]
    Damaged {
        /// The partition's file.
        path: PathBuf,
        /// Where the damaged block begins.
        offset: u64,
        /// What is wrong with it.
        problem: block::BlockError,
    },
    /// An element is larger than what the network carries.
    #[error("an element of {size} bytes is over the limit of {limit} bytes (taskmanager.network.max-record-size)")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The partition has fewer subpartitions.
    #[error("the partition has {subpartitions} subpartitions, there is no number {subpartition}")]
    NoSuchSubpartition {
        /// The one asked for.
        subpartition: u32,
        /// How many there are.
        subpartitions: u32,
    },
    /// A write failed before; the task should have ended with that error.
    #[error("an earlier write of the partition failed")]
    Broken,
    /// The partition was released.
    #[error("the partition was released")]
    Released,
}

impl BlockingError {
    fn io(action: &'static str, path: &Path, offset: u64, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::DiskFull { path, offset, source }
            }
            _ => Self::Io { action, path, offset, source },
        }
    }
}

#[cfg(test)]
mod tests;
