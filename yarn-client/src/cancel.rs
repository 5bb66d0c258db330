use clap::Args;
use flink_graph::{JobId, JobStatus};
use flink_protocol::client::{ClientRequestBody, ClientResponseBody};
use serde::Serialize;

use crate::connection::{Cluster, ClusterOptions, unexpected};
use crate::error::{ClientError, Result};
use crate::output::{self, Format};
use crate::run::block_on;
use crate::settings::ConfigurationOptions;

const EXAMPLES: &str = "\
Example:
  flink-yarn cancel $(flink-yarn list --output json | jq -r '.jobs[0].jid')";

/// Options of `cancel`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CancelOptions {
    /// The job, as `list` shows it
    #[arg(value_name = "JOBID")]
    job: JobId,

    /// How the result is written
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,

    #[command(flatten)]
    cluster: ClusterOptions,

    #[command(flatten)]
    configuration: ConfigurationOptions,
}

#[derive(Serialize)]
struct JsonCanceled {
    #[serde(rename = "job-id")]
    job: JobId,
    canceling: bool,
}

impl CancelOptions {
    /// How result and errors are told.
    pub(crate) fn format(&self) -> Format {
        self.output
    }
}

/// Runs the command.
pub(crate) fn execute(options: &CancelOptions) -> Result<()> {
    let configuration = options.configuration.load(|_| {})?;
    let cluster = options.cluster.require(&configuration)?;
    let Some(answer) = block_on(cancel(&cluster, options.job))? else {
        return match options.output {
            Format::Text => output::line(format!("Job {} is CANCELED already", options.job)),
            Format::Json => output::json(&JsonCanceled { job: options.job, canceling: false }),
        };
    };
    match answer {
        ClientResponseBody::CancellationSuccess(job) => match options.output {
            Format::Text => output::line(format!("Canceling job {job}")),
            Format::Json => output::json(&JsonCanceled { job, canceling: true }),
        },
        ClientResponseBody::CancellationFailure(reason) => {
            Err(ClientError::failed(format!("job {} cannot be canceled", options.job))
                .because_text(reason)
                .hint("`flink-yarn list -a` shows the jobs"))
        }
        _ => Err(unexpected("CancelJob")),
    }
}

/// Cancels a job; nothing is done, or answered, where that was done before.
async fn cancel(cluster: &Cluster, job: JobId) -> Result<Option<ClientResponseBody>> {
    let mut connection = cluster.connect().await?;
    // A job that is not known is an error of the cancellation.
    if let Ok(ClientResponseBody::JobDetails(details)) =
        connection.request(ClientRequestBody::RequestJobDetails(job)).await
        && details.summary.status == JobStatus::Canceled
    {
        return Ok(None);
    }
    connection.request(ClientRequestBody::CancelJob(job)).await.map(Some)
}
