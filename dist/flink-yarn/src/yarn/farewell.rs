use std::time::Duration;

use flink_protocol::deployment::Leader;
use hadoop_rpc::Error;
use hadoop_rpc::yarn::ApplicationMaster;

use super::mode::Outcome;

/// Pause between two calls while the ResourceManager writes the end down.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Tells the ResourceManager how the application has ended, until it has noted that. One that was restarted since the last
/// heartbeat wants the ApplicationMaster registered first.
pub(super) async fn tell(yarn: &ApplicationMaster, leader: &Leader, outcome: &Outcome) -> Result<(), Error> {
    let Outcome { status, diagnostics } = outcome;
    let mut is_heard = false;
    loop {
        match yarn.finish(*status, diagnostics, "").await {
            Ok(true) => return Ok(()),
            Ok(false) => is_heard = true,
            Err(error) if error.is_remote("ApplicationMasterNotRegisteredException") => {
                tracing::warn!("the ResourceManager was restarted; registering again, for the end only");
                yarn.register(&leader.host, leader.rpc_port, &leader.rest_url).await?;
            }
            // It has noted the end before it was restarted, and the application is over.
            Err(error) if is_heard && error.is_unknown_attempt() => return Ok(()),
            Err(error) => return Err(error),
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
