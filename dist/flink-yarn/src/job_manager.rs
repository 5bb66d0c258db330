use std::path::Path;
use std::sync::Arc;

use flink_appmaster::job_store::{JobStore, LocalJobStore};
use flink_appmaster::rest::{self, AccessToken, RestOptions};
use flink_appmaster::server::{JobManagerServer, ServerOptions, epoch_of_now};
use flink_graph::{Configuration, ConfigurationError, options};
use flink_transport::RestToken;
use flink_yarn_client::{DaemonError, JobManagerStart, Ready};

use crate::process;

/// Runs a JobManager with its REST API until it is told to end, by a signal or by a client.
pub(crate) fn run(start: JobManagerStart) -> Result<(), DaemonError> {
    let JobManagerStart { configuration, tls, rest_token, log, announcement } = start;
    process::runtime()?.block_on(async {
        let told_to_end = process::told_to_end()?;
        let job_store = job_store(&configuration)?;
        let options = ServerOptions {
            log_file: log,
            epoch: job_store.as_ref().map(|store| store.epoch()),
            job_store: job_store.clone().map(|store| store as Arc<dyn JobStore>),
            ..ServerOptions::network(configuration.clone(), tls)
        };
        let job_manager = JobManagerServer::start(options).await?;
        let rest = rest::serve(rest_options(&configuration, &rest_token)?, Arc::new(job_manager.clone())).await?;
        if !rest.address().ip().is_loopback() {
            tracing::warn!(
                address = %rest.address(),
                "the REST API speaks plain HTTP beyond this host: its token can be read on the way. With \
                 rest.bind-address=127.0.0.1 it is reached through an ssh tunnel alone"
            );
        }
        let port = job_manager.rpc_address().map_or(0, |address| address.port());
        let ready = Ready {
            address: format!("{}:{port}", rpc_host(&configuration)?),
            rest: Some(format!("http://{}:{}", rest_host(&configuration)?, rest.address().port())),
        };
        job_store.iter().for_each(|store| store.say_who(&ready.address));
        tracing::info!(
            address = ready.address,
            rest = ready.rest,
            epoch = job_manager.epoch(),
            "the JobManager is ready"
        );
        announcement.ready(&ready);
        tokio::select! {
            reason = told_to_end => tracing::info!(%reason, "the JobManager ends"),
            () = job_manager.ended() => tracing::info!("the cluster was shut down"),
        }
        tokio::join!(job_manager.shut_down(), rest.shut_down());
        Ok(())
    })
}

/// Where jobs are kept for the next JobManager, when the user names a folder.
fn job_store(configuration: &Configuration) -> Result<Option<Arc<LocalJobStore>>, DaemonError> {
    let key = &options::HIGH_AVAILABILITY_STORAGE_DIR;
    let Some(folder) = configuration.get(key)? else { return Ok(None) };
    let path = folder.strip_prefix("file://").unwrap_or(&folder);
    if path.contains("://") {
        return Err(format!(
            "{}: `{folder}` is not a folder of this host; a standalone JobManager keeps jobs in a local or shared folder",
            key.key
        )
        .into());
    }
    Ok(Some(Arc::new(LocalJobStore::take_over(Path::new(path), epoch_of_now())?)))
}

fn rest_options(configuration: &Configuration, token: &RestToken) -> Result<RestOptions, DaemonError> {
    let bind_host = configuration.get(&options::JOB_MANAGER_BIND_HOST)?;
    let bind_host = configuration.get(&options::REST_BIND_ADDRESS)?.or(bind_host);
    let bind_host = bind_host.map_or_else(|| configuration.get(&options::JOB_MANAGER_RPC_ADDRESS), Ok)?;
    let ports = match configuration.get(&options::REST_BIND_PORT)? {
        Some(ports) => ports,
        None => configuration.get(&options::REST_PORT)?.into(),
    };
    let mut rest = RestOptions::new(without_brackets(&bind_host), ports);
    rest.hosts = vec![without_brackets(&rest_host(configuration)?).to_owned()];
    rest.token = Some(AccessToken::new(token.expose())?);
    Ok(rest)
}

fn rpc_host(configuration: &Configuration) -> Result<String, ConfigurationError> {
    configuration.get(&options::JOB_MANAGER_RPC_ADDRESS)
}

fn rest_host(configuration: &Configuration) -> Result<String, ConfigurationError> {
    configuration.get(&options::REST_ADDRESS)?.map_or_else(|| rpc_host(configuration), Ok)
}

/// IPv6 addresses stand in brackets where a port follows, and without where they are resolved.
fn without_brackets(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}
