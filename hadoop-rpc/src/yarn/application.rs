use std::time::Duration;

use crate::proto::yarn::{
    ApplicationAttemptReportProto, ApplicationReportProto, ApplicationResourceUsageReportProto,
    ApplicationSubmissionContextProto, ApplicationTimeoutMapProto, LogAggregationContextProto, ResourceRequestProto,
};
use crate::yarn::ids::{ApplicationAttemptId, ApplicationId, ContainerId};
use crate::yarn::launch::ContainerLaunchContext;
use crate::yarn::priority;
use crate::yarn::resource::{Resource, ResourceRequest};
use crate::yarn::states::{ApplicationState, AttemptState, FinalStatus, LogAggregation};

/// Which of a container's log files are collected, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogAggregationContext {
    /// Files that are collected when the application ends: a regular expression.
    pub include: Option<String>,
    /// Files that are not.
    pub exclude: Option<String>,
    /// Files that are collected while the application runs.
    pub rolled_include: Option<String>,
    /// Files that are not collected while it runs.
    pub rolled_exclude: Option<String>,
}

/// An application to submit.
#[derive(Clone, Debug, PartialEq)]
pub struct ApplicationSubmission {
    /// Its id, from [`ApplicationClient::new_application`](crate::yarn::ApplicationClient::new_application).
    pub id: ApplicationId,
    /// Its name for people.
    pub name: String,
    /// The queue; none for YARN's default.
    pub queue: Option<String>,
    /// Higher numbers are served first among the applications of a queue.
    pub priority: Option<i32>,
    /// Its type for people and filters.
    pub application_type: String,
    /// Tags for people and filters; they are kept in lower case.
    pub tags: Vec<String>,
    /// What runs as ApplicationMaster.
    pub master: ContainerLaunchContext,
    /// The size of the ApplicationMaster's container.
    pub master_resource: Resource,
    /// Only nodes with these labels for the ApplicationMaster.
    pub master_node_label: Option<String>,
    /// Only nodes with these labels for containers that ask for no others.
    pub node_label: Option<String>,
    /// How often it is tried; none for YARN's default.
    pub max_attempts: Option<u32>,
    /// Failed attempts older than this do not count.
    pub attempt_failures_validity: Option<Duration>,
    /// Whether containers go on when the ApplicationMaster ends, until the next attempt takes them over.
    pub keep_containers_across_attempts: bool,
    /// YARN kills the application after this time.
    pub lifetime: Option<Duration>,
    /// Which logs are collected.
    pub log_aggregation: Option<LogAggregationContext>,
    /// Whether YARN cancels the delegation tokens when the application ends.
    pub cancel_tokens_when_complete: bool,
}

impl ApplicationSubmission {
    /// A submission with what every one needs; everything else as YARN has it by default.
    #[must_use]
    pub fn new(id: ApplicationId, name: impl Into<String>, master: ContainerLaunchContext, resource: Resource) -> Self {
        Self {
            id,
            name: name.into(),
            queue: None,
            priority: None,
            application_type: "YARN".to_owned(),
            tags: Vec::new(),
            master,
            master_resource: resource,
            master_node_label: None,
            node_label: None,
            max_attempts: None,
            attempt_failures_validity: None,
            keep_containers_across_attempts: false,
            lifetime: None,
            log_aggregation: None,
            cancel_tokens_when_complete: true,
        }
    }

    fn master_request(&self) -> Option<ResourceRequestProto> {
        let label = self.master_node_label.clone()?;
        let request = ResourceRequest::anywhere(0, self.master_resource, 1, -1);
        Some(ResourceRequest { node_label: Some(label), ..request }.into())
    }
}

const LIFETIME: i32 = 1;

impl From<ApplicationSubmission> for ApplicationSubmissionContextProto {
    fn from(submission: ApplicationSubmission) -> Self {
        let am_container_resource_request = submission.master_request().into_iter().collect();
        let lifetime = |lifetime: Duration| ApplicationTimeoutMapProto {
            application_timeout_type: Some(LIFETIME),
            timeout: Some(i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX)),
        };
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self {
            application_id: Some(submission.id.into()),
            application_name: Some(submission.name),
            queue: submission.queue,
            priority: submission.priority.map(priority),
            am_container_spec: Some(submission.master.into()),
            cancel_tokens_when_complete: Some(submission.cancel_tokens_when_complete),
            unmanaged_am: None,
            max_app_attempts: submission.max_attempts.map(|attempts| i32::try_from(attempts).unwrap_or(i32::MAX)),
            resource: Some(submission.master_resource.into()),
            application_type: Some(submission.application_type),
            keep_containers_across_application_attempts: Some(submission.keep_containers_across_attempts),
            // The ResourceManager compares them as they are, and Hadoop's clients ask for them in lower case.
            application_tags: submission.tags.iter().map(|tag| tag.to_lowercase()).collect(),
            attempt_failures_validity_interval: submission.attempt_failures_validity.map(millis),
            log_aggregation_context: submission.log_aggregation.map(Into::into),
            node_label_expression: submission.node_label,
            am_container_resource_request,
            application_timeouts: submission.lifetime.map(lifetime).into_iter().collect(),
        }
    }
}

impl From<LogAggregationContext> for LogAggregationContextProto {
    fn from(context: LogAggregationContext) -> Self {
        Self {
            include_pattern: context.include,
            exclude_pattern: context.exclude,
            rolled_logs_include_pattern: context.rolled_include,
            rolled_logs_exclude_pattern: context.rolled_exclude,
        }
    }
}

/// What an application uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ResourceUsage {
    /// Containers it has.
    pub used_containers: u32,
    /// Containers that wait for a node to have room.
    pub reserved_containers: u32,
    /// What its containers have.
    pub used: Resource,
    /// What its reserved containers will have.
    pub reserved: Resource,
    /// What it has and asks for.
    pub needed: Resource,
    /// Megabytes times seconds since it began.
    pub memory_mb_seconds: i64,
    /// Virtual cores times seconds since it began.
    pub vcore_seconds: i64,
    /// Its part of the queue, in percent.
    pub queue_percent: f32,
    /// Its part of the cluster, in percent.
    pub cluster_percent: f32,
}

impl From<ApplicationResourceUsageReportProto> for ResourceUsage {
    fn from(usage: ApplicationResourceUsageReportProto) -> Self {
        // YARN reports -1 to those who may not see.
        let count = |number: i32| u32::try_from(number).unwrap_or(0);
        Self {
            used_containers: count(usage.num_used_containers()),
            reserved_containers: count(usage.num_reserved_containers()),
            memory_mb_seconds: usage.memory_seconds(),
            vcore_seconds: usage.vcore_seconds(),
            queue_percent: usage.queue_usage_percentage(),
            cluster_percent: usage.cluster_usage_percentage(),
            used: usage.used_resources.map(Into::into).unwrap_or_default(),
            reserved: usage.reserved_resources.map(Into::into).unwrap_or_default(),
            needed: usage.needed_resources.map(Into::into).unwrap_or_default(),
        }
    }
}

/// What the ResourceManager knows of an application.
#[derive(Clone, Debug, PartialEq)]
pub struct ApplicationReport {
    /// The application.
    pub id: ApplicationId,
    /// Its attempt that runs, or ran last.
    pub current_attempt: Option<ApplicationAttemptId>,
    /// Whose it is.
    pub user: String,
    /// Its queue.
    pub queue: String,
    /// Its name.
    pub name: String,
    /// Its type.
    pub application_type: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its priority.
    pub priority: Option<i32>,
    /// How far it is.
    pub state: ApplicationState,
    /// How it ended, in its own words.
    pub final_status: FinalStatus,
    /// From 0 to 1, as its ApplicationMaster tells.
    pub progress: f32,
    /// What YARN says about it: why it waits, why it failed.
    pub diagnostics: String,
    /// The host its ApplicationMaster gave; `N/A` before it registered.
    pub host: String,
    /// The port its ApplicationMaster gave; -1 before it registered.
    pub rpc_port: i32,
    /// Its page, through YARN's proxy.
    pub tracking_url: String,
    /// Its page, as its ApplicationMaster gave it.
    pub original_tracking_url: String,
    /// When it was submitted, in milliseconds since 1970.
    pub started_ms: i64,
    /// When it ended, or 0.
    pub finished_ms: i64,
    /// What it uses.
    pub usage: ResourceUsage,
    /// How far its logs are collected.
    pub log_aggregation: Option<LogAggregation>,
}

impl From<ApplicationReportProto> for ApplicationReport {
    fn from(report: ApplicationReportProto) -> Self {
        let texts = |text: Option<String>| text.unwrap_or_default();
        Self {
            state: ApplicationState::from_wire(report.yarn_application_state.unwrap_or_default()),
            final_status: FinalStatus::from_wire(report.final_application_status.unwrap_or_default()),
            log_aggregation: report.log_aggregation_status.map(LogAggregation::from_wire),
            progress: report.progress(),
            started_ms: report.start_time(),
            finished_ms: report.finish_time(),
            rpc_port: report.rpc_port.unwrap_or(-1),
            priority: report.priority.and_then(|priority| priority.priority),
            id: report.application_id.map(Into::into).unwrap_or_default(),
            current_attempt: report.current_application_attempt_id.map(Into::into),
            user: texts(report.user),
            queue: texts(report.queue),
            name: texts(report.name),
            application_type: texts(report.application_type),
            tags: report.application_tags,
            diagnostics: texts(report.diagnostics),
            host: texts(report.host),
            tracking_url: texts(report.tracking_url),
            original_tracking_url: texts(report.original_tracking_url),
            usage: report.app_resource_usage.map(Into::into).unwrap_or_default(),
        }
    }
}

/// What the ResourceManager knows of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptReport {
    /// The attempt.
    pub id: ApplicationAttemptId,
    /// How far it is.
    pub state: AttemptState,
    /// The ApplicationMaster's container.
    pub master_container: Option<ContainerId>,
    /// The host its ApplicationMaster gave.
    pub host: String,
    /// Its page, through YARN's proxy.
    pub tracking_url: String,
    /// What YARN says about it.
    pub diagnostics: String,
    /// When it began, in milliseconds since 1970.
    pub started_ms: i64,
    /// When it ended, or 0.
    pub finished_ms: i64,
}

impl From<ApplicationAttemptReportProto> for AttemptReport {
    fn from(report: ApplicationAttemptReportProto) -> Self {
        Self {
            state: AttemptState::from_wire(report.yarn_application_attempt_state.unwrap_or_default()),
            started_ms: report.start_time(),
            finished_ms: report.finish_time(),
            id: report.application_attempt_id.map(Into::into).unwrap_or_default(),
            master_container: report.am_container_id.map(Into::into),
            host: report.host.unwrap_or_default(),
            tracking_url: report.tracking_url.unwrap_or_default(),
            diagnostics: report.diagnostics.unwrap_or_default(),
        }
    }
}
