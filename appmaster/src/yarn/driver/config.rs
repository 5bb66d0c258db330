use std::time::Duration;

use flink_graph::{Configuration, ConfigurationError, options};
use flink_protocol::deployment::TaskManagerContainers;

use super::event::Resource;

/// How the driver behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct DriverConfig {
    /// What a TaskManager's container needs.
    pub resource: Resource,
    /// Slots of a TaskManager.
    pub slots: u32,
    /// `yarn.heartbeat.interval`
    pub heartbeat_interval: Duration,
    /// `yarn.heartbeat.container-request-interval`
    pub request_interval: Duration,
    /// Pause between heartbeats when containers were asked for just now: most come within moments.
    pub first_request_interval: Duration,
    /// How long that goes on.
    pub first_request_time: Duration,
    /// `resourcemanager.taskmanager-timeout`
    pub idle_timeout: Duration,
    /// `resourcemanager.taskmanager-registration.timeout`
    pub registration_timeout: Duration,
    /// Time for a TaskManager that was told to end.
    pub leaving_timeout: Duration,
    /// `resourcemanager.start-worker.max-failure-rate`: failures in a minute.
    pub max_failure_rate: f64,
    /// Failures of containers on one node after which it is left out.
    pub node_failures: usize,
    /// For how long it is, and for how long a failure counts.
    pub node_penalty: Duration,
    /// Largest share of the nodes that may be left out, percent.
    pub most_left_out: u32,
    /// Silence of the ResourceManager about wanted containers after which users are told what is waited for.
    pub explain_after: Duration,
}

impl DriverConfig {
    /// Reads the settings.
    ///
    /// # Errors
    /// A value is not of its option's type.
    pub fn new(configuration: &Configuration, containers: &TaskManagerContainers) -> Result<Self, ConfigurationError> {
        let heartbeat_interval = u64::from(configuration.get(&options::YARN_HEARTBEAT_INTERVAL)?.max(1));
        let request_interval = u64::from(configuration.get(&options::YARN_CONTAINER_REQUEST_INTERVAL)?.max(10));
        let request_interval = Duration::from_millis(request_interval);
        Ok(Self {
            resource: Resource { memory_mb: containers.memory_mb, vcores: containers.vcores },
            slots: containers.slots.max(1),
            heartbeat_interval: Duration::from_secs(heartbeat_interval),
            request_interval,
            first_request_interval: request_interval.min(Duration::from_millis(50)),
            first_request_time: Duration::from_secs(5),
            idle_timeout: configuration.get(&options::IDLE_TASK_MANAGER_TIMEOUT)?,
            registration_timeout: configuration.get(&options::TASK_MANAGER_REGISTRATION_TIMEOUT)?,
            leaving_timeout: Duration::from_secs(5),
            max_failure_rate: configuration.get(&options::START_WORKER_MAX_FAILURE_RATE)?,
            node_failures: 3,
            node_penalty: Duration::from_mins(10),
            most_left_out: 33,
            explain_after: Duration::from_secs(10),
        })
    }
}
