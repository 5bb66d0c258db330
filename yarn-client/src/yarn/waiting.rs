//! Why the containers of a job's TaskManagers do not come, while the job is followed.

use std::time::{Duration, Instant};

use super::application::Application;
use super::explain::{self, Waiting};
use super::plan::Size;
use super::resource_manager::{queue_room, room};

/// Time that a job waits for slots before the reasons are looked for: most containers come within moments.
const TIMEOUT: Duration = Duration::from_secs(10);

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
        if now < *self.look_at.get_or_insert(now + TIMEOUT) {
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
    let queue = manager.queue(&report.queue).await.ok().flatten().map(|queue| queue_room(&queue));
    let nodes: Vec<_> = nodes.iter().filter_map(room).collect();
    let wanted = &description.task_manager;
    let container = Size { memory_mb: wanted.memory_mb, vcores: wanted.vcores };
    let waiting = Waiting {
        container: application.hadoop().steps().ok()?.rounded(container),
        label: wanted.node_label.as_deref(),
        queue: queue.as_ref(),
        nodes: &nodes,
        // What is said there is about the ApplicationMaster.
        diagnostics: "",
    };
    Some(format!("no container of {container} comes:\n  {}", explain::reasons(&waiting).join("\n  ")))
}
