//! Requests and responses of YARN's three protocols.

use super::security::TokenProto;
use super::yarn::*;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RegisterApplicationMasterRequestProto {
    #[prost(string, optional, tag = "1")]
    pub(crate) host: Option<String>,
    #[prost(int32, optional, tag = "2")]
    pub(crate) rpc_port: Option<i32>,
    #[prost(string, optional, tag = "3")]
    pub(crate) tracking_url: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RegisterApplicationMasterResponseProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) maximum_capability: Option<ResourceProto>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) application_acls: Vec<ApplicationACLMapProto>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) containers_from_previous_attempts: Vec<ContainerProto>,
    #[prost(string, optional, tag = "5")]
    pub(crate) queue: Option<String>,
    #[prost(message, repeated, tag = "6")]
    pub(crate) nm_tokens_from_previous_attempts: Vec<NMTokenProto>,
    #[prost(int32, repeated, packed = "false", tag = "7")]
    pub(crate) scheduler_resource_types: Vec<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FinishApplicationMasterRequestProto {
    #[prost(string, optional, tag = "1")]
    pub(crate) diagnostics: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(crate) tracking_url: Option<String>,
    #[prost(int32, optional, tag = "3")]
    pub(crate) final_application_status: Option<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FinishApplicationMasterResponseProto {
    #[prost(bool, optional, tag = "1", default = "false")]
    pub(crate) is_unregistered: Option<bool>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AllocateRequestProto {
    #[prost(message, repeated, tag = "1")]
    pub(crate) ask: Vec<ResourceRequestProto>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) release: Vec<ContainerIdProto>,
    #[prost(message, optional, tag = "3")]
    pub(crate) blacklist_request: Option<ResourceBlacklistRequestProto>,
    #[prost(int32, optional, tag = "4")]
    pub(crate) response_id: Option<i32>,
    #[prost(float, optional, tag = "5")]
    pub(crate) progress: Option<f32>,
    #[prost(string, optional, tag = "11")]
    pub(crate) tracking_url: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct NMTokenProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) node_id: Option<NodeIdProto>,
    #[prost(message, optional, tag = "2")]
    pub(crate) token: Option<TokenProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AllocateResponseProto {
    #[prost(int32, optional, tag = "1")]
    pub(crate) am_command: Option<i32>,
    #[prost(int32, optional, tag = "2")]
    pub(crate) response_id: Option<i32>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) allocated_containers: Vec<ContainerProto>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) completed_container_statuses: Vec<ContainerStatusProto>,
    #[prost(message, optional, tag = "5")]
    pub(crate) limit: Option<ResourceProto>,
    #[prost(message, repeated, tag = "6")]
    pub(crate) updated_nodes: Vec<NodeReportProto>,
    #[prost(int32, optional, tag = "7")]
    pub(crate) num_cluster_nodes: Option<i32>,
    #[prost(message, optional, tag = "8")]
    pub(crate) preempt: Option<PreemptionMessageProto>,
    #[prost(message, repeated, tag = "9")]
    pub(crate) nm_tokens: Vec<NMTokenProto>,
    #[prost(message, optional, tag = "12")]
    pub(crate) am_rm_token: Option<TokenProto>,
    #[prost(message, optional, tag = "13")]
    pub(crate) application_priority: Option<PriorityProto>,
    #[prost(message, repeated, tag = "17")]
    pub(crate) containers_from_previous_attempts: Vec<ContainerProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetNewApplicationRequestProto {}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetNewApplicationResponseProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) application_id: Option<ApplicationIdProto>,
    #[prost(message, optional, tag = "2")]
    pub(crate) maximum_capability: Option<ResourceProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetApplicationReportRequestProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) application_id: Option<ApplicationIdProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetApplicationReportResponseProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) application_report: Option<ApplicationReportProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SubmitApplicationRequestProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) application_submission_context: Option<ApplicationSubmissionContextProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SubmitApplicationResponseProto {}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FailApplicationAttemptRequestProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) application_attempt_id: Option<ApplicationAttemptIdProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FailApplicationAttemptResponseProto {}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct KillApplicationRequestProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) application_id: Option<ApplicationIdProto>,
    #[prost(string, optional, tag = "2")]
    pub(crate) diagnostics: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct KillApplicationResponseProto {
    #[prost(bool, optional, tag = "1", default = "false")]
    pub(crate) is_kill_completed: Option<bool>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetClusterMetricsRequestProto {}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetClusterMetricsResponseProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) cluster_metrics: Option<YarnClusterMetricsProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct MoveApplicationAcrossQueuesRequestProto {
    #[prost(message, required, tag = "1")]
    pub(crate) application_id: ApplicationIdProto,
    #[prost(string, required, tag = "2")]
    pub(crate) target_queue: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct MoveApplicationAcrossQueuesResponseProto {}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetApplicationsRequestProto {
    #[prost(string, repeated, tag = "1")]
    pub(crate) application_types: Vec<String>,
    #[prost(int32, repeated, packed = "false", tag = "2")]
    pub(crate) application_states: Vec<i32>,
    #[prost(string, repeated, tag = "3")]
    pub(crate) users: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    pub(crate) queues: Vec<String>,
    #[prost(int64, optional, tag = "5")]
    pub(crate) limit: Option<i64>,
    #[prost(string, repeated, tag = "10")]
    pub(crate) application_tags: Vec<String>,
    #[prost(int32, optional, tag = "11")]
    pub(crate) scope: Option<i32>,
    #[prost(string, optional, tag = "12")]
    pub(crate) name: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetApplicationsResponseProto {
    #[prost(message, repeated, tag = "1")]
    pub(crate) applications: Vec<ApplicationReportProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetClusterNodesRequestProto {
    #[prost(int32, repeated, packed = "false", tag = "1")]
    pub(crate) node_states: Vec<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetClusterNodesResponseProto {
    #[prost(message, repeated, tag = "1")]
    pub(crate) node_reports: Vec<NodeReportProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetClusterNodeLabelsRequestProto {}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetClusterNodeLabelsResponseProto {
    #[prost(message, repeated, tag = "2")]
    pub(crate) node_labels: Vec<NodeLabelProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct NodeLabelProto {
    #[prost(string, optional, tag = "1")]
    pub(crate) name: Option<String>,
    #[prost(bool, optional, tag = "2", default = "true")]
    pub(crate) is_exclusive: Option<bool>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetQueueInfoRequestProto {
    #[prost(string, optional, tag = "1")]
    pub(crate) queue_name: Option<String>,
    #[prost(bool, optional, tag = "2")]
    pub(crate) include_applications: Option<bool>,
    #[prost(bool, optional, tag = "3")]
    pub(crate) include_child_queues: Option<bool>,
    #[prost(bool, optional, tag = "4")]
    pub(crate) recursive: Option<bool>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetQueueInfoResponseProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) queue_info: Option<QueueInfoProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetQueueUserAclsInfoRequestProto {}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetQueueUserAclsInfoResponseProto {
    #[prost(message, repeated, tag = "1")]
    pub(crate) queue_user_acls: Vec<QueueUserACLInfoProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct UpdateApplicationPriorityRequestProto {
    #[prost(message, required, tag = "1")]
    pub(crate) application_id: ApplicationIdProto,
    #[prost(message, required, tag = "2")]
    pub(crate) application_priority: PriorityProto,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct UpdateApplicationPriorityResponseProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) application_priority: Option<PriorityProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SignalContainerRequestProto {
    #[prost(message, required, tag = "1")]
    pub(crate) container_id: ContainerIdProto,
    #[prost(int32, required, tag = "2")]
    pub(crate) command: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SignalContainerResponseProto {}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetApplicationAttemptsRequestProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) application_id: Option<ApplicationIdProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetApplicationAttemptsResponseProto {
    #[prost(message, repeated, tag = "1")]
    pub(crate) application_attempts: Vec<ApplicationAttemptReportProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetContainersRequestProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) application_attempt_id: Option<ApplicationAttemptIdProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetContainersResponseProto {
    #[prost(message, repeated, tag = "1")]
    pub(crate) containers: Vec<ContainerReportProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StartContainerRequestProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) container_launch_context: Option<ContainerLaunchContextProto>,
    #[prost(message, optional, tag = "2")]
    pub(crate) container_token: Option<TokenProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StartContainersRequestProto {
    #[prost(message, repeated, tag = "1")]
    pub(crate) start_container_request: Vec<StartContainerRequestProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ContainerExceptionMapProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) container_id: Option<ContainerIdProto>,
    #[prost(message, optional, tag = "2")]
    pub(crate) exception: Option<SerializedExceptionProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StartContainersResponseProto {
    #[prost(message, repeated, tag = "1")]
    pub(crate) services_meta_data: Vec<StringBytesMapProto>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) succeeded_requests: Vec<ContainerIdProto>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) failed_requests: Vec<ContainerExceptionMapProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StopContainersRequestProto {
    #[prost(message, repeated, tag = "1")]
    pub(crate) container_id: Vec<ContainerIdProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StopContainersResponseProto {
    #[prost(message, repeated, tag = "1")]
    pub(crate) succeeded_requests: Vec<ContainerIdProto>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) failed_requests: Vec<ContainerExceptionMapProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetContainerStatusesRequestProto {
    #[prost(message, repeated, tag = "1")]
    pub(crate) container_id: Vec<ContainerIdProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetContainerStatusesResponseProto {
    #[prost(message, repeated, tag = "1")]
    pub(crate) status: Vec<ContainerStatusProto>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) failed_requests: Vec<ContainerExceptionMapProto>,
}
