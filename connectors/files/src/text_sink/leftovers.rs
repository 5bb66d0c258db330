//! What jobs leave that were killed together with all their parts.
//!
//! A job whose tasks, committer and JobManager are one process holds a lock beside its temporary folders. The system frees the
//! lock when that process ends, however it ends, so that the next job for the target knows what nobody will publish or take away
//! any more. Jobs on clusters hold no lock: what is left of one worker may belong to a job that goes on elsewhere.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::publication::{abort, list_if_there};
use super::{Place, TEMPORARY};
use crate::file_system::{FileError, FileLock, FileUri};

/// How the name of a lock ends.
const LOCK: &str = "lock";

/// Whether jobs that write in this process are in this process as a whole.
static ALONE: AtomicBool = AtomicBool::new(false);

/// The locks that this process holds, by the URI of the file.
static HELD: Mutex<BTreeMap<String, FileLock>> = Mutex::new(BTreeMap::new());

/// Says that all parts of the jobs whose sinks write in this process are in it, so that none of them outlives it.
pub fn jobs_end_with_this_process() {
    ALONE.store(true, Ordering::Relaxed);
}

fn held() -> MutexGuard<'static, BTreeMap<String, FileLock>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lock_of(place: &Place) -> FileUri {
    place.target.join(&format!("{}{LOCK}", place.job))
}

/// Locks a job's place, before anything is written there. A job without a lock only leaves more behind when it is killed.
pub(super) fn hold(place: &Place) {
    let lock = lock_of(place);
    let mut held = held();
    if !ALONE.load(Ordering::Relaxed) || held.contains_key(&lock.to_string()) {
        return;
    }
    let locked = place.files.create_folders(&place.target).and_then(|()| place.files.lock(&lock));
    if let Ok(Some(locked)) = locked {
        held.insert(lock.to_string(), locked);
    }
}

/// Ends the lock of a job that has nothing more to lose.
pub(super) fn release(place: &Place) {
    let lock = lock_of(place);
    let mut held = held();
    // In this order nobody sees a free lock.
    if held.contains_key(&lock.to_string()) {
        let _ = place.files.delete(&lock);
        held.remove(&lock.to_string());
    }
}

/// Takes back and removes what killed jobs have left in the target.
pub(super) fn remove(place: &Place) -> Result<(), FileError> {
    let locks = list_if_there(place, &place.target, &|name| job_of(name).is_some())?;
    for lock in locks.into_iter().map(|status| status.uri).filter(|lock| !held().contains_key(&lock.to_string())) {
        if let (Some(_free), Some(job)) = (place.files.lock(&lock)?, job_of(lock.name())) {
            let left = Place { files: place.files.clone(), target: place.target.clone(), job: job.to_owned() };
            abort(&left, u32::MAX)?;
            place.files.delete(&lock)?;
        }
    }
    Ok(())
}

/// What the names of all temporary folders of the job begin with to which a lock belongs.
fn job_of(name: &str) -> Option<&str> {
    name.strip_suffix(LOCK).filter(|job| job.starts_with(TEMPORARY) && job.ends_with('-'))
}
