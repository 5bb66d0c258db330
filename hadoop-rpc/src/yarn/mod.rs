//! YARN: ids and descriptions as plain types, and a client for each of its three protocols.

use crate::proto::yarn::PriorityProto;

/// Ids of applications, attempts, containers and nodes.
pub mod ids;

/// Sizes of containers, and requests for them.
pub mod resource;

/// States and other enumerations.
pub mod states;

/// What runs in a container.
pub mod launch;

/// Containers and how they end.
pub mod container;

/// Applications: how they are submitted, and what is reported of them.
pub mod application;

/// Nodes and queues.
pub mod cluster;

/// The client's protocol with the ResourceManager.
pub mod application_client;

/// The ApplicationMaster's protocol with the ResourceManager.
pub mod application_master;

/// The ApplicationMaster's protocol with a NodeManager.
pub mod container_management;

/// Logs of containers, as NodeManagers have them.
#[cfg(feature = "node-logs")]
pub mod node_logs;

/// Where the ResourceManagers are.
mod resource_manager;

pub use application::{ApplicationReport, ApplicationSubmission, AttemptReport, LogAggregationContext, ResourceUsage};
pub use application_client::{ApplicationClient, ApplicationFilter, NewApplication};
pub use application_master::{AllocateRequest, AllocateResponse, ApplicationMaster, Preemption, Registration};
pub use cluster::{ClusterMetrics, NodeLabel, NodeReport, QueueInfo, QueueStatistics};
pub use container::{Container, ContainerExit, ContainerFailure, ContainerReport, ContainerStatus, NmToken};
pub use container_management::{ContainerManagement, StartContainer};
pub use ids::{ApplicationAttemptId, ApplicationId, ContainerId, InvalidId, NodeId};
pub use launch::{AccessControl, ContainerLaunchContext, LocalResource, LocalResourceKind, Visibility};
#[cfg(feature = "node-logs")]
pub use node_logs::{NodeLog, NodeLogContent, NodeLogs, NodeLogsError};
pub use resource::{ANY_HOST, Resource, ResourceRequest};
pub use states::{
    AmCommand, ApplicationState, AttemptState, ContainerSignal, ContainerState, FinalStatus, LogAggregation, NodeState,
    QueueAcl, QueueState,
};

pub(crate) fn priority(priority: i32) -> PriorityProto {
    PriorityProto { priority: Some(priority) }
}
