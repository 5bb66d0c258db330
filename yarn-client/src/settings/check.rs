use flink_graph::configuration::options::{self, ALL};
use flink_graph::{Configuration, RuntimeMode};

use super::nearest::{misspelt, nearest};
use crate::error::{ClientError, Result};

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
    ("yarn.container-start-command-template", "containers start the binary itself, there is no JVM"),
    ("rest.bind-port", "the REST API listens on rest.port"),
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

/// Checks keys and values; removes the keys without effect and gives the warnings about them.
pub(crate) fn check(configuration: &mut Configuration) -> Result<Vec<String>> {
    let warnings = remove_without_effect(configuration);
    if let Some(key) = configuration.0.keys().find(|key| of_our_families(key) && !known(key)) {
        return Err(unknown(key));
    }
    options::check(configuration).map_err(|error| ClientError::usage(error.to_string()))?;
    check_choices(configuration)?;
    check_counts(configuration)?;
    Ok(warnings)
}

fn remove_without_effect(configuration: &mut Configuration) -> Vec<String> {
    let reason = |key: &str| {
        let entry = WITHOUT_EFFECT.iter().find(|(prefix, _)| !known(key) && key.starts_with(prefix));
        entry.map(|(_, reason)| *reason)
    };
    let mut warnings = Vec::new();
    configuration.0.retain(|key, _| match reason(key) {
        // A misspelt key of ours is better refused than dropped.
        Some(_) if misspelt(key, ALL.iter().map(|(key, ..)| *key)).is_some() => true,
        Some(reason) => {
            warnings.push(format!("configuration key `{key}` has no effect: {reason}"));
            false
        }
        None => true,
    });
    warnings
}

fn known(key: &str) -> bool {
    ALL.iter().any(|(known, ..)| *known == key)
}

/// Keys of other families belong to the program or to other systems and pass through unchecked.
fn of_our_families(key: &str) -> bool {
    let family = |key: &str| key.split('.').next().map(str::to_lowercase);
    ALL.iter().any(|(known, ..)| family(known) == family(key))
}

fn suggestion(key: &str) -> Option<&'static str> {
    nearest(key, ALL.iter().map(|(key, ..)| *key))
}

fn unknown(key: &str) -> ClientError {
    let error = ClientError::usage(format!("unknown configuration key `{key}`"));
    match suggestion(key) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint("keys that begin otherwise (for example `my.key`) are handed to the program as they are"),
    }
}

fn check_choices(configuration: &Configuration) -> Result<()> {
    for (key, choices) in CHOICES {
        let Some(value) = configuration.raw(key) else { continue };
        if !choices.iter().any(|choice| choice.eq_ignore_ascii_case(value)) {
            return Err(wrong_value(key, value, &format!("one of {}", choices.join(", "))));
        }
    }
    match configuration.raw("execution.runtime-mode") {
        Some(value) if value.parse::<RuntimeMode>().is_err() => {
            Err(wrong_value("execution.runtime-mode", value, "one of STREAMING, BATCH, AUTOMATIC"))
        }
        _ => Ok(()),
    }
}

fn check_counts(configuration: &Configuration) -> Result<()> {
    let zero = |key: &&&str| configuration.raw(key).is_some_and(|value| value.trim().parse() == Ok(0_u64));
    match AT_LEAST_ONE.iter().find(zero) {
        Some(key) => Err(wrong_value(key, "0", "at least 1")),
        None => Ok(()),
    }
}

fn wrong_value(key: &str, value: &str, expected: &str) -> ClientError {
    ClientError::usage(format!("configuration key `{key}`: `{value}` is not {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_one(key: &str, value: &str) -> String {
        let mut configuration = Configuration::default();
        configuration.set(key, value);
        match check(&mut configuration) {
            Ok(warnings) => warnings.join("\n"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn unknown_keys_of_the_engine_are_refused_with_the_nearest() {
        assert_eq!(
            check_one("taskmanager.numberOfTaskSlot", "2"),
            "error: unknown configuration key `taskmanager.numberOfTaskSlot`\nhint: did you mean \
             `taskmanager.numberOfTaskSlots`?"
        );
        assert!(check_one("heartbeat.colour", "red").contains("unknown configuration key"));
        assert_eq!(check_one("my.own.key", "x"), "");
    }

    #[test]
    fn values_are_checked_before_anything_starts() {
        let table = [
            ("rest.port", "70000", "`70000` is not a whole number from 0 to 65535"),
            ("heartbeat.timeout", "soon", "`soon` is not a duration"),
            ("execution.target", "yarn", "`yarn` is not one of local, remote, yarn-session"),
            ("execution.runtime-mode", "FAST", "`FAST` is not one of STREAMING"),
            ("restart-strategy.type", "often", "`often` is not one of none"),
            ("parallelism.default", "0", "`0` is not at least 1"),
        ];
        for (key, value, expect) in table {
            let error = check_one(key, value);
            assert!(error.contains(expect) && error.contains(key), "{error}");
        }
    }

    #[test]
    fn a_file_written_for_flink_can_be_used() {
        let warning = check_one("jobmanager.memory.heap.size", "1600m");
        assert!(warning.contains("has no effect") && !warning.contains("error"), "{warning}");
        assert_eq!(check_one("taskmanager.memory.process.size", "1728m"), "");
        assert_eq!(check_one("env.java.opts.all", "-X"), "");
    }

    #[test]
    fn the_file_that_comes_with_flink_is_accepted() {
        let stock = [
            ("env.java.opts.all", "--add-exports=java.base/sun.net.util=ALL-UNNAMED"),
            ("jobmanager.bind-host", "localhost"),
            ("jobmanager.rpc.address", "localhost"),
            ("jobmanager.rpc.port", "6123"),
            ("jobmanager.memory.process.size", "1600m"),
            ("jobmanager.execution.failover-strategy", "region"),
            ("taskmanager.bind-host", "localhost"),
            ("taskmanager.host", "localhost"),
            ("taskmanager.numberOfTaskSlots", "1"),
            ("taskmanager.memory.process.size", "1728m"),
            ("parallelism.default", "1"),
            ("rest.address", "localhost"),
            ("rest.bind-address", "localhost"),
        ];
        let mut configuration = Configuration::default();
        for (key, value) in stock {
            configuration.set(key, value);
        }
        let warnings = check(&mut configuration).unwrap();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert_eq!(configuration.0.len(), stock.len() - 1);
    }
}
