use std::pin::pin;
use std::time::{Duration, Instant};

use flink_console::{CANCEL_TIMEOUT, Progress, human};
use flink_graph::{JobGraph, JobId, JobStatus, options};
use flink_protocol::client::{ClientRequestBody, ClientResponseBody, JobResult};

use super::signals::{Signals, interrupted};
use super::telling::named;
use crate::connection::{Cluster, Connection, unexpected};
use crate::error::{Exit, Result};
use crate::output;
use crate::yarn::waiting::Reasons;

/// Longest pause between two attempts.
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// Shows a job until it has ended. Ctrl-C cancels it, once that is confirmed, and waits for its end; another one does not wait.
pub(super) async fn follow(
    cluster: &Cluster,
    connection: Connection,
    graph: &JobGraph,
    signals: &mut Signals,
) -> Result<JobResult> {
    let progress = Progress::new(named(graph));
    let mut watching = pin!(watch(cluster, connection, graph.job_id, &progress));
    tokio::select! {
        result = &mut watching => return result,
        () = signals.end_wanted(|| Some(format!("Cancel job {}?", named(graph)))) => {}
    }
    progress.clear();
    output::notice(format!("Canceling job {}; Ctrl-C again leaves without waiting", named(graph)));
    let canceled = async {
        cancel(cluster, graph.job_id).await?;
        tokio::time::timeout(CANCEL_TIMEOUT, &mut watching).await.unwrap_or_else(|_| Err(not_ended(graph)))
    };
    let result = tokio::select! {
        result = canceled => result?,
        () = signals.next() => return Err(left(graph)),
    };
    match result.status {
        JobStatus::Canceled => Err(interrupted(&format!("job {} was canceled", named(graph)))),
        _ => Ok(result),
    }
}

/// Waits for the result; goes on with a new connection when one breaks.
async fn watch(cluster: &Cluster, connection: Connection, job: JobId, progress: &Progress) -> Result<JobResult> {
    let mut connection = connection;
    loop {
        match wait(cluster, &mut connection, job, progress).await {
            Err(error) if error.exit() == Exit::Unreachable => {
                progress.clear();
                output::notice(format!(
                    "{error}\ntrying to reach it again for {} ({})",
                    human::duration(cluster.patience()),
                    options::CLIENT_TIMEOUT.key
                ));
                connection = reconnect(cluster).await?;
            }
            ended => return ended,
        }
    }
}

/// Waits for a job's result over one connection, and shows the job meanwhile.
pub(super) async fn wait(
    cluster: &Cluster,
    connection: &mut Connection,
    job: JobId,
    progress: &Progress,
) -> Result<JobResult> {
    let mut reasons = Reasons::new(cluster.application());
    // The first answer comes soon, so that the first picture does; later ones at the pace of the display.
    let mut pause = Duration::from_millis(50);
    loop {
        let wait_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        let question = ClientRequestBody::RequestJobResult { job, wait_ms };
        match connection.request_slow(question, pause).await? {
            ClientResponseBody::JobResult(result) => {
                progress.clear();
                return Ok(*result);
            }
            ClientResponseBody::JobRunning(details) => {
                if let Some(reasons) = reasons.told(details.waiting_for.is_some()).await {
                    progress.clear();
                    output::notice(format!("Job {}: {reasons}", flink_console::named(&details.summary.name, job)));
                }
                progress.show(&details);
            }
            _ => return Err(unexpected("RequestJobResult")),
        }
        pause = progress.interval();
    }
}

async fn reconnect(cluster: &Cluster) -> Result<Connection> {
    let until = Instant::now() + cluster.patience();
    let mut pause = Duration::from_millis(100);
    loop {
        match cluster.connect().await {
            Err(_) if Instant::now() + pause < until && !cluster.has_ended().await => tokio::time::sleep(pause).await,
            result => return result,
        }
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

/// On a connection of its own: the other one waits for the result.
pub(super) async fn cancel(cluster: &Cluster, job: JobId) -> Result<()> {
    match cluster.connect().await?.request(ClientRequestBody::CancelJob(job)).await? {
        // A job that cannot be canceled has ended by itself just now; the result says how.
        ClientResponseBody::CancellationSuccess(_) | ClientResponseBody::CancellationFailure(_) => Ok(()),
        _ => Err(unexpected("CancelJob")),
    }
}

fn not_ended(graph: &JobGraph) -> crate::ClientError {
    interrupted(&format!(
        "job {} was told to end but has not ended within {} s",
        named(graph),
        CANCEL_TIMEOUT.as_secs()
    ))
    .hint("see what it does with `flink-yarn list` and `flink-yarn logs`")
}

fn left(graph: &JobGraph) -> crate::ClientError {
    interrupted(&format!("left while job {} was being canceled", named(graph)))
        .hint(format!("if it still runs: flink-yarn cancel {}", graph.job_id))
}
