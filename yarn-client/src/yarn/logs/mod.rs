//! The logs of an application that has ended, or of a container that has: YARN collects them in HDFS once the application has
//! ended, and has them on the nodes before.

/// Hadoop's TFile.
pub(crate) mod tfile;

/// Which files there are, and what stands in them.
mod aggregated;

/// A file in HDFS for code that reads and seeks.
mod stored;

/// Those of containers that have ended while their application goes on.
pub(crate) mod on_nodes;

/// Logs on their way to standard output.
mod printed;

use std::collections::BTreeSet;
use std::io::{BufRead, Read};
use std::time::{Duration, Instant};

use flink_files::file_system::FileKind;
use flink_graph::JobId;
use flink_hdfs::Hdfs;
use hadoop_rpc::yarn::{ApplicationId, ApplicationReport, ContainerId, LogAggregation};

use super::application::Application;
use super::hadoop::Hadoop;
use super::staging::unusable;
use crate::error::{ClientError, Result};
use crate::task_choice::TaskChoice;
use printed::{Printed, is_telling};
use stored::StoredFile;
use tfile::TFile;

/// Longest wait for logs that YARN is still collecting.
const ARRIVAL: Duration = Duration::from_secs(8);

/// Bytes of the end of a log in which its last lines are looked for.
const TAIL: usize = 64 << 10;

/// Bytes that are written at once.
const PIECE: usize = 64 << 10;

/// What the NodeManager writes about how it starts a container; what went wrong with that is in `prelaunch.err`.
const OF_THE_START: &[&str] = &["launch_container.sh", "directory.info", "prelaunch.out"];

/// Where the logs of an application are, and which of them are wanted.
#[derive(Clone)]
pub(crate) struct AggregatedLogs {
    hdfs: Hdfs,
    folders: [String; 3],
    /// Containers whose logs are wanted; all without them.
    containers: Option<BTreeSet<String>>,
    /// Text that the name of a log must hold.
    name_holds: Option<String>,
}

/// Which logs of an application that has ended are wanted.
pub(crate) struct Wanted {
    /// Of these containers; of all without them.
    pub(crate) containers: Option<BTreeSet<String>>,
    /// What the tasks of this job printed.
    pub(crate) job: Option<JobId>,
    /// Of the containers in which this task ran.
    pub(crate) task: Option<TaskChoice>,
    /// What the JobManager wrote.
    pub(crate) of_jobmanager: bool,
}

/// One log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogTitle {
    /// `host:port` of the NodeManager.
    pub(crate) node: String,
    /// The container.
    pub(crate) container: String,
    /// The file.
    pub(crate) name: String,
    /// Its size.
    pub(crate) size: u64,
}

impl AggregatedLogs {
    /// The logs of an application of a user, as this host's yarn-site.xml says where they are.
    pub(crate) fn of(hadoop: &Hadoop, hdfs: &Hdfs, user: &str, id: ApplicationId) -> Self {
        let key =
            |key: &str, default: &str| hadoop.configuration.get_trimmed(key).unwrap_or_else(|| default.to_owned());
        let root = key("yarn.nodemanager.remote-app-log-dir", "/tmp/logs");
        let suffix = key("yarn.nodemanager.remote-app-log-dir-suffix", "logs");
        let folders = aggregated::folders(&root, &suffix, user, id);
        Self { hdfs: hdfs.clone(), folders, containers: None, name_holds: None }
    }

    /// Only those of some containers.
    pub(crate) fn of_containers(mut self, containers: Option<BTreeSet<String>>) -> Self {
        self.containers = containers;
        self
    }

    /// The containers in which a task of a job ran, by the logs of the JobManager.
    async fn containers_of(&self, job: JobId, task: TaskChoice) -> Result<BTreeSet<String>> {
        let (sender, receiver) = std::sync::mpsc::channel();
        let job = job.to_string();
        let told = self.clone().named(Some("jobmanager.".to_owned()));
        told.each(move |_, content| {
            for line in std::io::BufReader::new(content).lines() {
                let line = line.map_err(|error| ClientError::failed("cannot read a log").because(&error))?;
                if let Some(place) = task.place_in(&line, &job) {
                    // Nobody listens any more when the command ends.
                    let _ = sender.send(place);
                }
            }
            Ok(())
        })
        .await?;
        Ok(receiver.try_iter().collect())
    }

    /// Only those whose name holds a text.
    pub(crate) fn named(mut self, text: Option<String>) -> Self {
        self.name_holds = text;
        self
    }

    /// The files, one a node; none when there are none yet.
    async fn files(&self) -> Result<Vec<(String, String)>> {
        for folder in &self.folders {
            let listed = match self.hdfs.list(folder).await {
                Ok(listed) => listed,
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(unusable(&error)),
            };
            let files = listed.into_iter().filter(|status| status.kind == FileKind::File);
            let named = files.filter_map(|status| {
                let path = status.uri.to_string();
                let node = aggregated::node_of(path.rsplit('/').next()?)?;
                Some((node, path))
            });
            return Ok(named.collect());
        }
        Ok(Vec::new())
    }

    /// Hands every log to `visit`, on another thread. Gives the number of logs.
    async fn each(&self, visit: impl FnMut(&LogTitle, &mut dyn Read) -> Result<()> + Send + 'static) -> Result<usize> {
        let files = self.files().await?;
        let (logs, runtime) = (self.clone(), tokio::runtime::Handle::current());
        let reading = tokio::task::spawn_blocking(move || logs.read(&files, &runtime, visit));
        reading.await.map_err(|error| ClientError::failed("reading the logs did not end").because(&error))?
    }

    fn read(
        &self,
        files: &[(String, String)],
        runtime: &tokio::runtime::Handle,
        mut visit: impl FnMut(&LogTitle, &mut dyn Read) -> Result<()>,
    ) -> Result<usize> {
        let mut count = 0;
        for (node, path) in files {
            let stored = StoredFile::open(self.hdfs.clone(), path.clone(), runtime.clone());
            let mut file = stored.and_then(TFile::open).map_err(|error| unreadable(path, error))?;
            file.each(|key, value| {
                let Some(container) = aggregated::container_of(key).filter(|name| self.wants(name)) else {
                    return Ok(true);
                };
                aggregated::each_log(value, |name, size, content| {
                    if self.name_holds.as_ref().is_some_and(|text| !name.contains(text.as_str())) {
                        return Ok(());
                    }
                    count += 1;
                    let title =
                        LogTitle { node: node.clone(), container: container.clone(), name: name.to_owned(), size };
                    visit(&title, content).map_err(ReadError::Visit)
                })?;
                Ok(true)
            })
            .map_err(|error| match error {
                ReadError::Visit(error) => error,
                ReadError::File(error) => unreadable(path, error),
            })?;
        }
        Ok(count)
    }

    fn wants(&self, container: &str) -> bool {
        self.containers.as_ref().is_none_or(|wanted| wanted.contains(container))
    }

    /// Writes the logs to standard output. Gives their number.
    pub(crate) async fn show(&self) -> Result<usize> {
        self.each(|title, content| {
            let LogTitle { node, container, name, size } = title;
            if !is_telling(name, *size) {
                return Ok(());
            }
            let mut printed = Printed::begin(container, node, name)?;
            let mut buffer = vec![0; PIECE];
            loop {
                let count = content.read(&mut buffer).map_err(|error| {
                    ClientError::failed(format!("the log {name} of {container} cannot be read to its end"))
                        .because(&error)
                })?;
                if count == 0 {
                    return printed.end();
                }
                printed.write(&buffer[..count])?;
            }
        })
        .await
    }
}

/// Why a visit ended: the file, or whoever looked at it.
enum ReadError {
    File(std::io::Error),
    Visit(ClientError),
}

impl From<std::io::Error> for ReadError {
    fn from(error: std::io::Error) -> Self {
        Self::File(error)
    }
}

fn unreadable(path: &str, error: std::io::Error) -> ClientError {
    ClientError::failed(format!("the logs in {path} cannot be read")).because(&error)
}

/// The last lines of what a container has written, of the tasks of a job rather than of others, or without a container the
/// ApplicationMaster of the last attempt; none when they cannot be had soon. The application has ended.
pub(crate) async fn last_lines(
    application: &Application,
    container: Option<ContainerId>,
    job: Option<JobId>,
    lines: usize,
) -> Option<(String, String)> {
    let begun = Instant::now();
    while begun.elapsed() < ARRIVAL {
        let report = application.report().await.ok()?;
        if report.log_aggregation == Some(LogAggregation::Disabled) {
            return None;
        }
        if let Some(found) = try_last_lines(application, &report, container, job, lines).await {
            return Some(found);
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    None
}

async fn try_last_lines(
    application: &Application,
    report: &ApplicationReport,
    container: Option<ContainerId>,
    job: Option<JobId>,
    lines: usize,
) -> Option<(String, String)> {
    let logs = AggregatedLogs::of(application.hadoop(), application.root().hdfs(), &report.user, report.id);
    let logs = match container {
        Some(container) => logs.of_containers(Some(BTreeSet::from([container.to_string()]))),
        None => logs.named(Some("jobmanager.".to_owned())),
    };
    let attempt = report.current_attempt.filter(|_| container.is_none());
    let (sender, receiver) = std::sync::mpsc::channel();
    let read = logs.each(move |title, content| {
        let of_attempt =
            title.container.parse().is_ok_and(|id: ContainerId| attempt.is_none_or(|attempt| id.attempt == attempt));
        if of_attempt && is_telling(&title.name, title.size) {
            let tail = tail(content).map_err(|error| ClientError::failed("cannot read a log").because(&error))?;
            // Nobody listens any more when the command ends.
            let _ = sender.send((title.clone(), tail));
        }
        Ok(())
    });
    read.await.ok()?;
    let mut found: Vec<(LogTitle, Vec<u8>)> = receiver.try_iter().collect();
    found.sort_by_key(|(title, _)| telling(&title.name, job));
    let (title, tail) = found.into_iter().next()?;
    let text = String::from_utf8_lossy(&tail).into_owned();
    Some((format!("{} ({})", title.container, title.name), last(&text, lines)))
}

/// Small for the log that says most about a failure: of a job, what its tasks print; else what is on standard error.
fn telling(name: &str, job: Option<JobId>) -> u8 {
    match name {
        name if job.is_some_and(|job| name.contains(&job.to_string())) => 0,
        name if name.ends_with(".err") => 1,
        name if name.starts_with("worker-") => 2,
        _ => 3,
    }
}

/// The last lines of a text.
pub(crate) fn last(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// The end of a stream.
fn tail(content: &mut dyn Read) -> std::io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    let mut buffer = vec![0; PIECE];
    loop {
        match content.read(&mut buffer)? {
            0 => return Ok(kept),
            count => {
                kept.extend_from_slice(&buffer[..count]);
                kept.drain(..kept.len().saturating_sub(TAIL));
            }
        }
    }
}

/// Shows the logs of an application that has ended, or is not known any more.
pub(crate) async fn show_ended(
    application: &Application,
    report: Option<ApplicationReport>,
    wanted: Wanted,
) -> Result<()> {
    let Wanted { mut containers, job, task, of_jobmanager } = wanted;
    let id = application.id();
    let report = match report {
        Some(report) => Some(arrival(application, report).await?),
        None => None,
    };
    let user = report.as_ref().map_or_else(|| application.resource_manager().user(), |report| report.user.as_str());
    let named = job.map(|job| job.to_string()).or_else(|| of_jobmanager.then(|| "jobmanager.".to_owned()));
    let logs = AggregatedLogs::of(application.hadoop(), application.root().hdfs(), user, id);
    let folder = logs.folders[0].clone();
    if let (Some(job), Some(task)) = (job, task) {
        let places = logs.containers_of(job, task).await?;
        if places.is_empty() {
            return Err(ClientError::failed(format!("no task of job {job} by that name has run in application {id}"))
                .hint(format!("all of the job: flink-yarn logs --application-id {id} --job {job}")));
        }
        containers = Some(places);
    }
    let of_one = containers.is_some() || named.is_some();
    if logs.of_containers(containers).named(named).show().await? > 0 {
        return Ok(());
    }
    let known = match report {
        Some(_) => format!("application {id} has ended"),
        None => format!("the ResourceManager knows no application {id}"),
    };
    let error = ClientError::failed(format!("{known}, and there are no logs of it in {folder}"));
    let disabled = report.is_some_and(|report| report.log_aggregation == Some(LogAggregation::Disabled));
    Err(match (disabled, of_one) {
        (true, _) => error.hint("YARN does not collect logs here (yarn.log-aggregation-enable): they are on the nodes, in yarn.nodemanager.log-dirs"),
        (false, true) => error.hint(format!("all that there is of it: flink-yarn logs --application-id {id}")),
        (false, false) => error.hint("they may still be collected, or have been removed (yarn.log-aggregation.retain-seconds)"),
    })
}

/// Waits until YARN has collected the logs of an application that has just ended. Gives the last report.
async fn arrival(application: &Application, mut report: ApplicationReport) -> Result<ApplicationReport> {
    let begun = Instant::now();
    let on_the_way = |report: &ApplicationReport| {
        matches!(
            report.log_aggregation,
            Some(LogAggregation::NotStarted | LogAggregation::Running | LogAggregation::RunningWithFailure)
        )
    };
    // The ResourceManager forgets how far the logs of old applications were.
    let old = flink_console::human::now_millis().saturating_sub(report.finished_ms) > 60_000;
    while !old && on_the_way(&report) && begun.elapsed() < ARRIVAL {
        tokio::time::sleep(Duration::from_millis(300)).await;
        report = application.report().await?;
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_logs() {
        assert_eq!(last("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last("a", 2), "a");
        let job = JobId::from_u128(1);
        let own = format!("worker-{job}.log");
        let mut names = ["taskmanager.log", "worker-x.log", &own, "taskmanager.err"];
        names.sort_by_key(|name| telling(name, Some(job)));
        assert_eq!(names, [&own, "taskmanager.err", "worker-x.log", "taskmanager.log"]);
        let long = vec![b'x'; 3 * TAIL];
        assert_eq!(tail(&mut long.as_slice()).unwrap().len(), TAIL);
    }
}
