use std::net::{IpAddr, SocketAddr};

use axum::http::Uri;

/// YARN's web proxy: it stands between the browsers of users, who it lets in by the cluster's own rules, and this API.
///
/// A proxy is known by its address alone, and passes no token on. So it may read, and change nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProxyRule {
    /// Addresses that requests of the proxy come from.
    pub addresses: Vec<IpAddr>,
    /// Where browsers reach the API through the proxy, without a slash at the end.
    pub base: Option<String>,
}

impl ProxyRule {
    /// True for a request that comes from the proxy.
    pub(super) fn admits(&self, peer: SocketAddr) -> bool {
        let peer = peer.ip().to_canonical();
        self.addresses.iter().any(|address| address.to_canonical() == peer)
    }

    /// Where a browser that came by itself is to go.
    pub(super) fn location(&self, uri: &Uri) -> Option<String> {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Some(format!("{}{path}", self.base.as_ref()?))
    }
}

/// The address of the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_known_by_its_address() {
        let rule = ProxyRule {
            addresses: vec!["10.0.0.1".parse().unwrap()],
            base: Some("http://rm:8088/proxy/application_1_2".to_owned()),
        };
        assert!(rule.admits("10.0.0.1:9".parse().unwrap()) && rule.admits("[::ffff:10.0.0.1]:9".parse().unwrap()));
        assert!(!rule.admits("10.0.0.2:9".parse().unwrap()) && !rule.admits("[::1]:9".parse().unwrap()));
        let location = rule.location(&"/v1/jobs?x=1".parse().unwrap()).unwrap();
        assert_eq!(location, "http://rm:8088/proxy/application_1_2/v1/jobs?x=1");
        assert_eq!(ProxyRule::default().location(&"/".parse().unwrap()), None);
    }
}
