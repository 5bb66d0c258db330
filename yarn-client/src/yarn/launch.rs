//! What YARN is asked to run: pure functions from the plan and what was staged to YARN's own descriptions.

use std::collections::{BTreeMap, BTreeSet};

use flink_graph::Configuration;
use flink_protocol::deployment::{
    APPLICATION_FILE, AUTHORITY_SECRET, ApplicationDescription, ApplicationMode, BINARY_FILE, ContainerFile,
    ContainerFileKind, ContainerFileVisibility, DEPLOYMENT_VERSION, REST_TOKEN_SECRET, TaskManagerContainers,
};
use flink_transport::{CertificateAuthority, RestToken};
use hadoop_rpc::credentials::Credentials;
use hadoop_rpc::secret::Secret;
use hadoop_rpc::yarn::{
    AccessControl, ApplicationId, ApplicationSubmission, ContainerLaunchContext, LocalResource, LocalResourceKind,
    LogAggregationContext, Resource, Visibility,
};

use super::plan::{Plan, Size};

/// What an application finds in HDFS.
#[derive(Debug, Clone, Default)]
pub(crate) struct Staged {
    /// URI of its folder, without a slash at the end.
    pub(crate) folder: String,
    /// Files of every container.
    pub(crate) shared: Vec<ContainerFile>,
    /// Files of the ApplicationMaster alone.
    pub(crate) master: Vec<ContainerFile>,
    /// The file systems that it uses.
    pub(crate) name_nodes: BTreeSet<String>,
}

/// Who runs the application.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    /// The user.
    pub(crate) user: String,
    /// Whether the cluster takes our word for it: then the containers must give theirs.
    pub(crate) by_name: bool,
    /// Attempts that the ResourceManager allows.
    pub(crate) attempts: u32,
    /// Where its TaskManagers may be.
    pub(crate) places: Places,
}

/// Where containers can be, in YARN's own names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    /// The racks of the cluster.
    pub(crate) racks: Vec<String>,
    /// The hosts of its nodes.
    pub(crate) hosts: Vec<String>,
}

/// Of a worker: threads that are no slots, for files and for the network, take memory, too.
const ARENAS_BESIDE_SLOTS: u32 = 2;

/// What the ApplicationMaster reads.
pub(crate) fn description(
    plan: &Plan,
    id: ApplicationId,
    owner: &Owner,
    mode: ApplicationMode,
    configuration: Configuration,
    staged: &Staged,
) -> ApplicationDescription {
    let mut environment = plan.task_manager_environment.clone();
    add_user(&mut environment, owner);
    limit_arenas(&mut environment, plan.slots.saturating_add(ARENAS_BESIDE_SLOTS));
    ApplicationDescription {
        version: DEPLOYMENT_VERSION,
        application_id: id.to_string(),
        name: plan.name.clone(),
        user: owner.user.clone(),
        mode,
        configuration,
        staging: staged.folder.clone(),
        max_attempts: plan.attempts.unwrap_or(owner.attempts).min(owner.attempts),
        task_manager: TaskManagerContainers {
            memory_mb: plan.task_manager.memory_mb,
            vcores: plan.task_manager.vcores,
            slots: plan.slots,
            resources: staged.shared.clone(),
            environment,
            node_label: plan.task_manager_node_label.clone(),
            priority: 1,
        },
        racks: owner.places.racks.clone(),
        hosts: owner.places.hosts.clone(),
        view_acls: plan.view_acls.clone(),
        modify_acls: plan.modify_acls.clone(),
        name_nodes: staged.name_nodes.clone(),
    }
}

/// What the ResourceManager is asked for.
pub(crate) fn submission(
    plan: &Plan,
    id: ApplicationId,
    owner: &Owner,
    staged: &Staged,
    credentials: Credentials,
) -> ApplicationSubmission {
    let mut environment = plan.master_environment.clone();
    add_user(&mut environment, owner);
    limit_arenas(&mut environment, 1);
    let files = staged.shared.iter().chain(&staged.master);
    let master = ContainerLaunchContext {
        local_resources: files.map(|file| (file.name.clone(), local_resource(file))).collect(),
        environment,
        commands: vec![command()],
        credentials,
        service_data: BTreeMap::new(),
        access: AccessControl { view: plan.view_acls.clone(), modify: plan.modify_acls.clone() },
    };
    ApplicationSubmission {
        queue: Some(plan.queue.clone()),
        priority: plan.priority,
        application_type: plan.application_type.clone(),
        tags: plan.tags.clone(),
        node_label: plan.node_label.clone(),
        max_attempts: plan.attempts,
        attempt_failures_validity: plan.attempts_validity,
        // The next attempt takes over what runs.
        keep_containers_across_attempts: true,
        log_aggregation: log_aggregation(plan),
        ..ApplicationSubmission::new(id, plan.name.clone(), master, plan.master.into())
    }
}

impl From<Size> for Resource {
    fn from(size: Size) -> Self {
        Self::new(size.memory_mb, size.vcores)
    }
}

impl From<Resource> for Size {
    fn from(resource: Resource) -> Self {
        Self { memory_mb: resource.memory_mb, vcores: resource.vcores }
    }
}

/// Without double quotes: YARN puts it between them.
fn command() -> String {
    format!("exec ./{BINARY_FILE} appmaster 1><LOG_DIR>/jobmanager.out 2><LOG_DIR>/jobmanager.err")
}

fn add_user(environment: &mut BTreeMap<String, String>, owner: &Owner) {
    if owner.by_name {
        environment.insert("HADOOP_USER_NAME".to_owned(), owner.user.clone());
    }
}

/// The C library reserves 64 MB of addresses for each thread that takes memory, up to eight times the number of processors.
/// Hadoop's default is to end a container that has more than 2.1 times as many addresses as memory.
fn limit_arenas(environment: &mut BTreeMap<String, String>, most: u32) {
    environment.entry("MALLOC_ARENA_MAX".to_owned()).or_insert_with(|| most.to_string());
}

fn log_aggregation(plan: &Plan) -> Option<LogAggregationContext> {
    let (rolled_include, rolled_exclude) = plan.rolled_logs.clone();
    let wanted = rolled_include.is_some() || rolled_exclude.is_some();
    wanted.then(|| LogAggregationContext { rolled_include, rolled_exclude, ..LogAggregationContext::default() })
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

/// The secrets of the ApplicationMaster's container, beside the tokens that it gets.
pub(crate) fn credentials(mut tokens: Credentials, authority: &CertificateAuthority, rest: &RestToken) -> Credentials {
    tokens.add_secret(AUTHORITY_SECRET, Secret::new(authority.export().expose().as_bytes()));
    tokens.add_secret(REST_TOKEN_SECRET, Secret::new(rest.expose().as_bytes()));
    tokens
}

/// The description as a file that the ApplicationMaster finds.
pub(crate) fn description_file(uri: String, size: u64, timestamp: i64) -> ContainerFile {
    application_file(APPLICATION_FILE, uri, size, timestamp)
}

/// A file for the containers of this application only.
pub(crate) fn application_file(name: &str, uri: String, size: u64, timestamp: i64) -> ContainerFile {
    let visibility = ContainerFileVisibility::Application;
    ContainerFile { name: name.to_owned(), uri, size, timestamp, kind: ContainerFileKind::File, visibility }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yarn::plan::Kind;

    fn id() -> ApplicationId {
        "application_1700000000000_0007".parse().unwrap()
    }

    fn plan(settings: &[(&str, &str)]) -> Plan {
        let mut configuration = Configuration::default();
        for (key, value) in settings {
            configuration.set(*key, *value);
        }
        Plan::new(Kind::Session, &configuration, None).unwrap()
    }

    fn staged() -> Staged {
        let file = |name: &str| application_file(name, format!("hdfs://nn/{name}"), 5, 17);
        Staged {
            folder: "hdfs://nn/s".to_owned(),
            shared: vec![file("flink-yarn")],
            master: vec![file("application.json")],
            ..Staged::default()
        }
    }

    fn owner() -> Owner {
        Owner { user: "alice".to_owned(), by_name: true, attempts: 2, places: Places::default() }
    }

    #[test]
    fn the_application_master_gets_its_files_and_its_user() {
        let made = submission(&plan(&[("yarn.tags", "a")]), id(), &owner(), &staged(), Credentials::new());
        assert_eq!(made.master.local_resources.keys().collect::<Vec<_>>(), ["application.json", "flink-yarn"]);
        assert_eq!(made.master.local_resources["flink-yarn"].timestamp_ms, 17);
        assert_eq!(made.master.environment["HADOOP_USER_NAME"], "alice");
        assert_eq!(made.master.environment["MALLOC_ARENA_MAX"], "1");
        assert_eq!(
            made.master.commands,
            ["exec ./flink-yarn appmaster 1><LOG_DIR>/jobmanager.out 2><LOG_DIR>/jobmanager.err"]
        );
        assert!(made.keep_containers_across_attempts && made.max_attempts.is_none() && made.log_aggregation.is_none());
        assert_eq!((made.tags, made.queue.as_deref()), (vec!["a".to_owned()], Some("default")));
    }

    #[test]
    fn attempts_are_never_more_than_yarn_allows() {
        let made = |settings: &[(&str, &str)]| {
            let mode = ApplicationMode::Session;
            description(&plan(settings), id(), &owner(), mode, Configuration::default(), &staged())
        };
        assert_eq!(made(&[]).max_attempts, 2);
        assert_eq!(made(&[("yarn.application-attempts", "1")]).max_attempts, 1);
        assert_eq!(made(&[("yarn.application-attempts", "9")]).max_attempts, 2);
        let made = made(&[]);
        assert_eq!(made.task_manager.resources.len(), 1);
        assert_eq!(made.task_manager.environment["HADOOP_USER_NAME"], "alice");
        assert_eq!(made.task_manager.environment["MALLOC_ARENA_MAX"], "3");
    }

    #[test]
    fn secrets_are_in_the_credentials_and_nowhere_else() {
        let (authority, token) = (CertificateAuthority::new("application-1").unwrap(), RestToken::generate().unwrap());
        let made = credentials(Credentials::new(), &authority, &token);
        assert_eq!(made.secret(REST_TOKEN_SECRET).unwrap().expose(), token.expose().as_bytes());
        let submitted = submission(&plan(&[]), id(), &owner(), &staged(), made);
        let printed = format!("{submitted:?}");
        assert!(!printed.contains(token.expose()) && !printed.contains("PRIVATE KEY"), "{printed}");
    }
}
