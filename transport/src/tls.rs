use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, version};
use serde::{Deserialize, Serialize};

use flink_protocol::Epoch;
use flink_protocol::worker::TlsMaterial;

/// The end of all names in a cluster's certificates. They are never resolved: a process is recognised by its role in
/// the cluster, wherever it runs.
const DOMAIN: &str = "flink-yarn.internal";

/// What a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A user's command.
    Client,
    /// The JobManager.
    JobManager,
    /// A TaskManager.
    TaskManager,
    /// A user's program, running tasks.
    Worker,
}

impl Role {
    const ALL: [Self; 4] = [Self::Client, Self::JobManager, Self::TaskManager, Self::Worker];

    fn label(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::JobManager => "jobmanager",
            Self::TaskManager => "taskmanager",
            Self::Worker => "worker",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl FromStr for Role {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|role| role.label() == text).ok_or(())
    }
}

/// Who a certificate was issued to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    /// What it is.
    pub role: Role,
    /// Which of its role.
    pub name: String,
    /// The cluster that it belongs to.
    pub cluster: String,
    /// Epoch of the leader whose process it is; 0 where it outlives leaders.
    pub epoch: Epoch,
}

impl PeerIdentity {
    /// Who this key material makes its holder.
    ///
    /// # Errors
    /// Its certificate is damaged, or names no process of a cluster.
    pub fn of(material: &TlsMaterial) -> Result<Self, TlsError> {
        peer_identity(Some(&certificates(&material.certificate, "certificate")?))
    }

    /// Whether a process with this certificate may go by the id `id`: one that is the certificate's name (in the characters
    /// that a certificate allows, see [`certificate_name`]), or begins with it and `@`.
    #[must_use]
    pub fn may_be(&self, id: &str) -> bool {
        let own = id.split_once('@').map_or(id, |(name, _)| name);
        certificate_name(own) == self.name
    }

    /// `<role>.<name>.e<epoch>.<cluster>.flink-yarn.internal`
    pub(crate) fn to_dns_name(&self) -> String {
        format!("{}.{}.e{}.{}.{DOMAIN}", self.role, self.name, self.epoch, self.cluster)
    }

    fn from_dns_name(text: &str) -> Option<Self> {
        let labels: Vec<&str> = text.strip_suffix(DOMAIN)?.strip_suffix('.')?.split('.').collect();
        let [role, name, epoch, cluster] = labels.as_slice() else { return None };
        Some(Self {
            role: role.parse().ok()?,
            name: (*name).to_owned(),
            epoch: epoch.strip_prefix('e')?.parse().ok()?,
            cluster: (*cluster).to_owned(),
        })
    }
}

impl fmt::Display for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of cluster {}", self.role, self.name, self.cluster)
    }
}

/// The name of a certificate for the process with this id: its small letters and digits, and `-` for everything else.
#[must_use]
pub fn certificate_name(id: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    id.chars().map(allowed).take(MAX_NAME_LENGTH).collect()
}

/// A part of a name in a certificate is not longer.
const MAX_NAME_LENGTH: usize = 63;

/// TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A text is not the PEM that it should be.
    #[error("the {what} is not valid PEM: {reason}")]
    Pem {
        /// Which one.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// Key and certificate cannot be used.
    #[error("the certificate cannot be used: {0}")]
    Unusable(String),
    /// The other side's certificate says nothing about who it is.
    #[error("the other side's certificate names no process of a flink-yarn cluster")]
    NoIdentity,
}

/// The name that the certificates of a role are valid for.
pub(crate) fn role_name(role: Role) -> String {
    format!("{role}.{DOMAIN}")
}

/// The server name to ask for when connecting to a process of this role: with it, a certificate of another role is
/// refused in the handshake already.
///
/// # Errors
/// None in practice; the type asks for it.
pub fn server_name(role: Role) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(role_name(role)).map_err(|error| TlsError::Unusable(error.to_string()))
}

/// For the listening side: only peers with a certificate of the cluster's authority are let in.
///
/// # Errors
/// The material is damaged.
pub fn server_config(material: &TlsMaterial) -> Result<Arc<ServerConfig>, TlsError> {
    let (chain, key) = own_certificate(material)?;
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(material)?), Arc::clone(&provider))
        .build()
        .map_err(unusable)?;
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&version::TLS13]);
    let mut config = builder
        .map_err(unusable)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    // Connections are few and long: tickets would only cost a message each.
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// For the connecting side: only servers with a certificate of the cluster's authority are spoken to.
///
/// # Errors
/// The material is damaged.
pub fn client_config(material: &TlsMaterial) -> Result<Arc<ClientConfig>, TlsError> {
    let (chain, key) = own_certificate(material)?;
    let provider = Arc::new(default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(material)?), Arc::clone(&provider))
        .build()
        .map_err(unusable)?;
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&version::TLS13]);
    let mut config = builder
        .map_err(unusable)?
        .with_webpki_verifier(verifier)
        .with_client_auth_cert(chain, key)
        .map_err(unusable)?;
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// Who the other side is, from the certificates of a finished handshake (`ConnectionCommon::peer_certificates`).
///
/// # Errors
/// There is none, or it names no process of a cluster.
pub fn peer_identity(certificates: Option<&[CertificateDer<'_>]>) -> Result<PeerIdentity, TlsError> {
    let certificate = certificates.and_then(<[_]>::first).ok_or(TlsError::NoIdentity)?;
    let parsed = webpki::EndEntityCert::try_from(certificate).map_err(|_| TlsError::NoIdentity)?;
    parsed.valid_dns_names().find_map(PeerIdentity::from_dns_name).ok_or(TlsError::NoIdentity)
}

fn own_certificate(material: &TlsMaterial) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let chain = certificates(&material.certificate, "certificate")?;
    // The reason is left out: it could quote the key.
    let key = PrivateKeyDer::from_pem_slice(material.private_key.as_bytes())
        .map_err(|_| TlsError::Pem { what: "private key", reason: "no private key in it".to_owned() })?;
    Ok((chain, key))
}

fn roots(material: &TlsMaterial) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(&material.authority, "certificate of the authority")? {
        store.add(certificate).map_err(unusable)?;
    }
    Ok(store)
}

fn certificates(pem: &str, what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let list = parsed.map_err(|error| TlsError::Pem { what, reason: error.to_string() })?;
    if list.is_empty() {
        return Err(TlsError::Pem { what, reason: "no certificate in it".to_owned() });
    }
    Ok(list)
}

fn unusable(error: impl fmt::Display) -> TlsError {
    TlsError::Unusable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::CertificateAuthority;

    #[test]
    fn a_certificate_says_who_it_is() {
        let authority = CertificateAuthority::new("c-1").unwrap();
        let material = authority.issue(Role::TaskManager, "tm-7", 3).unwrap();
        let chain = certificates(&material.certificate, "certificate").unwrap();
        let identity = peer_identity(Some(&chain)).unwrap();
        let expected = PeerIdentity { role: Role::TaskManager, name: "tm-7".into(), cluster: "c-1".into(), epoch: 3 };
        assert_eq!(identity, expected);
        assert!(matches!(peer_identity(None), Err(TlsError::NoIdentity)));
    }

    #[test]
    fn a_certificate_stands_for_its_own_ids() {
        let authority = CertificateAuthority::new("c-1").unwrap();
        let identity = |name: &str| PeerIdentity::of(&authority.issue(Role::TaskManager, name, 0).unwrap()).unwrap();
        let container = "container_e17_1410901177871_0001_01_000005";
        assert!(identity(&certificate_name(container)).may_be(container));
        let standalone = identity("taskmanager-0");
        assert!(standalone.may_be("taskmanager-0") && standalone.may_be("taskmanager-0@host:1-ab"));
        for other in ["taskmanager-1", "taskmanager-01", "host:1-ab", "taskmanager-1@taskmanager-0", "", container] {
            assert!(!standalone.may_be(other), "{other}");
        }
    }

    #[test]
    fn damaged_material_is_an_error_that_does_not_print_it() {
        let authority = CertificateAuthority::new("c").unwrap();
        let mut material = authority.issue(Role::Client, "a", 0).unwrap();
        material.private_key = "sesame".to_owned();
        let error = client_config(&material).unwrap_err().to_string();
        assert!(error.contains("private key") && !error.contains("sesame"), "{error}");
        material.authority = String::new();
        assert!(server_config(&material).is_err());
    }
}
