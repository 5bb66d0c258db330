/// What is found out before anything is changed.
mod prepare;

/// What is put into HDFS.
mod stage;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use flink_console::human;
use flink_graph::configuration::options;
use flink_graph::{Configuration, JobGraph};
use flink_protocol::deployment::certificate_name;
use flink_transport::{CertificateAuthority, RestToken, Role};
use hadoop_rpc::yarn::{ApplicationId, ApplicationReport};

use super::application::Application;
use super::artifacts::{Content, Program, Uploader};
use super::hadoop::{self, Hadoop};
use super::launch::{self, Owner, Places};
use super::plan::{Plan, Size};
use super::resource_manager::ResourceManager;
use super::shutdown::ENDED_BY_CLIENT;
use super::staging::{Staging, StagingRoot, client_credentials};
use crate::error::{ClientError, Result};
use crate::{output, settings};

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

    fn owner(&self, places: &Places) -> Result<Owner> {
        let key = "yarn.resourcemanager.am.max-attempts";
        let attempts = self.hadoop.configuration.get_i64(key).map_err(|error| hadoop::wrong(&error))?;
        let attempts = attempts.and_then(|attempts| u32::try_from(attempts).ok()).unwrap_or(2).max(1);
        let (user, by_name) = (self.resource_manager.user().to_owned(), !self.hadoop.is_secure());
        Ok(Owner { user, by_name, attempts, places: places.clone() })
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
