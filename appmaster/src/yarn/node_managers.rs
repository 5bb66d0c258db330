use std::collections::HashMap;
use std::time::Duration;

use hadoop_rpc::Configuration;
use hadoop_rpc::credentials::Token;
use hadoop_rpc::ipc::RetryPolicy;
use hadoop_rpc::yarn::{
    Container, ContainerId, ContainerLaunchContext, ContainerManagement, NmToken, NodeId, StartContainer,
};

/// How long a NodeManager is tried that cannot be reached: another node is found sooner.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Tokens for NodeManagers, and the clients that use them. A token comes once, with the first container of a node.
#[derive(Debug)]
pub(super) struct NodeManagers {
    configuration: Configuration,
    tokens: HashMap<NodeId, Token>,
    clients: HashMap<NodeId, ContainerManagement>,
}

impl NodeManagers {
    pub(super) fn new(configuration: Configuration) -> Self {
        Self { configuration, tokens: HashMap::new(), clients: HashMap::new() }
    }

    /// Keeps tokens; one for a node that has one already replaces it.
    pub(super) fn keep(&mut self, tokens: Vec<NmToken>) {
        for NmToken { node, token } in tokens {
            self.clients.remove(&node);
            self.tokens.insert(node, token);
        }
    }

    /// The client of a node.
    pub(super) fn client(&mut self, node: &NodeId) -> Result<ContainerManagement, String> {
        if let Some(client) = self.clients.get(node) {
            return Ok(client.clone());
        }
        let token = self.tokens.get(node).ok_or_else(|| format!("YARN gave no token for the node {node}"))?;
        let client = ContainerManagement::new(&self.configuration, node, token.clone());
        let client = client.map_err(|error| error.to_string())?.with_retry(RetryPolicy::patient(CALL_TIMEOUT));
        self.clients.insert(node.clone(), client.clone());
        Ok(client)
    }
}

/// Starts a container; when the answer is lost, looks whether it was started.
pub(super) async fn start(
    client: ContainerManagement,
    container: Container,
    context: ContainerLaunchContext,
) -> Result<(), String> {
    let id = container.id;
    let start = StartContainer { context, token: container.token };
    match client.start(vec![start]).await {
        Ok(failures) => match failures.into_iter().next() {
            None => Ok(()),
            Some(failure) => Err(failure.exception.to_string()),
        },
        Err(error) => match client.statuses(&[id]).await {
            Ok((statuses, _)) if statuses.iter().any(|status| status.id == id) => Ok(()),
            _ => Err(error.to_string()),
        },
    }
}

/// Stops a container. It is released at the ResourceManager as well, so that nothing depends on this.
pub(super) async fn stop(client: ContainerManagement, id: ContainerId) {
    match client.stop(&[id]).await {
        Ok(failures) if failures.is_empty() => {}
        Ok(failures) => {
            tracing::debug!(container = %id, failure = %failures[0].exception, "the container was not stopped")
        }
        Err(error) => tracing::debug!(container = %id, %error, "the container was not stopped"),
    }
}
