use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use flink_graph::configuration::options;
use flink_protocol::deployment::default_racks;
use hadoop_rpc::credentials::Credentials;
use hadoop_rpc::yarn::NewApplication;

use super::{Deployment, Work};
use crate::error::{ClientError, Result};
use crate::yarn::artifacts::{Content, Item, Source, items};
use crate::yarn::launch::Places;
use crate::yarn::plan::Size;
use crate::yarn::{labels, orphaned_staging, staging, tokens};
use crate::{output, settings};

/// Longest time for what earlier applications have left.
const SWEEP_TIMEOUT: Duration = Duration::from_secs(2);

/// What is found out while nothing is changed yet.
pub(super) struct Prepared {
    pub(super) items: Vec<Item>,
    pub(super) contents: BTreeMap<String, Content>,
    pub(super) new: NewApplication,
    pub(super) tokens: Credentials,
    pub(super) places: Places,
}

impl Deployment {
    /// Everything that can be found out at the same time.
    pub(super) async fn prepare(&self, work: &Work) -> Result<Prepared> {
        let items = items(&self.plan, work.program())?;
        let name_nodes = self.name_nodes()?;
        // Without an answer of the ResourceManager nothing else is waited for: it would not come soon either.
        let (contents, new, queue, labels, reachable, tokens, places, ()) = tokio::try_join!(
            async { Ok(contents(items.clone()).await) },
            self.resource_manager.new_application(),
            async { Ok(self.check_queue().await) },
            async { Ok(self.check_labels().await) },
            async { Ok(self.reach_hdfs().await) },
            async { Ok(tokens::obtain(&self.hadoop, &self.resource_manager, &name_nodes).await) },
            async { Ok(self.places().await) },
            async {
                self.sweep().await;
                Ok(())
            },
        )?;
        // The first of them is what the user has to mend first.
        queue?;
        labels?;
        reachable?;
        Ok(Prepared { items, contents: contents?, new, tokens: tokens?, places })
    }

    /// Takes away what earlier applications could not. Does not keep anybody waiting, nor from anything: the next deployment
    /// goes on.
    async fn sweep(&self) {
        let sweeping = async {
            let folders = orphaned_staging::sweep(&self.resource_manager, &self.root).await;
            (folders.unwrap_or(0), orphaned_staging::sweep_artifacts(&self.root).await.unwrap_or(0))
        };
        let (folders, artifacts) = tokio::time::timeout(SWEEP_TIMEOUT, sweeping).await.unwrap_or_default();
        if folders > 0 {
            let of = if folders == 1 { "an application that has" } else { "applications that have" };
            output::notice(format!("Removed from {} what was left of {of} ended", self.root.uri()));
        }
        if artifacts > 0 {
            let (from, days) = (self.root.artifacts_uri(), orphaned_staging::KEPT_DAYS);
            output::notice(format!("Removed from {from} {artifacts} file(s) that were not used for {days} days"));
        }
    }

    /// Racks and hosts of the cluster's nodes. Only the place of TaskManagers depends on it: who may not ask does without.
    async fn places(&self) -> Places {
        let nodes = self.resource_manager.nodes().await.unwrap_or_default();
        let racks: BTreeSet<&String> = nodes.iter().map(|node| &node.rack).filter(|rack| !rack.is_empty()).collect();
        let racks = if racks.is_empty() { default_racks() } else { racks.into_iter().cloned().collect() };
        let hosts: BTreeSet<String> = nodes.into_iter().map(|node| node.id.host).collect();
        Places { racks, hosts: hosts.into_iter().collect() }
    }

    /// The NameNodes that the application speaks to.
    pub(super) fn name_nodes(&self) -> Result<BTreeSet<String>> {
        let named: Option<String> = settings::get(&self.configuration, &options::KERBEROS_FILE_SYSTEMS)?;
        tokens::name_nodes(&self.hadoop.configuration, self.root.uri(), named.as_deref())
    }

    /// A wrong address is told as such, and not as a failed upload.
    async fn reach_hdfs(&self) -> Result<()> {
        match self.root.hdfs().status(self.root.uri()).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(staging::unusable(&error)),
        }
    }

    /// A queue that there is not is told before anything is uploaded.
    async fn check_queue(&self) -> Result<()> {
        // Who may not look at queues learns it when the application is submitted.
        let Ok(None) = self.resource_manager.queue(&self.plan.queue).await else { return Ok(()) };
        let known = self.resource_manager.queues().await.unwrap_or_default();
        let names: Vec<&str> = known.iter().map(|queue| queue.name.as_str()).collect();
        Err(ClientError::usage(format!("there is no queue `{}`", self.plan.queue))
            .hint(format!("choose one of these with --queue: {}", names.join(", "))))
    }

    /// A label that there is not, or that the queue may not use, is told before anything is uploaded: YARN would tell of
    /// that of TaskManagers when the first of them is asked for.
    async fn check_labels(&self) -> Result<()> {
        let plan = &self.plan;
        let wanted: BTreeSet<&String> =
            [&plan.node_label, &plan.task_manager_node_label].into_iter().flatten().collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let (known, queue) =
            tokio::join!(self.resource_manager.node_labels(), self.resource_manager.queue(&plan.queue));
        // Who may not look learns it later.
        let usable = queue.ok().flatten().map(|queue| queue.accessible_node_labels);
        let Ok(known) = known else { return Ok(()) };
        wanted.into_iter().try_for_each(|label| labels::check(label, &known, &plan.queue, usable.as_deref()))
    }

    pub(super) fn check_largest(&self, largest: Size) -> Result<()> {
        let steps = self.hadoop.steps()?;
        let asked = [
            ("the ApplicationMaster", self.plan.master, "--jobmanager-memory", "yarn.appmaster.vcores"),
            ("a TaskManager", self.plan.task_manager, "--taskmanager-memory", "yarn.containers.vcores"),
        ];
        for (what, size, memory, cores) in asked {
            let rounded = steps.rounded(size);
            if size.memory_mb > largest.memory_mb || size.vcores > largest.vcores {
                return Err(ClientError::usage(format!("{what} is to have {size}; no container may have more than {largest}"))
                    .because_text(format!("with the rounding of YARN it would be {rounded}"))
                    .hint(format!(
                        "ask for less with {memory} and {cores}; the limit is yarn.scheduler.maximum-allocation-mb and -vcores, or \
                         what the largest node has"
                    )));
            }
        }
        Ok(())
    }
}

/// Hashes the local files among the items, on other threads.
async fn contents(items: Vec<Item>) -> Result<BTreeMap<String, Content>> {
    let mut hashing = tokio::task::JoinSet::new();
    for item in items {
        if let Source::Local { path, executable } = item.source {
            hashing.spawn_blocking(move || Content::of(&path, executable).map(|content| (item.name, content)));
        }
    }
    let mut contents = BTreeMap::new();
    while let Some(hashed) = hashing.join_next().await {
        let hashed = hashed.map_err(|error| ClientError::failed("hashing a file did not end").because(&error))?;
        let (name, content) = hashed?;
        contents.insert(name, content);
    }
    Ok(contents)
}
