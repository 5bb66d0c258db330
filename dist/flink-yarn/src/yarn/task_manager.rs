use std::path::PathBuf;
use std::pin::Pin;
use std::time::{Duration, Instant};

use flink_graph::configuration::MemorySize;
use flink_graph::{Configuration, TaskManagerId, options};
use flink_protocol::deployment::{
    CONTAINER_SECRET, ContainerDescription, DEPLOYMENT_VERSION, Leader, TLS_SECRET, WORKER_TLS_SECRET,
};
use flink_protocol::worker::TlsMaterial;
use flink_taskmanager::task_manager::{
    Connector, JobManagerLink, NetworkConnector, ProcessLauncher, TaskManagerProcess, TokenStore,
};
use flink_transport::{Dialer, Role};
use hadoop_rpc::Credentials;
use hadoop_rpc::credentials::TOKEN_FILE_VARIABLE;

use super::environment::{self, ContainerEnvironment, StartError};
use super::leader::LeaderFile;
use super::token_files::TokenFiles;
use crate::{logging, process};

/// Part of the container that TaskManager and workers may not hold before a worker is ended in words, percent and at least
/// that many megabytes: YARN counts what they share with others, too (their programs), and kills without any.
const RESERVE: u64 = 8;
const MIN_RESERVE_MB: u64 = 40;

/// The exit status of a process that was ended by SIGTERM, as shells have it.
const TERMINATED: u8 = 128 + 15;

/// Pause between two looks at who leads.
const LEADER_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// `flink-yarn taskmanager --yarn`
pub(super) fn execute() -> u8 {
    logging::start(environment::log_file("taskmanager.err").as_deref());
    match run() {
        Ok(End::ByItself) => 0,
        Ok(End::Told(reason)) => {
            tracing::info!(reason, "the TaskManager ends");
            TERMINATED
        }
        Err(error) => {
            tracing::error!(%error, "the TaskManager ends");
            1
        }
    }
}

/// How a TaskManager has ended.
enum End {
    /// The JobManager has let go of it.
    ByItself,
    /// By a signal.
    Told(String),
}

fn run() -> Result<End, StartError> {
    let environment = ContainerEnvironment::read()?;
    let description = describe(&environment)?;
    let configuration = adapted(&description, &environment);
    let tls: TlsMaterial = serde_json::from_slice(environment.secret(TLS_SECRET)?)?;
    let worker_tls: TlsMaterial = serde_json::from_slice(environment.secret(WORKER_TLS_SECRET)?)?;
    let frame_limit = configuration.get(&options::RPC_FRAME_SIZE)?.0;
    let timeout = configuration.get(&options::RPC_TIMEOUT)?;
    let dialer = Dialer::new(Some(&tls), Role::TaskManager, frame_limit, timeout)?;
    let leaders = leader_file(&description)?;
    let connector = LeaderConnector::new(dialer, description.leader, timeout, leaders);
    let id = TaskManagerId(environment.container.to_string());
    let programs = description.program.map(|program| (program.clone(), PathBuf::from(program.name)));
    let mut tokens = TokenFiles::new(environment.credentials.clone())?;
    let launcher = ProcessLauncher::new(frame_limit).with_variable(TOKEN_FILE_VARIABLE, tokens.programs());
    let store: TokenStore = Box::new(move |file| {
        let newer = Credentials::decode(file).map_err(|error| error.to_string())?;
        tokens.replace(&newer).map_err(|error| error.to_string())
    });
    let task_manager = TaskManagerProcess::new(configuration, id, connector, launcher)
        .with_token_store(store)
        .with_worker_tls(Some(worker_tls))
        .with_log_file(environment::log_file("taskmanager.err"))
        .with_worker_logs(Some(environment.log_folder.clone()))
        .with_programs(programs.into_iter().filter(|(_, path)| path.is_file()).collect());
    process::runtime()?.block_on(async {
        let told_to_end = process::told_to_end()?;
        tokio::select! {
            ended = task_manager.run(std::future::pending()) => Ok(ended.map(|()| End::ByItself)?),
            // Without a farewell: YARN knows why it ends this container, and tells the ApplicationMaster. The JobManager is
            // not to hear first, and from here, that there was a signal.
            reason = told_to_end => Ok(End::Told(reason)),
        }
    })
}

fn describe(environment: &ContainerEnvironment) -> Result<ContainerDescription, StartError> {
    let description: ContainerDescription = serde_json::from_slice(environment.secret(CONTAINER_SECRET)?)?;
    if description.version != DEPLOYMENT_VERSION {
        return Err(format!(
            "the ApplicationMaster is of version {}, this is {DEPLOYMENT_VERSION}",
            description.version
        )
        .into());
    }
    Ok(description)
}

/// The configuration of a TaskManager in this container.
fn adapted(description: &ContainerDescription, environment: &ContainerEnvironment) -> Configuration {
    let mut adapted = description.configuration.clone();
    let memory = usable(description.memory_mb);
    adapted
        .set(options::JOB_MANAGER_RPC_ADDRESS.key, description.leader.host.clone())
        .set(options::TASK_MANAGER_HOST.key, environment.host.clone())
        .set(options::TASK_SLOTS.key, description.slots.to_string())
        .set(options::TASK_MANAGER_MEMORY.key, memory.to_string())
        .set(options::IO_TMP_DIRS.key, environment.temporary_folders());
    adapted
}

fn usable(container_mb: u64) -> MemorySize {
    let reserve = (container_mb * RESERVE / 100).max(MIN_RESERVE_MB.min(container_mb / 2));
    MemorySize((container_mb - reserve) << 20)
}

fn leader_file(description: &ContainerDescription) -> Result<LeaderFile, StartError> {
    let hadoop = environment::hadoop_configuration(&description.configuration)?;
    let user = std::env::var("HADOOP_USER_NAME").or_else(|_| std::env::var("USER")).unwrap_or_default();
    Ok(LeaderFile::new(environment::hdfs(&hadoop, &user)?, &description.staging))
}

/// Connects to the attempt of the ApplicationMaster that leads.
struct LeaderConnector {
    dialer: Dialer,
    write_timeout: Duration,
    leader: Leader,
    leaders: LeaderFile,
    looked: Option<Instant>,
}

impl LeaderConnector {
    fn new(dialer: Dialer, leader: Leader, write_timeout: Duration, leaders: LeaderFile) -> Self {
        Self { dialer, write_timeout, leader, leaders, looked: None }
    }

    async fn try_once(&mut self) -> Result<JobManagerLink, String> {
        let address = self.leader.rpc_address();
        let mut connector = NetworkConnector::new(self.dialer.clone(), address, self.write_timeout);
        match connector.connect().await {
            Ok(link) => Ok(link),
            Err(error) => {
                self.look_for_another().await;
                Err(error)
            }
        }
    }

    /// The leader cannot be reached: there may be a later one.
    async fn look_for_another(&mut self) {
        if self.looked.is_some_and(|at| at.elapsed() < LEADER_POLL_INTERVAL) {
            return;
        }
        match self.leaders.read().await {
            Ok(Some(leader)) if leader.epoch > self.leader.epoch => {
                tracing::info!(epoch = leader.epoch, address = leader.rpc_address(), "another attempt leads");
                self.leader = leader;
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "who leads cannot be read"),
        }
        self.looked = Some(Instant::now());
    }
}

impl Connector for LeaderConnector {
    fn connect(&mut self) -> Pin<Box<dyn Future<Output = Result<JobManagerLink, String>> + Send + '_>> {
        Box::pin(self.try_once())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yarn_counts_more_than_is_held() {
        let check = |container: u64, megabytes: u64| assert_eq!(usable(container).0, megabytes << 20, "{container}");
        [(2000, 1840), (256, 216), (64, 32), (0, 0)]
            .into_iter()
            .for_each(|(container, usable)| check(container, usable));
    }
}
