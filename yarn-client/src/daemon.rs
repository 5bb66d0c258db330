use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use flink_graph::Configuration;
use flink_graph::configuration::options;
use flink_protocol::worker::TlsMaterial;
use flink_transport::{RestToken, Role, authority};
use serde::{Deserialize, Serialize};

use crate::cluster_directory::ClusterDirectoryOption;
use crate::error::{ClientError, Result};
use crate::output::{self, Format};
use crate::settings::{self, ConfigurationOptions};
use crate::standalone::keys;

/// Why a JobManager or TaskManager ended with an error.
pub type DaemonError = Box<dyn std::error::Error + Send + Sync>;

/// The long-lived processes, which the binary hands in: each runs on the calling thread until it is told to end by
/// SIGTERM or SIGINT, and announces itself when it can be used.
pub trait Daemons {
    /// Runs a JobManager.
    ///
    /// # Errors
    /// It could not start, or had to give up.
    fn job_manager(&self, start: JobManagerStart) -> Result<(), DaemonError>;

    /// Runs a TaskManager.
    ///
    /// # Errors
    /// It could not start, or had to give up.
    fn task_manager(&self, start: TaskManagerStart) -> Result<(), DaemonError>;
}

/// What a JobManager is started with.
#[derive(Debug)]
pub struct JobManagerStart {
    /// Configuration of the cluster, checked.
    pub configuration: Configuration,
    /// Its keys; none without TLS.
    pub tls: Option<TlsMaterial>,
    /// What callers of the REST API must show to change something.
    pub rest_token: RestToken,
    /// Its log, when standard error goes to a file.
    pub log: Option<PathBuf>,
    /// To be told when clients can connect.
    pub announcement: Announcement,
}

/// What a TaskManager is started with.
#[derive(Debug)]
pub struct TaskManagerStart {
    /// Configuration of the cluster, checked.
    pub configuration: Configuration,
    /// `host:port` of the JobManager.
    pub job_manager: String,
    /// Its keys; none without TLS.
    pub tls: Option<TlsMaterial>,
    /// The keys that its workers use; none without TLS.
    pub worker_tls: Option<TlsMaterial>,
    /// Its log, when standard error goes to a file.
    pub log: Option<PathBuf>,
    /// To be told when it runs (it registers on its own afterwards, as often as needed).
    pub announcement: Announcement,
}

/// Tells on standard output, once, that a process can be used: whoever started it waits for that line.
#[derive(Debug)]
pub struct Announcement {
    format: Format,
    what: &'static str,
}

/// What a process says of itself when it can be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// `host:port` of its control port; empty for one that only connects to others.
    pub address: String,
    /// URL of the REST API.
    pub rest: Option<String>,
}

impl Announcement {
    /// The process can be used.
    pub fn ready(self, ready: &Ready) {
        let text = match self.format {
            Format::Json => output::json_text(ready).unwrap_or_default(),
            Format::Text => self.sentence(ready),
        };
        let mut stdout = std::io::stdout().lock();
        // Whoever waits for it may have gone; the process lives on without.
        let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    }

    fn sentence(&self, ready: &Ready) -> String {
        let place = if ready.address.is_empty() { String::new() } else { format!(" at {}", ready.address) };
        let rest = ready.rest.as_ref().map(|url| format!(", REST API at {url}")).unwrap_or_default();
        format!("{} is ready{place}{rest}; Ctrl-C ends it", self.what)
    }
}

/// Options of both daemons.
#[derive(Debug, Args)]
pub(crate) struct DaemonOptions {
    /// How readiness is told
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,

    /// Leave the terminal that it was started from
    #[arg(long, hide = true)]
    daemon: bool,

    /// Where standard error goes, so that it can be shown
    #[arg(long, hide = true, value_name = "FILE")]
    log_file: Option<PathBuf>,

    #[command(flatten)]
    directory: ClusterDirectoryOption,

    #[command(flatten)]
    configuration: ConfigurationOptions,
}

/// Options of `jobmanager`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flink-yarn jobmanager
  flink-yarn jobmanager -D jobmanager.rpc.address=host1 -D jobmanager.rpc.port=6123 -D security.directory=/etc/keys

Keys are taken from security.directory, or from `security` in the cluster's folder, where they are
made when there are none yet.")]
pub(crate) struct JobManagerOptions {
    #[command(flatten)]
    daemon: DaemonOptions,
}

/// Options of `taskmanager`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flink-yarn taskmanager -D taskmanager.numberOfTaskSlots=2
  flink-yarn taskmanager -m host1:6123 -D security.directory=/etc/keys")]
pub(crate) struct TaskManagerOptions {
    /// Address of the JobManager (default: jobmanager.rpc.address and jobmanager.rpc.port)
    #[arg(short = 'm', long, value_name = "HOST:PORT", help_heading = "Cluster")]
    jobmanager: Option<String>,

    #[command(flatten)]
    daemon: DaemonOptions,
}

impl DaemonOptions {
    fn prepare(&self) -> Result<Configuration> {
        if self.daemon {
            // Fails only for the leader of a group, which has left the terminal's already.
            let _ = rustix::process::setsid();
        }
        self.configuration.load(|_| {})
    }

    /// The folder with the process's keys and the token.
    fn security(&self, configuration: &Configuration) -> Result<PathBuf> {
        match settings::get(configuration, &options::SECURITY_DIRECTORY)? {
            Some(folder) => Ok(PathBuf::from(folder)),
            None => Ok(self.directory.folder()?.security()),
        }
    }

    /// Makes keys and token in the cluster's folder when there are none and no other folder is named.
    fn make_security(&self, configuration: &Configuration, tls: bool) -> Result<()> {
        let folder = self.security(configuration)?;
        if configuration.raw(options::SECURITY_DIRECTORY.key).is_some() || keys::exist(&folder, tls) {
            return Ok(());
        }
        self.directory.folder()?.create()?;
        if tls { keys::make(&folder).map(|_| ()) } else { keys::make_token(&folder) }
    }

    fn announcement(&self, what: &'static str) -> Announcement {
        Announcement { format: self.output, what }
    }
}

impl JobManagerOptions {
    pub(crate) fn execute(&self, daemons: &dyn Daemons) -> Result<()> {
        let configuration = self.daemon.prepare()?;
        let tls = settings::get(&configuration, &options::SECURITY_SSL_INTERNAL_ENABLED)?;
        self.daemon.make_security(&configuration, tls)?;
        let folder = self.daemon.security(&configuration)?;
        let start = JobManagerStart {
            tls: tls.then(|| material(&folder, Role::JobManager)).transpose()?,
            rest_token: token(&folder)?,
            configuration,
            log: self.daemon.log_file.clone(),
            announcement: self.daemon.announcement("JobManager"),
        };
        daemons.job_manager(start).map_err(|error| ended("JobManager", &*error))
    }
}

impl TaskManagerOptions {
    pub(crate) fn execute(&self, daemons: &dyn Daemons) -> Result<()> {
        let configuration = self.daemon.prepare()?;
        let tls = settings::get(&configuration, &options::SECURITY_SSL_INTERNAL_ENABLED)?;
        let folder = self.daemon.security(&configuration)?;
        let start = TaskManagerStart {
            job_manager: self.job_manager(&configuration)?,
            tls: tls.then(|| material(&folder, Role::TaskManager)).transpose()?,
            worker_tls: tls.then(|| material(&folder, Role::Worker)).transpose()?,
            configuration,
            log: self.daemon.log_file.clone(),
            announcement: self.daemon.announcement("TaskManager"),
        };
        daemons.task_manager(start).map_err(|error| ended("TaskManager", &*error))
    }

    fn job_manager(&self, configuration: &Configuration) -> Result<String> {
        let port = settings::get(configuration, &options::JOB_MANAGER_RPC_PORT)?;
        let host = settings::get(configuration, &options::JOB_MANAGER_RPC_ADDRESS)?;
        crate::connection::with_port(self.jobmanager.as_deref().unwrap_or(&host), port)
    }
}

fn material(folder: &std::path::Path, role: Role) -> Result<TlsMaterial> {
    authority::load_material(folder, role).map_err(|error| {
        ClientError::usage(format!("the keys of the {role} cannot be read")).because(&error).hint(
            "`flink-yarn standalone start` and `flink-yarn jobmanager` make keys; name their folder with -D \
             security.directory=DIR, or go without TLS with -D security.ssl.internal.enabled=false",
        )
    })
}

fn token(folder: &std::path::Path) -> Result<RestToken> {
    RestToken::load(folder).map_err(|error| ClientError::usage("the REST API's token cannot be read").because(&error))
}

fn ended(what: &str, error: &(dyn std::error::Error + 'static)) -> ClientError {
    ClientError::failed(format!("the {what} ended")).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_is_one_line() {
        let ready = Ready { address: "h:1".to_owned(), rest: Some("http://h:2".to_owned()) };
        let text = Announcement { format: Format::Text, what: "JobManager" }.sentence(&ready);
        assert_eq!(text, "JobManager is ready at h:1, REST API at http://h:2; Ctrl-C ends it");
        let json = output::json_text(&ready).unwrap();
        assert_eq!(serde_json::from_str::<Ready>(&json).unwrap(), ready);
    }
}
