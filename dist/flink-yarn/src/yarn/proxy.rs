use std::net::IpAddr;

use flink_appmaster::rest::{ProxyRule, Readers};
use hadoop_rpc::user;

use super::environment::StartError;

const DEFAULT_PORT: u16 = 8088;
const DEFAULT_SECURE_PORT: u16 = 8090;

/// Where YARN's web proxy is (a process of its own, or part of each ResourceManager), and who may read through it.
pub(super) async fn rule(
    hadoop: &hadoop_rpc::Configuration,
    base: Option<&str>,
    owner: &str,
    view_acls: Option<&str>,
) -> Result<ProxyRule, StartError> {
    let servers = servers(hadoop);
    let mut addresses: Vec<IpAddr> = Vec::new();
    for (host, port) in &servers {
        match tokio::net::lookup_host((host.as_str(), *port)).await {
            Ok(found) => addresses.extend(found.map(|address| address.ip())),
            Err(error) => tracing::warn!(host, %error, "the host of YARN's web proxy has no address: it may not read"),
        }
    }
    addresses.sort_unstable();
    addresses.dedup();
    let scheme = if is_secure(hadoop) { "https" } else { "http" };
    let first = servers.first();
    let base = first.zip(base).map(|((host, port), base)| format!("{scheme}://{host}:{port}{base}"));
    let readers = user::is_kerberos(hadoop)?.then(|| Readers::new(owner, view_acls));
    Ok(ProxyRule { addresses, base, readers })
}

fn is_secure(hadoop: &hadoop_rpc::Configuration) -> bool {
    hadoop.get_trimmed("yarn.http.policy").is_some_and(|policy| policy == "HTTPS_ONLY")
}

fn servers(hadoop: &hadoop_rpc::Configuration) -> Vec<(String, u16)> {
    if let Some(proxy) = hadoop.get_trimmed("yarn.web-proxy.address").filter(|address| !address.is_empty()) {
        return vec![split(&proxy, DEFAULT_PORT)];
    }
    let ids = match hadoop.get_trimmed("yarn.resourcemanager.ha.enabled").as_deref() {
        Some("true") => hadoop.get_list("yarn.resourcemanager.ha.rm-ids"),
        _ => Vec::new(),
    };
    let suffixes: Vec<String> =
        if ids.is_empty() { vec![String::new()] } else { ids.iter().map(|id| format!(".{id}")).collect() };
    let (key, port) = match is_secure(hadoop) {
        true => ("yarn.resourcemanager.webapp.https.address", DEFAULT_SECURE_PORT),
        false => ("yarn.resourcemanager.webapp.address", DEFAULT_PORT),
    };
    let address = |suffix: &String| {
        let named = hadoop.get_trimmed(&format!("{key}{suffix}"));
        let host = || hadoop.get_trimmed(&format!("yarn.resourcemanager.hostname{suffix}"));
        Some(split(&named.or_else(host)?, port))
    };
    suffixes.iter().filter_map(address).collect()
}

fn split(address: &str, port: u16) -> (String, u16) {
    let parts = address.rsplit_once(':').and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
    parts.unwrap_or_else(|| (address.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(set: &[(&str, &str)], expected: &[(&str, u16)]) {
        let mut hadoop = hadoop_rpc::Configuration::new();
        set.iter().for_each(|(key, value)| hadoop.set(key, *value));
        let expected: Vec<(String, u16)> = expected.iter().map(|(host, port)| ((*host).to_owned(), *port)).collect();
        assert_eq!(servers(&hadoop), expected, "{set:?}");
    }

    #[test]
    fn the_proxy_is_found() {
        check(&[("yarn.resourcemanager.webapp.address", "rm:18088")], &[("rm", 18088)]);
        check(&[("yarn.web-proxy.address", "p:1"), ("yarn.resourcemanager.webapp.address", "rm:2")], &[("p", 1)]);
        let ha = [
            ("yarn.resourcemanager.ha.enabled", "true"),
            ("yarn.resourcemanager.ha.rm-ids", "a,b"),
            ("yarn.resourcemanager.webapp.address.a", "x:1"),
            ("yarn.resourcemanager.hostname.b", "y"),
        ];
        check(&ha, &[("x", 1), ("y", 8088)]);
    }

    #[tokio::test]
    async fn the_rule_names_addresses_and_the_way_for_browsers() {
        let mut hadoop = hadoop_rpc::Configuration::new();
        hadoop.set("yarn.resourcemanager.webapp.address", "127.0.0.1:18088");
        let rule = |hadoop: hadoop_rpc::Configuration| async move {
            rule(&hadoop, Some("/proxy/application_1_2"), "alice", Some("bob")).await.unwrap()
        };
        let readers = Some(Readers::new("alice", Some("bob")));
        let mut secure = hadoop.clone();
        secure.set("hadoop.security.authentication", "kerberos");
        assert_eq!((rule(secure).await.readers, rule(hadoop.clone()).await.readers), (readers, None));
        let rule = rule(hadoop).await;
        assert_eq!(rule.addresses, ["127.0.0.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(rule.base.as_deref(), Some("http://127.0.0.1:18088/proxy/application_1_2"));
    }
}
