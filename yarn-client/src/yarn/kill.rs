use clap::Args;
use hadoop_rpc::yarn::ApplicationId;
use serde::Serialize;

use super::application::{Application, outcome};
use super::locate;
use crate::error::Result;
use crate::output::{self, Format};
use crate::run::block_on;
use crate::settings::ConfigurationOptions;

/// Options of `kill`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flink-yarn kill application_1700000000000_0001

Its jobs are canceled first, so that they take away what they have half written; YARN ends what does not end within
seconds. What the application has left in HDFS is taken away, too; also that of one which has ended already.")]
pub(crate) struct KillOptions {
    /// The application, as `run` and `session` show it
    #[arg(value_name = "APPLICATION", value_parser = locate::application_id)]
    application: ApplicationId,

    /// How the result is written
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,

    #[command(flatten)]
    configuration: ConfigurationOptions,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct JsonKilled {
    application_id: String,
    state: String,
}

impl KillOptions {
    /// How results and errors are told.
    pub(crate) fn format(&self) -> Format {
        self.output
    }
}

/// Runs the command.
pub(crate) fn execute(options: &KillOptions) -> Result<()> {
    let configuration = options.configuration.load(|_| {})?;
    let application = Application::find(options.application, &configuration)?;
    let report = block_on(application.end(&configuration, "ended with flink-yarn kill"))?;
    locate::forget(options.application, &configuration);
    match options.output {
        Format::Text => output::line(match &report {
            Some(report) => format!("Application {} is {}", options.application, outcome(report)),
            None => format!("Application {} ended long ago; what it had left is removed", options.application),
        }),
        Format::Json => output::json(&JsonKilled {
            application_id: options.application.to_string(),
            state: report.map_or_else(|| "UNKNOWN".to_owned(), |report| report.state.to_string()),
        }),
    }
}
