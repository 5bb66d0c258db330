//! Publishing all parts together, and taking it back.
//!
//! The order makes every step repeatable, and lets a failure be undone:
//! 1. a journal that names the parts is made durable;
//! 2. the old result is moved into a hidden folder;
//! 3. the parts get their names;
//! 4. the journal gets another name, under which it is kept, and the old result and the temporary folders are deleted.
//!
//! A failure in 2 or 3 is undone at once. After a crash the next run goes on where the first one stopped, and an abort
//! takes back what the journal names. A part is known by its length and modification time, which renaming keeps.
//!
//! What is kept of the journal lets the job recognise its own result: when nobody heard of the publication, because the
//! process or its connection was lost just then, writers and committer run again, and replace it.

use std::time::Duration;

use flink_api::TaskWaker;

use super::part::Part;
use super::{Place, TEMPORARY, leftovers};
use crate::file_system::{Existing, FileError, FileStatus, FileUri, OpenOptions, ReadPoll};

/// Longest journal that is read: parts of more subtasks than there can be.
const MAX_JOURNAL_SIZE: u64 = 64 << 20;

/// Longest wait for a remote file system to deliver a part of a small file.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// How the name of a journal ends that is kept.
const PUBLISHED: &str = "published";

/// What stands between the parts of a journal.
const SEPARATOR: u8 = 0;

/// One run of the committer.
pub(super) struct Publication<'a> {
    place: &'a Place,
    parts: Vec<Part>,
    overwrite: bool,
    /// What was renamed, from and to.
    renamed: Vec<(FileUri, FileUri)>,
}

impl<'a> Publication<'a> {
    pub(super) fn new(place: &'a Place, parts: Vec<Part>, overwrite: bool) -> Self {
        Self { place, parts, overwrite, renamed: Vec::new() }
    }

    pub(super) fn publish(mut self) -> Result<(), FileError> {
        self.place.files.create_folders(&self.place.target)?;
        self.take_back_earlier_attempt()?;
        let waiting = self.waiting_parts()?;
        let old = self.old_results(&waiting)?;
        write_journal(self.place, &self.parts)?;
        if let Err(error) = self.replace(&old, &waiting) {
            return Err(self.undo(error));
        }
        clean_up(self.place);
        leftovers::release(self.place);
        Ok(())
    }

    /// A committer that died left a result of other parts, which the writers have written anew since.
    fn take_back_earlier_attempt(&self) -> Result<(), FileError> {
        match read_journal(self.place)? {
            Some(parts) if parts != self.parts => take_back(self.place, &parts),
            _ => Ok(()),
        }
    }

    /// The parts that do not have their names yet. All others must have been published by an earlier run.
    fn waiting_parts(&self) -> Result<Vec<FileUri>, FileError> {
        let mut waiting = Vec::new();
        for part in &self.parts {
            if is_version_of(self.place, &part.temporary, part)? {
                waiting.push(part.temporary.clone());
            } else if !is_version_of(self.place, &final_name(self.place, part), part)? {
                let shared = match part.temporary.is_local() {
                    true => {
                        "; with TaskManagers on several hosts, the target must be in a folder that all of them share"
                    }
                    false => "",
                };
                let reason = format!("{} is gone or was changed. Run the job again{shared}", part.temporary);
                return Err(FileError::Commit { uri: self.place.target.to_string(), reason });
            }
        }
        Ok(waiting)
    }

    /// What has to make room: all results in the target except the parts that were published by an earlier run.
    fn old_results(&self, waiting: &[FileUri]) -> Result<Vec<FileUri>, FileError> {
        let published = |name: &str| {
            let is_ours = self.parts.iter().any(|part| part.temporary.name() == name);
            is_ours && !waiting.iter().any(|waiting| waiting.name() == name)
        };
        let mut old = self.place.results()?;
        old.retain(|uri| !published(uri.name()));
        if !self.overwrite
            && let Some(first) = self.first_of_others(&old)?
        {
            let reason =
                format!("{first} was put there while the job was running. Run the job again with another target");
            return Err(FileError::Commit { uri: self.place.target.to_string(), reason });
        }
        Ok(old)
    }

    /// The first of these results that no earlier attempt of this job has published.
    fn first_of_others(&self, results: &[FileUri]) -> Result<Option<FileUri>, FileError> {
        if results.is_empty() {
            return Ok(None);
        }
        let ours = read_parts(self.place, &published(self.place))?.unwrap_or_default();
        for uri in results {
            let part = ours.iter().find(|part| part.temporary.name() == uri.name());
            if !part.is_some_and(|part| is_version_of(self.place, uri, part).unwrap_or(false)) {
                return Ok(Some(uri.clone()));
            }
        }
        Ok(None)
    }

    fn replace(&mut self, old: &[FileUri], waiting: &[FileUri]) -> Result<(), FileError> {
        let aside = aside_folder(self.place);
        if !old.is_empty() {
            self.place.files.create_folders(&aside)?;
        }
        for uri in old {
            self.rename(uri, aside.join(uri.name()))?;
        }
        for uri in waiting {
            self.rename(uri, self.place.target.join(uri.name()))?;
        }
        Ok(())
    }

    fn rename(&mut self, from: &FileUri, to: FileUri) -> Result<(), FileError> {
        self.place.files.rename(from, &to, Existing::Refuse)?;
        self.renamed.push((from.clone(), to));
        Ok(())
    }

    /// Gives everything its old name again, the last first. The journal stays: an earlier run may have done a part of the
    /// work before it died, and the abort takes that back too.
    fn undo(&self, error: FileError) -> FileError {
        for (from, to) in self.renamed.iter().rev() {
            if let Err(second) = self.place.files.rename(to, from, Existing::Refuse) {
                let aside = aside_folder(self.place);
                let reason =
                    format!("{error} Taking it back failed as well: {second} An old result may lie in {aside}");
                return FileError::Commit { uri: self.place.target.to_string(), reason };
            }
        }
        error
    }
}

/// The job will not be run again: forgets what it has published.
pub(super) fn settle(place: &Place) -> Result<(), FileError> {
    place.files.delete(&published(place)).map(drop)
}

/// Takes back a publication that was not completed, and removes what attempts up to `attempt` have left.
pub(super) fn abort(place: &Place, attempt: u32) -> Result<(), FileError> {
    if let Some(parts) = read_journal(place)? {
        take_back(place, &parts)?;
    }
    place.files.delete(&unfinished_journal(place))?;
    let mut later = false;
    for folder in temporary_folders(place)? {
        match place.attempt_of(folder.name()) {
            Some(found) if found <= attempt => drop(place.files.delete(&folder)?),
            Some(_) => later = true,
            None => {}
        }
    }
    if !later {
        leftovers::release(place);
    }
    Ok(())
}

/// Deletes the parts that were published, gives the old result its names again, and then forgets the journal.
fn take_back(place: &Place, parts: &[Part]) -> Result<(), FileError> {
    for part in parts {
        let uri = final_name(place, part);
        if is_version_of(place, &uri, part)? {
            place.files.delete(&uri)?;
        }
    }
    let aside = aside_folder(place);
    for old in list_if_there(place, &aside, &|_| true)? {
        place.files.rename(&old.uri, &place.target.join(old.uri.name()), Existing::Refuse)?;
    }
    place.files.delete(&aside)?;
    place.files.delete(&journal(place)).map(drop)
}

/// Puts the journal aside: from then on nothing is taken back any more. Then removes everything else hidden of the job,
/// and what jobs before it have kept. What cannot be removed stays, hidden; the result is published and the job has not
/// failed.
fn clean_up(place: &Place) {
    let kept = published(place);
    if place.files.rename(&journal(place), &kept, Existing::Replace).is_err() {
        return;
    }
    let left = |name: &str| {
        let of_an_earlier_job = name.starts_with(TEMPORARY) && name.ends_with(PUBLISHED);
        name != kept.name() && (of_an_earlier_job || name.starts_with(&place.job))
    };
    for status in list_if_there(place, &place.target, &left).unwrap_or_default() {
        let _ = place.files.delete(&status.uri);
    }
}

fn temporary_folders(place: &Place) -> Result<Vec<FileUri>, FileError> {
    let found = list_if_there(place, &place.target, &|name| name.starts_with(&place.job))?;
    Ok(found.into_iter().map(|status| status.uri).collect())
}

pub(super) fn list_if_there(
    place: &Place,
    folder: &FileUri,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Vec<FileStatus>, FileError> {
    match place.files.list(folder, wanted) {
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        found => found,
    }
}

fn final_name(place: &Place, part: &Part) -> FileUri {
    place.target.join(part.temporary.name())
}

/// Whether a file exists and is the one that a writer finished.
fn is_version_of(place: &Place, uri: &FileUri, part: &Part) -> Result<bool, FileError> {
    match place.files.status(uri) {
        Err(error) if error.is_not_found() => Ok(false),
        status => status.map(|status| status.version == part.version),
    }
}

/// Where the old result lies until the new one is complete.
fn aside_folder(place: &Place) -> FileUri {
    place.target.join(&format!("{}replaced", place.job))
}

fn journal(place: &Place) -> FileUri {
    place.target.join(&format!("{}journal", place.job))
}

/// What is kept of the journal when all is done.
fn published(place: &Place) -> FileUri {
    place.target.join(&format!("{}{PUBLISHED}", place.job))
}

fn unfinished_journal(place: &Place) -> FileUri {
    place.target.join(&format!("{}journal-unfinished", place.job))
}

/// Written under another name first: a journal that exists is complete.
fn write_journal(place: &Place, parts: &[Part]) -> Result<(), FileError> {
    let unfinished = unfinished_journal(place);
    let content = parts.iter().map(Part::encode).collect::<Vec<_>>().join(&SEPARATOR);
    let mut handle = place.files.create(&unfinished, Existing::Replace)?;
    handle.write_all(&content)?;
    handle.finish()?;
    place.files.rename(&unfinished, &journal(place), Existing::Replace)
}

fn read_journal(place: &Place) -> Result<Option<Vec<Part>>, FileError> {
    read_parts(place, &journal(place))
}

fn read_parts(place: &Place, uri: &FileUri) -> Result<Option<Vec<Part>>, FileError> {
    let length = match place.files.status(uri) {
        Err(error) if error.is_not_found() => return Ok(None),
        status => status?.version.length,
    };
    let mut content = vec![0; usize::try_from(length.min(MAX_JOURNAL_SIZE)).unwrap_or_default()];
    read_all(place, uri, &mut content)?;
    let committables: Vec<Vec<u8>> = match content.as_slice() {
        [] => Vec::new(),
        content => content.split(|&byte| byte == SEPARATOR).map(<[u8]>::to_vec).collect(),
    };
    Part::decode_all(&committables, place).map(Some)
}

/// Fills `content`. The committer has nothing else to do, so it waits for a remote file system.
fn read_all(place: &Place, uri: &FileUri, content: &mut [u8]) -> Result<(), FileError> {
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    let waker = TaskWaker::new(move || {
        // Full means that a call is waiting there already.
        let _ = sender.try_send(());
    });
    let mut handle = place.files.open(uri, OpenOptions::default())?;
    let mut filled = 0;
    while filled < content.len() {
        match handle.poll_read(&mut content[filled..], &waker)? {
            ReadPoll::Read(count) => filled += count,
            ReadPoll::Pending if receiver.recv_timeout(READ_TIMEOUT).is_ok() => {}
            ReadPoll::Pending | ReadPoll::End => {
                let reason = format!("{uri} cannot be read to its end");
                return Err(FileError::Commit { uri: place.target.to_string(), reason });
            }
        }
    }
    Ok(())
}
