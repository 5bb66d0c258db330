use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, Uri};

/// The cookie in which YARN's proxy says who asks. It passes no cookie of that name on.
const USER_COOKIE: &str = "proxy-user";

/// YARN's web proxy: it stands between the browsers of users, who it lets in by the cluster's own rules, and this API.
///
/// A proxy is known by its address alone, and passes no token on. So it may read, and change nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProxyRule {
    /// Addresses that requests of the proxy come from.
    pub addresses: Vec<IpAddr>,
    /// Where browsers reach the API through the proxy, without a slash at the end.
    pub base: Option<String>,
    /// Who may read through it. None: whoever it lets in, for it knows nobody's name on a cluster without security.
    pub readers: Option<Readers>,
}

/// Users of a secure cluster. The proxy knows who asks, and shows everybody to everybody: it only warns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readers {
    users: BTreeSet<String>,
    everybody: bool,
}

impl Readers {
    /// The owner of the application, and the users of an access list as YARN writes them: `user,user group,group`, or `*`.
    /// Who is in a group only the ResourceManager knows, so groups are not let in.
    #[must_use]
    pub fn new(owner: &str, access_list: Option<&str>) -> Self {
        let list = access_list.unwrap_or_default();
        let users = list.split_once(' ').map_or(list, |(users, _)| users).split(',').map(str::trim);
        let users = users.filter(|user| !user.is_empty()).chain([owner]).map(str::to_owned).collect();
        Self { users, everybody: list.trim() == "*" }
    }

    fn contain(&self, user: &str) -> bool {
        self.everybody || self.users.contains(user)
    }
}

/// Whether the proxy may read on behalf of somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reader {
    Allowed,
    /// It says this name.
    Refused(String),
    /// It says none, so it is not the proxy.
    Unknown,
}

impl ProxyRule {
    /// True for a request that comes from the proxy.
    pub(super) fn admits(&self, peer: SocketAddr) -> bool {
        let peer = peer.ip().to_canonical();
        self.addresses.iter().any(|address| address.to_canonical() == peer)
    }

    /// Looks for whom it reads: the name is in a cookie of its own.
    pub(super) fn reader(&self, headers: &HeaderMap) -> Reader {
        let Some(readers) = &self.readers else { return Reader::Allowed };
        let cookies = headers.get_all(COOKIE).iter().filter_map(|header| header.to_str().ok());
        let mut names = cookies.flat_map(|header| header.split(';')).filter_map(|cookie| {
            let (name, value) = cookie.trim().split_once('=')?;
            (name == USER_COOKIE).then_some(value)
        });
        // Two names are none.
        match (names.next(), names.next()) {
            (Some(name), None) if readers.contain(name) => Reader::Allowed,
            (Some(name), None) => Reader::Refused(name.to_owned()),
            _ => Reader::Unknown,
        }
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
            readers: None,
        };
        assert!(rule.admits("10.0.0.1:9".parse().unwrap()) && rule.admits("[::ffff:10.0.0.1]:9".parse().unwrap()));
        assert!(!rule.admits("10.0.0.2:9".parse().unwrap()) && !rule.admits("[::1]:9".parse().unwrap()));
        let location = rule.location(&"/v1/jobs?x=1".parse().unwrap()).unwrap();
        assert_eq!(location, "http://rm:8088/proxy/application_1_2/v1/jobs?x=1");
        assert_eq!(ProxyRule::default().location(&"/".parse().unwrap()), None);
    }

    #[test]
    fn the_owner_reads_and_those_whom_the_list_names() {
        let check = |list: Option<&str>, cookie: &str, expected: Reader| {
            let rule = ProxyRule { readers: Some(Readers::new("alice", list)), ..ProxyRule::default() };
            let headers = HeaderMap::from_iter([(COOKIE, cookie.parse().unwrap())]);
            assert_eq!(rule.reader(&headers), expected, "{list:?} {cookie}");
        };
        let refused = |name: &str| Reader::Refused(name.to_owned());
        check(None, "proxy-user=alice", Reader::Allowed);
        check(None, "x=y; proxy-user=alice", Reader::Allowed);
        check(None, "proxy-user=bob", refused("bob"));
        check(None, "proxy-user=", refused(""));
        check(None, "user=alice", Reader::Unknown);
        check(None, "proxy-user=bob; proxy-user=alice", Reader::Unknown);
        check(Some("bob,carol staff"), "proxy-user=carol", Reader::Allowed);
        check(Some("bob,carol staff"), "proxy-user=staff", refused("staff"));
        check(Some(" staff"), "proxy-user=staff", refused("staff"));
        check(Some("*"), "proxy-user=anybody", Reader::Allowed);
        assert_eq!(
            ProxyRule::default().reader(&HeaderMap::new()),
            Reader::Allowed,
            "without security there are no names"
        );
    }
}
