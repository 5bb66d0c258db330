use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use flink_graph::{Configuration, JobId};
use flink_protocol::client::{ClientRequestBody, ClientResponseBody, LogRequest};
use hadoop_rpc::yarn::{ApplicationId, ContainerId};

use crate::connection::{Cluster, ClusterOptions, Connection, unexpected};
use crate::error::{ClientError, Exit, Result};
use crate::output;
use crate::run::block_on;
use crate::settings::ConfigurationOptions;
use crate::task_choice::TaskChoice;
use crate::yarn::application::Application;
use crate::yarn::logs::on_nodes::LogsOnNodes;
use crate::yarn::{locate, logs as collected};

/// Pause before logs that were read to their ends are asked for more; it doubles as long as nothing comes.
const FOLLOW_PAUSE: Duration = Duration::from_millis(200);

/// Longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(2);

const EXAMPLES: &str = "\
Examples:
  flink-yarn logs                        the JobManager's log
  flink-yarn logs --taskmanager tm-1     of a TaskManager; a beginning of its
                                         id is enough
  flink-yarn logs --job JOBID            what the job's tasks printed, of all
                                         TaskManagers that ran it
  flink-yarn logs --job JOBID -f         the same, and on as it is written,
                                         until the job has ended
  flink-yarn logs --job JOBID --task Parse/0
                                         of the TaskManager that runs, or ran,
                                         subtask 0 of the task `Parse…`
  flink-yarn logs -id APPLICATION        of an application on YARN; when it has
                                         ended, what YARN has collected
  flink-yarn logs --container CONTAINER  of one container on YARN, running or
                                         ended";

/// Options of `logs`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LogsOptions {
    /// What the tasks of this job printed
    #[arg(long, value_name = "JOBID")]
    job: Option<JobId>,

    /// With --job: where this task runs. The beginning of its name, or its id; /N is one subtask
    #[arg(long, value_name = "TASK", requires = "job", conflicts_with_all = ["taskmanager", "of_jobmanager", "container"])]
    task: Option<TaskChoice>,

    /// The log of this TaskManager; with --job, of the job there alone
    #[arg(long, value_name = "ID")]
    taskmanager: Option<String>,

    /// The log of the JobManager (the default); with an address, of the one there, as with -m
    #[arg(long = "jobmanager", value_name = "HOST:PORT", num_args = 0..=1, conflicts_with_all = ["job", "taskmanager"])]
    of_jobmanager: Option<Option<String>>,

    /// The logs of this container on YARN
    #[arg(long, value_name = "CONTAINER", value_parser = locate::container_id, conflicts_with_all = ["taskmanager", "of_jobmanager"])]
    container: Option<ContainerId>,

    /// Go on as more is written
    #[arg(short, long)]
    follow: bool,

    #[command(flatten)]
    cluster: LogClusterOptions,

    #[command(flatten)]
    configuration: ConfigurationOptions,
}

/// As in the other commands, but that `--jobmanager` chooses a log here.
#[derive(Debug, Args)]
#[command(next_help_heading = "Cluster")]
struct LogClusterOptions {
    /// Address of the JobManager (default: the configuration, then the cluster started by `standalone start`)
    #[arg(short = 'm', value_name = "HOST:PORT")]
    address: Option<String>,

    /// Application on YARN (-id; default: yarn.application.id, then the last session that was started from here)
    #[arg(long, value_name = "APPLICATION", value_parser = locate::application_id, conflicts_with = "address")]
    application_id: Option<ApplicationId>,

    #[command(flatten)]
    directory: crate::cluster_directory::ClusterDirectoryOption,
}

/// One log, and how far it is read.
struct Log {
    title: String,
    request: LogRequest,
    /// True when its container has ended, and its node has shown all of it.
    is_over: bool,
}

/// Runs the command.
pub(crate) fn execute(options: &LogsOptions) -> Result<()> {
    let configuration = options.configuration.load(|_| {})?;
    let Some(cluster) = options.cluster(&configuration)? else { return Ok(()) };
    let hint = about_those_gone(cluster.application_id());
    block_on(async {
        let mut connection = cluster.connect().await?;
        let gone = Gone(cluster.application().cloned());
        let mut logs = options.logs(&mut connection, &gone, &hint).await?;
        let shown = show(&mut connection, &mut logs, &gone).await?;
        if options.follow {
            options.follow(&mut connection, logs, &gone).await
        } else {
            shown.tell_missing(&logs, &hint)
        }
    })
}

/// What to do about logs of TaskManagers that cannot be asked any more.
fn about_those_gone(application: Option<ApplicationId>) -> String {
    match application {
        Some(id) => format!(
            "the log of a container that has ended is on its node until the application has ended; when no node has it now, \
             YARN may have collected it then, and `flink-yarn logs -id {id}` shows it"
        ),
        None => "`flink-yarn standalone status` lists the TaskManagers that are there, and where logs are".to_owned(),
    }
}

impl LogsOptions {
    /// The cluster whose processes are asked; none when the logs were shown already, because it is an application that has
    /// ended.
    fn cluster(&self, configuration: &Configuration) -> Result<Option<Cluster>> {
        let of_container = self.container.map(ContainerId::application);
        let id = match self.address() {
            Some(_) => None,
            None => locate::named(self.cluster.application_id.or(of_container), configuration)?,
        };
        let Some(id) = id else {
            let (jobmanager, directory) = (self.address().cloned(), self.cluster.directory.clone());
            let options = ClusterOptions { jobmanager, application_id: None, directory };
            return options.require(configuration).map(Some);
        };
        let application = Application::find(id, configuration)?;
        block_on(async {
            let report = application.resource_manager().find(id).await?;
            if report.as_ref().is_some_and(|report| !report.state.is_terminal()) {
                return application.cluster(configuration).await.map(Some);
            }
            let container = self.container.map(|id| id.to_string()).or_else(|| self.taskmanager.clone());
            let wanted = collected::Wanted {
                containers: container.map(|id| BTreeSet::from([id])),
                job: self.job,
                task: self.task.clone(),
                of_jobmanager: self.of_jobmanager.is_some(),
            };
            collected::show_ended(&application, report, wanted).await.map(|()| None)
        })
    }

    /// Where the JobManager is, if that was said.
    fn address(&self) -> Option<&String> {
        self.cluster.address.as_ref().or_else(|| self.of_jobmanager.as_ref()?.as_ref())
    }

    async fn logs(&self, connection: &mut Connection, gone: &Gone, about_those_gone: &str) -> Result<Vec<Log>> {
        let task_managers = match (&self.taskmanager, self.container, self.job) {
            (_, Some(id), None) if gone.is_the_master(id).await => vec![None],
            (_, Some(id), _) => vec![Some(id.to_string())],
            (Some(beginning), None, _) => vec![Some(self.task_manager(connection, beginning, about_those_gone).await?)],
            (None, None, Some(job)) => {
                let (ran_it, _) = task_managers_of(connection, job, self.task.as_ref()).await?;
                if ran_it.is_empty() && !self.follow {
                    return Err(self.nothing_ran(job));
                }
                ran_it.into_iter().map(Some).collect()
            }
            (None, None, None) => vec![None],
        };
        Ok(task_managers.into_iter().map(|id| Log::new(id, self.job)).collect())
    }

    /// Shows what is written from now on. The logs of a job have an end, and others join them: those of the TaskManagers on
    /// which it is run again.
    async fn follow(&self, connection: &mut Connection, mut logs: Vec<Log>, gone: &Gone) -> Result<()> {
        let mut pause = FOLLOW_PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            let ended = match self.job {
                Some(job) => {
                    let (ran_it, ended) = task_managers_of(connection, job, self.task.as_ref()).await?;
                    if self.taskmanager.is_none() && self.container.is_none() {
                        let is_new =
                            |id: &String| !logs.iter().any(|log| log.request.task_manager.as_ref() == Some(id));
                        let new: Vec<_> = ran_it.into_iter().filter(is_new).collect();
                        logs.extend(new.into_iter().map(|id| Log::new(Some(id), Some(job))));
                    }
                    ended
                }
                None => false,
            };
            if ended {
                // What was printed last may still be on its way to the log.
                tokio::time::sleep(FOLLOW_PAUSE).await;
            }
            let shown = show(connection, &mut logs, gone).await?;
            // One of a job that is missing may still come, or its TaskManager has gone.
            match shown.missing.into_iter().next() {
                Some(error) if self.job.is_none() => return Err(error),
                _ if self.job.is_none() && logs.iter().all(|log| log.is_over) => return Ok(()),
                _ => {}
            }
            if ended {
                return self.job.filter(|_| logs.is_empty()).map_or(Ok(()), |job| Err(self.nothing_ran(job)));
            }
            pause = if shown.any { FOLLOW_PAUSE } else { (pause * 2).min(MAX_PAUSE) };
        }
    }

    fn nothing_ran(&self, job: JobId) -> ClientError {
        let what = if self.task.is_some() { "such a task of job" } else { "job" };
        ClientError::failed(format!("no TaskManager has run {what} {job} yet"))
            .hint("`flink-yarn list` shows what it waits for, `flink-yarn info PROGRAM` its tasks")
    }

    /// The TaskManager whose id begins so.
    async fn task_manager(&self, connection: &mut Connection, beginning: &str, hint: &str) -> Result<String> {
        let answer = connection.request(ClientRequestBody::RequestTaskManagers).await?;
        let ClientResponseBody::TaskManagers(all) = answer else { return Err(unexpected("RequestTaskManagers")) };
        choose(all.into_iter().map(|summary| summary.id).collect(), beginning, hint)
    }
}

fn choose(ids: Vec<String>, beginning: &str, about_those_gone: &str) -> Result<String> {
    let known = if ids.is_empty() { "none".to_owned() } else { ids.join(", ") };
    let mut fitting = ids.into_iter().filter(|id| id.starts_with(beginning));
    match (fitting.next(), fitting.next()) {
        (Some(id), None) => Ok(id),
        (Some(first), Some(second)) if first == beginning || second == beginning => Ok(beginning.to_owned()),
        (Some(_), Some(_)) => {
            Err(ClientError::usage(format!("several TaskManagers begin with `{beginning}`")).because_text(known))
        }
        // It may have ended: then its node has its log.
        (None, _) if beginning.parse::<ContainerId>().is_ok() => Ok(beginning.to_owned()),
        (None, _) => Err(ClientError::usage(format!("no TaskManager `{beginning}`"))
            .because_text(format!("registered TaskManagers: {known}"))
            .hint(about_those_gone)),
    }
}

/// The TaskManagers that run a job or the chosen tasks of it, or have, and whether it has ended.
async fn task_managers_of(
    connection: &mut Connection,
    job: JobId,
    task: Option<&TaskChoice>,
) -> Result<(BTreeSet<String>, bool)> {
    let answer = connection.request(ClientRequestBody::RequestJobDetails(job)).await?;
    let ClientResponseBody::JobDetails(details) = answer else { return Err(unexpected("RequestJobDetails")) };
    let ended = details.summary.status.is_globally_terminal();
    let mut found = BTreeSet::new();
    for vertex in details.vertices {
        let id = vertex.id.to_string();
        let wanted = |subtask: u32| task.is_none_or(|task| task.fits(&id, &vertex.name, subtask));
        let subtasks = vertex.subtasks.into_iter().filter(|subtask| wanted(subtask.subtask));
        found.extend(subtasks.filter_map(|subtask| subtask.location).map(|(id, _)| id));
    }
    Ok((found, ended))
}

impl Log {
    fn new(task_manager: Option<String>, job: Option<JobId>) -> Self {
        let title = task_manager.as_ref().map_or_else(|| "JobManager".to_owned(), |id| format!("TaskManager {id}"));
        Self { title, request: LogRequest { task_manager, job, ..LogRequest::default() }, is_over: false }
    }

    /// Writes what there is; true when that was anything.
    async fn write_on(&mut self, connection: &mut Connection, title: bool) -> Result<bool> {
        let mut any = false;
        loop {
            let piece = connection.log_piece(&self.request).await?;
            let moved = piece.next_offset != self.request.offset;
            self.request.offset = piece.next_offset;
            if !piece.text.is_empty() {
                if title && !any {
                    output::line(format!("==> {} <==", self.title))?;
                }
                output::raw(&piece.text)?;
                any = true;
            }
            // A log that neither ends nor goes on would be asked for ever.
            if piece.at_end || !moved {
                return Ok(any);
            }
        }
    }
}

/// What came of an attempt to show logs.
#[derive(Debug, Default)]
struct Shown {
    /// Whether anything was written.
    any: bool,
    /// Why some could not be had.
    missing: Vec<ClientError>,
}

impl Shown {
    /// Those that there are have been shown; that others are missing is an error only when these were all.
    fn tell_missing(self, logs: &[Log], hint: &str) -> Result<()> {
        let are_all = !logs.is_empty() && self.missing.len() == logs.len();
        let mut missing = self.missing.into_iter().peekable();
        match missing.next_if(|_| are_all) {
            Some(first) => return Err(first.hint(hint)),
            None if missing.peek().is_some() => {
                missing.for_each(|error| output::notice(error.to_string()));
                output::notice(hint);
            }
            None => {}
        }
        Ok(())
    }
}

/// Containers of an application that have ended, and with them their TaskManagers.
struct Gone(Option<Application>);

impl Gone {
    /// Whether a container is that of the ApplicationMaster that leads: the first one of the last attempt.
    async fn is_the_master(&self, id: ContainerId) -> bool {
        let Some(application) = self.0.as_ref().filter(|_| id.number() == 1) else { return false };
        application.report().await.is_ok_and(|report| report.current_attempt.is_none_or(|last| last == id.attempt))
    }

    /// Writes what one of them has written, as its node has it. False when there is nothing.
    async fn show(&self, request: &LogRequest) -> Result<bool> {
        let id = request.task_manager.as_ref().and_then(|id| id.parse::<ContainerId>().ok());
        match (&self.0, id) {
            (Some(application), Some(id)) => LogsOnNodes::of(application).await?.show(id, request.job).await,
            _ => Ok(false),
        }
    }
}

/// Writes what there is in all of them. TaskManagers that ran a job may be gone.
async fn show(connection: &mut Connection, logs: &mut [Log], gone: &Gone) -> Result<Shown> {
    let (titles, mut shown) = (logs.len() > 1, Shown::default());
    for log in logs.iter_mut().filter(|log| !log.is_over) {
        let missing = match log.write_on(connection, titles).await {
            Err(error) if log.request.task_manager.is_some() && error.exit() == Exit::Failed => error,
            written => {
                shown.any |= written?;
                continue;
            }
        };
        // Of one that was read already, the node would show the beginning again.
        let on_node = if log.request.offset == 0 { gone.show(&log.request).await } else { Ok(false) };
        match on_node {
            Ok(true) => (log.is_over, shown.any) = (true, true),
            Ok(false) => shown.missing.push(missing),
            Err(error) if error.exit() == Exit::Failed => shown.missing.push(missing.because(&error)),
            Err(error) => return Err(error),
        }
    }
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_enough_when_it_is_the_only_one() {
        let ids = || vec!["tm-1".to_owned(), "tm-12".to_owned(), "other".to_owned()];
        let choose = |beginning| choose(ids(), beginning, "they are gone");
        assert_eq!(choose("ot").unwrap(), "other");
        assert_eq!(choose("tm-1").unwrap(), "tm-1");
        assert!(choose("tm").unwrap_err().to_string().contains("several"));
        let unknown = choose("x").unwrap_err().to_string();
        for part in ["registered TaskManagers: tm-1, tm-12, other", "they are gone"] {
            assert!(unknown.contains(part), "{unknown}");
        }
    }

    #[test]
    fn what_is_missing_is_an_error_when_it_is_all() {
        let logs = ["a", "b"].map(|id| Log::new(Some(id.to_owned()), None));
        let missing = |count: usize| Shown {
            any: false,
            missing: (0..count).map(|_| ClientError::failed("not registered")).collect(),
        };
        assert!(missing(0).tell_missing(&logs, "").is_ok() && missing(1).tell_missing(&logs, "").is_ok());
        let error = missing(2).tell_missing(&logs, "they are gone").unwrap_err();
        assert!(error.to_string().contains("they are gone"), "{error}");
        assert!(Shown::default().tell_missing(&[], "").is_ok(), "none, of none");
    }
}
