use std::fmt;

use flink_files::FileError;
use hadoop_rpc::Configuration;

/// The port of a NameNode where none is named.
const DEFAULT_PORT: u16 = 8020;

/// One NameNode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NameNode {
    /// `host:port`.
    pub(crate) address: String,
    /// Where the address stands: a key of the configuration, or the URI.
    pub(crate) origin: String,
}

/// The NameNodes of one name service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NameNodes {
    /// The name under which clients know the service: a logical name, or `host:port`.
    pub(crate) authority: String,
    /// Whether the authority is a logical name.
    pub(crate) logical: bool,
    pub(crate) nodes: Vec<NameNode>,
}

impl NameNodes {
    /// What the authority of a URI means: a name service of the configuration, or a host with or without a port.
    pub(crate) fn find(authority: &str, configuration: &Configuration) -> Result<Self, FileError> {
        let ids = configuration.get_list(&format!("dfs.ha.namenodes.{authority}"));
        if !ids.is_empty() {
            let keys = ids.iter().map(|id| format!("dfs.namenode.rpc-address.{authority}.{id}"));
            let nodes = keys.map(|key| of_key(key, configuration)).collect::<Result<_, _>>()?;
            return Ok(Self { authority: authority.to_owned(), logical: true, nodes });
        }
        let key = format!("dfs.namenode.rpc-address.{authority}");
        if let Some(address) = configuration.get_trimmed(&key) {
            let address = with_port(&address);
            return Ok(Self {
                authority: address.clone(),
                logical: false,
                nodes: vec![NameNode { address, origin: key }],
            });
        }
        let address = with_port(authority);
        let is_default =
            configuration.get_trimmed("fs.defaultFS").is_some_and(|uri| uri.contains(&format!("//{authority}")));
        let origin = if is_default { "fs.defaultFS" } else { "the URI" }.to_owned();
        Ok(Self { authority: address.clone(), logical: false, nodes: vec![NameNode { address, origin }] })
    }
}

impl fmt::Display for NameNodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.nodes.len() == 1 { "the NameNode at " } else { "none of the NameNodes at " })?;
        for (index, node) in self.nodes.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{} ({})", node.address, node.origin)?;
        }
        Ok(())
    }
}

fn of_key(key: String, configuration: &Configuration) -> Result<NameNode, FileError> {
    match configuration.require(&key, "the address of a NameNode") {
        Ok(address) => Ok(NameNode { address: with_port(&address), origin: key }),
        Err(error) => {
            let input = "the Hadoop configuration".to_owned();
            Err(FileError::InvalidInput { input, reason: error.to_string() })
        }
    }
}

fn with_port(authority: &str) -> String {
    let host_end = authority.rfind(']').unwrap_or(0);
    match authority[host_end..].contains(':') {
        true => authority.to_owned(),
        false => format!("{authority}:{DEFAULT_PORT}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(pairs: &[(&str, &str)]) -> Configuration {
        let mut configuration = Configuration::new();
        for (key, value) in pairs {
            configuration.set(key, *value);
        }
        configuration
    }

    #[test]
    fn an_authority_is_a_host_or_a_name_service() {
        let ha = configuration(&[
            ("dfs.ha.namenodes.ns", "nn1, nn2"),
            ("dfs.namenode.rpc-address.ns.nn1", "a:9000"),
            ("dfs.namenode.rpc-address.ns.nn2", " b "),
            ("dfs.namenode.rpc-address.federated", "c:1"),
        ]);
        let check = |authority: &str, expected: &[&str], known_as: &str| {
            let found = NameNodes::find(authority, &ha).unwrap();
            let addresses: Vec<&str> = found.nodes.iter().map(|node| node.address.as_str()).collect();
            assert_eq!(addresses, expected, "{authority}");
            assert_eq!(found.authority, known_as);
        };
        check("ns", &["a:9000", "b:8020"], "ns");
        check("federated", &["c:1"], "c:1");
        check("host", &["host:8020"], "host:8020");
        check("host:1234", &["host:1234"], "host:1234");
        check("[::1]", &["[::1]:8020"], "[::1]:8020");
        check("[::1]:7", &["[::1]:7"], "[::1]:7");
    }

    #[test]
    fn a_missing_address_names_its_key() {
        let broken = configuration(&[("dfs.ha.namenodes.ns", "nn1"), ("fs.defaultFS", "hdfs://ns")]);
        let error = NameNodes::find("ns", &broken).unwrap_err().to_string();
        assert!(error.contains("dfs.namenode.rpc-address.ns.nn1"), "{error}");
    }

    #[test]
    fn the_text_names_addresses_and_where_they_stand() {
        let one = NameNodes::find("h:1", &configuration(&[("fs.defaultFS", "hdfs://h:1")])).unwrap();
        assert_eq!(one.to_string(), "the NameNode at h:1 (fs.defaultFS)");
    }
}
