use std::io::Read;
use std::os::fd::AsRawFd;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use flink_console::human;
use flink_graph::{Configuration, JobGraph};
use flink_protocol::program::{
    DRIVER_DESCRIPTOR_VARIABLE, DRIVER_FRAME_LIMIT, DriverRequest, DriverResponse, MODE_VARIABLE, OUTCOME_VARIABLE,
    PLAN_MODE, PlanOutcome, REQUEST_VARIABLE,
};
use flink_protocol::wire;
use flink_transport::{FrameError, FramedReader, FramedWriter};
use rustix::io::FdFlags;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::Program;
use super::crash::crashed;
use super::inherited::InheritedFile;
use super::output_relay::{StandardOutput, Target, pass_on};
use super::parent_death_signal::kill_with_parent;
use crate::error::{ClientError, Result};
use crate::output;

/// A plan that takes longer than this is worth a notice.
const NOTICE_AFTER: Duration = Duration::from_secs(10);

/// A graph beyond this could not be sent either.
const MAX_OUTCOME_BYTES: u64 = 512 << 20;

/// Time for the last words of a program that has ended; its own children may hold its streams open for ever.
const OUTPUT_DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// What a program wants.
#[derive(Debug)]
pub(crate) enum Planned {
    /// The program wants this to be run.
    Graph(Box<JobGraph>),
    /// The program has ended; it has no action.
    Ended,
}

/// Starts a program in plan mode.
#[derive(Debug)]
pub(crate) struct Planner {
    program: Program,
    configuration: Configuration,
    stdout: StandardOutput,
    timeout: Duration,
    tasks_run_here: bool,
}

impl Planner {
    pub(crate) fn new(
        program: Program,
        configuration: Configuration,
        stdout: StandardOutput,
        timeout: Duration,
    ) -> Self {
        Self { program, configuration, stdout, timeout, tasks_run_here: false }
    }

    /// Whether the tasks of the program's jobs run on this host.
    pub(crate) fn with_tasks_here(self, tasks_run_here: bool) -> Self {
        Self { tasks_run_here, ..self }
    }

    /// Finds out what the program's first action is; the program ends there.
    pub(crate) async fn plan(&self) -> Result<Planned> {
        let (request, outcome) =
            (InheritedFile::request(&self.configuration, self.tasks_run_here)?, InheritedFile::empty()?);
        let mut command = self.command(&request);
        let mut child = self.spawn(command.env(OUTCOME_VARIABLE, outcome.path()))?;
        let words = LastWords::of(&mut child, self.stdout);
        let ended = patiently(&self.program, self.timeout, child.wait()).await?.map_err(|error| lost(&error))?;
        self.judge(outcome, ended, &words.all().await)
    }

    /// Starts the program, whose jobs are then run for it one request after another.
    pub(crate) fn drive(&self) -> Result<DrivenProgram> {
        let failed = |error: &dyn std::error::Error| {
            ClientError::failed("cannot make a connection to the program").because(error)
        };
        let (ours, its) = std::os::unix::net::UnixStream::pair().map_err(|error| failed(&error))?;
        // Inherited by this one child: nothing else is started between here and the end of this function.
        rustix::io::fcntl_setfd(&its, FdFlags::empty()).map_err(|error| failed(&error))?;
        let request = InheritedFile::request(&self.configuration, self.tasks_run_here)?;
        let mut command = self.command(&request);
        let mut child = self.spawn(command.env(DRIVER_DESCRIPTOR_VARIABLE, its.as_raw_fd().to_string()))?;
        drop(its);
        ours.set_nonblocking(true).map_err(|error| failed(&error))?;
        let ours = tokio::net::UnixStream::from_std(ours).map_err(|error| failed(&error))?;
        let words = Some(LastWords::of(&mut child, self.stdout));
        let (program, timeout) = (self.program.clone(), self.timeout);
        Ok(DrivenProgram { program, timeout, asked: false, submitted: false, child, socket: Framed::new(ours), words })
    }

    /// Without standard input: a program that reads it would build another graph in each of its processes.
    fn command(&self, request: &InheritedFile) -> Command {
        let mut command = Command::new(&self.program.path);
        command
            .args(&self.program.arguments)
            .env(MODE_VARIABLE, PLAN_MODE)
            .env(REQUEST_VARIABLE, request.path())
            .env_remove(OUTCOME_VARIABLE)
            .env_remove(DRIVER_DESCRIPTOR_VARIABLE)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    fn spawn(&self, command: &mut Command) -> Result<Child> {
        kill_with_parent(command);
        command.spawn().map_err(|error| cannot_start(&self.program, &error))
    }

    fn judge(&self, outcome: InheritedFile, status: ExitStatus, last_words: &str) -> Result<Planned> {
        let name = self.program.name();
        match read_outcome(outcome)? {
            Some(PlanOutcome::Failed(reason)) => {
                Err(Program::error(format!("{name} could not make its job graph")).because_text(reason))
            }
            Some(PlanOutcome::Graph(graph)) if status.success() => Ok(Planned::Graph(graph)),
            None if status.success() => Ok(Planned::Ended),
            _ => Err(crashed(&self.program, status, last_words, false)),
        }
    }
}

/// The messages of a program and its client.
#[derive(Debug)]
struct Framed {
    reader: FramedReader<OwnedReadHalf>,
    writer: FramedWriter<OwnedWriteHalf>,
}

impl Framed {
    fn new(socket: tokio::net::UnixStream) -> Self {
        let (reader, writer) = socket.into_split();
        Self {
            reader: FramedReader::new(reader, DRIVER_FRAME_LIMIT),
            writer: FramedWriter::new(writer, DRIVER_FRAME_LIMIT),
        }
    }
}

/// What a program that is driven does next.
#[derive(Debug)]
pub(crate) enum ProgramEvent {
    /// It asks for something, and waits for the answer.
    Asks(DriverRequest),
    /// It has ended.
    Ended {
        /// Why it did not end well.
        crash: Option<ClientError>,
        /// What it printed last.
        last_words: String,
    },
}

/// A program in plan mode that goes on behind its actions.
#[derive(Debug)]
pub(crate) struct DrivenProgram {
    program: Program,
    timeout: Duration,
    asked: bool,
    submitted: bool,
    child: Child,
    socket: Framed,
    words: Option<LastWords>,
}

impl DrivenProgram {
    /// What the program does next. Its way to its first job is limited; what it does between its jobs is its own affair.
    pub(crate) async fn next(&mut self) -> Result<ProgramEvent> {
        if self.asked {
            return self.listen().await;
        }
        let (program, timeout) = (self.program.clone(), self.timeout);
        let first = patiently(&program, timeout, self.listen()).await??;
        self.asked = true;
        Ok(first)
    }

    /// Answers what was asked. A program that has gone meanwhile is noticed by [`Self::next`].
    pub(crate) async fn answer(&mut self, response: &DriverResponse) -> Result<()> {
        match self.socket.writer.write(response).await {
            Ok(()) | Err(FrameError::Io(_)) => Ok(()),
            Err(error) => Err(ClientError::failed("the job's result cannot be given to the program").because(&error)),
        }
    }

    async fn listen(&mut self) -> Result<ProgramEvent> {
        match self.socket.reader.read().await {
            Ok(Some(request)) => {
                self.submitted |= matches!(request, DriverRequest::SubmitJob(_));
                Ok(ProgramEvent::Asks(request))
            }
            Err(error @ FrameError::Wire(_)) => Err(unreadable_plan(&error)),
            Ok(None) | Err(_) => self.end().await,
        }
    }

    async fn end(&mut self) -> Result<ProgramEvent> {
        let status = self.child.wait().await.map_err(|error| lost(&error))?;
        let last_words = match self.words.take() {
            Some(words) => words.all().await,
            None => String::new(),
        };
        let crash = (!status.success()).then(|| crashed(&self.program, status, &last_words, self.submitted));
        Ok(ProgramEvent::Ended { crash, last_words })
    }
}

/// Passes on what a program prints until its streams are closed.
#[derive(Debug)]
struct LastWords([Option<JoinHandle<Vec<u8>>>; 2]);

impl LastWords {
    fn of(child: &mut Child, stdout: StandardOutput) -> Self {
        let target = if stdout == StandardOutput::Own { Target::Output } else { Target::Error };
        let output = child.stdout.take().map(|stream| tokio::spawn(pass_on(stream, target)));
        let error = child.stderr.take().map(|stream| tokio::spawn(pass_on(stream, Target::Error)));
        Self([output, error])
    }

    /// What the program wrote last to standard error; both streams have been passed on when this is known.
    async fn all(self) -> String {
        let mut last_words = Vec::new();
        for task in self.0.into_iter().flatten() {
            if let Ok(Ok(last)) = tokio::time::timeout(OUTPUT_DRAIN_TIMEOUT, task).await {
                last_words = last;
            }
        }
        String::from_utf8_lossy(&last_words).into_owned()
    }
}

/// Waits for a program's plan; says so when that takes long.
async fn patiently<T>(program: &Program, limit: Duration, work: impl Future<Output = T>) -> Result<T> {
    let mut work = pin!(work);
    if let Ok(done) = tokio::time::timeout(NOTICE_AFTER.min(limit), &mut work).await {
        return Ok(done);
    }
    if limit > NOTICE_AFTER {
        output::notice(format!("{} is still making its plan; Ctrl-C ends it", program.name()));
        if let Ok(done) = tokio::time::timeout(limit.saturating_sub(NOTICE_AFTER), &mut work).await {
            return Ok(done);
        }
    }
    let (name, limit) = (program.name(), human::duration(limit));
    Err(Program::error(format!("{name} made no plan within {limit} and was ended"))
        .hint("main must reach execute() without processing data; --plan-timeout allows more time"))
}

fn lost(error: &std::io::Error) -> ClientError {
    ClientError::failed("cannot wait for the program").because(error)
}

fn unreadable_plan(reason: &dyn std::error::Error) -> ClientError {
    Program::error("the program's plan cannot be read")
        .because(reason)
        .hint("build the program with the same version of the crate flink as this flink-yarn")
}

/// What the program has left; nothing where it had no action.
fn read_outcome(outcome: InheritedFile) -> Result<Option<PlanOutcome>> {
    let mut bytes = Vec::new();
    outcome.into_file().take(MAX_OUTCOME_BYTES + 1).read_to_end(&mut bytes).map_err(|error| unreadable_plan(&error))?;
    match bytes.len() as u64 {
        0 => Ok(None),
        1..=MAX_OUTCOME_BYTES => wire::decode(&bytes).map(Some).map_err(|error| unreadable_plan(&error)),
        _ => Err(Program::error(format!("the program's plan is larger than {MAX_OUTCOME_BYTES} bytes"))),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;

    fn script(text: &str, timeout: Duration) -> Planner {
        let arguments = ["-c".into(), text.into()].to_vec();
        let program = Program { path: "/bin/sh".into(), arguments };
        Planner::new(program, Configuration::default(), StandardOutput::Error, timeout)
    }

    async fn error_of(text: &str) -> ClientError {
        script(text, Duration::from_secs(60)).plan().await.unwrap_err()
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
        assert!(matches!(script("exit 0", Duration::from_secs(60)).plan().await.unwrap(), Planned::Ended));
    }

    #[tokio::test]
    async fn options_of_ours_behind_the_program_are_noticed() {
        let check = |arguments: &'static [&'static str], expect: bool| async move {
            let arguments = arguments.iter().map(Into::into).collect();
            let program = Program { path: "/bin/sh".into(), arguments };
            let planner =
                Planner::new(program, Configuration::default(), StandardOutput::Error, Duration::from_secs(60));
            let told = planner.plan().await.unwrap_err().to_string();
            assert_eq!(told.contains("options of flink-yarn stand before it"), expect, "{told}");
        };
        check(&["-c", "exit 2", "sh", "-p", "3"], true).await;
        check(&["-c", "exit 2", "sh", "-Dparallelism.default=3"], true).await;
        check(&["-c", "exit 2", "sh", "--input", "a"], false).await;
        check(&["-c", "exit 3", "sh", "-p", "3"], false).await;
    }

    #[tokio::test]
    async fn a_program_that_loops_is_ended() {
        let error = script("while :; do :; done", Duration::from_millis(100)).plan().await.unwrap_err();
        assert!(error.to_string().contains("made no plan within 100 ms"), "{error}");
    }

    #[tokio::test]
    async fn a_graph_that_cannot_be_made_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("outcome");
        std::fs::write(&file, wire::encode(&PlanOutcome::Failed("no sink".to_owned())).unwrap()).unwrap();
        let error = error_of(&format!("cp {} $FLINK_YARN_OUTCOME; exit 1", file.display())).await;
        assert!(error.to_string().contains("could not make its job graph\n  caused by: no sink"), "{error}");
    }
}
