//! What YARN's protocols speak about.

use std::fmt;

use super::security::TokenProto;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SerializedExceptionProto {
    #[prost(string, optional, tag = "1")]
    pub(crate) message: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(crate) trace: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub(crate) class_name: Option<String>,
    #[prost(message, optional, boxed, tag = "4")]
    pub(crate) cause: Option<Box<SerializedExceptionProto>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ApplicationIdProto {
    #[prost(int32, optional, tag = "1")]
    pub(crate) id: Option<i32>,
    #[prost(int64, optional, tag = "2")]
    pub(crate) cluster_timestamp: Option<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ApplicationAttemptIdProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) application_id: Option<ApplicationIdProto>,
    #[prost(int32, optional, tag = "2")]
    pub(crate) attempt_id: Option<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ContainerIdProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) app_id: Option<ApplicationIdProto>,
    #[prost(message, optional, tag = "2")]
    pub(crate) app_attempt_id: Option<ApplicationAttemptIdProto>,
    #[prost(int64, optional, tag = "3")]
    pub(crate) id: Option<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ResourceProto {
    #[prost(int64, optional, tag = "1")]
    pub(crate) memory: Option<i64>,
    #[prost(int32, optional, tag = "2")]
    pub(crate) virtual_cores: Option<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PriorityProto {
    #[prost(int32, optional, tag = "1")]
    pub(crate) priority: Option<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct NodeIdProto {
    #[prost(string, optional, tag = "1")]
    pub(crate) host: Option<String>,
    #[prost(int32, optional, tag = "2")]
    pub(crate) port: Option<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct URLProto {
    #[prost(string, optional, tag = "1")]
    pub(crate) scheme: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(crate) host: Option<String>,
    #[prost(int32, optional, tag = "3")]
    pub(crate) port: Option<i32>,
    #[prost(string, optional, tag = "4")]
    pub(crate) file: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub(crate) user_info: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LocalResourceProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) resource: Option<URLProto>,
    #[prost(int64, optional, tag = "2")]
    pub(crate) size: Option<i64>,
    #[prost(int64, optional, tag = "3")]
    pub(crate) timestamp: Option<i64>,
    #[prost(int32, optional, tag = "4")]
    pub(crate) kind: Option<i32>,
    #[prost(int32, optional, tag = "5")]
    pub(crate) visibility: Option<i32>,
    #[prost(string, optional, tag = "6")]
    pub(crate) pattern: Option<String>,
    #[prost(bool, optional, tag = "7")]
    pub(crate) should_be_uploaded_to_shared_cache: Option<bool>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StringLocalResourceMapProto {
    #[prost(string, optional, tag = "1")]
    pub(crate) key: Option<String>,
    #[prost(message, optional, tag = "2")]
    pub(crate) value: Option<LocalResourceProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StringStringMapProto {
    #[prost(string, optional, tag = "1")]
    pub(crate) key: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(crate) value: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StringBytesMapProto {
    #[prost(string, optional, tag = "1")]
    pub(crate) key: Option<String>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(crate) value: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ApplicationACLMapProto {
    #[prost(int32, optional, tag = "1")]
    pub(crate) access_type: Option<i32>,
    #[prost(string, optional, tag = "2")]
    pub(crate) acl: Option<String>,
}

/// Its tokens are not printed.
impl fmt::Debug for ContainerLaunchContextProto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContainerLaunchContextProto").field("command", &self.command).finish_non_exhaustive()
    }
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(crate) struct ContainerLaunchContextProto {
    #[prost(message, repeated, tag = "1")]
    pub(crate) local_resources: Vec<StringLocalResourceMapProto>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(crate) tokens: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) service_data: Vec<StringBytesMapProto>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) environment: Vec<StringStringMapProto>,
    #[prost(string, repeated, tag = "5")]
    pub(crate) command: Vec<String>,
    #[prost(message, repeated, tag = "6")]
    pub(crate) application_acls: Vec<ApplicationACLMapProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ContainerProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) id: Option<ContainerIdProto>,
    #[prost(message, optional, tag = "2")]
    pub(crate) node_id: Option<NodeIdProto>,
    #[prost(string, optional, tag = "3")]
    pub(crate) node_http_address: Option<String>,
    #[prost(message, optional, tag = "4")]
    pub(crate) resource: Option<ResourceProto>,
    #[prost(message, optional, tag = "5")]
    pub(crate) priority: Option<PriorityProto>,
    #[prost(message, optional, tag = "6")]
    pub(crate) container_token: Option<TokenProto>,
    #[prost(int64, optional, tag = "8", default = "-1")]
    pub(crate) allocation_request_id: Option<i64>,
    #[prost(int32, optional, tag = "9", default = "0")]
    pub(crate) version: Option<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ContainerStatusProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) container_id: Option<ContainerIdProto>,
    #[prost(int32, optional, tag = "2")]
    pub(crate) state: Option<i32>,
    #[prost(string, optional, tag = "3")]
    pub(crate) diagnostics: Option<String>,
    #[prost(int32, optional, tag = "4", default = "-1000")]
    pub(crate) exit_status: Option<i32>,
    #[prost(message, optional, tag = "5")]
    pub(crate) capability: Option<ResourceProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ApplicationResourceUsageReportProto {
    #[prost(int32, optional, tag = "1")]
    pub(crate) num_used_containers: Option<i32>,
    #[prost(int32, optional, tag = "2")]
    pub(crate) num_reserved_containers: Option<i32>,
    #[prost(message, optional, tag = "3")]
    pub(crate) used_resources: Option<ResourceProto>,
    #[prost(message, optional, tag = "4")]
    pub(crate) reserved_resources: Option<ResourceProto>,
    #[prost(message, optional, tag = "5")]
    pub(crate) needed_resources: Option<ResourceProto>,
    #[prost(int64, optional, tag = "6")]
    pub(crate) memory_seconds: Option<i64>,
    #[prost(int64, optional, tag = "7")]
    pub(crate) vcore_seconds: Option<i64>,
    #[prost(float, optional, tag = "8")]
    pub(crate) queue_usage_percentage: Option<f32>,
    #[prost(float, optional, tag = "9")]
    pub(crate) cluster_usage_percentage: Option<f32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ApplicationReportProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) application_id: Option<ApplicationIdProto>,
    #[prost(string, optional, tag = "2")]
    pub(crate) user: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub(crate) queue: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub(crate) name: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub(crate) host: Option<String>,
    #[prost(int32, optional, tag = "6")]
    pub(crate) rpc_port: Option<i32>,
    #[prost(int32, optional, tag = "8")]
    pub(crate) yarn_application_state: Option<i32>,
    #[prost(string, optional, tag = "9")]
    pub(crate) tracking_url: Option<String>,
    #[prost(string, optional, tag = "10")]
    pub(crate) diagnostics: Option<String>,
    #[prost(int64, optional, tag = "11")]
    pub(crate) start_time: Option<i64>,
    #[prost(int64, optional, tag = "12")]
    pub(crate) finish_time: Option<i64>,
    #[prost(int32, optional, tag = "13")]
    pub(crate) final_application_status: Option<i32>,
    #[prost(message, optional, tag = "14")]
    pub(crate) app_resource_usage: Option<ApplicationResourceUsageReportProto>,
    #[prost(string, optional, tag = "15")]
    pub(crate) original_tracking_url: Option<String>,
    #[prost(message, optional, tag = "16")]
    pub(crate) current_application_attempt_id: Option<ApplicationAttemptIdProto>,
    #[prost(float, optional, tag = "17")]
    pub(crate) progress: Option<f32>,
    #[prost(string, optional, tag = "18")]
    pub(crate) application_type: Option<String>,
    #[prost(string, repeated, tag = "20")]
    pub(crate) application_tags: Vec<String>,
    #[prost(int32, optional, tag = "21")]
    pub(crate) log_aggregation_status: Option<i32>,
    #[prost(message, optional, tag = "23")]
    pub(crate) priority: Option<PriorityProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ApplicationAttemptReportProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) application_attempt_id: Option<ApplicationAttemptIdProto>,
    #[prost(string, optional, tag = "2")]
    pub(crate) host: Option<String>,
    #[prost(int32, optional, tag = "3")]
    pub(crate) rpc_port: Option<i32>,
    #[prost(string, optional, tag = "4")]
    pub(crate) tracking_url: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub(crate) diagnostics: Option<String>,
    #[prost(int32, optional, tag = "6")]
    pub(crate) yarn_application_attempt_state: Option<i32>,
    #[prost(message, optional, tag = "7")]
    pub(crate) am_container_id: Option<ContainerIdProto>,
    #[prost(string, optional, tag = "8")]
    pub(crate) original_tracking_url: Option<String>,
    #[prost(int64, optional, tag = "9")]
    pub(crate) start_time: Option<i64>,
    #[prost(int64, optional, tag = "10")]
    pub(crate) finish_time: Option<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ContainerReportProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) container_id: Option<ContainerIdProto>,
    #[prost(message, optional, tag = "2")]
    pub(crate) resource: Option<ResourceProto>,
    #[prost(message, optional, tag = "3")]
    pub(crate) node_id: Option<NodeIdProto>,
    #[prost(message, optional, tag = "4")]
    pub(crate) priority: Option<PriorityProto>,
    #[prost(int64, optional, tag = "5")]
    pub(crate) creation_time: Option<i64>,
    #[prost(int64, optional, tag = "6")]
    pub(crate) finish_time: Option<i64>,
    #[prost(string, optional, tag = "7")]
    pub(crate) diagnostics_info: Option<String>,
    #[prost(string, optional, tag = "8")]
    pub(crate) log_url: Option<String>,
    #[prost(int32, optional, tag = "9")]
    pub(crate) container_exit_status: Option<i32>,
    #[prost(int32, optional, tag = "10")]
    pub(crate) container_state: Option<i32>,
    #[prost(string, optional, tag = "11")]
    pub(crate) node_http_address: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct NodeReportProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) node_id: Option<NodeIdProto>,
    #[prost(string, optional, tag = "2")]
    pub(crate) http_address: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub(crate) rack_name: Option<String>,
    #[prost(message, optional, tag = "4")]
    pub(crate) used: Option<ResourceProto>,
    #[prost(message, optional, tag = "5")]
    pub(crate) capability: Option<ResourceProto>,
    #[prost(int32, optional, tag = "6")]
    pub(crate) num_containers: Option<i32>,
    #[prost(int32, optional, tag = "7")]
    pub(crate) node_state: Option<i32>,
    #[prost(string, optional, tag = "8")]
    pub(crate) health_report: Option<String>,
    #[prost(int64, optional, tag = "9")]
    pub(crate) last_health_report_time: Option<i64>,
    #[prost(string, repeated, tag = "10")]
    pub(crate) node_labels: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ExecutionTypeRequestProto {
    #[prost(int32, optional, tag = "1")]
    pub(crate) execution_type: Option<i32>,
    #[prost(bool, optional, tag = "2", default = "false")]
    pub(crate) enforce_execution_type: Option<bool>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ResourceRequestProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) priority: Option<PriorityProto>,
    #[prost(string, optional, tag = "2")]
    pub(crate) resource_name: Option<String>,
    #[prost(message, optional, tag = "3")]
    pub(crate) capability: Option<ResourceProto>,
    #[prost(int32, optional, tag = "4")]
    pub(crate) num_containers: Option<i32>,
    #[prost(bool, optional, tag = "5", default = "true")]
    pub(crate) relax_locality: Option<bool>,
    #[prost(string, optional, tag = "6")]
    pub(crate) node_label_expression: Option<String>,
    #[prost(message, optional, tag = "7")]
    pub(crate) execution_type_request: Option<ExecutionTypeRequestProto>,
    #[prost(int64, optional, tag = "8", default = "-1")]
    pub(crate) allocation_request_id: Option<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PreemptionMessageProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) strict_contract: Option<StrictPreemptionContractProto>,
    #[prost(message, optional, tag = "2")]
    pub(crate) contract: Option<PreemptionContractProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StrictPreemptionContractProto {
    #[prost(message, repeated, tag = "1")]
    pub(crate) container: Vec<PreemptionContainerProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PreemptionContractProto {
    #[prost(message, repeated, tag = "1")]
    pub(crate) resource: Vec<PreemptionResourceRequestProto>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) container: Vec<PreemptionContainerProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PreemptionContainerProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) id: Option<ContainerIdProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PreemptionResourceRequestProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) resource: Option<ResourceRequestProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ResourceBlacklistRequestProto {
    #[prost(string, repeated, tag = "1")]
    pub(crate) blacklist_additions: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(crate) blacklist_removals: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ApplicationTimeoutMapProto {
    #[prost(int32, optional, tag = "1")]
    pub(crate) application_timeout_type: Option<i32>,
    #[prost(int64, optional, tag = "2")]
    pub(crate) timeout: Option<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LogAggregationContextProto {
    #[prost(string, optional, tag = "1")]
    pub(crate) include_pattern: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(crate) exclude_pattern: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub(crate) rolled_logs_include_pattern: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub(crate) rolled_logs_exclude_pattern: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ApplicationSubmissionContextProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) application_id: Option<ApplicationIdProto>,
    #[prost(string, optional, tag = "2")]
    pub(crate) application_name: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub(crate) queue: Option<String>,
    #[prost(message, optional, tag = "4")]
    pub(crate) priority: Option<PriorityProto>,
    #[prost(message, optional, tag = "5")]
    pub(crate) am_container_spec: Option<ContainerLaunchContextProto>,
    #[prost(bool, optional, tag = "6", default = "true")]
    pub(crate) cancel_tokens_when_complete: Option<bool>,
    #[prost(bool, optional, tag = "7", default = "false")]
    pub(crate) unmanaged_am: Option<bool>,
    #[prost(int32, optional, tag = "8", default = "0")]
    pub(crate) max_app_attempts: Option<i32>,
    #[prost(message, optional, tag = "9")]
    pub(crate) resource: Option<ResourceProto>,
    #[prost(string, optional, tag = "10")]
    pub(crate) application_type: Option<String>,
    #[prost(bool, optional, tag = "11", default = "false")]
    pub(crate) keep_containers_across_application_attempts: Option<bool>,
    #[prost(string, repeated, tag = "12")]
    pub(crate) application_tags: Vec<String>,
    #[prost(int64, optional, tag = "13", default = "-1")]
    pub(crate) attempt_failures_validity_interval: Option<i64>,
    #[prost(message, optional, tag = "14")]
    pub(crate) log_aggregation_context: Option<LogAggregationContextProto>,
    #[prost(string, optional, tag = "16")]
    pub(crate) node_label_expression: Option<String>,
    #[prost(message, repeated, tag = "17")]
    pub(crate) am_container_resource_request: Vec<ResourceRequestProto>,
    #[prost(message, repeated, tag = "18")]
    pub(crate) application_timeouts: Vec<ApplicationTimeoutMapProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct YarnClusterMetricsProto {
    #[prost(int32, optional, tag = "1")]
    pub(crate) num_node_managers: Option<i32>,
    #[prost(int32, optional, tag = "2")]
    pub(crate) num_decommissioned_nms: Option<i32>,
    #[prost(int32, optional, tag = "3")]
    pub(crate) num_active_nms: Option<i32>,
    #[prost(int32, optional, tag = "4")]
    pub(crate) num_lost_nms: Option<i32>,
    #[prost(int32, optional, tag = "5")]
    pub(crate) num_unhealthy_nms: Option<i32>,
    #[prost(int32, optional, tag = "6")]
    pub(crate) num_rebooted_nms: Option<i32>,
    #[prost(int32, optional, tag = "7")]
    pub(crate) num_decommissioning_nms: Option<i32>,
    #[prost(int32, optional, tag = "8")]
    pub(crate) num_shutdown_nms: Option<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct QueueStatisticsProto {
    #[prost(int64, optional, tag = "2")]
    pub(crate) num_apps_running: Option<i64>,
    #[prost(int64, optional, tag = "3")]
    pub(crate) num_apps_pending: Option<i64>,
    #[prost(int64, optional, tag = "8")]
    pub(crate) available_memory_mb: Option<i64>,
    #[prost(int64, optional, tag = "9")]
    pub(crate) allocated_memory_mb: Option<i64>,
    #[prost(int64, optional, tag = "10")]
    pub(crate) pending_memory_mb: Option<i64>,
    #[prost(int64, optional, tag = "12")]
    pub(crate) available_v_cores: Option<i64>,
    #[prost(int64, optional, tag = "13")]
    pub(crate) allocated_v_cores: Option<i64>,
    #[prost(int64, optional, tag = "14")]
    pub(crate) pending_v_cores: Option<i64>,
    #[prost(int64, optional, tag = "16")]
    pub(crate) allocated_containers: Option<i64>,
    #[prost(int64, optional, tag = "17")]
    pub(crate) pending_containers: Option<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct QueueConfigurationsProto {
    #[prost(float, optional, tag = "2")]
    pub(crate) absolute_capacity: Option<f32>,
    #[prost(float, optional, tag = "4")]
    pub(crate) absolute_max_capacity: Option<f32>,
    #[prost(float, optional, tag = "5")]
    pub(crate) max_am_percentage: Option<f32>,
    #[prost(message, optional, tag = "7")]
    pub(crate) effective_max_capacity: Option<ResourceProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct QueueConfigurationsMapProto {
    #[prost(string, required, tag = "1")]
    pub(crate) partition_name: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) queue_configurations: Option<QueueConfigurationsProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct QueueInfoProto {
    #[prost(string, optional, tag = "1")]
    pub(crate) queue_name: Option<String>,
    #[prost(float, optional, tag = "2")]
    pub(crate) capacity: Option<f32>,
    #[prost(float, optional, tag = "3")]
    pub(crate) maximum_capacity: Option<f32>,
    #[prost(float, optional, tag = "4")]
    pub(crate) current_capacity: Option<f32>,
    #[prost(int32, optional, tag = "5")]
    pub(crate) state: Option<i32>,
    #[prost(message, repeated, tag = "6")]
    pub(crate) child_queues: Vec<QueueInfoProto>,
    #[prost(string, repeated, tag = "8")]
    pub(crate) accessible_node_labels: Vec<String>,
    #[prost(string, optional, tag = "9")]
    pub(crate) default_node_label_expression: Option<String>,
    #[prost(message, optional, tag = "10")]
    pub(crate) queue_statistics: Option<QueueStatisticsProto>,
    #[prost(bool, optional, tag = "11")]
    pub(crate) preemption_disabled: Option<bool>,
    #[prost(message, repeated, tag = "12")]
    pub(crate) queue_configurations_map: Vec<QueueConfigurationsMapProto>,
    #[prost(string, optional, tag = "15")]
    pub(crate) queue_path: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct QueueUserACLInfoProto {
    #[prost(string, optional, tag = "1")]
    pub(crate) queue_name: Option<String>,
    #[prost(int32, repeated, packed = "false", tag = "2")]
    pub(crate) user_acls: Vec<i32>,
}
