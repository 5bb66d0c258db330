//! `flink-yarn run`: a program in its own process with an embedded cluster (`local`), on a cluster (`remote`,
//! `yarn-session`), or in applications of its own on YARN (`yarn-application`, `yarn-per-job`).

/// Runs the program in its own process.
mod local;

/// Runs the program's jobs on a cluster.
mod remote;

/// Runs the program in applications of its own on YARN.
mod yarn;

/// Answers what the program asks while its `main` runs here, wherever its jobs run.
mod driver;

/// Follows one job to its end.
mod follow;

/// What is told of a job.
mod telling;

/// Ctrl-C and SIGTERM.
mod signals;

use std::time::Duration;

use clap::{Args, ValueEnum};
use flink_graph::Configuration;
use flink_graph::configuration::{ConfigValue, options};

use crate::connection::{Cluster, ClusterOptions};
use crate::error::{ClientError, Result};
use crate::output::Format;
use crate::program::{Program, ProgramArguments};
use crate::settings::{self, ConfigurationOptions};
use crate::yarn::locate;
use crate::yarn::options::DeploymentOptions;
use crate::yarn::plan::Kind;

pub(crate) use signals::{Signals, interrupted};

const EXAMPLES: &str = "\
Examples:
  flink-yarn run ./wordcount --input text.txt --output counts
  flink-yarn run -t local -p 4 ./wordcount --input text.txt --output counts
  flink-yarn run -m host:6123 -d -D pipeline.name=words ./wordcount --input ...
  flink-yarn run -t yarn-application -tm 2g -ys 4 -p 8 ./wordcount --input ...
  flink-yarn run -id application_1_0001 ./wordcount --input hdfs:///in ...

Everything behind PROGRAM goes to the program as it is. The program's own
output goes to standard output, what is told about the job to standard error.
A program that runs remotely has no standard input. While a job runs, Ctrl-C
asks whether to cancel it; y or a second Ctrl-C does so, and another Ctrl-C
does not wait for its end. Without a terminal, and on SIGTERM, the job is
canceled at once.

The options of Flink 1.x mean the same: -m yarn-cluster is -t yarn-per-job;
-yjm, -ytm, -ys, -yqu, -ynm, -yat, -yD, -yd, -yid, -yt, -yj, -ynl. With -yn N
and no -p, the parallelism is N times -ys.";

/// Where a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// In the program's own process, with an embedded cluster
    Local,
    /// On the cluster that -m, the configuration or `standalone start` names
    Remote,
    /// In a session on YARN: the one that -id names, or the last that was started from here
    YarnSession,
    /// In an application of its own on YARN, `main` included
    YarnApplication,
    /// In an application of its own on YARN for each job; `main` runs here
    YarnPerJob,
}

/// Where a run takes place.
#[allow(clippy::large_enum_variant)] // there is one of them
enum Place {
    Here,
    On(Cluster),
    Own(Kind),
}

/// Options of `run`.
#[derive(Debug, Args)]
#[command(
    override_usage = "flink-yarn run [OPTIONS] PROGRAM [ARGS]...",
    after_help = EXAMPLES,
    subcommand_value_name = "PROGRAM",
    disable_help_subcommand = true,
    subcommand_help_heading = "Program"
)]
pub(crate) struct RunOptions {
    /// Where the program runs (default: remote with -m, yarn-session with -id, else execution.target, else the cluster or session that is known, else local)
    #[arg(short, long, value_name = "TARGET")]
    target: Option<Target>,

    /// Parallelism of operators that have none of their own
    #[arg(short, long, value_name = "N", value_parser = settings::at_least_one)]
    parallelism: Option<u32>,

    /// Submit the job and leave
    #[arg(short, long)]
    detached: bool,

    /// Name of the job, where the program gives none
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// How the result is written
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,

    /// Longest time that the program may take to reach its first job
    #[arg(long, value_name = "DURATION", default_value = "10 min", value_parser = duration)]
    plan_timeout: Duration,

    #[command(flatten)]
    cluster: ClusterOptions,

    #[command(flatten)]
    deployment: DeploymentOptions,

    #[command(flatten)]
    configuration: ConfigurationOptions,

    #[command(subcommand)]
    program: Option<ProgramArguments>,
}

/// A duration in the form of the configuration.
pub(crate) fn duration(text: &str) -> std::result::Result<Duration, String> {
    Duration::parse(text.trim()).ok_or_else(|| format!("expected {}", Duration::EXPECTED))
}

impl RunOptions {
    /// How results and errors are told.
    pub(crate) fn format(&self) -> Format {
        self.output
    }

    fn load(&self) -> Result<Configuration> {
        self.configuration.load(|configuration| {
            if let Some(parallelism) = self.parallelism {
                configuration.set(options::DEFAULT_PARALLELISM.key, parallelism.to_string());
            }
            if let Some(name) = &self.name {
                configuration.set(options::PIPELINE_NAME.key, name);
            }
            self.deployment.apply(configuration);
        })
    }

    fn place(&self, configuration: &Configuration) -> Result<Place> {
        let target = self.target(configuration)?;
        let own = matches!(target, Some(Target::YarnApplication | Target::YarnPerJob));
        if let (false, Some(given)) = (own, self.deployment.first_given()) {
            return Err(ClientError::usage(format!("{given} is for a new application on YARN, and none is started"))
                .hint("leave it out, or choose -t yarn-application or -t yarn-per-job"));
        }
        Ok(match target {
            Some(Target::Local) => Place::Here,
            Some(Target::Remote) => Place::On(self.cluster.require(configuration)?),
            Some(Target::YarnSession) => Place::On(match locate::named(self.cluster.application_id, configuration)? {
                Some(id) => locate::cluster(id, configuration)?,
                None => locate::require_session(configuration)?,
            }),
            Some(Target::YarnApplication) => Place::Own(Kind::Application),
            Some(Target::YarnPerJob) => Place::Own(Kind::PerJob),
            None => self.cluster.find(configuration)?.map_or(Place::Here, Place::On),
        })
    }

    /// The target that was chosen, if any was.
    fn target(&self, configuration: &Configuration) -> Result<Option<Target>> {
        let configured = settings::get(configuration, &options::EXECUTION_TARGET)?;
        let remote = self.cluster.jobmanager.as_ref().map(|_| Target::Remote);
        let session = self.cluster.application_id.map(|_| Target::YarnSession);
        let configured = || configured.and_then(|name| Target::from_str(&name, true).ok());
        Ok(self.target.or(remote).or(session).or_else(configured))
    }

    #[cfg(test)]
    pub(crate) fn program_words(&self) -> Vec<&str> {
        let Some(ProgramArguments::Program(words)) = &self.program else { return Vec::new() };
        words.iter().filter_map(|word| word.to_str()).collect()
    }
}

/// Runs the command.
pub(crate) fn execute(options: &RunOptions) -> Result<()> {
    let program = Program::find(options.program.as_ref(), "run")?;
    let configuration = options.load()?;
    let attached = settings::get(&configuration, &flink_graph::options::EXECUTION_ATTACHED)? && !options.detached;
    match options.place(&configuration)? {
        Place::Here if options.detached => {
            Err(ClientError::usage("a local job cannot be detached: it ends with its program")
                .hint("leave -d out, or start a cluster with `flink-yarn standalone start` and use -t remote"))
        }
        Place::Here if options.output == Format::Json => Err(ClientError::usage(
            "--output json is for jobs on a cluster: a program that runs in its own process writes its results itself",
        )
        .hint("leave --output out, or start a cluster with `flink-yarn standalone start` and use -t remote")),
        Place::Here => local::run(&program, &configuration),
        Place::Own(kind) => {
            let run = yarn::YarnRun { kind, attached, format: options.output, plan_timeout: options.plan_timeout };
            block_on(run.run(program, configuration))
        }
        Place::On(cluster) => {
            let run =
                remote::RemoteRun { cluster, attached, format: options.output, plan_timeout: options.plan_timeout };
            block_on(run.run(program, configuration))
        }
    }
}

/// Runs a command's asynchronous part on this thread.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| ClientError::failed("cannot set up network and timers").because(&error))?;
    let result = runtime.block_on(work);
    // Name look-ups and hashing that nobody waits for any more must not hold up the end.
    runtime.shutdown_background();
    result
}
