use std::io::ErrorKind;

use flink_files::file_system::BlockLocation;
use flink_files::{FileError, FileUri};
use hadoop_rpc::Error;
use hadoop_rpc::hdfs::{Block, BlockLocations};
use hadoop_rpc::ipc::RetryPolicy;
use hdfs_native::HdfsError;

use crate::failure::{Attempt, Failure};
use crate::name_service::NameService;

/// The blocks of a file with the hosts that hold them.
pub(crate) async fn of_file(
    service: &NameService,
    uri: &FileUri,
    length: u64,
) -> Result<Vec<BlockLocation>, FileError> {
    let attempt = Attempt { action: "find the blocks of", uri };
    let found = ask(service, attempt, length).await?;
    let found = match found {
        // The token may be an old one: a newer one lies where it came from.
        Err(error) if is_about_credentials(&error) => {
            service.forget_name_node().await;
            ask(service, attempt, length).await?
        }
        other => other,
    };
    let found = found.map_err(|error| match error.remote() {
        Some(exception) => {
            let error = HdfsError::RPCError(exception.class.clone(), exception.message.clone());
            attempt.failed(&Failure::Hdfs(error), &service.nodes)
        }
        None => attempt.error(error.to_string(), ErrorKind::Other),
    })?;
    Ok(found.blocks.into_iter().map(location).collect())
}

/// The outer error is one of this process, the inner one that of the call.
async fn ask(
    service: &NameService,
    attempt: Attempt<'_>,
    length: u64,
) -> Result<Result<BlockLocations, Error>, FileError> {
    let name_node = service.name_node().await.map_err(|reason| attempt.error(reason, ErrorKind::Other))?;
    let name_node = name_node.with_retry(RetryPolicy::patient(service.patience()));
    Ok(name_node.block_locations(attempt.uri.path(), 0, length).await)
}

fn is_about_credentials(error: &Error) -> bool {
    matches!(error, Error::Authentication { .. }) || error.is_remote("InvalidToken")
}

/// Hosts in order of names: the NameNode's order suits whoever asks, and that is not who reads.
fn location(block: Block) -> BlockLocation {
    let mut hosts: Vec<String> = block.replicas.into_iter().map(|replica| replica.host).collect();
    hosts.sort();
    hosts.dedup();
    BlockLocation { offset: block.offset, length: block.length, hosts }
}
