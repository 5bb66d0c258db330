use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use flink_protocol::deployment::BINARY_FILE;

use super::elf::{self, Stripped};
use crate::error::{ClientError, Result};

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;

/// An executable beyond this is not looked into, but taken as it is.
const MAX_TO_STRIP_BYTES: u64 = 1 << 30;

/// A local file as it will be stored, known by its SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    /// The file.
    pub(crate) path: PathBuf,
    /// Its hash, as it will be stored.
    pub(crate) sha256: String,
    /// Its size, as it will be stored.
    pub(crate) size: u64,
    /// How it is shortened, when it is.
    stripped: Option<Stripped>,
}

impl Content {
    /// Reads a file and hashes it. Of an executable, only what it needs to run counts.
    pub(crate) fn of(path: &Path, executable: bool) -> Result<Self> {
        let wrong = |error: std::io::Error| unreadable(path, &error);
        let file = File::open(path).map_err(wrong)?;
        let size = file.metadata().map_err(wrong)?.len();
        if executable && size <= MAX_TO_STRIP_BYTES {
            let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0).saturating_add(1));
            file.take(MAX_TO_STRIP_BYTES).read_to_end(&mut bytes).map_err(wrong)?;
            return Ok(Self::of_executable(path, bytes));
        }
        Self::of_file(path, file)
    }

    fn of_executable(path: &Path, mut bytes: Vec<u8>) -> Self {
        let stripped = elf::strip(&bytes);
        if let Some(stripped) = &stripped {
            shorten(&mut bytes, stripped);
        }
        let sha256 = flink_transport::token::hex(&Sha256::digest(&bytes));
        Self { path: path.to_owned(), sha256, size: bytes.len() as u64, stripped }
    }

    fn of_file(path: &Path, mut file: File) -> Result<Self> {
        let mut digest = Sha256::new();
        let mut buffer = vec![0; PIECE];
        let mut size = 0;
        loop {
            match file.read(&mut buffer).map_err(|error| unreadable(path, &error))? {
                0 => break,
                count => {
                    digest.update(&buffer[..count]);
                    size += count as u64;
                }
            }
        }
        let sha256 = flink_transport::token::hex(&digest.finalize());
        Ok(Self { path: path.to_owned(), sha256, size, stripped: None })
    }

    /// Its name where it is stored. That of a running binary is `exe`, which says nothing.
    pub(crate) fn stored_name(&self) -> String {
        let name = self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if self.path.starts_with("/proc/self") { BINARY_FILE.to_owned() } else { name }
    }

    /// The content as a file that can be uploaded: the file itself, or a shortened copy that lives as long as what is given
    /// back.
    pub(crate) fn to_upload(&self) -> Result<Uploadable> {
        let Some(stripped) = &self.stripped else { return Ok(Uploadable::Itself(self.path.clone())) };
        let failed = |error: std::io::Error| {
            ClientError::failed(format!("cannot make a copy of {} without its symbols", self.path.display()))
                .because(&error)
                .hint("is the disk full? TMPDIR names another folder")
        };
        let mut bytes = std::fs::read(&self.path).map_err(|error| unreadable(&self.path, &error))?;
        shorten(&mut bytes, stripped);
        if flink_transport::token::hex(&Sha256::digest(&bytes)) != self.sha256 {
            return Err(changed(&self.path));
        }
        let copy = tempfile::NamedTempFile::new().map_err(failed)?;
        std::fs::write(copy.path(), &bytes).map_err(failed)?;
        Ok(Uploadable::Copy(copy))
    }
}

/// A file that is about to be uploaded.
#[derive(Debug)]
pub(crate) enum Uploadable {
    /// As it is.
    Itself(PathBuf),
    /// Shortened; removed afterwards.
    Copy(tempfile::NamedTempFile),
}

impl Uploadable {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Itself(path) => path,
            Self::Copy(file) => file.path(),
        }
    }
}

fn shorten(bytes: &mut Vec<u8>, stripped: &Stripped) {
    bytes.truncate(usize::try_from(stripped.length).unwrap_or(usize::MAX));
    if let Some(header) = bytes.get_mut(..stripped.header.len()) {
        header.copy_from_slice(&stripped.header);
    }
}

/// For a file that is another one than the one that was hashed.
pub(crate) fn changed(path: &Path) -> ClientError {
    ClientError::failed(format!("{} changed while it was uploaded", path.display())).hint("run the command again")
}

fn unreadable(path: &Path, error: &std::io::Error) -> ClientError {
    ClientError::usage(format!("cannot read {}", path.display()))
        .because(error)
        .hint("the file is put into the containers, so it must be readable here")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_what_is_stored() {
        let own = Path::new("/proc/self/exe");
        let (short, whole) = (Content::of(own, true).unwrap(), Content::of(own, false).unwrap());
        assert!(short.size < whole.size && short.sha256 != whole.sha256);
        let upload = short.to_upload().unwrap();
        let stored = Content::of(upload.path(), true).unwrap();
        assert_eq!((stored.sha256, stored.size), (short.sha256.clone(), short.size));
        assert_eq!(Content::of(own, true).unwrap(), short, "the same file has the same hash every time");
    }

    #[test]
    fn other_files_are_taken_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("script");
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        let content = Content::of(&path, true).unwrap();
        assert_eq!(content.size, 10);
        assert_eq!(content.to_upload().unwrap().path(), path);
        assert!(Content::of(&folder.path().join("none"), true).unwrap_err().to_string().contains("cannot read"));
    }
}
