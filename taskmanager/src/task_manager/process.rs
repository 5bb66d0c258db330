use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::io::FdFlags;
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use flink_protocol::program::{CONTROL_DESCRIPTOR_VARIABLE, MODE_VARIABLE, WORKER_MODE};
use flink_protocol::worker::{FromWorker, ToWorker};
use flink_transport::{FrameError, FramedReader, FramedWriter};

use super::launcher::{SharedLog, WORKER_QUEUE, WorkerControl, WorkerEvents, WorkerLaunch, WorkerLauncher, lock};
use super::logs::LastWords;

/// Variables of the engine's own are not for programs: they may name keys.
const OWN_VARIABLES: &str = "FLINK_YARN_";

/// Time for a worker that closed its control connection to end by itself.
const END_GRACE: Duration = Duration::from_secs(5);

/// Time for the output of an ended worker to be read; a child of its own may hold the pipes open for ever.
const OUTPUT_GRACE: Duration = Duration::from_millis(500);

/// Pieces in which a worker's output is read.
const OUTPUT_PIECE: usize = 64 << 10;

/// Pauses after which a program file that is "busy" is tried again: another process is being started at this moment and
/// holds the file open until it has executed its own program.
const BUSY_TRIES: u32 = 20;
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// Starts workers as processes of their own.
#[derive(Debug)]
pub struct ProcessLauncher {
    frame_limit: u64,
    environment: Vec<(String, OsString)>,
}

impl ProcessLauncher {
    /// `frame_limit` is `rpc.framesize`.
    #[must_use]
    pub fn new(frame_limit: u64) -> Self {
        Self { frame_limit, environment: Vec::new() }
    }

    /// Sets a variable of the workers' environment, in place of the one that this process has.
    #[must_use]
    pub fn with_variable(mut self, name: impl Into<String>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }
}

impl WorkerLauncher for ProcessLauncher {
    fn launch(&mut self, launch: WorkerLaunch, events: WorkerEvents) -> Result<WorkerControl, String> {
        let (ours, theirs) = StdUnixStream::pair().map_err(|error| format!("cannot make a socket pair: {error}"))?;
        let child = spawn(&launch, &theirs, &self.environment)?;
        drop(theirs);
        let ours = ours.set_nonblocking(true).and_then(|()| UnixStream::from_std(ours));
        let stream = ours.map_err(|error| format!("cannot use the socket pair: {error}"))?;
        let pid = child.id().ok_or("the program ended at once")?;
        prefer_for_oom_kill(pid);
        let (messages, queue) = mpsc::channel(WORKER_QUEUE);
        let supervised = Supervised { child, pid, log: launch.log, events };
        tokio::spawn(supervised.run(stream, queue, ToWorker::Start(launch.start), self.frame_limit));
        Ok(WorkerControl { messages, kill: Box::new(move || kill_group(pid)), pid: Some(pid) })
    }
}

fn spawn(launch: &WorkerLaunch, control: &StdUnixStream, environment: &[(String, OsString)]) -> Result<Child, String> {
    let program = launch.program.as_ref().ok_or("the job has no program to start")?;
    let descriptor = control.as_raw_fd();
    let own =
        std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with(OWN_VARIABLES));
    let mut command = Command::new(program);
    for name in own {
        command.env_remove(name);
    }
    command
        .args(&launch.start.job.graph.arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .env(MODE_VARIABLE, WORKER_MODE)
        .env(CONTROL_DESCRIPTOR_VARIABLE, descriptor.to_string())
        .current_dir(&launch.start.directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let parent = rustix::process::getpid();
    // SAFETY: between fork and exec only async-signal-safe calls are made (fcntl, prctl, getppid), nothing is allocated,
    // and `descriptor` is open in the child because `control` lives until the spawn has returned.
    unsafe {
        command.pre_exec(move || prepare_child(BorrowedFd::borrow_raw(descriptor), parent));
    }
    spawn_when_not_busy(&mut command)
        .map_err(|error| format!("cannot start the program {}: {error}", launch.start.job.graph.name))
}

/// The control socket is the one descriptor that the worker inherits, and it dies with its TaskManager.
fn prepare_child(control: BorrowedFd<'_>, parent: Pid) -> io::Result<()> {
    rustix::io::fcntl_setfd(control, FdFlags::empty())?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // The TaskManager may have died before the signal was asked for.
    if rustix::process::getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
}

fn spawn_when_not_busy(command: &mut Command) -> io::Result<Child> {
    let mut tries = 0;
    loop {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES => {
                tries += 1;
                std::thread::sleep(BUSY_PAUSE);
            }
            outcome => return outcome,
        }
    }
}

/// When the host runs out of memory, the kernel ends a worker before anything else.
fn prefer_for_oom_kill(pid: u32) {
    let _ = std::fs::write(format!("/proc/{pid}/oom_score_adj"), "1000");
}

fn kill_group(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
    }
}

struct Supervised {
    child: Child,
    pid: u32,
    log: SharedLog,
    events: WorkerEvents,
}

impl Supervised {
    async fn run(mut self, stream: UnixStream, queue: mpsc::Receiver<ToWorker>, first: ToWorker, limit: u64) {
        let words = Arc::new(Mutex::new(LastWords::default()));
        let outputs = [
            self.child.stdout.take().map(|out| copy_output(out, Arc::clone(&self.log), None)),
            self.child.stderr.take().map(|err| copy_output(err, Arc::clone(&self.log), Some(Arc::clone(&words)))),
        ];
        let status = match self.converse(stream, queue, first, limit).await {
            Some(status) => status,
            None => self.wait_or_kill().await,
        };
        // What it has started itself ends with it.
        kill_group(self.pid);
        for output in outputs.into_iter().flatten() {
            let abort = output.abort_handle();
            if tokio::time::timeout(OUTPUT_GRACE, output).await.is_err() {
                abort.abort();
            }
        }
        let last = words.lock().unwrap_or_else(PoisonError::into_inner).text();
        self.events.exited(describe_end(&status, &last)).await;
    }

    /// Carries messages until the process has ended, or its control connection has (`None`).
    async fn converse(
        &mut self,
        stream: UnixStream,
        mut queue: mpsc::Receiver<ToWorker>,
        first: ToWorker,
        limit: u64,
    ) -> Option<io::Result<ExitStatus>> {
        let (read, write) = stream.into_split();
        let mut reader = FramedReader::new(read, limit);
        let mut writer = FramedWriter::new(write, limit);
        let (pid, events, child) = (self.pid, &self.events, &mut self.child);
        let sending = async {
            writer.write(&first).await?;
            drop(first);
            while let Some(message) = queue.recv().await {
                writer.write(&message).await?;
            }
            Ok::<(), FrameError>(())
        };
        let receiving = async {
            while let Some(message) = reader.read::<FromWorker>().await? {
                if !events.message(message).await {
                    break;
                }
            }
            Ok::<(), FrameError>(())
        };
        tokio::pin!(sending, receiving);
        let mut is_sending = true;
        loop {
            tokio::select! {
                status = child.wait() => {
                    // What it said before its end is still in the socket.
                    let _ = tokio::time::timeout(OUTPUT_GRACE, receiving).await;
                    return Some(status);
                }
                ended = &mut receiving => {
                    if let Err(error) = ended {
                        tracing::warn!(pid, %error, "the worker's control connection broke");
                    }
                    break;
                }
                ended = &mut sending, if is_sending => {
                    is_sending = false;
                    if let Err(error) = ended {
                        tracing::warn!(pid, %error, "a message to the worker was lost");
                        break;
                    }
                }
            }
        }
        None
    }

    async fn wait_or_kill(&mut self) -> io::Result<ExitStatus> {
        if let Ok(status) = tokio::time::timeout(END_GRACE, self.child.wait()).await {
            return status;
        }
        kill_group(self.pid);
        self.child.wait().await
    }
}

fn copy_output(
    mut output: impl AsyncRead + Send + Unpin + 'static,
    log: SharedLog,
    words: Option<Arc<Mutex<LastWords>>>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        // A full piece only for a worker that prints much.
        let mut buffer = Vec::with_capacity(OUTPUT_PIECE / 16);
        loop {
            buffer.clear();
            match output.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            lock(&log).write(&buffer);
            if let Some(words) = &words {
                words.lock().unwrap_or_else(PoisonError::into_inner).write(&buffer);
            }
            if buffer.len() == buffer.capacity() && buffer.capacity() < OUTPUT_PIECE {
                buffer = Vec::with_capacity(OUTPUT_PIECE);
            }
        }
    })
}

fn describe_end(status: &io::Result<ExitStatus>, last_words: &str) -> String {
    let end = match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("its process ended with exit status {code}"),
            (None, Some(signal)) => format!("its process was killed by signal {signal}{}", name_of(signal)),
            (None, None) => format!("its process ended: {status}"),
        },
        Err(error) => format!("its process cannot be waited for: {error}"),
    };
    if last_words.is_empty() { end } else { format!("{end}; the last that it printed:\n{last_words}") }
}

fn name_of(signal: i32) -> &'static str {
    match signal {
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        9 => " (SIGKILL: by a user, or by the kernel when the host ran out of memory)",
        11 => " (SIGSEGV)",
        13 => " (SIGPIPE)",
        15 => " (SIGTERM)",
        _ => "",
    }
}
