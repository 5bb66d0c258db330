use flink_hdfs::Hdfs;
use flink_protocol::deployment::Leader;

use super::attempts::AttemptName;
use super::environment::StartError;

/// More than this is no leader's address.
const MAX_FILE_BYTES: usize = 64 << 10;

const MODE: u32 = 0o600;

const NAME: AttemptName = AttemptName { before: "leader", after: ".json" };

/// The leader's address in the staging folder of an application: each attempt has a file of its own.
#[derive(Clone)]
pub(super) struct LeaderFile {
    hdfs: Hdfs,
    staging: String,
}

impl LeaderFile {
    pub(super) fn new(hdfs: Hdfs, staging: &str) -> Self {
        Self { hdfs, staging: staging.to_owned() }
    }

    /// The attempt that leads, if one has said so.
    pub(super) async fn read(&self) -> Result<Option<Leader>, StartError> {
        let Some(epoch) = self.latest().await? else { return Ok(None) };
        let path = self.path(epoch);
        let bytes = self.hdfs.read(&path, MAX_FILE_BYTES).await?;
        Ok(Some(serde_json::from_slice(&bytes).map_err(|error| format!("{path}: {error}"))?))
    }

    /// Says that this attempt leads, unless a later one does.
    pub(super) async fn write(&self, leader: &Leader) -> Result<(), StartError> {
        if let Some(other) = self.latest().await?.filter(|other| *other > leader.epoch) {
            return Err(format!("attempt {other} leads already, this is attempt {}", leader.epoch).into());
        }
        self.hdfs.write(&self.path(leader.epoch), serde_json::to_vec(leader)?, MODE).await?;
        Ok(())
    }

    async fn latest(&self) -> Result<Option<u64>, StartError> {
        Ok(NAME.found(&self.hdfs, &self.staging).await?.pop())
    }

    fn path(&self, epoch: u64) -> String {
        format!("{}/{}", self.staging, NAME.of(epoch))
    }
}
