use std::sync::Arc;

use crate::configuration::Configuration;
use crate::credentials::{Credentials, RM_DELEGATION_TOKEN_KIND, Token};
use crate::endpoint::find_token;
use crate::error::{Endpoint, Error};
use crate::ipc::{Client, Identity, Method, Protocol, RetryPolicy, ServerPrincipal, Settings};
use crate::proto::security::{
    CancelDelegationTokenRequestProto, CancelDelegationTokenResponseProto, GetDelegationTokenRequestProto,
    GetDelegationTokenResponseProto, RenewDelegationTokenRequestProto, RenewDelegationTokenResponseProto,
};
use crate::proto::yarn_service::{
    FailApplicationAttemptRequestProto, FailApplicationAttemptResponseProto, GetApplicationAttemptsRequestProto,
    GetApplicationAttemptsResponseProto, GetApplicationReportRequestProto, GetApplicationReportResponseProto,
    GetApplicationsRequestProto, GetApplicationsResponseProto, GetClusterMetricsRequestProto,
    GetClusterMetricsResponseProto, GetClusterNodeLabelsRequestProto, GetClusterNodeLabelsResponseProto,
    GetClusterNodesRequestProto, GetClusterNodesResponseProto, GetContainersRequestProto, GetContainersResponseProto,
    GetNewApplicationRequestProto, GetNewApplicationResponseProto, GetQueueInfoRequestProto, GetQueueInfoResponseProto,
    GetQueueUserAclsInfoRequestProto, GetQueueUserAclsInfoResponseProto, KillApplicationRequestProto,
    KillApplicationResponseProto, MoveApplicationAcrossQueuesRequestProto, MoveApplicationAcrossQueuesResponseProto,
    SignalContainerRequestProto, SignalContainerResponseProto, SubmitApplicationRequestProto,
    SubmitApplicationResponseProto, UpdateApplicationPriorityRequestProto, UpdateApplicationPriorityResponseProto,
};
use crate::user::User;
use crate::yarn::application::{ApplicationReport, ApplicationSubmission, AttemptReport};
use crate::yarn::cluster::{ClusterMetrics, NodeLabel, NodeReport, QueueInfo};
use crate::yarn::container::ContainerReport;
use crate::yarn::ids::{ApplicationAttemptId, ApplicationId, ContainerId};
use crate::yarn::priority;
use crate::yarn::resource::Resource;
use crate::yarn::resource_manager::{self, CLIENT, PRINCIPAL_KEY, SERVICE};
use crate::yarn::states::{ApplicationState, ContainerSignal, NodeState, QueueAcl};

const PROTOCOL: Protocol = Protocol { name: "org.apache.hadoop.yarn.api.ApplicationClientProtocolPB", version: 1 };

/// What a client says to the ResourceManager: submit, look at and end applications; look at nodes and queues.
#[derive(Clone, Debug)]
pub struct ApplicationClient {
    client: Client,
    configuration: Arc<Configuration>,
}

/// An application's id that nobody else has, and how large its containers may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewApplication {
    /// The id.
    pub id: ApplicationId,
    /// The largest container that the scheduler gives.
    pub maximum: Resource,
}

/// Which applications are listed. Everything that is empty allows any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplicationFilter {
    /// Their types.
    pub types: Vec<String>,
    /// Their states.
    pub states: Vec<ApplicationState>,
    /// Their users.
    pub users: Vec<String>,
    /// Their queues.
    pub queues: Vec<String>,
    /// Their tags.
    pub tags: Vec<String>,
    /// Their name.
    pub name: Option<String>,
    /// At most so many.
    pub limit: Option<u32>,
}

impl ApplicationClient {
    /// A client of the configured ResourceManagers, with a delegation token for them where `credentials` hold one.
    pub fn new(configuration: &Configuration, user: &User, credentials: &Credentials) -> Result<Self, Error> {
        let endpoints = resource_manager::endpoints(configuration, CLIENT)?;
        let service = || resource_manager::delegation_token_service(configuration);
        let identity = Identity {
            user: user.clone(),
            token: find_token(credentials, RM_DELEGATION_TOKEN_KIND, service)?,
            server: Some(ServerPrincipal::new(configuration, PRINCIPAL_KEY)),
        };
        let client = Client::new(SERVICE, endpoints, PROTOCOL, identity, Settings::new(configuration)?);
        Ok(Self { client, configuration: Arc::new(configuration.clone()) })
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

    /// Who must be the renewer of delegation tokens that are handed to an application: the ResourceManager renews them
    /// while it runs, and refuses an application whose tokens it cannot renew. None without Kerberos.
    #[must_use]
    pub fn token_renewer(&self) -> Option<String> {
        let principal = self.configuration.get_trimmed(PRINCIPAL_KEY)?;
        let host = self.endpoints().first()?.host.to_ascii_lowercase();
        Some(principal.replace("_HOST", &host))
    }

    /// An id for a new application.
    pub async fn new_application(&self) -> Result<NewApplication, Error> {
        const METHOD: Method = Method::idempotent("getNewApplication");
        let response: GetNewApplicationResponseProto =
            self.client.call(METHOD, &GetNewApplicationRequestProto {}).await?;
        Ok(NewApplication {
            id: response.application_id.map(Into::into).unwrap_or_default(),
            maximum: response.maximum_capability.map(Into::into).unwrap_or_default(),
        })
    }

    /// Submits an application. It is accepted when this returns; whether it runs is for [`Self::report`] to tell.
    pub async fn submit(&self, submission: ApplicationSubmission) -> Result<(), Error> {
        const METHOD: Method = Method::idempotent("submitApplication");
        let request = SubmitApplicationRequestProto { application_submission_context: Some(submission.into()) };
        let _: SubmitApplicationResponseProto = self.client.call(METHOD, &request).await?;
        Ok(())
    }

    /// What is known of an application; `ApplicationNotFoundException` when nothing is.
    pub async fn report(&self, id: ApplicationId) -> Result<ApplicationReport, Error> {
        const METHOD: Method = Method::idempotent("getApplicationReport");
        let request = GetApplicationReportRequestProto { application_id: Some(id.into()) };
        let response: GetApplicationReportResponseProto = self.client.call(METHOD, &request).await?;
        Ok(response.application_report.unwrap_or_default().into())
    }

    /// The applications that a filter lets through.
    pub async fn applications(&self, filter: &ApplicationFilter) -> Result<Vec<ApplicationReport>, Error> {
        const METHOD: Method = Method::idempotent("getApplications");
        let request = GetApplicationsRequestProto {
            application_types: filter.types.clone(),
            application_states: filter.states.iter().map(|state| state.to_wire()).collect(),
            users: filter.users.clone(),
            queues: filter.queues.clone(),
            limit: filter.limit.map(i64::from),
            // YARN compares tags with those of applications, which it keeps in lower case.
            application_tags: filter.tags.iter().map(|tag| tag.to_lowercase()).collect(),
            scope: None,
            name: filter.name.clone(),
        };
        let response: GetApplicationsResponseProto = self.client.call(METHOD, &request).await?;
        Ok(response.applications.into_iter().map(Into::into).collect())
    }

    /// Kills an application, and says whether it is over. While it is not, ask again.
    pub async fn kill(&self, id: ApplicationId, diagnostics: Option<&str>) -> Result<bool, Error> {
        const METHOD: Method = Method::idempotent("forceKillApplication");
        let diagnostics = diagnostics.map(str::to_owned);
        let request = KillApplicationRequestProto { application_id: Some(id.into()), diagnostics };
        let response: KillApplicationResponseProto = self.client.call(METHOD, &request).await?;
        Ok(response.is_kill_completed())
    }

    /// Ends the current attempt as failed; the next one is started if there may be one.
    pub async fn fail_attempt(&self, id: ApplicationAttemptId) -> Result<(), Error> {
        const METHOD: Method = Method::once("failApplicationAttempt");
        let request = FailApplicationAttemptRequestProto { application_attempt_id: Some(id.into()) };
        let _: FailApplicationAttemptResponseProto = self.client.call(METHOD, &request).await?;
        Ok(())
    }

    /// The attempts of an application.
    pub async fn attempts(&self, id: ApplicationId) -> Result<Vec<AttemptReport>, Error> {
        const METHOD: Method = Method::idempotent("getApplicationAttempts");
        let request = GetApplicationAttemptsRequestProto { application_id: Some(id.into()) };
        let response: GetApplicationAttemptsResponseProto = self.client.call(METHOD, &request).await?;
        Ok(response.application_attempts.into_iter().map(Into::into).collect())
    }

    /// The containers of an attempt; those that are over are known for a while only.
    pub async fn containers(&self, id: ApplicationAttemptId) -> Result<Vec<ContainerReport>, Error> {
        const METHOD: Method = Method::idempotent("getContainers");
        let request = GetContainersRequestProto { application_attempt_id: Some(id.into()) };
        let response: GetContainersResponseProto = self.client.call(METHOD, &request).await?;
        Ok(response.containers.into_iter().map(Into::into).collect())
    }

    /// Nodes in these states; in any where none is given.
    pub async fn nodes(&self, states: &[NodeState]) -> Result<Vec<NodeReport>, Error> {
        const METHOD: Method = Method::idempotent("getClusterNodes");
        let request = GetClusterNodesRequestProto { node_states: states.iter().map(|state| state.to_wire()).collect() };
        let response: GetClusterNodesResponseProto = self.client.call(METHOD, &request).await?;
        Ok(response.node_reports.into_iter().map(Into::into).collect())
    }

    /// The labels that nodes can have; none where the cluster has labels switched off.
    pub async fn node_labels(&self) -> Result<Vec<NodeLabel>, Error> {
        const METHOD: Method = Method::idempotent("getClusterNodeLabels");
        let response: GetClusterNodeLabelsResponseProto =
            self.client.call(METHOD, &GetClusterNodeLabelsRequestProto {}).await?;
        Ok(response.node_labels.into_iter().map(Into::into).collect())
    }

    /// How many nodes are in which state.
    pub async fn cluster_metrics(&self) -> Result<ClusterMetrics, Error> {
        const METHOD: Method = Method::idempotent("getClusterMetrics");
        let response: GetClusterMetricsResponseProto =
            self.client.call(METHOD, &GetClusterMetricsRequestProto {}).await?;
        Ok(response.cluster_metrics.map(Into::into).unwrap_or_default())
    }

    /// A queue by its name or path, with all queues below it; `root` has every queue. None when there is none.
    pub async fn queue(&self, name: &str) -> Result<Option<QueueInfo>, Error> {
        const METHOD: Method = Method::idempotent("getQueueInfo");
        let request = GetQueueInfoRequestProto {
            queue_name: Some(name.to_owned()),
            include_applications: Some(false),
            include_child_queues: Some(true),
            recursive: Some(true),
        };
        let response: GetQueueInfoResponseProto = self.client.call(METHOD, &request).await?;
        Ok(response.queue_info.map(Into::into))
    }

    /// What the user may do with each queue.
    pub async fn queue_acls(&self) -> Result<Vec<(String, Vec<QueueAcl>)>, Error> {
        const METHOD: Method = Method::idempotent("getQueueUserAcls");
        let response: GetQueueUserAclsInfoResponseProto =
            self.client.call(METHOD, &GetQueueUserAclsInfoRequestProto {}).await?;
        let acls = |acls: Vec<i32>| acls.into_iter().map(QueueAcl::from_wire).collect();
        let entries = response.queue_user_acls.into_iter();
        Ok(entries.map(|entry| (entry.queue_name.unwrap_or_default(), acls(entry.user_acls))).collect())
    }

    /// Moves an application to another queue.
    pub async fn move_to_queue(&self, id: ApplicationId, queue: &str) -> Result<(), Error> {
        const METHOD: Method = Method::idempotent("moveApplicationAcrossQueues");
        let (application_id, target_queue) = (id.into(), queue.to_owned());
        let request = MoveApplicationAcrossQueuesRequestProto { application_id, target_queue };
        let _: MoveApplicationAcrossQueuesResponseProto = self.client.call(METHOD, &request).await?;
        Ok(())
    }

    /// Changes an application's priority; gives the one it got, as queues have a highest one.
    pub async fn set_priority(&self, id: ApplicationId, to: i32) -> Result<i32, Error> {
        const METHOD: Method = Method::idempotent("updateApplicationPriority");
        let (application_id, application_priority) = (id.into(), priority(to));
        let request = UpdateApplicationPriorityRequestProto { application_id, application_priority };
        let response: UpdateApplicationPriorityResponseProto = self.client.call(METHOD, &request).await?;
        Ok(response.application_priority.and_then(|priority| priority.priority).unwrap_or(to))
    }

    /// Sends a signal to a container's process.
    pub async fn signal(&self, container: ContainerId, signal: ContainerSignal) -> Result<(), Error> {
        const METHOD: Method = Method::once("signalToContainer");
        let request = SignalContainerRequestProto { container_id: container.into(), command: signal.to_wire() };
        let _: SignalContainerResponseProto = self.client.call(METHOD, &request).await?;
        Ok(())
    }

    /// A delegation token that `renewer` may renew. Servers give one only to those who show a Kerberos ticket, and
    /// none where there is no security.
    pub async fn delegation_token(&self, renewer: &str) -> Result<Option<Token>, Error> {
        const METHOD: Method = Method::idempotent("getDelegationToken");
        let request = GetDelegationTokenRequestProto { renewer: renewer.to_owned() };
        let response: GetDelegationTokenResponseProto = self.client.call(METHOD, &request).await?;
        let Some(token) = response.token else { return Ok(None) };
        let service = resource_manager::delegation_token_service(&self.configuration)?;
        Ok(Some(Token::from(token).with_service(service)))
    }

    /// Renews a delegation token; gives when it ends, in milliseconds since 1970.
    pub async fn renew_delegation_token(&self, token: &Token) -> Result<u64, Error> {
        const METHOD: Method = Method::idempotent("renewDelegationToken");
        let request = RenewDelegationTokenRequestProto { token: token.to_proto() };
        let response: RenewDelegationTokenResponseProto = self.client.call(METHOD, &request).await?;
        Ok(response.new_expiry_time)
    }

    /// Cancels a delegation token.
    pub async fn cancel_delegation_token(&self, token: &Token) -> Result<(), Error> {
        const METHOD: Method = Method::idempotent("cancelDelegationToken");
        let request = CancelDelegationTokenRequestProto { token: token.to_proto() };
        let _: CancelDelegationTokenResponseProto = self.client.call(METHOD, &request).await?;
        Ok(())
    }
}
