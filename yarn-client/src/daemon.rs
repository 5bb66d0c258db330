use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use flink_graph::Configuration;
use flink_graph::configuration::options;
use flink_protocol::worker::TlsMaterial;
use flink_transport::{RestToken, Role, authority};
use serde::{Deserialize, Serialize};

use crate::cluster_directory::{ClusterDirectory, ClusterDirectoryOption};
use crate::error::{ClientError, Result};
use crate::output::{self, Format};
use crate::settings::{self, ConfigurationOptions};
use crate::standalone::keys;
use crate::standalone::process::ProcessId;

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
    /// To be told when it has registered for the first time.
    pub announcement: Announcement,
}

/// Tells on standard output, once, that a process can be used: whoever started it waits for that line.
#[derive(Debug)]
pub struct Announcement {
    format: Format,
    what: &'static str,
    /// The process of a standalone cluster in whose place this one was started, perhaps.
    place: Option<Place>,
}

/// A place among the processes of a standalone cluster.
#[derive(Debug)]
struct Place {
    cluster: ClusterDirectory,
    name: String,
    log: Option<PathBuf>,
}

impl Place {
    /// From the configuration folder that `standalone start` made for the process: `CLUSTER/NAME`.
    fn of(options: &DaemonOptions) -> Option<Self> {
        let folder = std::path::absolute(options.configuration.config_dir.as_deref()?).ok()?;
        let name = folder.file_name()?.to_str()?.to_owned();
        Some(Self { cluster: ClusterDirectory::at(folder.parent()?), name, log: options.log_file.clone() })
    }

    /// Notes this process in place of one that has ended, so that `status` and `stop` know it.
    fn take(&self, ready: &Ready) -> Result<()> {
        // Whoever starts the cluster writes the record itself.
        let (Some(own), Ok(_lock)) = (ProcessId::own(), self.cluster.lock_existing()) else { return Ok(()) };
        let Some(mut record) = self.cluster.read()? else { return Ok(()) };
        let mut here = record.processes.iter_mut().filter(|process| process.host.is_none());
        let Some(place) = here.find(|process| process.name == self.name && !process.id.is_alive()) else {
            return Ok(());
        };
        place.id = own;
        if let Some(log) = &self.log {
            place.log.clone_from(log);
        }
        if !ready.address.is_empty() {
            record.address.clone_from(&ready.address);
            record.rest.clone_from(&ready.rest);
        }
        self.cluster.write(&record)
    }
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
    /// What the process is doing until it can be used; for people.
    pub fn waits(&self, what: &str) {
        if self.format == Format::Text {
            output::notice(format!("{} {what}", self.what));
        }
    }

    /// The process can be used.
    pub fn ready(self, ready: &Ready) {
        if let Some(Err(error)) = self.place.as_ref().map(|place| place.take(ready)) {
            output::notice(error.to_string());
        }
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
  flink-yarn jobmanager -D jobmanager.rpc.address=host1
  flink-yarn jobmanager -D security.directory=/etc/keys

Keys are taken from security.directory, or from `security` in the cluster's
folder, where they are made when there are none yet.")]
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
        Announcement { format: self.output, what, place: Place::of(self) }
    }

    /// How readiness and errors are told.
    fn format(&self) -> Format {
        self.output
    }
}

impl JobManagerOptions {
    pub(crate) fn format(&self) -> Format {
        self.daemon.format()
    }

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
    pub(crate) fn format(&self) -> Format {
        self.daemon.format()
    }

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
    use crate::cluster_directory::{ClusterRecord, ProcessRecord};

    #[test]
    fn readiness_is_one_line() {
        let ready = Ready { address: "h:1".to_owned(), rest: Some("http://h:2".to_owned()) };
        let text = Announcement { format: Format::Text, what: "JobManager", place: None }.sentence(&ready);
        assert_eq!(text, "JobManager is ready at h:1, REST API at http://h:2; Ctrl-C ends it");
        let json = output::json_text(&ready).unwrap();
        assert_eq!(serde_json::from_str::<Ready>(&json).unwrap(), ready);
    }

    #[test]
    fn a_process_takes_the_place_of_one_that_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let cluster = ClusterDirectory::at(folder.path());
        cluster.create().unwrap();
        let own = ProcessId::own().unwrap();
        let process = |name: &str, id: &ProcessId| ProcessRecord {
            name: name.to_owned(),
            host: None,
            id: id.clone(),
            log: PathBuf::from("old.log"),
        };
        let ended = ProcessId { start_time: own.start_time + 1, ..own.clone() };
        let mut record = ClusterRecord {
            address: "h:1".to_owned(),
            rest: None,
            tls: true,
            started: 1,
            processes: vec![process("jobmanager", &ended), process("taskmanager-0", &ended)],
        };
        cluster.write(&record).unwrap();
        let ready = Ready { address: "h:3".to_owned(), rest: Some("http://h:4".to_owned()) };
        let place = |name: &str| Place { cluster: cluster.clone(), name: name.to_owned(), log: Some("new.log".into()) };
        place("jobmanager").take(&ready).unwrap();
        (record.address, record.rest) = (ready.address.clone(), ready.rest.clone());
        record.processes[0] = ProcessRecord { log: "new.log".into(), ..process("jobmanager", &own) };
        assert_eq!(cluster.read().unwrap().as_ref(), Some(&record));
        // One that lives keeps its place, and there is none for a stranger.
        place("jobmanager").take(&Ready { address: "h:5".to_owned(), rest: None }).unwrap();
        place("taskmanager-7").take(&ready).unwrap();
        assert_eq!(cluster.read().unwrap(), Some(record));
        let elsewhere = ClusterDirectory::at(&folder.path().join("none"));
        Place { cluster: elsewhere, name: "jobmanager".to_owned(), log: None }.take(&ready).unwrap();
        assert!(!folder.path().join("none").exists());
    }
}
