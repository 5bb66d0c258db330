use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use flink_graph::{Configuration, ConfigurationError, options};
use rustix::fs::FlockOperation;

use super::event::WorkerId;

const PREFIX: &str = "flink-yarn-tm-";
const LOCK: &str = "lock";

/// The TaskManager's folders: one of its own in each folder of `io.tmp.dirs`, locked while it lives and removed when it
/// ends. What a killed TaskManager has left is removed by the next one.
#[derive(Debug)]
pub struct Folders {
    roots: Vec<Root>,
}

#[derive(Debug)]
struct Root {
    path: PathBuf,
    _lock: File,
}

/// A folder for temporary files cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {path} for temporary files: {source} (set io.tmp.dirs to folders that can be written)")]
pub struct FolderError {
    path: PathBuf,
    source: io::Error,
}

impl Folders {
    /// The folders that the configuration names; the system's when it names none.
    ///
    /// # Errors
    /// The value cannot be read.
    pub fn configured(configuration: &Configuration) -> Result<Vec<PathBuf>, ConfigurationError> {
        let names = configuration.get(&options::IO_TMP_DIRS)?.unwrap_or_default();
        let named: Vec<PathBuf> =
            names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(PathBuf::from).collect();
        Ok(if named.is_empty() { vec![std::env::temp_dir()] } else { named })
    }

    /// Makes a folder named after the TaskManager in each of `parents`.
    ///
    /// # Errors
    /// One of them cannot be written.
    pub fn create(parents: &[PathBuf], id: &str) -> Result<Self, FolderError> {
        let roots = parents.iter().map(|parent| {
            remove_left_overs(parent);
            create_root(parent, id).map_err(|source| FolderError { path: parent.clone(), source })
        });
        Ok(Self { roots: roots.collect::<Result<_, _>>()? })
    }

    /// The folder of a worker; workers take the configured folders in turn.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create_worker_folder(&self, worker: WorkerId) -> Result<PathBuf, FolderError> {
        let count = self.roots.len().max(1) as u64;
        let root = usize::try_from(worker.0 % count).unwrap_or(0);
        let path = self.root(root).join(format!("worker-{}", worker.0));
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map(|()| path.clone()).map_err(|source| FolderError { path, source })
    }

    /// The first folder, for what there is once.
    #[must_use]
    pub fn first(&self) -> &Path {
        self.root(0)
    }

    fn root(&self, index: usize) -> &Path {
        self.roots.get(index).map_or(Path::new("."), |root| root.path.as_path())
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        for root in &self.roots {
            let _ = fs::remove_dir_all(&root.path);
        }
    }
}

fn create_root(parent: &Path, id: &str) -> io::Result<Root> {
    // The program's own folder may be given relative to ours; workers run elsewhere.
    fs::create_dir_all(parent)?;
    let safe: String = id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    let path = fs::canonicalize(parent)?.join(format!("{PREFIX}{safe}"));
    DirBuilder::new().mode(0o700).create(&path)?;
    let lock = File::create_new(path.join(LOCK))?;
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
    Ok(Root { path, _lock: lock })
}

/// Removes the folders of TaskManagers that do not live any more: nobody holds their lock.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_the_dead_are_removed_and_those_of_the_living_are_not() {
        let parent = tempfile::tempdir().unwrap();
        let parents = [parent.path().to_owned()];
        let living = Folders::create(&parents, "a/b").unwrap();
        let worker = living.create_worker_folder(WorkerId(3)).unwrap();
        let dead = parent.path().join("flink-yarn-tm-dead");
        fs::create_dir_all(dead.join("worker-1")).unwrap();
        File::create(dead.join(LOCK)).unwrap();
        let other = Folders::create(&parents, "c").unwrap();
        assert!(worker.is_dir() && !dead.exists());
        drop((living, other));
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
