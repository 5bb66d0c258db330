use std::time::Duration;

use flink_graph::{Configuration, ConfigurationError, TaskManagerId, options};
use flink_protocol::task_manager::HardwareDescription;

/// What a TaskManager is and how patient it is.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskManagerConfig {
    /// Its identity, new at each start.
    pub id: TaskManagerId,
    /// Its host as HDFS and YARN know it.
    pub host: String,
    /// Number of slots that it offers.
    pub slots: u32,
    /// Its hardware.
    pub hardware: HardwareDescription,
    /// `taskmanager.registration.timeout`.
    pub registration_timeout: Duration,
    /// `taskmanager.registration.initial-backoff`.
    pub registration_backoff: Duration,
    /// `heartbeat.interval`, until the JobManager says its own.
    pub heartbeat_interval: Duration,
    /// `heartbeat.timeout`, until the JobManager says its own.
    pub heartbeat_timeout: Duration,
    /// Pause before a message that was not answered is sent again for the first time; it doubles from then on.
    pub resend_pause: Duration,
    /// Longest pause between two sendings of one message.
    pub longest_resend_pause: Duration,
    /// `taskmanager.worker.start-timeout`.
    pub worker_start_timeout: Duration,
    /// Time within which a worker that was told to stop must have ended.
    pub worker_stop_timeout: Duration,
    /// Number of ended executions that are remembered, so that a late message about one does no harm.
    pub ended_capacity: usize,
}

impl TaskManagerConfig {
    /// Reads the settings of a TaskManager.
    ///
    /// # Errors
    /// A value is not of its option's type.
    pub fn from_configuration(
        configuration: &Configuration,
        id: TaskManagerId,
        host: String,
        hardware: HardwareDescription,
    ) -> Result<Self, ConfigurationError> {
        let heartbeat_interval = configuration.get(&options::HEARTBEAT_INTERVAL)?.max(Duration::from_millis(1));
        Ok(Self {
            id,
            host,
            slots: configuration.get(&options::TASK_SLOTS)?.max(1),
            hardware,
            registration_timeout: configuration.get(&options::REGISTRATION_TIMEOUT)?,
            registration_backoff: configuration
                .get(&options::REGISTRATION_INITIAL_BACKOFF)?
                .max(Duration::from_millis(1)),
            heartbeat_interval,
            heartbeat_timeout: configuration.get(&options::HEARTBEAT_TIMEOUT)?.max(heartbeat_interval * 2),
            resend_pause: Duration::from_millis(500),
            longest_resend_pause: Duration::from_secs(5),
            worker_start_timeout: configuration.get(&options::WORKER_START_TIMEOUT)?,
            worker_stop_timeout: Duration::from_secs(5),
            ended_capacity: 4096,
        })
    }
}
