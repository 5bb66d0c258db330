use std::collections::BTreeSet;

use hadoop_rpc::credentials::AMRM_TOKEN_KIND;
use hadoop_rpc::hdfs::NameNode;
use hadoop_rpc::yarn::ApplicationClient;
use hadoop_rpc::{Configuration, Credentials, User};

use super::hadoop::Hadoop;
use crate::error::{ClientError, Result};

/// Tokens that a client may hold and that must not get into the containers of another application.
const OF_OTHERS: &[&str] = &[AMRM_TOKEN_KIND, "NMToken", "ContainerToken"];

/// The tokens that the processes of an application need: those that this process was given, and one for each NameNode, which
/// whoever shows a Kerberos ticket gets. None on a cluster without security.
pub(super) async fn obtain(hadoop: &Hadoop, user: &User, name_nodes: &BTreeSet<String>) -> Result<Credentials> {
    if !hadoop.is_secure() {
        return Ok(Credentials::new());
    }
    let mut credentials = given()?;
    OF_OTHERS.iter().for_each(|kind| credentials.remove_kind(kind));
    if !user.is_kerberos() {
        return match credentials.is_empty() {
            true => Err(no_ticket(user)),
            false => Ok(credentials),
        };
    }
    let renewer = renewer(&hadoop.configuration)?;
    for authority in name_nodes {
        let failed = |error: &dyn std::error::Error| {
            ClientError::failed(format!("the NameNode {authority} gives no token for the application")).because(error)
        };
        let name_node = NameNode::new(&hadoop.configuration, user, &Credentials::new(), authority);
        let name_node = name_node.map_err(|error| failed(&error))?;
        if let Some(token) = name_node.delegation_token(&renewer).await.map_err(|error| failed(&error))? {
            credentials.add_token(token.service.clone(), token);
        }
    }
    Ok(credentials)
}

/// The tokens that the environment hands to this process.
pub(super) fn given() -> Result<Credentials> {
    let read = Credentials::from_environment();
    let read = read.map_err(|error| ClientError::usage("the tokens of this process cannot be read").because(&error))?;
    Ok(read.unwrap_or_default())
}

fn no_ticket(user: &User) -> ClientError {
    ClientError::usage("the cluster uses Kerberos, and there is neither a ticket nor a token")
        .because_text(user.no_ticket().unwrap_or_default())
        .hint("run kinit, or set security.kerberos.login.principal and security.kerberos.login.keytab")
}

/// Who renews the tokens: the ResourceManager, by its principal.
fn renewer(configuration: &Configuration) -> Result<String> {
    const KEY: &str = "yarn.resourcemanager.principal";
    let principal = configuration.require(KEY, "who renews the application's tokens");
    let principal = principal.map_err(|error| super::hadoop::wrong(&error))?;
    if !principal.contains("_HOST") {
        return Ok(principal);
    }
    let client = ApplicationClient::new(configuration, &User::simple(""), &Credentials::new());
    let client = client.map_err(|error| ClientError::usage("the ResourceManager is not configured").because(&error))?;
    let host = client.endpoints().first().map(|endpoint| endpoint.host.to_lowercase()).unwrap_or_default();
    Ok(principal.replace("_HOST", &host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_renewer_is_the_resource_manager_on_its_host() {
        let mut configuration = Configuration::new();
        assert!(renewer(&configuration).unwrap_err().to_string().contains("yarn.resourcemanager.principal"));
        configuration.set("yarn.resourcemanager.principal", "rm/_HOST@REALM");
        configuration.set("yarn.resourcemanager.address", "Master:8032");
        assert_eq!(renewer(&configuration).unwrap(), "rm/master@REALM");
        configuration.set("yarn.resourcemanager.principal", "yarn@REALM");
        assert_eq!(renewer(&configuration).unwrap(), "yarn@REALM");
    }
}
