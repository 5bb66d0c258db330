use std::collections::BTreeMap;

use crate::credentials::Credentials;
use crate::proto::yarn::{
    ApplicationACLMapProto, ContainerLaunchContextProto, LocalResourceProto, StringBytesMapProto,
    StringLocalResourceMapProto, StringStringMapProto, URLProto,
};

/// What becomes of a local resource on the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalResourceKind {
    /// A file, as it is.
    File,
    /// Unpacked into a folder.
    Archive,
    /// A jar of which what matches a pattern is unpacked.
    Pattern(String),
}

/// Who shares the node's copy of a local resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Every user. The file and all folders above it must be readable by everybody.
    Public,
    /// Every application of the user.
    Private,
    /// The application only.
    Application,
}

/// A file that the NodeManager fetches before it starts a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalResource {
    /// Where it is, with scheme and authority: `hdfs://namenode:8020/user/alice/job`.
    pub url: String,
    /// Its exact size in bytes.
    pub size: u64,
    /// Its exact modification time, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// What becomes of it.
    pub kind: LocalResourceKind,
    /// Who shares it.
    pub visibility: Visibility,
}

impl LocalResource {
    /// A file for the containers of one application.
    #[must_use]
    pub fn file(url: impl Into<String>, size: u64, timestamp_ms: i64) -> Self {
        let (kind, visibility) = (LocalResourceKind::File, Visibility::Application);
        Self { url: url.into(), size, timestamp_ms, kind, visibility }
    }
}

/// Users and groups who may do something with an application: `user1,user2 group1,group2`, or `*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessControl {
    /// Who may see it.
    pub view: Option<String>,
    /// Who may change and kill it.
    pub modify: Option<String>,
}

/// What runs in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerLaunchContext {
    /// The files it finds in its folder, by name there.
    pub local_resources: BTreeMap<String, LocalResource>,
    /// Its environment, beside what the NodeManager sets.
    pub environment: BTreeMap<String, String>,
    /// What is run. YARN puts it between double quotes for a shell: it must not hold any. `<LOG_DIR>` stands for the
    /// container's folder of logs.
    pub commands: Vec<String>,
    /// The tokens and secret keys that it gets.
    pub credentials: Credentials,
    /// Data for the NodeManager's services, by the name of the service.
    pub service_data: BTreeMap<String, Vec<u8>>,
    /// Who may see and change the application (in an ApplicationMaster's container), or see the container's logs.
    pub access: AccessControl,
}

impl From<ContainerLaunchContext> for ContainerLaunchContextProto {
    fn from(context: ContainerLaunchContext) -> Self {
        let resource =
            |(key, value)| StringLocalResourceMapProto { key: Some(key), value: Some(resource_proto(value)) };
        let variable = |(key, value)| StringStringMapProto { key: Some(key), value: Some(value) };
        let data = |(key, value)| StringBytesMapProto { key: Some(key), value: Some(value) };
        let tokens = (!context.credentials.is_empty()).then(|| context.credentials.encode().expose().to_vec());
        Self {
            local_resources: context.local_resources.into_iter().map(resource).collect(),
            tokens,
            service_data: context.service_data.into_iter().map(data).collect(),
            environment: context.environment.into_iter().map(variable).collect(),
            command: context.commands,
            application_acls: access_proto(context.access),
        }
    }
}

const VIEW: i32 = 1;
const MODIFY: i32 = 2;

fn access_proto(access: AccessControl) -> Vec<ApplicationACLMapProto> {
    let entry =
        |kind, acl: Option<String>| acl.map(|acl| ApplicationACLMapProto { access_type: Some(kind), acl: Some(acl) });
    [entry(VIEW, access.view), entry(MODIFY, access.modify)].into_iter().flatten().collect()
}

pub(crate) fn access_from_proto(entries: Vec<ApplicationACLMapProto>) -> AccessControl {
    let mut access = AccessControl::default();
    for entry in entries {
        match entry.access_type {
            Some(VIEW) => access.view = entry.acl,
            Some(MODIFY) => access.modify = entry.acl,
            _ => {}
        }
    }
    access
}

fn resource_proto(resource: LocalResource) -> LocalResourceProto {
    let (kind, pattern) = match resource.kind {
        LocalResourceKind::Archive => (1, None),
        LocalResourceKind::File => (2, None),
        LocalResourceKind::Pattern(pattern) => (3, Some(pattern)),
    };
    let visibility = match resource.visibility {
        Visibility::Public => 1,
        Visibility::Private => 2,
        Visibility::Application => 3,
    };
    LocalResourceProto {
        resource: Some(url_proto(&resource.url)),
        size: Some(i64::try_from(resource.size).unwrap_or(i64::MAX)),
        timestamp: Some(resource.timestamp_ms),
        kind: Some(kind),
        visibility: Some(visibility),
        pattern,
        should_be_uploaded_to_shared_cache: None,
    }
}

/// Splits `scheme://user@host:port/path`; without an authority only the path is sent. A port that is not given is -1.
fn url_proto(url: &str) -> URLProto {
    let (scheme, rest) = url.split_once("://").map_or((None, url), |(scheme, rest)| (Some(scheme.to_owned()), rest));
    if scheme.is_none() {
        return URLProto { scheme, host: None, port: Some(-1), file: Some(rest.to_owned()), user_info: None };
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (user_info, server) = authority.rsplit_once('@').map_or((None, authority), |(u, s)| (Some(u.to_owned()), s));
    let with_port = server.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let (host, port) = with_port.map_or((server, -1), |(host, port)| (host, i32::from(port)));
    let host = (!host.is_empty()).then(|| host.to_owned());
    URLProto { scheme, host, port: Some(port), file: Some(path.to_owned()), user_info }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn urls_are_split() {
        let check = |url: &str, host: Option<&str>, port: i32, file: &str| {
            let found = url_proto(url);
            let split = (found.host.as_deref(), found.port, found.file.as_deref());
            assert_eq!(split, (host, Some(port), Some(file)), "{url}");
        };
        check("hdfs://nn:8020/user/a", Some("nn"), 8020, "/user/a");
        check("hdfs://nameservice/user/a:b", Some("nameservice"), -1, "/user/a:b");
        check("hdfs:///user/a", None, -1, "/user/a");
        check("/user/a", None, -1, "/user/a");
        check("hdfs://me@nn:8020/x", Some("nn"), 8020, "/x");
        check("hdfs://[::1]:8020/x", Some("[::1]"), 8020, "/x");
    }

    #[test]
    fn a_launch_context_carries_its_credentials_and_does_not_print_them() {
        let mut context = ContainerLaunchContext { commands: vec!["run".into()], ..ContainerLaunchContext::default() };
        assert_eq!(ContainerLaunchContextProto::from(context.clone()).tokens, None);
        context.credentials.add_secret("key", Secret::new(*b"swordfish"));
        context.access.view = Some("*".to_owned());
        assert!(!format!("{context:?}").contains("swordfish"));
        let proto = ContainerLaunchContextProto::from(context.clone());
        assert_eq!(Credentials::decode(proto.tokens.as_deref().unwrap()), Ok(context.credentials));
        assert_eq!(access_from_proto(proto.application_acls), context.access);
    }
}
