use std::time::Duration;

use hadoop_rpc::credentials::RM_DELEGATION_TOKEN_KIND;
use hadoop_rpc::ipc::RetryPolicy;
use hadoop_rpc::yarn::{
    ApplicationClient, ApplicationFilter, ApplicationId, ApplicationReport, ApplicationState, ApplicationSubmission,
    AttemptReport, NewApplication, NodeReport, NodeState, QueueInfo,
};
use hadoop_rpc::{Error, User};

use super::hadoop::Hadoop;
use super::plan::Size;
use super::{explain, tokens};
use crate::error::{ClientError, Exit, Result};

/// What another service of Hadoop answers.
const NO_SUCH_PROTOCOL: &str = "RpcNoSuchProtocolException";

/// Longest wait for an answer of a ResourceManager that has answered before: it may be restarting, or another take over.
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(60);

/// The ResourceManager, in the words of commands: every call ends, and errors say what to do.
#[derive(Clone)]
pub(crate) struct ResourceManager {
    /// For the first calls of a command: soon given up.
    first: ApplicationClient,
    /// For calls behind them.
    patient: ApplicationClient,
    user: User,
    first_contact: Duration,
}

impl ResourceManager {
    /// Whom to ask. Nothing is connected yet.
    pub(crate) fn new(hadoop: &Hadoop) -> Result<Self> {
        let (user, tokens) = (hadoop.user()?, tokens::given()?);
        if user.no_ticket().is_some() && tokens.token_of_kind(RM_DELEGATION_TOKEN_KIND).is_none() {
            return Err(tokens::no_ticket(&user));
        }
        let client = ApplicationClient::new(&hadoop.configuration, &user, &tokens);
        let client = client.map_err(|error| failed("be found", &error))?;
        let first_contact = hadoop.first_contact;
        // The reason is known before the time is up.
        let first = client.clone().with_retry(RetryPolicy::patient(first_contact.mul_f64(0.7)));
        let patient = client.with_retry(RetryPolicy::patient(FAILOVER_TIMEOUT));
        Ok(Self { first, patient, user, first_contact })
    }

    /// The name of the user who asks.
    pub(crate) fn user(&self) -> &str {
        self.user.name()
    }

    /// Who that is, for other services.
    pub(crate) fn identity(&self) -> &User {
        &self.user
    }

    /// Who renews the tokens of applications: the ResourceManager, by its principal.
    pub(crate) fn token_renewer(&self) -> Result<String> {
        self.first.token_renewer().ok_or_else(|| {
            ClientError::usage(
                "yarn.resourcemanager.principal is not set: it names who renews the application's tokens",
            )
            .hint("set it as the cluster's yarn-site.xml does; `flink-yarn doctor` looks at all of it")
        })
    }

    /// An id for a new application, and the largest container that there can be. The first call of a command: it is given
    /// up soon, since the configuration is wrong more often than the ResourceManager is slow.
    pub(crate) async fn new_application(&self) -> Result<NewApplication> {
        within(self.first_contact, "give an id for a new application", self.first.new_application()).await
    }

    /// Submits an application.
    pub(crate) async fn submit(&self, submission: ApplicationSubmission) -> Result<()> {
        within(FAILOVER_TIMEOUT, "take the application", self.patient.submit(submission)).await
    }

    /// What is known of an application.
    pub(crate) async fn report(&self, id: ApplicationId) -> Result<ApplicationReport> {
        within(FAILOVER_TIMEOUT, "report on the application", self.patient.report(id)).await
    }

    /// The same as the first call of a command; none when there is no such application.
    pub(crate) async fn find(&self, id: ApplicationId) -> Result<Option<ApplicationReport>> {
        let call = async {
            match self.first.report(id).await {
                Ok(report) => Ok(Some(report)),
                Err(error) if error.is_remote("ApplicationNotFoundException") => Ok(None),
                Err(error) => Err(error),
            }
        };
        within(self.first_contact, "report on the application", call).await
    }

    /// The attempts of an application.
    pub(crate) async fn attempts(&self, id: ApplicationId) -> Result<Vec<AttemptReport>> {
        within(FAILOVER_TIMEOUT, "report on the application's attempts", self.patient.attempts(id)).await
    }

    /// Ends an application.
    pub(crate) async fn kill(&self, id: ApplicationId, reason: &str) -> Result<()> {
        within(FAILOVER_TIMEOUT, "end the application", self.patient.kill(id, Some(reason))).await.map(|_| ())
    }

    /// The nodes in all states.
    pub(crate) async fn nodes(&self) -> Result<Vec<NodeReport>> {
        within(self.first_contact, "list the nodes", self.first.nodes(&[])).await
    }

    /// A queue; none when there is none of the name.
    pub(crate) async fn queue(&self, name: &str) -> Result<Option<QueueInfo>> {
        within(self.first_contact, "look at the queue", self.first.queue(name)).await
    }

    /// Applications of a queue that have not ended.
    pub(crate) async fn living(&self, queue: &str) -> Result<Vec<ApplicationReport>> {
        let states = vec![ApplicationState::Submitted, ApplicationState::Accepted, ApplicationState::Running];
        let filter = ApplicationFilter { queues: vec![queue.to_owned()], states, ..ApplicationFilter::default() };
        within(self.first_contact, "list the queue's applications", self.first.applications(&filter)).await
    }

    /// The names of the labels that nodes can have.
    pub(crate) async fn node_labels(&self) -> Result<Vec<String>> {
        let labels = within(self.first_contact, "list the labels of nodes", self.first.node_labels()).await?;
        Ok(labels.into_iter().map(|label| label.name).collect())
    }

    /// All queues, those in others behind them.
    pub(crate) async fn queues(&self) -> Result<Vec<QueueInfo>> {
        let root = within(self.first_contact, "list the queues", self.first.queue("root")).await?;
        let mut flat = Vec::new();
        flatten(root.map(|root| root.children).unwrap_or_default(), &mut flat);
        Ok(flat)
    }
}

fn flatten(queues: Vec<QueueInfo>, into: &mut Vec<QueueInfo>) {
    for mut queue in queues {
        let children = std::mem::take(&mut queue.children);
        into.push(queue);
        flatten(children, into);
    }
}

/// A node as far as room on it goes; none when it takes no containers.
pub(crate) fn room(node: &NodeReport) -> Option<explain::Node> {
    let usable = node.state.is_usable() && node.state != NodeState::Decommissioning;
    usable.then(|| explain::Node {
        name: node.id.to_string(),
        total: node.capability.into(),
        used: node.used.into(),
        labels: node.labels.clone(),
    })
}

/// Why a container does not come, a reason a line, as nodes and queue have it.
pub(crate) fn reasons(
    container: Size,
    label: Option<&str>,
    nodes: &[NodeReport],
    queue: Option<&QueueInfo>,
    diagnostics: &str,
) -> String {
    let nodes: Vec<_> = nodes.iter().filter_map(room).collect();
    let queue = queue.map(queue_room);
    let waiting = explain::Waiting { container, label, queue: queue.as_ref(), nodes: &nodes, diagnostics };
    explain::reasons(&waiting).join("\n  ")
}

/// A queue as far as room in it goes.
pub(crate) fn queue_room(queue: &QueueInfo) -> explain::Queue {
    explain::Queue {
        name: queue.name.clone(),
        running: queue.state == hadoop_rpc::yarn::QueueState::Running,
        capacity: f64::from(queue.capacity),
        maximum: f64::from(queue.maximum_capacity),
        used: f64::from(queue.current_capacity),
        of_cluster: f64::from(queue.absolute_maximum_capacity.unwrap_or(queue.maximum_capacity)),
    }
}

async fn within<T>(
    limit: Duration,
    what: &'static str,
    call: impl Future<Output = std::result::Result<T, Error>>,
) -> Result<T> {
    match tokio::time::timeout(limit, call).await {
        Ok(result) => result.map_err(|error| failed(what, &error)),
        Err(_) => Err(ClientError::new(Exit::Unreachable, format!("the ResourceManager could not {what}"))
            .because_text(format!("no answer within {} s", limit.as_secs()))
            .hint("check yarn.resourcemanager.address in yarn-site.xml; `flink-yarn doctor` looks at the way to it")),
    }
}

fn failed(what: &str, error: &Error) -> ClientError {
    let exit = match error {
        Error::Configuration(_) | Error::OtherProtocol { .. } | Error::Authentication { .. } => Exit::Usage,
        error if error.is_remote(NO_SUCH_PROTOCOL) => Exit::Usage,
        error if error.is_transient() => Exit::Unreachable,
        _ => Exit::Failed,
    };
    let made = ClientError::new(exit, format!("the ResourceManager could not {what}")).because(error);
    match error {
        Error::Remote(exception) => match hint(exception.simple_class(), &exception.message) {
            Some(hint) => made.hint(hint),
            None => made,
        },
        Error::Authentication { .. } => made.hint(
            "get a ticket with kinit, or set security.kerberos.login.principal and security.kerberos.login.keytab",
        ),
        _ => made.hint("`flink-yarn doctor` looks at the configuration and at the way to the ResourceManager"),
    }
}

fn hint(class: &str, message: &str) -> Option<&'static str> {
    match class {
        NO_SUCH_PROTOCOL => {
            Some("another service of Hadoop answers there: check yarn.resourcemanager.address in yarn-site.xml")
        }
        "AccessControlException" => Some("choose a queue that you may use (--queue), or ask its administrator"),
        "InvalidResourceRequestException" => Some(
            "ask for less with --jobmanager-memory, --taskmanager-memory or --slots; `flink-yarn session -q` shows what there is",
        ),
        _ if message.contains("unknown queue") || message.contains("does not exist") => {
            Some("`flink-yarn session -q` lists the queues; --queue chooses one")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_resource_manager_is_told_in_time() {
        let error =
            within(Duration::from_secs(8), "list the nodes", std::future::pending::<std::result::Result<(), Error>>())
                .await
                .unwrap_err();
        assert_eq!(error.exit(), Exit::Unreachable);
        let text = error.to_string();
        assert!(text.contains("could not list the nodes") && text.contains("within 8 s"), "{text}");
    }

    #[test]
    fn refusals_say_what_to_do() {
        assert!(hint("RpcNoSuchProtocolException", "").unwrap().contains("yarn.resourcemanager.address"));
        assert!(hint("InvalidResourceRequestException", "").unwrap().contains("--taskmanager-memory"));
        assert!(hint("YarnException", "submitted by user a to unknown queue: b").unwrap().contains("--queue"));
        assert_eq!(hint("YarnException", "something"), None);
    }
}
