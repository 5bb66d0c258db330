//! Kerberos through GSSAPI. The library is loaded at run time, when Kerberos is first used: a program that is not set up
//! for Kerberos needs none.

use std::path::PathBuf;
use std::time::Duration;

/// The functions of libgssapi_krb5, as C declares them.
mod library;

/// Credentials, names and contexts that release what they hold.
mod gssapi;

/// From principals to names of users (`hadoop.security.auth_to_local`).
pub(crate) mod auth_to_local;

pub(crate) use gssapi::{Context, Credential, Name};

/// Longest wait for a Kerberos server: whoever waits at a terminal is told within ten seconds. The library's own time-outs come
/// to half a minute.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(7);

/// Why Kerberos could not do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KerberosError {
    /// The library is not there.
    #[error(
        "libgssapi_krb5.so.2 cannot be loaded ({0}); install it (Debian: libgssapi-krb5-2, Red Hat: krb5-libs) and use a \
         dynamically linked program"
    )]
    NoLibrary(String),
    /// The library says so.
    #[error("{what}: {why}")]
    Failed {
        /// What was tried.
        what: String,
        /// The library's words.
        why: String,
    },
    /// The Kerberos server says nothing.
    #[error(
        "the Kerberos server does not answer within {} s; check that it runs, and what krb5.conf (KRB5_CONFIG) says of it",
        within.as_secs()
    )]
    NoAnswer {
        /// How long was waited.
        within: Duration,
    },
    /// A rule of hadoop.security.auth_to_local is wrong, or none applies.
    #[error("{0}")]
    NoName(String),
}

/// Where a user's tickets come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KerberosLogin {
    /// The ticket cache that `kinit` filled.
    TicketCache,
    /// A keytab: tickets are obtained, and obtained again before they expire.
    Keytab {
        /// Whose keys are used.
        principal: String,
        /// The file.
        file: PathBuf,
    },
}
