//! Keys of Apache Flink's that a configuration written for it may hold, and that mean nothing here or go by another name.
//! A line is a key, or a family of keys without its last dot. Families stand for themselves only where no program would
//! have keys of its own under such a name.

/// Keys that are left out with a warning, by the reason that it gives.
const WITHOUT_EFFECT: &[(&str, &[&str])] = &[
    (
        "the JobManager's memory is one number, jobmanager.memory.process.size",
        &["jobmanager.memory", "jobmanager.heap", "containerized.heap-cutoff-ratio", "containerized.heap-cutoff-min"],
    ),
    (
        "the memory of a TaskManager is one number, taskmanager.memory.process.size",
        &["taskmanager.memory", "taskmanager.heap", "taskmanager.cpu.cores", "minicluster"],
    ),
    ("the failover strategy is always region", &["jobmanager.execution.failover-strategy"]),
    (
        "there is one scheduler: a region is deployed when all its slots are there, with the parallelism that it was given",
        &[
            "jobmanager.scheduler",
            "jobmanager.adaptive-scheduler",
            "jobmanager.adaptive-batch-scheduler",
            "jobmanager.partition",
            "execution.batch",
            "slow-task-detector",
            "scheduler-mode",
            "web.rescale.enable",
            "web.adaptive-scheduler",
        ],
    ),
    (
        "slots are given out in one way: first come, first served, evenly over the TaskManagers",
        &[
            "cluster.evenly-spread-out-slots",
            "cluster.fine-grained-resource-management",
            "taskmanager.load-balance.mode",
            "slot.idle.timeout",
            "slot.request.max-interval",
            "slotmanager",
            "taskmanager.slot.timeout",
        ],
    ),
    ("there is no history server", &["jobmanager.archive", "historyserver"]),
    (
        "ended jobs are kept by number, jobstore.max-capacity",
        &[
            "jobstore.cache-size",
            "jobstore.expiration-time",
            "jobstore.type",
            "completed-application-store",
            "job-result-store",
            "application-result-store",
            "job-event",
            "job-manager.max-attempts-history-size",
            "jobmanager.execution.attempts-history-size",
            "cleanup-strategy",
        ],
    ),
    (
        "threads and pools need no such setting",
        &[
            "jobmanager.future-pool",
            "jobmanager.io-pool",
            "cluster.io-pool",
            "cluster.registration",
            "cluster.services",
            "cluster.thread-dump",
            "cluster.id",
            "timerservice",
            "library-cache-manager",
            "resourcemanager.job.timeout",
            "resourcemanager.previous-worker",
            "resourcemanager.standalone",
            "resourcemanager.start-worker.retry-interval",
            "resourcemanager.taskmanager-release",
        ],
    ),
    ("the network needs no such setting", &["taskmanager.network", "taskmanager.net", "shuffle-service-factory"]),
    ("data connections listen on taskmanager.data.port", &["taskmanager.data.bind-port"]),
    (
        "TaskManagers and programs listen on no such port: they connect to the JobManager",
        &["taskmanager.rpc", "taskmanager.collect-sink", "resourcemanager.rpc", "high-availability.jobmanager"],
    ),
    (
        "registration is set by taskmanager.registration.timeout and .initial-backoff",
        &[
            "taskmanager.registration",
            "taskmanager.maxRegistrationDuration",
            "taskmanager.initial-registration-pause",
            "taskmanager.max-registration-pause",
            "taskmanager.refused-registration-pause",
        ],
    ),
    (
        "ids and names of processes are given by their certificates",
        &[
            "jobmanager.resource-id",
            "jobmanager.retrieve-taskmanager-hostname",
            "taskmanager.resource-id",
            "taskmanager.network.bind-policy",
        ],
    ),
    ("there is no such algorithm to set", &["taskmanager.runtime", "compiler", "execution.sort-partition"]),
    (
        "shuffles and results lie in io.tmp.dirs",
        &[
            "execution.sort-keyed-partition",
            "process.working-dir",
            "process.jobmanager",
            "process.taskmanager",
            "blob",
            "user.artifacts",
        ],
    ),
    (
        "there is no JVM",
        &[
            "taskmanager.jvm-exit-on-oom",
            "taskmanager.debug.memory",
            "taskmanager.exit-on-fatal-akka-error",
            "env.java",
            "env.hadoop.conf.dir",
            "env.hbase.conf.dir",
            "env.yarn.conf.dir",
            "cluster.intercept-user-system-exit",
            "cluster.processes.halt-on-fatal-error",
            "cluster.uncaught-exception-handling",
            "jmx.server.port",
            "plugin.classloader",
        ],
    ),
    ("there is no class path", &["classloader", "pipeline.classpaths", "pipeline.jars", "yarn.classpath"]),
    (
        "daemons take their settings from their own options and FLINK_YARN_LOG",
        &["env.log", "env.pid.dir", "env.ssh.opts", "env.stdout-err"],
    ),
    (
        "what tasks print is kept by the TaskManager, taskmanager.log.max-size",
        &["taskmanager.log.path", "taskmanager.system-out"],
    ),
    (
        "there is no dashboard, and what changes something takes the token of the REST API",
        &[
            "jobmanager.web",
            "web.access-control-allow-origin",
            "web.address",
            "web.cancel.enable",
            "web.checkpoints",
            "web.exception-history-size",
            "web.history",
            "web.log.path",
            "web.port",
            "web.refresh-interval",
            "web.submit.enable",
            "web.timeout",
            "web.tmpdir",
            "web.upload.dir",
            "web.backpressure",
        ],
    ),
    (
        "the REST API needs no such setting",
        &[
            "rest.async",
            "rest.await-leader-timeout",
            "rest.cache",
            "rest.client",
            "rest.connection-timeout",
            "rest.idleness-timeout",
            "rest.path",
            "rest.retry",
            "rest.server",
            "rest.url-prefix",
        ],
    ),
    ("there is no profiler in the REST API", &["rest.flamegraph", "rest.profiling"]),
    ("a connection that breaks counts as silence, heartbeat.timeout", &["heartbeat.rpc-failure-threshold"]),
    (
        "a canceled task stops after its record; task.cancellation.timeout ends it",
        &["task.cancellation.interval", "task.cancellation-interval", "task.cancellation.timers"],
    ),
    ("the client asks as often as it needs to", &["client.retry-period", "client.heartbeat"]),
    (
        "checkpoints are not available yet",
        &[
            "execution.checkpointing",
            "execution.savepoint",
            "execution.savepoint-restore-mode",
            "execution.state-recovery",
            "savepoints",
            "pipeline.sources",
        ],
    ),
    (
        "there is no state of your own yet",
        &[
            "state",
            "dstl",
            "queryable-state",
            "query.server",
            "query.proxy",
            "query.client",
            "execution.async-state",
            "execution.batch-state-backend",
            "execution.sorted-inputs",
            "taskmanager.state",
        ],
    ),
    (
        "there is no event time yet",
        &["pipeline.auto-watermark-interval", "pipeline.watermark-alignment", "pipeline.time-characteristic"],
    ),
    ("chunks are handed on when full or when idle; there is no time-out", &["execution.buffer-timeout"]),
    ("records are handed on by ownership", &["pipeline.object-reuse"]),
    (
        "records encode themselves, by #[derive(Data)]",
        &[
            "pipeline.generic-types",
            "pipeline.force-avro",
            "pipeline.force-kryo",
            "pipeline.force-kryo-avro",
            "pipeline.serialization-config",
            "pipeline.auto-type-registration",
            "pipeline.default-kryo-serializers",
            "pipeline.registered-kryo-types",
            "pipeline.registered-pojo-types",
            "pipeline.closure-cleaner-level",
        ],
    ),
    (
        "the program says so itself",
        &[
            "pipeline.auto-generate-uids",
            "pipeline.cached-files",
            "pipeline.global-job-parameters",
            "pipeline.jobvertex-parallelism-overrides",
            "pipeline.operator-chaining.chain-operators-with-different-max-parallelism",
            "pipeline.vertex-description-mode",
            "pipeline.vertex-name-include-index-prefix",
            "execution.program-config",
            "execution.allow-client-job-configurations",
        ],
    ),
    (
        "no classes are loaded into the processes",
        &[
            "execution.job-listeners",
            "execution.job-status-changed-listeners",
            "jobmanager.failure-enrichers",
            "security.context.factory",
            "security.module.factory",
        ],
    ),
    (
        "an application ends with its program",
        &[
            "execution.shutdown-on-application-finish",
            "execution.submit-failed-job-on-application-error",
            "execution.terminate-application-on-any-job-terminated-exceptionally",
        ],
    ),
    ("source readers need no such setting", &["source.reader"]),
    (
        "the folder high-availability.storageDir alone turns it on, and no ZooKeeper is needed",
        &["high-availability", "recovery.mode", "recovery.jobmanager", "recovery.zookeeper", "zookeeper.sasl"],
    ),
    (
        "TLS between the processes is one setting, security.ssl.internal.enabled",
        &["security.ssl.enabled", "taskmanager.data.ssl.enabled"],
    ),
    ("keys are made for each cluster, and versions and algorithms are those of TLS 1.3", &["security.ssl"]),
    ("the ticket cache is used where there is no keytab", &["security.kerberos.login.use-ticket-cache"]),
    ("there is no JAAS", &["security.kerberos.login.contexts"]),
    ("the Kerberos library finds its file by KRB5_CONFIG", &["security.kerberos.krb5-conf.path"]),
    ("tickets are obtained anew when they end", &["security.kerberos.relogin.period"]),
    (
        "tokens are obtained for file systems, where the cluster is secure, and for nothing else",
        &[
            "security.kerberos.fetch.delegation-token",
            "security.delegation.tokens.enabled",
            "security.delegation.token.provider",
            "yarn.security.appmaster.delegation.token.services",
        ],
    ),
    ("containers start the binary itself, there is no JVM", &["yarn.container-start-command-template"]),
    (
        "metrics are served at /metrics of the REST API, for Prometheus",
        &["metrics", "traces.reporter", "traces.reporters"],
    ),
    ("events are in the JobManager's log", &["events.reporter", "events.reporters"]),
    ("the keys of the RPC are rpc.framesize and client.timeout", &["pekko", "akka"]),
    (
        "file systems need no such setting",
        &[
            "fs.default-scheme",
            "fs.allowed-fallback-filesystems",
            "fs.overwrite-files",
            "fs.output.always-create-directory",
        ],
    ),
    ("there is no deployment on Kubernetes or Mesos", &["kubernetes", "mesos"]),
    ("there is no SQL yet", &["table.exec", "table.optimizer", "sql-gateway", "sql-client"]),
];

/// Former names of keys, with what they are now.
pub(super) const FORMER: &[(&str, &str)] = &[
    ("restart-strategy", "restart-strategy.type"),
    ("pipeline.operator-chaining", "pipeline.operator-chaining.enabled"),
    ("taskmanager.tmp.dirs", "io.tmp.dirs"),
    ("security.principal", "security.kerberos.login.principal"),
    ("security.keytab", "security.kerberos.login.keytab"),
    ("security.kerberos.tokens.renewal.retry.backoff", "security.delegation.tokens.renewal.retry.backoff"),
    ("security.kerberos.tokens.renewal.time-ratio", "security.delegation.tokens.renewal.time-ratio"),
];

/// What a configuration must not ask for, since it would be less safe than it says; with what to do instead.
pub(super) const IMPOSSIBLE: &[(&str, &str, &str)] = &[
    ("security.ssl.rest.enabled", "true", REST_HAS_NO_TLS),
    ("security.ssl.rest.authentication-enabled", "true", REST_HAS_NO_TLS),
    (
        "security.ssl.enabled",
        "true",
        "possible, since the REST API speaks plain HTTP: security.ssl.internal.enabled turns TLS between the processes on",
    ),
];

const REST_HAS_NO_TLS: &str = "possible, since the REST API speaks plain HTTP: let it listen on loopback \
                               (rest.bind-address) and reach it through an ssh tunnel, or a proxy with TLS";

/// Why a key has no effect here.
pub(super) struct Reason {
    /// In words.
    pub(super) text: &'static str,
    /// Whether the key itself is listed, and not only its family.
    pub(super) exact: bool,
}

/// The reason of the longest line that fits.
pub(super) fn reason(key: &str) -> Option<Reason> {
    let lines = WITHOUT_EFFECT.iter().flat_map(|(text, names)| names.iter().map(move |name| (*name, *text)));
    let fits =
        lines.filter(|(name, _)| key.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')));
    let (name, text) = fits.max_by_key(|(name, _)| name.len())?;
    Some(Reason { text, exact: name == key })
}
