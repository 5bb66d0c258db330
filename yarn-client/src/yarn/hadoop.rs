use std::collections::BTreeMap;
use std::time::Duration;

use flink_graph::configuration::options;
use hadoop_rpc::configuration::Origin;
use hadoop_rpc::{KerberosLogin, User};

use super::plan::Steps;
use crate::error::{ClientError, Result};
use crate::settings;

/// Keys of the engine's configuration that begin so set the Hadoop key behind it.
pub(crate) const OVERRIDE: &str = "flink.hadoop.";

/// What the ApplicationMaster must know of Hadoop's configuration as this host has it: how to reach the services, and how
/// to read and write.
const HANDED_ON: &[&str] = &[
    "fs.defaultFS",
    "fs.viewfs.",
    "fs.permissions.umask-mode",
    "dfs.nameservices",
    "dfs.nameservice.id",
    "dfs.ha.",
    "dfs.namenode.rpc-address",
    "dfs.namenode.servicerpc-address",
    "dfs.namenode.kerberos.principal",
    "dfs.client.",
    "dfs.replication",
    "dfs.blocksize",
    "dfs.data.transfer.",
    "dfs.encrypt.data.transfer",
    "hadoop.security.authentication",
    "hadoop.security.auth_to_local",
    "hadoop.security.token.service.use_ip",
    "hadoop.rpc.protection",
    "ipc.client.",
    "yarn.resourcemanager.",
    "yarn.nodemanager.principal",
    "yarn.client.",
    "yarn.am.liveness-monitor.",
    "yarn.acl.enable",
    "yarn.http.policy",
    "yarn.web-proxy.address",
    "yarn.log-aggregation-enable",
    "yarn.nodemanager.remote-app-log-dir",
    "yarn.scheduler.",
];

/// Parts of keys whose values may be secret, or name files that only this host has.
const SECRET: &[&str] = &["password", "secret", "credential", "keytab", "keystore", "truststore"];

/// The Hadoop cluster that this host is configured for.
#[derive(Debug, Clone)]
pub(crate) struct Hadoop {
    /// core-site.xml, hdfs-site.xml and yarn-site.xml, below `flink.hadoop.…`.
    pub(crate) configuration: hadoop_rpc::Configuration,
    /// Hadoop keys that our own configuration sets.
    pub(crate) overrides: Vec<(String, String)>,
    /// Longest wait for a first answer.
    pub(crate) first_contact: Duration,
    /// The keytab to log in with.
    pub(crate) login: Option<KerberosLogin>,
}

impl Hadoop {
    /// Reads Hadoop's configuration.
    pub(crate) fn load(configuration: &flink_graph::Configuration) -> Result<Self> {
        let found = Self::find(configuration)?;
        found.ok_or_else(|| {
            let named = std::env::var_os("HADOOP_CONF_DIR").or_else(|| std::env::var_os("YARN_CONF_DIR"));
            let place = named.map(|folder| format!(" in {}", folder.to_string_lossy())).unwrap_or_default();
            ClientError::usage(format!("no configuration of a Hadoop cluster is found{place}")).hint(
                "set HADOOP_CONF_DIR to the folder with the cluster's core-site.xml, hdfs-site.xml and yarn-site.xml",
            )
        })
    }

    /// The same, where there may be none.
    pub(crate) fn find(configuration: &flink_graph::Configuration) -> Result<Option<Self>> {
        let mut hadoop = hadoop_rpc::Configuration::load().map_err(|error| wrong(&error))?;
        let overrides: Vec<(String, String)> = configuration
            .0
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(OVERRIDE)?.to_owned(), value.clone())))
            .collect();
        for (key, value) in &overrides {
            hadoop.set(key, value.clone());
        }
        let usable = hadoop.is_found() || !overrides.is_empty();
        let first_contact = settings::get(configuration, &options::YARN_CLIENT_TIMEOUT)?;
        let mut found = Self { configuration: hadoop, overrides, first_contact, login: login(configuration)? };
        if !found.is_secure() {
            // Nobody there asks for Kerberos.
            found.login = None;
        }
        Ok(usable.then_some(found))
    }

    /// Who we are there: the keytab that the configuration names, the Kerberos ticket, or a name.
    pub(crate) fn user(&self) -> Result<User> {
        let not_known = |error: &dyn std::error::Error| {
            ClientError::usage("it is not known who you are on the Hadoop cluster")
                .because(error)
                .hint("with Kerberos, run kinit, or check principal and keytab; without, HADOOP_USER_NAME names a user")
        };
        match &self.login {
            Some(login) => User::kerberos_login(&self.configuration, login.clone()).map_err(|error| not_known(&error)),
            None => User::current(&self.configuration).map_err(|error| not_known(&error)),
        }
    }

    /// Whether the cluster asks for Kerberos or tokens.
    pub(crate) fn is_secure(&self) -> bool {
        let method = self.configuration.get_trimmed("hadoop.security.authentication").unwrap_or_default();
        method.eq_ignore_ascii_case("kerberos")
    }

    /// The steps in which YARN allocates containers. The capacity scheduler's step is the smallest container; the fair
    /// scheduler has a key for it.
    pub(crate) fn steps(&self) -> Result<Steps> {
        let number = |key: &str| self.configuration.get_i64(key).map_err(|error| wrong(&error));
        let positive = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok()).filter(|n| *n > 0);
        let minimum_mb = positive(number("yarn.scheduler.minimum-allocation-mb")?).unwrap_or(1024);
        let fair = self.configuration.get_trimmed("yarn.resourcemanager.scheduler.class");
        let fair = fair.is_some_and(|class| class.ends_with("FairScheduler"));
        let increment_mb = match positive(number("yarn.resource-types.memory-mb.increment-allocation")?) {
            Some(increment) if fair => increment,
            _ if fair => positive(number("yarn.scheduler.increment-allocation-mb")?).unwrap_or(1024),
            _ => minimum_mb,
        };
        let minimum_vcores = positive(number("yarn.scheduler.minimum-allocation-vcores")?).unwrap_or(1);
        Ok(Steps { minimum_mb, increment_mb, minimum_vcores: u32::try_from(minimum_vcores).unwrap_or(1) })
    }

    /// What the processes of an application need of Hadoop's configuration, as keys of ours.
    pub(crate) fn handed_on(&self) -> BTreeMap<String, String> {
        let wanted = |key: &str| {
            let lower = key.to_ascii_lowercase();
            HANDED_ON
                .iter()
                .any(|known| if known.ends_with('.') { key.starts_with(known) } else { is_or_extends(key, known) })
                && !SECRET.iter().any(|part| lower.contains(part))
        };
        let set = |key: &str| !matches!(self.configuration.origin(key), Some(Origin::Default) | None);
        let all = self.configuration.iter().filter(|(key, _)| wanted(key) && set(key));
        all.map(|(key, value)| (format!("{OVERRIDE}{key}"), value)).collect()
    }
}

/// `dfs.namenode.rpc-address` and `dfs.namenode.rpc-address.service.nn1`.
fn is_or_extends(key: &str, known: &str) -> bool {
    key.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || rest.starts_with('-'))
}

/// Principal and keytab, when the configuration names them.
fn login(configuration: &flink_graph::Configuration) -> Result<Option<KerberosLogin>> {
    let (principal, file) = (&options::KERBEROS_PRINCIPAL, &options::KERBEROS_KEYTAB);
    let text = |option| settings::get(configuration, option).map(|text: Option<String>| text.filter(|t| !t.is_empty()));
    match (text(principal)?, text(file)?) {
        (None, None) => Ok(None),
        (Some(principal), Some(file)) => Ok(Some(KerberosLogin::Keytab { principal, file: file.into() })),
        (None, _) => Err(ClientError::usage(format!("{} is set, and {} is not", file.key, principal.key))),
        (_, None) => Err(ClientError::usage(format!("{} is set, and {} is not", principal.key, file.key))),
    }
}

/// Hadoop's configuration is wrong.
pub(crate) fn wrong(error: &hadoop_rpc::configuration::ConfigurationError) -> ClientError {
    ClientError::usage("Hadoop's configuration cannot be used")
        .because(error)
        .hint("`flink-yarn doctor` looks at all of it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hadoop(text: &str) -> Hadoop {
        let mut configuration = hadoop_rpc::Configuration::new();
        configuration.add_text("core-site.xml", text).unwrap();
        Hadoop { configuration, overrides: Vec::new(), first_contact: Duration::from_secs(1), login: None }
    }

    fn property(name: &str, value: &str) -> String {
        format!("<property><name>{name}</name><value>{value}</value></property>")
    }

    #[test]
    fn what_is_handed_on_holds_no_secret_and_no_default() {
        let text = format!(
            "<configuration>{}</configuration>",
            [
                property("fs.defaultFS", "hdfs://nn:8020"),
                property("dfs.ha.namenodes.a", "x,y"),
                property("dfs.namenode.rpc-address.a.x", "h:1"),
                property("dfs.namenode.name.dir", "/data"),
                property("yarn.resourcemanager.scheduler.address", "${host}:8030"),
                property("host", "rm"),
                property("yarn.resourcemanager.keytab", "/etc/rm.keytab"),
                property("fs.s3a.secret.key", "swordfish"),
                property("dfs.client.some.password", "swordfish"),
            ]
            .concat()
        );
        let handed: Vec<_> =
            hadoop(&text).handed_on().into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(
            handed,
            [
                "flink.hadoop.dfs.ha.namenodes.a=x,y",
                "flink.hadoop.dfs.namenode.rpc-address.a.x=h:1",
                "flink.hadoop.fs.defaultFS=hdfs://nn:8020",
                "flink.hadoop.yarn.resourcemanager.scheduler.address=rm:8030",
            ]
        );
    }

    #[test]
    fn steps_depend_on_the_scheduler() {
        let steps = |text: &str| hadoop(&format!("<configuration>{text}</configuration>")).steps().unwrap();
        assert_eq!(steps(""), Steps { minimum_mb: 1024, increment_mb: 1024, minimum_vcores: 1 });
        let small = property("yarn.scheduler.minimum-allocation-mb", "64");
        assert_eq!(steps(&small).increment_mb, 64);
        let fair = property("yarn.resourcemanager.scheduler.class", "x.FairScheduler");
        let increment = property("yarn.scheduler.increment-allocation-mb", "256");
        let found = steps(&format!("{small}{fair}{increment}"));
        assert_eq!((found.minimum_mb, found.increment_mb), (64, 256));
    }

    #[test]
    fn overrides_make_a_cluster_without_files() {
        let mut configuration = flink_graph::Configuration::default();
        configuration.set("flink.hadoop.fs.defaultFS", "hdfs://nn:1");
        let hadoop = Hadoop::load(&configuration).unwrap();
        assert_eq!(hadoop.configuration.get("fs.defaultFS").as_deref(), Some("hdfs://nn:1"));
        assert!(!hadoop.is_secure());
    }
}
