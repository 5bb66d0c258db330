use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A configuration value could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("configuration key `{key}`: `{value}` is not {expected}")]
pub struct ConfigurationError {
    /// The key.
    pub key: String,
    /// The value as given.
    pub value: String,
    /// What would have been accepted, with an example.
    pub expected: String,
}

/// Keys and values as the user gave them: from the configuration file, then `-D key=value`, then the program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Configuration(pub BTreeMap<String, String>);

impl Configuration {
    /// Sets a key, replacing what it was.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) -> &mut Self {
        self.0.insert(key.into(), value.into());
        self
    }

    /// The text of a key, if it was set.
    #[must_use]
    pub fn raw(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// The value of an option, or its default.
    ///
    /// # Errors
    /// The text is not of the option's type.
    pub fn get<T: ConfigValue>(&self, option: &ConfigOption<T>) -> Result<T, ConfigurationError> {
        let Some(text) = self.raw(option.key).or(option.default) else { return Ok(T::unset()) };
        T::parse(text.trim()).ok_or_else(|| ConfigurationError {
            key: option.key.to_owned(),
            value: text.to_owned(),
            expected: T::EXPECTED.to_owned(),
        })
    }

    /// What a program's arguments set: `-D key=value` or `-Dkey=value`, any number of times, up to `--`. A key alone is
    /// `true`, as in Flink. All other arguments are the program's own and are skipped.
    ///
    /// # Errors
    /// Behind `-D` there is no key.
    pub fn from_args(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Self, ConfigurationError> {
        let mut configuration = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let property = match argument.as_ref().to_str() {
                Some("--") => break,
                Some("-D") => {
                    arguments.next().map(|next| next.as_ref().to_string_lossy().into_owned()).unwrap_or_default()
                }
                Some(text) => match text.strip_prefix("-D") {
                    Some(property) => property.to_owned(),
                    None => continue,
                },
                None => continue,
            };
            let (key, value) = property.split_once('=').unwrap_or((&property, "true"));
            let key = key.trim();
            if key.is_empty() || key.contains(char::is_whitespace) {
                return Err(ConfigurationError {
                    key: "-D".to_owned(),
                    value: property.clone(),
                    expected: "key=value, for example -D parallelism.default=4".to_owned(),
                });
            }
            configuration.set(key, value.trim());
        }
        Ok(configuration)
    }

    /// Lays `other` over this configuration: its values win.
    pub fn overlay(&mut self, other: &Self) {
        self.0.extend(other.0.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
}

/// One configuration key with its type, default and meaning.
#[derive(Debug, Clone, Copy)]
pub struct ConfigOption<T> {
    /// The key; Flink's where it means the same.
    pub key: &'static str,
    /// The default as text; `None` when unset has a meaning of its own.
    pub default: Option<&'static str>,
    /// What it does, in one sentence.
    pub description: &'static str,
    kind: std::marker::PhantomData<T>,
}

impl<T> ConfigOption<T> {
    /// Declares an option.
    #[must_use]
    pub const fn new(key: &'static str, default: Option<&'static str>, description: &'static str) -> Self {
        Self { key, default, description, kind: std::marker::PhantomData }
    }
}

/// A type that configuration values are read as.
pub trait ConfigValue: Sized {
    /// What a valid text looks like, for the error message.
    const EXPECTED: &'static str;

    /// Reads the text; `None` when it is not valid.
    fn parse(text: &str) -> Option<Self>;

    /// The value of an option that has no default and was not set.
    #[must_use]
    fn unset() -> Self;
}

macro_rules! plain_value {
    ($type:ty, $expected:literal) => {
        impl ConfigValue for $type {
            const EXPECTED: &'static str = $expected;

            fn parse(text: &str) -> Option<Self> {
                text.parse().ok()
            }

            fn unset() -> Self {
                Self::default()
            }
        }
    };
}

plain_value!(u16, "a whole number from 0 to 65535");
plain_value!(u32, "a whole number, for example 4");
plain_value!(u64, "a whole number, for example 1000");
plain_value!(i32, "a whole number, for example -1");
plain_value!(f64, "a number, for example 0.5");
plain_value!(String, "a text");

impl ConfigValue for bool {
    const EXPECTED: &'static str = "true or false";

    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    fn unset() -> Self {
        false
    }
}

impl<T: ConfigValue> ConfigValue for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn parse(text: &str) -> Option<Self> {
        T::parse(text).map(Some)
    }

    fn unset() -> Self {
        None
    }
}

impl ConfigValue for Duration {
    const EXPECTED: &'static str = "a duration, for example 500 ms, 10 s, 5 min or 1 h";

    /// A number without a unit counts milliseconds, as in Flink.
    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split_unit(text)?;
        let nanos_per_unit: u64 = match unit.as_str() {
            "ns" | "nano" | "nanos" => 1,
            "us" | "µs" | "micro" | "micros" => 1_000,
            "" | "ms" | "milli" | "millis" => 1_000_000,
            "s" | "sec" | "second" | "seconds" => 1_000_000_000,
            "m" | "min" | "minute" | "minutes" => 60_000_000_000,
            "h" | "hour" | "hours" => 3_600_000_000_000,
            "d" | "day" | "days" => 86_400_000_000_000,
            _ => return None,
        };
        number.checked_mul(nanos_per_unit).map(Self::from_nanos)
    }

    fn unset() -> Self {
        Self::ZERO
    }
}

/// How long something counts; none for ever, which Flink writes as `-1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Validity(pub Option<Duration>);

impl ConfigValue for Validity {
    const EXPECTED: &'static str = "a duration, for example 10 s or 5 min, or -1 for no end";

    fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "-1" => Some(Self(None)),
            text => Duration::parse(text).map(|duration| Self(Some(duration))),
        }
    }

    fn unset() -> Self {
        Self(None)
    }
}

/// A number of bytes, written as in Flink: `64mb`, `1 g`, `1024`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MemorySize(pub u64);

impl MemorySize {
    /// The size as a `usize`; saturates where a pointer is smaller than 64 bits.
    #[must_use]
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for MemorySize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, shift) = match self.0 {
            b if b >= 1 << 30 && b % (1 << 30) == 0 => ("gb", 30),
            b if b >= 1 << 20 && b % (1 << 20) == 0 => ("mb", 20),
            b if b >= 1 << 10 && b % (1 << 10) == 0 => ("kb", 10),
            _ => ("bytes", 0),
        };
        write!(f, "{} {unit}", self.0 >> shift)
    }
}

impl ConfigValue for MemorySize {
    const EXPECTED: &'static str = "a size, for example 64 mb, 1 g or a number of bytes";

    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split_unit(text)?;
        let shift = match unit.as_str() {
            "" | "b" | "bytes" => 0,
            "k" | "kb" | "kib" | "kibibytes" => 10,
            "m" | "mb" | "mib" | "mebibytes" => 20,
            "g" | "gb" | "gib" | "gibibytes" => 30,
            "t" | "tb" | "tib" | "tebibytes" => 40,
            _ => return None,
        };
        number.checked_mul(1 << shift).map(Self)
    }

    fn unset() -> Self {
        Self(0)
    }
}

fn split_unit(text: &str) -> Option<(u64, String)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim().to_lowercase()))
}

/// All keys that the engine reads. `flink-yarn` refuses a key of these families that is not listed.
pub mod options {
    use std::time::Duration;

    use super::Validity;
    use super::{ConfigOption, MemorySize};
    use crate::port_range::PortRange;

    macro_rules! options {
        ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $key:literal, $default:expr;)*) => {
            $(
                $(#[doc = $doc])+
                pub const $name: ConfigOption<$type> = ConfigOption::new($key, $default, concat!($($doc),+));
            )*

            /// Key, default and description of every option, in the order of their declaration.
            pub const ALL: &[(&str, Option<&str>, &str)] = &[$(($key, $default, concat!($($doc),+))),*];

            /// Checks that every option that is set has a value of its type.
            ///
            /// # Errors
            /// The first one that has not.
            pub fn check(configuration: &super::Configuration) -> Result<(), super::ConfigurationError> {
                $(configuration.get(&$name)?;)*
                Ok(())
            }
        };
    }

    options! {
        /// Host on which clients and TaskManagers reach the JobManager.
        JOB_MANAGER_RPC_ADDRESS: String = "jobmanager.rpc.address", Some("127.0.0.1");
        /// Port on which clients and TaskManagers reach the JobManager; 0 picks a free one.
        JOB_MANAGER_RPC_PORT: u16 = "jobmanager.rpc.port", Some("6123");
        /// Ports of which the JobManager listens on the first free one; jobmanager.rpc.port when it is not set.
        JOB_MANAGER_RPC_BIND_PORT: Option<PortRange> = "jobmanager.rpc.bind-port", None;
        /// Address that the JobManager's ports listen on; the RPC address when it is not set.
        JOB_MANAGER_BIND_HOST: Option<String> = "jobmanager.bind-host", None;
        /// Host under which the REST API is reached; the RPC address when it is not set.
        REST_ADDRESS: Option<String> = "rest.address", None;
        /// Address that the REST API listens on; that of the JobManager's other ports when it is not set.
        REST_BIND_ADDRESS: Option<String> = "rest.bind-address", None;
        /// Port of the REST API; 0 picks a free one.
        REST_PORT: u16 = "rest.port", Some("8081");
        /// Ports of which the REST API listens on the first free one; rest.port when it is not set, on YARN any free one.
        REST_BIND_PORT: Option<PortRange> = "rest.bind-port", None;
        /// Number of finished, failed and canceled jobs that the JobManager remembers. (Flink: all of them, for an hour.)
        JOB_STORE_MAX_CAPACITY: u32 = "jobstore.max-capacity", Some("100");
        /// Host of a TaskManager as others reach it.
        TASK_MANAGER_HOST: Option<String> = "taskmanager.host", None;
        /// Address that a TaskManager's data ports listen on; its host when it is not set.
        TASK_MANAGER_BIND_HOST: Option<String> = "taskmanager.bind-host", None;
        /// Ports of the data connections, one for each job that a TaskManager works on: `0` for any free ones, or a range such
        /// as `50100-50200` for a firewall.
        TASK_MANAGER_DATA_PORT: PortRange = "taskmanager.data.port", Some("0");
        /// Number of slots that a TaskManager offers.
        TASK_SLOTS: u32 = "taskmanager.numberOfTaskSlots", Some("1");
        /// Total memory of a TaskManager with its workers.
        TASK_MANAGER_MEMORY: MemorySize = "taskmanager.memory.process.size", Some("1728 mb");
        /// Longest time that a TaskManager tries to register before it ends itself.
        REGISTRATION_TIMEOUT: Duration = "taskmanager.registration.timeout", Some("5 min");
        /// First pause between two attempts of a TaskManager to register; it doubles up to 32 times this.
        REGISTRATION_INITIAL_BACKOFF: Duration = "taskmanager.registration.initial-backoff", Some("100 ms");
        /// Time within which the program of a new worker must have come to its job, before the worker is given up.
        WORKER_START_TIMEOUT: Duration = "taskmanager.worker.start-timeout", Some("2 min");
        /// Size at which a chunk of records is handed on to the next task.
        CHUNK_SIZE: MemorySize = "taskmanager.memory.segment-size", Some("32 kb");
        /// Memory in which a subtask merges the records of a key before they go through a shuffle, in BATCH mode.
        PRE_AGGREGATION_SIZE: MemorySize = "taskmanager.memory.pre-aggregation.size", Some("24 mb");
        /// Number of chunks that one channel between two tasks holds before its producer waits. (Flink: 2.)
        CHANNEL_CHUNKS: u32 = "taskmanager.network.memory.buffers-per-channel", Some("4");
        /// Largest encoded record that may cross the network.
        MAX_RECORD_SIZE: MemorySize = "taskmanager.network.max-record-size", Some("64 mb");
        /// Longest wait for a connection between two workers.
        NETWORK_CONNECT_TIMEOUT: Duration = "taskmanager.network.connect-timeout", Some("10 s");
        /// Silence on a data connection after which its tasks fail.
        NETWORK_IDLE_TIMEOUT: Duration = "taskmanager.network.idle-timeout", Some("50 s");
        /// Time within which a canceled task must have ended before its worker is killed. (Flink: 3 min.)
        TASK_CANCELLATION_TIMEOUT: Duration = "task.cancellation.timeout", Some("10 s");
        /// Folders for spilled data, blocking shuffles, logs of workers and program files, separated by commas.
        IO_TMP_DIRS: Option<String> = "io.tmp.dirs", None;
        /// Bytes kept of each of the standard output and error of a worker.
        WORKER_LOG_SIZE: MemorySize = "taskmanager.log.max-size", Some("16 mb");
        /// Pause between two heartbeats. (Flink: 10 s.)
        HEARTBEAT_INTERVAL: Duration = "heartbeat.interval", Some("2 s");
        /// Silence after which the other side counts as lost. (Flink: 50 s.)
        HEARTBEAT_TIMEOUT: Duration = "heartbeat.timeout", Some("20 s");
        /// Longest wait for an answer to a request.
        RPC_TIMEOUT: Duration = "rpc.ask.timeout", Some("10 s");
        /// Largest message that a control port accepts.
        RPC_FRAME_SIZE: MemorySize = "rpc.framesize", Some("64 mb");
        /// Parallelism of operators that have none of their own. Local mode takes the number of processors when it is not set.
        DEFAULT_PARALLELISM: u32 = "parallelism.default", Some("1");
        /// Number of key groups, and so the largest parallelism that a job can ever be given. (Flink: by the parallelism, at least 128.)
        MAX_PARALLELISM: u32 = "pipeline.max-parallelism", Some("128");
        /// Name of the job where the program gives none.
        PIPELINE_NAME: Option<String> = "pipeline.name", None;
        /// Whether operators may be chained into one task.
        OPERATOR_CHAINING: bool = "pipeline.operator-chaining.enabled", Some("true");
        /// STREAMING, BATCH or AUTOMATIC (BATCH when all sources are bounded).
        RUNTIME_MODE: String = "execution.runtime-mode", Some("STREAMING");
        /// How shuffles of a BATCH job hand on data: ALL_EXCHANGES_PIPELINED or ALL_EXCHANGES_BLOCKING. (Flink: the latter.)
        BATCH_SHUFFLE_MODE: String = "execution.batch-shuffle-mode", Some("ALL_EXCHANGES_PIPELINED");
        /// Where a program runs when -t is not given: local, remote, yarn-session, yarn-application or yarn-per-job.
        EXECUTION_TARGET: Option<String> = "execution.target", None;
        /// Whether the client waits for the job's end. (Flink: false, and its command waits all the same.)
        EXECUTION_ATTACHED: bool = "execution.attached", Some("true");
        /// Longest time that a job waits for the slots that it needs. On YARN, where a full queue may have room later, it holds
        /// only when it is set (in Flink always): without it a job says what it waits for, and waits.
        SLOT_REQUEST_TIMEOUT: Duration = "slot.request.timeout", Some("5 min");
        /// none, fixed-delay, exponential-delay or failure-rate. On YARN, when it is not set (in Flink: none), a job is run again
        /// after what the cluster has done to it, ten times an hour at most: a container that was preempted, a node that was lost.
        RESTART_STRATEGY: String = "restart-strategy.type", Some("none");
        /// Number of restarts before the job fails. (Flink: 1.)
        FIXED_DELAY_ATTEMPTS: u32 = "restart-strategy.fixed-delay.attempts", Some("3");
        /// Pause before a restart.
        FIXED_DELAY_DELAY: Duration = "restart-strategy.fixed-delay.delay", Some("1 s");
        /// First pause before a restart.
        EXPONENTIAL_DELAY_INITIAL_BACKOFF: Duration = "restart-strategy.exponential-delay.initial-backoff", Some("1 s");
        /// Longest pause before a restart.
        EXPONENTIAL_DELAY_MAX_BACKOFF: Duration = "restart-strategy.exponential-delay.max-backoff", Some("1 min");
        /// Factor by which the pause grows with each restart.
        EXPONENTIAL_DELAY_MULTIPLIER: f64 = "restart-strategy.exponential-delay.backoff-multiplier", Some("1.5");
        /// Share of the pause by which it is varied at random.
        EXPONENTIAL_DELAY_JITTER: f64 = "restart-strategy.exponential-delay.jitter-factor", Some("0.1");
        /// Time without a failure after which the pause starts from the first again.
        EXPONENTIAL_DELAY_RESET: Duration = "restart-strategy.exponential-delay.reset-backoff-threshold", Some("1 h");
        /// Number of restarts before the job fails; unset is without end.
        EXPONENTIAL_DELAY_ATTEMPTS: Option<u32> = "restart-strategy.exponential-delay.attempts-before-reset-backoff", None;
        /// Number of failures within the interval after which the job fails.
        FAILURE_RATE_MAX: u32 = "restart-strategy.failure-rate.max-failures-per-interval", Some("1");
        /// The interval in which failures are counted.
        FAILURE_RATE_INTERVAL: Duration = "restart-strategy.failure-rate.failure-rate-interval", Some("1 min");
        /// Pause before a restart.
        FAILURE_RATE_DELAY: Duration = "restart-strategy.failure-rate.delay", Some("1 s");
        /// Folder (a local one, on YARN the application's in HDFS) where JobGraphs and results are kept, so that the next
        /// JobManager goes on with the jobs.
        HIGH_AVAILABILITY_STORAGE_DIR: Option<String> = "high-availability.storageDir", None;
        /// Time after which a TaskManager without work is given back.
        IDLE_TASK_MANAGER_TIMEOUT: Duration = "resourcemanager.taskmanager-timeout", Some("30 s");
        /// Time for a TaskManager that was started to register.
        TASK_MANAGER_REGISTRATION_TIMEOUT: Duration = "resourcemanager.taskmanager-registration.timeout", Some("5 min");
        /// Failures of TaskManagers within a minute beyond which the application ends (Flink pauses instead). It also ends after
        /// more than that in a row, but at least ten, while none has been registered for a minute.
        START_WORKER_MAX_FAILURE_RATE: f64 = "resourcemanager.start-worker.max-failure-rate", Some("10.0");
        /// Pause between two heartbeats to the ResourceManager, seconds.
        YARN_HEARTBEAT_INTERVAL: u32 = "yarn.heartbeat.interval", Some("5");
        /// The same while containers are asked for, milliseconds.
        YARN_CONTAINER_REQUEST_INTERVAL: u32 = "yarn.heartbeat.container-request-interval", Some("500");
        /// Whether control and data connections use mutual TLS. (Flink: false.)
        SECURITY_SSL_INTERNAL_ENABLED: bool = "security.ssl.internal.enabled", Some("true");
        /// Folder with the cluster's keys and certificates.
        SECURITY_DIRECTORY: Option<String> = "security.directory", None;
        /// Longest line of a text file.
        SOURCE_MAX_LINE_LENGTH: MemorySize = "source.text.max-line-length", Some("16 mb");
        /// Largest input split of a text file.
        SOURCE_SPLIT_SIZE: MemorySize = "source.file.split-size", Some("64 mb");
        /// How long a task waits, when the only splits left are near another task that runs, before it reads one of them from
        /// afar. 0 turns it off.
        SPLIT_LOCALITY_WAIT: Duration = "source.split.locality-wait", Some("500 ms");
        /// Longest time that a client which follows a job looks for a JobManager that it has lost.
        CLIENT_TIMEOUT: Duration = "client.timeout", Some("60 s");
        /// Folder from which relative paths of inputs and outputs are taken; where the process was started when not set.
        CLIENT_WORKING_DIRECTORY: Option<String> = "client.working-directory", None;
        /// Largest result that execute_and_collect brings to the client.
        COLLECT_MAX_SIZE: MemorySize = "execution.collect.max-size", Some("60 mb");
        /// Total memory of the ApplicationMaster with its JobManager: the size of its container.
        JOB_MANAGER_MEMORY: MemorySize = "jobmanager.memory.process.size", Some("512 mb");
        /// Whether an attached command ends what it has started when it is ended itself. (Flink: false.)
        SHUTDOWN_ON_ATTACHED_EXIT: bool = "execution.shutdown-on-attached-exit", Some("true");
        /// Application on YARN that commands speak to.
        YARN_APPLICATION_ID: Option<String> = "yarn.application.id", None;
        /// Name of the application on YARN.
        YARN_APPLICATION_NAME: Option<String> = "yarn.application.name", None;
        /// Queue that the application is submitted to.
        YARN_APPLICATION_QUEUE: String = "yarn.application.queue", Some("default");
        /// Type of the application, by which YARN's lists can be filtered.
        YARN_APPLICATION_TYPE: String = "yarn.application.type", Some("flink-yarn");
        /// Priority of the application in its queue; -1 leaves it to the queue.
        YARN_APPLICATION_PRIORITY: i32 = "yarn.application.priority", Some("-1");
        /// Tags of the application, separated by commas.
        YARN_APPLICATION_TAGS: Option<String> = "yarn.tags", None;
        /// Label of the nodes on which containers run.
        YARN_NODE_LABEL: Option<String> = "yarn.application.node-label", None;
        /// Label of the nodes on which TaskManagers run, where it differs from yarn.application.node-label.
        YARN_TASK_MANAGER_NODE_LABEL: Option<String> = "yarn.taskmanager.node-label", None;
        /// Cores of the ApplicationMaster's container.
        YARN_MASTER_VCORES: u32 = "yarn.appmaster.vcores", Some("1");
        /// Cores of a TaskManager's container; -1 is its number of slots.
        YARN_CONTAINER_VCORES: i32 = "yarn.containers.vcores", Some("-1");
        /// Attempts to run the ApplicationMaster; YARN's own limit (yarn.resourcemanager.am.max-attempts) when not set.
        YARN_APPLICATION_ATTEMPTS: Option<u32> = "yarn.application-attempts", None;
        /// Time after which a failed attempt no longer counts; -1 counts all of them.
        YARN_ATTEMPTS_VALIDITY: Validity = "yarn.application-attempt-failures-validity-interval", Some("10 s");
        /// Ports of which the JobManager of an application listens on the first free one; 0 is any.
        YARN_MASTER_PORT: PortRange = "yarn.application-master.port", Some("0");
        /// Users and groups who may see the application and its logs: `user,user group,group`, or * for everybody.
        YARN_VIEW_ACLS: Option<String> = "yarn.view.acls", None;
        /// Users and groups who may end the application: `user,user group,group`, or * for everybody.
        YARN_MODIFY_ACLS: Option<String> = "yarn.modify.acls", None;
        /// Files and folders that are put into every container, separated by ; or commas.
        YARN_SHIP_FILES: Option<String> = "yarn.ship-files", None;
        /// Archives (.tar.gz, .tgz, .tar, .zip, .jar) that are unpacked in every container, separated by ; or commas.
        YARN_SHIP_ARCHIVES: Option<String> = "yarn.ship-archives", None;
        /// Copies that HDFS keeps of uploaded files; -1 leaves it to HDFS.
        YARN_FILE_REPLICATION: i32 = "yarn.file-replication", Some("-1");
        /// Folder in HDFS that holds .flink-yarn with what is uploaded; the user's home when it is not set.
        YARN_STAGING_DIRECTORY: Option<String> = "yarn.staging-directory", None;
        /// Folders in HDFS whose files are put into every container and are not uploaded, separated by ; or commas.
        YARN_PROVIDED_LIB_DIRS: Option<String> = "yarn.provided.lib.dirs", None;
        /// Folder in HDFS whose files are put into the folder usrlib of every container.
        YARN_PROVIDED_USRLIB_DIR: Option<String> = "yarn.provided.usrlib.dir", None;
        /// The binary flink-yarn that runs in the containers, a local file or one in HDFS; this one when it is not set.
        YARN_BINARY: Option<String> = "yarn.flink-dist-jar", None;
        /// Kerberos principal to log in as, with security.kerberos.login.keytab.
        KERBEROS_PRINCIPAL: Option<String> = "security.kerberos.login.principal", None;
        /// Keytab to log in with; on YARN the ApplicationMaster gets it, too, so that it outlives the tokens.
        KERBEROS_KEYTAB: Option<String> = "security.kerberos.login.keytab", None;
        /// HDFS file systems beside the default one that jobs use on a secure cluster, such as hdfs://other:8020: tokens are
        /// obtained for them, too.
        KERBEROS_FILE_SYSTEMS: Option<String> = "security.kerberos.access.hadoopFileSystems", None;
        /// Part of the tokens' life after which the ApplicationMaster obtains new ones with its keytab.
        TOKENS_RENEWAL_RATIO: f64 = "security.delegation.tokens.renewal.time-ratio", Some("0.75");
        /// Longest pause after an attempt to obtain tokens that failed; it is shorter when the present ones end soon.
        TOKENS_RETRY_BACKOFF: Duration = "security.delegation.tokens.renewal.retry.backoff", Some("1 h");
        /// Whether the keytab is put into the ApplicationMaster's container; else it must be on every node.
        YARN_SHIP_KEYTAB: bool = "yarn.security.kerberos.ship-local-keytab", Some("true");
        /// Where the keytab is in the ApplicationMaster's container, or on every node when it is not shipped.
        YARN_LOCALIZED_KEYTAB: String = "yarn.security.kerberos.localized-keytab-path", Some("krb5.keytab");
        /// Folder of the file that remembers the last session; the folder for temporary files when it is not set.
        YARN_PROPERTIES_LOCATION: Option<String> = "yarn.properties-file.location", None;
        /// Names (regular expression) of logs that YARN collects while the application runs.
        YARN_ROLLED_LOGS_INCLUDE: Option<String> = "yarn.rolled-logs.include-pattern", None;
        /// Names (regular expression) of logs that YARN does not collect while the application runs.
        YARN_ROLLED_LOGS_EXCLUDE: Option<String> = "yarn.rolled-logs.exclude-pattern", None;
        /// Time that `run` and `session` wait for the ApplicationMaster before they say why it does not start.
        YARN_DEPLOYMENT_NOTICE: Duration = "yarn.client.deployment-notice", Some("5 s");
        /// Longest wait of a command for the first answer of the ResourceManager or the NameNode.
        YARN_CLIENT_TIMEOUT: Duration = "yarn.client.timeout", Some("8 s");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_read_as_in_flink() {
        let check = |text: &str, ms: u64| assert_eq!(Duration::parse(text), Some(Duration::from_millis(ms)), "{text}");
        check("500", 500);
        check("500ms", 500);
        check("10 s", 10_000);
        check("2 min", 120_000);
        assert_eq!(Duration::parse("ten"), None);
        assert_eq!(Duration::parse("99999999999999999999 d"), None);
        assert_eq!(MemorySize::parse("64mb"), Some(MemorySize(64 << 20)));
        assert_eq!(MemorySize::parse("1 g"), Some(MemorySize(1 << 30)));
        assert_eq!(MemorySize::parse("1 q"), None);
        assert_eq!(MemorySize(32 << 10).to_string(), "32 kb");
    }

    #[test]
    fn arguments_set_keys() {
        let read = |arguments: &[&str]| Configuration::from_args(arguments);
        let given = ["--input", "-D", "parallelism.default=2", "-Dpipeline.name=a=b", "x", "-Dflag", "--", "-Dno=1"];
        let read_all = read(&given).unwrap();
        let expected = [("flag", "true"), ("parallelism.default", "2"), ("pipeline.name", "a=b")];
        assert_eq!(read_all.0, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        for wrong in [&["-D"][..], &["-D", "=x"], &["-Da b=1"]] {
            assert!(read(wrong).unwrap_err().to_string().contains("is not key=value"), "{wrong:?}");
        }
    }

    #[test]
    fn every_default_is_of_its_type() {
        let empty = Configuration::default();
        assert_eq!(empty.get(&options::TASK_SLOTS).unwrap(), 1);
        assert_eq!(empty.get(&options::HEARTBEAT_TIMEOUT).unwrap(), Duration::from_secs(20));
        assert_eq!(empty.get(&options::REST_ADDRESS).unwrap(), None);
        assert!(empty.get(&options::OPERATOR_CHAINING).unwrap());
    }

    #[test]
    fn a_wrong_value_says_what_is_accepted() {
        let mut configuration = Configuration::default();
        configuration.set("taskmanager.numberOfTaskSlots", "many");
        let error = configuration.get(&options::TASK_SLOTS).unwrap_err().to_string();
        assert_eq!(
            error,
            "configuration key `taskmanager.numberOfTaskSlots`: `many` is not a whole number, for example 4"
        );
    }
}
