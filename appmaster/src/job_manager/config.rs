use std::time::Duration;

use flink_graph::{Configuration, ConfigurationError, options};

/// Bytes of a result's message that are kept free for what is no collected record.
const RESULT_HEAD: usize = 1 << 20;

/// The settings that the JobManager reads.
#[derive(Debug, Clone, PartialEq)]
pub struct JobManagerConfig {
    /// Configuration of the cluster: lies under that of each job, and is handed to the workers.
    pub cluster: Configuration,
    /// `heartbeat.interval`.
    pub heartbeat_interval: Duration,
    /// `heartbeat.timeout`.
    pub heartbeat_timeout: Duration,
    /// `taskmanager.worker.start-timeout`.
    pub worker_start_timeout: Duration,
    /// `jobstore.max-capacity`.
    pub job_store_capacity: usize,
    /// Most bytes of records that the result of a job may hold (`rpc.framesize` without what else the result says).
    pub largest_result: usize,
    /// Pause before a message that was not answered is sent again for the first time; it doubles from then on.
    pub resend_pause: Duration,
    /// Longest pause between two sendings of one message.
    pub longest_resend_pause: Duration,
    /// Whether TaskManagers are started as the jobs want them: then more may come at any time, and whoever starts them says
    /// when none ever will.
    pub task_managers_on_demand: bool,
}

impl JobManagerConfig {
    /// Reads the settings of a cluster.
    ///
    /// # Errors
    /// A value is not of its option's type.
    pub fn from_configuration(cluster: &Configuration) -> Result<Self, ConfigurationError> {
        let heartbeat_interval = cluster.get(&options::HEARTBEAT_INTERVAL)?.max(Duration::from_millis(1));
        Ok(Self {
            cluster: cluster.clone(),
            heartbeat_interval,
            heartbeat_timeout: cluster.get(&options::HEARTBEAT_TIMEOUT)?.max(heartbeat_interval * 2),
            worker_start_timeout: cluster.get(&options::WORKER_START_TIMEOUT)?,
            job_store_capacity: cluster.get(&options::JOB_STORE_MAX_CAPACITY)? as usize,
            largest_result: cluster.get(&options::RPC_FRAME_SIZE)?.bytes().saturating_sub(RESULT_HEAD),
            resend_pause: Duration::from_millis(500),
            longest_resend_pause: Duration::from_secs(5),
            task_managers_on_demand: false,
        })
    }
}

/// The settings of one job: its own configuration over that of the cluster.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JobSettings {
    /// None where the job waits for slots however long it takes.
    pub(crate) slot_request_timeout: Option<Duration>,
    pub(crate) cancellation_timeout: Duration,
    pub(crate) locality_wait: Duration,
}

impl JobSettings {
    pub(crate) fn read(merged: &Configuration, task_managers_on_demand: bool) -> Result<Self, ConfigurationError> {
        // A queue that is full, or that has taken containers back, may have room again tomorrow.
        let waits = task_managers_on_demand && merged.raw(options::SLOT_REQUEST_TIMEOUT.key).is_none();
        let slot_request_timeout = merged.get(&options::SLOT_REQUEST_TIMEOUT)?;
        Ok(Self {
            slot_request_timeout: (!waits).then_some(slot_request_timeout),
            cancellation_timeout: merged.get(&options::TASK_CANCELLATION_TIMEOUT)?,
            locality_wait: merged.get(&options::SPLIT_LOCALITY_WAIT)?,
        })
    }
}
