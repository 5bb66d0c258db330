//! A configuration that was written for Apache Flink 1 or 2 is taken as it is: each key is used, or left out with a warning
//! that says why. What would be less safe than it says is refused (`graph/src/keys.rs`).

use flink_graph::keys::{check_keys, remove_without_effect};
use flink_graph::{Configuration, options};

/// Keys of Flink 1.20 and 2.3, some of each family.
const KEYS: &[&str] = &[
    "akka.ask.timeout",
    "blob.server.port",
    "blob.service.ssl.enabled",
    "classloader.resolve-order",
    "client.heartbeat.interval",
    "client.retry-period",
    "cluster.evenly-spread-out-slots",
    "cluster.registration.error-delay",
    "cluster.uncaught-exception-handling",
    "completed-application-store.max-capacity",
    "dstl.dfs.base-path",
    "env.hadoop.conf.dir",
    "env.java.home",
    "env.java.opts.all",
    "env.log.max",
    "env.ssh.opts",
    "events.reporters",
    "execution.async-state.buffer-size",
    "execution.batch.adaptive.auto-parallelism.enabled",
    "execution.batch.speculative.enabled",
    "execution.buffer-timeout.interval",
    "execution.checkpointing.interval",
    "execution.job-listeners",
    "execution.savepoint-restore-mode",
    "execution.shutdown-on-application-finish",
    "execution.sort-partition.memory",
    "execution.sorted-inputs.enabled",
    "execution.state-recovery.path",
    "fs.default-scheme",
    "heartbeat.rpc-failure-threshold",
    "high-availability",
    "high-availability.cluster-id",
    "high-availability.jobmanager.port",
    "high-availability.type",
    "high-availability.zookeeper.quorum",
    "historyserver.web.port",
    "job-result-store.delete-on-commit",
    "jobmanager.adaptive-scheduler.min-parallelism-increase",
    "jobmanager.archive.fs.dir",
    "jobmanager.execution.attempts-history-size",
    "jobmanager.heap.size",
    "jobmanager.memory.heap.size",
    "jobmanager.scheduler",
    "jobmanager.web.port",
    "jobstore.cache-size",
    "kubernetes.cluster-id",
    "metrics.reporters",
    "pekko.ask.timeout",
    "pipeline.auto-watermark-interval",
    "pipeline.cached-files",
    "pipeline.classpaths",
    "pipeline.closure-cleaner-level",
    "pipeline.generic-types",
    "pipeline.operator-chaining",
    "pipeline.watermark-alignment.buffer-size",
    "process.working-dir",
    "query.server.ports",
    "recovery.mode",
    "resourcemanager.job.timeout",
    "resourcemanager.rpc.port",
    "rest.client.max-content-length",
    "rest.connection-timeout",
    "rest.flamegraph.enabled",
    "rest.path",
    "rest.profiling.enabled",
    "restart-strategy",
    "security.delegation.tokens.enabled",
    "security.kerberos.login.contexts",
    "security.keytab",
    "security.ssl.algorithms",
    "security.ssl.enabled",
    "security.ssl.internal.keystore",
    "security.ssl.rest.enabled",
    "security.ssl.rest.truststore",
    "slot.idle.timeout",
    "slotmanager.number-of-slots.max",
    "slow-task-detector.check-interval",
    "source.reader.element.queue.capacity",
    "state.backend.type",
    "table.exec.mini-batch.enabled",
    "task.cancellation.interval",
    "task.cancellation.timers.timeout",
    "taskmanager.cpu.cores",
    "taskmanager.data.bind-port",
    "taskmanager.debug.memory.log",
    "taskmanager.jvm-exit-on-oom",
    "taskmanager.load-balance.mode",
    "taskmanager.memory.managed.fraction",
    "taskmanager.network.netty.client.numThreads",
    "taskmanager.resource-id",
    "taskmanager.rpc.port",
    "taskmanager.runtime.max-fan",
    "taskmanager.slot.timeout",
    "taskmanager.tmp.dirs",
    "web.submit.enable",
    "yarn.classpath.include-user-jar",
    "zookeeper.sasl.disable",
];

#[test]
fn a_key_of_flinks_is_used_or_explained() {
    for key in KEYS {
        let mut configuration = Configuration::default();
        configuration.set(*key, "false");
        let warnings = remove_without_effect(&mut configuration);
        assert!(warnings.len() == 1 && warnings[0].contains(key), "{key}: {warnings:?}");
        assert_eq!(check_keys(&configuration), Ok(()), "{key}");
        let used = |known: &String| options::ALL.iter().any(|(option, ..)| option == known);
        assert!(configuration.0.keys().all(used), "{key}: {configuration:?}");
    }
}

#[test]
fn a_misspelt_key_in_a_family_of_flinks_is_refused() {
    for key in
        ["taskmanager.memory.proces.size", "rest.prot", "high-availability.storagedir", "security.ssl.internal.enable"]
    {
        let mut configuration = Configuration::default();
        configuration.set(key, "x");
        assert!(remove_without_effect(&mut configuration).is_empty(), "{key}");
        let error = check_keys(&configuration).unwrap_err();
        assert!(error.suggestion.is_some(), "{error}");
    }
}

#[test]
fn keys_of_programs_are_left_alone() {
    for key in ["web.pages", "env.name", "cluster.name", "query.text", "fs.defaultFS", "table.name", "process.orders"] {
        let mut configuration = Configuration::default();
        configuration.set(key, "x");
        let before = configuration.clone();
        assert!(remove_without_effect(&mut configuration).is_empty(), "{key}");
        assert_eq!(configuration, before);
        assert_eq!(check_keys(&configuration), Ok(()), "{key}");
    }
}
