//! What applications have left in HDFS that could not take it away themselves: those that YARN has killed, or whose
//! attempts have all crashed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hadoop_rpc::yarn::{ApplicationId, ApplicationState};

use super::resource_manager::ResourceManager;
use super::staging::{ApplicationFolder, StagingRoot};
use crate::error::Result;

/// Folders that are looked at: the others' turn comes later.
const MOST_FOLDERS: usize = 50;

/// A folder that was changed since may be that of an application which is about to be submitted: the ResourceManager does
/// not know that yet.
const NEW: Duration = Duration::from_secs(3600);

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
        None if folder.id.cluster_timestamp == given.cluster_timestamp && folder.changed + NEW < now => Fate::Ended,
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
    folders.truncate(MOST_FOLDERS);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_surely_ended_is_left_over() {
        let now = Duration::from_secs(1_000_000);
        let (old, fresh) = (now - NEW * 2, now - NEW / 2);
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
