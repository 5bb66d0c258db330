use flink_graph::options;
use flink_taskmanager::task_manager::{
    NetworkConnector, ProcessLauncher, TaskManagerProcess, host_name, new_task_manager_id,
};
use flink_transport::{Dialer, PeerIdentity, Role};
use flink_yarn_client::{DaemonError, Ready, TaskManagerStart};

use crate::process;

/// Runs a TaskManager whose workers are processes, until it is told to end.
pub(crate) fn run(start: TaskManagerStart) -> Result<(), DaemonError> {
    let mut configuration = start.configuration;
    if let Some((host, _)) = start.job_manager.rsplit_once(':') {
        // Whether the JobManager is on this host decides where the data ports listen.
        configuration.set(options::JOB_MANAGER_RPC_ADDRESS.key, host);
    }
    let frame_limit = configuration.get(&options::RPC_FRAME_SIZE)?.0;
    let timeout = configuration.get(&options::RPC_TIMEOUT)?;
    let host = configuration.get(&options::TASK_MANAGER_HOST)?.unwrap_or_else(host_name);
    let id = match start.tls.as_ref().map(PeerIdentity::of).transpose()? {
        // The JobManager holds the id against the certificate.
        Some(identity) => new_task_manager_id(&format!("{}@{host}", identity.name)),
        None => new_task_manager_id(&host),
    };
    let dialer = Dialer::new(start.tls.as_ref(), Role::TaskManager, frame_limit, timeout)?;
    let registers = format!("registers with the JobManager at {}", start.job_manager);
    let connector = NetworkConnector::new(dialer, start.job_manager, timeout);
    let announcement = start.announcement;
    let task_manager = TaskManagerProcess::new(configuration, id, connector, ProcessLauncher::new(frame_limit))
        .with_worker_tls(start.worker_tls)
        .with_log_file(start.log);
    process::runtime()?.block_on(async {
        let told_to_end = process::told_to_end()?;
        announcement.waits(&registers);
        let ready = move || announcement.ready(&Ready { address: String::new(), rest: None });
        let task_manager = task_manager.when_registered(ready);
        Ok(task_manager.run(told_to_end).await?)
    })
}
