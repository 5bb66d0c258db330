use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use flink_console::human;
use hadoop_rpc::yarn::{NodeReport, NodeState, QueueInfo, QueueState};

use super::resources::{self, RESOURCES};
use super::{CheckContext, Finding, local};
use crate::yarn::plan::{Size, megabytes};
use crate::yarn::resource_manager::room;

const NAMES: &str = "names";
const PORTS: &str = "ports";
const MANAGER: &str = "resourcemanager";
const NODES: &str = "nodes";
const QUEUE: &str = "queue";

/// Longest wait for a name or a port.
const NAME_TIMEOUT: Duration = Duration::from_secs(3);

/// Nodes that are connected to.
const MAX_PORTS: usize = 10;

/// Whether the services' names have addresses.
pub(super) async fn names(context: &CheckContext) -> Vec<Finding> {
    let configuration = &context.hadoop.configuration;
    let mut hosts = BTreeSet::new();
    for (key, value) in configuration.iter() {
        let service = key.starts_with("dfs.namenode.rpc-address")
            || key == "yarn.resourcemanager.address"
            || key.starts_with("yarn.resourcemanager.hostname")
            || key.starts_with("yarn.resourcemanager.address.");
        if service && !value.trim().is_empty() {
            hosts.insert((host(value.trim()).to_owned(), key.to_owned()));
        }
    }
    let services = configuration.get_list("dfs.nameservices");
    let file_system = configuration.get_trimmed("fs.defaultFS").unwrap_or_default();
    if let Some(authority) = file_system.strip_prefix("hdfs://") {
        let name = host(authority.split('/').next().unwrap_or_default());
        if !name.is_empty() && !services.iter().any(|service| service == name) {
            hosts.insert((name.to_owned(), "fs.defaultFS".to_owned()));
        }
    }
    let mut findings = Vec::new();
    let mut good = BTreeSet::new();
    for (host, key) in hosts {
        match resolve(&host).await {
            Ok(address) => {
                good.insert(if address == host { host } else { format!("{host} is {address}") });
            }
            Err(reason) => findings.push(Finding::problem(
                NAMES,
                format!("`{host}` ({key}) has no address: {reason}"),
                "check the name, /etc/hosts and the name service of this host",
            )),
        }
    }
    if !good.is_empty() {
        findings.push(Finding::good(NAMES, good.into_iter().collect::<Vec<_>>().join(", ")));
    }
    findings
}

fn host(address: &str) -> &str {
    match address.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => address,
    }
}

async fn resolve(host: &str) -> Result<String, String> {
    let asking = tokio::net::lookup_host((host.trim_start_matches('[').trim_end_matches(']'), 0));
    match tokio::time::timeout(NAME_TIMEOUT, asking).await {
        Ok(Ok(mut addresses)) => {
            addresses.next().map(|address| address.ip().to_string()).ok_or_else(|| "it has none".to_owned())
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", NAME_TIMEOUT.as_secs())),
    }
}

/// The ResourceManager, and whether the application that was asked for would start.
pub(super) async fn examine(context: &CheckContext) -> Vec<Finding> {
    let begun = Instant::now();
    let new = match context.manager.new_application().await {
        Ok(new) => new,
        Err(error) => {
            let advice = "check yarn.resourcemanager.address (or .hostname) in yarn-site.xml, and that it runs";
            return vec![Finding::failed(MANAGER, &error, advice)];
        }
    };
    let mut findings = vec![Finding::good(MANAGER, format!("answers within {}", human::duration(begun.elapsed())))];
    findings.extend(local::rounding(&context.plan, &context.hadoop));
    findings.extend(largest(context, new.maximum.into()));
    let (nodes, queues) = tokio::join!(context.manager.nodes(), context.manager.queues());
    let nodes = nodes.unwrap_or_else(|error| {
        findings.push(Finding::failed(NODES, &error, "ask the cluster's administrator for the right to list nodes"));
        Vec::new()
    });
    findings.extend(node_findings(&nodes));
    let queue = queues.map(|queues| queue_finding(&queues, &context.plan.queue));
    let queue = match queue {
        Ok((finding, queue)) => {
            findings.push(finding);
            queue
        }
        Err(error) => {
            findings.push(Finding::failed(
                QUEUE,
                &error,
                "ask the cluster's administrator for the right to see queues",
            ));
            None
        }
    };
    findings.extend(resources::examine(context, &nodes, queue.as_ref()).await);
    findings.extend(ports(&nodes).await);
    findings
}

fn largest(context: &CheckContext, largest: Size) -> Vec<Finding> {
    let asked = [("the ApplicationMaster", context.plan.master), ("a TaskManager", context.plan.task_manager)];
    let too_large =
        asked.into_iter().filter(|(_, size)| size.memory_mb > largest.memory_mb || size.vcores > largest.vcores);
    too_large
        .map(|(what, size)| {
            Finding::problem(
                RESOURCES,
                format!("{what} is to have {size}, and no container may have more than {largest}"),
                "ask for less; the limit is yarn.scheduler.maximum-allocation-mb and -vcores, or what the largest node has",
            )
        })
        .collect()
}

fn node_findings(nodes: &[NodeReport]) -> Vec<Finding> {
    let usable: Vec<_> = nodes.iter().filter_map(room).collect();
    if usable.is_empty() {
        return vec![Finding::problem(NODES, "no NodeManager takes containers", "look at the NodeManagers' logs")];
    }
    let total: u64 = usable.iter().map(|node| node.total.memory_mb).sum();
    let free: u64 = usable.iter().map(|node| node.free().memory_mb).sum();
    let mut findings = vec![Finding::good(
        NODES,
        format!("{} with {}, of which {} are free", usable.len(), megabytes(total), megabytes(free)),
    )];
    for node in nodes.iter().filter(|node| matches!(node.state, NodeState::Unhealthy | NodeState::Lost)) {
        let health = node.health.trim();
        let why = if health.is_empty() { String::new() } else { format!(": {health}") };
        findings.push(Finding::warning(
            NODES,
            format!("{} is {}{why}", node.id, node.state),
            "have it mended, or taken out",
        ));
    }
    findings
}

/// The queue that is meant, by its name or its path.
fn queue_finding(queues: &[QueueInfo], name: &str) -> (Finding, Option<QueueInfo>) {
    let found = queues.iter().find(|queue| queue.name == name || queue.path == name);
    let Some(queue) = found else {
        let leaves: Vec<&str> = queues
            .iter()
            .filter(|queue| !queues.iter().any(|other| other.path.starts_with(&format!("{}.", queue.path))))
            .map(|queue| queue.name.as_str())
            .collect();
        let finding = Finding::problem(
            QUEUE,
            format!("there is no queue `{name}`"),
            format!("choose one of: {}", leaves.join(", ")),
        );
        return (finding, None);
    };
    let used = format!(
        "{name}: uses {:.0} % of its {:.0} %, may have {:.0} %; {} applications run, {} wait",
        queue.current_capacity * 100.0,
        queue.capacity * 100.0,
        queue.maximum_capacity * 100.0,
        queue.statistics.applications_running,
        queue.statistics.applications_pending,
    );
    let finding = match queue.state {
        QueueState::Running => Finding::good(QUEUE, used),
        state => {
            Finding::problem(QUEUE, format!("{name} is {state}"), "choose another with --queue, or have it started")
        }
    };
    (finding, Some(queue.clone()))
}

/// Whether the nodes can be reached from here: clients speak to the JobManager directly.
async fn ports(nodes: &[NodeReport]) -> Vec<Finding> {
    let running: Vec<&NodeReport> = nodes.iter().filter(|node| node.state == NodeState::Running).collect();
    let mut reached = 0;
    let mut findings = Vec::new();
    for node in running.iter().take(MAX_PORTS) {
        let connecting = tokio::net::TcpStream::connect((node.id.host.as_str(), node.id.port));
        match tokio::time::timeout(NAME_TIMEOUT, connecting).await {
            Ok(Ok(_)) => reached += 1,
            Ok(Err(error)) => findings.push(unreachable(node, &error.to_string())),
            Err(_) => findings.push(unreachable(node, &format!("no answer within {} s", NAME_TIMEOUT.as_secs()))),
        }
    }
    if reached > 0 {
        findings.push(Finding::good(PORTS, format!("{reached} of {} NodeManagers were reached", running.len())));
    }
    findings
}

fn unreachable(node: &NodeReport, reason: &str) -> Finding {
    Finding::warning(
        PORTS,
        format!("the NodeManager {} cannot be reached from here: {reason}", node.id),
        "the JobManager may run there, and clients speak to it: open the way to the nodes, or run commands from inside",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yarn::doctor::Severity;

    #[test]
    fn hosts_of_addresses() {
        assert_eq!(host("nn:8020"), "nn");
        assert_eq!(host("nn"), "nn");
        assert_eq!(host("[::1]:8020"), "[::1]");
    }

    #[test]
    fn an_unknown_queue_names_those_that_there_are() {
        let (finding, queue) = queue_finding(&[], "x");
        assert_eq!((finding.grade, queue), (Severity::Problem, None));
        assert!(finding.advice.unwrap().starts_with("choose one of"));
    }

    #[tokio::test]
    async fn names_are_resolved() {
        assert_eq!(resolve("127.0.0.1").await.as_deref(), Ok("127.0.0.1"));
        assert!(resolve("no-such-host.invalid").await.is_err());
    }
}
