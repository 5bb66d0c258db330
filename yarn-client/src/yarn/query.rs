use flink_graph::Configuration;
use hadoop_rpc::yarn::{NodeReport, QueueInfo, QueueState};
use serde::Serialize;

use super::hadoop::Hadoop;
use super::plan::megabytes;
use super::resource_manager::ResourceManager;
use crate::error::Result;
use crate::output::{self, Format};
use crate::run::block_on;

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct JsonCluster {
    nodes: Vec<JsonNode>,
    queues: Vec<JsonQueue>,
    total_memory_mb: u64,
    free_memory_mb: u64,
    total_vcores: u32,
    free_vcores: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct JsonNode {
    id: String,
    state: String,
    containers: u32,
    memory_mb: u64,
    free_memory_mb: u64,
    vcores: u32,
    free_vcores: u32,
    labels: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct JsonQueue {
    name: String,
    state: String,
    capacity: f32,
    maximum_capacity: f32,
    current_capacity: f32,
    applications_running: i64,
    applications_pending: i64,
}

/// Shows nodes and queues, and what is free.
pub(super) fn execute(configuration: &Configuration, format: Format) -> Result<()> {
    let hadoop = Hadoop::load(configuration)?;
    let manager = ResourceManager::new(&hadoop)?;
    let (nodes, queues) = block_on(async { tokio::try_join!(manager.nodes(), manager.queues()) })?;
    let cluster = JsonCluster::new(&nodes, &queues);
    match format {
        Format::Json => output::json(&cluster),
        Format::Text => output::line(cluster.text()),
    }
}

impl JsonCluster {
    fn new(nodes: &[NodeReport], queues: &[QueueInfo]) -> Self {
        let nodes: Vec<JsonNode> = nodes.iter().map(JsonNode::new).collect();
        Self {
            total_memory_mb: nodes.iter().map(|node| node.memory_mb).sum(),
            free_memory_mb: nodes.iter().map(|node| node.free_memory_mb).sum(),
            total_vcores: nodes.iter().map(|node| node.vcores).sum(),
            free_vcores: nodes.iter().map(|node| node.free_vcores).sum(),
            queues: queues.iter().map(JsonQueue::new).collect(),
            nodes,
        }
    }

    fn text(&self) -> String {
        let titles = |titles: &[&str]| titles.iter().map(|title| (*title).to_owned()).collect::<Vec<_>>();
        let mut nodes = vec![titles(&["NODE", "STATE", "CONTAINERS", "MEMORY", "FREE", "CORES", "FREE", "LABELS"])];
        nodes.extend(self.nodes.iter().map(JsonNode::row));
        let mut queues = vec![titles(&["QUEUE", "STATE", "CAPACITY", "MAXIMUM", "USED", "APPLICATIONS"])];
        queues.extend(self.queues.iter().map(JsonQueue::row));
        format!(
            "{}\n\n{}\n\n{} nodes with {} and {} cores; free are {} and {} cores",
            output::table(&nodes),
            output::table(&queues),
            self.nodes.len(),
            megabytes(self.total_memory_mb),
            self.total_vcores,
            megabytes(self.free_memory_mb),
            self.free_vcores,
        )
    }
}

impl JsonNode {
    fn new(node: &NodeReport) -> Self {
        // What a node has that takes no containers is not free.
        let usable = node.state.is_usable();
        let of = |number: u64| if usable { number } else { 0 };
        let free_memory = node.capability.memory_mb.saturating_sub(node.used.memory_mb);
        let free_vcores = node.capability.vcores.saturating_sub(node.used.vcores);
        Self {
            id: node.id.to_string(),
            state: node.state.to_string(),
            containers: node.containers,
            memory_mb: of(node.capability.memory_mb),
            free_memory_mb: of(free_memory),
            vcores: if usable { node.capability.vcores } else { 0 },
            free_vcores: if usable { free_vcores } else { 0 },
            labels: node.labels.clone(),
        }
    }

    fn row(&self) -> Vec<String> {
        vec![
            self.id.clone(),
            self.state.clone(),
            self.containers.to_string(),
            megabytes(self.memory_mb),
            megabytes(self.free_memory_mb),
            self.vcores.to_string(),
            self.free_vcores.to_string(),
            self.labels.join(","),
        ]
    }
}

impl JsonQueue {
    fn new(queue: &QueueInfo) -> Self {
        let state = if queue.state == QueueState::Running { "RUNNING".to_owned() } else { queue.state.to_string() };
        Self {
            name: if queue.path.is_empty() { queue.name.clone() } else { queue.path.clone() },
            state,
            capacity: queue.capacity,
            maximum_capacity: queue.maximum_capacity,
            current_capacity: queue.current_capacity,
            applications_running: queue.statistics.applications_running,
            applications_pending: queue.statistics.applications_pending,
        }
    }

    fn row(&self) -> Vec<String> {
        let percent = |share: f32| format!("{:.0} %", share * 100.0);
        vec![
            self.name.clone(),
            self.state.clone(),
            percent(self.capacity),
            percent(self.maximum_capacity),
            percent(self.current_capacity),
            format!("{} running, {} waiting", self.applications_running, self.applications_pending),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hadoop_rpc::yarn::{NodeState, Resource};

    fn node(state: NodeState) -> NodeReport {
        NodeReport {
            id: "h:1".parse().unwrap(),
            http_address: String::new(),
            rack: "/default-rack".to_owned(),
            state,
            used: Resource::new(1024, 1),
            capability: Resource::new(4096, 4),
            containers: 1,
            health: String::new(),
            labels: Vec::new(),
        }
    }

    #[test]
    fn nodes_that_are_lost_have_nothing_free() {
        let cluster = JsonCluster::new(&[node(NodeState::Running), node(NodeState::Lost)], &[]);
        assert_eq!((cluster.total_memory_mb, cluster.free_memory_mb, cluster.free_vcores), (4096, 3072, 3));
        let text = cluster.text();
        assert!(text.contains("h:1   RUNNING  1           4 GB    3 GB  4      3"), "{text}");
        assert!(text.ends_with("2 nodes with 4 GB and 4 cores; free are 3 GB and 3 cores"), "{text}");
    }
}
