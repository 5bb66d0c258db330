use flink_graph::Artifact;
use flink_protocol::deployment::{
    ApplicationDescription, BINARY_FILE, CONTAINER_SECRET, ContainerDescription, ContainerFile, ContainerFileKind,
    ContainerFileVisibility, DEPLOYMENT_VERSION, Leader, TLS_SECRET, WORKER_TLS_SECRET,
};
use flink_protocol::worker::TlsMaterial;
use flink_transport::tls::certificate_name;
use flink_transport::{AuthorityError, CertificateAuthority, Role};
use hadoop_rpc::yarn::{
    AccessControl, Container, ContainerLaunchContext, LocalResource, LocalResourceKind, Visibility,
};
use hadoop_rpc::{Credentials, Secret};
use tokio::sync::watch;

/// TaskManagers outlive the leader that has started them, and so do their certificates: what protects from an old leader
/// is the epoch of the messages.
const EPOCH_OF_ALL: u64 = 0;

/// What is run in the containers of TaskManagers.
#[derive(Debug)]
pub struct TaskManagerLaunch {
    /// The application.
    pub description: ApplicationDescription,
    /// This attempt.
    pub leader: Leader,
    /// Makes the keys of each TaskManager.
    pub authority: CertificateAuthority,
    /// Tokens for the file system, the newest; no others.
    pub tokens: watch::Receiver<Credentials>,
    /// The program that is among the files of the containers.
    pub program: Option<Artifact>,
}

/// What is to be run cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// A certificate cannot be made.
    #[error("cannot make the keys of a TaskManager: {0}")]
    Keys(#[from] AuthorityError),
    /// Something has no JSON form.
    #[error("cannot describe a TaskManager's container: {0}")]
    Description(#[from] serde_json::Error),
}

impl TaskManagerLaunch {
    /// What the NodeManager is to run in a container.
    ///
    /// # Errors
    /// Keys cannot be made.
    pub fn context(&self, container: &Container) -> Result<ContainerLaunchContext, LaunchError> {
        let containers = &self.description.task_manager;
        let files = containers.resources.iter().map(|file| (file.name.clone(), local_resource(file)));
        Ok(ContainerLaunchContext {
            local_resources: files.collect(),
            environment: containers.environment.clone(),
            commands: vec![format!(
                "exec ./{BINARY_FILE} taskmanager --yarn 1><LOG_DIR>/taskmanager.out 2><LOG_DIR>/taskmanager.err"
            )],
            credentials: self.credentials(container)?,
            access: AccessControl {
                view: self.description.view_acls.clone(),
                modify: self.description.modify_acls.clone(),
            },
            ..ContainerLaunchContext::default()
        })
    }

    fn describe(&self, container: &Container) -> ContainerDescription {
        ContainerDescription {
            version: DEPLOYMENT_VERSION,
            application_id: self.description.application_id.clone(),
            staging: self.description.staging.clone(),
            leader: self.leader.clone(),
            memory_mb: container.resource.memory_mb,
            vcores: container.resource.vcores,
            slots: self.description.task_manager.slots,
            configuration: self.description.configuration.clone(),
            program: self.program.clone(),
        }
    }

    fn credentials(&self, container: &Container) -> Result<Credentials, LaunchError> {
        let mut credentials = self.tokens.borrow().clone();
        credentials.add_secret(CONTAINER_SECRET, Secret::new(serde_json::to_vec(&self.describe(container))?));
        let name = certificate_name(&container.id.to_string());
        for (role, secret) in [(Role::TaskManager, TLS_SECRET), (Role::Worker, WORKER_TLS_SECRET)] {
            let material: TlsMaterial = self.authority.issue(role, &name, EPOCH_OF_ALL)?;
            credentials.add_secret(secret, Secret::new(serde_json::to_vec(&material)?));
        }
        Ok(credentials)
    }
}

fn local_resource(file: &ContainerFile) -> LocalResource {
    LocalResource {
        url: file.uri.clone(),
        size: file.size,
        timestamp_ms: file.timestamp,
        kind: match file.kind {
            ContainerFileKind::File => LocalResourceKind::File,
            ContainerFileKind::Archive => LocalResourceKind::Archive,
        },
        visibility: match file.visibility {
            ContainerFileVisibility::Public => Visibility::Public,
            ContainerFileVisibility::Private => Visibility::Private,
            ContainerFileVisibility::Application => Visibility::Application,
        },
    }
}
