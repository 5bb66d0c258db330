use std::fmt;
use std::io;
use std::time::Duration;

use crate::configuration::ConfigurationError;

/// A server that is called: where it is, what it is, and which setting says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// What it is for: `ResourceManager`, `NameNode`, `NodeManager`.
    pub service: &'static str,
    /// Its host name or address, as configured.
    pub host: String,
    /// Its RPC port.
    pub port: u16,
    /// The configuration key the address comes from; empty when no key says it (a NodeManager's comes from YARN).
    pub key: String,
}

impl Endpoint {
    /// A server of which another server told.
    #[must_use]
    pub fn new(service: &'static str, host: impl Into<String>, port: u16) -> Self {
        Self { service, host: host.into(), port, key: String::new() }
    }

    /// `host:port`.
    #[must_use]
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}:{}", self.service, self.host, self.port)?;
        if self.key.is_empty() { Ok(()) } else { write!(f, " ({})", self.key) }
    }
}

/// An exception that a server threw.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{host}: {}: {message}", self.simple_class())]
pub struct RemoteException {
    /// The Java class, with its package.
    pub class: String,
    /// Its message, without the server's stack trace.
    pub message: String,
    /// `host:port` of the server.
    pub host: String,
}

impl RemoteException {
    /// The class without its package and without an enclosing class: `StandbyException`.
    #[must_use]
    pub fn simple_class(&self) -> &str {
        self.class.rsplit(['.', '$']).next().unwrap_or(&self.class)
    }
}

/// Why a server does not take us for whom we say we are, or we not it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticationError {
    /// The server offers only methods for which we have nothing to show.
    #[error("the server asks for one of [{offered}], and there is {held}; {advice}")]
    NothingToShow {
        /// What the server offers.
        offered: String,
        /// What we hold.
        held: String,
        /// What to do.
        advice: String,
    },
    /// Server and client have no quality of protection in common.
    #[error(
        "the server offers the protection {offered}, and hadoop.rpc.protection allows {allowed}; set it as the cluster's \
         core-site.xml does"
    )]
    NoProtectionInCommon {
        /// What the server offers.
        offered: String,
        /// What our configuration allows.
        allowed: String,
    },
    /// The server did not prove that it knows the token's password.
    #[error(
        "the server could not prove that it knows the password of the token: it may not be the server it claims to be"
    )]
    ServerNotProved,
    /// The server's Kerberos principal is not the configured one.
    #[error("the server is the Kerberos principal {found}, and {key} expects {expected}")]
    OtherPrincipal {
        /// The principal the server announces.
        found: String,
        /// The configured principal.
        expected: String,
        /// The configuration key.
        key: String,
    },
    /// Kerberos failed.
    #[error("Kerberos: {0}")]
    Kerberos(String),
    /// The server refused what we showed.
    #[error("refused with {class}: {message}{}", advice(class, message))]
    Refused {
        /// The Java class of the exception.
        class: String,
        /// Its message.
        message: String,
    },
    /// The exchange did not go as the protocol says.
    #[error("the SASL exchange went wrong: {0}")]
    Protocol(String),
}

fn advice(class: &str, message: &str) -> &'static str {
    if class.ends_with("InvalidToken") {
        "; the token has expired, was cancelled, or belongs to another cluster: get a new one"
    } else if message.contains("SIMPLE authentication is not enabled") {
        "; the cluster uses Kerberos: set hadoop.security.authentication to kerberos and run kinit"
    } else {
        ""
    }
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is missing something, or has a value that makes no sense.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// No connection could be made.
    #[error("cannot connect to the {endpoint}: {cause}{}", connect_advice(endpoint))]
    Connect {
        /// The server.
        endpoint: Endpoint,
        /// What the operating system or the resolver says.
        cause: String,
    },
    /// The other side speaks another protocol.
    #[error("what answers at the {endpoint} is not a Hadoop RPC server of version 9: {found}")]
    OtherProtocol {
        /// The server.
        endpoint: Endpoint,
        /// What it answered.
        found: String,
    },
    /// Authentication failed.
    #[error("cannot authenticate to the {endpoint}: {reason}")]
    Authentication {
        /// The server.
        endpoint: Endpoint,
        /// The reason.
        reason: Box<AuthenticationError>,
    },
    /// The server threw an exception.
    #[error(transparent)]
    Remote(#[from] RemoteException),
    /// The connection broke while the call was on its way: it may or may not have been carried out.
    #[error("the connection to the {endpoint} broke during {method}: {cause}")]
    Lost {
        /// The server.
        endpoint: Endpoint,
        /// The call.
        method: &'static str,
        /// What broke it.
        cause: String,
    },
    /// No answer came in time: the call may or may not have been carried out.
    #[error("the {endpoint} did not answer {method} within {} s", within.as_secs_f32())]
    TimedOut {
        /// The server.
        endpoint: Endpoint,
        /// The call.
        method: &'static str,
        /// How long was waited.
        within: Duration,
    },
    /// The answer could not be read.
    #[error("the {endpoint} answered {method} with something that cannot be read: {what}")]
    Malformed {
        /// The server.
        endpoint: Endpoint,
        /// The call.
        method: &'static str,
        /// What was wrong.
        what: String,
    },
    /// The request is larger than any server takes.
    #[error("the request {method} has {size} bytes, more than the {limit} of ipc.maximum.data.length")]
    TooLarge {
        /// The call.
        method: &'static str,
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// Every server of a highly available service was tried, several times.
    #[error("no {service} could be used within {} s: {tried}", within.as_secs_f32())]
    Unavailable {
        /// What was called.
        service: &'static str,
        /// How long was tried.
        within: Duration,
        /// The last failure of each server.
        tried: String,
    },
}

impl Error {
    /// The exception, when a server threw one.
    #[must_use]
    pub fn remote(&self) -> Option<&RemoteException> {
        match self {
            Self::Remote(exception) => Some(exception),
            _ => None,
        }
    }

    /// Whether a server threw an exception of this class, named without its package.
    #[must_use]
    pub fn is_remote(&self, simple_class: &str) -> bool {
        self.remote().is_some_and(|exception| exception.simple_class() == simple_class)
    }

    /// Whether a ResourceManager says that the ApplicationMaster's attempt is not, or not any more, one of its own.
    #[must_use]
    pub fn is_unknown_attempt(&self) -> bool {
        match self {
            Self::Remote(exception) => matches!(
                exception.simple_class(),
                "ApplicationAttemptNotFoundException" | "ApplicationNotFoundException" | "InvalidToken"
            ),
            Self::Authentication { reason, .. } => {
                matches!(&**reason, AuthenticationError::Refused { class, .. } if class.ends_with("InvalidToken"))
            }
            _ => false,
        }
    }

    /// Whether another try, later, may succeed without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Lost { .. } | Self::TimedOut { .. } | Self::Unavailable { .. } => true,
            Self::Remote(exception) => {
                matches!(exception.simple_class(), "StandbyException" | "RetriableException" | "SafeModeException")
            }
            _ => false,
        }
    }
}

impl From<io::Error> for AuthenticationError {
    fn from(error: io::Error) -> Self {
        Self::Protocol(error.to_string())
    }
}

fn connect_advice(endpoint: &Endpoint) -> String {
    if endpoint.key.is_empty() {
        String::new()
    } else {
        format!("; check {} and that the {} runs", endpoint.key, endpoint.service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_some_exceptions_say_that_the_attempt_is_not_known() {
        let remote = |class: &str| -> Error {
            RemoteException { class: format!("a.b.{class}"), message: String::new(), host: String::new() }.into()
        };
        let refused = |class: &str| Error::Authentication {
            endpoint: Endpoint::new("ResourceManager", "rm", 1),
            reason: Box::new(AuthenticationError::Refused { class: class.to_owned(), message: String::new() }),
        };
        for error in [
            remote("ApplicationAttemptNotFoundException"),
            remote("SecretManager$InvalidToken"),
            refused("a.SecretManager$InvalidToken"),
        ] {
            assert!(error.is_unknown_attempt(), "{error}");
        }
        for error in [remote("ApplicationMasterNotRegisteredException"), refused("a.AccessControlException")] {
            assert!(!error.is_unknown_attempt(), "{error}");
        }
    }
}
