use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use sha2::{Digest, Sha256};

use flink_transport::token;

use crate::job_manager::ConnectionId;

/// Bytes of programs that are kept, needed or not. Programs that no job needs make room for new ones, the one that was
/// used longest ago first.
const CAPACITY: u64 = 8 << 30;

/// Bytes of programs that no job needs; they stay for the next job with the same program.
const UNNEEDED_CAPACITY: u64 = 1 << 30;

/// What the names of stores' folders begin with.
const PREFIX: &str = "flink-yarn-jm-";

/// The file that a living JobManager holds locked in its folder.
const LOCK: &str = "lock";

/// The programs of the jobs, by the SHA-256 of their content, as files in a folder of this JobManager's own. The folder
/// is made when the first program comes, and removed at the end.
#[derive(Debug)]
pub(super) struct ArtifactStore {
    parent: PathBuf,
    folder: Option<PathBuf>,
    /// Held for as long as the folder is in use.
    lock: Option<File>,
    stored: HashMap<String, Stored>,
    arriving: HashMap<(ConnectionId, String), Arriving>,
    /// Counts uses, to tell which was longest ago.
    uses: u64,
    capacity: u64,
    unneeded_capacity: u64,
}

#[derive(Debug)]
struct Stored {
    size: u64,
    last_use: u64,
    /// It came with this process, and comes with the next one.
    is_adopted: bool,
}

#[derive(Debug)]
struct Arriving {
    file: File,
    path: PathBuf,
    hash: Sha256,
    size: u64,
}

impl ArtifactStore {
    pub(super) fn new(parent: &Path) -> Self {
        Self {
            parent: parent.to_owned(),
            folder: None,
            lock: None,
            stored: HashMap::new(),
            arriving: HashMap::new(),
            uses: 0,
            capacity: CAPACITY,
            unneeded_capacity: UNNEEDED_CAPACITY,
        }
    }

    pub(super) fn contains(&self, sha256: &str) -> bool {
        self.stored.contains_key(sha256)
    }

    /// As [`Self::contains`], and counts as a use.
    pub(super) fn touch(&mut self, sha256: &str) -> bool {
        self.uses += 1;
        let last_use = self.uses;
        self.stored.get_mut(sha256).map(|stored| stored.last_use = last_use).is_some()
    }

    /// Takes on a program that is a file of this host already.
    pub(super) fn adopt(&mut self, sha256: &str, size: u64, file: &Path) -> Result<(), String> {
        let path = self.place(sha256)?;
        let linked = fs::canonicalize(file).and_then(|file| std::os::unix::fs::symlink(file, &path));
        linked.map_err(|error| cannot_store(&path, &error))?;
        self.insert(sha256, size, true);
        Ok(())
    }

    /// Where the file of a program belongs; [`Self::received`] makes it usable.
    pub(super) fn place(&mut self, sha256: &str) -> Result<PathBuf, String> {
        check_name(sha256)?;
        let folder = self.folder().map_err(|error| cannot_store(&self.parent, &error))?;
        Ok(folder.join(sha256))
    }

    /// The file of a program is in its place.
    pub(super) fn received(&mut self, sha256: &str, size: u64) {
        self.insert(sha256, size, false);
    }

    fn insert(&mut self, sha256: &str, size: u64, is_adopted: bool) {
        self.uses += 1;
        self.stored.insert(sha256.to_owned(), Stored { size, last_use: self.uses, is_adopted });
    }

    /// The file of a program that is here, and that the next JobManager does not have unless it is kept.
    pub(super) fn path_to_keep(&self, sha256: &str) -> Option<PathBuf> {
        self.stored.get(sha256).filter(|stored| !stored.is_adopted)?;
        Some(self.folder.as_ref()?.join(sha256))
    }

    /// Takes the next piece of a program; the last one makes it usable when its hash is right.
    pub(super) fn put(
        &mut self,
        from: ConnectionId,
        sha256: &str,
        offset: u64,
        bytes: &[u8],
        last: bool,
        in_use: impl Fn(&str) -> bool,
    ) -> Result<(), String> {
        if self.contains(sha256) {
            // Another client was faster; what this one sends is the same.
            self.touch(sha256);
            return Ok(());
        }
        let put = self
            .append(from, sha256, offset, bytes, in_use)
            .and_then(|()| if last { self.finish(from, sha256) } else { Ok(()) });
        if put.is_err()
            && let Some(arriving) = self.arriving.remove(&(from, sha256.to_owned()))
        {
            let _ = fs::remove_file(arriving.path);
        }
        put
    }

    fn append(
        &mut self,
        from: ConnectionId,
        sha256: &str,
        offset: u64,
        bytes: &[u8],
        in_use: impl Fn(&str) -> bool,
    ) -> Result<(), String> {
        self.make_room(bytes.len() as u64, in_use)?;
        let key = (from, sha256.to_owned());
        if offset == 0 {
            let arriving = self.begin(from, sha256)?;
            self.arriving.insert(key.clone(), arriving);
        }
        let arriving = self.arriving.get_mut(&key).filter(|arriving| arriving.size == offset);
        let arriving = arriving.ok_or_else(|| format!("a piece of the program before offset {offset} is missing"))?;
        arriving.file.write_all(bytes).map_err(|error| cannot_store(&arriving.path, &error))?;
        arriving.hash.update(bytes);
        arriving.size += bytes.len() as u64;
        Ok(())
    }

    fn begin(&mut self, from: ConnectionId, sha256: &str) -> Result<Arriving, String> {
        check_name(sha256)?;
        let folder = self.folder().map_err(|error| cannot_store(&self.parent, &error))?;
        let path = folder.join(format!("{sha256}.{}.part", from.0));
        let _ = fs::remove_file(&path);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(|error| cannot_store(&path, &error))?;
        Ok(Arriving { file, path, hash: Sha256::new(), size: 0 })
    }

    fn finish(&mut self, from: ConnectionId, sha256: &str) -> Result<(), String> {
        let arriving = self.arriving.remove(&(from, sha256.to_owned())).ok_or("nothing of the program has arrived")?;
        let found = token::hex(&arriving.hash.finalize());
        let stored = if found == sha256 {
            let path = arriving.path.with_file_name(sha256);
            fs::rename(&arriving.path, &path).map_err(|error| cannot_store(&path, &error))
        } else {
            Err(format!("the program has the SHA-256 {found}, not {sha256}: was it changed while it was sent?"))
        };
        if stored.is_err() {
            let _ = fs::remove_file(&arriving.path);
        } else {
            self.received(sha256, arriving.size);
        }
        stored
    }

    /// A piece of a program; empty at its end.
    pub(super) fn read(&mut self, sha256: &str, offset: u64, limit: usize) -> Result<Vec<u8>, String> {
        self.touch(sha256);
        let (Some(stored), Some(folder)) = (self.stored.get(sha256), &self.folder) else {
            return Err("the JobManager does not have it (any more)".to_owned());
        };
        let left = usize::try_from(stored.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; left.min(limit)];
        let path = folder.join(sha256);
        let read = File::open(&path).and_then(|file| file.read_exact_at(&mut bytes, offset));
        read.map(|()| bytes).map_err(|error| format!("the JobManager cannot read {}: {error}", path.display()))
    }

    /// What a client that is gone has left half done.
    pub(super) fn abandon(&mut self, from: ConnectionId) {
        for (_, arriving) in self.arriving.extract_if(|(owner, _), _| *owner == from) {
            let _ = fs::remove_file(arriving.path);
        }
    }

    /// After the end of a job: removes programs that no job needs, beyond those that are kept for the next job.
    pub(super) fn evict(&mut self, in_use: impl Fn(&str) -> bool) {
        let unneeded = |store: &Self| {
            let unneeded = store.stored.iter().filter(|(sha256, _)| !in_use(sha256));
            unneeded.map(|(_, stored)| stored.size).sum::<u64>()
        };
        while unneeded(self) > self.unneeded_capacity && self.remove_oldest(&in_use) {}
    }

    fn make_room(&mut self, wanted: u64, in_use: impl Fn(&str) -> bool) -> Result<(), String> {
        while self.used() + wanted > self.capacity {
            if !self.remove_oldest(&in_use) {
                return Err(format!(
                    "the programs of the running jobs fill the cluster's store ({} bytes): submit again when some have \
                     ended",
                    self.capacity
                ));
            }
        }
        Ok(())
    }

    fn used(&self) -> u64 {
        let arriving = self.arriving.values().map(|arriving| arriving.size);
        self.stored.values().map(|stored| stored.size).chain(arriving).sum()
    }

    fn remove_oldest(&mut self, in_use: &impl Fn(&str) -> bool) -> bool {
        let unneeded = self.stored.iter().filter(|(sha256, _)| !in_use(sha256));
        let Some(oldest) = unneeded.min_by_key(|(_, stored)| stored.last_use).map(|(sha256, _)| sha256.clone()) else {
            return false;
        };
        self.stored.remove(&oldest);
        if let Some(folder) = &self.folder {
            let _ = fs::remove_file(folder.join(oldest));
        }
        true
    }

    fn folder(&mut self) -> io::Result<PathBuf> {
        if let Some(folder) = &self.folder {
            return Ok(folder.clone());
        }
        let random = token::random_bytes::<8>().ok_or(io::ErrorKind::Other)?;
        fs::create_dir_all(&self.parent)?;
        let folder = self.parent.join(format!("{PREFIX}{}", token::hex(&random)));
        DirBuilder::new().mode(0o700).create(&folder)?;
        let lock = File::create_new(folder.join(LOCK))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        self.lock = Some(lock);
        remove_left_overs(&self.parent);
        Ok(self.folder.insert(folder).clone())
    }
}

impl Drop for ArtifactStore {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// Removes the folders of JobManagers that were killed: nobody holds their lock.
fn remove_left_overs(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let Ok(lock) = File::open(entry.path().join(LOCK)) else { continue };
        if is_ours && rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn check_name(sha256: &str) -> Result<(), String> {
    let valid = sha256.len() == 64 && sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    valid.then_some(()).ok_or_else(|| "an artifact is named by its SHA-256, in 64 hexadecimal digits".to_owned())
}

fn cannot_store(path: &Path, error: &io::Error) -> String {
    format!("the JobManager cannot store the program in {}: {error} (io.tmp.dirs)", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(content: &[u8]) -> String {
        token::hex(&Sha256::digest(content))
    }

    fn put_whole(store: &mut ArtifactStore, content: &[u8], in_use: &str) -> Result<(), String> {
        store.put(ConnectionId(1), &name(content), 0, content, true, |sha256| sha256 == in_use)
    }

    #[test]
    fn pieces_become_a_program_when_the_hash_is_right() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = ArtifactStore::new(folder.path());
        let (one, two, never) = (ConnectionId(1), ConnectionId(2), |_: &str| false);
        let id = name(b"hello world");
        store.put(one, &id, 0, b"hello ", false, never).unwrap();
        store.put(two, &id, 0, b"hel", false, never).unwrap();
        assert!(!store.contains(&id));
        store.put(one, &id, 6, b"world", true, never).unwrap();
        store.put(two, &id, 3, b"lo world", true, never).unwrap();
        assert_eq!(store.read(&id, 0, 5).unwrap(), b"hello");
        assert_eq!(store.read(&id, 5, 100).unwrap(), b" world");
        assert!(store.read(&id, 11, 100).unwrap().is_empty() && store.read(&id, 99, 100).unwrap().is_empty());

        let other = name(b"other");
        assert!(store.put(one, &other, 0, b"wrong", true, never).unwrap_err().contains("SHA-256"));
        assert!(store.put(one, &other, 5, b"late", true, never).unwrap_err().contains("missing"));
        assert!(store.put(one, "../x", 0, b"", true, never).is_err());
        assert!(store.read(&other, 0, 1).is_err());
        store.put(one, &other, 0, b"oth", false, never).unwrap();
        store.abandon(one);
        store.abandon(two);
        let files = fs::read_dir(store.folder.as_ref().unwrap()).unwrap().count();
        assert_eq!(files, 2, "the program and the lock: nothing half done is left");
        drop(store);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn folders_of_the_dead_are_removed_and_those_of_the_living_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let dead = folder.path().join("flink-yarn-jm-dead");
        fs::create_dir(&dead).unwrap();
        File::create(dead.join(LOCK)).unwrap();
        let mut living = ArtifactStore::new(folder.path());
        put_whole(&mut living, b"one", "").unwrap();
        let mut other = ArtifactStore::new(folder.path());
        put_whole(&mut other, b"two", "").unwrap();
        assert!(!dead.exists() && living.read(&name(b"one"), 0, 9).is_ok());
    }

    #[test]
    fn the_store_is_bounded_and_keeps_what_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = ArtifactStore::new(folder.path());
        store.capacity = 100;
        store.unneeded_capacity = 40;
        let needed = name(&[0; 30]);
        for content in 0..3 {
            put_whole(&mut store, &[content; 30], &needed).unwrap();
        }
        put_whole(&mut store, &[3; 30], &needed).unwrap();
        assert!(store.contains(&needed) && !store.contains(&name(&[1; 30])) && store.contains(&name(&[2; 30])));
        let error = put_whole(&mut store, &[4; 80], &needed).unwrap_err();
        assert!(error.contains("submit again"), "{error}");
        put_whole(&mut store, &[5; 30], &needed).unwrap();
        put_whole(&mut store, &[6; 30], &needed).unwrap();
        store.evict(|sha256| sha256 == needed);
        assert_eq!(store.stored.len(), 2, "one needed, one for the next job");
    }
}
