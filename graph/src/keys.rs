use crate::configuration::options::{self, ALL};
use crate::configuration::{Configuration, ConfigurationError};
use crate::job_graph::RuntimeMode;
use crate::nearest::{misspelt, nearest};

/// Keys that a configuration written for Apache Flink commonly holds and that nothing here needs. They are left out
/// with a warning, so that such a file can be used as it is.
const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("jobmanager.memory.", "the JobManager's memory is not divided into pools"),
    ("jobmanager.execution.failover-strategy", "the failover strategy is always region"),
    ("jobmanager.archive.", "there is no history server"),
    ("taskmanager.memory.", "the memory of a TaskManager is one number, taskmanager.memory.process.size"),
    ("taskmanager.network.", "the network needs no such setting"),
    ("execution.checkpointing.", "checkpoints are not available yet"),
    ("execution.buffer-timeout", "chunks are handed on when full or when idle; there is no time-out"),
    ("pipeline.object-reuse", "records are handed on by ownership"),
    ("yarn.classpath.", "there is no class path"),
    (
        "yarn.security.appmaster.delegation.token.services",
        "the ApplicationMaster obtains tokens of file systems (hadoopfs), and of nothing else",
    ),
    ("yarn.container-start-command-template", "containers start the binary itself, there is no JVM"),
    ("security.kerberos.login.use-ticket-cache", "the ticket cache is used where there is no keytab"),
    ("security.kerberos.login.contexts", "there is no JAAS"),
    ("security.kerberos.krb5-conf.path", "the Kerberos library finds its file by KRB5_CONFIG"),
    ("security.kerberos.relogin.period", "tickets are obtained anew when they end"),
    ("state.", "there is no state of your own yet"),
    ("high-availability.zookeeper.", "no ZooKeeper is needed"),
    ("metrics.", "metrics are served at /metrics of the REST API, for Prometheus"),
    ("pekko.", "the keys of the RPC are rpc.framesize and client.timeout"),
    ("akka.", "the keys of the RPC are rpc.framesize and client.timeout"),
];

/// Keys with a fixed set of values.
const CHOICES: &[(&str, &[&str])] = &[
    ("execution.target", &["local", "remote", "yarn-session", "yarn-application", "yarn-per-job"]),
    ("execution.batch-shuffle-mode", &["ALL_EXCHANGES_PIPELINED", "ALL_EXCHANGES_BLOCKING"]),
    (
        "restart-strategy.type",
        &[
            "none",
            "off",
            "disable",
            "fixed-delay",
            "fixeddelay",
            "exponential-delay",
            "exponentialdelay",
            "failure-rate",
            "failurerate",
        ],
    ),
];

/// Keys that count something of which there must be one.
const AT_LEAST_ONE: &[&str] = &[
    "yarn.appmaster.vcores",
    "yarn.application-attempts",
    "parallelism.default",
    "pipeline.max-parallelism",
    "taskmanager.numberOfTaskSlots",
    "taskmanager.network.memory.buffers-per-channel",
];

/// A key of this length is not taken for another by two letters; `test.port` of a program's is not `rest.port`.
const LONG_KEY: usize = 13;

/// A key looks like one of the engine's and is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown configuration key `{key}`{}", suggestion.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
pub struct UnknownKey {
    /// The key.
    pub key: String,
    /// The key that is probably meant.
    pub suggestion: Option<&'static str>,
}

/// Removes the keys that mean something to Apache Flink and nothing here, and gives a warning for each.
pub fn remove_without_effect(configuration: &mut Configuration) -> Vec<String> {
    let reason = |key: &str| {
        let entry = WITHOUT_EFFECT.iter().find(|(prefix, _)| !known(key) && key.starts_with(prefix));
        entry.map(|(_, reason)| *reason)
    };
    let mut warnings = Vec::new();
    configuration.0.retain(|key, _| match reason(key) {
        // A misspelt key of ours is better refused than dropped.
        Some(_) if misspelt(key, keys()).is_some() => true,
        Some(reason) => {
            warnings.push(format!("configuration key `{key}` has no effect: {reason}"));
            false
        }
        None => true,
    });
    warnings
}

/// Checks that every key that is meant for the engine is one that there is: those of its families, and those that a slip of the
/// finger makes of one of its keys. Other keys belong to the program or to other systems, and are not looked at.
///
/// # Errors
/// The first one that is not.
pub fn check_keys(configuration: &Configuration) -> Result<(), UnknownKey> {
    let wrong = configuration.0.keys().filter(|key| !known(key)).find_map(|key| {
        let suggestion = match of_our_families(key) {
            true => nearest(key, keys()),
            false => Some(misspelt(key, keys().filter(|known| known.len() >= LONG_KEY))?),
        };
        Some(UnknownKey { key: key.clone(), suggestion })
    });
    wrong.map_or(Ok(()), Err)
}

/// Checks that every option that is set has a value that it can have.
///
/// # Errors
/// The first one that has not.
pub fn check_values(configuration: &Configuration) -> Result<(), ConfigurationError> {
    options::check(configuration)?;
    for (key, choices) in CHOICES {
        let Some(value) = configuration.raw(key) else { continue };
        if !choices.iter().any(|choice| choice.eq_ignore_ascii_case(value)) {
            return Err(wrong_value(key, value, &format!("one of {}", choices.join(", "))));
        }
    }
    if let Some(value) = configuration.raw(options::RUNTIME_MODE.key)
        && value.parse::<RuntimeMode>().is_err()
    {
        return Err(wrong_value(options::RUNTIME_MODE.key, value, "one of STREAMING, BATCH, AUTOMATIC"));
    }
    let zero = |key: &&&str| configuration.raw(key).is_some_and(|value| value.trim().parse() == Ok(0_u64));
    match AT_LEAST_ONE.iter().find(zero) {
        Some(key) => Err(wrong_value(key, "0", "at least 1")),
        None => Ok(()),
    }
}

fn keys() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|(key, ..)| *key)
}

fn known(key: &str) -> bool {
    keys().any(|known| known == key)
}

fn of_our_families(key: &str) -> bool {
    let family = |key: &str| key.split('.').next().map(str::to_lowercase);
    keys().any(|known| family(known) == family(key))
}

fn wrong_value(key: &str, value: &str, expected: &str) -> ConfigurationError {
    ConfigurationError { key: key.to_owned(), value: value.to_owned(), expected: expected.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(key: &str, value: &str) -> Configuration {
        let mut configuration = Configuration::default();
        configuration.set(key, value);
        configuration
    }

    #[test]
    fn a_misspelt_key_is_refused_with_the_nearest() {
        let error = check_keys(&of("taskmanager.numberOfTaskSlot", "2")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown configuration key `taskmanager.numberOfTaskSlot`; did you mean `taskmanager.numberOfTaskSlots`?"
        );
        let error = check_keys(&of("heartbeat.x", "60")).unwrap_err();
        assert_eq!(error.to_string(), "unknown configuration key `heartbeat.x`");
        for (key, near) in [
            ("paralelism.default", "parallelism.default"),
            ("jobmanger.rpc.address", "jobmanager.rpc.address"),
            ("restart.strategy.type", "restart-strategy.type"),
            ("Parallelism_Default", "parallelism.default"),
        ] {
            let error = check_keys(&of(key, "2")).unwrap_err();
            assert_eq!((error.key.as_str(), error.suggestion), (key, Some(near)));
        }
        for key in ["my.own.key", "fs.defaultFS", "test.port", "input", "dfs.replication"] {
            assert_eq!(check_keys(&of(key, "x")), Ok(()), "{key}");
        }
    }

    #[test]
    fn values_are_checked() {
        let table = [
            ("rest.port", "70000", "`70000` is not a whole number from 0 to 65535"),
            ("execution.runtime-mode", "FAST", "`FAST` is not one of STREAMING"),
            ("restart-strategy.type", "often", "`often` is not one of none"),
            ("parallelism.default", "0", "`0` is not at least 1"),
        ];
        for (key, value, expect) in table {
            let error = check_values(&of(key, value)).unwrap_err().to_string();
            assert!(error.contains(expect) && error.contains(key), "{error}");
        }
        assert_eq!(check_values(&of("restart-strategy.type", "Fixed-Delay")), Ok(()));
    }

    /// Those of Apache Flink 2.4: a configuration that was written for it is taken as it is.
    #[test]
    fn every_key_of_flink_on_yarn_is_known_or_explained() {
        for key in [
            "appmaster.vcores",
            "classpath.include-user-jar",
            "containers.vcores",
            "application-attempts",
            "application-attempt-failures-validity-interval",
            "heartbeat.interval",
            "heartbeat.container-request-interval",
            "properties-file.location",
            "application-master.port",
            "application.priority",
            "file-replication",
            "tags",
            "view.acls",
            "modify.acls",
            "staging-directory",
            "ship-files",
            "ship-archives",
            "flink-dist-jar",
            "application.id",
            "application.queue",
            "application.name",
            "application.type",
            "application.node-label",
            "taskmanager.node-label",
            "security.kerberos.ship-local-keytab",
            "security.kerberos.localized-keytab-path",
            "security.appmaster.delegation.token.services",
            "provided.lib.dirs",
            "provided.usrlib.dir",
            "rolled-logs.include-pattern",
            "rolled-logs.exclude-pattern",
            "container-start-command-template",
        ] {
            let key = format!("yarn.{key}");
            let mut configuration = of(&key, "1");
            let explained = remove_without_effect(&mut configuration);
            assert_eq!(check_keys(&configuration), Ok(()));
            assert!(known(&key) || explained[0].contains(&key), "{key}: {explained:?}");
        }
        for (key, value) in [
            ("yarn.application-attempt-failures-validity-interval", "-1"),
            ("yarn.application-attempt-failures-validity-interval", "10000"),
            ("yarn.application-master.port", "50100-50200,50300"),
            ("rest.bind-port", "8081-8090"),
        ] {
            assert_eq!(check_values(&of(key, value)), Ok(()), "{key}: {value}");
        }
    }

    #[test]
    fn keys_without_effect_are_left_out() {
        let mut configuration = of("taskmanager.memory.managed.fraction", "0.4");
        assert!(remove_without_effect(&mut configuration)[0].contains("has no effect"));
        assert_eq!(configuration, Configuration::default());
    }
}
