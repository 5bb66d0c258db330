//! Tokens and secret keys, and the files in which Hadoop hands them to processes.
//!
//! A container finds its own in the file that HADOOP_TOKEN_FILE_LOCATION names:
//!
//! ```no_run
//! use hadoop_rpc::Credentials;
//!
//! let credentials = Credentials::from_environment()?.unwrap_or_default();
//! let token = credentials.token_of_kind("YARN_AM_RM_TOKEN");
//! # let _ = token;
//! # Ok::<(), hadoop_rpc::credentials::CredentialsError>(())
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::proto::security::TokenProto;
use crate::secret::Secret;

/// Lengths and texts as Java's `Writable`s write them.
pub(crate) mod writable;

/// The two formats of a token file.
mod format;

/// What a delegation token says about itself.
mod identifier;

pub use identifier::DelegationTokenIdentifier;

/// The variable that names a container's token file.
pub const TOKEN_FILE_VARIABLE: &str = "HADOOP_TOKEN_FILE_LOCATION";

/// A token file holds a few kilobytes; more than this is none.
pub const MAX_BYTES: usize = 16 << 20;

/// Tokens of this kind let an ApplicationMaster speak to the ResourceManager.
pub const AMRM_TOKEN_KIND: &str = "YARN_AM_RM_TOKEN";

/// Tokens of this kind let a client speak to the ResourceManager.
pub const RM_DELEGATION_TOKEN_KIND: &str = "RM_DELEGATION_TOKEN";

/// Tokens of this kind let a process speak to the NameNode.
pub const HDFS_DELEGATION_TOKEN_KIND: &str = "HDFS_DELEGATION_TOKEN";

/// Why credentials cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// The file cannot be opened or read.
    #[error("cannot read the token file {}: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        cause: String,
    },
    /// What was read is not a token file.
    #[error("not a Hadoop token file: {0}")]
    Malformed(String),
}

/// A token: who it is for, and the password that proves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Token {
    /// What the server knows the token by. Not secret, but only the server understands it.
    pub identifier: Vec<u8>,
    /// The password.
    pub password: Secret,
    /// What it is for: `HDFS_DELEGATION_TOKEN`, `YARN_AM_RM_TOKEN`, `NMToken`, …
    pub kind: String,
    /// The server it is for: `ip:port`, `ha-hdfs:nameservice`, or empty.
    pub service: String,
}

impl Token {
    /// The same token for another service.
    #[must_use]
    pub fn with_service(mut self, service: impl Into<String>) -> Self {
        self.service = service.into();
        self
    }

    pub(crate) fn to_proto(&self) -> TokenProto {
        TokenProto {
            identifier: self.identifier.clone(),
            password: self.password.expose().to_vec(),
            kind: self.kind.clone(),
            service: self.service.clone(),
        }
    }
}

impl From<TokenProto> for Token {
    fn from(token: TokenProto) -> Self {
        let TokenProto { identifier, password, kind, service } = token;
        Self { identifier, password: Secret::new(password), kind, service }
    }
}

/// Tokens by alias, and secret keys by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    tokens: BTreeMap<String, Token>,
    secrets: BTreeMap<String, Secret>,
}

impl Credentials {
    /// None at all.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Those that the environment hands to this process; none when it names no file.
    pub fn from_environment() -> Result<Option<Self>, CredentialsError> {
        match std::env::var_os(TOKEN_FILE_VARIABLE).filter(|path| !path.is_empty()) {
            Some(path) => Self::read(Path::new(&path)).map(Some),
            None => Ok(None),
        }
    }

    /// Reads a token file of either format.
    pub fn read(path: &Path) -> Result<Self, CredentialsError> {
        let unreadable =
            |error: io::Error| CredentialsError::Unreadable { path: path.to_owned(), cause: error.to_string() };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(unreadable)?;
        file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        Self::decode(&bytes)
    }

    /// Reads the content of a token file of either format.
    pub fn decode(bytes: &[u8]) -> Result<Self, CredentialsError> {
        format::decode(bytes)
    }

    /// The content of a token file, in the format that every version of Hadoop reads.
    #[must_use]
    pub fn encode(&self) -> Secret {
        Secret::new(format::encode(self))
    }

    /// Writes a token file that only this user can read, in place of the one that may be there: whoever reads it meanwhile
    /// sees the one or the other.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let new = path.with_file_name(name);
        let written = write_private(&new, self.encode().expose()).and_then(|()| fs::rename(&new, path));
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written
    }

    /// Adds a token, in place of those of its kind for its service.
    pub fn replace_token(&mut self, token: Token) {
        self.tokens.retain(|_, other| other.kind != token.kind || other.service != token.service);
        self.tokens.insert(token.service.clone(), token);
    }

    /// Adds a token, in place of one with the same alias.
    pub fn add_token(&mut self, alias: impl Into<String>, token: Token) {
        self.tokens.insert(alias.into(), token);
    }

    /// Adds a secret key, in place of one with the same name.
    pub fn add_secret(&mut self, name: impl Into<String>, secret: Secret) {
        self.secrets.insert(name.into(), secret);
    }

    /// A token by its alias.
    #[must_use]
    pub fn token(&self, alias: &str) -> Option<&Token> {
        self.tokens.get(alias)
    }

    /// A secret key by its name.
    #[must_use]
    pub fn secret(&self, name: &str) -> Option<&Secret> {
        self.secrets.get(name)
    }

    /// Tokens with their aliases, in the order of the aliases.
    pub fn tokens(&self) -> impl Iterator<Item = (&str, &Token)> {
        self.tokens.iter().map(|(alias, token)| (alias.as_str(), token))
    }

    /// Secret keys with their names, in the order of the names.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.secrets.iter().map(|(name, secret)| (name.as_str(), secret))
    }

    /// The first token of a kind.
    #[must_use]
    pub fn token_of_kind(&self, kind: &str) -> Option<&Token> {
        self.tokens.values().find(|token| token.kind == kind)
    }

    /// The token of a kind for a service.
    #[must_use]
    pub fn token_for(&self, kind: &str, service: &str) -> Option<&Token> {
        self.tokens.values().find(|token| token.kind == kind && token.service == service)
    }

    /// Takes every token of a kind out: what a child process must not have.
    pub fn remove_kind(&mut self, kind: &str) {
        self.tokens.retain(|_, token| token.kind != kind);
    }

    /// Adds everything of `other`, which wins where both have something.
    pub fn merge(&mut self, other: Self) {
        self.tokens.extend(other.tokens);
        self.secrets.extend(other.secrets);
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.secrets.is_empty()
    }
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // One that was left behind may have had other permissions.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_and_never_printed() {
        let token = |kind: &str, service: &str| Token {
            identifier: b"id".to_vec(),
            password: Secret::new(*b"hunter2"),
            kind: kind.to_owned(),
            service: service.to_owned(),
        };
        let mut credentials = Credentials::new();
        credentials.add_token("a", token("K", "s1"));
        credentials.add_token("b", token("K", "s2"));
        credentials.add_token("c", token(AMRM_TOKEN_KIND, ""));
        credentials.add_secret("key", Secret::new(*b"hunter2"));
        assert_eq!(credentials.token_for("K", "s2").unwrap().service, "s2");
        assert!(credentials.token_for("K", "s3").is_none());
        assert!(!format!("{credentials:?}").contains("hunter"), "{credentials:?}");
        credentials.remove_kind(AMRM_TOKEN_KIND);
        assert!(credentials.token_of_kind(AMRM_TOKEN_KIND).is_none() && credentials.tokens().count() == 2);
        assert!(!format!("{:?}", token("K", "").to_proto()).contains("hunter"));
    }

    #[test]
    fn a_newer_token_takes_the_place_of_the_older_one() {
        let token = |identifier: &[u8], service: &str| Token {
            identifier: identifier.to_vec(),
            kind: "K".to_owned(),
            service: service.to_owned(),
            ..Token::default()
        };
        let mut credentials = Credentials::new();
        credentials.add_token("any alias", token(b"1", "s"));
        credentials.add_token("other", token(b"2", "t"));
        credentials.replace_token(token(b"3", "s"));
        assert_eq!(credentials.tokens().map(|(alias, _)| alias).collect::<Vec<_>>(), ["other", "s"]);
        assert_eq!(credentials.token_for("K", "s").unwrap().identifier, b"3");
    }

    #[test]
    fn a_token_file_is_for_its_owner_alone() {
        let path = std::env::temp_dir().join(format!("hadoop-rpc-tokens-{}", std::process::id()));
        fs::write(&path, "old").unwrap();
        let mut credentials = Credentials::new();
        credentials.add_secret("key", Secret::new(*b"hunter2"));
        credentials.write(&path).unwrap();
        assert_eq!(Credentials::read(&path).unwrap(), credentials);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_file(&path).unwrap();
        let error = credentials.write(Path::new("/no/such/folder/file")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_missing_file_is_named() {
        let message = Credentials::read(Path::new("/no/such/file")).unwrap_err().to_string();
        assert!(message.contains("/no/such/file"), "{message}");
    }
}
