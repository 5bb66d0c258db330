use std::sync::Arc;

use flink_files::file_system::BlockLocation;
use flink_files::{FileError, FileUri};

use crate::connections::Connections;
use crate::name_service::NameService;

/// The blocks of a file with the hosts that hold them.
pub(crate) async fn of_file(
    _connections: &Connections,
    _service: &Arc<NameService>,
    _uri: &FileUri,
    _length: u64,
) -> Result<Vec<BlockLocation>, FileError> {
    Ok(Vec::new())
}
