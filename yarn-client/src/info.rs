use std::time::Duration;

use clap::{Args, ValueEnum};
use flink_graph::configuration::options;
use flink_graph::{JobGraph, plan};

use crate::error::{ClientError, Exit, Result};
use crate::output::{self, Format};
use crate::program::{Planned, Planner, Program, ProgramArguments, StandardOutput};
use crate::run::{block_on, duration};
use crate::settings::{self, ConfigurationOptions};

const EXAMPLES: &str = "\
Examples:
  flink-yarn info -p 4 ./wordcount --input text.txt --output counts
  flink-yarn info --output dot ./wordcount --input a --output b | dot -Tsvg

The plan goes to standard output, what the program prints to standard error. Of
a program with several jobs the first is shown.";

/// How a plan is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum PlanFormat {
    /// For people
    #[default]
    Text,
    /// In the shape of Flink's REST API
    Json,
    /// For Graphviz
    Dot,
}

/// Options of `info`.
#[derive(Debug, Args)]
#[command(
    override_usage = "flink-yarn info [OPTIONS] PROGRAM [ARGS]...",
    after_help = EXAMPLES,
    subcommand_value_name = "PROGRAM",
    disable_help_subcommand = true
)]
pub(crate) struct InfoOptions {
    /// Parallelism of operators that have none of their own
    #[arg(short, long, value_name = "N", value_parser = settings::at_least_one)]
    parallelism: Option<u32>,

    /// How the plan is written
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    output: PlanFormat,

    /// Longest time that the program may take to make its plan
    #[arg(long, value_name = "DURATION", default_value = "10 min", value_parser = duration)]
    plan_timeout: Duration,

    #[command(flatten)]
    configuration: ConfigurationOptions,

    #[command(subcommand)]
    program: Option<ProgramArguments>,
}

impl InfoOptions {
    /// How errors are told.
    pub(crate) fn format(&self) -> Format {
        if self.output == PlanFormat::Json { Format::Json } else { Format::Text }
    }
}

/// Runs the command.
pub(crate) fn execute(options: &InfoOptions) -> Result<()> {
    let program = Program::find(options.program.as_ref(), "info")?;
    let name = program.name();
    let configuration = options.configuration.load(|configuration| {
        if let Some(parallelism) = options.parallelism {
            configuration.set(options::DEFAULT_PARALLELISM.key, parallelism.to_string());
        }
    })?;
    let planner = Planner::new(program, configuration, StandardOutput::Error, options.plan_timeout);
    match block_on(planner.plan())? {
        Planned::Graph(graph) => show(&graph, options.output),
        Planned::Ended => Err(ClientError::new(Exit::Program, format!("{name} ended without executing a job"))
            .hint("its main must call execute() with these arguments for there to be a plan")),
    }
}

fn show(graph: &JobGraph, format: PlanFormat) -> Result<()> {
    match format {
        PlanFormat::Text => output::raw(&plan::text(graph)),
        PlanFormat::Json => output::json(&plan::JsonPlan::new(graph)),
        PlanFormat::Dot => output::raw(&plan::dot(graph)),
    }
}
