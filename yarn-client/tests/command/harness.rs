use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Set for a process that is to be `flink-yarn`.
pub(crate) const COMMAND_VARIABLE: &str = "FLINK_YARN_TEST_COMMAND";

/// A test and its name.
pub(crate) type Test = (&'static str, fn());

/// Runs the tests whose names contain the first argument, as the usual harness does.
pub(crate) fn run(tests: &[Test]) -> ExitCode {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if std::env::args().any(|argument| argument == "--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let mut failed = 0;
    for (name, test) in tests.iter().filter(|(name, _)| filter.as_ref().is_none_or(|part| name.contains(part))) {
        let result = std::panic::catch_unwind(test);
        println!("test {name} ... {}", if result.is_ok() { "ok" } else { "FAILED" });
        failed += u8::from(result.is_err());
    }
    ExitCode::from(failed)
}

/// What a command came to.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Asserts exit code and a part of standard error.
    pub(crate) fn expect(self, code: i32, stderr: &str) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        assert!(self.stderr.contains(stderr), "expected `{stderr}` in: {}", self.stderr);
        self
    }

    /// Asserts standard output.
    pub(crate) fn prints(self, stdout: &str) -> Self {
        assert_eq!(self.stdout, stdout, "stderr: {}", self.stderr);
        self
    }
}

/// `flink-yarn` with the state of a cluster in `folder`, and nothing of the user's own settings.
pub(crate) fn command(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(words)
        .env(COMMAND_VARIABLE, "1")
        .env("XDG_STATE_HOME", folder)
        .env_remove("FLINK_CONF_DIR")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs a command to its end.
pub(crate) fn flink_yarn(folder: &Path, words: &[&str]) -> Ended {
    end(command(folder, words).spawn().unwrap())
}

/// Waits for the end of a command.
pub(crate) fn end(child: Child) -> Ended {
    let done = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: done.status.code(), stdout: text(done.stdout), stderr: text(done.stderr) }
}

/// This binary as the user's program.
pub(crate) fn program() -> String {
    std::env::current_exe().unwrap().display().to_string()
}

/// Waits for something that another process does.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(120);
    while !condition() {
        assert!(Instant::now() < until, "timed out: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process has started another one.
pub(crate) fn has_children(process: &Child) -> bool {
    let parent = process.id().to_string();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let mut stats = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    // `pid (name) state parent …`
    stats.any(|stat| stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)) == Some(&parent))
}
