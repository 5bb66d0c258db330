use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep};

use flink_graph::configuration::MemorySize;
use flink_graph::{Artifact, Configuration, ConfigurationError, JobId, TaskManagerId, options};
use flink_protocol::overview::LogPiece;
use flink_protocol::program::LOG_VARIABLE;
use flink_protocol::task_manager::{DelegationTokens, JobInformation, ToTaskManager};
use flink_protocol::worker::{TlsMaterial, ToWorker, WorkerStart};
use flink_protocol::{Envelope, Epoch};

use super::artifacts::ArtifactCache;
use super::config::TaskManagerConfig;
use super::connector::{Connector, JobManagerLink};
use super::event::{Action, Event, WorkerId};
use super::folders::{FolderError, Folders};
use super::launcher::{SharedLog, WorkerControl, WorkerEvents, WorkerLaunch, WorkerLauncher, lock};
use super::links::{Links, spawn_connecting};
use super::logs::{self, BoundedLog};
use super::settings::Settings;
use super::state_machine::TaskManagerCore;
use super::statistics::{self, Meter};

/// Events of workers that may wait; a worker that says more waits itself.
const EVENT_QUEUE: usize = 256;

/// Logs of ended jobs that are kept.
const KEPT_LOGS: usize = 16;

/// How often the memory of worker processes is looked at.
const MEMORY_WATCH: Duration = Duration::from_millis(200);

/// Longest wait for the last messages to leave, and for killed workers to be gone.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Puts a Hadoop token file where this process and its workers read tokens for file systems.
pub type TokenStore = Box<dyn FnMut(&[u8]) -> Result<(), String> + Send>;

/// A TaskManager came to its end.
#[derive(Debug, thiserror::Error)]
pub enum TaskManagerError {
    /// A setting is wrong.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// It has no place for its files.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Nothing can be stored.
    #[error("cannot prepare the folder for programs: {0}")]
    Storage(#[from] std::io::Error),
    /// It is of no use any more.
    #[error("{0}")]
    Terminated(String),
}

/// A TaskManager that is ready to run.
pub struct TaskManagerProcess {
    configuration: Configuration,
    id: TaskManagerId,
    connector: Box<dyn Connector>,
    launcher: Box<dyn WorkerLauncher>,
    worker_tls: Option<TlsMaterial>,
    log_file: Option<PathBuf>,
    worker_logs: Option<PathBuf>,
    programs: Vec<(Artifact, PathBuf)>,
    tokens: Option<TokenStore>,
    registered: Option<Box<dyn FnOnce() + Send>>,
}

impl std::fmt::Debug for TaskManagerProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TaskManagerProcess({})", self.id)
    }
}

impl TaskManagerProcess {
    /// A TaskManager under this configuration.
    pub fn new(
        configuration: Configuration,
        id: TaskManagerId,
        connector: impl Connector,
        launcher: impl WorkerLauncher + 'static,
    ) -> Self {
        let (connector, launcher) = (Box::new(connector), Box::new(launcher));
        Self {
            configuration,
            id,
            connector,
            launcher,
            worker_tls: None,
            log_file: None,
            worker_logs: None,
            programs: Vec::new(),
            tokens: None,
            registered: None,
        }
    }

    /// Says what to do when a JobManager has accepted it for the first time: tasks can come from then on.
    #[must_use]
    pub fn when_registered(mut self, tell: impl FnOnce() + Send + 'static) -> Self {
        self.registered = Some(Box::new(tell));
        self
    }

    /// Gives the workers keys for their data plane.
    #[must_use]
    pub fn with_worker_tls(mut self, material: Option<TlsMaterial>) -> Self {
        self.worker_tls = material;
        self
    }

    /// Names the file of this process's own log, for `RequestLog`.
    #[must_use]
    pub fn with_log_file(mut self, file: Option<PathBuf>) -> Self {
        self.log_file = file;
        self
    }

    /// Names the folder for what workers print, where it stays when this process ends; without it, it is kept under
    /// `io.tmp.dirs`, and goes with this process.
    #[must_use]
    pub fn with_worker_logs(mut self, folder: Option<PathBuf>) -> Self {
        self.worker_logs = folder;
        self
    }

    /// Names programs that are here as files already, and need not be fetched.
    #[must_use]
    pub fn with_programs(mut self, programs: Vec<(Artifact, PathBuf)>) -> Self {
        self.programs = programs;
        self
    }

    /// Says what to do with newer tokens for file systems; without it they are of no use here, and left alone.
    #[must_use]
    pub fn with_token_store(mut self, store: TokenStore) -> Self {
        self.tokens = Some(store);
        self
    }

    /// Runs until `shutdown` gives a reason to end, the JobManager refuses it, or none can be found.
    ///
    /// To be called on a runtime whose threads live as long as the TaskManager (best a current-thread runtime): worker
    /// processes are tied to the thread that started them.
    ///
    /// # Errors
    /// Why it could not start or had to end.
    pub async fn run(self, shutdown: impl Future<Output = String>) -> Result<(), TaskManagerError> {
        let links = spawn_connecting(self.connector, self.configuration.get(&options::REGISTRATION_INITIAL_BACKOFF)?);
        let settings = Settings::read(&self.configuration, self.worker_tls, self.log_file)?;
        let folders = Folders::create(&Folders::configured(&self.configuration)?, &self.id.0)?;
        let artifacts = ArtifactCache::open(&folders.first().join("artifacts"))?;
        for (program, file) in &self.programs {
            artifacts.adopt(&program.sha256, file).map_err(std::io::Error::other)?;
        }
        let worker_logs = self.worker_logs.unwrap_or_else(|| folders.first().join("logs"));
        let hardware = statistics::hardware(settings.memory);
        let host = settings.registered_host.clone();
        let config = TaskManagerConfig::from_configuration(&self.configuration, self.id, host, hardware)?;
        let (sender, events) = mpsc::channel(EVENT_QUEUE);
        let shell = Shell {
            core: TaskManagerCore::new(config, Duration::ZERO),
            started: Instant::now(),
            link: None,
            links,
            last_error: None,
            events: sender,
            pending: VecDeque::new(),
            workers: BTreeMap::new(),
            logs: VecDeque::new(),
            worker_logs,
            artifacts,
            meter: Meter::new(folders.first()),
            folders,
            launcher: self.launcher,
            tokens: self.tokens,
            registered: self.registered,
            settings,
            end: None,
        };
        shell.run(events, shutdown).await
    }
}

/// A worker that was started.
#[derive(Debug)]
struct WorkerHandle {
    job: JobId,
    control: WorkerControl,
    directory: PathBuf,
    killed_because: Option<String>,
}

/// What ended the wait for something to happen.
enum Wake {
    FromLink(Option<Envelope<ToTaskManager>>),
    Opened(Option<Result<JobManagerLink, String>>),
    Event(Option<Event>),
    ShutDown(String),
    WatchMemory,
    Tick,
}

struct Shell {
    core: TaskManagerCore,
    started: Instant,
    link: Option<JobManagerLink>,
    links: Links,
    last_error: Option<String>,
    events: mpsc::Sender<Event>,
    /// Events that actions of the shell itself have caused.
    pending: VecDeque<Event>,
    workers: BTreeMap<WorkerId, WorkerHandle>,
    logs: VecDeque<(JobId, SharedLog)>,
    worker_logs: PathBuf,
    artifacts: ArtifactCache,
    folders: Folders,
    meter: Meter,
    launcher: Box<dyn WorkerLauncher>,
    tokens: Option<TokenStore>,
    registered: Option<Box<dyn FnOnce() + Send>>,
    settings: Settings,
    end: Option<(String, bool)>,
}

/// What workers have started themselves ends with them, also when this process is told to end at once.
impl Drop for Shell {
    fn drop(&mut self) {
        self.workers.values().for_each(|worker| (worker.control.kill)());
    }
}

impl Shell {
    async fn run(
        mut self,
        mut events: mpsc::Receiver<Event>,
        shutdown: impl Future<Output = String>,
    ) -> Result<(), TaskManagerError> {
        tokio::pin!(shutdown);
        let mut told_to_end = false;
        let timer = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(timer);
        let mut memory = tokio::time::interval(MEMORY_WATCH);
        memory.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.want_link();
        while self.end.is_none() {
            self.set_timer(timer.as_mut());
            let wake = self.wait(&mut events, shutdown.as_mut(), told_to_end, timer.as_mut(), &mut memory).await;
            told_to_end |= matches!(wake, Wake::ShutDown(_));
            self.wake(wake);
        }
        self.finish(events).await
    }

    fn set_timer(&self, timer: std::pin::Pin<&mut Sleep>) {
        let deadline = self.core.next_deadline().unwrap_or(Duration::from_hours(1));
        let at = self.started + deadline;
        if timer.deadline() != at {
            timer.reset(at);
        }
    }

    async fn wait(
        &mut self,
        events: &mut mpsc::Receiver<Event>,
        shutdown: std::pin::Pin<&mut impl Future<Output = String>>,
        told_to_end: bool,
        timer: std::pin::Pin<&mut Sleep>,
        memory: &mut Interval,
    ) -> Wake {
        let has_processes = self.workers.values().any(|worker| worker.control.pid.is_some());
        let has_link = self.link.is_some();
        let incoming = async {
            match &mut self.link {
                Some(link) => link.incoming.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            message = incoming => Wake::FromLink(message),
            link = self.links.opened.recv(), if !has_link => Wake::Opened(link),
            event = events.recv() => Wake::Event(event),
            reason = shutdown, if !told_to_end => Wake::ShutDown(reason),
            _ = memory.tick(), if has_processes => Wake::WatchMemory,
            () = timer => Wake::Tick,
        }
    }

    fn wake(&mut self, wake: Wake) {
        match wake {
            Wake::FromLink(Some(envelope)) => self.handle(Event::FromJobManager(envelope)),
            Wake::FromLink(None) => {
                tracing::warn!("the connection to the JobManager is lost");
                self.drop_link();
                self.handle(Event::Disconnected);
            }
            Wake::Opened(Some(Ok(link))) => {
                self.link = Some(link);
                self.last_error = None;
                self.handle(Event::Connected);
            }
            Wake::Opened(Some(Err(error))) => {
                if self.last_error.as_ref() != Some(&error) {
                    tracing::warn!(%error, "cannot reach the JobManager yet");
                }
                self.last_error = Some(error);
            }
            Wake::Event(Some(event)) => self.handle(event),
            Wake::ShutDown(reason) => self.handle(Event::ShutDown { reason }),
            Wake::WatchMemory => self.watch_memory(),
            Wake::Tick | Wake::Event(None) | Wake::Opened(None) => self.handle(Event::Tick),
        }
    }

    /// Hands an event to the core, and what its actions cause.
    fn handle(&mut self, event: Event) {
        self.pending.push_back(event);
        while let Some(event) = self.pending.pop_front() {
            let event = self.note(event);
            let now = self.started.elapsed();
            for action in self.core.on_event(now, event) {
                self.act(action);
            }
        }
        if let Some(tell) = self.registered.take_if(|_| self.core.is_operational()) {
            tell();
        }
    }

    /// What the shell itself learns from an event.
    fn note(&mut self, event: Event) -> Event {
        let Event::WorkerExited { worker, reason } = event else { return event };
        let Some(supervision) = self.workers.remove(&worker) else {
            return Event::WorkerExited { worker, reason };
        };
        let directory = supervision.directory;
        tokio::spawn(async move { drop(tokio::fs::remove_dir_all(directory).await) });
        let reason = match supervision.killed_because {
            Some(because) => format!("{because}\n{reason}"),
            None => reason,
        };
        tracing::info!(job = %supervision.job, worker = worker.0, %reason, "worker ended");
        Event::WorkerExited { worker, reason }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::SendToJobManager(envelope) => self.send(envelope),
            Action::CloseConnection => self.drop_link(),
            Action::FindArtifact(artifact) => {
                let present = self.artifacts.find(&artifact.sha256).is_some();
                self.pending.push_back(Event::ArtifactFound { sha256: artifact.sha256, present });
            }
            Action::StoreArtifactPiece { sha256, offset, bytes, last } => {
                let result = self.artifacts.store(&sha256, offset, &bytes, last);
                if last || result.is_err() {
                    self.pending.push_back(Event::ArtifactStored { sha256, result });
                }
            }
            Action::SpawnWorker { worker, information } => {
                if let Err(reason) = self.spawn(worker, *information) {
                    self.pending.push_back(Event::WorkerExited { worker, reason });
                }
            }
            Action::SendToWorker { worker, message } => self.send_to_worker(worker, message),
            Action::KillWorker { worker, reason } => {
                tracing::warn!(worker = worker.0, %reason, "killing worker");
                if let Some(supervision) = self.workers.get(&worker) {
                    (supervision.control.kill)();
                }
            }
            Action::CollectStatistics => {
                let pids: Vec<u32> = self.workers.values().filter_map(|worker| worker.control.pid).collect();
                let statistics = self.meter.measure(&pids);
                self.pending.push_back(Event::Statistics(statistics));
            }
            Action::ReadLog { request, job, offset } => {
                let piece = self.read_log(job, offset);
                self.pending.push_back(Event::LogRead { request, piece });
            }
            Action::StoreTokens { epoch, tokens } => self.store_tokens(epoch, &tokens),
            Action::Terminate { reason, failed } => self.end = Some((reason, failed)),
        }
    }

    fn store_tokens(&mut self, epoch: Epoch, tokens: &DelegationTokens) {
        let version = tokens.version;
        let stored = self.tokens.as_mut().map_or(Ok(()), |store| store(&tokens.file));
        match stored {
            Ok(()) => {
                tracing::info!(version, "newer tokens for file systems are in use");
                self.pending.push_back(Event::TokensStored { epoch, version });
            }
            Err(error) => tracing::warn!(version, error, "newer tokens for file systems cannot be stored"),
        }
    }

    fn send(&mut self, envelope: Envelope<flink_protocol::task_manager::ToJobManager>) {
        let Some(link) = &self.link else { return };
        if link.outgoing.try_send(envelope).is_err() {
            // Closed, or so far behind that it is as good as closed.
            self.drop_link();
            self.pending.push_back(Event::Disconnected);
        }
    }

    fn drop_link(&mut self) {
        if self.link.take().is_some() {
            self.want_link();
        }
    }

    fn want_link(&self) {
        // When a request waits already, it will do for this one.
        let _ = self.links.wanted.try_send(());
    }

    fn spawn(&mut self, worker: WorkerId, information: JobInformation) -> Result<(), String> {
        let job = information.graph.job_id;
        let directory = self.folders.create_worker_folder(worker).map_err(|error| error.to_string())?;
        let program = match &information.program {
            Some(artifact) => Some(self.artifacts.find(&artifact.sha256).ok_or("its program was removed")?),
            None => None,
        };
        let start = WorkerStart {
            job: information,
            epoch: self.core.epoch(),
            host: self.settings.data_host.clone(),
            bind_host: self.settings.bind_host.clone(),
            directory: directory.display().to_string(),
            tls: self.settings.worker_tls.clone(),
            log_filter: std::env::var(LOG_VARIABLE).ok(),
        };
        let log = self.log_of(job).map_err(|error| format!("cannot make its log: {error}"))?;
        let launch = WorkerLaunch { worker, job, start: Box::new(start), program, log };
        let events = WorkerEvents::new(worker, self.events.clone());
        let control = self.launcher.launch(launch, events)?;
        tracing::info!(%job, worker = worker.0, pid = control.pid, "worker started");
        self.workers.insert(worker, WorkerHandle { job, control, directory, killed_because: None });
        Ok(())
    }

    /// The log of a job's workers: a worker that follows another of the same job goes on with it.
    fn log_of(&mut self, job: JobId) -> std::io::Result<SharedLog> {
        if let Some((_, log)) = self.logs.iter().find(|(of, _)| *of == job) {
            return Ok(Arc::clone(log));
        }
        std::fs::create_dir_all(&self.worker_logs)?;
        // Standard output and error have their bound each, and share the file.
        let path = self.worker_logs.join(format!("worker-{job}.log"));
        let log = BoundedLog::create(&path, self.settings.log_size.saturating_mul(2))?;
        let log = Arc::new(Mutex::new(log));
        self.logs.push_back((job, Arc::clone(&log)));
        self.forget_old_logs();
        Ok(log)
    }

    fn forget_old_logs(&mut self) {
        while self.logs.len() > KEPT_LOGS {
            let is_over = |(job, _): &(JobId, SharedLog)| self.workers.values().all(|worker| worker.job != *job);
            // The newest is about to get its worker.
            let Some(oldest) = self.logs.iter().take(self.logs.len() - 1).position(is_over) else { return };
            if let Some((_, log)) = self.logs.remove(oldest) {
                lock(&log).remove();
            }
        }
    }

    fn read_log(&self, job: Option<JobId>, offset: u64) -> Result<LogPiece, String> {
        let Some(job) = job else {
            let file: &Path = self.settings.log_file.as_deref().ok_or("this TaskManager writes no log file")?;
            return logs::read_file(file, offset).map_err(|error| format!("cannot read {}: {error}", file.display()));
        };
        let found = self.logs.iter().find(|(of, _)| *of == job);
        let (_, log) = found.ok_or_else(|| format!("this TaskManager has no log of job {job} (any more)"))?;
        lock(log).read(offset).map_err(|error| format!("cannot read the log of job {job}: {error}"))
    }

    fn send_to_worker(&mut self, worker: WorkerId, message: ToWorker) {
        let Some(supervision) = self.workers.get_mut(&worker) else { return };
        if let Err(mpsc::error::TrySendError::Full(_)) = supervision.control.messages.try_send(message) {
            let because = "it does not take the messages of its TaskManager".to_owned();
            supervision.killed_because.get_or_insert(because);
            (supervision.control.kill)();
        }
    }

    /// One number bounds a TaskManager with its workers. Whoever goes over it would otherwise take the host down, or be
    /// killed without a word.
    fn watch_memory(&mut self) {
        let held = |pid: u32| statistics::process_memory(pid).map_or(0, |figures| figures.held);
        let workers: Vec<(WorkerId, u64)> = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.killed_because.is_none())
            .filter_map(|(id, worker)| Some((*id, held(worker.control.pid?))))
            .collect();
        let total = held(std::process::id()) + workers.iter().map(|(_, bytes)| bytes).sum::<u64>();
        if total <= self.settings.memory {
            return;
        }
        let Some((id, bytes)) = workers.into_iter().max_by_key(|(_, bytes)| *bytes) else { return };
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.killed_because = Some(over_memory(bytes, total, self.settings.memory));
            (worker.control.kill)();
        }
    }

    /// After `Terminate`: lets the last messages leave and ends what is left.
    async fn finish(mut self, mut events: mpsc::Receiver<Event>) -> Result<(), TaskManagerError> {
        if let Some(JobManagerLink { mut incoming, outgoing }) = self.link.take() {
            drop(outgoing);
            let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, async { while incoming.recv().await.is_some() {} }).await;
        }
        self.workers.values().for_each(|worker| (worker.control.kill)());
        let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, async {
            while !self.workers.is_empty() {
                if let Some(Event::WorkerExited { worker, .. }) = events.recv().await {
                    self.workers.remove(&worker);
                }
            }
        })
        .await;
        match self.end.take() {
            Some((reason, true)) => {
                let cause = self.last_error.take().map(|error| format!("\n{error}")).unwrap_or_default();
                Err(TaskManagerError::Terminated(reason + &cause))
            }
            _ => Ok(()),
        }
    }
}

fn over_memory(worker: u64, total: u64, limit: u64) -> String {
    let megabytes = |bytes: u64| bytes >> 20;
    let suggested = MemorySize((total.max(limit).div_ceil(256 << 20) + 1) * (256 << 20));
    format!(
        "the worker was killed: it held {} MB, and with it the TaskManager {} MB, more than \
         taskmanager.memory.process.size allows ({} MB); set it higher, for example to {suggested}, or let the program \
         hold less",
        megabytes(worker),
        megabytes(total),
        megabytes(limit)
    )
}
