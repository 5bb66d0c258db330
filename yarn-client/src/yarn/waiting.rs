//! Why the containers of a job's TaskManagers do not come, while the job is followed.

use std::time::{Duration, Instant};

use super::application::Application;
use super::plan::Size;
use super::resource_manager::reasons;

/// Time that a job waits for slots before the reasons are looked for: most containers come within moments.
const EXPLAIN_AFTER: Duration = Duration::from_secs(10);

/// Time after which they are looked for again.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// What was told so far of what a job waits for.
pub(crate) struct Reasons<'a> {
    /// None where TaskManagers are not containers.
    application: Option<&'a Application>,
    look_at: Option<Instant>,
}

impl<'a> Reasons<'a> {
    pub(crate) fn new(application: Option<&'a Application>) -> Self {
        Self { application, look_at: None }
    }

    /// The reasons as lines, when it is time to tell them.
    pub(crate) async fn told(&mut self, waits: bool) -> Option<String> {
        let application = self.application?;
        if !waits {
            self.look_at = None;
            return None;
        }
        let now = Instant::now();
        if now < *self.look_at.get_or_insert(now + EXPLAIN_AFTER) {
            return None;
        }
        self.look_at = Some(now + AGAIN_AFTER);
        why(application).await
    }
}

/// None where it cannot be found out: what the JobManager says remains.
async fn why(application: &Application) -> Option<String> {
    let manager = application.resource_manager();
    let staging = application.staging();
    let (report, nodes, description) = tokio::join!(application.report(), manager.nodes(), staging.description());
    let (report, nodes, description) = (report.ok()?, nodes.ok()?, description.ok()??);
    let queue = manager.queue(&report.queue).await.ok().flatten();
    let wanted = &description.task_manager;
    let container = Size { memory_mb: wanted.memory_mb, vcores: wanted.vcores };
    let rounded = application.hadoop().steps().ok()?.rounded(container);
    // The report's diagnostics are about the ApplicationMaster.
    let reasons = reasons(rounded, wanted.node_label.as_deref(), &nodes, queue.as_ref(), "");
    Some(format!("no container of {container} comes:\n  {reasons}"))
}
