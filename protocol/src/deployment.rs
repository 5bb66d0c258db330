//! What a client, the ApplicationMaster and the TaskManagers' containers of one YARN application say to one another
//! through files, the environment and YARN's credentials.
//!
//! | what | written by | read by | where |
//! |---|---|---|---|
//! | `ApplicationDescription` | client | ApplicationMaster | `APPLICATION_FILE`, a local resource of its container |
//! | `ContainerDescription` | ApplicationMaster | TaskManager | YARN's container credentials, `CONTAINER_SECRET` |
//! | `Leader` | each attempt of the ApplicationMaster | TaskManagers | `leader.EPOCH.json` in the staging folder; the highest counts |
//! | `ClientCredentials` | client | the same user's clients | `CLIENT_CREDENTIALS_FILE` in the staging folder, mode 600 |
//! | secrets | client, ApplicationMaster | ApplicationMaster, TaskManager | secret keys of YARN's container credentials |
//!
//! Files are JSON. The configuration, which is in both descriptions, may hold secrets of users: nothing of this is in an
//! environment or a command line, and all files are for the application's user alone.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use flink_graph::{Artifact, Configuration};

use crate::Epoch;
use crate::worker::TlsMaterial;

/// Version of these files; another one is refused.
pub const DEPLOYMENT_VERSION: u32 = 1;

/// Name of the [`ApplicationDescription`] in the staging folder and in the ApplicationMaster's container.
pub const APPLICATION_FILE: &str = "application.json";

/// Name of the [`ClientCredentials`] file in the staging folder.
pub const CLIENT_CREDENTIALS_FILE: &str = "client.credentials";

/// Name of the binary in every container.
pub const BINARY_FILE: &str = "flink-yarn";

/// Secret key of a TaskManager's container: its [`ContainerDescription`], as JSON.
pub const CONTAINER_SECRET: &str = "flink-yarn.container";

/// Secret key of the ApplicationMaster's container: the certificate authority with its key, as exported by
/// `CertificateAuthority::export`.
pub const AUTHORITY_SECRET: &str = "flink-yarn.authority";

/// Secret key of the ApplicationMaster's container: the token of the REST API, 64 hexadecimal digits.
pub const REST_TOKEN_SECRET: &str = "flink-yarn.rest-token";

/// Secret key of a TaskManager's container: its [`TlsMaterial`], as JSON.
pub const TLS_SECRET: &str = "flink-yarn.tls";

/// Secret key of a TaskManager's container: the [`TlsMaterial`] of its workers, as JSON.
pub const WORKER_TLS_SECRET: &str = "flink-yarn.worker-tls";

/// Environment variable with a text from which a client derives the ids of a program's jobs. The ApplicationMaster sets
/// it for the program that it runs, so that the program of a second attempt finds the jobs of the first, and no job that
/// has finished is run again.
pub const JOB_IDS_VARIABLE: &str = "FLINK_YARN_JOB_IDS";

/// What the ApplicationMaster must know about its application. No secret in it but what the configuration holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApplicationDescription {
    /// [`DEPLOYMENT_VERSION`] of the client that wrote it.
    pub version: u32,
    /// `application_…` as YARN prints it.
    pub application_id: String,
    /// The application's name.
    pub name: String,
    /// The user on whose behalf it runs.
    pub user: String,
    /// What it is for.
    pub mode: ApplicationMode,
    /// The effective configuration: file, `-D` and options of the command.
    pub configuration: Configuration,
    /// URI of the staging folder of this application, without a slash at the end.
    pub staging: String,
    /// Attempts that the ResourceManager allows, so that the last one tidies up.
    pub max_attempts: u32,
    /// The containers of its TaskManagers.
    pub task_manager: TaskManagerContainers,
    /// The racks of the cluster's nodes, as YARN names them: a wish for a host must name its rack as well.
    #[serde(default = "default_racks")]
    pub racks: Vec<String>,
    /// The hosts of the cluster's nodes, as YARN names them: HDFS may have other names for them.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Who may see (`view`) and end (`modify`) the application, as YARN writes access lists: `user,user group,group`.
    #[serde(default)]
    pub view_acls: Option<String>,
    /// See `view_acls`.
    #[serde(default)]
    pub modify_acls: Option<String>,
    /// The HDFS file systems that it uses: name services, or `host:port`. On a secure cluster the client has obtained a
    /// token for each, and the ApplicationMaster obtains newer ones where it has a keytab.
    #[serde(default)]
    pub name_nodes: BTreeSet<String>,
}

/// The rack of hosts in a cluster that tells no racks apart.
#[must_use]
pub fn default_racks() -> Vec<String> {
    vec!["/default-rack".to_owned()]
}

/// What an application is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ApplicationMode {
    /// Runs what clients submit, until it is stopped.
    Session,
    /// Runs the `main` of a program beside the ApplicationMaster, and ends with it.
    Application {
        /// The program; a file of this name is in the container.
        program: Artifact,
        /// Its arguments.
        arguments: Vec<String>,
    },
    /// Runs one job, and ends with it.
    PerJob {
        /// File in the container with the JobGraph (MessagePack); its program is a file in the container, too.
        job_graph: String,
    },
}

/// What the containers of TaskManagers are like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskManagerContainers {
    /// Memory of a container, mebibytes: what is asked of YARN, which may round it up.
    pub memory_mb: u64,
    /// Cores of a container.
    pub vcores: u32,
    /// Slots of a TaskManager.
    pub slots: u32,
    /// Files that YARN puts into the container: the binary ([`BINARY_FILE`]), the program where there is one, ship files.
    pub resources: Vec<ContainerFile>,
    /// Variables of the container's environment. The NodeManager expands `$NAME`.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Label of the nodes that they run on.
    #[serde(default)]
    pub node_label: Option<String>,
    /// Priority of the requests; smaller comes first.
    #[serde(default)]
    pub priority: i32,
}

/// A file in the file system that YARN copies to a container ("local resource").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerFile {
    /// Its name in the container's folder.
    pub name: String,
    /// Where it is.
    pub uri: String,
    /// Size, bytes: must be the file's.
    pub size: u64,
    /// Time of its last modification, milliseconds since 1970: must be the file's.
    pub timestamp: i64,
    /// What it is.
    #[serde(default)]
    pub kind: ContainerFileKind,
    /// Who shares the copy on a node.
    #[serde(default)]
    pub visibility: ContainerFileVisibility,
}

/// What a [`ContainerFile`] is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerFileKind {
    /// A file.
    #[default]
    File,
    /// An archive (.zip, .tar.gz, .tgz, .jar) that is unpacked into a folder of the name.
    Archive,
}

/// Who shares the copy of a [`ContainerFile`] on a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerFileVisibility {
    /// Everybody; the file must be readable by all.
    Public,
    /// The applications of the user.
    #[default]
    Private,
    /// This application.
    Application,
}

/// What a TaskManager in a container must know. No secret in it but what the configuration holds. The TaskManager's id is the
/// container's, the host the one that YARN names (`NM_HOST`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerDescription {
    /// [`DEPLOYMENT_VERSION`] of the ApplicationMaster.
    pub version: u32,
    /// `application_…` as YARN prints it.
    pub application_id: String,
    /// The staging folder, where a later leader is found.
    pub staging: String,
    /// The leader that started the container.
    pub leader: Leader,
    /// Memory of the container as it was granted, mebibytes.
    pub memory_mb: u64,
    /// Cores of the container as it was granted.
    pub vcores: u32,
    /// Slots to offer.
    pub slots: u32,
    /// The effective configuration.
    pub configuration: Configuration,
    /// The program, where a file of its name is in the container.
    #[serde(default)]
    pub program: Option<Artifact>,
}

/// The attempt of the ApplicationMaster that leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leader {
    /// Number of the attempt: the epoch of its messages.
    pub epoch: Epoch,
    /// Host of its ports.
    pub host: String,
    /// Port for clients and TaskManagers (mutual TLS).
    pub rpc_port: u16,
    /// URL of its REST API; the token is asked for.
    pub rest_url: String,
}

impl Leader {
    /// `host:port` for clients and TaskManagers.
    #[must_use]
    pub fn rpc_address(&self) -> String {
        format!("{}:{}", self.host, self.rpc_port)
    }
}

/// What the commands of a user need to reach the JobManager of an application. Never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientCredentials {
    /// [`DEPLOYMENT_VERSION`] of the client that wrote it.
    pub version: u32,
    /// Certificate and key of a client of this cluster.
    pub tls: TlsMaterial,
    /// Token of the REST API.
    pub rest_token: String,
}

impl std::fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientCredentials(***)")
    }
}

/// The name of a YARN application or container as certificates can carry it: `application_1_2` → `application-1-2`.
#[must_use]
pub fn certificate_name(id: &str) -> String {
    id.to_lowercase().replace('_', "-")
}
