//! What applications have left in HDFS that could not take it away themselves: those that YARN has killed, or whose
//! attempts have all crashed; and what was uploaded once and is used no more.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hadoop_rpc::yarn::{ApplicationId, ApplicationState};

use super::resource_manager::ResourceManager;
use super::staging::{ApplicationFolder, StagingRoot};
use crate::error::Result;

/// Folders that are looked at: the others' turn comes later.
const MAX_FOLDERS: usize = 50;

/// A folder that was changed since may be that of an application which is about to be submitted: the ResourceManager does
/// not know that yet.
const MIN_AGE: Duration = Duration::from_secs(3600);

/// What is known of the application that a folder belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It runs, or will.
    Lives,
    /// It has ended: nobody needs the folder.
    Ended,
    /// The ResourceManager does not know it, and might not know it if it ran: with another ResourceManager, or with this one
    /// before it lost what it knew.
    Unknown,
}

/// The fates of folders, with one ResourceManager.
pub(crate) struct Fates<'a> {
    manager: &'a ResourceManager,
    /// An id that the ResourceManager has given just now.
    given: Option<ApplicationId>,
}

impl<'a> Fates<'a> {
    pub(crate) fn new(manager: &'a ResourceManager) -> Self {
        Self { manager, given: None }
    }

    /// The fate of one application.
    pub(crate) async fn of(&mut self, folder: &ApplicationFolder) -> Result<Fate> {
        let known = self.manager.find(folder.id).await?.map(|report| report.state);
        let given = match (known, self.given) {
            (Some(_), _) => folder.id,
            (None, Some(given)) => given,
            // An id that is never used costs nothing.
            (None, None) => self.given.insert(self.manager.new_application().await?.id).to_owned(),
        };
        Ok(fate(folder, known, given, now()))
    }
}

/// `given` is an id of now: that of an application which is older and as unknown, of the same life of the
/// ResourceManager, was known once and is over.
fn fate(folder: &ApplicationFolder, known: Option<ApplicationState>, given: ApplicationId, now: Duration) -> Fate {
    match known {
        Some(state) if state.is_terminal() => Fate::Ended,
        Some(_) => Fate::Lives,
        None if folder.id.cluster_timestamp == given.cluster_timestamp && folder.changed + MIN_AGE < now => Fate::Ended,
        None => Fate::Unknown,
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The folders that are looked at, the newest first, each with the fate of its application.
pub(crate) async fn folders(manager: &ResourceManager, root: &StagingRoot) -> Result<Vec<(ApplicationFolder, Fate)>> {
    let mut folders = root.applications().await?;
    folders.sort_by_key(|folder| std::cmp::Reverse(folder.changed));
    folders.truncate(MAX_FOLDERS);
    let mut fates = Fates::new(manager);
    let mut found = Vec::new();
    for folder in folders {
        let fate = fates.of(&folder).await?;
        found.push((folder, fate));
    }
    Ok(found)
}

/// Removes the folders of applications that have ended; their number.
pub(crate) async fn sweep(manager: &ResourceManager, root: &StagingRoot) -> Result<usize> {
    let mut removed = 0;
    for (folder, fate) in folders(manager, root).await? {
        if fate == Fate::Ended && root.of(folder.id).remove().await? {
            removed += 1;
        }
    }
    Ok(removed)
}

/// Time after which it is noted again that an artifact is used.
const NOTED_AGAIN: Duration = Duration::from_hours(24);

/// Time for which artifacts are kept that nobody uses.
pub(crate) const KEPT_DAYS: u32 = 30;

/// Whether it was noted of late that an artifact is used, the last time at `used`.
pub(crate) fn is_noted(used: Duration) -> bool {
    now() < used + NOTED_AGAIN
}

fn is_of_use(used: Duration, now: Duration) -> bool {
    now < used + Duration::from_hours(24) * KEPT_DAYS
}

/// Removes artifacts that nobody has used for long, and no application that there is needs; their number.
pub(crate) async fn sweep_artifacts(root: &StagingRoot) -> Result<usize> {
    let mut unused = root.artifacts().await?;
    unused.retain(|folder| !is_of_use(Duration::from_millis(folder.modified_millis), now()));
    if unused.is_empty() {
        return Ok(0);
    }
    // A session may ask for containers years after its start.
    let mut needed = Vec::new();
    for folder in root.applications().await? {
        if let Some(description) = root.of(folder.id).description().await? {
            needed.extend(description.task_manager.resources.into_iter().map(|file| file.uri));
        }
    }
    let mut removed = 0;
    for folder in unused {
        let uri = folder.uri.to_string();
        let inside = format!("{}/", uri.trim_end_matches('/'));
        if needed.iter().any(|file| file.starts_with(&inside)) {
            continue;
        }
        // Another client may have noted meanwhile that it uses it.
        let status = root.hdfs().status(&uri).await;
        let is_unused = status.is_ok_and(|status| status.modified_millis == folder.modified_millis);
        if is_unused && root.hdfs().delete(&uri).await.unwrap_or(false) {
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifacts_are_kept_for_a_month() {
        let days = |days: u32| Duration::from_hours(24) * days;
        assert!(is_of_use(days(100), days(129)) && !is_of_use(days(100), days(131)));
        assert!(is_noted(now()) && !is_noted(now() - days(2)));
    }

    #[test]
    fn only_what_has_surely_ended_is_left_over() {
        let now = Duration::from_secs(1_000_000);
        let (old, fresh) = (now - MIN_AGE * 2, now - MIN_AGE / 2);
        let (own, foreign) = ("application_7_0001", "application_8_0001");
        let check = |id: &str, changed, known, expect| {
            let folder = ApplicationFolder { id: id.parse().unwrap(), changed };
            let given = "application_7_0009".parse().unwrap();
            assert_eq!(fate(&folder, known, given, now), expect, "{id} {changed:?} {known:?}");
        };
        check(own, old, Some(ApplicationState::Running), Fate::Lives);
        check(own, old, Some(ApplicationState::Accepted), Fate::Lives);
        check(own, fresh, Some(ApplicationState::Failed), Fate::Ended);
        // A ResourceManager that was restarted knows those of its earlier lives.
        check(foreign, fresh, Some(ApplicationState::Killed), Fate::Ended);
        check(own, old, None, Fate::Ended);
        check(own, fresh, None, Fate::Unknown);
        check(foreign, old, None, Fate::Unknown);
    }
}
