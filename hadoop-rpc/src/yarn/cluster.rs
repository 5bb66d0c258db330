use crate::proto::yarn::{NodeReportProto, QueueInfoProto, QueueStatisticsProto, YarnClusterMetricsProto};
use crate::proto::yarn_service::NodeLabelProto;
use crate::yarn::ids::NodeId;
use crate::yarn::resource::Resource;
use crate::yarn::states::{NodeState, QueueState};

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeReport {
    /// The node.
    pub id: NodeId,
    /// `host:port` of its web pages.
    pub http_address: String,
    /// Its rack.
    pub rack: String,
    /// How it is.
    pub state: NodeState,
    /// What its containers use.
    pub used: Resource,
    /// What it has.
    pub capability: Resource,
    /// How many containers run there.
    pub containers: u32,
    /// What its health script and its disks say.
    pub health: String,
    /// Its labels.
    pub labels: Vec<String>,
}

impl From<NodeReportProto> for NodeReport {
    fn from(report: NodeReportProto) -> Self {
        Self {
            state: NodeState::from_wire(report.node_state.unwrap_or_default()),
            containers: u32::try_from(report.num_containers()).unwrap_or(0),
            id: report.node_id.map(Into::into).unwrap_or_default(),
            http_address: report.http_address.unwrap_or_default(),
            rack: report.rack_name.unwrap_or_default(),
            used: report.used.map(Into::into).unwrap_or_default(),
            capability: report.capability.map(Into::into).unwrap_or_default(),
            health: report.health_report.unwrap_or_default(),
            labels: report.node_labels,
        }
    }
}

/// A label of nodes: those that have it are a partition of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeLabel {
    /// Its name.
    pub name: String,
    /// Whether those who do not ask for the label get nothing there, even when there is room.
    pub exclusive: bool,
}

impl From<NodeLabelProto> for NodeLabel {
    fn from(label: NodeLabelProto) -> Self {
        Self { exclusive: label.is_exclusive(), name: label.name.unwrap_or_default() }
    }
}

/// How many NodeManagers are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of the states say it")]
pub struct ClusterMetrics {
    pub node_managers: u32,
    pub active: u32,
    pub lost: u32,
    pub unhealthy: u32,
    pub rebooted: u32,
    pub decommissioned: u32,
    pub decommissioning: u32,
    pub shut_down: u32,
}

impl From<YarnClusterMetricsProto> for ClusterMetrics {
    fn from(metrics: YarnClusterMetricsProto) -> Self {
        let count = |number: i32| u32::try_from(number).unwrap_or(0);
        Self {
            node_managers: count(metrics.num_node_managers()),
            active: count(metrics.num_active_nms()),
            lost: count(metrics.num_lost_nms()),
            unhealthy: count(metrics.num_unhealthy_nms()),
            rebooted: count(metrics.num_rebooted_nms()),
            decommissioned: count(metrics.num_decommissioned_nms()),
            decommissioning: count(metrics.num_decommissioning_nms()),
            shut_down: count(metrics.num_shutdown_nms()),
        }
    }
}

/// A queue.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueInfo {
    /// Its name.
    pub name: String,
    /// Its name with those of its parents: `root.a.b`. Empty when the server is too old to tell.
    pub path: String,
    /// How it is.
    pub state: QueueState,
    /// The part of its parent that it is sure to get, from 0 to 1.
    pub capacity: f32,
    /// The part of its parent that it can get when nobody else needs it, from 0 to 1.
    pub maximum_capacity: f32,
    /// The part of its capacity that is in use; more than 1 when it uses what others leave.
    pub current_capacity: f32,
    /// The part of the cluster that it can get.
    pub absolute_maximum_capacity: Option<f32>,
    /// The part of it that ApplicationMasters can have, from 0 to 1.
    pub maximum_master_share: Option<f32>,
    /// The most it can get, when the server tells.
    pub maximum_resource: Option<Resource>,
    /// The queues in it.
    pub children: Vec<QueueInfo>,
    /// Labels of nodes that it may use.
    pub accessible_node_labels: Vec<String>,
    /// The label of nodes that it uses when nobody says otherwise.
    pub default_node_label: Option<String>,
    /// What runs in it.
    pub statistics: QueueStatistics,
    /// Whether containers in it are safe from preemption.
    pub preemption_disabled: Option<bool>,
}

/// What runs in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct QueueStatistics {
    pub applications_running: i64,
    pub applications_pending: i64,
    pub available_memory_mb: i64,
    pub available_vcores: i64,
    pub allocated_memory_mb: i64,
    pub allocated_vcores: i64,
    pub pending_memory_mb: i64,
    pub pending_vcores: i64,
    pub allocated_containers: i64,
    pub pending_containers: i64,
}

impl From<QueueStatisticsProto> for QueueStatistics {
    fn from(statistics: QueueStatisticsProto) -> Self {
        Self {
            applications_running: statistics.num_apps_running(),
            applications_pending: statistics.num_apps_pending(),
            available_memory_mb: statistics.available_memory_mb(),
            available_vcores: statistics.available_v_cores(),
            allocated_memory_mb: statistics.allocated_memory_mb(),
            allocated_vcores: statistics.allocated_v_cores(),
            pending_memory_mb: statistics.pending_memory_mb(),
            pending_vcores: statistics.pending_v_cores(),
            allocated_containers: statistics.allocated_containers(),
            pending_containers: statistics.pending_containers(),
        }
    }
}

impl From<QueueInfoProto> for QueueInfo {
    fn from(queue: QueueInfoProto) -> Self {
        // The nodes without a label are the partition with the empty name.
        let partition = queue.queue_configurations_map.iter().find(|entry| entry.partition_name.is_empty());
        let partition = partition.and_then(|entry| entry.queue_configurations.clone());
        let maximum = partition.as_ref().and_then(|partition| partition.effective_max_capacity.clone());
        Self {
            state: QueueState::from_wire(queue.state.unwrap_or_default()),
            capacity: queue.capacity(),
            maximum_capacity: queue.maximum_capacity(),
            current_capacity: queue.current_capacity(),
            absolute_maximum_capacity: partition.as_ref().and_then(|partition| partition.absolute_max_capacity),
            maximum_master_share: partition.as_ref().and_then(|partition| partition.max_am_percentage),
            maximum_resource: maximum.map(Resource::from).filter(|maximum| maximum.memory_mb > 0),
            preemption_disabled: queue.preemption_disabled,
            name: queue.queue_name.unwrap_or_default(),
            path: queue.queue_path.unwrap_or_default(),
            children: queue.child_queues.into_iter().map(Into::into).collect(),
            accessible_node_labels: queue.accessible_node_labels,
            default_node_label: queue.default_node_label_expression,
            statistics: queue.queue_statistics.map(Into::into).unwrap_or_default(),
        }
    }
}
