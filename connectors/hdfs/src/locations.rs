use std::io::ErrorKind;
use std::sync::Arc;

use flink_files::file_system::BlockLocation;
use flink_files::{FileError, FileUri};
use hadoop_rpc::hdfs::{Block, NameNode};
use hadoop_rpc::ipc::RetryPolicy;
use hadoop_rpc::{Configuration, Credentials, User};
use hdfs_native::HdfsError;

use crate::connections::Connections;
use crate::failure::{Attempt, Failure};
use crate::name_service::NameService;

/// The blocks of a file with the hosts that hold them.
pub(crate) async fn of_file(
    connections: &Connections,
    service: &Arc<NameService>,
    uri: &FileUri,
    length: u64,
) -> Result<Vec<BlockLocation>, FileError> {
    let attempt = Attempt { action: "find the blocks of", uri };
    let configuration = connections.configuration()?;
    let user = connections.user().map(str::to_owned);
    let made = service.name_node.get_or_try_init(|| async {
        let authority = service.nodes.authority.clone();
        // It may ask for tickets and names, which takes time.
        let making = tokio::task::spawn_blocking(move || name_node(&configuration, user, &authority));
        let made = making.await.map_err(|error| attempt.error(error.to_string(), ErrorKind::Other))?;
        made.map_err(|reason| attempt.error(reason, ErrorKind::Other))
    });
    let name_node = made.await?.clone().with_retry(RetryPolicy::patient(service.patience()));
    let found = name_node.block_locations(uri.path(), 0, length).await.map_err(|error| match error.remote() {
        Some(exception) => {
            let error = HdfsError::RPCError(exception.class.clone(), exception.message.clone());
            attempt.failed(&Failure::Hdfs(error), &service.nodes)
        }
        None => attempt.error(error.to_string(), ErrorKind::Other),
    })?;
    Ok(found.blocks.into_iter().map(location).collect())
}

fn name_node(configuration: &Configuration, user: Option<String>, authority: &str) -> Result<NameNode, String> {
    let credentials = Credentials::from_environment().map_err(|error| error.to_string())?.unwrap_or_default();
    let current = User::current(configuration).map_err(|error| error.to_string())?;
    let simple = current.kerberos().is_none() && current.no_ticket().is_none();
    let user = user.filter(|_| simple).map_or(current, User::simple);
    NameNode::new(configuration, &user, &credentials, authority).map_err(|error| error.to_string())
}

/// Hosts in order of names: the NameNode's order suits whoever asks, and that is not who reads.
fn location(block: Block) -> BlockLocation {
    let mut hosts: Vec<String> = block.replicas.into_iter().map(|replica| replica.host).collect();
    hosts.sort();
    hosts.dedup();
    BlockLocation { offset: block.offset, length: block.length, hosts }
}
