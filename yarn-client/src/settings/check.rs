use flink_graph::Configuration;
use flink_graph::keys::{UnknownKey, check_keys, check_values, remove_without_effect};

use crate::error::{ClientError, Result};

/// Checks keys and values; removes the keys without effect and gives the warnings about them.
pub(crate) fn check(configuration: &mut Configuration) -> Result<Vec<String>> {
    let warnings = remove_without_effect(configuration);
    check_keys(configuration).map_err(unknown)?;
    check_values(configuration).map_err(|error| ClientError::usage(error.to_string()))?;
    Ok(warnings)
}

fn unknown(error: UnknownKey) -> ClientError {
    let hint = match error.suggestion {
        Some(near) => format!("did you mean `{near}`?"),
        None => "keys that begin otherwise (for example `my.key`) are handed to the program as they are".to_owned(),
    };
    ClientError::usage(format!("unknown configuration key `{}`", error.key)).hint(hint)
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
        assert!(check_one("env.java.opts.all", "-X").contains("there is no JVM"));
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
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert_eq!(configuration.0.len(), stock.len() - 2);
    }
}
