/// What Apache Flink's keys mean here.
mod flink;

use crate::configuration::options::{self, ALL};
use crate::configuration::{Configuration, ConfigurationError};
use crate::job_graph::RuntimeMode;
use crate::nearest::{misspelt, nearest};

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

/// Takes the keys of Apache Flink's for what they mean here: a former name for the present one, and what means nothing is
/// removed. A warning for each.
pub fn remove_without_effect(configuration: &mut Configuration) -> Vec<String> {
    let mut warnings = Vec::new();
    for (former, present) in flink::FORMER {
        if let Some(value) = configuration.0.remove(*former) {
            warnings.push(format!("configuration key `{former}` is `{present}` now"));
            configuration.0.entry((*present).to_owned()).or_insert(value);
        }
    }
    configuration.0.retain(|key, value| match reason(key) {
        Some(reason) if !impossible(key, value) => {
            warnings.push(format!("configuration key `{key}` has no effect: {reason}"));
            false
        }
        _ => true,
    });
    warnings
}

/// Why a key that means something to Apache Flink has no effect; none for one that is probably a misspelt one of ours, which is
/// better refused than dropped.
fn reason(key: &str) -> Option<&'static str> {
    let reason = flink::reason(key).filter(|_| !known(key))?;
    (reason.exact || misspelt(key, keys()).is_none()).then_some(reason.text)
}

fn impossible(key: &str, value: &str) -> bool {
    flink::IMPOSSIBLE.iter().any(|(name, refused, _)| *name == key && refused.eq_ignore_ascii_case(value.trim()))
}

/// Checks that every key that is meant for the engine is one that there is: those of its families, and those that a slip of the
/// finger makes of one of its keys. Other keys belong to the program or to other systems, and are not looked at.
///
/// # Errors
/// The first one that is not.
pub fn check_keys(configuration: &Configuration) -> Result<(), UnknownKey> {
    let unknown = configuration.0.iter().filter(|(key, value)| !known(key) && !impossible(key, value));
    let wrong = unknown.map(|(key, _)| key).find_map(|key| {
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
    for (key, refused, instead) in flink::IMPOSSIBLE {
        if configuration.raw(key).is_some_and(|value| impossible(key, value)) {
            return Err(wrong_value(key, refused, instead));
        }
    }
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

    #[test]
    fn former_names_are_understood() {
        let mut configuration = of("restart-strategy", "fixed-delay");
        let warnings = remove_without_effect(&mut configuration);
        assert_eq!(warnings, ["configuration key `restart-strategy` is `restart-strategy.type` now"]);
        assert_eq!(configuration, of("restart-strategy.type", "fixed-delay"));
        let mut both = of("restart-strategy", "fixed-delay");
        both.set("restart-strategy.type", "none");
        remove_without_effect(&mut both);
        assert_eq!(both, of("restart-strategy.type", "none"));
        for (former, present) in flink::FORMER {
            assert!(known(present) && !known(former), "{former}");
        }
    }

    #[test]
    fn what_would_be_less_safe_than_it_says_is_refused() {
        for key in ["security.ssl.rest.enabled", "security.ssl.enabled", "security.ssl.rest.authentication-enabled"] {
            let mut configuration = of(key, "True");
            assert!(remove_without_effect(&mut configuration).is_empty());
            assert_eq!(check_keys(&configuration), Ok(()));
            let error = check_values(&configuration).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains("the REST API speaks plain HTTP"), "{error}");
            let mut configuration = of(key, "false");
            assert_eq!(remove_without_effect(&mut configuration).len(), 1, "{key}");
        }
    }
}
