use flink_files::FileError;
use flink_hdfs::Hdfs;
use flink_protocol::deployment::{LEADER_FILE, Leader};

use super::environment::StartError;

/// More than this is no leader's address.
const LARGEST: usize = 64 << 10;

const MODE: u32 = 0o600;

/// The leader's address in the staging folder of an application.
#[derive(Clone)]
pub(super) struct LeaderFile {
    hdfs: Hdfs,
    path: String,
}

impl LeaderFile {
    pub(super) fn new(hdfs: Hdfs, staging: &str) -> Self {
        Self { hdfs, path: format!("{staging}/{LEADER_FILE}") }
    }

    /// The attempt that leads, if one has said so.
    pub(super) async fn read(&self) -> Result<Option<Leader>, StartError> {
        let bytes = match self.hdfs.read(&self.path, LARGEST).await {
            Ok(bytes) => bytes,
            Err(error) if FileError::is_not_found(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(Some(serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", self.path))?))
    }

    /// Says that this attempt leads, unless a later one does.
    pub(super) async fn write(&self, leader: &Leader) -> Result<(), StartError> {
        if let Some(other) = self.read().await?.filter(|other| other.epoch > leader.epoch) {
            return Err(format!("attempt {} leads already, this is attempt {}", other.epoch, leader.epoch).into());
        }
        self.hdfs.write(&self.path, serde_json::to_vec(leader)?, MODE).await?;
        Ok(())
    }
}
