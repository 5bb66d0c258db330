use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use flink_protocol::Epoch;

/// The file that the JobManager locks which has the store; in it stands who that is.
const LOCK: &str = "lock";

/// What the names of the folders with the jobs begin with; the epoch follows.
const JOBS: &str = "jobs.";

/// Longest wait for the lock of a JobManager that is about to end.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Longest text about the holder of a lock that is read.
const MAX_HOLDER_LENGTH: u64 = 512;

/// The folder that JobManagers hand on to each other: `lock`, and `jobs.EPOCH/` with the jobs of the last one.
///
/// The lock keeps a second JobManager out while the first one lives. Where it does not reach (file systems without locks, or with
/// locks that hosts lose which stood still), the name does: the next JobManager gives the folder the name of its own epoch, and
/// what the one before still writes or deletes finds nothing there any more.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    jobs: PathBuf,
    epoch: Epoch,
    lock: Option<File>,
}

impl Folder {
    /// Takes the folder over under the epoch `now`, or under one beyond the last where the clock was set back.
    pub(super) fn take_over(root: &Path, now: Epoch) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        let lock = lock(&root.join(LOCK))?;
        let last = latest(root)?;
        let epoch = last.map_or(now, |last| now.max(last.saturating_add(1)));
        let jobs = jobs_of(root, epoch);
        match last {
            Some(last) => fs::rename(jobs_of(root, last), &jobs)?,
            None => DirBuilder::new().mode(0o700).create(&jobs)?,
        }
        File::open(root)?.sync_all()?;
        Ok(Self { root: root.to_owned(), jobs, epoch, lock })
    }

    /// Where the jobs are.
    pub(super) fn jobs(&self) -> &Path {
        &self.jobs
    }

    /// Under which epoch.
    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether a later JobManager has the jobs now.
    pub(super) fn is_taken_over(&self) -> bool {
        latest(&self.root).is_ok_and(|latest| latest.is_some_and(|latest| latest > self.epoch))
    }

    /// Writes into the lock who holds it, for whoever wants it. Helps people alone, so that a failure is none.
    pub(super) fn say_who(&self, address: &str) {
        if let Some(mut file) = self.lock.as_ref() {
            let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
            let text = format!("process {} on {host}, at {address}", std::process::id());
            let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
        }
    }
}

fn jobs_of(root: &Path, epoch: Epoch) -> PathBuf {
    root.join(format!("{JOBS}{epoch}"))
}

fn latest(root: &Path) -> io::Result<Option<Epoch>> {
    let mut latest = None;
    for entry in fs::read_dir(root)? {
        let epoch = entry?.file_name().to_str().and_then(|name| name.strip_prefix(JOBS)?.parse().ok());
        latest = latest.max(epoch);
    }
    Ok(latest)
}

/// A process that was killed a moment ago may not have ended quite yet.
fn try_lock(file: &File) -> Result<(), TryLockError> {
    let until = Instant::now() + LOCK_TIMEOUT;
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(LOCK_POLL_INTERVAL),
            outcome => return outcome,
        }
    }
}

/// Locks the file for as long as this process lives, however it ends. None where the file system knows no locks.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match try_lock(&file) {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = Read::take(&file, MAX_HOLDER_LENGTH).read_to_string(&mut holder);
            let who = if holder.is_empty() { String::new() } else { format!(" ({holder})") };
            Err(io::Error::other(format!(
                "another JobManager uses it{who}: stop that one, or give this one a folder of its own \
                 (high-availability.storageDir)"
            )))
        }
        Err(TryLockError::Error(error)) => {
            tracing::warn!(path = %path.display(), %error, "no lock keeps other JobManagers out of this folder");
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_job_manager_is_told_who_the_first_one_is() {
        let folder = tempfile::tempdir().unwrap();
        let first = Folder::take_over(folder.path(), 5).unwrap();
        first.say_who("localhost:6123");
        let error = Folder::take_over(folder.path(), 6).unwrap_err().to_string();
        let who = format!("another JobManager uses it (process {} on ", std::process::id());
        assert!(error.contains(&who) && error.contains("at localhost:6123)"), "{error}");
        assert!(first.jobs().is_dir() && !first.is_taken_over());
        drop(first);
        // The clock was set back meanwhile.
        let next = Folder::take_over(folder.path(), 3).unwrap();
        assert_eq!(next.epoch(), 6);
    }

    #[test]
    fn without_locks_the_last_one_has_the_jobs() {
        let folder = tempfile::tempdir().unwrap();
        let first = Folder::take_over(folder.path(), 5).unwrap();
        fs::write(first.jobs().join("a.graph"), b"a").unwrap();
        // As a host sees it whose file system tells nothing of the locks of others.
        fs::remove_file(folder.path().join(LOCK)).unwrap();
        let next = Folder::take_over(folder.path(), 9).unwrap();
        assert_eq!(fs::read(next.jobs().join("a.graph")).unwrap(), b"a");
        assert!(first.is_taken_over() && !next.is_taken_over());
        assert!(fs::write(first.jobs().join("b.graph"), b"b").is_err());
        assert!(fs::remove_file(first.jobs().join("a.graph")).is_err());
    }
}
