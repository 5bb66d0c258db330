use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use flink_files::FileError;
use flink_files::file_system::FileVersion;
use hadoop_rpc::hdfs::NameNode;
use hadoop_rpc::{Configuration, Credentials};
use hdfs_native::file::FileReader;
use hdfs_native::{Client, ClientBuilder, WriteOptions};
use tokio::sync;

use crate::authentication::Authentication;
use crate::failure::{Attempt, Failure, RetrySafety, is_answer, prospect};
use crate::name_nodes::NameNodes;
use crate::runtime;
use crate::settings::{self, HdfsOptions};

/// Longest wait for one answer of a NameNode that was reached before: one that collects garbage takes its time.
const ANSWER_LIMIT: Duration = Duration::from_secs(45);

/// Pause before the first repetition; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Longest pause between two attempts.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Longest silence of a DataNode, where the configuration says nothing: another one has the data, too.
const DATA_NODE_SILENCE_MILLIS: &str = "15000";

/// Files whose block locations are remembered.
const MAX_READERS: usize = 32;

/// Locations older than this are asked for again: blocks move, and tokens for them expire.
const READER_AGE: Duration = Duration::from_secs(120);

/// Whether a call may be made again when the first one may have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Twice has the effect of once.
    Always,
    /// Only when it has not reached the NameNode.
    IfNotDone,
}

/// An error, and whether the call may have happened all the same.
#[derive(Debug)]
pub(crate) struct CallError {
    pub(crate) error: FileError,
    pub(crate) may_have_happened: bool,
}

impl From<CallError> for FileError {
    fn from(failed: CallError) -> Self {
        failed.error
    }
}

/// The NameNodes of one authority, with the clients that speak to them.
pub(crate) struct NameService {
    pub(crate) nodes: NameNodes,
    pub(crate) umask: u32,
    /// How new files are made.
    pub(crate) write_options: WriteOptions,
    /// Tells at once what is wrong; repeating is up to us.
    quick: Client,
    /// For what cannot be repeated from outside: it goes on through a restart or a failover by itself.
    patient: Client,
    reached: AtomicBool,
    first_contact: Duration,
    patience: Duration,
    readers: Mutex<HashMap<String, Remembered>>,
    /// For what the clients do not offer.
    name_node: sync::Mutex<Option<NameNode>>,
    configuration: Arc<Configuration>,
    options: HdfsOptions,
}

struct Remembered {
    reader: Arc<FileReader>,
    version: FileVersion,
    since: Instant,
}

impl NameService {
    pub(crate) fn new(
        authority: &str,
        configuration: &Arc<Configuration>,
        options: &HdfsOptions,
    ) -> Result<Self, FileError> {
        let nodes = NameNodes::find(authority, configuration)?;
        let count = nodes.nodes.len();
        // Each NameNode once: with a single one there is no second attempt.
        let proof = Authentication::find(&nodes, configuration, options.login.as_ref());
        let proof = proof.map_err(|reason| unusable(&nodes, reason))?;
        let client = |failovers: usize, pause_millis: u64| {
            let values = values(&nodes, configuration, failovers, pause_millis);
            client(&nodes, &proof, options.user.as_deref(), values)
        };
        let (quick, patient) = (client(count - 1, 50)?, client(count * 16, 300)?);
        Ok(Self {
            umask: settings::umask(configuration),
            write_options: settings::write_options(configuration),
            nodes,
            quick,
            patient,
            reached: AtomicBool::new(false),
            first_contact: options.first_contact,
            patience: options.patience,
            readers: Mutex::default(),
            name_node: sync::Mutex::const_new(None),
            configuration: Arc::clone(configuration),
            options: options.clone(),
        })
    }

    /// The client for open files.
    pub(crate) fn patient(&self) -> &Client {
        &self.patient
    }

    /// The client for what the others do not offer; why there is none.
    pub(crate) async fn name_node(&self) -> Result<NameNode, String> {
        let mut known = self.name_node.lock().await;
        if let Some(name_node) = &*known {
            return Ok(name_node.clone());
        }
        let (configuration, nodes) = (Arc::clone(&self.configuration), self.nodes.clone());
        let options = self.options.clone();
        // It may ask for tickets and names, which takes time.
        let making = tokio::task::spawn_blocking(move || name_node(&configuration, &nodes, &options));
        let made = making.await.map_err(|error| error.to_string())??;
        Ok(known.insert(made).clone())
    }

    /// Has that client made anew, with what proves who this is now.
    pub(crate) async fn forget_name_node(&self) {
        *self.name_node.lock().await = None;
    }

    /// How long the NameNodes are waited for when they cannot be reached.
    pub(crate) fn patience(&self) -> Duration {
        if self.reached.load(Ordering::Relaxed) { self.patience } else { self.first_contact }
    }

    /// Makes a call, again while that may help and there is time.
    pub(crate) async fn call<T, F>(
        &self,
        attempt: Attempt<'_>,
        repeat: Repeat,
        make: impl Fn(Client) -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = hdfs_native::Result<T>>,
    {
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let limit = ANSWER_LIMIT.min(self.patience());
            let failure = match tokio::time::timeout(limit, make(self.quick.clone())).await {
                Ok(Ok(result)) => {
                    self.reached.store(true, Ordering::Relaxed);
                    return Ok(result);
                }
                Ok(Err(error)) => Failure::Hdfs(error),
                Err(_) => Failure::Late(limit),
            };
            if is_answer(&failure) {
                self.reached.store(true, Ordering::Relaxed);
            }
            let hope = prospect(&failure);
            let again =
                hope == RetrySafety::NotExecuted || (hope == RetrySafety::MaybeExecuted && repeat == Repeat::Always);
            if !again || begun.elapsed() + pause > self.patience() {
                let error = attempt.failed(&failure, &self.nodes);
                return Err(CallError { error, may_have_happened: hope == RetrySafety::MaybeExecuted });
            }
            tracing::debug!("{}; trying again", attempt.failed(&failure, &self.nodes));
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    /// Finds out what is wrong if a NameNode was never reached: the patient client would not tell for long.
    pub(crate) async fn ensure_reachable(&self, attempt: Attempt<'_>) -> Result<(), FileError> {
        if !self.reached.load(Ordering::Relaxed) {
            self.call(attempt, Repeat::Always, |client| async move { client.get_file_info("/").await }).await?;
        }
        Ok(())
    }

    /// A reader of a file that was looked at just now, from before if its version is the same.
    pub(crate) async fn reader(
        &self,
        attempt: Attempt<'_>,
        version: Option<FileVersion>,
    ) -> Result<Arc<FileReader>, FileError> {
        let path = attempt.uri.path();
        if let Some(reader) = version.and_then(|version| self.remembered(path, version)) {
            return Ok(reader);
        }
        let opened = self.call(attempt, Repeat::Always, |client| {
            let path = path.to_owned();
            async move { client.read(&path).await }
        });
        let reader = Arc::new(opened.await?);
        if let Some(version) = version {
            self.remember(path, version, &reader);
        }
        Ok(reader)
    }

    fn remembered(&self, path: &str, version: FileVersion) -> Option<Arc<FileReader>> {
        let readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let found = readers.get(path).filter(|found| found.version == version && found.since.elapsed() < READER_AGE)?;
        Some(Arc::clone(&found.reader))
    }

    fn remember(&self, path: &str, version: FileVersion, reader: &Arc<FileReader>) {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.retain(|_, found| found.since.elapsed() < READER_AGE);
        if readers.len() >= MAX_READERS
            && let Some(oldest) = readers.iter().min_by_key(|(_, found)| found.since).map(|(path, _)| path.clone())
        {
            readers.remove(&oldest);
        }
        let remembered = Remembered { reader: Arc::clone(reader), version, since: Instant::now() };
        readers.insert(path.to_owned(), remembered);
    }

    /// The locations may be out of date.
    pub(crate) fn forget_reader(&self, path: &str) {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
    }
}

fn client(
    nodes: &NameNodes,
    proof: &Authentication,
    user: Option<&str>,
    values: BTreeMap<String, String>,
) -> Result<Client, FileError> {
    let handle = runtime::handle().map_err(|ended| unusable(nodes, format!("{ended:?}")))?;
    let builder = ClientBuilder::new()
        .with_url(format!("hdfs://{}", known_as(nodes, proof)))
        // A folder without files: all values are in the map, as Hadoop's own rules say.
        .with_config_dir("/dev/null")
        .with_config(values)
        .with_io_runtime(handle.clone());
    let builder = match (proof, user) {
        (Authentication::Simple, Some(user)) => builder.with_user(user),
        (Authentication::Keytab { principal, file }, _) => {
            builder.with_kerberos_principal(principal).with_kerberos_keytab(file.display().to_string())
        }
        _ => builder,
    };
    builder.build().map_err(|error| unusable(nodes, error.to_string()))
}

fn unusable(nodes: &NameNodes, reason: String) -> FileError {
    FileError::InvalidInput { input: format!("hdfs://{}", nodes.authority), reason }
}

/// The name by which the client is to call a service: it looks for its token under that name, and Hadoop writes addresses
/// into tokens, not names of hosts.
fn known_as<'a>(nodes: &'a NameNodes, proof: &'a Authentication) -> &'a str {
    match proof {
        Authentication::Token { service } if !nodes.logical => service,
        _ => &nodes.authority,
    }
}

fn values(
    nodes: &NameNodes,
    configuration: &Configuration,
    failovers: usize,
    pause_millis: u64,
) -> BTreeMap<String, String> {
    let mut values: BTreeMap<String, String> = configuration
        .iter()
        .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    if nodes.logical {
        let names: Vec<String> = (0..nodes.nodes.len()).map(|index| format!("n{index}")).collect();
        values.insert(format!("dfs.ha.namenodes.{}", nodes.authority), names.join(","));
        for (name, node) in names.iter().zip(&nodes.nodes) {
            values.insert(format!("dfs.namenode.rpc-address.{}.{name}", nodes.authority), node.address.clone());
        }
    }
    values.insert("dfs.client.failover.max.attempts".to_owned(), failovers.to_string());
    values.insert("dfs.client.failover.sleep.base.millis".to_owned(), pause_millis.to_string());
    values.insert("dfs.client.failover.sleep.max.millis".to_owned(), "5000".to_owned());
    values.entry("dfs.client.socket-timeout".to_owned()).or_insert_with(|| DATA_NODE_SILENCE_MILLIS.to_owned());
    values
}

fn name_node(configuration: &Configuration, nodes: &NameNodes, options: &HdfsOptions) -> Result<NameNode, String> {
    let credentials = Credentials::from_environment().map_err(|error| error.to_string())?.unwrap_or_default();
    let proof = Authentication::find(nodes, configuration, options.login.as_ref())?;
    let user = proof.user(configuration, options.user.as_deref())?;
    NameNode::new(configuration, &user, &credentials, &nodes.authority).map_err(|error| error.to_string())
}
