use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use flink_console::human;
use flink_graph::configuration::options;
use flink_graph::{Artifact, Configuration, JobGraph};
use flink_protocol::deployment::{
    APPLICATION_FILE, ApplicationDescription, ApplicationMode, ClientCredentials, ContainerFile, certificate_name,
    default_racks,
};
use flink_protocol::wire;
use flink_transport::{CertificateAuthority, RestToken, Role};
use hadoop_rpc::KerberosLogin;
use hadoop_rpc::credentials::Credentials;
use hadoop_rpc::yarn::{ApplicationId, ApplicationReport, NewApplication};

use super::application::Application;
use super::artifacts::{Content, Item, Program, Source, Uploader, items};
use super::hadoop::Hadoop;
use super::labels;
use super::launch::{self, Owner, Places, Staged};
use super::orphaned_staging;
use super::plan::{Plan, Size};
use super::resource_manager::ResourceManager;
use super::shutdown::ENDED_BY_CLIENT;
use super::staging::{Staging, StagingRoot, client_credentials};
use super::tokens;
use crate::error::{ClientError, Result};
use crate::{output, settings};

/// File with the JobGraph of an application for one job.
const JOB_GRAPH_FILE: &str = "job.graph";

/// The keytab in the application's folder.
const KEYTAB_FILE: &str = "krb5.keytab";

/// A file beyond this is no keytab.
const MAX_KEYTAB_BYTES: u64 = 1 << 20;

/// Longest time for what earlier applications have left.
const SWEEP_TIMEOUT: Duration = Duration::from_secs(2);

/// Keys that hold for this host, and for none of the cluster's.
const OF_THIS_HOST: &[&str] = &[
    "security.directory",
    "yarn.properties-file.location",
    "jobmanager.rpc.address",
    "jobmanager.bind-host",
    "taskmanager.host",
    "taskmanager.bind-host",
    "rest.address",
    "execution.target",
    "execution.attached",
    "yarn.application.id",
];

/// What is started in the application.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    /// What clients submit later.
    Session,
    /// The `main` of a program, in the cluster.
    Main {
        /// The program.
        program: Program,
        /// Its arguments.
        arguments: Vec<String>,
    },
    /// One job of a program whose `main` runs here.
    Job {
        /// The program.
        program: Program,
        /// The job; it has its id, and gets its program here.
        graph: Box<JobGraph>,
    },
}

impl Work {
    fn program(&self) -> Option<&Program> {
        match self {
            Self::Session => None,
            Self::Main { program, .. } | Self::Job { program, .. } => Some(program),
        }
    }
}

/// Where the time of a deployment went, milliseconds.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Timings {
    /// Files hashed, an id for the application, the way to HDFS: all at the same time.
    pub(crate) prepared: u64,
    /// Files uploaded, the application's folder written.
    pub(crate) staged: u64,
    /// Taken by the ResourceManager.
    pub(crate) submitted: u64,
    /// From then until the ApplicationMaster has registered: scheduling, localisation, its start.
    pub(crate) running: u64,
    /// Bytes that had to be uploaded.
    pub(crate) uploaded_bytes: u64,
}

impl Timings {
    /// For people: what was ours, and what was YARN's.
    pub(crate) fn text(self) -> String {
        let ms = |millis: u64| human::duration(Duration::from_millis(millis));
        format!(
            "The ApplicationMaster runs after {}: {} to prepare, {} to put files into HDFS, {} to submit, {} for YARN to start it",
            ms(self.prepared + self.staged + self.submitted + self.running),
            ms(self.prepared),
            ms(self.staged),
            ms(self.submitted),
            ms(self.running),
        )
    }
}

/// One application on its way into the cluster. What it leaves behind there is taken away by [`Self::abandon`].
pub(crate) struct Deployment {
    hadoop: Hadoop,
    resource_manager: ResourceManager,
    root: StagingRoot,
    plan: Plan,
    configuration: Configuration,
    /// The folder, once it may exist.
    staging: Option<Staging>,
    /// What is being uploaded.
    uploading: Option<(Uploader, BTreeMap<String, Content>)>,
    /// The application, once it may run.
    submitted: Option<ApplicationId>,
    timings: Timings,
}

/// What is found out while nothing is changed yet.
struct Prepared {
    items: Vec<Item>,
    contents: BTreeMap<String, Content>,
    new: NewApplication,
    tokens: Credentials,
    places: Places,
}

impl Deployment {
    /// Reads Hadoop's configuration; nothing is asked yet.
    pub(crate) fn new(plan: Plan, configuration: Configuration) -> Result<Self> {
        let hadoop = Hadoop::load(&configuration)?;
        let resource_manager = ResourceManager::new(&hadoop)?;
        let root = StagingRoot::new(&hadoop, resource_manager.user(), plan.staging.as_deref())?;
        let (staging, uploading, submitted, timings) = (None, None, None, Timings::default());
        Ok(Self { hadoop, resource_manager, root, plan, configuration, staging, uploading, submitted, timings })
    }

    /// What is started.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The ApplicationMaster's container as YARN rounds it.
    pub(crate) fn rounded_master(&self) -> Result<Size> {
        Ok(self.hadoop.steps()?.rounded(self.plan.master))
    }

    /// Time before it is told why the application does not start.
    pub(crate) fn patience(&self) -> Result<Duration> {
        settings::get(&self.configuration, &options::YARN_DEPLOYMENT_NOTICE)
    }

    /// Where the time went so far.
    pub(crate) fn timings(&self) -> Timings {
        self.timings
    }

    /// Says where YARN gives more than is asked for.
    pub(crate) fn tell_rounding(&self) -> Result<()> {
        let steps = self.hadoop.steps()?;
        let master = steps.notice("ApplicationMaster", "jobmanager.memory.process.size", self.plan.master);
        let workers = steps.notice("TaskManagers", "taskmanager.memory.process.size", self.plan.task_manager);
        [master, workers].into_iter().flatten().for_each(output::notice);
        Ok(())
    }

    /// Stages and submits the application.
    pub(crate) async fn submit(&mut self, work: Work) -> Result<Application> {
        let begun = Instant::now();
        let mut prepared = self.prepare(&work).await?;
        self.check_largest(prepared.new.maximum.into())?;
        self.timings.prepared = millis(begun.elapsed());
        let id = prepared.new.id;
        let authority = CertificateAuthority::new(&certificate_name(&id.to_string()))
            .map_err(|error| ClientError::failed("cannot make the application's keys").because(&error))?;
        let token = RestToken::generate()
            .map_err(|error| ClientError::failed("cannot make the application's token").because(&error))?;
        let client = authority
            .issue(Role::Client, "client", 0)
            .map_err(|error| ClientError::failed("cannot make the client's keys").because(&error))?;
        let client = client_credentials(client, &token);
        let begun = Instant::now();
        let owner = self.owner(&prepared.places)?;
        let staged = self.stage(&prepared, &work, &owner, &client).await?;
        self.timings.staged = millis(begun.elapsed());
        let begun = Instant::now();
        let secrets = launch::credentials(std::mem::take(&mut prepared.tokens), &authority, &token);
        let submission = launch::submission(&self.plan, id, &owner, &staged, secrets);
        self.submitted = Some(id);
        self.resource_manager.submit(submission).await?;
        self.timings.submitted = millis(begun.elapsed());
        let (hadoop, manager, root) = (self.hadoop.clone(), self.resource_manager.clone(), self.root.clone());
        Ok(Application::new(id, hadoop, manager, root, Some(client)))
    }

    /// The application runs: its ApplicationMaster takes its files away when it ends.
    pub(crate) fn is_running(&mut self, since_submitted: Duration) {
        self.timings.running = millis(since_submitted);
        self.staging = None;
    }

    /// Everything that can be found out at the same time.
    async fn prepare(&self, work: &Work) -> Result<Prepared> {
        let items = items(&self.plan, work.program())?;
        let name_nodes = self.name_nodes()?;
        // Without an answer of the ResourceManager nothing else is waited for: it would not come soon either.
        let (contents, new, queue, labels, reachable, tokens, places, ()) = tokio::try_join!(
            async { Ok(contents(items.clone()).await) },
            self.resource_manager.new_application(),
            async { Ok(self.check_queue().await) },
            async { Ok(self.check_labels().await) },
            async { Ok(self.reach_hdfs().await) },
            async { Ok(tokens::obtain(&self.hadoop, &self.resource_manager, &name_nodes).await) },
            async { Ok(self.places().await) },
            async {
                self.sweep().await;
                Ok(())
            },
        )?;
        // The first of them is what the user has to mend first.
        queue?;
        labels?;
        reachable?;
        Ok(Prepared { items, contents: contents?, new, tokens: tokens?, places })
    }

    /// Takes away what earlier applications could not. Does not keep anybody waiting, nor from anything: the next deployment
    /// goes on.
    async fn sweep(&self) {
        let sweeping = async {
            let folders = orphaned_staging::sweep(&self.resource_manager, &self.root).await;
            (folders.unwrap_or(0), orphaned_staging::sweep_artifacts(&self.root).await.unwrap_or(0))
        };
        let (folders, artifacts) = tokio::time::timeout(SWEEP_TIMEOUT, sweeping).await.unwrap_or_default();
        if folders > 0 {
            let of = if folders == 1 { "an application that has" } else { "applications that have" };
            output::notice(format!("Removed from {} what was left of {of} ended", self.root.uri()));
        }
        if artifacts > 0 {
            let (from, days) = (self.root.artifacts_uri(), orphaned_staging::KEPT_DAYS);
            output::notice(format!("Removed from {from} {artifacts} file(s) that were not used for {days} days"));
        }
    }

    /// Racks and hosts of the cluster's nodes. Only the place of TaskManagers depends on it: who may not ask does without.
    async fn places(&self) -> Places {
        let nodes = self.resource_manager.nodes().await.unwrap_or_default();
        let racks: BTreeSet<&String> = nodes.iter().map(|node| &node.rack).filter(|rack| !rack.is_empty()).collect();
        let racks = if racks.is_empty() { default_racks() } else { racks.into_iter().cloned().collect() };
        let hosts: BTreeSet<String> = nodes.into_iter().map(|node| node.id.host).collect();
        Places { racks, hosts: hosts.into_iter().collect() }
    }

    /// The NameNodes that the application speaks to.
    fn name_nodes(&self) -> Result<BTreeSet<String>> {
        let named: Option<String> = settings::get(&self.configuration, &options::KERBEROS_FILE_SYSTEMS)?;
        tokens::name_nodes(&self.hadoop.configuration, self.root.uri(), named.as_deref())
    }

    /// A wrong address is told as such, and not as a failed upload.
    async fn reach_hdfs(&self) -> Result<()> {
        match self.root.hdfs().status(self.root.uri()).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(super::staging::unusable(&error)),
        }
    }

    /// A queue that there is not is told before anything is uploaded.
    async fn check_queue(&self) -> Result<()> {
        // Who may not look at queues learns it when the application is submitted.
        let Ok(None) = self.resource_manager.queue(&self.plan.queue).await else { return Ok(()) };
        let known = self.resource_manager.queues().await.unwrap_or_default();
        let names: Vec<&str> = known.iter().map(|queue| queue.name.as_str()).collect();
        Err(ClientError::usage(format!("there is no queue `{}`", self.plan.queue))
            .hint(format!("choose one of these with --queue: {}", names.join(", "))))
    }

    /// A label that there is not, or that the queue may not use, is told before anything is uploaded: YARN would tell of
    /// that of TaskManagers when the first of them is asked for.
    async fn check_labels(&self) -> Result<()> {
        let plan = &self.plan;
        let wanted: BTreeSet<&String> =
            [&plan.node_label, &plan.task_manager_node_label].into_iter().flatten().collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let (known, queue) =
            tokio::join!(self.resource_manager.node_labels(), self.resource_manager.queue(&plan.queue));
        // Who may not look learns it later.
        let usable = queue.ok().flatten().map(|queue| queue.accessible_node_labels);
        let Ok(known) = known else { return Ok(()) };
        wanted.into_iter().try_for_each(|label| labels::check(label, &known, &plan.queue, usable.as_deref()))
    }

    fn check_largest(&self, largest: Size) -> Result<()> {
        let steps = self.hadoop.steps()?;
        let asked = [
            ("the ApplicationMaster", self.plan.master, "--jobmanager-memory", "yarn.appmaster.vcores"),
            ("a TaskManager", self.plan.task_manager, "--taskmanager-memory", "yarn.containers.vcores"),
        ];
        for (what, size, memory, cores) in asked {
            let rounded = steps.rounded(size);
            if size.memory_mb > largest.memory_mb || size.vcores > largest.vcores {
                return Err(ClientError::usage(format!("{what} is to have {size}; no container may have more than {largest}"))
                    .because_text(format!("with the rounding of YARN it would be {rounded}"))
                    .hint(format!(
                        "ask for less with {memory} and {cores}; the limit is yarn.scheduler.maximum-allocation-mb and -vcores, or \
                         what the largest node has"
                    )));
            }
        }
        Ok(())
    }

    fn owner(&self, places: &Places) -> Result<Owner> {
        let key = "yarn.resourcemanager.am.max-attempts";
        let attempts = self.hadoop.configuration.get_i64(key).map_err(|error| super::hadoop::wrong(&error))?;
        let attempts = attempts.and_then(|attempts| u32::try_from(attempts).ok()).unwrap_or(2).max(1);
        let (user, by_name) = (self.resource_manager.user().to_owned(), !self.hadoop.is_secure());
        Ok(Owner { user, by_name, attempts, places: places.clone() })
    }

    /// Uploads files, then writes the application's folder: a client that dies during the upload leaves none behind.
    async fn stage(
        &mut self,
        prepared: &Prepared,
        work: &Work,
        owner: &Owner,
        client: &ClientCredentials,
    ) -> Result<Staged> {
        let id = prepared.new.id;
        let staging = self.root.of(id);
        let uploader = Uploader::new(self.root.hdfs().clone(), self.root.uri(), self.plan.replication);
        self.uploading = Some((uploader.clone(), prepared.contents.clone()));
        let uploaded = uploader.bring(&prepared.items, &prepared.contents).await?;
        self.uploading = None;
        // The folder comes before what is in it: it keeps others out.
        self.staging = Some(staging.clone());
        staging.create().await?;
        self.timings.uploaded_bytes = uploaded.bytes;
        let mut staged = Staged {
            folder: staging.uri().to_owned(),
            shared: uploaded.files,
            master: Vec::new(),
            name_nodes: self.name_nodes()?,
        };
        let mode = mode(work, &prepared.contents)?;
        let description = launch::description(&self.plan, id, owner, mode, self.effective_configuration(), &staged);
        let (written, described, graph, keytab) = tokio::join!(
            staging.write_credentials(client),
            describe(&staging, &description),
            job_graph(&staging, work, &prepared.contents),
            self.keytab(&staging),
        );
        written?;
        staged.master.push(described?);
        staged.master.extend(graph?);
        staged.master.extend(keytab?);
        Ok(staged)
    }

    /// Puts the keytab into the application's folder, for the ApplicationMaster alone.
    async fn keytab(&self, staging: &Staging) -> Result<Option<ContainerFile>> {
        let Some(KerberosLogin::Keytab { file, .. }) = &self.hadoop.login else { return Ok(None) };
        if !settings::get(&self.configuration, &options::YARN_SHIP_KEYTAB)? {
            return Ok(None);
        }
        let path = file.display();
        let unreadable = |error: &std::io::Error| {
            ClientError::usage(format!("the keytab {path} cannot be read ({})", options::KERBEROS_KEYTAB.key))
                .because(error)
        };
        let size = std::fs::metadata(file).map_err(|error| unreadable(&error))?.len();
        if size > MAX_KEYTAB_BYTES {
            return Err(ClientError::usage(format!("{path} has {size} bytes: that is no keytab")));
        }
        let bytes = std::fs::read(file).map_err(|error| unreadable(&error))?;
        let status = staging.write(KEYTAB_FILE, bytes).await?;
        let name = settings::get(&self.configuration, &options::YARN_LOCALIZED_KEYTAB)?;
        Ok(Some(launch::application_file(&name, status.uri.to_string(), status.length, timestamp(&status))))
    }

    /// Ours, and what of Hadoop's the processes need; what this host alone has stays here.
    fn effective_configuration(&self) -> Configuration {
        let mut configuration = Configuration(self.hadoop.handed_on());
        configuration.overlay(&self.configuration);
        if let (Some(_), Ok(there)) = (
            self.configuration.raw(options::KERBEROS_KEYTAB.key),
            settings::get(&self.configuration, &options::YARN_LOCALIZED_KEYTAB),
        ) {
            configuration.set(options::KERBEROS_KEYTAB.key, there);
        }
        OF_THIS_HOST.iter().for_each(|key| {
            configuration.0.remove(*key);
        });
        configuration.0.retain(|key, _| !key.starts_with("containerized."));
        configuration
    }

    /// Takes away what the deployment has left in the cluster. For its failure, or when the user has interrupted it.
    pub(crate) async fn abandon(&mut self) {
        let told = |error: ClientError| output::notice(format!("{error}"));
        if let Some(id) = self.submitted.take()
            && let Err(error) = self.end(id).await
        {
            told(error);
        }
        if let Some((uploader, contents)) = self.uploading.take() {
            uploader.discard(&contents).await;
        }
        if let Some(staging) = self.staging.take()
            && let Err(error) = staging.remove().await
        {
            told(error);
        }
    }

    async fn end(&self, id: ApplicationId) -> Result<()> {
        match self.resource_manager.find(id).await? {
            Some(ApplicationReport { state, .. }) if !state.is_terminal() => {
                self.resource_manager.kill(id, ENDED_BY_CLIENT).await
            }
            _ => Ok(()),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn timestamp(status: &flink_hdfs::HdfsStatus) -> i64 {
    i64::try_from(status.modified_millis).unwrap_or(i64::MAX)
}

/// Hashes the local files among the items, on other threads.
async fn contents(items: Vec<Item>) -> Result<BTreeMap<String, Content>> {
    let mut hashing = tokio::task::JoinSet::new();
    for item in items {
        if let Source::Local { path, executable } = item.source {
            hashing.spawn_blocking(move || Content::of(&path, executable).map(|content| (item.name, content)));
        }
    }
    let mut contents = BTreeMap::new();
    while let Some(hashed) = hashing.join_next().await {
        let hashed = hashed.map_err(|error| ClientError::failed("hashing a file did not end").because(&error))?;
        let (name, content) = hashed?;
        contents.insert(name, content);
    }
    Ok(contents)
}

fn artifact(program: &Program, contents: &BTreeMap<String, Content>) -> Result<Artifact> {
    let content = contents.get(&program.name);
    let content = content.ok_or_else(|| ClientError::failed(format!("the program {} was not hashed", program.name)))?;
    Ok(Artifact { name: program.name.clone(), sha256: content.sha256.clone(), size: content.size })
}

fn mode(work: &Work, contents: &BTreeMap<String, Content>) -> Result<ApplicationMode> {
    Ok(match work {
        Work::Session => ApplicationMode::Session,
        Work::Main { program, arguments } => {
            ApplicationMode::Application { program: artifact(program, contents)?, arguments: arguments.clone() }
        }
        Work::Job { .. } => ApplicationMode::PerJob { job_graph: JOB_GRAPH_FILE.to_owned() },
    })
}

/// Writes what the ApplicationMaster reads first.
async fn describe(staging: &Staging, description: &ApplicationDescription) -> Result<ContainerFile> {
    let bytes = serde_json::to_vec(description)
        .map_err(|error| ClientError::failed("the application's description has no JSON form").because(&error))?;
    let status = staging.write(APPLICATION_FILE, bytes).await?;
    Ok(launch::description_file(status.uri.to_string(), status.length, timestamp(&status)))
}

/// Writes the job's graph, where there is one, and gives it as a file of the ApplicationMaster.
async fn job_graph(
    staging: &Staging,
    work: &Work,
    contents: &BTreeMap<String, Content>,
) -> Result<Option<ContainerFile>> {
    let Work::Job { program, graph } = work else { return Ok(None) };
    let mut graph = graph.clone();
    graph.program = Some(artifact(program, contents)?);
    let bytes =
        wire::encode(&graph).map_err(|error| ClientError::failed("cannot encode the job's graph").because(&error))?;
    let status = staging.write(JOB_GRAPH_FILE, bytes).await?;
    Ok(Some(launch::application_file(JOB_GRAPH_FILE, status.uri.to_string(), status.length, timestamp(&status))))
}
