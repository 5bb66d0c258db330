use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flink_appmaster::rest::{self, AccessToken, RestOptions, RestServer};
use flink_appmaster::server::{Handle, JobManagerServer, ServerOptions};
use flink_appmaster::yarn::driver::DriverConfig;
use flink_appmaster::yarn::{ContainerService, ServiceEnd, TaskManagerLaunch};
use flink_graph::{Artifact, Configuration, JobGraph, JobId, options};
use flink_hdfs::Hdfs;
use flink_protocol::deployment::{
    APPLICATION_FILE, AUTHORITY_SECRET, ApplicationDescription, ApplicationMode, DEPLOYMENT_VERSION, Leader,
    REST_TOKEN_SECRET,
};
use flink_transport::tls::certificate_name;
use flink_transport::{CertificateAuthority, Role};
use hadoop_rpc::Credentials;
use hadoop_rpc::credentials::AMRM_TOKEN_KIND;
use hadoop_rpc::ipc::RetryPolicy;
use hadoop_rpc::yarn::ApplicationMaster;
use tokio::sync::watch;

use super::environment::{self, ContainerEnvironment, StartError};
use super::farewell;
use super::job_store::HdfsJobStore;
use super::leader::LeaderFile;
use super::mode::{self, Outcome};
use super::program::ProgramRun;
use super::proxy;
use super::token_files::TokenFiles;
use super::token_keeper::{self, TokenKeeper};
use crate::{logging, process};

/// How long the ResourceManager is waited for, at the beginning and at the end.
const REGISTRATION_TIMEOUT: Duration = Duration::from_secs(600);

/// Time for clients that wait for a result to take it before the ports close.
const RESULT_GRACE_PERIOD: Duration = Duration::from_millis(200);

/// Time for `main` to end once its jobs have failed since there are no containers for them.
const FAILURE_REPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// `flink-yarn appmaster`
pub(super) fn execute() -> u8 {
    logging::start(environment::log_file("jobmanager.err").as_deref());
    let ended = process::runtime().map_err(StartError::from).and_then(|runtime| runtime.block_on(run()));
    match ended {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!(error = %chain(&*error), "the ApplicationMaster ends");
            1
        }
    }
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// Everything that an ApplicationMaster is made of.
struct Master {
    environment: ContainerEnvironment,
    description: ApplicationDescription,
    configuration: Configuration,
    hadoop: hadoop_rpc::Configuration,
    hdfs: Hdfs,
    authority: CertificateAuthority,
    graph: Option<JobGraph>,
    program: Option<Artifact>,
    began: Instant,
}

async fn run() -> Result<(), StartError> {
    let began = Instant::now();
    let told_to_end = process::told_to_end()?;
    let (master, mut tokens) = Master::prepare(began)?;
    tracing::info!(container = %master.environment.container, version = env!("CARGO_PKG_VERSION"), "starting");
    tokens.begin().await;
    let yarn = master.resource_manager()?;
    let (handle, rest) = master.start_job_manager().await?;
    // Before anybody can ask for it: clients come as soon as the application is registered.
    let job = match &master.graph {
        Some(graph) => Some(mode::submit_job(&handle, graph.clone()).await?),
        None => None,
    };
    let leader = master.leader(&handle, &rest);
    let lead = async {
        let registration = yarn.register(&leader.host, leader.rpc_port, &leader.rest_url).await?;
        LeaderFile::new(master.hdfs.clone(), &master.description.staging).write(&leader).await?;
        Ok::<_, StartError>(registration)
    };
    let registration = lead.await?;
    tracing::info!(milliseconds = master.began.elapsed().as_millis(), address = leader.rpc_address(), "leading");
    let service = master.containers(&yarn, &handle, leader.clone(), tokens.newest())?;
    let file = tokens.file_for_programs();
    let mut work = std::pin::pin!(master.work(&handle, &leader, job, &file));
    let outcome = tokio::select! {
        reason = told_to_end => return Err(reason.into()),
        outcome = &mut work => {
            outcome.unwrap_or_else(|error| Outcome::failed(chain(&*error)))
        }
        () = tokens.run(handle.clone()) => return Err("nobody looks after the tokens any more".into()),
        end = service.run(registration) => match end {
            ServiceEnd::Failed(reason) => {
                // Who has submitted them hears of it, and takes away what killed containers have half written.
                handle.no_more_task_managers(reason.clone()).await;
                if !matches!(master.description.mode, ApplicationMode::Session) {
                    let _ = tokio::time::timeout(FAILURE_REPORT_TIMEOUT, work).await;
                }
                Outcome::failed(reason)
            }
            // What is left belongs to the attempt that leads, TaskManagers included.
            ServiceEnd::Fenced(reason) => return Err(reason.into()),
        },
    };
    tokio::time::sleep(RESULT_GRACE_PERIOD).await;
    tokio::join!(handle.shut_down(), rest.shut_down());
    master.unregister(&yarn, &leader, &outcome).await
}

impl Master {
    fn prepare(began: Instant) -> Result<(Self, TokenKeeper), StartError> {
        let environment = ContainerEnvironment::read()?;
        let mut description: ApplicationDescription = environment::json_file(Path::new(APPLICATION_FILE))?;
        if description.version != DEPLOYMENT_VERSION {
            return Err(format!(
                "{APPLICATION_FILE} is of version {}, this binary understands {DEPLOYMENT_VERSION}: client and binary \
                 must be of one version",
                description.version
            )
            .into());
        }
        let authority = std::str::from_utf8(environment.secret(AUTHORITY_SECRET)?)?;
        let authority = CertificateAuthority::import(authority)?;
        let hadoop = environment::hadoop_configuration(&description.configuration)?;
        let login = token_keeper::take_login(&mut description.configuration)?;
        let files = TokenFiles::new(environment.credentials.clone())?;
        let tokens = TokenKeeper::new(login, &hadoop, &description, files)?;
        let hdfs = environment::hdfs(&hadoop, &description.user)?;
        let configuration = adapted(&description.configuration, &environment);
        let graph = mode::job_graph(&description)?;
        let program = mode::program(&description, graph.as_ref());
        let master = Self { environment, description, configuration, hadoop, hdfs, authority, graph, program, began };
        Ok((master, tokens))
    }

    fn epoch(&self) -> u64 {
        u64::try_from(self.environment.container.attempt.attempt).unwrap_or(1)
    }

    fn resource_manager(&self) -> Result<ApplicationMaster, StartError> {
        let token = self.environment.credentials.token_of_kind(AMRM_TOKEN_KIND);
        let token = token.ok_or("the container was not given a token for the ResourceManager")?;
        Ok(ApplicationMaster::new(&self.hadoop, token.clone())?.with_retry(RetryPolicy::patient(REGISTRATION_TIMEOUT)))
    }

    async fn start_job_manager(&self) -> Result<(Handle, RestServer), StartError> {
        let name = certificate_name(&self.environment.container.to_string());
        let keys = self.authority.issue(Role::JobManager, &name, self.epoch())?;
        let mut options = ServerOptions::network(self.configuration.clone(), Some(keys));
        options.epoch = Some(self.epoch());
        options.log_file = environment::log_file("jobmanager.err");
        options.programs = mode::files(self.program.as_ref());
        options.task_managers_on_demand = true;
        if self.description.max_attempts > 1 {
            let (hdfs, hadoop) = (self.hdfs.clone(), self.hadoop.clone());
            let (user, staging) = (&self.description.user, &self.description.staging);
            let store = HdfsJobStore::take_over(hdfs, hadoop, user, staging, self.epoch()).await?;
            options.job_store = Some(Arc::new(store));
        }
        let handle = JobManagerServer::start(options).await?;
        let rest = rest::serve(self.rest_options().await?, Arc::new(handle.clone())).await?;
        Ok((handle, rest))
    }

    async fn rest_options(&self) -> Result<RestOptions, StartError> {
        let token = std::str::from_utf8(self.environment.secret(REST_TOKEN_SECRET)?)?;
        let configured = self.configuration.get(&options::JOB_MANAGER_BIND_HOST)?;
        let configured = self.configuration.get(&options::REST_BIND_ADDRESS)?.or(configured);
        let bind_host = configured.unwrap_or_else(|| self.environment.host.clone());
        let ports = self.configuration.get(&options::REST_BIND_PORT)?.unwrap_or_default();
        let mut rest = RestOptions::new(bind_host, ports);
        rest.hosts = vec![self.environment.host.clone()];
        rest.token = Some(AccessToken::new(token)?);
        let (base, viewers) = (self.environment.web_proxy_base.as_deref(), self.description.view_acls.as_deref());
        rest.proxy = Some(proxy::rule(&self.hadoop, base, &self.description.user, viewers).await?);
        Ok(rest)
    }

    fn leader(&self, handle: &Handle, rest: &RestServer) -> Leader {
        let host = self.environment.host.clone();
        Leader {
            epoch: self.epoch(),
            rpc_port: handle.rpc_address().map_or(0, |address| address.port()),
            rest_url: format!("http://{host}:{}", rest.address().port()),
            host,
        }
    }

    fn containers(
        &self,
        yarn: &ApplicationMaster,
        handle: &Handle,
        leader: Leader,
        tokens: watch::Receiver<Credentials>,
    ) -> Result<ContainerService, StartError> {
        let config = DriverConfig::new(&self.configuration, &self.description.task_manager)?;
        let registered_as = (leader.host.clone(), leader.rpc_port, leader.rest_url.clone());
        let launch = TaskManagerLaunch {
            description: self.description.clone(),
            leader,
            authority: CertificateAuthority::import(self.authority.export().expose())?,
            tokens,
            program: self.program.clone(),
        };
        let (yarn, hadoop) = (yarn.clone(), self.hadoop.clone());
        Ok(ContainerService::new(yarn, registered_as, hadoop, config, launch, handle.clone()))
    }

    /// What the application is for.
    async fn work(
        &self,
        handle: &Handle,
        leader: &Leader,
        job: Option<Result<JobId, Outcome>>,
        tokens: &Path,
    ) -> Result<Outcome, StartError> {
        match (&self.description.mode, job) {
            (ApplicationMode::Application { program, arguments }, _) => {
                let run = ProgramRun {
                    application_id: &self.description.application_id,
                    program,
                    arguments,
                    configuration: &self.description.configuration,
                    leader,
                    authority: &self.authority,
                    tokens,
                };
                tokio::select! {
                    outcome = mode::run_program(&run) => outcome,
                    () = handle.ended() => Ok(Outcome::succeeded()),
                }
            }
            (ApplicationMode::PerJob { .. }, Some(Ok(job))) => mode::follow_job(handle, job).await,
            (ApplicationMode::PerJob { .. }, Some(Err(refused))) => Ok(refused),
            (ApplicationMode::PerJob { .. } | ApplicationMode::Session, _) => {
                handle.ended().await;
                Ok(Outcome::succeeded())
            }
        }
    }

    /// Tells the ResourceManager how it ended, and removes what belongs to the application alone.
    async fn unregister(&self, yarn: &ApplicationMaster, leader: &Leader, outcome: &Outcome) -> Result<(), StartError> {
        let Outcome { status, diagnostics } = outcome;
        tracing::info!(%status, diagnostics, "the application ends");
        match tokio::time::timeout(REGISTRATION_TIMEOUT, farewell::tell(yarn, leader, outcome)).await {
            Ok(told) => told?,
            Err(_) => return Err("the ResourceManager did not note the end of the application in time".into()),
        }
        // Only now: as long as the ResourceManager might start another attempt, that one needs it.
        if let Err(error) = self.hdfs.delete(&self.description.staging).await {
            tracing::warn!(%error, folder = self.description.staging, "the application's folder is left behind");
        }
        Ok(())
    }
}

/// The configuration of a JobManager in this container.
fn adapted(configuration: &Configuration, environment: &ContainerEnvironment) -> Configuration {
    let ports = configuration.raw(options::YARN_MASTER_PORT.key).unwrap_or("0").to_owned();
    let mut adapted = configuration.clone();
    adapted
        .set(options::JOB_MANAGER_RPC_ADDRESS.key, environment.host.clone())
        .set(options::JOB_MANAGER_RPC_BIND_PORT.key, ports)
        .set(options::IO_TMP_DIRS.key, environment.temporary_folders());
    adapted
}
