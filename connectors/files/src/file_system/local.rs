//! Local files.

use std::fs::{self, File, Metadata, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use flink_api::TaskWaker;
use rustix::fs::{Advice, CWD, OFlags, RenameFlags};
use rustix::io::Errno;

use super::{
    Existing, FileError, FileKind, FileLock, FileStatus, FileSystem, FileUri, FileVersion, OpenOptions, ReadHandle,
    ReadPoll, WriteHandle,
};

/// The files of this host.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalFileSystem;

impl FileSystem for LocalFileSystem {
    fn status(&self, uri: &FileUri) -> Result<FileStatus, FileError> {
        let metadata = fs::metadata(uri.path()).map_err(|error| FileError::system("look at", uri, error))?;
        Ok(status_of(uri.clone(), &metadata))
    }

    fn list(&self, folder: &FileUri, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<FileStatus>, FileError> {
        let cannot = |error| FileError::system("list", folder, error);
        let mut found = Vec::new();
        for entry in fs::read_dir(folder.path()).map_err(cannot)? {
            let name = entry.map_err(cannot)?.file_name();
            let Some(name) = name.to_str() else { return Err(cannot(not_utf8(&name))) };
            if wanted(name) {
                found.extend(status_if_there(self, &folder.join(name))?);
            }
        }
        found.sort_by(|a, b| a.uri.cmp(&b.uri));
        Ok(found)
    }

    fn canonical(&self, folder: &FileUri) -> Result<FileUri, FileError> {
        let cannot = |error| FileError::system("look at", folder, error);
        let path = fs::canonicalize(folder.path()).map_err(cannot)?;
        let path = path.to_str().ok_or_else(|| cannot(not_utf8(path.as_os_str())))?;
        Ok(folder.root().join(path))
    }

    fn open(&self, uri: &FileUri, options: OpenOptions) -> Result<Box<dyn ReadHandle>, FileError> {
        let cannot = |error| FileError::system("open", uri, error);
        let mut file = open_without_waiting(uri.path()).map_err(cannot)?;
        let status = status_of(uri.clone(), &file.metadata().map_err(cannot)?);
        match status.kind {
            FileKind::File => {}
            FileKind::Folder => return Err(cannot(Errno::ISDIR.into())),
            FileKind::Special => return Err(cannot(io::Error::other("it is a pipe, a socket or a device"))),
        }
        if let Some(expected) = options.version {
            check_version(uri, expected, status.version)?;
        }
        if options.offset > 0 {
            file.seek(SeekFrom::Start(options.offset)).map_err(cannot)?;
        }
        // Only a hint; a file system that does not know it reads as well.
        let _ = rustix::fs::fadvise(&file, options.offset, None, Advice::Sequential);
        Ok(Box::new(LocalReadHandle { file, uri: uri.clone() }))
    }

    fn create(&self, uri: &FileUri, existing: Existing) -> Result<Box<dyn WriteHandle>, FileError> {
        let mut options = fs::OpenOptions::new();
        match existing {
            Existing::Refuse => options.write(true).create_new(true),
            Existing::Replace => options.write(true).create(true).truncate(true),
        };
        let file = options.open(uri.path()).map_err(|error| FileError::system("create", uri, error))?;
        Ok(Box::new(LocalWriteHandle { file, uri: uri.clone() }))
    }

    fn rename(&self, from: &FileUri, to: &FileUri, existing: Existing) -> Result<(), FileError> {
        let renamed = match existing {
            Existing::Replace => fs::rename(from.path(), to.path()),
            Existing::Refuse => rename_to_free_name(from.path(), to.path()),
        };
        renamed.map_err(|error| match error.kind() {
            ErrorKind::NotFound => FileError::system("rename", from, error),
            _ => FileError::system("give the final name to", to, error),
        })?;
        for folder in [to.parent(), from.parent().filter(|parent| Some(parent) != to.parent().as_ref())] {
            folder.map_or(Ok(()), |folder| sync_folder(&folder))?;
        }
        Ok(())
    }

    fn delete(&self, uri: &FileUri) -> Result<bool, FileError> {
        let path = uri.path();
        let deleted = fs::symlink_metadata(path)
            .and_then(|found| if found.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) });
        match deleted {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(FileError::system("delete", uri, error)),
        }
    }

    fn create_folders(&self, uri: &FileUri) -> Result<(), FileError> {
        fs::create_dir_all(uri.path()).map_err(|error| FileError::system("create the folder", uri, error))
    }

    fn try_creation(&self, folder: &FileUri, name: &str) -> Result<(), FileError> {
        let path = Path::new(folder.path()).join(name);
        let made = fs::create_dir(&path).and_then(|()| fs::remove_dir(&path));
        made.map_err(|error| FileError::system("write to", folder, error))
    }

    fn lock(&self, uri: &FileUri) -> Result<Option<FileLock>, FileError> {
        let cannot = |error| FileError::system("lock", uri, error);
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).open(uri.path()).map_err(cannot)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(FileLock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(cannot(error)),
        }
    }
}

struct LocalReadHandle {
    file: File,
    uri: FileUri,
}

impl ReadHandle for LocalReadHandle {
    fn poll_read(&mut self, buffer: &mut [u8], _: &TaskWaker) -> Result<ReadPoll, FileError> {
        loop {
            match self.file.read(buffer) {
                Ok(0) => return Ok(ReadPoll::End),
                Ok(read) => return Ok(ReadPoll::Read(read)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(FileError::system("read", &self.uri, error)),
            }
        }
    }
}

struct LocalWriteHandle {
    file: File,
    uri: FileUri,
}

impl WriteHandle for LocalWriteHandle {
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.file.write_all(bytes).map_err(|error| FileError::system("write to", &self.uri, error))
    }

    fn finish(&mut self) -> Result<(), FileError> {
        self.file.sync_all().map_err(|error| FileError::system("make durable", &self.uri, error))
    }
}

/// Refuses a file that differs from what was enumerated.
fn check_version(uri: &FileUri, expected: FileVersion, found: FileVersion) -> Result<(), FileError> {
    let change = if found.length != expected.length {
        format!("it had {} bytes and has {}", expected.length, found.length)
    } else if found.modified_nanos != expected.modified_nanos {
        "its modification time is another one".to_owned()
    } else {
        return Ok(());
    };
    Err(FileError::Changed { uri: uri.to_string(), change })
}

/// Opening a pipe without a writer would wait for one.
fn open_without_waiting(path: &str) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
    fs::OpenOptions::new().read(true).custom_flags(flags).open(path)
}

fn status_of(uri: FileUri, metadata: &Metadata) -> FileStatus {
    let kind = match metadata {
        m if m.is_dir() => FileKind::Folder,
        m if m.is_file() => FileKind::File,
        _ => FileKind::Special,
    };
    let modified_nanos = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
    FileStatus { uri, kind, version: FileVersion { length: metadata.len(), modified_nanos } }
}

/// None for a file that went away after it was listed; a link that leads nowhere is an error.
fn status_if_there(files: &LocalFileSystem, uri: &FileUri) -> Result<Option<FileStatus>, FileError> {
    match files.status(uri) {
        Err(error) if error.is_not_found() && fs::symlink_metadata(uri.path()).is_err() => Ok(None),
        status => status.map(Some),
    }
}

fn rename_to_free_name(from: &str, to: &str) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some file systems cannot do it in one step.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if Path::new(to).symlink_metadata().is_ok() => {
            Err(Errno::EXIST.into())
        }
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => fs::rename(from, to),
        renamed => Ok(renamed?),
    }
}

/// Makes the names in a folder durable.
fn sync_folder(folder: &FileUri) -> Result<(), FileError> {
    File::open(folder.path())
        .and_then(|opened| opened.sync_all())
        .map_err(|error| FileError::system("make durable the folder", folder, error))
}

fn not_utf8(name: &std::ffi::OsStr) -> io::Error {
    io::Error::other(format!("the name {name:?} is not UTF-8; rename it"))
}
