use crate::configuration::{Configuration, ConfigurationError};
use crate::endpoint::{is_true, parse_address, token_service};
use crate::error::Endpoint;

pub(super) const SERVICE: &str = "ResourceManager";
pub(super) const PRINCIPAL_KEY: &str = "yarn.resourcemanager.principal";

/// One of the ResourceManager's ports.
#[derive(Clone, Copy, Debug)]
pub(super) struct Port {
    key: &'static str,
    default: u16,
}

/// For clients.
pub(super) const CLIENT: Port = Port { key: "yarn.resourcemanager.address", default: 8032 };
/// For ApplicationMasters.
pub(super) const SCHEDULER: Port = Port { key: "yarn.resourcemanager.scheduler.address", default: 8030 };

/// The ResourceManager, or all of them where one stands in for another.
pub(super) fn endpoints(configuration: &Configuration, port: Port) -> Result<Vec<Endpoint>, ConfigurationError> {
    const IDS: &str = "yarn.resourcemanager.ha.rm-ids";
    if !is_true(configuration, "yarn.resourcemanager.ha.enabled")? {
        return Ok(vec![endpoint(configuration, port, "")?]);
    }
    configuration.require(IDS, "the names of the ResourceManagers, as yarn.resourcemanager.ha.enabled is true")?;
    let ids = configuration.get_list(IDS);
    ids.iter().map(|id| endpoint(configuration, port, &format!(".{id}"))).collect()
}

/// The address of the port, else the host with the default port.
fn endpoint(configuration: &Configuration, port: Port, suffix: &str) -> Result<Endpoint, ConfigurationError> {
    let (key, host_key) = (format!("{}{suffix}", port.key), format!("yarn.resourcemanager.hostname{suffix}"));
    if let Some(address) = configuration.get_trimmed(&key) {
        let expected = format!("expected host:port of the ResourceManager, such as rm.example.org:{}", port.default);
        let (host, port) =
            parse_address(&address, port.default).ok_or_else(|| configuration.invalid(&key, expected))?;
        return Ok(Endpoint { service: SERVICE, host, port, key });
    }
    let host = configuration.require(&host_key, &format!("where the ResourceManager is; or {key}"))?;
    Ok(Endpoint { service: SERVICE, host, port: port.default, key: host_key })
}

/// The service text of delegation tokens: that of each ResourceManager's client port. May block.
pub(super) fn delegation_token_service(configuration: &Configuration) -> Result<String, ConfigurationError> {
    let endpoints = endpoints(configuration, CLIENT)?;
    let services: Result<Vec<String>, _> = endpoints.iter().map(|e| token_service(configuration, e)).collect();
    Ok(services?.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(set: &[(&str, &str)], port: Port) -> Result<Vec<String>, String> {
        let mut configuration = Configuration::new();
        for (key, value) in set {
            configuration.set(key, *value);
        }
        let found = endpoints(&configuration, port).map_err(|error| error.to_string())?;
        Ok(found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn one_resource_manager() {
        let host = ("yarn.resourcemanager.hostname", "rm");
        assert_eq!(addresses(&[host], CLIENT).unwrap(), ["ResourceManager rm:8032 (yarn.resourcemanager.hostname)"]);
        assert_eq!(addresses(&[host], SCHEDULER).unwrap(), ["ResourceManager rm:8030 (yarn.resourcemanager.hostname)"]);
        let own = ("yarn.resourcemanager.address", " other:1 ");
        assert_eq!(
            addresses(&[host, own], CLIENT).unwrap(),
            ["ResourceManager other:1 (yarn.resourcemanager.address)"]
        );
        let message = addresses(&[("yarn.resourcemanager.address", "rm:port")], CLIENT).unwrap_err();
        assert!(
            message.contains("yarn.resourcemanager.address is `rm:port`") && message.contains("host:port"),
            "{message}"
        );
        let message = addresses(&[], CLIENT).unwrap_err();
        assert!(message.contains("yarn.resourcemanager.hostname is not set") && message.contains("HADOOP_CONF_DIR"));
    }

    #[test]
    fn several_resource_managers() {
        let set = [
            ("yarn.resourcemanager.ha.enabled", "true"),
            ("yarn.resourcemanager.ha.rm-ids", "rm1, rm2"),
            ("yarn.resourcemanager.hostname.rm1", "a"),
            ("yarn.resourcemanager.address.rm2", "${yarn.resourcemanager.hostname.rm1}:9"),
        ];
        let expect = [
            "ResourceManager a:8032 (yarn.resourcemanager.hostname.rm1)",
            "ResourceManager a:9 (yarn.resourcemanager.address.rm2)",
        ];
        assert_eq!(addresses(&set, CLIENT).unwrap(), expect);
        assert!(addresses(&set[..1], CLIENT).unwrap_err().contains("rm-ids is not set"));
        assert!(addresses(&set[..2], CLIENT).unwrap_err().contains("hostname.rm1 is not set"));
    }
}
