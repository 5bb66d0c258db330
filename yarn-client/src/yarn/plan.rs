use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use flink_graph::Configuration;
use flink_graph::configuration::{MemorySize, options};

use crate::error::{ClientError, Result};
use crate::settings;

/// Least memory of a container of ours, mebibytes.
const MIN_MEMORY_MB: u64 = 64;

/// YARN refuses longer tags, and more of them.
const MAX_TAG_LENGTH: usize = 100;
const MAX_TAGS: usize = 10;

/// What an application is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Runs what is submitted to it until it is stopped.
    Session,
    /// Runs the `main` of a program.
    Application,
    /// Runs one job.
    PerJob,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Session => "session",
            Self::Application => "application",
            Self::PerJob => "per-job application",
        })
    }
}

/// Memory and cores of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// Mebibytes.
    pub(crate) memory_mb: u64,
    /// Cores, as YARN counts them.
    pub(crate) vcores: u32,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cores = if self.vcores == 1 { "core" } else { "cores" };
        write!(f, "{} and {} {cores}", megabytes(self.memory_mb), self.vcores)
    }
}

/// `512 MB`, `2 GB`.
pub(crate) fn megabytes(mb: u64) -> String {
    if mb >= 1024 && mb.is_multiple_of(1024) { format!("{} GB", mb / 1024) } else { format!("{mb} MB") }
}

/// What is to be started, as options and configuration say; nothing of it is from the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// What it is for.
    pub(crate) kind: Kind,
    /// The application's name.
    pub(crate) name: String,
    /// The queue it is submitted to.
    pub(crate) queue: String,
    /// Its type, for YARN's lists.
    pub(crate) application_type: String,
    /// Its tags.
    pub(crate) tags: Vec<String>,
    /// Its priority in the queue.
    pub(crate) priority: Option<i32>,
    /// Label of its nodes.
    pub(crate) node_label: Option<String>,
    /// Label of the nodes of TaskManagers.
    pub(crate) task_manager_node_label: Option<String>,
    /// The ApplicationMaster's container.
    pub(crate) master: Size,
    /// A TaskManager's container.
    pub(crate) task_manager: Size,
    /// Slots of a TaskManager.
    pub(crate) slots: u32,
    /// Attempts of the ApplicationMaster; YARN's limit when not set.
    pub(crate) attempts: Option<u32>,
    /// Time after which a failed attempt no longer counts.
    pub(crate) attempts_validity: Option<Duration>,
    /// Who may see it.
    pub(crate) view_acls: Option<String>,
    /// Who may end it.
    pub(crate) modify_acls: Option<String>,
    /// Files and folders for every container.
    pub(crate) ship_files: Vec<String>,
    /// Archives for every container.
    pub(crate) ship_archives: Vec<String>,
    /// Folders in HDFS whose files are there already.
    pub(crate) provided: Vec<String>,
    /// The same, for the folder `usrlib`.
    pub(crate) provided_usrlib: Option<String>,
    /// The binary, when it is not this one.
    pub(crate) binary: Option<String>,
    /// Copies of uploaded files.
    pub(crate) replication: Option<u32>,
    /// Where `.flink-yarn` is.
    pub(crate) staging: Option<String>,
    /// Which logs are collected while it runs.
    pub(crate) rolled_logs: (Option<String>, Option<String>),
    /// Variables of the ApplicationMaster's environment.
    pub(crate) master_environment: BTreeMap<String, String>,
    /// Variables of the TaskManagers' environment.
    pub(crate) task_manager_environment: BTreeMap<String, String>,
}

impl Plan {
    /// Reads the configuration. `program` names the program that is run, where there is one.
    pub(crate) fn new(kind: Kind, configuration: &Configuration, program: Option<&str>) -> Result<Self> {
        let slots = settings::get(configuration, &options::TASK_SLOTS)?;
        let text =
            |option| settings::get(configuration, option).map(|text: Option<String>| text.filter(|t| !t.is_empty()));
        let node_label = text(&options::YARN_NODE_LABEL)?;
        let list = |option| text(option).map(|text| text.as_deref().map(split).unwrap_or_default());
        Ok(Self {
            kind,
            name: text(&options::YARN_APPLICATION_NAME)?.unwrap_or_else(|| default_name(kind, configuration, program)),
            queue: settings::get(configuration, &options::YARN_APPLICATION_QUEUE)?,
            application_type: application_type(configuration)?,
            tags: tags(configuration)?,
            priority: unless_negative(settings::get(configuration, &options::YARN_APPLICATION_PRIORITY)?),
            task_manager_node_label: text(&options::YARN_TASK_MANAGER_NODE_LABEL)?.or_else(|| node_label.clone()),
            node_label,
            master: Size {
                memory_mb: memory_mb(configuration, &options::JOB_MANAGER_MEMORY)?,
                vcores: settings::get(configuration, &options::YARN_MASTER_VCORES)?,
            },
            task_manager: Size {
                memory_mb: memory_mb(configuration, &options::TASK_MANAGER_MEMORY)?,
                vcores: vcores(configuration, slots)?,
            },
            slots,
            attempts: settings::get(configuration, &options::YARN_APPLICATION_ATTEMPTS)?,
            attempts_validity: settings::get(configuration, &options::YARN_ATTEMPTS_VALIDITY)?.0,
            view_acls: text(&options::YARN_VIEW_ACLS)?,
            modify_acls: text(&options::YARN_MODIFY_ACLS)?,
            ship_files: list(&options::YARN_SHIP_FILES)?,
            ship_archives: archives(list(&options::YARN_SHIP_ARCHIVES)?)?,
            provided: list(&options::YARN_PROVIDED_LIB_DIRS)?,
            provided_usrlib: text(&options::YARN_PROVIDED_USRLIB_DIR)?,
            binary: text(&options::YARN_BINARY)?,
            replication: unless_negative(settings::get(configuration, &options::YARN_FILE_REPLICATION)?)
                .and_then(|copies| u32::try_from(copies).ok()),
            staging: text(&options::YARN_STAGING_DIRECTORY)?,
            rolled_logs: (text(&options::YARN_ROLLED_LOGS_INCLUDE)?, text(&options::YARN_ROLLED_LOGS_EXCLUDE)?),
            master_environment: environment(configuration, "containerized.master.env.")?,
            task_manager_environment: environment(configuration, "containerized.taskmanager.env.")?,
        })
    }
}

fn default_name(kind: Kind, configuration: &Configuration, program: Option<&str>) -> String {
    let job = || configuration.raw(options::PIPELINE_NAME.key).or(program).map(str::to_owned);
    match kind {
        Kind::Session => "flink-yarn session".to_owned(),
        Kind::Application | Kind::PerJob => job().unwrap_or_else(|| format!("flink-yarn {kind}")),
    }
}

fn application_type(configuration: &Configuration) -> Result<String> {
    let text = settings::get(configuration, &options::YARN_APPLICATION_TYPE)?;
    // YARN cuts a longer one off, and then it is not found by its name.
    if text.chars().count() > 20 {
        return Err(ClientError::usage(format!("the application's type `{text}` is longer than 20 characters"))
            .hint("YARN allows no more; set a shorter yarn.application.type"));
    }
    Ok(text)
}

fn tags(configuration: &Configuration) -> Result<Vec<String>> {
    let text = settings::get(configuration, &options::YARN_APPLICATION_TAGS)?.unwrap_or_default();
    let mut tags: Vec<String> =
        text.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
    tags.sort();
    tags.dedup();
    let wrong = |why: String| Err(ClientError::usage(format!("yarn.tags: {why}")));
    if tags.len() > MAX_TAGS {
        return wrong(format!("{} tags are more than the {MAX_TAGS} that YARN allows", tags.len()));
    }
    match tags.iter().find(|tag| tag.len() > MAX_TAG_LENGTH || !tag.bytes().all(|byte| (b' '..=b'~').contains(&byte))) {
        Some(tag) => wrong(format!("`{tag}` is not a tag: YARN allows {MAX_TAG_LENGTH} characters of ASCII")),
        None => Ok(tags),
    }
}

fn unless_negative(number: i32) -> Option<i32> {
    (number >= 0).then_some(number)
}

fn memory_mb(configuration: &Configuration, option: &flink_graph::ConfigOption<MemorySize>) -> Result<u64> {
    let mb = settings::get(configuration, option)?.0.div_ceil(1 << 20);
    if mb < MIN_MEMORY_MB {
        return Err(ClientError::usage(format!("{}: {mb} MB is too little to start with", option.key)).hint(format!(
            "at least {MIN_MEMORY_MB} MB are needed; a number without a unit counts bytes in the \
                           configuration, and megabytes behind -jm and -tm"
        )));
    }
    if mb > i64::MAX.unsigned_abs() >> 20 {
        return Err(ClientError::usage(format!("{}: {mb} MB is more than there can be", option.key)));
    }
    Ok(mb)
}

fn vcores(configuration: &Configuration, slots: u32) -> Result<u32> {
    let given = settings::get(configuration, &options::YARN_CONTAINER_VCORES)?;
    match u32::try_from(given) {
        Ok(0) => Err(ClientError::usage("yarn.containers.vcores: 0 is not at least 1")
            .hint("-1 stands for as many cores as there are slots")),
        Ok(given) => Ok(given),
        Err(_) => Ok(slots),
    }
}

/// Lists of paths as Flink has them: separated by `;`, or by commas.
fn split(text: &str) -> Vec<String> {
    text.split([';', ',']).map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn archives(paths: Vec<String>) -> Result<Vec<String>> {
    let known = |path: &&String| ![".tar.gz", ".tgz", ".tar", ".zip", ".jar"].iter().any(|end| path.ends_with(end));
    match paths.iter().find(known) {
        Some(path) => Err(ClientError::usage(format!("`{path}` is not an archive that YARN unpacks"))
            .hint("archives end in .tar.gz, .tgz, .tar, .zip or .jar; other files are shipped with --ship")),
        None => Ok(paths),
    }
}

fn environment(configuration: &Configuration, prefix: &str) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for (key, value) in &configuration.0 {
        let Some(name) = key.strip_prefix(prefix) else { continue };
        let valid = !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit());
        if !valid || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(ClientError::usage(format!("{key}: `{name}` cannot name a variable of the environment")));
        }
        // The NodeManager writes it between double quotes into a script.
        if value.contains(['"', '\n', '`', '\\']) {
            return Err(ClientError::usage(format!("{key}: the value holds a quote, backslash or line break"))
                .hint("YARN hands variables to a shell; put such a value into a file and ship it with --ship"));
        }
        found.insert(name.to_owned(), value.clone());
    }
    Ok(found)
}

/// The steps in which YARN allocates, as this host's yarn-site.xml says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Steps {
    /// Least memory, mebibytes.
    pub(crate) minimum_mb: u64,
    /// Memory is a multiple of it.
    pub(crate) increment_mb: u64,
    /// Least cores.
    pub(crate) minimum_vcores: u32,
}

impl Steps {
    /// What YARN makes of a container's size.
    pub(crate) fn rounded(self, size: Size) -> Size {
        let step = self.increment_mb.max(1);
        Size {
            memory_mb: size.memory_mb.max(self.minimum_mb).div_ceil(step).saturating_mul(step),
            vcores: size.vcores.max(self.minimum_vcores),
        }
    }

    /// Says it where YARN gives more than is asked for.
    pub(crate) fn notice(self, what: &str, key: &str, size: Size) -> Option<String> {
        let given = self.rounded(size);
        (given.memory_mb > size.memory_mb).then(|| {
            format!(
                "{what}: YARN makes {} of the {} that are asked for, since it allocates in steps of {} \
                 (yarn.scheduler.minimum-allocation-mb); {key} could be as much",
                megabytes(given.memory_mb),
                megabytes(size.memory_mb),
                megabytes(self.increment_mb.max(self.minimum_mb)),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(kind: Kind, settings: &[(&str, &str)]) -> Result<Plan> {
        let mut configuration = Configuration::default();
        for (key, value) in settings {
            configuration.set(*key, *value);
        }
        Plan::new(kind, &configuration, Some("wordcount"))
    }

    #[test]
    fn defaults_are_those_of_flink_where_they_mean_the_same() {
        let made = plan(Kind::Session, &[]).unwrap();
        assert_eq!((made.name.as_str(), made.queue.as_str()), ("flink-yarn session", "default"));
        assert_eq!(made.master, Size { memory_mb: 512, vcores: 1 });
        assert_eq!(made.task_manager, Size { memory_mb: 1728, vcores: 1 });
        assert_eq!((made.priority, made.replication, made.attempts), (None, None, None));
        assert_eq!(plan(Kind::Application, &[]).unwrap().name, "wordcount");
        assert_eq!(plan(Kind::PerJob, &[("pipeline.name", "job")]).unwrap().name, "job");
    }

    #[test]
    fn the_keys_of_flink_are_read() {
        let made = plan(
            Kind::Session,
            &[
                ("taskmanager.numberOfTaskSlots", "3"),
                ("jobmanager.memory.process.size", "128m"),
                ("yarn.tags", "b, a,,a"),
                ("yarn.ship-files", "x;y,z"),
                ("yarn.application.priority", "7"),
                ("yarn.application.node-label", "ssd"),
                ("yarn.file-replication", "2"),
                ("containerized.master.env.LANG", "C"),
            ],
        )
        .unwrap();
        assert_eq!((made.task_manager.vcores, made.master.memory_mb), (3, 128));
        assert_eq!(
            (made.tags, made.ship_files),
            (vec!["a".into(), "b".into()], vec!["x".into(), "y".into(), "z".into()])
        );
        assert_eq!((made.priority, made.replication), (Some(7), Some(2)));
        assert_eq!(made.task_manager_node_label.as_deref(), Some("ssd"));
        assert_eq!(made.master_environment["LANG"], "C");
        assert_eq!(plan(Kind::Session, &[("yarn.containers.vcores", "5")]).unwrap().task_manager.vcores, 5);
    }

    #[test]
    fn wrong_values_say_what_is_meant() {
        let long = "t".repeat(101);
        let table = [
            ("jobmanager.memory.process.size", "512", "counts bytes"),
            ("yarn.containers.vcores", "0", "as many cores as there are slots"),
            ("yarn.ship-archives", "a.rar", ".tar.gz"),
            ("yarn.tags", &long, "not a tag"),
            ("yarn.application.type", "a type that is much too long", "20 characters"),
            ("containerized.taskmanager.env.A", "a\"b", "quote"),
            ("containerized.taskmanager.env.1A", "x", "cannot name"),
        ];
        for (key, value, expect) in table {
            let error = plan(Kind::Session, &[(key, value)]).unwrap_err().to_string();
            assert!(error.contains(expect), "{key}: {error}");
        }
    }

    #[test]
    fn memory_is_rounded_as_yarn_does() {
        let steps = Steps { minimum_mb: 1024, increment_mb: 1024, minimum_vcores: 1 };
        let rounded = |memory_mb| steps.rounded(Size { memory_mb, vcores: 1 }).memory_mb;
        assert_eq!([rounded(1), rounded(1024), rounded(1025), rounded(1728)], [1024, 1024, 2048, 2048]);
        let notice =
            steps.notice("TaskManagers", "taskmanager.memory.process.size", Size { memory_mb: 1728, vcores: 1 });
        assert!(notice.unwrap().starts_with("TaskManagers: YARN makes 2 GB of the 1728 MB"));
        assert_eq!(steps.notice("x", "y", Size { memory_mb: 2048, vcores: 1 }), None);
    }
}
