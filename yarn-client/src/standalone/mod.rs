//! `flink-yarn standalone start|stop|status`: a JobManager and TaskManagers without YARN.

/// Processes by id and start time, so that a stale record never ends a stranger.
pub(crate) mod process;

/// The cluster's authority, the certificates of its processes, the token of the REST API.
pub(crate) mod keys;

/// The hosts of a workers file.
mod workers;

/// Starts one process of the cluster, here or through ssh.
mod launch;

/// `standalone start`
mod start;

/// `standalone stop`
mod stop;

/// `standalone status`
mod status;

use clap::{Args, Subcommand};

use crate::error::Result;
use crate::output::Format;

const EXAMPLES: &str = "\
Examples:
  flink-yarn standalone start             one TaskManager with one slot
  flink-yarn standalone start --taskmanagers 2 --slots 4
  flink-yarn standalone start -D jobmanager.rpc.port=0 -D rest.port=0
  flink-yarn standalone start --workers hosts.txt -D jobmanager.rpc.address=a
  flink-yarn standalone status
  flink-yarn standalone stop";

/// Options of `standalone`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, disable_help_subcommand = true)]
pub(crate) struct StandaloneOptions {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Start a cluster and wait until it can be used
    Start(start::StartOptions),
    /// End the cluster: TaskManagers first
    Stop(stop::StopOptions),
    /// Show processes, ports and slots of the cluster
    Status(status::StatusOptions),
    /// Start a TaskManager on this host for a cluster elsewhere; called through ssh
    #[command(hide = true)]
    Launch,
    /// End a process on this host for a cluster elsewhere; called through ssh
    #[command(hide = true)]
    End(process::ProcessId),
}

impl StandaloneOptions {
    /// How result and errors are told.
    pub(crate) fn format(&self) -> Format {
        match &self.action {
            Action::Start(options) => options.format(),
            Action::Status(options) => options.format(),
            Action::Stop(options) => options.format(),
            Action::Launch | Action::End(_) => Format::Text,
        }
    }
}

/// Runs the command.
pub(crate) fn execute(options: &StandaloneOptions) -> Result<()> {
    match &options.action {
        Action::Start(options) => start::execute(options),
        Action::Stop(options) => stop::execute(options),
        Action::Status(options) => status::execute(options),
        Action::Launch => launch::for_another_host(),
        Action::End(id) => stop::end(id).map(|_| ()),
    }
}
