use std::path::PathBuf;

use hadoop_rpc::credentials::HDFS_DELEGATION_TOKEN_KIND;
use hadoop_rpc::{Configuration, Credentials, KerberosLogin, User, hdfs, user};

use crate::name_nodes::NameNodes;

/// What this process shows to the NameNodes of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Authentication {
    /// There is no security: a name will do.
    Simple,
    /// A token of the file that the environment names, for the service as Hadoop writes it. The file is read again for each
    /// connection: whoever wrote it may put newer tokens there.
    Token { service: String },
    /// Tickets that come from a keytab.
    Keytab { principal: String, file: PathBuf },
    /// Tickets that `kinit` has obtained, or none.
    Tickets,
}

impl Authentication {
    /// The best that there is: a token goes first, as with Hadoop's own clients. May block.
    ///
    /// # Errors
    /// What is wrong with the configuration or with the token file, in words.
    pub(crate) fn find(
        nodes: &NameNodes,
        configuration: &Configuration,
        login: Option<&KerberosLogin>,
    ) -> Result<Self, String> {
        if !user::is_kerberos(configuration).map_err(|error| error.to_string())? {
            return Ok(Self::Simple);
        }
        let given = Credentials::from_environment().map_err(|error| error.to_string())?.unwrap_or_default();
        if let Some(service) = service_of_token(&given, nodes, configuration)? {
            return Ok(Self::Token { service });
        }
        Ok(match login {
            Some(KerberosLogin::Keytab { principal, file }) => {
                Self::Keytab { principal: principal.clone(), file: file.clone() }
            }
            Some(KerberosLogin::TicketCache) | None => Self::Tickets,
        })
    }

    /// The user that it stands for; `name` where a name will do. May block.
    ///
    /// # Errors
    /// The login fails, in words.
    pub(crate) fn user(&self, configuration: &Configuration, name: Option<&str>) -> Result<User, String> {
        match (self, name) {
            (Self::Simple, Some(name)) => Ok(User::simple(name)),
            (Self::Keytab { principal, file }, _) => {
                let login = KerberosLogin::Keytab { principal: principal.clone(), file: file.clone() };
                User::kerberos_login(configuration, login).map_err(|error| error.to_string())
            }
            _ => User::current(configuration).map_err(|error| error.to_string()),
        }
    }
}

fn service_of_token(
    given: &Credentials,
    nodes: &NameNodes,
    configuration: &Configuration,
) -> Result<Option<String>, String> {
    if given.token_of_kind(HDFS_DELEGATION_TOKEN_KIND).is_none() {
        return Ok(None);
    }
    let service = hdfs::token_service(configuration, &nodes.authority).map_err(|error| error.to_string())?;
    Ok(given.token_for(HDFS_DELEGATION_TOKEN_KIND, &service).map(|_| service))
}

#[cfg(test)]
mod tests {
    use hadoop_rpc::Token;

    use super::*;

    fn secure() -> Configuration {
        let mut configuration = Configuration::new();
        configuration.set("hadoop.security.authentication", "kerberos");
        configuration
    }

    #[test]
    fn a_token_is_found_by_the_address_that_a_name_stands_for() {
        let token = |service: &str| Token {
            kind: HDFS_DELEGATION_TOKEN_KIND.to_owned(),
            service: service.to_owned(),
            ..Token::default()
        };
        let mut given = Credentials::new();
        given.add_token("one", token("127.0.0.1:9000"));
        given.add_token("two", token("ha-hdfs:ns"));
        let mut configuration = secure();
        configuration.set("dfs.ha.namenodes.ns", "a,b");
        configuration.set("dfs.namenode.rpc-address.ns.a", "h1:1");
        configuration.set("dfs.namenode.rpc-address.ns.b", "h2:1");
        let found = |authority: &str, configuration: &Configuration| {
            let nodes = NameNodes::find(authority, configuration).unwrap();
            service_of_token(&given, &nodes, configuration).unwrap()
        };
        assert_eq!(found("127.0.0.1:9000", &configuration).as_deref(), Some("127.0.0.1:9000"));
        assert_eq!(found("ns", &configuration).as_deref(), Some("ha-hdfs:ns"));
        assert_eq!(found("127.0.0.1:9001", &configuration), None);
    }

    #[test]
    fn a_keytab_is_used_where_there_is_security() {
        let nodes = NameNodes::find("127.0.0.1:1", &Configuration::new()).unwrap();
        let login = KerberosLogin::Keytab { principal: "alice".to_owned(), file: "a.keytab".into() };
        let find = |configuration: &Configuration, login| Authentication::find(&nodes, configuration, login).unwrap();
        assert_eq!(find(&Configuration::new(), Some(&login)), Authentication::Simple);
        let keytab = Authentication::Keytab { principal: "alice".to_owned(), file: "a.keytab".into() };
        assert_eq!(find(&secure(), Some(&login)), keytab);
        assert_eq!(find(&secure(), None), Authentication::Tickets);
    }
}
