use std::collections::BTreeMap;
use std::fmt;

use flink_graph::TaskManagerId;

use crate::job_manager::ClusterResources;

/// What a container has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resource {
    /// Memory, mebibytes.
    pub memory_mb: u64,
    /// Cores.
    pub vcores: u32,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MB and {} core{}", self.memory_mb, self.vcores, if self.vcores == 1 { "" } else { "s" })
    }
}

/// A NodeManager.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A container that the ResourceManager has granted. Its TaskManager has the same id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// `container_…` as YARN prints it.
    pub id: TaskManagerId,
    /// Where it is.
    pub node: Node,
    /// What it has: at least what was asked for.
    pub resource: Resource,
    /// The number of the ask that it answers.
    pub request: i64,
}

/// A container that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletedContainer {
    /// Which one.
    pub id: TaskManagerId,
    /// Its exit status: of its process, or one of YARN's own below 0.
    pub exit_status: i32,
    /// What YARN says about it.
    pub diagnostics: String,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allocation {
    /// New containers.
    pub containers: Vec<Container>,
    /// Containers that have ended.
    pub completed: Vec<CompletedContainer>,
    /// Containers of an earlier attempt that are still there (some come only after the registration).
    pub earlier: Vec<Container>,
    /// Containers that will be taken away soon, for another application.
    pub preempted: Vec<TaskManagerId>,
    /// What the application may still get, where the ResourceManager says so.
    pub available: Option<Resource>,
    /// Nodes of the cluster.
    pub cluster_nodes: u32,
    /// Hosts of nodes that have come or changed, as YARN names them.
    pub nodes: Vec<String>,
}

/// Everything that can happen to the driver.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The ResourceManager has registered the application (again); containers of earlier attempts are still there.
    Registered {
        /// Containers of earlier attempts.
        earlier: Vec<Container>,
        /// The largest container that there can be.
        largest: Resource,
    },
    /// A heartbeat was answered.
    Allocated(Allocation),
    /// A heartbeat was not answered: the ResourceManager may have seen it or not.
    HeartbeatFailed,
    /// The ResourceManager does not know the application: it was restarted.
    NotRegistered,
    /// The ResourceManager refuses what was asked for, and always will.
    Refused {
        /// Why.
        reason: String,
    },
    /// The NodeManager has started the container.
    Started(TaskManagerId),
    /// The NodeManager could not start the container, or could not be reached.
    StartFailed {
        /// Which container.
        container: TaskManagerId,
        /// Why.
        reason: String,
    },
    /// The JobManager has let go of an idle TaskManager, or (`false`) needs it after all.
    GivenBack {
        /// Which one.
        container: TaskManagerId,
        /// Whether it lets go.
        accepted: bool,
    },
    /// What the jobs want has changed.
    Demand(ClusterResources),
    /// Time has passed.
    Tick,
}

/// What the shell must do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Register at the ResourceManager (again); answered by [`Event::Registered`].
    Register,
    /// Send a heartbeat; answered by [`Event::Allocated`], [`Event::HeartbeatFailed`], [`Event::NotRegistered`] or
    /// [`Event::Refused`]. There is never more than one on its way.
    Allocate(AllocateRequest),
    /// Start a TaskManager in a container; answered by [`Event::Started`] or [`Event::StartFailed`].
    StartContainer(Container),
    /// Tell the NodeManager to end a container; it is released as well.
    StopContainer {
        /// Which container.
        container: TaskManagerId,
        /// Where it is.
        node: Node,
    },
    /// Ask the JobManager to let go of an idle TaskManager; answered by [`Event::GivenBack`].
    GiveBack(TaskManagerId),
    /// Tell the JobManager that a TaskManager is gone.
    ReportLost {
        /// Which one.
        task_manager: TaskManagerId,
        /// The cause in words.
        reason: String,
        /// Whether that is the cluster's doing, and not that of what ran in the container.
        by_cluster: bool,
    },
    /// Tell users what the jobs wait for; `None` when they wait no longer.
    Explain(Option<String>),
    /// End the application as failed.
    Fail {
        /// Why.
        reason: String,
    },
}

/// What a heartbeat says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllocateRequest {
    /// The number of containers that are wanted from now on, when it is to be said (again).
    pub containers: Option<u32>,
    /// On which hosts, as YARN names them, they are wanted, if there is room: as many or fewer in all. Others will do as well.
    pub hosts: BTreeMap<String, u32>,
    /// Containers that are not needed.
    pub release: Vec<TaskManagerId>,
    /// Hosts on which no container is wanted.
    pub blacklist_additions: Vec<String>,
    /// Hosts that are good again.
    pub blacklist_removals: Vec<String>,
}
