use clap::Args;
use flink_graph::Configuration;
use flink_graph::configuration::{ConfigValue, MemorySize, options};

use crate::settings;

/// Options of a cluster on YARN that is about to be started. Each has a configuration key, too.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "New application on YARN")]
pub(crate) struct DeploymentOptions {
    /// Memory of the ApplicationMaster with its JobManager, for example 512m; without a unit megabytes (-jm)
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    jobmanager_memory: Option<MemorySize>,

    /// Memory of a TaskManager with its workers, for example 2g; without a unit megabytes (-tm)
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    taskmanager_memory: Option<MemorySize>,

    /// Slots of a TaskManager (-ys, in `session` -s)
    #[arg(long, value_name = "N", value_parser = settings::at_least_one)]
    slots: Option<u32>,

    /// Queue to submit to (-qu, -yqu)
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,

    /// Name of the application on YARN (-nm, -ynm)
    #[arg(long, value_name = "NAME")]
    application_name: Option<String>,

    /// File or folder to put into every container; may be repeated (-yt, in `session` -t)
    #[arg(long, value_name = "PATH")]
    ship: Vec<String>,

    /// Archive to unpack in every container; may be repeated
    #[arg(long, value_name = "FILE")]
    ship_archive: Vec<String>,
}

/// A size; a number alone counts megabytes, as for Flink's options of the same letters.
fn memory(text: &str) -> Result<MemorySize, String> {
    let text = text.trim();
    let with_unit = if text.bytes().all(|byte| byte.is_ascii_digit()) { format!("{text} mb") } else { text.to_owned() };
    MemorySize::parse(&with_unit)
        .filter(|size| size.0 > 0)
        .ok_or_else(|| "expected a size, for example 1024 (megabytes), 512m or 2g".to_owned())
}

impl DeploymentOptions {
    /// Sets the keys of the options that were given.
    pub(crate) fn apply(&self, configuration: &mut Configuration) {
        let mut set = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                configuration.set(key, value);
            }
        };
        let size = |size: Option<MemorySize>| size.map(|size| size.to_string());
        set(options::JOB_MANAGER_MEMORY.key, size(self.jobmanager_memory));
        set(options::TASK_MANAGER_MEMORY.key, size(self.taskmanager_memory));
        set(options::TASK_SLOTS.key, self.slots.map(|slots| slots.to_string()));
        set(options::YARN_APPLICATION_QUEUE.key, self.queue.clone());
        set(options::YARN_APPLICATION_NAME.key, self.application_name.clone());
        add(configuration, options::YARN_SHIP_FILES.key, &self.ship);
        add(configuration, options::YARN_SHIP_ARCHIVES.key, &self.ship_archive);
    }

    /// The first option that was given: it is wrong where nothing is started.
    pub(crate) fn first_given(&self) -> Option<&'static str> {
        let given = [
            (self.jobmanager_memory.is_some(), "--jobmanager-memory (-jm)"),
            (self.taskmanager_memory.is_some(), "--taskmanager-memory (-tm)"),
            (self.slots.is_some(), "--slots (-s)"),
            (self.queue.is_some(), "--queue (-qu)"),
            (self.application_name.is_some(), "--application-name (-nm)"),
            (!self.ship.is_empty(), "--ship"),
            (!self.ship_archive.is_empty(), "--ship-archive"),
        ];
        given.into_iter().find(|(given, _)| *given).map(|(_, name)| name)
    }
}

/// What is shipped on the command line comes beside what the configuration ships.
fn add(configuration: &mut Configuration, key: &str, more: &[String]) {
    if more.is_empty() {
        return;
    }
    let before = configuration.raw(key).filter(|text| !text.trim().is_empty()).map(str::to_owned);
    let all: Vec<String> = before.into_iter().chain(more.iter().cloned()).collect();
    configuration.set(key, all.join(";"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_without_a_unit_are_megabytes() {
        assert_eq!(memory("1024"), Ok(MemorySize(1 << 30)));
        assert_eq!(memory("512m"), Ok(MemorySize(512 << 20)));
        assert_eq!(memory("2 g"), Ok(MemorySize(2 << 30)));
        assert!(memory("many").is_err() && memory("0").is_err() && memory("").is_err());
    }

    #[test]
    fn options_become_keys() {
        let given = DeploymentOptions {
            taskmanager_memory: Some(MemorySize(2 << 30)),
            slots: Some(4),
            queue: Some("q".to_owned()),
            ship: vec!["b".to_owned()],
            ..DeploymentOptions::default()
        };
        let mut configuration = Configuration::default();
        configuration.set("yarn.ship-files", "a");
        given.apply(&mut configuration);
        assert_eq!(configuration.raw("taskmanager.memory.process.size"), Some("2 gb"));
        assert_eq!(configuration.raw("taskmanager.numberOfTaskSlots"), Some("4"));
        assert_eq!(configuration.raw("yarn.application.queue"), Some("q"));
        assert_eq!(configuration.raw("yarn.ship-files"), Some("a;b"));
        assert_eq!(configuration.raw("jobmanager.memory.process.size"), None);
        assert_eq!(given.first_given(), Some("--taskmanager-memory (-tm)"));
        assert_eq!(DeploymentOptions::default().first_given(), None);
    }
}
