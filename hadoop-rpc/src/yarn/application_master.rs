use crate::configuration::Configuration;
use crate::credentials::Token;
use crate::error::{Endpoint, Error};
use crate::ipc::{Client, Identity, Method, Protocol, RetryPolicy, Settings};
use crate::proto::yarn::{PreemptionMessageProto, ResourceBlacklistRequestProto};
use crate::proto::yarn_service::{
    AllocateRequestProto, AllocateResponseProto, FinishApplicationMasterRequestProto,
    FinishApplicationMasterResponseProto, RegisterApplicationMasterRequestProto,
    RegisterApplicationMasterResponseProto,
};
use crate::user::User;
use crate::yarn::cluster::NodeReport;
use crate::yarn::container::{Container, ContainerStatus, NmToken};
use crate::yarn::ids::ContainerId;
use crate::yarn::launch::{AccessControl, access_from_proto};
use crate::yarn::resource::{Resource, ResourceRequest};
use crate::yarn::resource_manager::{self, SCHEDULER, SERVICE};
use crate::yarn::states::{AmCommand, FinalStatus};

const PROTOCOL: Protocol = Protocol { name: "org.apache.hadoop.yarn.api.ApplicationMasterProtocolPB", version: 1 };

/// What an ApplicationMaster says to the ResourceManager: register, ask for containers and hear of them, finish.
#[derive(Clone, Debug)]
pub struct ApplicationMaster {
    client: Client,
}

/// What the ResourceManager tells an ApplicationMaster that registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The largest container that the scheduler gives.
    pub maximum: Resource,
    /// The application's queue.
    pub queue: String,
    /// Who may see and change the application.
    pub access: AccessControl,
    /// Containers of earlier attempts that still run.
    pub previous_containers: Vec<Container>,
    /// The tokens for the nodes of these containers.
    pub nm_tokens: Vec<NmToken>,
    /// Whether the scheduler counts cores, too, or only memory.
    pub counts_vcores: bool,
}

/// A heartbeat to the ResourceManager. What it holds is changes since the one before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AllocateRequest {
    /// The number of the last response; 0 at first, and again after registering again.
    pub response_id: i32,
    /// From 0 to 1, for people.
    pub progress: f32,
    /// Requests for containers, in place of earlier ones with the same key.
    pub asks: Vec<ResourceRequest>,
    /// Containers that are not wanted any more.
    pub releases: Vec<ContainerId>,
    /// Hosts on which no more containers are wanted.
    pub blacklist_additions: Vec<String>,
    /// Hosts on which containers are wanted again.
    pub blacklist_removals: Vec<String>,
    /// The application's page, when it has changed.
    pub tracking_url: Option<String>,
}

/// What the ResourceManager answers to a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllocateResponse {
    /// The number for the next request.
    pub response_id: i32,
    /// What the ApplicationMaster must do at once.
    pub command: Option<AmCommand>,
    /// Containers that were given.
    pub allocated: Vec<Container>,
    /// Containers that ended.
    pub completed: Vec<ContainerStatus>,
    /// Tokens for nodes that were not used before.
    pub nm_tokens: Vec<NmToken>,
    /// What could still be had.
    pub headroom: Resource,
    /// How many nodes there are.
    pub cluster_nodes: u32,
    /// Nodes that changed, with their states.
    pub updated_nodes: Vec<NodeReport>,
    /// Containers that will be taken away.
    pub preemption: Option<Preemption>,
    /// Another token in place of the application's, for later connections. This client uses it by itself; whoever
    /// keeps tokens for a restart needs it, too.
    pub am_rm_token: Option<Token>,
    /// The application's priority.
    pub priority: Option<i32>,
    /// Containers of earlier attempts that were found late, after the ResourceManager's restart for example.
    pub previous_containers: Vec<Container>,
}

/// Containers that will be taken away in a few seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preemption {
    /// These will be taken away whatever happens.
    pub strict: Vec<ContainerId>,
    /// These will be taken away, unless others of the same size are given back.
    pub negotiable: Vec<ContainerId>,
    /// What should be given back.
    pub resources: Vec<ResourceRequest>,
}

impl ApplicationMaster {
    /// A client of the configured ResourceManagers, with the token that the container was given
    /// ([`AMRM_TOKEN_KIND`](crate::credentials::AMRM_TOKEN_KIND)).
    pub fn new(configuration: &Configuration, token: Token) -> Result<Self, Error> {
        let endpoints = resource_manager::endpoints(configuration, SCHEDULER)?;
        let identity = Identity::with_token(User::simple(""), token);
        Ok(Self::over(Client::new(SERVICE, endpoints, PROTOCOL, identity, Settings::new(configuration)?)))
    }

    pub(crate) fn over(client: Client) -> Self {
        Self { client }
    }

    /// The same, with other patience.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.client = self.client.with_retry(retry);
        self
    }

    /// The ResourceManagers.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        self.client.endpoints()
    }

    /// Registers: the application is RUNNING from now on. After `ApplicationMasterNotRegisteredException`, which a
    /// restarted ResourceManager throws, this must be done again, and everything asked again.
    ///
    /// `None` when the ResourceManager says that this attempt is registered already: a call of before has reached it, and
    /// its answer was lost. What stood in that answer is not told again. Heartbeats begin with response 0 all the same.
    pub async fn register(&self, host: &str, rpc_port: u16, tracking_url: &str) -> Result<Option<Registration>, Error> {
        const METHOD: Method = Method::idempotent("registerApplicationMaster");
        let request = RegisterApplicationMasterRequestProto {
            host: Some(host.to_owned()),
            rpc_port: Some(rpc_port.into()),
            tracking_url: Some(tracking_url.to_owned()),
        };
        match self.client.call::<_, RegisterApplicationMasterResponseProto>(METHOD, &request).await {
            Ok(response) => Ok(Some(response.into())),
            Err(error) if is_registered_already(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A heartbeat. The ResourceManager answers a repeated `response_id` with the answer that it gave before.
    pub async fn allocate(&self, request: &AllocateRequest) -> Result<AllocateResponse, Error> {
        const METHOD: Method = Method::at_most_once("allocate");
        let message = AllocateRequestProto::from(request.clone());
        let response: AllocateResponseProto = self.client.call(METHOD, &message).await?;
        let response = AllocateResponse::from(response);
        if let Some(token) = &response.am_rm_token {
            self.client.set_token(token.clone()).await;
        }
        Ok(response)
    }

    /// Ends the application. False while the ResourceManager writes it down: ask again then.
    pub async fn finish(&self, status: FinalStatus, diagnostics: &str, tracking_url: &str) -> Result<bool, Error> {
        const METHOD: Method = Method::at_most_once("finishApplicationMaster");
        let request = FinishApplicationMasterRequestProto {
            diagnostics: Some(diagnostics.to_owned()),
            tracking_url: Some(tracking_url.to_owned()),
            final_application_status: Some(status.to_wire()),
        };
        let response: FinishApplicationMasterResponseProto = self.client.call(METHOD, &request).await?;
        Ok(response.is_unregistered())
    }
}

/// The class alone says only that something is wrong with the request.
fn is_registered_already(error: &Error) -> bool {
    error.is_remote("InvalidApplicationMasterRequestException")
        && error.remote().is_some_and(|exception| exception.message.contains("already registered"))
}

impl From<RegisterApplicationMasterResponseProto> for Registration {
    fn from(response: RegisterApplicationMasterResponseProto) -> Self {
        const CPU: i32 = 1;
        Self {
            maximum: response.maximum_capability.map(Into::into).unwrap_or_default(),
            queue: response.queue.unwrap_or_default(),
            access: access_from_proto(response.application_acls),
            previous_containers: response.containers_from_previous_attempts.into_iter().map(Into::into).collect(),
            nm_tokens: response.nm_tokens_from_previous_attempts.into_iter().map(Into::into).collect(),
            counts_vcores: response.scheduler_resource_types.contains(&CPU),
        }
    }
}

impl From<AllocateRequest> for AllocateRequestProto {
    fn from(request: AllocateRequest) -> Self {
        let (blacklist_additions, blacklist_removals) = (request.blacklist_additions, request.blacklist_removals);
        let changed = !blacklist_additions.is_empty() || !blacklist_removals.is_empty();
        Self {
            ask: request.asks.into_iter().map(Into::into).collect(),
            release: request.releases.into_iter().map(Into::into).collect(),
            blacklist_request: changed
                .then_some(ResourceBlacklistRequestProto { blacklist_additions, blacklist_removals }),
            response_id: Some(request.response_id),
            progress: Some(request.progress),
            tracking_url: request.tracking_url,
        }
    }
}

impl From<AllocateResponseProto> for AllocateResponse {
    fn from(response: AllocateResponseProto) -> Self {
        Self {
            response_id: response.response_id(),
            cluster_nodes: u32::try_from(response.num_cluster_nodes()).unwrap_or(0),
            command: response.am_command.map(AmCommand::from_wire),
            allocated: response.allocated_containers.into_iter().map(Into::into).collect(),
            completed: response.completed_container_statuses.into_iter().map(Into::into).collect(),
            nm_tokens: response.nm_tokens.into_iter().map(Into::into).collect(),
            headroom: response.limit.map(Into::into).unwrap_or_default(),
            updated_nodes: response.updated_nodes.into_iter().map(Into::into).collect(),
            preemption: response.preempt.map(Into::into),
            am_rm_token: response.am_rm_token.map(Into::into),
            priority: response.application_priority.and_then(|priority| priority.priority),
            previous_containers: response.containers_from_previous_attempts.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<PreemptionMessageProto> for Preemption {
    fn from(message: PreemptionMessageProto) -> Self {
        let strict = message.strict_contract.unwrap_or_default();
        let contract = message.contract.unwrap_or_default();
        let id = |container: crate::proto::yarn::PreemptionContainerProto| container.id.map(Into::into);
        Self {
            strict: strict.container.into_iter().filter_map(id).collect(),
            negotiable: contract.container.into_iter().filter_map(id).collect(),
            resources: contract.resource.into_iter().filter_map(|wish| wish.resource.map(Into::into)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::yarn::{PreemptionContainerProto, PreemptionContractProto, StrictPreemptionContractProto};

    #[test]
    fn preemption_tells_what_is_certain_from_what_is_not() {
        let container = |id| PreemptionContainerProto { id: Some(ContainerId { id, ..ContainerId::default() }.into()) };
        let message = PreemptionMessageProto {
            strict_contract: Some(StrictPreemptionContractProto { container: vec![container(1)] }),
            contract: Some(PreemptionContractProto {
                resource: Vec::new(),
                container: vec![container(2), container(3)],
            }),
        };
        let preemption = Preemption::from(message);
        assert_eq!(preemption.strict.iter().map(|id| id.id).collect::<Vec<_>>(), [1]);
        assert_eq!(preemption.negotiable.iter().map(|id| id.id).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn a_heartbeat_without_changes_asks_for_nothing() {
        let proto = AllocateRequestProto::from(AllocateRequest { response_id: 4, ..AllocateRequest::default() });
        assert!(proto.ask.is_empty() && proto.blacklist_request.is_none() && proto.response_id == Some(4));
        let asks = vec![ResourceRequest::anywhere(1, Resource::new(128, 1), 0, 7)];
        let proto = AllocateRequestProto::from(AllocateRequest { asks, ..AllocateRequest::default() });
        assert_eq!(proto.ask[0].num_containers, Some(0), "taking back is said");
    }
}
