use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use flink_graph::{Artifact, Configuration, options};
use flink_protocol::deployment::{BINARY_FILE, JOB_IDS_VARIABLE, Leader};
use flink_transport::{CertificateAuthority, Role, authority};
use hadoop_rpc::Credentials;
use hadoop_rpc::credentials::{AMRM_TOKEN_KIND, TOKEN_FILE_VARIABLE};
use tokio::io::{AsyncReadExt, BufReader};
use tokio::process::Command;

use super::environment::StartError;

/// Folder of what the program's client needs; only this process's user can look into it.
const FOLDER: &str = "program-client";

/// Bytes of the program's last words that are kept for the application's diagnostics.
const LAST_WORDS: usize = 4 << 10;

/// Secrets of the engine's own begin so.
const OWN_SECRETS: &str = "flink-yarn.";

/// The `main` of a program, run beside the ApplicationMaster as any client on the container's host would: in a process of
/// its own, so that its crash is not ours.
#[derive(Debug)]
pub(super) struct ProgramRun<'a> {
    pub(super) application_id: &'a str,
    pub(super) program: &'a Artifact,
    pub(super) arguments: &'a [String],
    pub(super) configuration: &'a Configuration,
    pub(super) leader: &'a Leader,
    pub(super) authority: &'a CertificateAuthority,
    pub(super) credentials: &'a Credentials,
}

impl ProgramRun<'_> {
    /// Runs it to its end; gives its status and what it printed last on standard error.
    pub(super) async fn run(&self) -> Result<(ExitStatus, String), StartError> {
        let folder = std::env::current_dir()?.join(FOLDER);
        self.prepare(&folder)?;
        let mut command = Command::new(format!("./{BINARY_FILE}"));
        command
            .args(["run", "--target", "remote", "--jobmanager", &self.leader.rpc_address(), "--config-dir"])
            .arg(&folder)
            .arg(PathBuf::from(".").join(&self.program.name))
            .args(self.arguments)
            .env(JOB_IDS_VARIABLE, self.application_id)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        self.pass_tokens(&mut command, &folder)?;
        let mut child = command.spawn().map_err(|error| format!("cannot run ./{BINARY_FILE}: {error}"))?;
        let words = child.stderr.take().map(copy_words);
        let status = child.wait().await?;
        let words = match words {
            Some(words) => words.await.unwrap_or_default(),
            None => String::new(),
        };
        Ok((status, words))
    }

    /// Keys of a client, and the configuration.
    fn prepare(&self, folder: &Path) -> Result<(), StartError> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::DirBuilder::new().mode(0o700).create(folder)?;
        let keys = folder.join("keys");
        authority::save_material(&keys, Role::Client, &self.authority.issue(Role::Client, "program", 0)?)?;
        let mut configuration: BTreeMap<&str, String> =
            self.configuration.0.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        configuration.insert(options::SECURITY_DIRECTORY.key, keys.display().to_string());
        // Every JSON text is a YAML text.
        write_private(&folder.join("config.yaml"), &serde_json::to_vec_pretty(&configuration)?)?;
        Ok(())
    }

    /// The program gets the tokens for the file system: not the one of the ApplicationMaster, nor the engine's own secrets.
    fn pass_tokens(&self, command: &mut Command, folder: &Path) -> Result<(), StartError> {
        let tokens = for_programs(self.credentials);
        command.env_remove(TOKEN_FILE_VARIABLE);
        if !tokens.is_empty() {
            let file = folder.join("tokens");
            write_private(&file, tokens.encode().expose())?;
            command.env(TOKEN_FILE_VARIABLE, file);
        }
        Ok(())
    }
}

/// What of a container's credentials programs and TaskManagers may have.
pub(super) fn for_programs(credentials: &Credentials) -> Credentials {
    let mut passed = Credentials::new();
    for (alias, token) in credentials.tokens().filter(|(_, token)| token.kind != AMRM_TOKEN_KIND) {
        passed.add_token(alias, token.clone());
    }
    for (name, secret) in credentials.secrets().filter(|(name, _)| !name.starts_with(OWN_SECRETS)) {
        passed.add_secret(name, secret.clone());
    }
    passed
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
}

/// Copies what the program prints, and keeps the end of it.
fn copy_words(errors: tokio::process::ChildStderr) -> tokio::task::JoinHandle<String> {
    tokio::spawn(async move {
        let mut errors = BufReader::new(errors);
        let mut last = VecDeque::with_capacity(LAST_WORDS);
        let mut buffer = vec![0; LAST_WORDS];
        while let Ok(count) = errors.read(&mut buffer).await
            && count > 0
        {
            let _ = io::stderr().lock().write_all(&buffer[..count]);
            last.extend(&buffer[..count]);
            let surplus = last.len().saturating_sub(LAST_WORDS);
            last.drain(..surplus);
        }
        String::from_utf8_lossy(last.make_contiguous()).trim().to_owned()
    })
}

#[cfg(test)]
mod tests {
    use hadoop_rpc::{Secret, Token};

    use super::*;

    #[test]
    fn programs_get_no_secret_of_the_engine() {
        let token = |kind: &str| Token {
            identifier: Vec::new(),
            password: Secret::new(*b"p"),
            kind: kind.to_owned(),
            service: String::new(),
        };
        let mut credentials = Credentials::new();
        credentials.add_token("a", token(AMRM_TOKEN_KIND));
        credentials.add_token("b", token("HDFS_DELEGATION_TOKEN"));
        credentials.add_secret("flink-yarn.authority", Secret::new(*b"x"));
        credentials.add_secret("mine", Secret::new(*b"y"));
        let passed = for_programs(&credentials);
        assert_eq!(passed.tokens().map(|(alias, _)| alias).collect::<Vec<_>>(), ["b"]);
        assert_eq!(passed.secrets().map(|(name, _)| name).collect::<Vec<_>>(), ["mine"]);
    }
}
