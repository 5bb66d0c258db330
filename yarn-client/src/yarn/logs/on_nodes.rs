use flink_graph::JobId;
use hadoop_rpc::User;
use hadoop_rpc::yarn::{ContainerId, NodeLog, NodeLogs, NodeLogsError, NodeReport};
use tokio::task::JoinSet;

use super::printed::{Printed, is_telling};
use super::{TAIL, last, telling};
use crate::error::{ClientError, Result};
use crate::yarn::application::Application;

/// Nodes that are asked at the same time.
const AT_ONCE: usize = 16;

/// The logs of containers that have ended while their application goes on: their nodes keep them until it has ended.
pub(crate) struct LogsOnNodes {
    nodes: Vec<NodeReport>,
    user: User,
    /// The web pages of the nodes speak TLS, and we do not.
    https_only: bool,
}

/// A container's logs, and the node that has them.
struct Found {
    node: String,
    from: NodeLogs,
    logs: Vec<NodeLog>,
}

impl LogsOnNodes {
    /// Looks which nodes there are.
    pub(crate) async fn of(application: &Application) -> Result<Self> {
        let manager = application.resource_manager();
        let mut nodes = manager.nodes().await?;
        nodes.retain(|node| node.state.is_usable() && !node.http_address.is_empty());
        let policy = application.hadoop().configuration.get_trimmed("yarn.http.policy").unwrap_or_default();
        Ok(Self { nodes, user: manager.identity().clone(), https_only: policy.eq_ignore_ascii_case("HTTPS_ONLY") })
    }

    /// Writes what a container has written, or the tasks of a job in it, to standard output. False when no node knows of it.
    pub(crate) async fn show(&self, container: ContainerId, job: Option<JobId>) -> Result<bool> {
        let Some(found) = self.find(container).await? else { return Ok(false) };
        let logs = found.wanted(job);
        for log in logs.iter().filter(|log| is_telling(&log.name, log.size)) {
            let mut printed = Printed::begin(&container.to_string(), &found.node, &log.name)?;
            let mut content = found.from.read(container, &log.name, None).await.map_err(|error| unreadable(&error))?;
            while let Some(piece) = content.next().await.map_err(|error| unreadable(&error))? {
                printed.write(&piece)?;
            }
            printed.end()?;
        }
        Ok(!logs.is_empty())
    }

    /// The last lines of the log of a container that says most about the failure of a job; none when there is none.
    pub(crate) async fn last_lines(
        &self,
        container: ContainerId,
        job: JobId,
        lines: usize,
    ) -> Result<Option<(String, String)>> {
        let Some(found) = self.find(container).await? else { return Ok(None) };
        let mut logs = found.wanted(None);
        logs.retain(|log| is_telling(&log.name, log.size));
        logs.sort_by_key(|log| telling(&log.name, Some(job)));
        let Some(log) = logs.first() else { return Ok(None) };
        let mut text = Vec::new();
        let reading = found.from.read(container, &log.name, Some(TAIL as u64)).await;
        let mut content = reading.map_err(|error| unreadable(&error))?;
        while let Some(piece) = content.next().await.map_err(|error| unreadable(&error))? {
            text.extend(piece);
        }
        let title = format!("{container} ({})", log.name);
        Ok(Some((title, last(&String::from_utf8_lossy(&text), lines))))
    }

    /// Asks the nodes for a container, some at a time, until one has it.
    async fn find(&self, container: ContainerId) -> Result<Option<Found>> {
        if self.https_only {
            let hint = "each node shows them at https://NODE/ws/v1/node/containers/CONTAINER/logs, NODE as `yarn node -list` \
                        has it";
            return Err(ClientError::failed("the nodes show logs over HTTPS alone (yarn.http.policy)").hint(hint));
        }
        let (mut waiting, mut asked, mut failure) = (self.nodes.iter(), JoinSet::new(), None);
        loop {
            while asked.len() < AT_ONCE
                && let Some(node) = waiting.next()
            {
                let (name, from) = (node.id.to_string(), NodeLogs::new(&node.http_address, self.user.clone()));
                asked.spawn(async move { (name, from.list(container).await, from) });
            }
            match asked.join_next().await {
                None => return failure.map_or(Ok(None), |error: NodeLogsError| Err(unreadable(&error))),
                Some(Ok((node, Ok(logs), from))) if !logs.is_empty() => return Ok(Some(Found { node, from, logs })),
                Some(Ok((_, Err(error), _))) => failure = Some(error),
                Some(Ok(_) | Err(_)) => {}
            }
        }
    }
}

impl Found {
    /// All logs, or those of a job.
    fn wanted(&self, job: Option<JobId>) -> Vec<NodeLog> {
        let job = job.map(|job| job.to_string()).unwrap_or_default();
        self.logs.iter().filter(|log| log.name.contains(&job)).cloned().collect()
    }
}

fn unreadable(error: &NodeLogsError) -> ClientError {
    ClientError::failed("the logs of a container that has ended cannot be had from its node").because(error)
}
