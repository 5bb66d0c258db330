//! Who we are.

use std::env;
use std::fs;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::configuration::Configuration;
use crate::error::Error;
use crate::kerberos::auth_to_local::short_name;
use crate::kerberos::{ANSWER_LIMIT, Credential, KerberosError, KerberosLogin};

/// A user, as Hadoop's servers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    name: String,
    login: Login,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Login {
    /// The servers take our word.
    Simple,
    Kerberos {
        login: KerberosLogin,
        principal: String,
    },
    /// The cluster uses Kerberos, and there is no ticket: only tokens help.
    NoTicket {
        why: String,
    },
}

impl User {
    /// A user whose name the servers of a cluster without security believe.
    #[must_use]
    pub fn simple(name: impl Into<String>) -> Self {
        Self { name: name.into(), login: Login::Simple }
    }

    /// The user of this process: with `hadoop.security.authentication` kerberos the one of the ticket cache, else the one
    /// that HADOOP_USER_NAME names, else the operating system's. A missing ticket is no error here, as a token may
    /// do; see [`Self::no_ticket`]. May block.
    pub fn current(configuration: &Configuration) -> Result<Self, Error> {
        if !is_kerberos(configuration)? {
            return Ok(Self::simple(simple_name()));
        }
        match Self::kerberos_login(configuration, KerberosLogin::TicketCache) {
            Ok(user) => Ok(user),
            Err(why) => Ok(Self { name: simple_name(), login: Login::NoTicket { why: why.to_string() } }),
        }
    }

    /// A user who is proved by a login: tickets of the cache, or a keytab. Asks the Kerberos server: it may block, but for
    /// no longer than seven seconds.
    pub fn kerberos_login(configuration: &Configuration, login: KerberosLogin) -> Result<Self, KerberosError> {
        let principal = principal(&login)?;
        let rules = configuration.get("hadoop.security.auth_to_local").unwrap_or_default();
        let name = short_name(&principal, &rules, None)?;
        Ok(Self { name, login: Login::Kerberos { login, principal } })
    }

    /// The name: whose files and applications are ours.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The Kerberos principal.
    #[must_use]
    pub fn principal(&self) -> Option<&str> {
        match &self.login {
            Login::Kerberos { principal, .. } => Some(principal),
            _ => None,
        }
    }

    /// Where the Kerberos tickets come from.
    #[must_use]
    pub fn kerberos(&self) -> Option<&KerberosLogin> {
        match &self.login {
            Login::Kerberos { login, .. } => Some(login),
            _ => None,
        }
    }

    /// Why there is no ticket, on a cluster that uses Kerberos.
    #[must_use]
    pub fn no_ticket(&self) -> Option<&str> {
        match &self.login {
            Login::NoTicket { why } => Some(why),
            _ => None,
        }
    }

    /// How long the Kerberos tickets last; none for a user without any. May block.
    pub fn tickets_last(&self) -> Result<Option<Duration>, KerberosError> {
        let login = self.kerberos();
        login.map(|login| Ok(Credential::acquire(login)?.inquire()?.1)).transpose()
    }

    /// Whether servers are shown Kerberos tickets.
    #[must_use]
    pub fn is_kerberos(&self) -> bool {
        matches!(self.login, Login::Kerberos { .. })
    }
}

/// Whose tickets they are. The library may wait for a silent server longer than we do: it does so on a thread of its own, which
/// is left to itself then.
fn principal(login: &KerberosLogin) -> Result<String, KerberosError> {
    let (teller, told) = mpsc::sync_channel(1);
    let login = login.clone();
    let asking = move || {
        let found = Credential::acquire(&login).and_then(|credential| credential.inquire());
        // Nobody listens when it was too late.
        let _ = teller.send(found.map(|(principal, _)| principal));
    };
    let started = thread::Builder::new().name("kerberos-login".to_owned()).spawn(asking);
    started.map_err(|error| KerberosError::Failed { what: "start a thread".to_owned(), why: error.to_string() })?;
    told.recv_timeout(ANSWER_LIMIT).map_err(|_| KerberosError::NoAnswer { within: ANSWER_LIMIT })?
}

/// Whether the cluster uses Kerberos.
pub fn is_kerberos(configuration: &Configuration) -> Result<bool, Error> {
    const KEY: &str = "hadoop.security.authentication";
    match configuration.get_trimmed(KEY).unwrap_or_default().to_ascii_lowercase().as_str() {
        "kerberos" => Ok(true),
        "simple" | "" => Ok(false),
        _ => Err(configuration.invalid(KEY, "expected simple or kerberos").into()),
    }
}

fn simple_name() -> String {
    let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    variable("HADOOP_USER_NAME")
        .or_else(name_in_passwd)
        .or_else(|| variable("USER"))
        .or_else(|| variable("LOGNAME"))
        .unwrap_or_else(|| rustix::process::getuid().as_raw().to_string())
}

fn name_in_passwd() -> Option<String> {
    find_in_passwd(&fs::read_to_string("/etc/passwd").ok()?, rustix::process::getuid().as_raw())
}

fn find_in_passwd(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_users_of_the_system() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nalice:x:1000:1000::/home/alice:/bin/sh\n";
        assert_eq!(find_in_passwd(passwd, 1000).as_deref(), Some("alice"));
        assert_eq!(find_in_passwd(passwd, 7), None);
    }

    #[test]
    fn a_wrong_kind_of_authentication_is_said() {
        let mut configuration = Configuration::new();
        assert!(!is_kerberos(&configuration).unwrap());
        configuration.set("hadoop.security.authentication", "Kerberos");
        assert!(is_kerberos(&configuration).unwrap());
        configuration.set("hadoop.security.authentication", "ldap");
        let message = is_kerberos(&configuration).unwrap_err().to_string();
        assert!(message.contains("hadoop.security.authentication is `ldap`"), "{message}");
    }
}
