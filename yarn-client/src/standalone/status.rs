use clap::Args;
use flink_console::human;
use flink_protocol::client::{ClientRequestBody, ClientResponseBody};
use flink_protocol::overview::ClusterOverview;
use serde::Serialize;

use crate::cluster_directory::ClusterDirectoryOption;
use crate::cluster_directory::{ClusterDirectory, ClusterRecord, ProcessRecord};
use crate::connection::{ClusterOptions, unexpected};
use crate::error::{ClientError, Exit, Result};
use crate::output::{self, Format};
use crate::run::block_on;
use crate::settings::ConfigurationOptions;

/// Options of `standalone status`.
#[derive(Debug, Args)]
#[command(after_help = "\
The exit code is 0 when all processes run and the JobManager answers, 1 when
some have ended, 3 when there is no cluster.")]
pub(super) struct StatusOptions {
    /// How the status is written
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,

    #[command(flatten)]
    directory: ClusterDirectoryOption,

    #[command(flatten)]
    configuration: ConfigurationOptions,
}

#[derive(Serialize)]
struct JsonStatus<'a> {
    directory: String,
    address: &'a str,
    rest: &'a Option<String>,
    tls: bool,
    started: i64,
    processes: Vec<JsonProcess<'a>>,
    overview: Option<ClusterOverview>,
}

#[derive(Serialize)]
struct JsonProcess<'a> {
    name: &'a str,
    host: Option<&'a str>,
    pid: i32,
    running: Option<bool>,
    log: String,
}

/// Runs the command.
pub(super) fn execute(options: &StatusOptions) -> Result<()> {
    let directory = options.directory.folder()?;
    let Some(record) = directory.read()? else {
        return Err(ClientError::new(Exit::Unreachable, format!("no cluster runs in {}", directory.path().display()))
            .hint("start one with `flink-yarn standalone start`"));
    };
    let overview = options.overview();
    match options.output {
        Format::Text => output::line(text(&directory, &record, overview.as_ref().ok()))?,
        Format::Json => output::json(&json(&directory, &record, overview.as_ref().ok()))?,
    }
    let gone: Vec<&str> =
        record.processes.iter().filter(|p| running(p) == Some(false)).map(|p| p.name.as_str()).collect();
    if !gone.is_empty() {
        return Err(ClientError::failed(format!("{} ended without being told to", gone.join(", ")))
            .hint("their logs say why; `flink-yarn standalone stop` and `start` give a whole cluster again"));
    }
    overview.map(|_| ())
}

impl StatusOptions {
    pub(super) fn format(&self) -> Format {
        self.output
    }

    fn overview(&self) -> Result<ClusterOverview> {
        // The record alone says where the cluster is, whatever the configuration names.
        let mut configuration = self.configuration.load(|_| {})?;
        configuration.0.remove(flink_graph::options::JOB_MANAGER_RPC_ADDRESS.key);
        let directory = self.directory.clone();
        let cluster = ClusterOptions { jobmanager: None, application_id: None, directory }.require(&configuration)?;
        let ask = async { cluster.connect().await?.request(ClientRequestBody::RequestClusterOverview).await };
        match block_on(ask)? {
            ClientResponseBody::ClusterOverview(overview) => Ok(overview),
            _ => Err(unexpected("RequestClusterOverview")),
        }
    }
}

/// Whether a process runs; not known of those on other hosts.
fn running(process: &ProcessRecord) -> Option<bool> {
    process.host.is_none().then(|| process.id.is_alive())
}

fn text(directory: &ClusterDirectory, record: &ClusterRecord, overview: Option<&ClusterOverview>) -> String {
    let tls = if record.tls { "mutual TLS" } else { "no TLS" };
    let started = human::timestamp(record.started);
    let mut lines = vec![
        format!("Cluster in {}, started {started}", directory.path().display()),
        format!("JobManager: {} ({tls})", record.address),
    ];
    if let Some(url) = &record.rest {
        lines.push(format!("REST API:   {url}"));
    }
    if let Some(overview) = overview {
        lines.push(format!(
            "Slots:      {} free of {} on {} TaskManagers",
            overview.slots_available, overview.slots_total, overview.task_managers
        ));
        lines.push(format!(
            "Jobs:       {} running, {} finished, {} canceled, {} failed",
            overview.jobs_running, overview.jobs_finished, overview.jobs_canceled, overview.jobs_failed
        ));
    }
    lines.push(String::new());
    lines.push(processes(record));
    lines.join("\n")
}

fn processes(record: &ClusterRecord) -> String {
    let mut rows = vec![["PROCESS", "PID", "HOST", "STATE", "LOG"].map(str::to_owned).to_vec()];
    rows.extend(record.processes.iter().map(|process| {
        let state = match running(process) {
            Some(true) => "running",
            Some(false) => "ended",
            None => "elsewhere",
        };
        vec![
            process.name.clone(),
            process.id.pid.to_string(),
            process.host.clone().unwrap_or_else(|| "this host".to_owned()),
            state.to_owned(),
            process.log.display().to_string(),
        ]
    }));
    output::table(&rows)
}

fn json<'a>(
    directory: &ClusterDirectory,
    record: &'a ClusterRecord,
    overview: Option<&ClusterOverview>,
) -> JsonStatus<'a> {
    let process = |process: &'a ProcessRecord| JsonProcess {
        name: &process.name,
        host: process.host.as_deref(),
        pid: process.id.pid,
        running: running(process),
        log: process.log.display().to_string(),
    };
    JsonStatus {
        directory: directory.path().display().to_string(),
        address: &record.address,
        rest: &record.rest,
        tls: record.tls,
        started: record.started,
        processes: record.processes.iter().map(process).collect(),
        overview: overview.cloned(),
    }
}
