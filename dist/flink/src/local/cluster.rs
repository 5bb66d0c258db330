use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flink_api::{Configuration, ExecuteError};
use flink_appmaster::job_manager::ClientCall;
use flink_appmaster::server::{Handle, JobManagerServer, ServerOptions};
use flink_protocol::PROTOCOL_VERSION;
use flink_protocol::client::ClientResponseBody;
use flink_protocol::worker::{FromWorker, ToWorker};
use flink_taskmanager::partitions::Partitions;
use flink_taskmanager::setup::JobProgram;
use flink_taskmanager::task_manager::connector::InMemoryConnector;
use flink_taskmanager::task_manager::launcher::{
    WORKER_QUEUE, WorkerControl, WorkerEvents, WorkerLaunch, WorkerLauncher,
};
use flink_taskmanager::task_manager::new_task_manager_id;
use flink_taskmanager::task_manager::shell::TaskManagerProcess;
use flink_taskmanager::worker::process::configuration;
use flink_taskmanager::worker::{Worker, WorkerNetwork};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};

/// Address of the one worker of a local cluster: every channel of its tasks is within the process.
const LOCAL_ADDRESS: &str = "local";

/// Time that the parts of a local cluster have to end.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// A JobManager and a TaskManager on threads of this process.
pub(super) struct LocalCluster {
    runtime: Option<Runtime>,
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    task_manager: Option<tokio::task::JoinHandle<()>>,
}

impl LocalCluster {
    pub(super) fn start(configuration: Configuration, operators: Arc<dyn JobProgram>) -> Result<Self, ExecuteError> {
        let cannot =
            |error: &dyn std::fmt::Display| ExecuteError::Cluster(format!("cannot start a local cluster: {error}"));
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("cluster").enable_all().build();
        let runtime = runtime.map_err(|error| cannot(&error))?;
        let started = runtime.block_on(JobManagerServer::start(ServerOptions::local(configuration.clone())));
        let handle = started.map_err(|error| cannot(&error))?;
        let link_source = handle.clone();
        let connector = InMemoryConnector::new(move || link_source.connect_task_manager());
        let id = new_task_manager_id("local");
        let task_manager = TaskManagerProcess::new(configuration, id, connector, InProcessLauncher { operators });
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
            "the program has ended".to_owned()
        };
        let task_manager = runtime.spawn(async move {
            if let Err(error) = task_manager.run(shutdown).await {
                tracing::error!("the local TaskManager has ended: {error}");
            }
        });
        Ok(Self { runtime: Some(runtime), handle, stop: Some(stop), task_manager: Some(task_manager) })
    }

    /// Its JobManager.
    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    pub(super) fn call(&self, call: ClientCall) -> Result<ClientResponseBody, ExecuteError> {
        let Some(runtime) = &self.runtime else {
            return Err(ExecuteError::Cluster("the cluster has ended".to_owned()));
        };
        let answer = runtime.block_on(self.handle.call(call));
        answer.map_err(|error| ExecuteError::Cluster(error.to_string()))?.map_err(ExecuteError::Cluster)
    }
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        let (Some(runtime), Some(task_manager)) = (self.runtime.take(), self.task_manager.take()) else { return };
        drop(self.stop.take());
        runtime.block_on(async {
            if tokio::time::timeout(STOP_PATIENCE, task_manager).await.is_err() {
                tracing::warn!("the local TaskManager did not end in time");
            }
            self.handle.shut_down().await;
        });
        runtime.shutdown_timeout(STOP_PATIENCE);
    }
}

/// Runs the worker on threads of this process, with the operators that the program has built.
struct InProcessLauncher {
    operators: Arc<dyn JobProgram>,
}

impl WorkerLauncher for InProcessLauncher {
    fn launch(&mut self, launch: WorkerLaunch, events: WorkerEvents) -> Result<WorkerControl, String> {
        let (messages, inbox) = mpsc::channel(WORKER_QUEUE);
        // Unbounded, but every message answers one of the TaskManager's or is a state of one of its tasks.
        let (sender, outbox) = mpsc::unbounded_channel();
        let start = *launch.start;
        let address = LOCAL_ADDRESS.to_owned();
        let started = FromWorker::Started { protocol_version: PROTOCOL_VERSION, data_address: address.clone() };
        sender.send(started).map_err(|error| error.to_string())?;
        let worker = Worker::new(
            self.operators.clone(),
            start.job.graph.clone(),
            configuration(&start),
            PathBuf::from(&start.directory),
            WorkerNetwork { address, data_plane: None },
            Arc::new(Partitions::default()),
            Arc::new(move |message| {
                // The TaskManager has ended when this fails, and the worker is ended with it.
                let _ = sender.send(message);
            }),
        );
        tokio::spawn(serve(worker, inbox, outbox, events));
        Ok(WorkerControl { messages, kill: Box::new(|| {}), pid: None })
    }
}

/// Moves messages between the TaskManager and its worker until one of them ends.
async fn serve(
    mut worker: Worker,
    mut inbox: mpsc::Receiver<ToWorker>,
    mut outbox: mpsc::UnboundedReceiver<FromWorker>,
    events: WorkerEvents,
) {
    loop {
        tokio::select! {
            biased;
            Some(message) = outbox.recv() => {
                if !events.message(message).await {
                    break;
                }
            }
            message = inbox.recv() => {
                let ended = message.is_none_or(|message| worker.on_message(message) == ControlFlow::Break(()));
                if ended {
                    break;
                }
            }
        }
    }
    let stopped = tokio::task::spawn_blocking(move || worker.stop(STOP_PATIENCE)).await;
    if let Err(error) = stopped {
        tracing::error!("stopping the tasks failed: {error}");
    }
    events.exited("it was told to stop".to_owned()).await;
}
