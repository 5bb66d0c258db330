use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use flink_graph::{Configuration, JobId};
use flink_protocol::client::{ClientRequestBody, ClientResponseBody, LogRequest};
use flink_protocol::overview::LogPiece;
use hadoop_rpc::yarn::{ApplicationId, ContainerId};

use crate::connection::{Cluster, ClusterOptions, Connection, unexpected};
use crate::error::{ClientError, Result};
use crate::output;
use crate::run::block_on;
use crate::settings::ConfigurationOptions;
use crate::yarn::application::Application;
use crate::yarn::{locate, logs as collected};

/// Pause before a log that was read to its end is asked for more.
const FOLLOW_PAUSE: Duration = Duration::from_millis(300);

const EXAMPLES: &str = "\
Examples:
  flink-yarn logs                           the JobManager's log
  flink-yarn logs --taskmanager tm-1        the log of a TaskManager; a beginning of its id is enough
  flink-yarn logs --job JOBID               what the job's tasks printed, of all TaskManagers that ran it
  flink-yarn logs --job JOBID -f            the same, and on as it is written
  flink-yarn logs -id APPLICATION           of an application on YARN; when it has ended, what YARN has collected
  flink-yarn logs --container CONTAINER     of one container on YARN, running or ended";

/// Options of `logs`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LogsOptions {
    /// What the tasks of this job printed
    #[arg(long, value_name = "JOBID")]
    job: Option<JobId>,

    /// The log of this TaskManager; with --job, of the job there alone
    #[arg(long, value_name = "ID")]
    taskmanager: Option<String>,

    /// The log of the JobManager (the default)
    #[arg(long = "jobmanager", conflicts_with_all = ["job", "taskmanager"])]
    of_jobmanager: bool,

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
}

/// Runs the command.
pub(crate) fn execute(options: &LogsOptions) -> Result<()> {
    let configuration = options.configuration.load(|_| {})?;
    let Some(cluster) = options.cluster(&configuration)? else { return Ok(()) };
    block_on(async {
        let mut connection = cluster.connect().await?;
        let logs = options.logs(&mut connection).await?;
        show(&mut connection, logs, options.follow).await
    })
}

impl LogsOptions {
    /// The cluster whose processes are asked; none when the logs were shown already, because it is an application that has
    /// ended.
    fn cluster(&self, configuration: &Configuration) -> Result<Option<Cluster>> {
        let of_container = self.container.map(ContainerId::application);
        let id = match &self.cluster.address {
            Some(_) => None,
            None => locate::named(self.cluster.application_id.or(of_container), configuration)?,
        };
        let Some(id) = id else {
            let (jobmanager, directory) = (self.cluster.address.clone(), self.cluster.directory.clone());
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
            collected::show_ended(&application, report, container, self.job, self.of_jobmanager).await.map(|()| None)
        })
    }

    async fn logs(&self, connection: &mut Connection) -> Result<Vec<Log>> {
        let of_container = self.container.map(|id| id.to_string());
        let task_managers = match (self.taskmanager.as_ref().or(of_container.as_ref()), self.job) {
            // The first container of an attempt is the ApplicationMaster's.
            (Some(_), None) if self.container.is_some_and(|id| id.number() == 1) => vec![None],
            (Some(beginning), _) => vec![Some(self.task_manager(connection, beginning).await?)],
            (None, Some(job)) => {
                let ran_it = task_managers_of(connection, job).await?;
                if ran_it.is_empty() {
                    return Err(ClientError::failed(format!("no TaskManager has run job {job} yet"))
                        .hint("`flink-yarn list` shows what it waits for"));
                }
                ran_it.into_iter().map(Some).collect()
            }
            (None, None) => vec![None],
        };
        Ok(task_managers.into_iter().map(|id| Log::new(id, self.job)).collect())
    }

    /// The TaskManager whose id begins so.
    async fn task_manager(&self, connection: &mut Connection, beginning: &str) -> Result<String> {
        let answer = connection.request(ClientRequestBody::RequestTaskManagers).await?;
        let ClientResponseBody::TaskManagers(all) = answer else { return Err(unexpected("RequestTaskManagers")) };
        choose(all.into_iter().map(|summary| summary.id).collect(), beginning)
    }
}

fn choose(ids: Vec<String>, beginning: &str) -> Result<String> {
    let known = if ids.is_empty() { "none".to_owned() } else { ids.join(", ") };
    let mut fitting = ids.into_iter().filter(|id| id.starts_with(beginning));
    match (fitting.next(), fitting.next()) {
        (Some(id), None) => Ok(id),
        (Some(first), Some(second)) if first == beginning || second == beginning => Ok(beginning.to_owned()),
        (Some(_), Some(_)) => {
            Err(ClientError::usage(format!("several TaskManagers begin with `{beginning}`")).because_text(known))
        }
        (None, _) => Err(ClientError::usage(format!("no TaskManager `{beginning}`"))
            .because_text(format!("registered TaskManagers: {known}"))),
    }
}

async fn task_managers_of(connection: &mut Connection, job: JobId) -> Result<BTreeSet<String>> {
    let answer = connection.request(ClientRequestBody::RequestJobDetails(job)).await?;
    let ClientResponseBody::JobDetails(details) = answer else { return Err(unexpected("RequestJobDetails")) };
    let subtasks = details.vertices.into_iter().flat_map(|vertex| vertex.subtasks);
    Ok(subtasks.filter_map(|subtask| subtask.location).map(|(id, _)| id).collect())
}

impl Log {
    fn new(task_manager: Option<String>, job: Option<JobId>) -> Self {
        let title = task_manager.as_ref().map_or_else(|| "JobManager".to_owned(), |id| format!("TaskManager {id}"));
        Self { title, request: LogRequest { task_manager, job, ..LogRequest::default() } }
    }

    /// Writes what there is; true when that was anything.
    async fn write_on(&mut self, connection: &mut Connection, title: bool) -> Result<bool> {
        let mut any = false;
        loop {
            let piece = self.next_piece(connection).await?;
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

    async fn next_piece(&self, connection: &mut Connection) -> Result<LogPiece> {
        match connection.request(ClientRequestBody::RequestLog(self.request.clone())).await? {
            ClientResponseBody::Log(piece) => Ok(piece),
            _ => Err(unexpected("RequestLog")),
        }
    }
}

async fn show(connection: &mut Connection, mut logs: Vec<Log>, follow: bool) -> Result<()> {
    let titles = logs.len() > 1;
    loop {
        for log in &mut logs {
            log.write_on(connection, titles).await?;
        }
        if !follow {
            return Ok(());
        }
        tokio::time::sleep(FOLLOW_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_enough_when_it_is_the_only_one() {
        let ids = || vec!["tm-1".to_owned(), "tm-12".to_owned(), "other".to_owned()];
        assert_eq!(choose(ids(), "ot").unwrap(), "other");
        assert_eq!(choose(ids(), "tm-1").unwrap(), "tm-1");
        assert!(choose(ids(), "tm").unwrap_err().to_string().contains("several"));
        assert!(choose(ids(), "x").unwrap_err().to_string().contains("registered TaskManagers: tm-1, tm-12, other"));
    }
}
