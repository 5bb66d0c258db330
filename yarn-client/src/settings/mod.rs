//! Where the configuration comes from, weakest first: defaults, the configuration file, `-D`, options with a name of
//! their own (`-p`, `-m`, `--name`).

/// Finds and reads the configuration file.
mod file;

/// Refuses unknown keys and wrong values.
mod check;

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use flink_graph::Configuration;

use crate::error::{ClientError, Result};
use crate::output;

pub(crate) use check::check;
pub(crate) use file::directory;
pub(crate) use flink_graph::configuration_file::parse;

/// Options of every command that reads the configuration.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct ConfigurationOptions {
    /// Set a configuration key, over the configuration file; may be repeated
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    pub(crate) property: Vec<Property>,

    /// Folder with config.yaml (default: $FLINK_CONF_DIR, then ./conf)
    #[arg(long, value_name = "DIR")]
    pub(crate) config_dir: Option<PathBuf>,
}

/// One `-D key=value`. A key alone is `true`, as in Flink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Property {
    key: String,
    value: String,
}

impl FromStr for Property {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (key, value) = text.split_once('=').unwrap_or((text, "true"));
        let key = key.trim();
        let valid = !key.is_empty() && !key.contains(char::is_whitespace);
        valid
            .then(|| Self { key: key.to_owned(), value: value.trim().to_owned() })
            .ok_or_else(|| "expected key=value, for example -D parallelism.default=4".to_owned())
    }
}

impl ConfigurationOptions {
    /// Reads the file, lays `-D` and then `named` over it, and checks the whole.
    pub(crate) fn load(&self, named: impl FnOnce(&mut Configuration)) -> Result<Configuration> {
        let mut configuration = file::read(self.config_dir.as_deref())?;
        for property in &self.property {
            configuration.set(&property.key, &property.value);
        }
        named(&mut configuration);
        for warning in check(&mut configuration)? {
            output::notice(format!("warning: {warning}"));
        }
        Ok(configuration)
    }
}

/// The value of an option; its text was checked when the configuration was loaded.
pub(crate) fn get<T: flink_graph::configuration::ConfigValue>(
    configuration: &Configuration,
    option: &flink_graph::ConfigOption<T>,
) -> Result<T> {
    configuration.get(option).map_err(|error| ClientError::usage(error.to_string()))
}

/// A number of which there must be one: a parallelism, a number of slots.
pub(crate) fn at_least_one(text: &str) -> std::result::Result<u32, String> {
    let number = text.trim().parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("`{text}` is not a whole number of at least 1, for example 4"))
}

/// A number of processes to start on one host.
pub(crate) fn up_to_a_thousand(text: &str) -> std::result::Result<u32, String> {
    match at_least_one(text)? {
        number @ ..=1000 => Ok(number),
        number => Err(format!("{number} are more than this command starts; the most are 1000")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_read_as_in_flink() {
        let property = |text: &str| text.parse::<Property>().map(|p| (p.key, p.value));
        assert_eq!(property("a.b=c=d"), Ok(("a.b".to_owned(), "c=d".to_owned())));
        assert_eq!(property("flag"), Ok(("flag".to_owned(), "true".to_owned())));
        assert!(property("=x").is_err());
    }

    #[test]
    fn later_wins() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("config.yaml"),
            "parallelism:\n  default: 2\ntaskmanager.numberOfTaskSlots: 3\n",
        )
        .unwrap();
        let options = ConfigurationOptions {
            property: vec!["taskmanager.numberOfTaskSlots=4".parse().unwrap(), "pipeline.name=a".parse().unwrap()],
            config_dir: Some(folder.path().to_owned()),
        };
        let loaded = options
            .load(|configuration| {
                configuration.set("pipeline.name", "b");
            })
            .unwrap();
        assert_eq!(loaded.raw("parallelism.default"), Some("2"));
        assert_eq!(loaded.raw("taskmanager.numberOfTaskSlots"), Some("4"));
        assert_eq!(loaded.raw("pipeline.name"), Some("b"));
    }
}
