use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use flink_graph::Configuration;
use flink_graph::configuration::options;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use super::keys::TaskManagerKeys;
use super::process::ProcessId;
use crate::cluster_directory::{ProcessRecord, create_private};
use crate::daemon::Ready;
use crate::error::{ClientError, Result};
use crate::output;
use crate::run::block_on;

/// Longest time that a process may take until it can be used.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// A line of readiness, or of a process's record, is shorter.
const MAX_LINE_LENGTH: u64 = 64 << 10;

/// Lines of a log that are shown when its process died.
const LOG_LINES: usize = 12;

/// Bytes from the end of a log that are looked at for these lines.
const LOG_TAIL: u64 = 16 << 10;

/// A TaskManager to be started: everything that its host needs to know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct TaskManagerLaunch {
    /// `taskmanager-0`, …
    pub(super) name: String,
    /// The cluster's folder, the same on all hosts.
    pub(super) folder: PathBuf,
    /// Its configuration.
    pub(super) configuration: Configuration,
    /// Its keys; none without TLS.
    pub(super) keys: Option<TaskManagerKeys>,
}

/// A process that is starting.
pub(super) struct Starting {
    pub(super) record: ProcessRecord,
    child: Child,
}

impl TaskManagerLaunch {
    /// Starts it on this host.
    pub(super) fn start(mut self) -> Result<Starting> {
        let own = self.folder.join(&self.name);
        create_private(&own)?;
        if let Some(keys) = &self.keys {
            let security = own.join("security");
            keys.save(&security)?;
            self.configuration.set(options::SECURITY_DIRECTORY.key, security.display().to_string());
        }
        start("taskmanager", &self.name, &self.folder, &self.configuration)
    }
}

/// Starts `flink-yarn COMMAND` as a process that outlives this one, with a configuration and a log of its own.
pub(super) fn start(command: &str, name: &str, folder: &Path, configuration: &Configuration) -> Result<Starting> {
    let own = folder.join(name);
    create_private(&own)?;
    let mut configuration = configuration.clone();
    if configuration.raw(options::IO_TMP_DIRS.key).is_none() {
        let files = own.join("tmp");
        create_private(&files)?;
        configuration.set(options::IO_TMP_DIRS.key, files.display().to_string());
    }
    write_configuration(&own.join("config.yaml"), &configuration)?;
    let log = folder.join("logs").join(format!("{name}.log"));
    let child = Command::new(own_program()?)
        .arg(command)
        .args(["--daemon", "--output", "json", "--config-dir"])
        .arg(&own)
        .arg("--log-file")
        .arg(&log)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(open_log(&log)?)
        .spawn()
        .map_err(|error| ClientError::failed(format!("cannot start the process {name}")).because(&error))?;
    let id = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(ProcessId::of);
    match id {
        Some(id) => Ok(Starting { record: ProcessRecord { name: name.to_owned(), host: None, id, log }, child }),
        None => Err(died(name, &log, "it ended at once")),
    }
}

impl Starting {
    /// Waits until the process says that it can be used.
    pub(super) async fn ready(&mut self) -> Result<Ready> {
        let Some(stdout) = self.child.stdout.take() else { return Err(self.died("it has no output")) };
        let mut line = String::new();
        let mut reader = BufReader::new(stdout).take(MAX_LINE_LENGTH);
        match tokio::time::timeout(READY_TIMEOUT, reader.read_line(&mut line)).await {
            Err(_) => Err(self.died(&format!("it was not ready within {} s", READY_TIMEOUT.as_secs()))),
            Ok(Ok(1..)) => serde_json::from_str(&line).map_err(|error| self.died(&error.to_string())),
            Ok(_) => Err(self.ended().await),
        }
    }

    /// Waits for the end of the process, which must not come while the cluster is being started.
    pub(super) async fn ended(&mut self) -> ClientError {
        let how = match tokio::time::timeout(READY_TIMEOUT, self.child.wait()).await {
            Ok(Ok(status)) => status.to_string(),
            _ => "it closed its output".to_owned(),
        };
        self.died(&how)
    }

    fn died(&self, how: &str) -> ClientError {
        died(&self.record.name, &self.record.log, how)
    }
}

fn died(name: &str, log: &Path, how: &str) -> ClientError {
    ClientError::failed(format!("{name} did not start: {how}"))
        .because_text(last_lines(log))
        .hint(format!("its log: {}", log.display()))
}

/// The path of this very binary, for the processes that it starts.
pub(super) fn own_program() -> Result<PathBuf> {
    std::env::current_exe().map_err(|error| ClientError::failed("cannot find the file of flink-yarn").because(&error))
}

/// The log of the run before is kept as `.1`.
fn open_log(path: &Path) -> Result<File> {
    let failed = |error: std::io::Error| {
        ClientError::failed(format!("cannot write the log {}", path.display()))
            .because(&error)
            .hint("is the disk full?")
    };
    if path.exists() {
        fs::rename(path, path.with_extension("log.1")).map_err(failed)?;
    }
    if let Some(folder) = path.parent() {
        create_private(folder)?;
    }
    fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(failed)
}

fn write_configuration(path: &Path, configuration: &Configuration) -> Result<()> {
    let failed = |error: &dyn std::error::Error| {
        ClientError::failed(format!("cannot write {}", path.display())).because(error).hint("is the disk full?")
    };
    let text = serde_norway::to_string(&configuration.0).map_err(|error| failed(&error))?;
    fs::write(path, text).map_err(|error| failed(&error))
}

/// The last lines of a log, however long it is.
fn last_lines(path: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        use std::io::{Seek, SeekFrom};
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(LOG_TAIL)))?;
        let mut bytes = Vec::new();
        file.take(LOG_TAIL).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

/// Starts a TaskManager on another host: the same command there, told by standard input, so that no key is seen among
/// the processes.
pub(super) async fn start_on(host: &str, launch: &TaskManagerLaunch) -> Result<ProcessRecord> {
    let told = serde_json::to_vec(launch)
        .map_err(|error| ClientError::failed("the launch has no JSON form").because(&error))?;
    let answer = ssh(host, &["standalone", "launch"], &told).await?;
    let mut record: ProcessRecord = serde_json::from_str(&answer).map_err(|error| {
        ClientError::failed(format!("host {host} gave no record of its process"))
            .because(&error)
            .because_text(answer.clone())
    })?;
    record.host = Some(host.to_owned());
    Ok(record)
}

/// Runs this command on another host and gives its standard output.
pub(super) async fn ssh(host: &str, arguments: &[&str], input: &[u8]) -> Result<String> {
    let program = own_program()?.display().to_string();
    let failed = |what: &str| {
        ClientError::failed(format!("`flink-yarn {}` on host {host} failed", arguments.join(" ")))
            .because_text(what.trim())
            .hint(format!("`ssh {host}` must work without a password, and {program} must be there under the same path"))
    };
    let mut child = Command::new("ssh")
        .args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "--", host, &quoted(&program)])
        .args(arguments.iter().map(|argument| quoted(argument)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(&format!("ssh: {error}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        // When ssh does not come through, its own words below say more.
        let _ = stdin.write_all(input).await;
    }
    let done = tokio::time::timeout(READY_TIMEOUT * 2, child.wait_with_output()).await;
    let done = done.map_err(|_| failed("no answer in time"))?.map_err(|error| failed(&error.to_string()))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    Err(failed(&String::from_utf8_lossy(&done.stderr)))
}

/// One word for the other host's shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// The other end of [`start_on`].
pub(super) fn for_another_host() -> Result<()> {
    const MAX_ANSWER_BYTES: u64 = 1 << 20;
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(MAX_ANSWER_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|error| ClientError::failed("cannot read what to launch").because(&error))?;
    let launch: TaskManagerLaunch = serde_json::from_slice(&bytes).map_err(|error| {
        ClientError::usage("this command is called by `standalone start` through ssh").because(&error)
    })?;
    let record = block_on(async {
        let mut starting = launch.start()?;
        starting.ready().await?;
        Ok(starting.record)
    })?;
    output::json(&record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_of_a_log_are_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        assert_eq!(last_lines(&path), "");
        let text: Vec<String> = (0..10_000).map(|line| format!("line {line}")).collect();
        fs::write(&path, text.join("\n")).unwrap();
        let shown = last_lines(&path);
        assert_eq!(shown.lines().count(), LOG_LINES);
        assert!(shown.ends_with("line 9999"));
    }

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
    }

    #[test]
    fn a_written_configuration_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut configuration = Configuration::default();
        configuration.set("pipeline.name", "a: 'b' #c").set("my.flag", "yes").set("my.number", "0123");
        write_configuration(&folder.path().join("config.yaml"), &configuration).unwrap();
        let options =
            crate::settings::ConfigurationOptions { property: Vec::new(), config_dir: Some(folder.path().to_owned()) };
        assert_eq!(options.load(|_| {}).unwrap(), configuration);
    }
}
