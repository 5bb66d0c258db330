use std::fmt;

use crate::proto::yarn::{ResourceProto, ResourceRequestProto};
use crate::yarn::priority;

/// Memory and virtual cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Resource {
    /// Memory in megabytes (2^20 bytes).
    pub memory_mb: u64,
    /// Virtual cores.
    pub vcores: u32,
}

impl Resource {
    /// Memory in megabytes, and virtual cores.
    #[must_use]
    pub fn new(memory_mb: u64, vcores: u32) -> Self {
        Self { memory_mb, vcores }
    }

    /// Whether both numbers are at most those of `other`.
    #[must_use]
    pub fn fits_in(self, other: Self) -> bool {
        self.memory_mb <= other.memory_mb && self.vcores <= other.vcores
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MB, {} vcores", self.memory_mb, self.vcores)
    }
}

impl From<Resource> for ResourceProto {
    fn from(resource: Resource) -> Self {
        Self {
            memory: Some(i64::try_from(resource.memory_mb).unwrap_or(i64::MAX)),
            virtual_cores: Some(i32::try_from(resource.vcores).unwrap_or(i32::MAX)),
        }
    }
}

impl From<ResourceProto> for Resource {
    fn from(resource: ResourceProto) -> Self {
        Self {
            memory_mb: u64::try_from(resource.memory()).unwrap_or(0),
            vcores: u32::try_from(resource.virtual_cores()).unwrap_or(0),
        }
    }
}

/// Stands for every host in [`ResourceRequest::location`].
pub const ANY_HOST: &str = "*";

/// How many containers of a size are wanted where. The ResourceManager keeps one number for each priority, location,
/// size and allocation request id: a later request replaces it, and 0 takes it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceRequest {
    /// Lower numbers are served first.
    pub priority: i32,
    /// A host, a rack, or [`ANY_HOST`]. A wish for a host needs one for its rack and one for any host beside it.
    pub location: String,
    /// The size of each container.
    pub resource: Resource,
    /// How many.
    pub containers: u32,
    /// Whether a container elsewhere will do, when the location has none free.
    pub relax_locality: bool,
    /// Only nodes with these labels.
    pub node_label: Option<String>,
    /// Comes back with the containers that were given for it.
    pub allocation_request_id: i64,
}

impl ResourceRequest {
    /// Containers on any host.
    #[must_use]
    pub fn anywhere(priority: i32, resource: Resource, containers: u32, allocation_request_id: i64) -> Self {
        let (location, relax_locality, node_label) = (ANY_HOST.to_owned(), true, None);
        Self { priority, location, resource, containers, relax_locality, node_label, allocation_request_id }
    }
}

impl From<ResourceRequest> for ResourceRequestProto {
    fn from(request: ResourceRequest) -> Self {
        Self {
            priority: Some(priority(request.priority)),
            resource_name: Some(request.location),
            capability: Some(request.resource.into()),
            num_containers: Some(i32::try_from(request.containers).unwrap_or(i32::MAX)),
            relax_locality: Some(request.relax_locality),
            node_label_expression: request.node_label,
            execution_type_request: None,
            allocation_request_id: Some(request.allocation_request_id),
        }
    }
}

impl From<ResourceRequestProto> for ResourceRequest {
    fn from(request: ResourceRequestProto) -> Self {
        Self {
            priority: request.priority.as_ref().map_or(0, |priority| priority.priority()),
            containers: u32::try_from(request.num_containers()).unwrap_or(0),
            relax_locality: request.relax_locality(),
            allocation_request_id: request.allocation_request_id(),
            location: request.resource_name.unwrap_or_default(),
            resource: request.capability.map(Into::into).unwrap_or_default(),
            node_label: request.node_label_expression,
        }
    }
}
