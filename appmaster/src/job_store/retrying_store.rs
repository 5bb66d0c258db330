use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flink_graph::{JobGraph, JobId};
use flink_protocol::wire;

use super::store::{JobStore, JobStoreError};
use crate::job_manager::EndedJob;

const GRAPH: &str = ".graph";
const RESULT: &str = ".result";
const PROGRAM: &str = ".program";

/// Longest graph or result that is read back.
const MAX_RECORD_BYTES: u64 = 512 << 20;

/// Tries to write something, with growing pauses in between.
const TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Whether something is durable now.
type Kept = Result<(), JobStoreError>;

/// Which files of a store there are for what.
#[derive(Debug, Clone)]
pub(crate) struct Keeper {
    store: Arc<dyn JobStore>,
    /// Results that are kept.
    capacity: usize,
}

/// What an earlier JobManager has left.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    /// Jobs that have not ended.
    pub(crate) running: Vec<JobGraph>,
    /// Jobs that have, the oldest first.
    pub(crate) ended: Vec<EndedJob>,
}

impl Keeper {
    pub(crate) fn new(store: Arc<dyn JobStore>, capacity: usize) -> Self {
        Self { store, capacity }
    }

    /// Keeps a job that was submitted, and its program where it is given.
    pub(crate) async fn keep_job(&self, graph: &JobGraph, program: Option<(&str, &Path)>) -> Kept {
        if let Some((sha256, path)) = program {
            let name = format!("{sha256}{PROGRAM}");
            again(|| self.store.upload(&name, path)).await?;
        }
        let name = format!("{}{GRAPH}", graph.job_id);
        let bytes = encoded(&name, graph)?;
        again(|| self.store.write(&name, bytes.clone())).await
    }

    /// Keeps how a job ended; it is not run again from now on.
    pub(crate) async fn keep_result(&self, job: &EndedJob) -> Kept {
        let id = job.graph.job_id;
        let name = format!("{id}{RESULT}");
        let bytes = encoded(&name, job)?;
        again(|| self.store.write(&name, bytes.clone())).await?;
        self.forget_job(id).await
    }

    /// A job that was kept is not to be run (any more).
    pub(crate) async fn forget_job(&self, job: JobId) -> Kept {
        let name = format!("{job}{GRAPH}");
        again(|| self.store.remove(&name)).await
    }

    /// Fetches a program; false when it is not kept.
    pub(crate) async fn fetch_program(&self, sha256: &str, to: &Path) -> Result<bool, String> {
        let name = format!("{sha256}{PROGRAM}");
        self.store.download(&name, to).await.map_err(|error| error.to_string())
    }

    /// What an earlier JobManager has left; removes what nobody needs.
    ///
    /// A record that cannot be read is an error, not a job that is forgotten in silence.
    pub(crate) async fn recover(&self) -> Result<Recovered, String> {
        let names = self.store.list().await.map_err(|error| error.to_string())?;
        let mut recovered = Recovered::default();
        let mut results = BTreeSet::new();
        for (name, id) in named(&names, RESULT) {
            let job: EndedJob = self.record(name).await?;
            recovered.ended.push(job);
            results.insert(id);
        }
        for (name, id) in named(&names, GRAPH) {
            if results.contains(id) {
                // The JobManager died between the two.
                self.store.remove(name).await.map_err(|error| error.to_string())?;
            } else {
                recovered.running.push(self.record(name).await?);
            }
        }
        recovered.ended.sort_by_key(|job| job.details.summary.end_time);
        recovered.running.sort_by_key(|graph| graph.job_id);
        self.prune(&names, &mut recovered).await.map_err(|error| error.to_string())?;
        Ok(recovered)
    }

    async fn record<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, String> {
        let bytes = self.store.read(name, MAX_RECORD_BYTES).await.map_err(|error| error.to_string())?;
        let bytes = bytes
            .ok_or_else(|| format!("{name} has vanished from the store of jobs: does another JobManager use it?"))?;
        wire::decode(&bytes).map_err(|error| {
            format!("{name} in the store of jobs cannot be read ({error}): remove it if the job is not to be run again")
        })
    }

    async fn prune(&self, names: &[String], recovered: &mut Recovered) -> Result<(), JobStoreError> {
        let surplus = recovered.ended.len().saturating_sub(self.capacity);
        for job in recovered.ended.drain(..surplus) {
            self.store.remove(&format!("{}{RESULT}", job.graph.job_id)).await?;
        }
        let programs = recovered.running.iter().filter_map(|graph| graph.program.as_ref());
        let needed: BTreeSet<&str> = programs.map(|program| program.sha256.as_str()).collect();
        for (name, sha256) in named(names, PROGRAM) {
            if !needed.contains(sha256) {
                self.store.remove(name).await?;
            }
        }
        Ok(())
    }
}

fn named<'a>(names: &'a [String], ending: &str) -> BTreeMap<&'a str, &'a str> {
    names.iter().filter_map(|name| Some((name.as_str(), name.strip_suffix(ending)?))).collect()
}

fn encoded(name: &str, record: &impl serde::Serialize) -> Result<Vec<u8>, JobStoreError> {
    wire::encode(record).map_err(|error| JobStoreError {
        doing: "encode",
        name: name.to_owned(),
        place: String::new(),
        cause: error.to_string(),
        is_taken_over: false,
    })
}

async fn again<'a>(mut work: impl FnMut() -> super::store::Stored<'a, ()>) -> Kept {
    let mut pause = FIRST_PAUSE;
    for left in (0..TRIES).rev() {
        match work().await {
            Ok(()) => return Ok(()),
            Err(error) if left == 0 || error.is_taken_over => return Err(error),
            Err(error) => tracing::warn!(%error, "trying again"),
        }
        tokio::time::sleep(pause).await;
        pause *= 3;
    }
    Ok(())
}
