use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use flink_graph::TaskManagerId;
use hadoop_rpc::Error;
use hadoop_rpc::ipc::RetryPolicy;
use hadoop_rpc::yarn as hadoop;
use hadoop_rpc::yarn::{AmCommand, ApplicationMaster, Registration, ResourceRequest};

use super::driver::{
    Action, AllocateRequest, Allocation, CompletedContainer, Container, DriverConfig, Event, Node, REQUEST, Resource,
    ResourceManagerDriver,
};
use super::fencing::Fencing;
use super::launch::TaskManagerLaunch;
use super::node_managers::{self, NodeManagers};
use crate::job_manager::ClusterResources;
use crate::server::Handle;

/// Events that may wait. More than a handful come only when many containers are started at once.
const QUEUE: usize = 4096;

/// How long a restarted ResourceManager is waited for before the registration is tried anew.
const REGISTRATION_PATIENCE: Duration = Duration::from_secs(60);

/// Pause between two tries to register again.
const REGISTRATION_PAUSE: Duration = Duration::from_secs(1);

/// Pause between two lines in the log about a ResourceManager that cannot be reached.
const COMPLAIN_AGAIN: Duration = Duration::from_secs(30);

/// Why the service has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceEnd {
    /// The application must end as failed.
    Failed(String),
    /// Another attempt leads, or YARN has ended the application: nothing may be touched any more.
    Fenced(String),
}

/// Holds the containers that the jobs of a JobManager want: the I/O around [`ResourceManagerDriver`].
#[derive(Debug)]
pub struct ContainerService {
    driver: ResourceManagerDriver,
    started: Instant,
    application_master: ApplicationMaster,
    /// Host, port and URL of the registration, for the next one.
    registered_as: (String, u16, String),
    launch: Arc<TaskManagerLaunch>,
    priority: i32,
    resource: Resource,
    node_label: Option<String>,
    handle: Handle,
    response_id: i32,
    containers: HashMap<TaskManagerId, hadoop::Container>,
    node_managers: NodeManagers,
    inputs: mpsc::Sender<Input>,
    queue: mpsc::Receiver<Input>,
    fencing: Fencing,
    /// The number of containers that was last asked for.
    asked: u32,
    /// How far the jobs are, percent, for YARN to show.
    progress: u32,
    /// The hosts that the ResourceManager may keep as asked for.
    asked_hosts: BTreeSet<String>,
    /// Those of the ask that is not answered yet.
    asked_last: Option<BTreeSet<String>>,
    complained: Option<Instant>,
    end: Option<ServiceEnd>,
}

enum Input {
    Driver(Event),
    Allocated(Result<hadoop::AllocateResponse, Error>),
    /// Nothing is told to who was registered already.
    Registered(Result<Option<Registration>, Error>),
}

impl ContainerService {
    /// A service for an ApplicationMaster that has just registered with this host, port and URL.
    #[must_use]
    pub fn new(
        application_master: ApplicationMaster,
        registered_as: (String, u16, String),
        configuration: hadoop_rpc::Configuration,
        config: DriverConfig,
        launch: TaskManagerLaunch,
        handle: Handle,
    ) -> Self {
        let (inputs, queue) = mpsc::channel(QUEUE);
        let containers = &launch.description.task_manager;
        Self {
            resource: config.resource,
            driver: ResourceManagerDriver::new(config).with_nodes(&launch.description.hosts),
            started: Instant::now(),
            application_master,
            registered_as,
            // 0 is the priority of the ApplicationMaster's own container.
            priority: containers.priority.max(0).saturating_add(1),
            node_label: containers.node_label.clone(),
            launch: Arc::new(launch),
            handle,
            response_id: 0,
            containers: HashMap::new(),
            node_managers: NodeManagers::new(configuration),
            inputs,
            queue,
            fencing: Fencing::default(),
            asked: 0,
            progress: 0,
            asked_hosts: BTreeSet::new(),
            asked_last: None,
            complained: None,
            end: None,
        }
    }

    /// Asks, starts, gives back, until the application cannot go on. Dropping the future stops it. It does not end with
    /// the JobManager.
    pub async fn run(mut self, registration: Option<Registration>) -> ServiceEnd {
        let mut resources = self.handle.resources().await;
        self.take(Input::Registered(Ok(registration))).await;
        let timer = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(timer);
        loop {
            if let Some(end) = self.end.take() {
                return end;
            }
            let deadline =
                self.driver.next_deadline().unwrap_or_else(|| self.started.elapsed() + Duration::from_mins(1));
            let at = tokio::time::Instant::from_std(self.started + deadline);
            if timer.deadline() != at {
                timer.as_mut().reset(at);
            }
            let input = tokio::select! {
                Some(input) = self.queue.recv() => input,
                wanted = changed(&mut resources) => match wanted {
                    Some(wanted) => {
                        self.progress = wanted.progress;
                        Input::Driver(Event::Demand(wanted))
                    }
                    // The JobManager has ended: what that means for the application others decide.
                    None => std::future::pending().await,
                },
                () = &mut timer => Input::Driver(Event::Tick),
            };
            self.take(input).await;
        }
    }

    async fn take(&mut self, input: Input) {
        let event = match input {
            Input::Driver(event) => Some(event),
            Input::Registered(Ok(registration)) => Some(self.registered(registration)),
            Input::Registered(Err(error)) => {
                self.registration_failed(&error);
                None
            }
            Input::Allocated(Ok(response)) => self.allocated(response),
            Input::Allocated(Err(error)) => self.not_allocated(&error),
        };
        let Some(event) = event else { return };
        for action in self.driver.on_event(self.started.elapsed(), event) {
            self.act(action).await;
        }
    }

    async fn act(&mut self, action: Action) {
        match action {
            Action::Register => {
                tracing::warn!(
                    "the ResourceManager does not know this ApplicationMaster: it was restarted; registering again"
                );
                self.register(Duration::ZERO);
            }
            Action::Allocate(request) => self.allocate(request),
            Action::StartContainer(container) => self.start(&container),
            Action::StopContainer { container, .. } => self.stop(&container),
            Action::GiveBack(container) => {
                tracing::info!(%container, "giving back an idle TaskManager");
                let (handle, inputs) = (self.handle.clone(), self.inputs.clone());
                tokio::spawn(async move {
                    let accepted = handle.release_task_manager(container.clone()).await;
                    let _ = inputs.send(Input::Driver(Event::GivenBack { container, accepted })).await;
                });
            }
            Action::ReportLost { task_manager, reason, by_cluster } => {
                tracing::warn!(%reason, "TaskManager lost");
                self.containers.remove(&task_manager);
                self.handle.task_manager_lost(task_manager, reason, by_cluster).await;
            }
            Action::Explain(note) => {
                if let Some(note) = &note {
                    tracing::info!(note, "containers do not come");
                }
                self.handle.resource_note(note).await;
            }
            Action::Fail { reason } => self.end = Some(ServiceEnd::Failed(reason)),
        }
    }

    fn register(&mut self, pause: Duration) {
        self.response_id = 0;
        let patience = RetryPolicy::patient(REGISTRATION_PATIENCE);
        let application_master = self.application_master.clone().with_retry(patience);
        let ((host, port, url), inputs) = (self.registered_as.clone(), self.inputs.clone());
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            let registration = application_master.register(&host, port, &url).await;
            let _ = inputs.send(Input::Registered(registration)).await;
        });
    }

    fn registered(&mut self, registration: Option<Registration>) -> Event {
        self.fencing.known();
        let Some(registration) = registration else {
            // Its containers of before are known here, if it is not an attempt's first registration.
            tracing::warn!("this ApplicationMaster is registered already: the answer to its registration was lost");
            return Event::Registered { earlier: Vec::new(), largest: Resource::default() };
        };
        tracing::info!(
            queue = registration.queue,
            largest = %registration.maximum,
            earlier = registration.previous_containers.len(),
            "registered at the ResourceManager"
        );
        self.node_managers.keep(registration.nm_tokens);
        let mut largest = resource(registration.maximum);
        if !registration.counts_vcores {
            largest.vcores = u32::MAX;
        }
        Event::Registered { earlier: self.keep(registration.previous_containers), largest }
    }

    fn registration_failed(&mut self, error: &Error) {
        if self.fencing.failed(error) {
            self.end = Some(ServiceEnd::Fenced(error.to_string()));
        } else {
            self.complain(error);
            self.register(REGISTRATION_PAUSE);
        }
    }

    fn allocate(&mut self, request: AllocateRequest) {
        if let Some(count) = request.containers.filter(|count| *count != self.asked) {
            // What is only repeated is not worth a line.
            self.asked = count;
            tracing::info!(containers = count, hosts = ?request.hosts, "asking for containers");
        }
        self.asked_last = None;
        let asks = request.containers.map(|count| self.asks(count, request.hosts)).unwrap_or_default();
        let request = hadoop::AllocateRequest {
            response_id: self.response_id,
            progress: self.progress as f32 / 100.0,
            asks,
            releases: request.release.iter().filter_map(|id| id.0.parse().ok()).collect(),
            blacklist_additions: request.blacklist_additions,
            blacklist_removals: request.blacklist_removals,
            tracking_url: None,
        };
        let application_master = self.application_master.clone().with_retry(RetryPolicy::once());
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            let response = application_master.allocate(&request).await;
            let _ = inputs.send(Input::Allocated(response)).await;
        });
    }

    /// Numbers of containers, for YARN: for each host, for the racks of hosts, and in all. The ResourceManager keeps what
    /// it was told, so hosts of the ask before that are not wanted any more are taken back.
    fn asks(&mut self, count: u32, mut hosts: BTreeMap<String, u32>) -> Vec<ResourceRequest> {
        let size = hadoop::Resource::new(self.resource.memory_mb, self.resource.vcores);
        let anywhere = ResourceRequest::anywhere(self.priority, size, count, REQUEST);
        if self.node_label.is_some() {
            // YARN refuses hosts beside a label.
            return vec![ResourceRequest { node_label: self.node_label.clone(), ..anywhere }];
        }
        let now: BTreeSet<String> = hosts.keys().cloned().collect();
        let there = hosts.values().fold(0_u32, |sum, count| sum.saturating_add(*count));
        // Until the answer comes the ask may have been lost: then it is that of before which counts.
        self.asked_hosts.extend(now.iter().cloned());
        self.asked_last = Some(now);
        if !self.asked_hosts.is_empty() {
            for host in &self.asked_hosts {
                hosts.entry(host.clone()).or_insert(0);
            }
            // A host is looked at only when its rack is wanted, and which rack that is only YARN knows.
            hosts.extend(self.launch.description.racks.iter().map(|rack| (rack.clone(), there)));
        }
        let located = hosts.into_iter().map(|(location, containers)| ResourceRequest {
            location,
            containers,
            ..anywhere.clone()
        });
        located.chain([anywhere.clone()]).collect()
    }

    fn allocated(&mut self, response: hadoop::AllocateResponse) -> Option<Event> {
        self.response_id = response.response_id;
        self.fencing.known();
        if let Some(heard) = self.asked_last.take() {
            self.asked_hosts = heard;
        }
        if self.complained.take().is_some() {
            tracing::info!("the ResourceManager answers again");
        }
        match response.command {
            Some(AmCommand::Shutdown) => {
                self.end = Some(ServiceEnd::Fenced("the ResourceManager says that this attempt is over".to_owned()));
                return None;
            }
            Some(AmCommand::Resync) => return Some(Event::NotRegistered),
            _ => {}
        }
        self.node_managers.keep(response.nm_tokens);
        let completed = response.completed.into_iter().map(|status| {
            let id = TaskManagerId(status.id.to_string());
            tracing::info!(container = %id, exit_status = status.exit.status(), "container ended");
            self.containers.remove(&id);
            CompletedContainer { id, exit_status: status.exit.status(), diagnostics: status.diagnostics }
        });
        let completed: Vec<CompletedContainer> = completed.collect();
        let preempted = response.preemption.map(|preemption| {
            let ids = preemption.strict.into_iter().chain(preemption.negotiable);
            ids.map(|id| TaskManagerId(id.to_string())).collect::<Vec<_>>()
        });
        if let Some(ids) = preempted.as_ref().filter(|ids| !ids.is_empty()) {
            tracing::warn!(containers = ?ids, "YARN will take containers away for another application or queue");
        }
        Some(Event::Allocated(Allocation {
            containers: self.keep(response.allocated),
            completed,
            earlier: self.keep(response.previous_containers),
            preempted: preempted.unwrap_or_default(),
            available: Some(resource(response.headroom)),
            cluster_nodes: response.cluster_nodes,
            nodes: response.updated_nodes.into_iter().map(|node| node.id.host).collect(),
        }))
    }

    fn not_allocated(&mut self, error: &Error) -> Option<Event> {
        if error.is_remote("ApplicationMasterNotRegisteredException") {
            return Some(Event::NotRegistered);
        }
        if self.fencing.failed(error) {
            self.end = Some(ServiceEnd::Fenced(error.to_string()));
            return None;
        }
        let refused = error.remote().filter(|exception| is_refusal(exception.simple_class()));
        if let Some(exception) = refused {
            return Some(Event::Refused { reason: exception.to_string() });
        }
        self.complain(error);
        Some(Event::HeartbeatFailed)
    }

    fn complain(&mut self, error: &Error) {
        let is_new = self.complained.is_none_or(|at| at.elapsed() >= COMPLAIN_AGAIN);
        if is_new {
            self.complained = Some(Instant::now());
            tracing::warn!(%error, "the ResourceManager does not answer; trying again");
        }
    }

    /// Remembers containers with what is needed to start and stop them.
    fn keep(&mut self, containers: Vec<hadoop::Container>) -> Vec<Container> {
        let mut kept = Vec::with_capacity(containers.len());
        for container in containers {
            let id = TaskManagerId(container.id.to_string());
            kept.push(Container {
                id: id.clone(),
                node: Node { host: container.node.host.clone(), port: container.node.port },
                resource: resource(container.resource),
                request: container.allocation_request_id,
            });
            self.containers.insert(id, container);
        }
        kept
    }

    fn start(&mut self, container: &Container) {
        let (id, inputs) = (container.id.clone(), self.inputs.clone());
        let known = self.containers.get(&id).cloned();
        let prepared = known.ok_or_else(|| "its token is gone".to_owned()).and_then(|container| {
            let client = self.node_managers.client(&container.node)?;
            let context = self.launch.context(&container).map_err(|error| error.to_string())?;
            Ok((client, container, context))
        });
        tokio::spawn(async move {
            let started = match prepared {
                Ok((client, container, context)) => {
                    let node = container.node.clone();
                    let started = node_managers::start(client, container, context).await;
                    tracing::info!(container = %id, %node, started = started.is_ok(), "TaskManager's container");
                    started
                }
                Err(reason) => Err(reason),
            };
            let event = match started {
                Ok(()) => Event::Started(id),
                Err(reason) => Event::StartFailed { container: id, reason },
            };
            let _ = inputs.send(Input::Driver(event)).await;
        });
    }

    fn stop(&mut self, id: &TaskManagerId) {
        let Some(container) = self.containers.remove(id) else { return };
        match self.node_managers.client(&container.node) {
            Ok(client) => drop(tokio::spawn(node_managers::stop(client, container.id))),
            Err(reason) => tracing::debug!(container = %id, reason, "released without being stopped"),
        }
    }
}

async fn changed(resources: &mut watch::Receiver<ClusterResources>) -> Option<ClusterResources> {
    resources.changed().await.ok()?;
    Some(resources.borrow_and_update().clone())
}

fn resource(resource: hadoop::Resource) -> Resource {
    Resource { memory_mb: resource.memory_mb, vcores: resource.vcores }
}

/// True for exceptions that say that what is asked for can never be had.
fn is_refusal(class: &str) -> bool {
    matches!(
        class,
        "InvalidResourceRequestException"
            | "InvalidLabelResourceRequestException"
            | "InvalidResourceBlacklistRequestException"
            | "SchedulerInvalidResoureRequestException"
            | "InvalidResourceTypeException"
            | "ResourceNotFoundException"
    )
}
