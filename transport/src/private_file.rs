use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Keys, certificates and tokens are small; a file beyond this is not one of them.
const MAX_SIZE: u64 = 1 << 20;

/// A private file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum PrivateFileError {
    /// The file system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Others than the owner can read it.
    #[error("{path} can be read by others than its owner (mode {mode:04o}): run `chmod {wanted:o} {path}`")]
    TooOpen {
        /// The file or folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// The mode that it should have.
        wanted: u32,
    },
    /// It is not a key, certificate or token.
    #[error("{path} is {size} bytes long; no key, certificate or token is that large")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        size: u64,
    },
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PrivateFileError {
    let path = path.to_owned();
    move |source| PrivateFileError::Io { action, path, source }
}

/// Makes a folder of mode 0700, or checks that an existing one is closed to others.
///
/// # Errors
/// It cannot be made, or others can look into it.
pub fn create_folder(path: &Path) -> Result<(), PrivateFileError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io_error("create", path))?;
    let mode = fs::metadata(path).map_err(io_error("look at", path))?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(PrivateFileError::TooOpen { path: path.to_owned(), mode, wanted: 0o700 });
    }
    Ok(())
}

/// Writes a file of mode 0600: under another name first, so that nobody ever sees half of it.
///
/// # Errors
/// It cannot be written.
pub fn write(path: &Path, content: &[u8]) -> Result<(), PrivateFileError> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = PathBuf::from(name);
    let written = write_new(&temporary, content).and_then(|()| fs::rename(&temporary, path));
    written.map_err(|source| {
        let _ = fs::remove_file(&temporary);
        io_error("write", path)(source)
    })
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    // A left-over of a crashed process may have another mode, which opening it would keep.
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    // The umask may only have taken bits away; the exact mode is part of the contract.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(content)?;
    file.sync_all()
}

/// Reads a text that only its owner may read.
///
/// # Errors
/// It cannot be read, others can read it, or it is too large.
pub fn read(path: &Path) -> Result<String, PrivateFileError> {
    let file = fs::File::open(path).map_err(io_error("open", path))?;
    let metadata = file.metadata().map_err(io_error("look at", path))?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(PrivateFileError::TooOpen { path: path.to_owned(), mode, wanted: 0o600 });
    }
    if metadata.len() > MAX_SIZE {
        return Err(PrivateFileError::TooLarge { path: path.to_owned(), size: metadata.len() });
    }
    let mut text = String::new();
    file.take(MAX_SIZE).read_to_string(&mut text).map_err(io_error("read", path))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_kept_out() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        create_folder(&keys).unwrap();
        assert_eq!(fs::metadata(&keys).unwrap().mode() & 0o777, 0o700);
        let file = keys.join("a.pem");
        write(&file, b"secret").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert_eq!(read(&file).unwrap(), "secret");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read(&file).unwrap_err().to_string().contains("chmod 600"));
        fs::set_permissions(&keys, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(create_folder(&keys).unwrap_err().to_string().contains("chmod 700"));
        assert_eq!(fs::read_dir(&keys).unwrap().count(), 1, "no temporary file is left");
    }
}
