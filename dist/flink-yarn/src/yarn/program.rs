use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use flink_graph::{Artifact, Configuration, options};
use flink_protocol::deployment::{BINARY_FILE, JOB_IDS_VARIABLE, Leader};
use flink_transport::{CertificateAuthority, Role, authority};
use flink_yarn_client::kill_with_parent;
use hadoop_rpc::credentials::TOKEN_FILE_VARIABLE;
use tokio::io::{AsyncReadExt, BufReader};
use tokio::process::Command;

use super::environment::StartError;

/// Folder of what the program's client needs; only this process's user can look into it.
const FOLDER: &str = "program-client";

/// Bytes of the program's last words that are kept for the application's diagnostics.
const STDERR_TAIL_BYTES: usize = 4 << 10;

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
    /// The file with the tokens that it may have.
    pub(super) tokens: &'a Path,
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
            .env(TOKEN_FILE_VARIABLE, self.tokens)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        kill_with_parent(&mut command);
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
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
}

/// Copies what the program prints, and keeps the end of it.
fn copy_words(errors: tokio::process::ChildStderr) -> tokio::task::JoinHandle<String> {
    tokio::spawn(async move {
        let mut errors = BufReader::new(errors);
        let mut last = VecDeque::with_capacity(STDERR_TAIL_BYTES);
        let mut buffer = vec![0; STDERR_TAIL_BYTES];
        while let Ok(count) = errors.read(&mut buffer).await
            && count > 0
        {
            let _ = io::stderr().lock().write_all(&buffer[..count]);
            last.extend(&buffer[..count]);
            let surplus = last.len().saturating_sub(STDERR_TAIL_BYTES);
            last.drain(..surplus);
        }
        String::from_utf8_lossy(last.make_contiguous()).trim().to_owned()
    })
}
