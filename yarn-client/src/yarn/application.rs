use std::fmt;
use std::time::{Duration, Instant};

use flink_graph::Configuration;
use flink_graph::configuration::options;
use flink_protocol::deployment::ClientCredentials;
use hadoop_rpc::yarn::{ApplicationId, ApplicationReport, ApplicationState};

use super::diagnostics;
use super::hadoop::Hadoop;
use super::resource_manager::ResourceManager;
use super::staging::{Staging, StagingRoot};
use crate::connection::Cluster;
use crate::error::{ClientError, Exit, Result};
use crate::settings;

/// Longest wait for an application to end that was told to.
pub(crate) const END_TIMEOUT: Duration = Duration::from_secs(30);

/// An application of ours on YARN, known by its id.
#[derive(Clone)]
pub(crate) struct Application {
    id: ApplicationId,
    hadoop: Hadoop,
    resource_manager: ResourceManager,
    root: StagingRoot,
    /// What opens its ports, when it is known already.
    credentials: Option<ClientCredentials>,
}

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Application({})", self.id)
    }
}

impl Application {
    pub(crate) fn new(
        id: ApplicationId,
        hadoop: Hadoop,
        resource_manager: ResourceManager,
        root: StagingRoot,
        credentials: Option<ClientCredentials>,
    ) -> Self {
        Self { id, hadoop, resource_manager, root, credentials }
    }

    /// An application that was started before.
    pub(crate) fn find(id: ApplicationId, configuration: &Configuration) -> Result<Self> {
        let hadoop = Hadoop::load(configuration)?;
        let resource_manager = ResourceManager::new(&hadoop)?;
        let folder = settings::get(configuration, &options::YARN_STAGING_DIRECTORY)?;
        let root = StagingRoot::new(&hadoop, resource_manager.user(), folder.as_deref())?;
        Ok(Self::new(id, hadoop, resource_manager, root, None))
    }

    /// The cluster that it runs on.
    pub(crate) fn hadoop(&self) -> &Hadoop {
        &self.hadoop
    }

    /// Its id.
    pub(crate) fn id(&self) -> ApplicationId {
        self.id
    }

    /// Its folder.
    pub(crate) fn staging(&self) -> Staging {
        self.root.of(self.id)
    }

    /// Where the files of all applications are.
    pub(crate) fn root(&self) -> &StagingRoot {
        &self.root
    }

    /// Whom to ask about it.
    pub(crate) fn resource_manager(&self) -> &ResourceManager {
        &self.resource_manager
    }

    /// What is known of it.
    pub(crate) async fn report(&self) -> Result<ApplicationReport> {
        self.resource_manager.report(self.id).await
    }

    /// Its cluster, for commands.
    pub(crate) async fn cluster(self, configuration: &Configuration) -> Result<Cluster> {
        let (report, keys) = self.look().await?;
        let report = report.ok_or_else(|| self.unknown())?;
        self.cluster_as(&report, keys, configuration)
    }

    /// What the ResourceManager knows of it, and its keys in HDFS: both are asked at the same time.
    pub(crate) async fn look(&self) -> Result<(Option<ApplicationReport>, Option<ClientCredentials>)> {
        let staging = self.staging();
        let keys = async {
            match &self.credentials {
                Some(credentials) => Ok(Some(credentials.clone())),
                None => staging.credentials().await,
            }
        };
        let (report, keys) = tokio::join!(self.resource_manager.find(self.id), keys);
        let report = report?;
        // Of an application that has ended, the keys are of no interest.
        let keys = if report.as_ref().is_some_and(|report| !report.state.is_terminal()) { keys? } else { None };
        Ok((report, keys))
    }

    /// Its cluster, with what was found out about it.
    pub(crate) fn cluster_as(
        mut self,
        report: &ApplicationReport,
        keys: Option<ClientCredentials>,
        configuration: &Configuration,
    ) -> Result<Cluster> {
        if keys.is_none() && self.is_somebody_elses(report) && !report.state.is_terminal() {
            // The ResourceManager may hide where it runs.
            return Err(self.not_ours(report));
        }
        let address = self.address(report)?;
        let Some(keys) = keys else { return Err(self.not_ours(report)) };
        let material = keys.tls.clone();
        self.credentials = Some(keys);
        Cluster::on_yarn(address, material, self, configuration)
    }

    /// `host:port` of its JobManager now.
    pub(crate) fn address(&self, report: &ApplicationReport) -> Result<String> {
        match (report.state, u16::try_from(report.rpc_port)) {
            (ApplicationState::Running, Ok(port @ 1..)) => Ok(format!("{}:{port}", report.host)),
            (state, _) if state.is_terminal() => Err(self.ended(report)),
            (state, _) => {
                Err(ClientError::new(Exit::Unreachable, format!("application {} is {state}, not RUNNING yet", self.id))
                    .because_text(super::explain::said(&report.diagnostics).unwrap_or_default())
                    .hint("wait until it has started; `flink-yarn doctor` says what it may be waiting for"))
            }
        }
    }

    fn ended(&self, report: &ApplicationReport) -> ClientError {
        ClientError::new(Exit::Unreachable, format!("application {} has ended: {}", self.id, outcome(report)))
            .because_text(diagnostics::cause(&report.diagnostics))
            .hint(format!("its logs: flink-yarn logs --application-id {}", self.id))
    }

    pub(super) fn unknown(&self) -> ClientError {
        ClientError::new(Exit::Unreachable, format!("the ResourceManager knows no application {}", self.id))
            .hint("it may have ended long ago, or belong to another cluster: see HADOOP_CONF_DIR")
    }

    pub(super) fn is_somebody_elses(&self, report: &ApplicationReport) -> bool {
        report.user != self.resource_manager.user()
    }

    fn not_ours(&self, report: &ApplicationReport) -> ClientError {
        let error = ClientError::usage(format!("there are no keys for application {} in {}", self.id, self.root.uri()));
        if self.is_somebody_elses(report) {
            return error.hint(format!(
                "it belongs to {}, and you are {}: only who has started an application can use it",
                report.user,
                self.resource_manager.user()
            ));
        }
        error.hint(format!(
            "it is of the type `{}`; only applications that flink-yarn has started can be used with it. One that was \
             started with another yarn.staging-directory is found with the same -D",
            report.application_type
        ))
    }

    /// Whether its ApplicationMaster ever had a container: only then are there logs.
    pub(crate) async fn had_a_container(&self) -> bool {
        let attempts = self.resource_manager.attempts(self.id).await.unwrap_or_default();
        attempts.iter().any(|attempt| attempt.master_container.is_some())
    }

    /// Waits until it has ended.
    pub(crate) async fn wait_for_end(&self, limit: Duration) -> Result<ApplicationReport> {
        let begun = Instant::now();
        loop {
            let report = self.report().await?;
            if report.state.is_terminal() {
                return Ok(report);
            }
            if begun.elapsed() > limit {
                return Err(ClientError::failed(format!(
                    "application {} has not ended within {} s",
                    self.id,
                    limit.as_secs()
                ))
                .hint(format!("flink-yarn kill {}", self.id)));
            }
            tokio::time::sleep(pause(begun.elapsed())).await;
        }
    }
}

/// How an application ended, in YARN's words.
pub(crate) fn outcome(report: &ApplicationReport) -> String {
    match report.state {
        ApplicationState::Finished => format!("{} ({})", report.state, report.final_status),
        state => state.to_string(),
    }
}

/// Pause between two questions: short while something is about to happen, long when it takes its time.
pub(crate) fn pause(elapsed: Duration) -> Duration {
    let millis = match elapsed.as_secs() {
        0..5 => 40,
        5..30 => 250,
        _ => 1_000,
    };
    Duration::from_millis(millis)
}
