use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use flink_graph::{Configuration, JobGraph};
use flink_protocol::program::{
    MODE_VARIABLE, OUTCOME_VARIABLE, PLAN_MODE, PlanOutcome, ProgramRequest, REQUEST_VARIABLE,
};
use flink_protocol::wire;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::Program;
use super::replay::{Printed, StandardOutput, Target, pass_on};
use crate::error::{ClientError, Exit, Result};
use crate::{human, output};

/// A plan that takes longer than this is worth a notice.
const NOTICE_AFTER: Duration = Duration::from_secs(10);

/// A graph beyond this could not be sent either.
const LARGEST_OUTCOME: u64 = 512 << 20;

/// Time for the last words of a program that has ended; its own children may hold its streams open for ever.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What a run in plan mode came to.
#[derive(Debug)]
pub(crate) enum Planned {
    /// The program wants this to be run.
    Graph(Box<JobGraph>),
    /// The program has ended; it has no (more) action.
    Ended,
}

/// Runs a program in plan mode, once for each of its actions.
#[derive(Debug)]
pub(crate) struct Planner {
    program: Program,
    configuration: Configuration,
    stdout: StandardOutput,
    timeout: Duration,
    printed: [Printed; 2],
}

impl Planner {
    pub(crate) fn new(
        program: Program,
        configuration: Configuration,
        stdout: StandardOutput,
        timeout: Duration,
    ) -> Self {
        Self { program, configuration, stdout, timeout, printed: [Printed::default(); 2] }
    }

    /// Finds out what comes after the actions with these results.
    pub(crate) async fn plan(&mut self, earlier_results: &[Vec<u8>]) -> Result<Planned> {
        let folder = private_folder()?;
        let request = folder.path().join("request");
        let outcome = folder.path().join("outcome");
        self.write_request(&request, earlier_results)?;
        let child = self.spawn(&request, &outcome)?;
        let (status, last_words) = self.wait(child).await?;
        self.judge(&outcome, status, &last_words)
    }

    fn write_request(&self, path: &Path, earlier_results: &[Vec<u8>]) -> Result<()> {
        let request =
            ProgramRequest { configuration: self.configuration.clone(), earlier_results: earlier_results.to_vec() };
        let bytes =
            wire::encode(&request).map_err(|error| ClientError::failed("cannot encode the request").because(&error))?;
        fs::write(path, bytes).map_err(|error| {
            ClientError::failed(format!("cannot write {}", path.display()))
                .because(&error)
                .hint("is the disk full? TMPDIR names another folder")
        })
    }

    /// Without standard input: a program that reads it would build another graph in each of its runs.
    fn spawn(&self, request: &Path, outcome: &Path) -> Result<Child> {
        Command::new(&self.program.path)
            .args(&self.program.arguments)
            .env(MODE_VARIABLE, PLAN_MODE)
            .env(REQUEST_VARIABLE, request)
            .env(OUTCOME_VARIABLE, outcome)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| cannot_start(&self.program, &error))
    }

    /// Passes on what it prints until it has ended.
    async fn wait(&mut self, mut child: Child) -> Result<(ExitStatus, String)> {
        let target = if self.stdout == StandardOutput::Own { Target::Output } else { Target::Error };
        let [stdout_before, stderr_before] = self.printed;
        let stdout = child.stdout.take().map(|stream| tokio::spawn(pass_on(stream, target, stdout_before)));
        let stderr = child.stderr.take().map(|stream| tokio::spawn(pass_on(stream, Target::Error, stderr_before)));
        let status = self.wait_for_end(&mut child).await?;
        let mut last_words = Vec::new();
        for (index, task) in [stdout, stderr].into_iter().enumerate() {
            let Some(task) = task else { continue };
            if let Ok(Ok((printed, last))) = tokio::time::timeout(LAST_WORDS, task).await {
                self.printed[index] = printed;
                last_words = last;
            }
        }
        Ok((status, String::from_utf8_lossy(&last_words).into_owned()))
    }

    async fn wait_for_end(&self, child: &mut Child) -> Result<ExitStatus> {
        let failed = |error: std::io::Error| ClientError::failed("cannot wait for the program").because(&error);
        if let Ok(ended) = tokio::time::timeout(NOTICE_AFTER.min(self.timeout), child.wait()).await {
            return ended.map_err(failed);
        }
        if self.timeout > NOTICE_AFTER {
            output::notice(format!("{} is still making its plan; Ctrl-C ends it", self.program.name()));
            let rest = self.timeout.saturating_sub(NOTICE_AFTER);
            if let Ok(ended) = tokio::time::timeout(rest, child.wait()).await {
                return ended.map_err(failed);
            }
        }
        let _ = child.kill().await;
        Err(self.too_slow())
    }

    fn too_slow(&self) -> ClientError {
        let (name, limit) = (self.program.name(), human::duration(self.timeout));
        Program::error(format!("{name} made no plan within {limit} and was ended"))
            .hint("main must reach execute() without processing data; --plan-timeout allows more time")
    }

    fn judge(&self, outcome: &Path, status: ExitStatus, last_words: &str) -> Result<Planned> {
        let name = self.program.name();
        match read_outcome(outcome)? {
            Some(PlanOutcome::Failed(reason)) => {
                Err(Program::error(format!("{name} could not make its job graph")).because_text(reason))
            }
            Some(PlanOutcome::Graph(graph)) if status.success() => Ok(Planned::Graph(graph)),
            None if status.success() => Ok(Planned::Ended),
            _ => Err(crashed(&name, status, last_words)),
        }
    }
}

fn private_folder() -> Result<TempDir> {
    tempfile::Builder::new().prefix("flink-yarn-").tempdir().map_err(|error| {
        ClientError::failed("cannot make a temporary folder").because(&error).hint("TMPDIR names another place for it")
    })
}

fn read_outcome(path: &Path) -> Result<Option<PlanOutcome>> {
    let unreadable = |reason: &dyn std::error::Error| {
        Program::error("the program's plan cannot be read")
            .because(reason)
            .hint("build the program with the same version of the crate flink as this flink-yarn")
    };
    let mut bytes = Vec::new();
    match fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(&error)),
        Ok(file) => file.take(LARGEST_OUTCOME + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?,
    };
    if bytes.len() as u64 > LARGEST_OUTCOME {
        return Err(Program::error(format!("the program's plan is larger than {LARGEST_OUTCOME} bytes")));
    }
    wire::decode(&bytes).map(Some).map_err(|error| unreadable(&error))
}

/// Why a program cannot be started at all.
pub(crate) fn cannot_start(program: &Program, error: &std::io::Error) -> ClientError {
    const NOT_A_PROGRAM: i32 = 8;
    let message = format!("cannot start {}", program.path.display());
    let hint = match error.raw_os_error() {
        Some(NOT_A_PROGRAM) => "it is no program for this machine, or a script without `#!` in its first line",
        _ => "is it a program for this machine, and may it be executed here (mount option noexec)?",
    };
    Program::error(message).because(error).hint(hint)
}

fn crashed(name: &str, status: ExitStatus, last_words: &str) -> ClientError {
    const INTERRUPT: i32 = 2;
    const KILL: i32 = 9;
    if status.signal() == Some(INTERRUPT) {
        return ClientError::new(Exit::Interrupted, format!("{name} was interrupted while its plan was made"));
    }
    let how = match (status.signal(), status.code()) {
        (Some(KILL), _) => "was killed (signal 9; by the system when memory ran out?)".to_owned(),
        (Some(signal), _) => format!("was ended by signal {signal} ({})", signal_name(signal)),
        (None, Some(code)) => format!("ended with exit code {code}"),
        (None, None) => "ended".to_owned(),
    };
    Program::error(format!("{name} {how} while its plan was made"))
        .because_text(panic_text(last_words))
        .hint("no further job was submitted; what the program printed stands above")
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        1 => "hangup",
        4 => "illegal instruction",
        6 => "abort",
        7 => "bus error",
        8 => "arithmetic exception",
        11 => "segmentation fault",
        13 => "broken pipe",
        15 => "termination",
        25 => "file too large",
        _ => "unusual",
    }
}

/// The message of a panic in what a program printed last: the lines from `panicked at` to the note about backtraces.
fn panic_text(last_words: &str) -> String {
    let Some(start) = last_words.rfind("panicked at ") else { return String::new() };
    let lines = last_words[start..].lines().take_while(|line| !line.starts_with("note: "));
    lines.take(5).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_panic_is_cut_out_of_the_last_words() {
        let words =
            "hello\nthread 'main' (7) panicked at src/main.rs:3:5:\nno input\nnote: run with `RUST_BACKTRACE=1`\n";
        assert_eq!(panic_text(words), "panicked at src/main.rs:3:5:\nno input");
        assert_eq!(panic_text("all well"), "");
    }

    fn script(text: &str, timeout: Duration) -> Planner {
        let arguments = ["-c".into(), text.into()].to_vec();
        let program = Program { path: "/bin/sh".into(), arguments };
        Planner::new(program, Configuration::default(), StandardOutput::Error, timeout)
    }

    async fn error_of(text: &str) -> ClientError {
        script(text, Duration::from_secs(60)).plan(&[]).await.unwrap_err()
    }

    #[tokio::test]
    async fn every_end_of_a_program_has_its_message() {
        let table = [
            ("exit 3", "ended with exit code 3"),
            ("kill -SEGV $$", "signal 11 (segmentation fault)"),
            ("kill -KILL $$", "was killed (signal 9"),
            ("echo \"thread 'main' panicked at a.rs:1:1:\nboom\" >&2; exit 101", "caused by: panicked at a.rs:1:1:"),
            ("echo rubbish > $FLINK_YARN_OUTCOME", "plan cannot be read"),
        ];
        for (text, expect) in table {
            let error = error_of(text).await;
            assert!(error.to_string().contains(expect), "{text}: {error}");
            assert_eq!(error.exit(), Exit::Program);
        }
        assert!(matches!(script("exit 0", Duration::from_secs(60)).plan(&[]).await.unwrap(), Planned::Ended));
    }

    #[tokio::test]
    async fn a_program_that_loops_is_ended() {
        let error = script("while :; do :; done", Duration::from_millis(100)).plan(&[]).await.unwrap_err();
        assert!(error.to_string().contains("made no plan within 100 ms"), "{error}");
    }

    #[tokio::test]
    async fn a_graph_that_cannot_be_made_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("outcome");
        fs::write(&file, wire::encode(&PlanOutcome::Failed("no sink".to_owned())).unwrap()).unwrap();
        let error = error_of(&format!("cp {} $FLINK_YARN_OUTCOME; exit 1", file.display())).await;
        assert!(error.to_string().contains("could not make its job graph\n  caused by: no sink"), "{error}");
    }
}
