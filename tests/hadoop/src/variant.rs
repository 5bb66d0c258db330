use std::fmt;

/// A kind of cluster; `scripts/hadoop --help` says more on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Variant {
    /// No security; containers that use more memory than they asked for are killed.
    Plain,
    /// Strict where the others are lenient: virtual memory is checked as well, with the default ratio of 2.1, a NodeManager
    /// knows no containers when it is back, users and the queue `other` have no more than the queue's share, and containers
    /// may be larger than any node.
    Strict,
    /// The scheduler preempts.
    Preemption,
    /// 127.0.0.2 has the label `fast`, exclusively, which the queue `default` may use.
    Labels,
    /// YARN's own tokens roll every 31 seconds.
    Tokens,
    /// Kerberos; blocks are transferred encrypted, or with the protection of RPC where the servers ask for one.
    Kerberos(RpcProtection),
    /// Kerberos; HDFS tokens must be renewed every 30 seconds, and end after 150.
    KerberosTokens,
    /// Two NameNodes and two ResourceManagers.
    HighAvailability,
    /// The same with Kerberos.
    KerberosHighAvailability,
    /// With MapReduce.
    MapReduce,
}

/// What the servers of a secure cluster ask of RPC connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RpcProtection {
    /// All three are offered, and the client chooses.
    Any,
    /// Both sides prove who they are.
    Authentication,
    /// Calls cannot be changed on their way.
    Integrity,
    /// Nor read.
    Privacy,
}

impl RpcProtection {
    /// Those of servers that leave the client no choice.
    pub const EACH: [Self; 3] = [Self::Authentication, Self::Integrity, Self::Privacy];

    /// Its name in Hadoop's configuration; none where there are several.
    pub fn option(self) -> Option<&'static str> {
        match self {
            Self::Any => None,
            Self::Authentication => Some("authentication"),
            Self::Integrity => Some("integrity"),
            Self::Privacy => Some("privacy"),
        }
    }
}

impl Variant {
    /// Its name for `scripts/hadoop start --variant`.
    pub(crate) fn option(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Strict => "limits,memory,no-recovery",
            Self::Preemption => "preemption",
            Self::Labels => "labels",
            Self::Tokens => "tokens",
            Self::Kerberos(_) => "kerberos",
            Self::KerberosTokens => "kerberos,tokens",
            Self::HighAvailability => "ha",
            Self::KerberosHighAvailability => "ha,kerberos",
            Self::MapReduce => "mapreduce",
        }
    }

    pub(crate) fn protection(self) -> Option<&'static str> {
        match self {
            Self::Kerberos(protection) => protection.option(),
            _ => None,
        }
    }

    /// The name of the cluster that tests share.
    pub(crate) fn cluster(self) -> String {
        let protection = self.protection().map(|name| format!("-{name}")).unwrap_or_default();
        format!("test-{}{protection}", self.option().replace(',', "-"))
    }

    /// After how long it ends when no test uses it. To be idle for three minutes costs about as much as to be started
    /// again; what a few tests use one after another is needed no longer when they have ended.
    pub(crate) fn idle_seconds(self) -> &'static str {
        if self.protection().is_some() { "10" } else { "180" }
    }

    /// Whether Kerberos is on.
    pub fn is_secure(self) -> bool {
        matches!(self, Self::Kerberos(_) | Self::KerberosTokens | Self::KerberosHighAvailability)
    }

    /// Whether there are two masters of each kind.
    pub fn is_highly_available(self) -> bool {
        matches!(self, Self::HighAvailability | Self::KerberosHighAvailability)
    }
}

/// A daemon. The nodes of numbers 1 and 2 are the hosts 127.0.0.2 and 127.0.0.3, for YARN and for HDFS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // the names say all
pub enum Role {
    NameNode,
    /// Only where there is high availability.
    NameNode2,
    DataNode1,
    DataNode2,
    ResourceManager,
    /// Only where there is high availability.
    ResourceManager2,
    NodeManager1,
    NodeManager2,
}

impl Role {
    /// All daemons of a cluster.
    pub fn all(variant: Variant) -> Vec<Self> {
        let mut found = vec![
            Self::NameNode,
            Self::DataNode1,
            Self::DataNode2,
            Self::ResourceManager,
            Self::NodeManager1,
            Self::NodeManager2,
        ];
        if variant.is_highly_available() {
            found.extend([Self::NameNode2, Self::ResourceManager2]);
        }
        found
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}
