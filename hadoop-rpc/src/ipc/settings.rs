use std::time::Duration;

use crate::configuration::{Configuration, ConfigurationError};
use crate::ipc::sasl::Protection;

/// Time-outs, limits and what protection is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// For the TCP connection.
    pub connect_timeout: Duration,
    /// For authentication, once connected.
    pub handshake_timeout: Duration,
    /// For the answer to a call.
    pub call_timeout: Duration,
    /// A connection without calls is closed after this time.
    pub idle_timeout: Duration,
    /// The largest request, as the servers limit it (`ipc.maximum.data.length`).
    pub largest_request: usize,
    /// The largest answer (`ipc.maximum.response.length`).
    pub largest_response: usize,
    /// What may protect a connection, the preferred first (`hadoop.rpc.protection`).
    pub protections: Vec<Protection>,
    /// Whether a client that is set up for Kerberos speaks to a server without security.
    pub allow_fallback_to_simple: bool,
}

impl Settings {
    /// Reads `hadoop.rpc.protection` and the `ipc.*` keys that a file or the program sets; Hadoop's own defaults of
    /// the time-outs are too long for somebody who waits.
    pub fn new(configuration: &Configuration) -> Result<Self, ConfigurationError> {
        let duration = |key: &str, default: u64| -> Result<Duration, ConfigurationError> {
            let set = configuration.get_duration(key)?.filter(|duration| !duration.is_zero());
            Ok(set.unwrap_or(Duration::from_secs(default)))
        };
        Ok(Self {
            connect_timeout: duration("ipc.client.connect.timeout", 5)?,
            handshake_timeout: Duration::from_secs(30),
            call_timeout: duration("ipc.client.rpc-timeout.ms", 60)?,
            idle_timeout: duration("ipc.client.connection.maxidletime", 10)?,
            largest_request: size(configuration, "ipc.maximum.data.length")?,
            largest_response: size(configuration, "ipc.maximum.response.length")?,
            protections: protections(configuration)?,
            allow_fallback_to_simple: configuration
                .get_bool("ipc.client.fallback-to-simple-auth-allowed")?
                .unwrap_or(false),
        })
    }
}

fn size(configuration: &Configuration, key: &str) -> Result<usize, ConfigurationError> {
    let size = configuration.get_i64(key)?.and_then(|size| usize::try_from(size).ok());
    let size = size.filter(|size| (1024..=usize::try_from(i32::MAX).unwrap_or(usize::MAX)).contains(size));
    size.ok_or_else(|| configuration.invalid(key, "expected a number of bytes between 1024 and 2147483647"))
}

fn protections(configuration: &Configuration) -> Result<Vec<Protection>, ConfigurationError> {
    const KEY: &str = "hadoop.rpc.protection";
    let protection = |text: &String| match text.to_ascii_lowercase().as_str() {
        "authentication" => Ok(Protection::Authentication),
        "integrity" => Ok(Protection::Integrity),
        "privacy" => Ok(Protection::Privacy),
        _ => Err(configuration.invalid(KEY, "expected authentication, integrity or privacy, or several with commas")),
    };
    let list = configuration.get_list(KEY);
    let found: Vec<Protection> = list.iter().map(protection).collect::<Result<_, _>>()?;
    Ok(if found.is_empty() { vec![Protection::Authentication] } else { found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read() {
        let mut configuration = Configuration::new();
        let settings = Settings::new(&configuration).unwrap();
        assert_eq!(settings.protections, [Protection::Authentication]);
        assert_eq!(settings.largest_response, 128 << 20);
        configuration.set("hadoop.rpc.protection", "Privacy, integrity");
        configuration.set("ipc.client.connect.timeout", "1500");
        let settings = Settings::new(&configuration).unwrap();
        assert_eq!(settings.protections, [Protection::Privacy, Protection::Integrity]);
        assert_eq!(settings.connect_timeout, Duration::from_millis(1500));
        configuration.set("hadoop.rpc.protection", "secret");
        assert!(Settings::new(&configuration).unwrap_err().to_string().contains("hadoop.rpc.protection is `secret`"));
        configuration.set("hadoop.rpc.protection", "privacy");
        configuration.set("ipc.maximum.data.length", "12");
        assert!(Settings::new(&configuration).is_err());
    }
}
