use flink_graph::Configuration;
use serde_json::{Map, Value, json};

/// Parts of keys whose values are secrets; Flink hides the same ones.
const SENSITIVE: &[&str] = &[
    "password",
    "secret",
    "token",
    "apikey",
    "api-key",
    "auth-params",
    "service-key",
    "account.key",
    "basic-auth",
    "jaas.config",
    "http-headers",
    "private-key",
    "credential",
];

/// `/jobmanager/config`: all keys that were set.
pub(super) fn entries(configuration: &Configuration) -> Value {
    shown(configuration).map(|(key, value)| json!({ "key": key, "value": value })).collect()
}

/// The same as one object.
pub(super) fn object(configuration: &Configuration) -> Value {
    let pairs = shown(configuration).map(|(key, value)| (key.to_owned(), Value::from(value)));
    Value::Object(pairs.collect::<Map<_, _>>())
}

fn shown(configuration: &Configuration) -> impl Iterator<Item = (&str, &str)> {
    configuration.0.iter().map(|(key, value)| (key.as_str(), if is_sensitive(key) { "******" } else { value }))
}

fn is_sensitive(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SENSITIVE.iter().any(|part| key.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden() {
        let mut configuration = Configuration::default();
        configuration.set("rest.port", "1").set("s3.Secret-Key", "hush").set("fs.azure.account.key.x", "hush");
        let shown = entries(&configuration).to_string() + &object(&configuration).to_string();
        assert!(!shown.contains("hush") && shown.contains("******") && shown.contains("rest.port"), "{shown}");
    }
}
