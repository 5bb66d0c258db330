use crate::configuration::Configuration;
use crate::credentials::Token;
use crate::error::{Endpoint, Error};
use crate::ipc::{Client, Identity, Method, Protocol, RetryPolicy, Settings};
use crate::proto::yarn_service::{
    ContainerExceptionMapProto, GetContainerStatusesRequestProto, GetContainerStatusesResponseProto,
    SignalContainerRequestProto, SignalContainerResponseProto, StartContainerRequestProto, StartContainersRequestProto,
    StartContainersResponseProto, StopContainersRequestProto, StopContainersResponseProto,
};
use crate::user::User;
use crate::yarn::container::{ContainerFailure, ContainerStatus};
use crate::yarn::ids::{ContainerId, NodeId};
use crate::yarn::launch::ContainerLaunchContext;
use crate::yarn::states::ContainerSignal;

const PROTOCOL: Protocol = Protocol { name: "org.apache.hadoop.yarn.api.ContainerManagementProtocolPB", version: 1 };

/// What an ApplicationMaster says to a NodeManager: start, look at, and stop containers.
#[derive(Clone, Debug)]
pub struct ContainerManagement {
    client: Client,
}

/// A container to start: what runs in it, and the token that came with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartContainer {
    /// What runs in it.
    pub context: ContainerLaunchContext,
    /// The container's token.
    pub token: Token,
}

impl ContainerManagement {
    /// A client of a NodeManager, with the token for it.
    pub fn new(configuration: &Configuration, node: &NodeId, token: Token) -> Result<Self, Error> {
        let endpoint = Endpoint::new("NodeManager", node.host.clone(), node.port);
        let identity = Identity::with_token(User::simple(""), token);
        let client = Client::new("NodeManager", vec![endpoint], PROTOCOL, identity, Settings::new(configuration)?);
        Ok(Self { client })
    }

    /// The same, with other patience.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.client = self.client.with_retry(retry);
        self
    }

    /// Shows another token from the next call on.
    pub async fn set_token(&self, token: Token) {
        self.client.set_token(token).await;
    }

    /// Starts containers. Those that are not among the failures are being localised when this returns. When the answer
    /// is lost nobody knows; ask for the statuses then.
    pub async fn start(&self, containers: Vec<StartContainer>) -> Result<Vec<ContainerFailure>, Error> {
        const METHOD: Method = Method::once("startContainers");
        let request = |container: StartContainer| StartContainerRequestProto {
            container_launch_context: Some(container.context.into()),
            container_token: Some(container.token.to_proto()),
        };
        let start_container_request = containers.into_iter().map(request).collect();
        let request = StartContainersRequestProto { start_container_request };
        let response: StartContainersResponseProto = self.client.call(METHOD, &request).await?;
        Ok(self.failures(response.failed_requests))
    }

    /// Stops containers.
    pub async fn stop(&self, containers: &[ContainerId]) -> Result<Vec<ContainerFailure>, Error> {
        const METHOD: Method = Method::idempotent("stopContainers");
        let request = StopContainersRequestProto { container_id: containers.iter().map(|id| (*id).into()).collect() };
        let response: StopContainersResponseProto = self.client.call(METHOD, &request).await?;
        Ok(self.failures(response.failed_requests))
    }

    /// How containers are, and those of which the NodeManager does not know.
    pub async fn statuses(
        &self,
        containers: &[ContainerId],
    ) -> Result<(Vec<ContainerStatus>, Vec<ContainerFailure>), Error> {
        const METHOD: Method = Method::idempotent("getContainerStatuses");
        let container_id = containers.iter().map(|id| (*id).into()).collect();
        let request = GetContainerStatusesRequestProto { container_id };
        let response: GetContainerStatusesResponseProto = self.client.call(METHOD, &request).await?;
        let statuses = response.status.into_iter().map(Into::into).collect();
        Ok((statuses, self.failures(response.failed_requests)))
    }

    /// Sends a signal to a container's process.
    pub async fn signal(&self, container: ContainerId, signal: ContainerSignal) -> Result<(), Error> {
        const METHOD: Method = Method::once("signalToContainer");
        let request = SignalContainerRequestProto { container_id: container.into(), command: signal.to_wire() };
        let _: SignalContainerResponseProto = self.client.call(METHOD, &request).await?;
        Ok(())
    }

    fn failures(&self, failures: Vec<ContainerExceptionMapProto>) -> Vec<ContainerFailure> {
        let host = self.client.endpoints().first().map(Endpoint::authority).unwrap_or_default();
        failures.into_iter().map(|failure| ContainerFailure::new(failure, &host)).collect()
    }
}
