use std::net::ToSocketAddrs;

use crate::configuration::{Configuration, ConfigurationError};
use crate::credentials::{Credentials, Token};
use crate::error::Endpoint;

/// Splits `host:port`; without a port it is the default.
pub(crate) fn parse_address(text: &str, default_port: u16) -> Option<(String, u16)> {
    let text = text.trim();
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().ok()?),
        _ => (text, default_port),
    };
    let fits = !host.is_empty() && port != 0 && !host.contains(['/', ' ', '@']);
    fits.then(|| (host.to_owned(), port))
}

pub(crate) fn is_true(configuration: &Configuration, key: &str) -> Result<bool, ConfigurationError> {
    Ok(configuration.get_bool(key)?.unwrap_or(false))
}

/// The service text that Hadoop gives tokens for a server: `ip:port`, or `host:port` where
/// `hadoop.security.token.service.use_ip` is false. May block.
pub(crate) fn token_service(configuration: &Configuration, endpoint: &Endpoint) -> Result<String, ConfigurationError> {
    let use_ip = configuration.get_bool("hadoop.security.token.service.use_ip")?.unwrap_or(true);
    let resolved = (endpoint.host.trim_matches(['[', ']']), endpoint.port).to_socket_addrs();
    let address = resolved.ok().filter(|_| use_ip).and_then(|mut addresses| addresses.next());
    Ok(match address {
        Some(address) => format!("{}:{}", address.ip(), endpoint.port),
        None => format!("{}:{}", endpoint.host.to_ascii_lowercase(), endpoint.port),
    })
}

/// The token of a kind for a service, if there are any of the kind: `service` may ask the resolver.
pub(crate) fn find_token(
    credentials: &Credentials,
    kind: &str,
    service: impl FnOnce() -> Result<String, ConfigurationError>,
) -> Result<Option<Token>, ConfigurationError> {
    if credentials.token_of_kind(kind).is_none() {
        return Ok(None);
    }
    Ok(credentials.token_for(kind, &service()?).cloned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn addresses_are_split() {
        let check = |text: &str, expect: Option<(&str, u16)>| {
            assert_eq!(parse_address(text, 7), expect.map(|(host, port)| (host.to_owned(), port)), "{text}");
        };
        check("host:1", Some(("host", 1)));
        check(" host ", Some(("host", 7)));
        check("[::1]:5", Some(("[::1]", 5)));
        check("host:", None);
        check("host:0", None);
        check(":5", None);
        check("http://host", None);
        check("host:70000", None);
    }

    #[test]
    fn a_token_is_found_by_the_servers_address() {
        let mut configuration = Configuration::new();
        let endpoint = Endpoint::new("NameNode", "127.0.0.1", 5);
        let token =
            Token { kind: "K".into(), service: "127.0.0.1:5".into(), password: Secret::default(), identifier: vec![] };
        let mut credentials = Credentials::new();
        credentials.add_token("a", token.clone());
        let found = find_token(&credentials, "K", || token_service(&configuration, &endpoint)).unwrap();
        assert_eq!(found, Some(token));
        assert_eq!(find_token(&credentials, "L", || panic!("not asked")).unwrap(), None);
        configuration.set("hadoop.security.token.service.use_ip", "false");
        let endpoint = Endpoint::new("NameNode", "Host.A", 5);
        assert_eq!(token_service(&configuration, &endpoint).unwrap(), "host.a:5");
    }
}
