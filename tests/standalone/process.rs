use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest time that a command may take, or that something takes to come true, before the test gives up on it.
const TIMEOUT: Duration = Duration::from_secs(180);

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Asserts the exit code and what standard error contains.
    #[track_caller]
    pub(crate) fn expect(self, code: i32, stderr: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        for part in stderr {
            assert!(self.stderr.contains(part), "`{part}` is missing in:\n{}", self.stderr);
        }
        self
    }
}

/// A process that runs; killed when it is dropped.
pub(crate) struct Running {
    child: Child,
    stdout: Stream,
    stderr: Stream,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::spawn(command.stdin(Stdio::null()))
    }

    /// Starts a command at a terminal, which is 80 columns wide; what it writes there is standard output.
    #[allow(dead_code)] // shared with the tests on YARN, which have no terminal
    pub(crate) fn at_terminal(command: &Command) -> Self {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<String> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
        let mut script = Command::new("script");
        let line = format!("stty cols 80 rows 24; exec {}", words.join(" "));
        script.args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"]);
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => script.env(key, value),
                None => script.env_remove(key),
            };
        }
        script.env("SHELL", "/bin/sh").current_dir(command.get_current_dir().unwrap());
        Self::spawn(script.stdin(Stdio::piped()))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdout, stderr) = (Stream::of(child.stdout.take().unwrap()), Stream::of(child.stderr.take().unwrap()));
        Self { child, stdout, stderr }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Types at its terminal.
    #[allow(dead_code)] // shared with the tests on YARN, which have no terminal
    pub(crate) fn types(&mut self, keys: &str) {
        self.child.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// What it has written to standard output so far.
    #[allow(dead_code)] // shared with the tests on YARN, which do not look at it
    pub(crate) fn shown(&self) -> String {
        self.stdout.so_far()
    }

    /// What it has written to standard error so far.
    pub(crate) fn said(&self) -> String {
        self.stderr.so_far()
    }

    /// Whether it has ended.
    #[allow(dead_code)] // shared with the tests on YARN, which use it
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end, which must come.
    #[track_caller]
    pub(crate) fn wait(mut self) -> Ended {
        let until = Instant::now() + TIMEOUT;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > until {
                let _ = self.child.kill();
                let shown = [&mut self.stdout, &mut self.stderr].map(Stream::whole);
                panic!("a command did not end within {TIMEOUT:?}; it has said:\n{}{}", shown[0], shown[1]);
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let [stdout, stderr] = [&mut self.stdout, &mut self.stderr].map(Stream::whole);
        Ended { code: status.code(), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("a command that runs has said:\n{}{}", self.shown(), self.said());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process writes, read as it comes.
struct Stream {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Stream {
    fn of(mut stream: impl Read + Send + 'static) -> Self {
        let bytes = Arc::<Mutex<Vec<u8>>>::default();
        let into = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut piece) {
                into.lock().unwrap().extend_from_slice(&piece[..count]);
            }
        });
        Self { bytes, reader: Some(reader) }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    fn whole(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.so_far()
    }
}

/// Sends a signal, `KILL` for example.
#[track_caller]
pub(crate) fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(sent.success(), "process {pid} is not there");
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + TIMEOUT;
    while !condition() {
        assert!(Instant::now() < until, "timed out: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The processes that a process has started and that have not ended.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

/// Of `pid (name) state parent …`; a zombie has ended.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut words = stat.rsplit(") ").next()?.split(' ');
    let state = words.next()?;
    words.next()?.parse().ok().filter(|_| state != "Z")
}

/// What a process holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holdings {
    pub(crate) resident_kb: u64,
    pub(crate) threads: u64,
    pub(crate) descriptors: u64,
}

impl Holdings {
    pub(crate) fn of(pid: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim_start_matches(':').split_whitespace().next().unwrap().parse().unwrap()
        };
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as u64;
        Self { resident_kb: number("VmRSS"), threads: number("Threads"), descriptors }
    }
}
