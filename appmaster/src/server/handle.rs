use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot, watch};

use flink_graph::{Configuration, JobId, TaskManagerId};
use flink_protocol::Epoch;
use flink_protocol::client::ClientResponseBody;

use super::connections::{self, ClientLink, Kind, TaskManagerLink, link};
use super::event_loop::Input;
use crate::job_manager::{ClientCall, ClusterResources, ConnectionId, Event, JobManager, TokenFile};

/// The JobManager has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the JobManager has ended")]
pub struct Stopped;

/// How a running JobManager is used. Clones speak to the same JobManager; it runs on when all of them are dropped.
#[derive(Debug, Clone)]
pub struct Handle(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) configuration: Configuration,
    pub(super) epoch: Epoch,
    pub(super) address: Option<SocketAddr>,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) next_connection: Arc<AtomicU64>,
    pub(super) ended: watch::Receiver<bool>,
    pub(super) resources: watch::Receiver<ClusterResources>,
}

impl Handle {
    /// The address that is listened on; none in local mode. The port is the real one where 0 was asked for.
    #[must_use]
    pub fn rpc_address(&self) -> Option<SocketAddr> {
        self.0.address
    }

    /// The epoch under which it leads.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.0.epoch
    }

    /// Configuration of the cluster.
    #[must_use]
    pub fn configuration(&self) -> &Configuration {
        &self.0.configuration
    }

    /// A link for a TaskManager in this process; none when the JobManager has ended. To be called on its runtime.
    #[must_use]
    pub fn connect_task_manager(&self) -> Option<TaskManagerLink> {
        let (near, far) = link();
        self.connect(far, connections::TASK_MANAGER).then_some(near)
    }

    /// A link for a client in this process; none when the JobManager has ended. To be called on its runtime.
    #[must_use]
    pub fn connect_client(&self) -> Option<ClientLink> {
        let (near, far) = link();
        self.connect(far, connections::CLIENT).then_some(near)
    }

    fn connect<In: Send + 'static, Out: Send + 'static>(
        &self,
        far: flink_transport::ChannelPair<In, Out>,
        kind: Kind<In, Out>,
    ) -> bool {
        if self.0.inputs.is_closed() {
            return false;
        }
        let connection = ConnectionId(self.0.next_connection.fetch_add(1, Ordering::Relaxed));
        let inputs = self.0.inputs.clone();
        tokio::spawn(connections::feed(connection, None, far, kind, inputs, |_| true));
        true
    }

    /// Reads something of the JobManager at one moment, between two events. `read` must be quick: nothing else happens
    /// meanwhile.
    ///
    /// # Errors
    /// The JobManager has ended.
    pub async fn query<T: Send + 'static>(
        &self,
        read: impl FnOnce(&JobManager) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let (sender, receiver) = oneshot::channel();
        let question = Box::new(move |job_manager: &JobManager| drop(sender.send(read(job_manager))));
        self.0.inputs.send(Input::Query(question)).await.map_err(|_| Stopped)?;
        receiver.await.map_err(|_| Stopped)
    }

    /// Asks what a client may ask.
    ///
    /// # Errors
    /// The JobManager has ended (outer), or has no answer (inner).
    pub async fn call(&self, call: ClientCall) -> Result<Result<ClientResponseBody, String>, Stopped> {
        let (sender, receiver) = oneshot::channel();
        self.0.inputs.send(Input::Call(call, sender)).await.map_err(|_| Stopped)?;
        receiver.await.map_err(|_| Stopped)
    }

    /// What the jobs want of TaskManagers, and what they have; the newest state whenever it is looked at.
    pub async fn resources(&self) -> watch::Receiver<ClusterResources> {
        let resources = self.0.resources.clone();
        // What nobody looks at is not kept up to date.
        let _ = self.0.inputs.send(Input::Resources(Event::Tick)).await;
        resources
    }

    /// Tells the JobManager at once that a TaskManager is gone, and why: whoever runs its container knows. Also whether that was
    /// the cluster's doing.
    pub async fn task_manager_lost(&self, task_manager: TaskManagerId, reason: String, by_cluster: bool) {
        let event = Event::TaskManagerLost { task_manager, reason, by_cluster };
        let _ = self.0.inputs.send(Input::Resources(event)).await;
    }

    /// Tells what keeps TaskManagers from coming: jobs that wait for them say so.
    pub async fn resource_note(&self, note: Option<String>) {
        let _ = self.0.inputs.send(Input::Resources(Event::ResourceNote(note))).await;
    }

    /// Has every job fail: no more TaskManagers will come, for this reason.
    pub async fn no_more_task_managers(&self, reason: String) {
        let _ = self.0.inputs.send(Input::Resources(Event::NoMoreTaskManagers(reason))).await;
    }

    /// Hands newer tokens for file systems, as a Hadoop token file, to all TaskManagers.
    pub async fn delegation_tokens(&self, file: Vec<u8>) {
        let _ = self.0.inputs.send(Input::Resources(Event::DelegationTokens(TokenFile(file)))).await;
    }

    /// Ends an idle TaskManager; false when it has work after all.
    pub async fn release_task_manager(&self, task_manager: TaskManagerId) -> bool {
        let (sender, receiver) = oneshot::channel();
        let sent = self.0.inputs.send(Input::Release(task_manager, sender)).await;
        sent.is_ok() && receiver.await.unwrap_or(false)
    }

    /// Begins the cancellation of a job: `CancellationSuccess` or `CancellationFailure`.
    ///
    /// # Errors
    /// As for [`Self::call`].
    pub async fn cancel_job(&self, job: JobId) -> Result<Result<ClientResponseBody, String>, Stopped> {
        self.call(ClientCall::CancelJob(job)).await
    }

    /// Ends the JobManager and with it the cluster: TaskManagers are told to end. Returns when it has ended.
    pub async fn shut_down(&self) {
        if self.0.inputs.send(Input::ShutDown).await.is_ok() {
            self.ended().await;
        }
    }

    /// Waits until the JobManager has ended, for whatever reason.
    pub async fn ended(&self) {
        let mut ended = self.0.ended.clone();
        let _ = ended.wait_for(|ended| *ended).await;
    }
}
