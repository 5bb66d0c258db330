use flink_files::FileError;
use flink_hdfs::Hdfs;

/// Names in the staging folder that hold the number of an attempt: `leader.2.json`, `jobs.2`. The highest one counts. So
/// an attempt that goes on when another one has begun, since its host stood still, overwrites nothing of that one.
#[derive(Debug, Clone, Copy)]
pub(super) struct AttemptName {
    pub(super) before: &'static str,
    pub(super) after: &'static str,
}

impl AttemptName {
    /// That of an attempt.
    pub(super) fn of(self, attempt: u64) -> String {
        format!("{}.{attempt}{}", self.before, self.after)
    }

    /// The attempts with such a name in a folder, the latest last.
    pub(super) async fn found(self, hdfs: &Hdfs, folder: &str) -> Result<Vec<u64>, FileError> {
        let listed = match hdfs.list(folder).await {
            Ok(listed) => listed,
            Err(error) if error.is_not_found() => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(self.numbers(listed.iter().filter_map(|status| status.uri.path().rsplit('/').next())))
    }

    fn numbers<'n>(self, names: impl Iterator<Item = &'n str>) -> Vec<u64> {
        let number =
            |name: &str| name.strip_prefix(self.before)?.strip_prefix('.')?.strip_suffix(self.after)?.parse().ok();
        let mut numbers: Vec<u64> = names.filter_map(number).collect();
        numbers.sort_unstable();
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_names() {
        let check = |before, after, names: &[&str], numbers: &[u64]| {
            let name = AttemptName { before, after };
            assert_eq!(name.numbers(names.iter().copied()), numbers, "{names:?}");
            numbers.iter().for_each(|number| assert!(names.contains(&name.of(*number).as_str())));
        };
        let names =
            ["leader.10.json", "leader.9.json", "leader.json", ".leader.11.json.1-2._COPYING_", "leader.x.json"];
        check("leader", ".json", &names, &[9, 10]);
        check("jobs", "", &["jobs.2", "jobs", "jobs.-1", "jobs.1.part"], &[2]);
    }
}
