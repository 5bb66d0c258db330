use crate::configuration::{Configuration, ConfigurationError};
use crate::endpoint::{self, parse_address};
use crate::error::Endpoint;

pub(super) const SERVICE: &str = "NameNode";
const DEFAULT_PORT: u16 = 8020;

/// The NameNodes that serve one file system, and the service text of its tokens.
#[derive(Debug)]
pub(super) struct Addresses {
    pub(super) endpoints: Vec<Endpoint>,
    /// Set for a name that stands for several NameNodes: tokens are for the name then.
    logical: Option<String>,
}

impl Addresses {
    /// The service text of delegation tokens. May block.
    pub(super) fn token_service(&self, configuration: &Configuration) -> Result<String, ConfigurationError> {
        match (&self.logical, self.endpoints.first()) {
            (Some(name), _) => Ok(format!("ha-hdfs:{name}")),
            (None, Some(endpoint)) => endpoint::token_service(configuration, endpoint),
            (None, None) => Ok(String::new()),
        }
    }
}

/// The service text of the delegation tokens for the NameNodes of an authority (a name service, or `host:port`; empty for
/// that of `fs.defaultFS`): `ip:port`, or `ha-hdfs:` and the name of the service. Asks the resolver: it may block.
pub fn token_service(configuration: &Configuration, authority: &str) -> Result<String, ConfigurationError> {
    resolve(configuration, authority)?.token_service(configuration)
}

/// The NameNodes of an authority: a name service, or `host:port`; empty for that of `fs.defaultFS`.
pub(super) fn resolve(configuration: &Configuration, authority: &str) -> Result<Addresses, ConfigurationError> {
    let (authority, key) = match authority {
        "" => (default_authority(configuration)?, "fs.defaultFS"),
        given => (given.to_owned(), ""),
    };
    let is_name = !authority.contains(':') && configuration.get_list("dfs.nameservices").contains(&authority);
    let ids = configuration.get_list(&format!("dfs.ha.namenodes.{authority}"));
    if !ids.is_empty() {
        let endpoint = |id: &String| named(configuration, &format!("dfs.namenode.rpc-address.{authority}.{id}"));
        return Ok(Addresses {
            endpoints: ids.iter().map(endpoint).collect::<Result<_, _>>()?,
            logical: Some(authority),
        });
    }
    if is_name {
        let endpoints = vec![named(configuration, &format!("dfs.namenode.rpc-address.{authority}"))?];
        return Ok(Addresses { endpoints, logical: None });
    }
    let (host, port) =
        parse_address(&authority, DEFAULT_PORT).ok_or_else(|| not_an_authority(configuration, &authority))?;
    Ok(Addresses { endpoints: vec![Endpoint { service: SERVICE, host, port, key: key.to_owned() }], logical: None })
}

fn default_authority(configuration: &Configuration) -> Result<String, ConfigurationError> {
    const KEY: &str = "fs.defaultFS";
    let uri = configuration.require(KEY, "the file system that is meant")?;
    let authority = uri.strip_prefix("hdfs://").and_then(|rest| rest.split('/').next());
    let authority = authority.filter(|authority| !authority.is_empty());
    authority
        .map(str::to_owned)
        .ok_or_else(|| configuration.invalid(KEY, "expected hdfs://host:port or hdfs://name-service"))
}

fn named(configuration: &Configuration, key: &str) -> Result<Endpoint, ConfigurationError> {
    let address = configuration.require(key, "where the NameNode is")?;
    let expected = format!("expected host:port of the NameNode, such as nn.example.org:{DEFAULT_PORT}");
    let (host, port) = parse_address(&address, DEFAULT_PORT).ok_or_else(|| configuration.invalid(key, expected))?;
    Ok(Endpoint { service: SERVICE, host, port, key: key.to_owned() })
}

fn not_an_authority(configuration: &Configuration, authority: &str) -> ConfigurationError {
    let origin = configuration.origin("fs.defaultFS").map_or_else(String::new, ToString::to_string);
    let expected = "expected host:port, or a name that dfs.nameservices lists".to_owned();
    ConfigurationError::Invalid { key: "the authority of a path".into(), value: authority.to_owned(), origin, expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(set: &[(&str, &str)], authority: &str) -> Result<(Vec<String>, String), String> {
        let mut configuration = Configuration::new();
        for (key, value) in set {
            configuration.set(key, *value);
        }
        let addresses = resolve(&configuration, authority).map_err(|error| error.to_string())?;
        let service = addresses.token_service(&configuration).unwrap();
        Ok((addresses.endpoints.iter().map(Endpoint::authority).collect(), service))
    }

    #[test]
    fn name_nodes_are_found() {
        let check = |set: &[(&str, &str)], authority: &str, expect: &[&str], service: &str| {
            let (endpoints, found) = resolved(set, authority).unwrap();
            assert_eq!(
                (endpoints.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), found.as_str()),
                (expect, service)
            );
        };
        check(&[("fs.defaultFS", "hdfs://127.0.0.1:9/x")], "", &["127.0.0.1:9"], "127.0.0.1:9");
        check(&[], "127.0.0.1", &["127.0.0.1:8020"], "127.0.0.1:8020");
        let ha = [
            ("fs.defaultFS", "hdfs://ns"),
            ("dfs.nameservices", "ns,other"),
            ("dfs.ha.namenodes.ns", "a,b"),
            ("dfs.namenode.rpc-address.ns.a", "h1:1"),
            ("dfs.namenode.rpc-address.ns.b", "h2"),
            ("dfs.namenode.rpc-address.other", "127.0.0.1:3"),
        ];
        check(&ha, "", &["h1:1", "h2:8020"], "ha-hdfs:ns");
        check(&ha, "other", &["127.0.0.1:3"], "127.0.0.1:3");
        assert!(resolved(&ha[..3], "ns").unwrap_err().contains("dfs.namenode.rpc-address.ns.a is not set"));
        assert!(resolved(&[], "").unwrap_err().contains("fs.defaultFS is `file:///`"));
        assert!(resolved(&[], "host:port").unwrap_err().contains("host:port"));
    }
}
