use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use flink_console::human;
use flink_graph::Configuration;
use flink_graph::configuration::options;
use flink_protocol::client::{ClientRequestBody, ClientResponseBody};
use flink_transport::{CertificateAuthority, Role, authority};
use serde::Serialize;

use super::launch::{self, Starting, TaskManagerLaunch};
use super::{keys, stop, workers};
use crate::cluster_directory::{ClusterDirectory, ClusterDirectoryOption, ClusterRecord, ProcessRecord};
use crate::connection::{Cluster, unexpected};
use crate::error::{ClientError, Exit, Result};
use crate::output::{self, Format};
use crate::run::block_on;
use crate::settings::{self, ConfigurationOptions};

/// Longest wait for the registration of all TaskManagers.
const REGISTRATION_TIMEOUT: Duration = Duration::from_secs(30);

/// Pause before the JobManager is asked again how many there are.
const REGISTRATION_PAUSE: Duration = Duration::from_millis(10);

/// Options of `standalone start`.
#[derive(Debug, Args)]
#[command(after_help = super::EXAMPLES)]
pub(super) struct StartOptions {
    /// Number of TaskManagers on this host (default: one for each line of `workers` in the configuration folder, else 1)
    #[arg(short = 'n', long, visible_short_alias = 't', value_name = "N", value_parser = settings::up_to_a_thousand)]
    taskmanagers: Option<u32>,

    /// Slots of each TaskManager
    #[arg(short, long, value_name = "N", value_parser = settings::at_least_one)]
    slots: Option<u32>,

    /// File with the hosts of the TaskManagers, one a line; others than this one are reached through ssh
    #[arg(long, value_name = "FILE", conflicts_with = "taskmanagers")]
    workers: Option<PathBuf>,

    /// How the result is written
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,

    #[command(flatten)]
    directory: ClusterDirectoryOption,

    #[command(flatten)]
    configuration: ConfigurationOptions,
}

/// A cluster that is being started.
struct Start {
    directory: ClusterDirectory,
    configuration: Configuration,
    /// The host of each TaskManager; none for this one.
    hosts: Vec<Option<String>>,
    record: ClusterRecord,
}

#[derive(Serialize)]
struct JsonStarted<'a> {
    address: &'a str,
    rest: &'a Option<String>,
    taskmanagers: usize,
    slots: u32,
    directory: String,
}

/// Runs the command.
pub(super) fn execute(options: &StartOptions) -> Result<()> {
    let began = Instant::now();
    let configuration = options.configuration.load(|configuration| {
        if let Some(slots) = options.slots {
            configuration.set(options::TASK_SLOTS.key, slots.to_string());
        }
    })?;
    let hosts = options.hosts()?;
    check_addresses(&hosts, &configuration)?;
    let directory = options.directory.folder()?;
    directory.create()?;
    let _lock = directory.lock()?;
    refuse_second(&directory)?;
    let tls = settings::get(&configuration, &options::SECURITY_SSL_INTERNAL_ENABLED)?;
    let record =
        ClusterRecord { address: String::new(), rest: None, tls, started: human::now_millis(), processes: Vec::new() };
    let mut start = Start { directory, configuration, hosts, record };
    let started = block_on(async {
        tokio::select! {
            result = start.run() => result,
            _ = tokio::signal::ctrl_c() => Err(ClientError::new(Exit::Interrupted, "interrupted before the cluster was up")),
        }
    });
    if let Err(error) = started {
        start.undo();
        return Err(error);
    }
    start.report(options.output, began)
}

impl StartOptions {
    pub(super) fn format(&self) -> Format {
        self.output
    }

    fn hosts(&self) -> Result<Vec<Option<String>>> {
        let file = match (&self.workers, self.taskmanagers) {
            (Some(file), _) => Some(file.clone()),
            (None, Some(_)) => None,
            (None, None) => {
                let folder = settings::directory(self.configuration.config_dir.as_deref())?;
                folder.map(|folder| folder.join("workers")).filter(|file| file.is_file())
            }
        };
        match file {
            Some(file) => Ok(workers::read(&file)?.into_iter().map(remote).collect()),
            None => Ok((0..self.taskmanagers.unwrap_or(1)).map(|_| None).collect()),
        }
    }
}

fn remote(host: String) -> Option<String> {
    Some(host).filter(|host| !workers::is_this_host(host))
}

/// TaskManagers elsewhere cannot reach this host as `localhost`.
fn check_addresses(hosts: &[Option<String>], configuration: &Configuration) -> Result<()> {
    let address = settings::get(configuration, &options::JOB_MANAGER_RPC_ADDRESS)?;
    let Some(host) = hosts.iter().flatten().next() else { return Ok(()) };
    if !["localhost", "127.0.0.1", "::1"].contains(&address.as_str()) {
        return Ok(());
    }
    Err(ClientError::usage(format!("the TaskManager on {host} cannot reach the JobManager at {address}"))
        .hint("set the name of this host: -D jobmanager.rpc.address=HOST"))
}

/// One cluster a folder; what is left of one that died does not count.
fn refuse_second(directory: &ClusterDirectory) -> Result<()> {
    let Some(record) = directory.read()? else { return Ok(()) };
    let alive = |process: &&ProcessRecord| process.host.is_some() || process.id.is_alive();
    let Some(running) = record.processes.iter().find(alive) else {
        output::notice(format!(
            "the cluster that was started {} has ended without `standalone stop`",
            human::timestamp(record.started)
        ));
        return directory.remove_record();
    };
    Err(ClientError::failed(format!("a cluster runs already: {} has pid {}", running.name, running.id.pid)).hint(
        format!(
            "end it with `flink-yarn standalone stop`, or start another with --cluster-dir (this one is in {})",
            directory.path().display()
        ),
    ))
}

impl Start {
    async fn run(&mut self) -> Result<()> {
        let folder = self.directory.security();
        let authority = if self.record.tls { Some(keys::make(&folder)?) } else { None };
        if authority.is_none() {
            keys::make_token(&folder)?;
        }
        self.configuration.set(options::SECURITY_DIRECTORY.key, folder.display().to_string());
        let mut processes = vec![self.start_job_manager().await?];
        self.start_task_managers(authority.as_ref(), &mut processes).await?;
        self.wait_for_registration(&mut processes).await
    }

    async fn start_job_manager(&mut self) -> Result<Starting> {
        let mut starting = launch::start("jobmanager", "jobmanager", self.directory.path(), &self.configuration)?;
        self.note(starting.record.clone())?;
        let ready = starting.ready().await?;
        self.record.address = ready.address;
        self.record.rest = ready.rest;
        Ok(starting)
    }

    /// Notes a process as soon as there is one, so that `stop` finds it even when this command is killed.
    fn note(&mut self, process: ProcessRecord) -> Result<()> {
        self.record.processes.push(process);
        self.directory.write(&self.record)
    }

    async fn start_task_managers(
        &mut self,
        authority: Option<&CertificateAuthority>,
        processes: &mut Vec<Starting>,
    ) -> Result<()> {
        let first = processes.len();
        for (index, host) in self.hosts.clone().into_iter().enumerate() {
            let launch = self.task_manager(index, host.as_deref(), authority)?;
            match host {
                Some(host) => {
                    let record = launch::start_on(&host, &launch).await?;
                    self.note(record)?;
                }
                None => {
                    let starting = launch.start()?;
                    self.note(starting.record.clone())?;
                    processes.push(starting);
                }
            }
        }
        for starting in &mut processes[first..] {
            starting.ready().await?;
        }
        Ok(())
    }

    fn task_manager(
        &self,
        index: usize,
        host: Option<&str>,
        authority: Option<&CertificateAuthority>,
    ) -> Result<TaskManagerLaunch> {
        let name = format!("taskmanager-{index}");
        let keys = authority.map(|authority| keys::of_task_manager(authority, &name)).transpose()?;
        let mut configuration = self.configuration.clone();
        let (job_manager, port) = self.record.address.rsplit_once(':').unwrap_or((&self.record.address, "0"));
        configuration.set(options::JOB_MANAGER_RPC_ADDRESS.key, job_manager);
        configuration.set(options::JOB_MANAGER_RPC_PORT.key, port);
        // A TaskManager on this host finds out by itself how it is reached.
        if let Some(host) = host.filter(|_| configuration.raw(options::TASK_MANAGER_HOST.key).is_none()) {
            configuration.set(options::TASK_MANAGER_HOST.key, host.rsplit('@').next().unwrap_or(host));
        }
        Ok(TaskManagerLaunch { name, folder: self.directory.path().to_owned(), configuration, keys })
    }

    /// The cluster can be used when the JobManager knows all TaskManagers.
    async fn wait_for_registration(&self, processes: &mut [Starting]) -> Result<()> {
        let until = Instant::now() + REGISTRATION_TIMEOUT;
        let cluster = self.cluster()?;
        let mut connection = cluster.connect().await?;
        loop {
            let answer = connection.request(ClientRequestBody::RequestClusterOverview).await?;
            let ClientResponseBody::ClusterOverview(overview) = answer else {
                return Err(unexpected("RequestClusterOverview"));
            };
            if overview.task_managers as usize >= self.hosts.len() {
                return Ok(());
            }
            if let Some(dead) = processes.iter_mut().find(|process| !process.record.id.is_alive()) {
                return Err(dead.ended().await);
            }
            if Instant::now() > until {
                return Err(self.not_registered(overview.task_managers));
            }
            tokio::time::sleep(REGISTRATION_PAUSE).await;
        }
    }

    fn not_registered(&self, registered: u32) -> ClientError {
        let (all, waited) = (self.hosts.len(), REGISTRATION_TIMEOUT.as_secs());
        ClientError::failed(format!("only {registered} of {all} TaskManagers have registered within {waited} s"))
            .hint(format!("their logs: {}", self.directory.logs().display()))
    }

    fn cluster(&self) -> Result<Cluster> {
        let keys = self.directory.security();
        let load = || authority::load_material(&keys, Role::Client);
        let material = self.record.tls.then(load).transpose();
        let material =
            material.map_err(|error| ClientError::failed("cannot read the client's keys").because(&error))?;
        Cluster::new(self.record.address.clone(), material, &self.configuration)
    }

    /// A cluster that did not start leaves no process.
    fn undo(&self) {
        let ended = stop::end_all(&self.record).and_then(|_| self.directory.remove_record());
        if let Err(error) = ended {
            output::notice(error.to_string());
        }
    }

    fn report(&self, format: Format, began: Instant) -> Result<()> {
        let slots = settings::get(&self.configuration, &options::TASK_SLOTS)?;
        let (address, rest, taskmanagers) = (&self.record.address, &self.record.rest, self.hosts.len());
        let directory = self.directory.path().display().to_string();
        if format == Format::Json {
            return output::json(&JsonStarted { address, rest, taskmanagers, slots, directory });
        }
        let plural = |number: u64| if number == 1 { "" } else { "s" };
        let (managers, of_slots) = (plural(taskmanagers as u64), plural(slots.into()));
        output::line(format!(
            "Started a JobManager at {address} and {taskmanagers} TaskManager{managers} with {slots} slot{of_slots} each in {}",
            human::duration(began.elapsed())
        ))?;
        if let Some(url) = rest {
            output::line(format!("REST API: {url}"))?;
        }
        output::line(format!("Keys and logs: {directory}"))
    }
}
