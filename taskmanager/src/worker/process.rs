//! A worker in a process of its own: the user's program in worker mode.
//!
//! The program's `main` builds its graph as everywhere. Before, `WorkerProcess::connect` has read from the TaskManager
//! what to run; when `main` comes to the action that is wanted, `WorkerProcess::run` takes over and never returns.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flink_graph::{Configuration, options};
use flink_protocol::PROTOCOL_VERSION;
use flink_protocol::program::CONTROL_DESCRIPTOR_VARIABLE;
use flink_protocol::worker::{FromWorker, ToWorker, WorkerStart};
use flink_transport::frame::{FramedReader, FramedWriter, read_blocking, write_blocking};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use super::{Worker, WorkerNetwork};
use crate::network::connection::{DataPlane, DataPlaneConfig};
use crate::network::endpoint::ConnectionSettings;
use crate::network::frame::Hello;
use crate::network::tls::DataPlaneTls;
use crate::operator::BoxError;
use crate::partitions::Partitions;
use crate::setup::JobProgram;

/// Longest wait for the first message of the TaskManager, which is on its way when the process starts.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Time that tasks have to end when the worker is told to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Largest frame between TaskManager and worker; both are ours, on one host.
const FRAME_LIMIT: u64 = 1 << 30;

/// The TaskManager's side is known, the graph is not built yet.
pub struct WorkerProcess {
    socket: UnixStream,
    start: WorkerStart,
}

impl WorkerProcess {
    /// Reads from the inherited socket what to run.
    ///
    /// # Errors
    /// The program was not started by a TaskManager, or that is gone.
    pub fn connect() -> Result<Self, BoxError> {
        let number = std::env::var(CONTROL_DESCRIPTOR_VARIABLE)
            .map_err(|_| format!("worker mode needs {CONTROL_DESCRIPTOR_VARIABLE}: a TaskManager sets it"))?;
        let number: RawFd = number.parse().map_err(|_| format!("{CONTROL_DESCRIPTOR_VARIABLE} is not a number"))?;
        // SAFETY: the TaskManager made this descriptor for this process alone, and nothing else here knows of it.
        let mut socket = UnixStream::from(unsafe { OwnedFd::from_raw_fd(number) });
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
        socket.set_read_timeout(Some(START_TIMEOUT))?;
        match read_blocking(&mut socket, FRAME_LIMIT)? {
            Some(ToWorker::Start(start)) => Ok(Self { socket, start: *start }),
            Some(_) => Err("the TaskManager's first message is not Start".into()),
            None => Err("the TaskManager has gone".into()),
        }
    }

    /// What to run.
    #[must_use]
    pub fn start(&self) -> &WorkerStart {
        &self.start
    }

    /// Tells the TaskManager why the job cannot be run here.
    pub fn refuse(mut self, reason: &str) {
        let message = FromWorker::Refused { reason: reason.to_owned() };
        if let Err(error) = write_blocking(&mut self.socket, &message, FRAME_LIMIT) {
            tracing::error!("{reason}; and the TaskManager could not be told: {error}");
        }
    }

    /// Runs the tasks that the TaskManager sends, until it says stop or goes.
    ///
    /// # Errors
    /// The graph differs from the submitted one, or the worker's network cannot be started.
    pub fn run(self, program: Arc<dyn JobProgram>) -> Result<(), BoxError> {
        if let Err(mismatch) = self.start.job.graph.fingerprint.check(program.fingerprint()) {
            self.refuse(&mismatch.to_string());
            return Err(mismatch.into());
        }
        let runtime = match network_runtime() {
            Ok(runtime) => runtime,
            Err(error) => {
                self.refuse(&error.to_string());
                return Err(error.into());
            }
        };
        let partitions = Arc::new(Partitions::default());
        let network = match self.network(&runtime, &partitions) {
            Ok(network) => network,
            Err(error) => {
                self.refuse(&error.to_string());
                return Err(error);
            }
        };
        runtime.block_on(self.serve(program, partitions, network))
    }

    fn network(&self, runtime: &Runtime, partitions: &Arc<Partitions>) -> Result<WorkerNetwork, BoxError> {
        let WorkerStart { job, host, bind_host, tls, .. } = &self.start;
        let configuration = configuration(&self.start);
        let worker = format!("worker {} on {host}", std::process::id());
        let mut settings = ConnectionSettings::new(Hello { job: job.graph.job_id, epoch: self.start.epoch, worker });
        settings.max_element = configuration.get(&options::MAX_RECORD_SIZE)?.bytes();
        settings.idle_timeout = configuration.get(&options::NETWORK_IDLE_TIMEOUT)?;
        let mut config = DataPlaneConfig::new(bind_host, settings);
        config.connect_timeout = configuration.get(&options::NETWORK_CONNECT_TIMEOUT)?;
        config.ports = configuration.get(&options::TASK_MANAGER_DATA_PORT)?;
        config.runtime = Some(runtime.handle().clone());
        let tls = tls.as_ref().map(DataPlaneTls::from_material).transpose()?;
        let plane = DataPlane::listen(config, partitions.clone(), tls)?;
        let port = plane.local_address().port();
        let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        Ok(WorkerNetwork { address, data_plane: Some(plane) })
    }

    async fn serve(
        self,
        program: Arc<dyn JobProgram>,
        partitions: Arc<Partitions>,
        network: WorkerNetwork,
    ) -> Result<(), BoxError> {
        self.socket.set_read_timeout(None)?;
        self.socket.set_nonblocking(true)?;
        let (reader, writer) = tokio::net::UnixStream::from_std(self.socket)?.into_split();
        // Unbounded, but every message answers one of the TaskManager's or is a state of one of its tasks.
        let (sender, receiver) = mpsc::unbounded_channel();
        let started = FromWorker::Started { protocol_version: PROTOCOL_VERSION, data_address: network.address.clone() };
        sender.send(started)?;
        let outbox = Arc::new(move |message| {
            // The TaskManager is gone when this fails, and the reader ends the worker.
            let _ = sender.send(message);
        });
        let configuration = configuration(&self.start);
        let directory = PathBuf::from(&self.start.directory);
        let graph = self.start.job.graph;
        let worker = Worker::new(program, graph, configuration, directory, network, partitions, outbox);
        let writing = tokio::spawn(write_all(FramedWriter::new(writer, FRAME_LIMIT), receiver));
        read_all(FramedReader::new(reader, FRAME_LIMIT), worker).await;
        writing.abort();
        Ok(())
    }
}

/// Configuration of the cluster with that of the job over it.
#[must_use]
pub fn configuration(start: &WorkerStart) -> Configuration {
    let mut configuration = start.job.cluster_configuration.clone();
    configuration.overlay(&start.job.graph.configuration);
    configuration
}

fn network_runtime() -> io::Result<Runtime> {
    // Encoding and encryption happen on these threads: up to a quarter of the processors, and at least one.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Builder::new_multi_thread().worker_threads((cores / 4).max(1)).thread_name("network").enable_all().build()
}

async fn read_all<R: tokio::io::AsyncRead + Unpin>(mut reader: FramedReader<R>, mut worker: Worker) {
    loop {
        match reader.read::<ToWorker>().await {
            Ok(Some(message)) => {
                if worker.on_message(message) == ControlFlow::Break(()) {
                    break;
                }
            }
            Ok(None) => {
                tracing::warn!("the TaskManager has gone; this worker ends");
                break;
            }
            Err(error) => {
                tracing::error!("cannot read what the TaskManager says: {error}; this worker ends");
                break;
            }
        }
    }
    let stopped = tokio::task::spawn_blocking(move || worker.stop(STOP_PATIENCE)).await;
    if let Err(error) = stopped {
        tracing::error!("stopping the tasks failed: {error}");
    }
}

async fn write_all<W: tokio::io::AsyncWrite + Unpin>(
    mut writer: FramedWriter<W>,
    mut messages: mpsc::UnboundedReceiver<FromWorker>,
) {
    while let Some(message) = messages.recv().await {
        if let Err(error) = writer.write(&message).await {
            tracing::error!("cannot tell the TaskManager: {error}");
            return;
        }
    }
}
