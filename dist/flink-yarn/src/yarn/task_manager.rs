use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use flink_graph::configuration::MemorySize;
use flink_graph::{Configuration, TaskManagerId, options};
use flink_protocol::deployment::{
    CONTAINER_VARIABLE, ContainerDescription, DEPLOYMENT_VERSION, Leader, TLS_SECRET, WORKER_TLS_SECRET,
};
use flink_protocol::worker::TlsMaterial;
use flink_taskmanager::task_manager::{
    Connector, JobManagerLink, NetworkConnector, ProcessLauncher, TaskManagerProcess,
};
use flink_transport::{Dialer, Role};

use super::environment::{self, ContainerEnvironment, StartError};
use super::leader::LeaderFile;
use crate::{logging, process};

/// Share of the container that TaskManager and workers may hold before a worker is ended in words, percent: YARN counts
/// what they share with others, too, and kills without any.
const USABLE: u64 = 92;

/// Pause between two looks at who leads.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// `flink-yarn taskmanager --yarn`
pub(super) fn execute() -> ExitCode {
    logging::start(environment::log_file("taskmanager.err").as_deref());
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the TaskManager ends");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), StartError> {
    let environment = ContainerEnvironment::read()?;
    let description = describe()?;
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
    let task_manager = TaskManagerProcess::new(configuration, id, connector, ProcessLauncher::new(frame_limit))
        .with_worker_tls(Some(worker_tls))
        .with_log_file(environment::log_file("taskmanager.err"))
        .with_worker_logs(Some(environment.log_folder.clone()))
        .with_programs(programs.into_iter().filter(|(_, path)| path.is_file()).collect());
    process::runtime()?.block_on(async {
        let told_to_end = process::told_to_end()?;
        Ok(task_manager.run(told_to_end).await?)
    })
}

fn describe() -> Result<ContainerDescription, StartError> {
    let text = std::env::var(CONTAINER_VARIABLE).map_err(|_| format!("{CONTAINER_VARIABLE} is not set"))?;
    let bytes = from_hex(&text).ok_or_else(|| format!("{CONTAINER_VARIABLE} holds no hexadecimal digits"))?;
    let description: ContainerDescription = serde_json::from_slice(&bytes)?;
    if description.version != DEPLOYMENT_VERSION {
        return Err(format!(
            "the ApplicationMaster is of version {}, this is {DEPLOYMENT_VERSION}",
            description.version
        )
        .into());
    }
    Ok(description)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.chars().map(|c| u8::try_from(c.to_digit(16)?).ok()).collect::<Option<_>>()?;
    digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// The configuration of a TaskManager in this container.
fn adapted(description: &ContainerDescription, environment: &ContainerEnvironment) -> Configuration {
    let mut adapted = description.configuration.clone();
    let memory = MemorySize((description.memory_mb << 20) / 100 * USABLE);
    adapted
        .set(options::JOB_MANAGER_RPC_ADDRESS.key, description.leader.host.clone())
        .set(options::TASK_MANAGER_HOST.key, environment.host.clone())
        .set(options::TASK_SLOTS.key, description.slots.to_string())
        .set(options::TASK_MANAGER_MEMORY.key, memory.to_string())
        .set(options::IO_TMP_DIRS.key, environment.temporary_folders());
    adapted
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
        if self.looked.is_some_and(|at| at.elapsed() < LOOK_AGAIN) {
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
    fn digits_are_read() {
        assert_eq!(from_hex("00ff7A"), Some(vec![0, 255, 0x7a]));
        assert_eq!(from_hex(""), Some(Vec::new()));
        for bad in ["0", "0g", "é0"] {
            assert_eq!(from_hex(bad), None, "{bad}");
        }
    }
}
