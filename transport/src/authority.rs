use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use flink_protocol::Epoch;
use flink_protocol::worker::TlsMaterial;

use crate::private_file::{self, PrivateFileError};
use crate::secret::Secret;
use crate::tls::{self, PeerIdentity, Role};

/// Clocks of a cluster's hosts may differ by this much.
const CLOCK_SKEW: Duration = Duration::from_hours(24);

/// A cluster's certificates end with the cluster; this is only so that a lost key does not live for ever.
const LIFETIME: Duration = Duration::from_hours(24 * 365 * 10);

const AUTHORITY_FILE: &str = "authority.pem";
const AUTHORITY_KEY_FILE: &str = "authority-key.pem";
const CLUSTER_FILE: &str = "cluster-id";

const END_OF_CERTIFICATE: &str = "-----END CERTIFICATE-----";

/// Certificates could not be made, stored or loaded.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file could not be used.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// Keys or certificates could not be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A name that cannot stand in a certificate.
    #[error("`{0}` cannot name a {1}: use 1 to 63 of the characters a-z, 0-9 and -")]
    Name(String, &'static str),
}

/// The root of trust of one cluster: whoever holds a certificate of it belongs to the cluster.
pub struct CertificateAuthority {
    cluster: String,
    certificate: String,
    key: KeyPair,
}

impl std::fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CertificateAuthority({}, ***)", self.cluster)
    }
}

impl CertificateAuthority {
    /// A new authority for a cluster.
    ///
    /// # Errors
    /// The id cannot stand in a certificate.
    pub fn new(cluster: &str) -> Result<Self, AuthorityError> {
        check_label(cluster, "cluster")?;
        let key = KeyPair::generate()?;
        let certificate = authority_params(cluster)?.self_signed(&key)?.pem();
        Ok(Self { cluster: cluster.to_owned(), certificate, key })
    }

    /// The cluster's id.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Makes key and certificate for a process. `name` tells processes of one role apart; `epoch` is that of the
    /// leader whose process it is, 0 where it outlives leaders.
    ///
    /// # Errors
    /// The name cannot stand in a certificate.
    pub fn issue(&self, role: Role, name: &str, epoch: Epoch) -> Result<TlsMaterial, AuthorityError> {
        check_label(name, "process")?;
        let identity = PeerIdentity { role, name: name.to_owned(), cluster: self.cluster.clone(), epoch };
        let mut params = CertificateParams::new(vec![tls::role_name(role), identity.to_dns_name()])?;
        params.distinguished_name = named(&format!("{role} {name}"));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        limit_validity(&mut params);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &Issuer::new(authority_params(&self.cluster)?, &self.key))?;
        Ok(TlsMaterial {
            authority: self.certificate.clone(),
            certificate: certificate.pem(),
            private_key: key.serialize_pem(),
        })
    }

    /// The authority with its key as one text, to be handed to another process of the cluster over a channel that keeps
    /// secrets.
    #[must_use]
    pub fn export(&self) -> Secret<String> {
        Secret::new(format!("{}\n{}{}", self.cluster, self.certificate, self.key.serialize_pem()))
    }

    /// The authority that was exported as this text.
    ///
    /// # Errors
    /// It is another text.
    pub fn import(text: &str) -> Result<Self, AuthorityError> {
        let (cluster, pems) = text.split_once('\n').unwrap_or((text, ""));
        check_label(cluster, "cluster")?;
        let end = pems.find(END_OF_CERTIFICATE).map_or(0, |at| at + END_OF_CERTIFICATE.len());
        let (certificate, key) = pems.split_at(end);
        let key = KeyPair::from_pem(key)?;
        Ok(Self { cluster: cluster.to_owned(), certificate: format!("{certificate}\n"), key })
    }

    /// Stores the authority, its key included, in a folder of mode 0700.
    ///
    /// # Errors
    /// It cannot be written, or others can look into the folder.
    pub fn save(&self, folder: &Path) -> Result<(), AuthorityError> {
        private_file::create_folder(folder)?;
        private_file::write(&folder.join(CLUSTER_FILE), self.cluster.as_bytes())?;
        private_file::write(&folder.join(AUTHORITY_FILE), self.certificate.as_bytes())?;
        Ok(private_file::write(&folder.join(AUTHORITY_KEY_FILE), self.key.serialize_pem().as_bytes())?)
    }

    /// Loads an authority that was stored with [`Self::save`].
    ///
    /// # Errors
    /// A file is missing, is damaged, or can be read by others.
    pub fn load(folder: &Path) -> Result<Self, AuthorityError> {
        let cluster = private_file::read(&folder.join(CLUSTER_FILE))?.trim().to_owned();
        check_label(&cluster, "cluster")?;
        let certificate = private_file::read(&folder.join(AUTHORITY_FILE))?;
        let key = KeyPair::from_pem(&private_file::read(&folder.join(AUTHORITY_KEY_FILE))?)?;
        Ok(Self { cluster, certificate, key })
    }
}

/// Stores key and certificate of a process in a security folder.
///
/// # Errors
/// They cannot be written, or others can look into the folder.
pub fn save_material(folder: &Path, role: Role, material: &TlsMaterial) -> Result<(), AuthorityError> {
    private_file::create_folder(folder)?;
    private_file::write(&folder.join(AUTHORITY_FILE), material.authority.as_bytes())?;
    private_file::write(&folder.join(format!("{role}.pem")), material.certificate.as_bytes())?;
    Ok(private_file::write(&folder.join(format!("{role}-key.pem")), material.private_key.as_bytes())?)
}

/// Loads key and certificate of a process from a security folder.
///
/// # Errors
/// A file is missing or can be read by others.
pub fn load_material(folder: &Path, role: Role) -> Result<TlsMaterial, AuthorityError> {
    Ok(TlsMaterial {
        authority: private_file::read(&folder.join(AUTHORITY_FILE))?,
        certificate: private_file::read(&folder.join(format!("{role}.pem")))?,
        private_key: private_file::read(&folder.join(format!("{role}-key.pem")))?,
    })
}

/// The authority's certificate is a function of the cluster's id and the key, so that a loaded authority signs as the
/// one that was stored without its certificate being parsed.
fn authority_params(cluster: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = named(&format!("flink-yarn cluster {cluster}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    limit_validity(&mut params);
    Ok(params)
}

fn named(text: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, text);
    name
}

fn limit_validity(params: &mut CertificateParams) {
    let now = SystemTime::now();
    params.not_before = now.checked_sub(CLOCK_SKEW).unwrap_or(SystemTime::UNIX_EPOCH).into();
    params.not_after = (now + LIFETIME).into();
}

fn check_label(text: &str, kind: &'static str) -> Result<(), AuthorityError> {
    let valid = (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    valid.then_some(()).ok_or_else(|| AuthorityError::Name(text.to_owned(), kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_stored_authority_is_the_same_authority() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        let authority = CertificateAuthority::new("c1").unwrap();
        authority.save(&keys).unwrap();
        let loaded = CertificateAuthority::load(&keys).unwrap();
        let material = loaded.issue(Role::Client, "alice", 0).unwrap();
        assert_eq!(material.authority, authority.certificate);
        save_material(&keys, Role::Client, &material).unwrap();
        assert_eq!(load_material(&keys, Role::Client).unwrap(), material);
        let key = keys.join("client-key.pem");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(load_material(&keys, Role::Client).unwrap_err().to_string().contains("chmod 600"));
    }

    #[test]
    fn an_exported_authority_is_the_same_authority() {
        let authority = CertificateAuthority::new("application-1-2").unwrap();
        let imported = CertificateAuthority::import(authority.export().expose()).unwrap();
        assert_eq!(imported.certificate.trim(), authority.certificate.trim());
        assert_eq!(imported.export().expose().trim(), authority.export().expose().trim());
        assert!(imported.issue(Role::TaskManager, "container-1", 0).is_ok());
        for bad in ["", "c1", "c1\nnothing", "c1\n-----END CERTIFICATE-----", "C 1\n"] {
            assert!(CertificateAuthority::import(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_that_do_not_fit_are_refused() {
        for bad in ["", "A", "a.b", "-a", &"a".repeat(64)] {
            assert!(CertificateAuthority::new(bad).is_err(), "{bad}");
        }
        assert!(!format!("{:?}", CertificateAuthority::new("c").unwrap()).contains("KEY"));
    }
}
