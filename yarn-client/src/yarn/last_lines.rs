//! What containers wrote last, for errors: the cause stands first, and what shows more of it behind.

use flink_graph::JobId;
use flink_protocol::client::LogRequest;
use hadoop_rpc::yarn::ContainerId;

use super::application::Application;
use super::logs::on_nodes::LogsOnNodes;
use super::{diagnostics, logs};
use crate::connection::{Cluster, Connection};
use crate::error::{ClientError, Exit, Result};

/// Lines of a log that are shown.
const LINES: usize = 20;

/// Bytes at the end of a log in which they are looked for.
const TAIL: u64 = 64 << 10;

/// Adds the last lines of a log to the error with which an application has ended, for a job or not: of the container that the
/// error names, or of the ApplicationMaster.
pub(crate) async fn of_ended(application: &Application, job: Option<JobId>, error: ClientError) -> ClientError {
    if !application.had_a_container().await {
        return error
            .hint("it never had a container; `flink-yarn doctor` looks for what keeps applications from running");
    }
    let hint = format!("all of the logs: flink-yarn logs --application-id {}", application.id());
    let mut found = None;
    for container in named(application, &error).map(Some).into_iter().chain([None]) {
        found = logs::last_lines(application, container, job, LINES).await;
        if found.is_some() {
            break;
        }
    }
    match found {
        Some((title, lines)) => error.with_log(title, lines).hint(hint),
        None => error.hint(hint),
    }
}

/// Adds what the container that the error names has written last to the error with which a job has failed, on an application
/// that goes on. Its TaskManager is asked, or, when that has gone, its node.
pub(crate) async fn of_living(cluster: &Cluster, job: JobId, error: ClientError) -> ClientError {
    let Some(application) = cluster.application().filter(|_| error.exit() == Exit::Failed) else { return error };
    let Some(container) = named(application, &error) else { return error };
    match found(cluster, application, container, job).await {
        // What cannot be had is no reason to say less of the failure.
        Ok(None) | Err(_) => error,
        Ok(Some((title, lines))) => error.with_log(title, lines),
    }
}

/// The container of an application that an error names.
fn named(application: &Application, error: &ClientError) -> Option<ContainerId> {
    diagnostics::container_in(&error.causes()).filter(|id| id.application() == application.id())
}

async fn found(
    cluster: &Cluster,
    application: &Application,
    container: ContainerId,
    job: JobId,
) -> Result<Option<(String, String)>> {
    let mut connection = cluster.connect().await?;
    // What its tasks have printed, or else the TaskManager's own log.
    for job in [Some(job), None] {
        let request = LogRequest { task_manager: Some(container.to_string()), job, offset: 0 };
        match tail(&mut connection, request).await {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) => {
                let of = job.map_or("TaskManager".to_owned(), |job| format!("job {job}"));
                return Ok(Some((format!("{container} ({of})"), logs::last(&text, LINES))));
            }
            // It has gone.
            Err(error) if error.exit() == Exit::Failed => break,
            Err(error) => return Err(error),
        }
    }
    LogsOnNodes::of(application).await?.last_lines(container, job, LINES).await
}

/// The end of a log that a TaskManager has.
async fn tail(connection: &mut Connection, mut request: LogRequest) -> Result<String> {
    let mut text = String::new();
    // Behind its end, a log says where that is.
    request.offset = u64::MAX;
    request.offset = connection.log_piece(&request).await?.next_offset.saturating_sub(TAIL);
    loop {
        let piece = connection.log_piece(&request).await?;
        text.push_str(&piece.text);
        if piece.at_end || piece.next_offset == request.offset {
            return Ok(text);
        }
        request.offset = piece.next_offset;
    }
}
