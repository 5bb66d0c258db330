use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use flink_console::human;

use super::{CheckContext, Finding};
use crate::yarn::orphaned_staging::{self, Fate};

const HDFS: &str = "hdfs";
const CLOCK: &str = "clock";
const QUOTA: &str = "quota";
const LOGS: &str = "logs";
const ORPHANED: &str = "left over";
const UPLOADED: &str = "uploaded";

/// Clocks that differ by more are worth a warning: Kerberos allows five minutes, tokens and logs carry times.
const CLOCK_SKEW: Duration = Duration::from_secs(30);

/// Kerberos refuses beyond this.
const WORST_SKEW: Duration = Duration::from_secs(300);

/// Room that a deployment may need, with all copies.
const NEEDED: u64 = 256 << 20;

/// HDFS as a deployment uses it.
pub(super) async fn examine(context: &CheckContext) -> Vec<Finding> {
    // All at once: each waits for a NameNode that does not answer.
    let (mut findings, quota, logs) = tokio::join!(write(context), quota(context), logs(context));
    let usable = findings.iter().all(|finding| finding.grade == super::Severity::Good);
    // What there is no room for cannot be written either: then this is the reason.
    findings.extend(quota);
    if usable {
        findings.extend(left_over(context).await);
        findings.extend(artifacts(context).await);
    }
    findings.extend(logs);
    findings
}

/// Writes a file, looks at its time, and removes it.
async fn write(context: &CheckContext) -> Vec<Finding> {
    let (hdfs, root) = (context.root.hdfs(), context.root.uri());
    let advice = "check fs.defaultFS, that the NameNode runs and is not in safe mode, and that you may write there";
    let name = format!("{root}/doctor-{}", std::process::id());
    let begun = Instant::now();
    let before = now();
    let written = match hdfs.write(&name, Vec::from(&b"flink-yarn doctor\n"[..]), 0o600).await {
        Ok(written) => written,
        Err(error) => return vec![Finding::problem(HDFS, error.to_string(), advice)],
    };
    let after = now();
    let took = begun.elapsed();
    let mut findings = vec![match hdfs.delete(&name).await {
        Ok(_) => Finding::good(HDFS, format!("{root} can be written to (within {})", human::duration(took))),
        Err(error) => Finding::problem(HDFS, format!("{name} cannot be removed: {error}"), advice),
    }];
    findings.push(clock(before, Duration::from_millis(written.modified_millis), after));
    findings
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The NameNode's time must lie between ours before and after.
fn clock(before: Duration, theirs: Duration, after: Duration) -> Finding {
    let skew = before.saturating_sub(theirs).max(theirs.saturating_sub(after));
    let text = format!("differs by {} from the NameNode's", human::duration(skew));
    let advice = "set the time of this host by a time server, as the cluster does";
    match skew {
        skew if skew > WORST_SKEW => Finding::problem(CLOCK, format!("{text}: Kerberos refuses that"), advice),
        skew if skew > CLOCK_SKEW => Finding::warning(CLOCK, text, advice),
        _ => Finding::good(CLOCK, text),
    }
}

async fn quota(context: &CheckContext) -> Option<Finding> {
    // A quota stands on the home folder, not on ours.
    let home = context.root.uri().rsplit_once('/').map_or(context.root.uri(), |(home, _)| home);
    let usage = context.root.hdfs().usage(home).await.ok()?;
    let left = usage.space_quota.map(|quota| quota.saturating_sub(usage.space));
    let names = usage.name_quota.map(|quota| quota.saturating_sub(usage.names));
    if names.is_some_and(|names| names < 20) {
        let text = format!("{home} may hold {} more files or folders", names.unwrap_or(0));
        return Some(Finding::problem(QUOTA, text, "remove files, or have the quota of names raised"));
    }
    Some(match left {
        Some(left) if left < NEEDED => Finding::problem(
            QUOTA,
            format!("{home} has room for {} more bytes, all copies counted", human::count(left)),
            "remove files, have the quota raised, or keep fewer copies with -D yarn.file-replication=1",
        ),
        Some(left) => Finding::good(QUOTA, format!("{home} has room for {} more bytes", human::count(left))),
        None => Finding::good(QUOTA, format!("{home} has none")),
    })
}

/// Folders of applications that have not taken them away.
async fn left_over(context: &CheckContext) -> Vec<Finding> {
    let found = orphaned_staging::folders(&context.manager, &context.root).await.unwrap_or_default();
    found.into_iter().filter_map(|(folder, fate)| left_behind(context.root.of(folder.id).uri(), fate)).collect()
}

/// What was uploaded, by content.
async fn artifacts(context: &CheckContext) -> Option<Finding> {
    let (root, uri) = (&context.root, context.root.artifacts_uri());
    let count = root.artifacts().await.ok()?.len();
    let bytes = if count > 0 { root.hdfs().usage(&uri).await.ok()?.space } else { 0 };
    Some(Finding::good(
        UPLOADED,
        format!(
            "{uri} has {count} file{} with {} bytes, all copies counted; those that are not used for {} days go with the next \
             run or session",
            if count == 1 { "" } else { "s" },
            human::count(bytes),
            orphaned_staging::KEPT_DAYS
        ),
    ))
}

fn left_behind(uri: &str, fate: Fate) -> Option<Finding> {
    let (text, advice) = match fate {
        Fate::Lives => return None,
        Fate::Ended => (
            format!("{uri} belongs to an application that has ended"),
            format!("the next run or session removes it, or: hdfs dfs -rm -r {uri}"),
        ),
        Fate::Unknown => (
            format!("{uri} belongs to an application that this ResourceManager does not know"),
            format!(
                "leave it where the application is one of another YARN cluster, or is being submitted; only if it runs \
                 nowhere: hdfs dfs -rm -r {uri}"
            ),
        ),
    };
    Some(Finding::warning(ORPHANED, text, advice))
}

async fn logs(context: &CheckContext) -> Option<Finding> {
    let configuration = &context.hadoop.configuration;
    let enabled = configuration.get_bool("yarn.log-aggregation-enable").ok().flatten().unwrap_or(false);
    if !enabled {
        return Some(Finding::warning(
            LOGS,
            "YARN does not collect logs: they are gone with the containers, or stay on the nodes",
            "have yarn.log-aggregation-enable set to true on the cluster (and in this host's yarn-site.xml)",
        ));
    }
    let folder =
        configuration.get_trimmed("yarn.nodemanager.remote-app-log-dir").unwrap_or_else(|| "/tmp/logs".to_owned());
    Some(match context.root.hdfs().status(&folder).await {
        Ok(status) if status.mode & 0o1777 == 0o1777 => Finding::good(LOGS, format!("are collected in {folder}")),
        Ok(status) => Finding::warning(
            LOGS,
            format!("{folder} has the permissions {:o}", status.mode & 0o7777),
            format!("YARN wants 1777, so that the logs of every user can be put there: hdfs dfs -chmod 1777 {folder}"),
        ),
        Err(error) if error.is_not_found() => {
            Finding::good(LOGS, format!("are collected in {folder}, which the first application makes"))
        }
        Err(error) => Finding::warning(LOGS, error.to_string(), "check yarn.nodemanager.remote-app-log-dir"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yarn::doctor::Severity;

    #[test]
    fn clocks_are_compared_within_what_the_question_took() {
        let at = Duration::from_secs;
        assert_eq!(clock(at(100), at(101), at(102)).grade, Severity::Good);
        assert_eq!(clock(at(100), at(90), at(102)).grade, Severity::Good);
        assert_eq!(clock(at(100), at(60), at(102)).grade, Severity::Warning);
        assert_eq!(clock(at(100), at(1_000), at(102)).grade, Severity::Problem);
    }
}
