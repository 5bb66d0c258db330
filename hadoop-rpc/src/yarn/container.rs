use std::fmt;

use crate::credentials::Token;
use crate::error::RemoteException;
use crate::proto::yarn::{ContainerProto, ContainerReportProto, ContainerStatusProto, SerializedExceptionProto};
use crate::proto::yarn_service::{ContainerExceptionMapProto, NMTokenProto};
use crate::yarn::ids::{ContainerId, NodeId};
use crate::yarn::resource::Resource;
use crate::yarn::states::ContainerState;

/// A container that the ResourceManager gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: ContainerId,
    /// Where it is.
    pub node: NodeId,
    /// `host:port` of the NodeManager's web pages.
    pub node_http_address: String,
    /// Its size, which may be larger than what was asked for: the scheduler rounds up.
    pub resource: Resource,
    /// The priority of the request it was given for.
    pub priority: i32,
    /// The allocation request id of the request it was given for; -1 when it had none.
    pub allocation_request_id: i64,
    /// What the NodeManager wants to see to start it.
    pub token: Token,
}

impl From<ContainerProto> for Container {
    fn from(container: ContainerProto) -> Self {
        Self {
            allocation_request_id: container.allocation_request_id(),
            priority: container.priority.as_ref().map_or(0, |priority| priority.priority()),
            id: container.id.map(Into::into).unwrap_or_default(),
            node: container.node_id.map(Into::into).unwrap_or_default(),
            node_http_address: container.node_http_address.unwrap_or_default(),
            resource: container.resource.map(Into::into).unwrap_or_default(),
            token: container.container_token.map(Into::into).unwrap_or_default(),
        }
    }
}

/// The token that lets an ApplicationMaster speak to a NodeManager. One comes with the first container of each node:
/// it must be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NmToken {
    /// The node.
    pub node: NodeId,
    /// The token.
    pub token: Token,
}

impl From<NMTokenProto> for NmToken {
    fn from(token: NMTokenProto) -> Self {
        Self {
            node: token.node_id.map(Into::into).unwrap_or_default(),
            token: token.token.map(Into::into).unwrap_or_default(),
        }
    }
}

/// A container's state, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerStatus {
    /// The container.
    pub id: ContainerId,
    /// How far it is.
    pub state: ContainerState,
    /// How it ended; [`ContainerExit::Running`] while it has not.
    pub exit: ContainerExit,
    /// What YARN says about its end; may have several lines.
    pub diagnostics: String,
    /// Its size, when the server tells.
    pub resource: Option<Resource>,
}

impl From<ContainerStatusProto> for ContainerStatus {
    fn from(status: ContainerStatusProto) -> Self {
        Self {
            state: ContainerState::from_wire(status.state.unwrap_or_default()),
            exit: ContainerExit::from_status(status.exit_status()),
            id: status.container_id.map(Into::into).unwrap_or_default(),
            diagnostics: status.diagnostics.unwrap_or_default(),
            resource: status.capability.map(Into::into),
        }
    }
}

/// How a container ended. `Display` says it in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContainerExit {
    /// Not ended, or never started because its files could not be fetched or its command was wrong.
    Running,
    /// Its process ended with this status; 0 is success, 128 and more a signal.
    Process(i32),
    /// Released, or lost with its node.
    Aborted,
    /// The node's disks failed.
    DisksFailed,
    /// Taken for an application of another queue.
    Preempted,
    /// It used more virtual memory than it has.
    VirtualMemoryExceeded,
    /// It used more memory than it has.
    MemoryExceeded,
    /// Stopped by its ApplicationMaster.
    StoppedByApplicationMaster,
    /// Stopped by the ResourceManager.
    StoppedByResourceManager,
    /// Stopped after its application had ended.
    StoppedAfterApplication,
    /// Stopped by the scheduler of its node, to make room.
    StoppedByContainerScheduler,
    /// It wrote more logs than allowed.
    LogsExceeded,
    /// Another reason of YARN's.
    Other(i32),
}

impl ContainerExit {
    /// Reads YARN's exit status.
    #[must_use]
    pub fn from_status(status: i32) -> Self {
        match status {
            -1000 => Self::Running,
            -100 => Self::Aborted,
            -101 => Self::DisksFailed,
            -102 => Self::Preempted,
            -103 => Self::VirtualMemoryExceeded,
            -104 => Self::MemoryExceeded,
            -105 => Self::StoppedByApplicationMaster,
            -106 => Self::StoppedByResourceManager,
            -107 => Self::StoppedAfterApplication,
            -108 => Self::StoppedByContainerScheduler,
            -109 => Self::LogsExceeded,
            status if status >= 0 => Self::Process(status),
            other => Self::Other(other),
        }
    }

    /// YARN's number.
    #[must_use]
    pub fn status(self) -> i32 {
        match self {
            Self::Running => -1000,
            Self::Process(status) | Self::Other(status) => status,
            Self::Aborted => -100,
            Self::DisksFailed => -101,
            Self::Preempted => -102,
            Self::VirtualMemoryExceeded => -103,
            Self::MemoryExceeded => -104,
            Self::StoppedByApplicationMaster => -105,
            Self::StoppedByResourceManager => -106,
            Self::StoppedAfterApplication => -107,
            Self::StoppedByContainerScheduler => -108,
            Self::LogsExceeded => -109,
        }
    }

    /// Whether the cluster, and not what ran in the container, is the reason.
    #[must_use]
    pub fn is_by_cluster(self) -> bool {
        matches!(self, Self::Aborted | Self::DisksFailed | Self::Preempted | Self::StoppedByResourceManager)
    }
}

impl fmt::Display for ContainerExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::Process(0) => "it ended well (exit status 0)",
            Self::Process(status @ 129..=192) => return write!(f, "its process was killed by signal {}", status - 128),
            Self::Process(status) => return write!(f, "its process ended with exit status {status}"),
            Self::Running => "it could not be started, or has not ended (-1000)",
            Self::Aborted => "it was released or lost with its node (-100)",
            Self::DisksFailed => "the disks of its node failed (-101)",
            Self::Preempted => "YARN took it for another queue (preempted, -102)",
            Self::VirtualMemoryExceeded => "YARN killed it for using more virtual memory than allowed (-103)",
            Self::MemoryExceeded => "YARN killed it for using more memory than its container has (-104)",
            Self::StoppedByApplicationMaster => "its ApplicationMaster stopped it (-105)",
            Self::StoppedByResourceManager => "the ResourceManager stopped it (-106)",
            Self::StoppedAfterApplication => "it was stopped because its application had ended (-107)",
            Self::StoppedByContainerScheduler => "the scheduler of its node stopped it (-108)",
            Self::LogsExceeded => "YARN killed it for writing too much log (-109)",
            Self::Other(status) => return write!(f, "YARN ended it with status {status}"),
        };
        f.write_str(words)
    }
}

/// What the ResourceManager knows of a container of any age.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerReport {
    /// The container.
    pub id: ContainerId,
    /// Where it is or was.
    pub node: NodeId,
    /// Its size.
    pub resource: Resource,
    /// How far it is.
    pub state: ContainerState,
    /// How it ended.
    pub exit: ContainerExit,
    /// What YARN says about its end.
    pub diagnostics: String,
    /// A page with its logs.
    pub log_url: String,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// When it ended, or 0.
    pub finished_ms: i64,
}

impl From<ContainerReportProto> for ContainerReport {
    fn from(report: ContainerReportProto) -> Self {
        Self {
            state: ContainerState::from_wire(report.container_state.unwrap_or_default()),
            exit: ContainerExit::from_status(report.container_exit_status.unwrap_or(-1000)),
            created_ms: report.creation_time(),
            finished_ms: report.finish_time(),
            id: report.container_id.map(Into::into).unwrap_or_default(),
            node: report.node_id.map(Into::into).unwrap_or_default(),
            resource: report.resource.map(Into::into).unwrap_or_default(),
            diagnostics: report.diagnostics_info.unwrap_or_default(),
            log_url: report.log_url.unwrap_or_default(),
        }
    }
}

/// A container with which a NodeManager could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{container}: {exception}")]
pub struct ContainerFailure {
    /// The container.
    pub container: ContainerId,
    /// Why.
    pub exception: RemoteException,
}

impl ContainerFailure {
    pub(crate) fn new(failure: ContainerExceptionMapProto, host: &str) -> Self {
        let container = failure.container_id.map(Into::into).unwrap_or_default();
        Self { container, exception: remote_exception(failure.exception.unwrap_or_default(), host) }
    }
}

fn remote_exception(exception: SerializedExceptionProto, host: &str) -> RemoteException {
    RemoteException {
        class: exception.class_name.unwrap_or_default(),
        message: exception.message.unwrap_or_default(),
        host: host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_statuses_keep_their_numbers() {
        for status in [-1000, -110, -109, -104, -100, -1, 0, 7, 137, 255] {
            assert_eq!(ContainerExit::from_status(status).status(), status);
        }
        assert_eq!(ContainerExit::from_status(137).to_string(), "its process was killed by signal 9");
        assert!(ContainerExit::from_status(-104).to_string().contains("more memory"));
        assert!(ContainerExit::Preempted.is_by_cluster() && !ContainerExit::MemoryExceeded.is_by_cluster());
    }
}
