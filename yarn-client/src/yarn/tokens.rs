use std::collections::BTreeSet;

use flink_graph::options;
use hadoop_rpc::credentials::AMRM_TOKEN_KIND;
use hadoop_rpc::hdfs::NameNode;
use hadoop_rpc::{Configuration, Credentials, Token, User};
use tokio::task::JoinSet;

use super::hadoop::Hadoop;
use super::resource_manager::ResourceManager;
use crate::error::{ClientError, Result};

/// Tokens that a client may hold and that must not get into the containers of another application.
const OF_OTHERS: &[&str] = &[AMRM_TOKEN_KIND, "NMToken", "ContainerToken"];

/// The tokens that the processes of an application need: those that this process was given, and one for each NameNode, which
/// whoever shows a Kerberos ticket gets. None on a cluster without security.
pub(super) async fn obtain(
    hadoop: &Hadoop,
    resource_manager: &ResourceManager,
    name_nodes: &BTreeSet<String>,
) -> Result<Credentials> {
    if !hadoop.is_secure() {
        return Ok(Credentials::new());
    }
    let mut credentials = given()?;
    OF_OTHERS.iter().for_each(|kind| credentials.remove_kind(kind));
    let user = resource_manager.identity();
    if !user.is_kerberos() {
        return match credentials.is_empty() {
            true => Err(no_ticket(user)),
            false => Ok(credentials),
        };
    }
    let renewer = resource_manager.token_renewer()?;
    // All at once: each may take as long as somebody at a terminal has patience.
    let mut asked = JoinSet::new();
    for authority in name_nodes {
        let (configuration, user) = (hadoop.configuration.clone(), user.clone());
        let (renewer, authority) = (renewer.clone(), authority.clone());
        asked.spawn(async move { token_of(&configuration, &user, &renewer, &authority).await });
    }
    while let Some(answer) = asked.join_next().await {
        let answer = answer.map_err(|error| ClientError::failed("a NameNode could not be asked").because(&error))?;
        if let Some(token) = answer? {
            credentials.replace_token(token);
        }
    }
    Ok(credentials)
}

async fn token_of(configuration: &Configuration, user: &User, renewer: &str, authority: &str) -> Result<Option<Token>> {
    let failed = |error: &dyn std::error::Error| {
        ClientError::failed(format!("the NameNode {authority} gives no token for the application")).because(error)
    };
    let name_node = NameNode::new(configuration, user, &Credentials::new(), authority);
    let name_node = name_node.map_err(|error| failed(&error))?;
    name_node.delegation_token(renewer).await.map_err(|error| failed(&error))
}

/// The tokens that the environment hands to this process.
pub(super) fn given() -> Result<Credentials> {
    let read = Credentials::from_environment();
    let read = read.map_err(|error| ClientError::usage("the tokens of this process cannot be read").because(&error))?;
    Ok(read.unwrap_or_default())
}

/// Nobody believes who this is.
pub(super) fn no_ticket(user: &User) -> ClientError {
    ClientError::usage("the cluster uses Kerberos, and there is neither a ticket nor a token of the ResourceManager")
        .because_text(user.no_ticket().unwrap_or_default())
        .hint("run kinit, or set security.kerberos.login.principal and security.kerberos.login.keytab")
}

/// The name services that an application needs tokens for: those of its files and of the default file system, those that are
/// mounted in views, and those that the user names (`security.kerberos.access.hadoopFileSystems`).
pub(super) fn name_nodes(
    configuration: &Configuration,
    staging: &str,
    named: Option<&str>,
) -> Result<BTreeSet<String>> {
    let file_system = configuration.get_trimmed("fs.defaultFS").unwrap_or_default();
    let mounts = configuration.iter().filter(|(key, _)| is_mount(key)).map(|(_, uri)| uri);
    let known = [file_system, staging.to_owned()].into_iter().chain(mounts);
    let mut found: BTreeSet<String> = known.filter_map(|uri| authority(&uri)).collect();
    for uri in named.unwrap_or_default().split([',', ';']).map(str::trim).filter(|uri| !uri.is_empty()) {
        let key = options::KERBEROS_FILE_SYSTEMS.key;
        let authority = authority(uri).ok_or_else(|| {
            ClientError::usage(format!("{key}: `{uri}` is not a file system of HDFS"))
                .hint("write hdfs://NAMENODE:PORT or hdfs://NAMESERVICE, several with commas between them")
        })?;
        found.insert(authority);
    }
    Ok(found)
}

fn is_mount(key: &str) -> bool {
    key.starts_with("fs.viewfs.mounttable.") && (key.contains(".link.") || key.ends_with(".linkFallback"))
}

fn authority(uri: &str) -> Option<String> {
    let authority = uri.trim().strip_prefix("hdfs://")?.split('/').next()?;
    (!authority.is_empty()).then(|| authority.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_for_all_file_systems_that_are_known() {
        let mut configuration = Configuration::new();
        configuration.set("fs.defaultFS", "viewfs://c/");
        configuration.set("fs.viewfs.mounttable.c.link./data", "hdfs://data:8020/x");
        configuration.set("fs.viewfs.mounttable.c.link./local", "file:///x");
        configuration.set("fs.viewfs.mounttable.c.linkFallback", "hdfs://rest/");
        let find = |named| name_nodes(&configuration, "hdfs://ns/user/a/.flink-yarn", named);
        let all = |named| find(named).unwrap().into_iter().collect::<Vec<_>>();
        assert_eq!(all(None), ["data:8020", "ns", "rest"]);
        assert_eq!(all(Some("hdfs://other:1/y, hdfs://ns")), ["data:8020", "ns", "other:1", "rest"]);
        let error = find(Some("other:1")).unwrap_err().to_string();
        assert!(error.contains("security.kerberos.access.hadoopFileSystems: `other:1`"), "{error}");
    }
}
