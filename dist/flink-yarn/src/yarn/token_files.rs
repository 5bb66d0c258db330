use std::path::{Path, PathBuf};

use hadoop_rpc::Credentials;
use hadoop_rpc::credentials::{AMRM_TOKEN_KIND, TOKEN_FILE_VARIABLE};

use super::environment::StartError;

/// Hidden, as the user's files lie beside it.
const PROGRAMS_FILE: &str = ".flink-yarn-tokens";

/// Secrets of the engine's own begin so.
const OWN_SECRETS: &str = "flink-yarn.";

/// The files in which the processes of a container find their tokens: the one that YARN has made for this process, and one
/// for programs, with less in it. They are read again for each connection to a NameNode, so a newer token is in use once it
/// is written.
#[derive(Debug)]
pub(super) struct TokenFiles {
    own: PathBuf,
    programs: PathBuf,
    credentials: Credentials,
}

impl TokenFiles {
    /// Writes the file for programs from what the container was given.
    pub(super) fn new(credentials: Credentials) -> Result<Self, StartError> {
        let own = std::env::var_os(TOKEN_FILE_VARIABLE).ok_or_else(|| format!("{TOKEN_FILE_VARIABLE} is not set"))?;
        let files = Self { own: own.into(), programs: std::env::current_dir()?.join(PROGRAMS_FILE), credentials };
        files.write(&files.programs, &files.for_programs())?;
        Ok(files)
    }

    /// The file for programs, for `HADOOP_TOKEN_FILE_LOCATION` in their environment.
    pub(super) fn programs(&self) -> &Path {
        &self.programs
    }

    /// What of the container's credentials programs and TaskManagers may have: not the token of the ApplicationMaster, nor
    /// the engine's own secrets.
    pub(super) fn for_programs(&self) -> Credentials {
        for_programs(&self.credentials)
    }

    /// Has newer tokens used in place of those for the same services.
    pub(super) fn replace(&mut self, newer: &Credentials) -> Result<(), StartError> {
        for (_, token) in newer.tokens() {
            self.credentials.replace_token(token.clone());
        }
        self.write(&self.programs, &self.for_programs())?;
        self.write(&self.own, &self.credentials)
    }

    fn write(&self, path: &Path, credentials: &Credentials) -> Result<(), StartError> {
        credentials.write(path).map_err(|error| format!("cannot write {}: {error}", path.display()).into())
    }
}

fn for_programs(credentials: &Credentials) -> Credentials {
    let mut passed = Credentials::new();
    for (alias, token) in credentials.tokens().filter(|(_, token)| token.kind != AMRM_TOKEN_KIND) {
        passed.add_token(alias, token.clone());
    }
    for (name, secret) in credentials.secrets().filter(|(name, _)| !name.starts_with(OWN_SECRETS)) {
        passed.add_secret(name, secret.clone());
    }
    passed
}

#[cfg(test)]
mod tests {
    use hadoop_rpc::{Secret, Token};

    use super::*;

    fn token(kind: &str, service: &str, password: &str) -> Token {
        Token {
            identifier: Vec::new(),
            password: Secret::new(password.as_bytes()),
            kind: kind.to_owned(),
            service: service.to_owned(),
        }
    }

    #[test]
    fn programs_get_no_secret_of_the_engine() {
        let mut credentials = Credentials::new();
        credentials.add_token("a", token(AMRM_TOKEN_KIND, "", "p"));
        credentials.add_token("b", token("HDFS_DELEGATION_TOKEN", "", "p"));
        credentials.add_secret("flink-yarn.authority", Secret::new(*b"x"));
        credentials.add_secret("mine", Secret::new(*b"y"));
        let passed = for_programs(&credentials);
        assert_eq!(passed.tokens().map(|(alias, _)| alias).collect::<Vec<_>>(), ["b"]);
        assert_eq!(passed.secrets().map(|(name, _)| name).collect::<Vec<_>>(), ["mine"]);
    }

    #[test]
    fn newer_tokens_take_the_place_of_older_ones_in_both_files() {
        let folder = tempfile::tempdir().unwrap();
        let mut credentials = Credentials::new();
        credentials.add_token("am", token(AMRM_TOKEN_KIND, "", "am"));
        credentials.add_token("nn", token("HDFS_DELEGATION_TOKEN", "127.0.0.1:1", "old"));
        credentials.add_secret("flink-yarn.tls", Secret::new(*b"key"));
        let (own, programs) = (folder.path().join("own"), folder.path().join("programs"));
        let mut files = TokenFiles { own: own.clone(), programs: programs.clone(), credentials };
        let mut newer = Credentials::new();
        newer.add_token("x", token("HDFS_DELEGATION_TOKEN", "127.0.0.1:1", "new"));
        files.replace(&newer).unwrap();
        let password = |path: &Path| {
            let read = Credentials::read(path).unwrap();
            let found = read.token_for("HDFS_DELEGATION_TOKEN", "127.0.0.1:1").unwrap().password.clone();
            (found, read.tokens().count(), read.secrets().count())
        };
        assert_eq!(password(&own), (Secret::new(*b"new"), 2, 1));
        assert_eq!(password(&programs), (Secret::new(*b"new"), 1, 0));
    }
}
