//! Where files live. Everything above works on the trait [`FileSystem`]; which one serves a file is decided by the scheme
//! of its URI in the registry (`register`).

/// Errors that name the file, what was attempted and the way out.
mod error;

/// Local files.
mod local;

/// File systems by scheme.
mod registry;

/// URIs of files.
mod uri;

pub use error::FileError;
pub use local::LocalFileSystem;
pub use registry::{of, register};
pub use uri::FileUri;

use flink_api::TaskWaker;

/// What distinguishes one content of a file from a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileVersion {
    /// Size in bytes.
    pub length: u64,
    /// Time of the last change, since the epoch; as fine as the file system knows it.
    pub modified_nanos: i64,
}

/// Kinds of things that have a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// Can be read.
    File,
    /// Can be listed.
    Folder,
    /// A pipe, a socket or a device: neither.
    Special,
}

/// What a file system says of a path. Symbolic links are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStatus {
    /// The path.
    pub uri: FileUri,
    /// File or folder.
    pub kind: FileKind,
    /// Size and time of the last change.
    pub version: FileVersion,
}

/// Where a part of a file is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockLocation {
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
    /// Hosts that hold a copy.
    pub hosts: Vec<String>,
}

/// What happened to a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadPoll {
    /// So many bytes, more than none, were put at the front of the buffer.
    Read(usize),
    /// There is nothing yet; the waker will be called.
    Pending,
    /// The file has ended.
    End,
}

/// A file that is being read, from one position on to its end.
pub trait ReadHandle: Send {
    /// Reads up to `buffer.len()` bytes. A remote file system fetches in the background and never waits here; reading a
    /// local file is not waiting.
    ///
    /// # Errors
    /// Reading failed, or the file is no longer the one that was asked for.
    fn poll_read(&mut self, buffer: &mut [u8], waker: &TaskWaker) -> Result<ReadPoll, FileError>;
}

/// A file that is being written. Dropping it without [`finish`](Self::finish) leaves what has been written so far.
pub trait WriteHandle: Send {
    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// Writing failed: the disk is full, for example.
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), FileError>;

    /// Makes everything durable and closes the file. Nothing can be written afterwards.
    ///
    /// # Errors
    /// The content may not be durable.
    fn finish(&mut self) -> Result<(), FileError>;
}

/// How a file is opened for reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenOptions {
    /// First byte to read.
    pub offset: u64,
    /// What the file must be; a file that differs is refused with [`FileError::Changed`], at once or by the first read.
    pub version: Option<FileVersion>,
    /// Number of bytes that will be read for certain. A remote file system fetches so many ahead, and more only when they
    /// are asked for; without it, it fetches the whole rest of the file.
    pub expected: Option<u64>,
}

/// What to do where something exists already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Fail.
    Refuse,
    /// Replace it. Only files can be replaced.
    Replace,
}

/// A place for files. Calls block for as long as the metadata of the file system takes, and no longer; reading goes
/// through a [`ReadHandle`], which never blocks on a network.
pub trait FileSystem: Send + Sync {
    /// Looks at one path.
    ///
    /// # Errors
    /// It does not exist ([`FileError::is_not_found`]) or cannot be looked at.
    fn status(&self, uri: &FileUri) -> Result<FileStatus, FileError>;

    /// Looks at what a folder holds and `wanted` accepts by name, in order of names. What `wanted` leaves out is not
    /// looked at, so that it cannot fail either.
    ///
    /// # Errors
    /// The folder does not exist, is not a folder or cannot be listed.
    fn list(&self, folder: &FileUri, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<FileStatus>, FileError>;

    /// The one name of a folder that has several, through links. Guards against folders that contain themselves.
    ///
    /// # Errors
    /// The folder does not exist.
    fn canonical(&self, folder: &FileUri) -> Result<FileUri, FileError> {
        Ok(folder.clone())
    }

    /// Where the blocks of a file are, in order and without gaps; empty when it is not known or does not matter.
    ///
    /// # Errors
    /// The file does not exist.
    fn block_locations(&self, file: &FileStatus) -> Result<Vec<BlockLocation>, FileError> {
        let _ = file;
        Ok(Vec::new())
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    /// It does not exist, is a folder, or may not be read.
    fn open(&self, uri: &FileUri, options: OpenOptions) -> Result<Box<dyn ReadHandle>, FileError>;

    /// Creates a file in a folder that exists.
    ///
    /// # Errors
    /// It exists already, or may not be created.
    fn create(&self, uri: &FileUri, existing: Existing) -> Result<Box<dyn WriteHandle>, FileError>;

    /// Gives a file or folder another name, durably, and in one step where the file system can.
    ///
    /// # Errors
    /// There is no such file, or the new name is taken.
    fn rename(&self, from: &FileUri, to: &FileUri, existing: Existing) -> Result<(), FileError>;

    /// Deletes a file, or a folder with all that it holds; links are not followed. Tells whether there was one.
    ///
    /// # Errors
    /// It may not be deleted.
    fn delete(&self, uri: &FileUri) -> Result<bool, FileError>;

    /// Creates a folder and those above it; one that exists is fine.
    ///
    /// # Errors
    /// A file is in the way, or the folder may not be created.
    fn create_folders(&self, uri: &FileUri) -> Result<(), FileError>;

    /// Looks whether something can be made in a folder that exists, where that can be found out without leaving a trace: by
    /// making something of this name and taking it away.
    ///
    /// # Errors
    /// It cannot.
    fn try_creation(&self, folder: &FileUri, name: &str) -> Result<(), FileError> {
        let _ = (folder, name);
        Ok(())
    }

    /// Locks a file, which is created where there is none, as long as the process holds what it is given: the lock of a process
    /// that was killed is free. `None` where another one has it, and on file systems that have no such locks.
    ///
    /// # Errors
    /// The file may not be created, or not be locked.
    fn lock(&self, uri: &FileUri) -> Result<Option<FileLock>, FileError> {
        let _ = uri;
        Ok(None)
    }
}

/// A lock, until it is dropped.
#[derive(Debug)]
pub struct FileLock(#[allow(dead_code)] std::fs::File); // held, not read
