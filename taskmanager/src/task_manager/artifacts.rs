use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// The programs that are here, by the SHA-256 of their content. A file has its final name only when its hash was right.
#[derive(Debug)]
pub struct ArtifactCache {
    folder: PathBuf,
    arriving: HashMap<String, Arriving>,
}

#[derive(Debug)]
struct Arriving {
    file: File,
    hash: Sha256,
    size: u64,
}

impl ArtifactCache {
    /// A cache in a folder that only this TaskManager uses.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        Ok(Self { folder: folder.to_owned(), arriving: HashMap::new() })
    }

    /// Where a program is, if it is here.
    #[must_use]
    pub fn find(&self, sha256: &str) -> Option<PathBuf> {
        let path = self.path(sha256)?;
        path.is_file().then_some(path)
    }

    /// Takes on a program that is a file of this host already.
    ///
    /// # Errors
    /// It cannot be linked to, or its name is no SHA-256.
    pub fn adopt(&self, sha256: &str, file: &Path) -> Result<(), String> {
        let path = self.path(sha256).ok_or("its name is no SHA-256")?;
        let linked = fs::canonicalize(file).and_then(|file| std::os::unix::fs::symlink(file, path));
        linked.map_err(|error| format!("cannot use the program {}: {error}", file.display()))
    }

    /// Stores a piece; the last one makes the program ready to run.
    ///
    /// # Errors
    /// The disk is full, a piece is missing, or the hash is another.
    pub fn store(&mut self, sha256: &str, offset: u64, bytes: &[u8], last: bool) -> Result<(), String> {
        let stored = self.append(sha256, offset, bytes).and_then(|()| if last { self.finish(sha256) } else { Ok(()) });
        if stored.is_err() {
            self.arriving.remove(sha256);
            self.partial(sha256).map(fs::remove_file);
        }
        stored
    }

    fn append(&mut self, sha256: &str, offset: u64, bytes: &[u8]) -> Result<(), String> {
        let partial = self.partial(sha256).ok_or("its name is no SHA-256")?;
        let describe = |error: io::Error| {
            format!(
                "cannot write {}: {error} (folder of io.tmp.dirs: free space there, or set it to a larger disk)",
                partial.display()
            )
        };
        if offset == 0 {
            let _ = fs::remove_file(&partial);
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial).map_err(describe)?;
            self.arriving.insert(sha256.to_owned(), Arriving { file, hash: Sha256::new(), size: 0 });
        }
        let arriving = self.arriving.get_mut(sha256).filter(|arriving| arriving.size == offset);
        let arriving = arriving.ok_or_else(|| format!("a piece before offset {offset} is missing"))?;
        arriving.file.write_all(bytes).map_err(describe)?;
        arriving.hash.update(bytes);
        arriving.size += bytes.len() as u64;
        Ok(())
    }

    fn finish(&mut self, sha256: &str) -> Result<(), String> {
        let (Some(arriving), Some(partial), Some(path)) =
            (self.arriving.remove(sha256), self.partial(sha256), self.path(sha256))
        else {
            return Err("nothing of it has arrived".to_owned());
        };
        let found = flink_transport::token::hex(&arriving.hash.finalize());
        if found != sha256 {
            return Err(format!("what arrived has the SHA-256 {found}"));
        }
        // Closed before it is run: a program that is open for writing cannot be executed.
        drop(arriving.file);
        let mode = fs::Permissions::from_mode(0o500);
        let published = fs::set_permissions(&partial, mode).and_then(|()| fs::rename(&partial, &path));
        published.map_err(|error| format!("cannot store {}: {error} (folder of io.tmp.dirs)", path.display()))
    }

    fn path(&self, sha256: &str) -> Option<PathBuf> {
        let valid = sha256.len() == 64 && sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        valid.then(|| self.folder.join(sha256))
    }

    fn partial(&self, sha256: &str) -> Option<PathBuf> {
        Some(self.path(sha256)?.with_extension("part"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_programs_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let mut cache = ArtifactCache::open(folder.path()).unwrap();
        let content = b"#!/bin/sh\necho hello\n";
        let name = flink_transport::token::hex(&Sha256::digest(content));
        cache.store(&name, 0, &content[..5], false).unwrap();
        assert_eq!(cache.find(&name), None);
        assert!(cache.store(&name, 9, b"x", false).unwrap_err().contains("missing"));
        cache.store(&name, 0, &content[..5], false).unwrap();
        cache.store(&name, 5, &content[5..], true).unwrap();
        let path = cache.find(&name).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o500);
        assert!(cache.store(&"0".repeat(64), 0, content, true).unwrap_err().contains(&name));
        assert!(cache.store("../../etc/passwd", 0, content, true).is_err());
        fs::create_dir(folder.path().join(&name).with_extension("part")).unwrap();
        assert!(cache.store(&name, 0, content, true).unwrap_err().contains("(folder of io.tmp.dirs: "));
        fs::remove_dir(folder.path().join(&name).with_extension("part")).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
