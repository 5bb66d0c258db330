//! Hadoop's configuration, read as its own clients read it.
//!
//! ```
//! use hadoop_rpc::Configuration;
//!
//! let mut configuration = Configuration::new();
//! configuration.set("fs.defaultFS", "hdfs://${cluster}");
//! configuration.set("cluster", "namenode:8020");
//! assert_eq!(configuration.get("fs.defaultFS").as_deref(), Some("hdfs://namenode:8020"));
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The XML of a `*-site.xml` file.
mod xml;

/// `${…}` in values.
mod substitution;

/// Values that hold where no file says otherwise, and old names of keys.
mod defaults;

/// Texts to numbers, durations and sizes.
mod values;

pub use values::parse_duration;

/// The files, in the order in which they are read.
pub const FILES: [&str; 3] = ["core-site.xml", "hdfs-site.xml", "yarn-site.xml"];

/// What is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigurationError {
    /// A file cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        cause: String,
    },
    /// A file is not a Hadoop configuration.
    #[error("{file}: {what}")]
    Xml {
        /// The file.
        file: String,
        /// What is wrong, and where.
        what: String,
    },
    /// A key without which nothing works is not set.
    #[error("{key} is not set ({purpose}); {hint}")]
    Missing {
        /// The key.
        key: String,
        /// What it is needed for.
        purpose: String,
        /// Where to set it.
        hint: String,
    },
    /// A value makes no sense.
    #[error("{key} is `{value}` (set in {origin}): {expected}")]
    Invalid {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// Where it was set.
        origin: String,
        /// What it should look like.
        expected: String,
    },
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Hadoop's own default.
    Default,
    /// A file.
    File(PathBuf),
    /// Set by the program, from a command line for example.
    Override,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("Hadoop's defaults"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Override => f.write_str("the program's own settings"),
        }
    }
}

#[derive(Clone, Debug)]
struct Entry {
    value: String,
    origin: Origin,
}

/// A property of a file, before it is merged.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Property {
    key: String,
    value: String,
    is_final: bool,
}

/// Keys and values of core-site.xml, hdfs-site.xml and yarn-site.xml, on top of built-in defaults, below overrides.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    entries: BTreeMap<String, Entry>,
    finals: BTreeSet<String>,
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

impl Configuration {
    /// Built-in defaults only.
    #[must_use]
    pub fn new() -> Self {
        let entry = |value: &str| Entry { value: value.to_owned(), origin: Origin::Default };
        let entries = defaults::DEFAULTS.iter().map(|(key, value)| ((*key).to_owned(), entry(value))).collect();
        Self { entries, ..Self::default() }
    }

    /// Reads the files in the folders that the environment names: HADOOP_CONF_DIR and YARN_CONF_DIR, else
    /// HADOOP_HOME/etc/hadoop. Missing files are not an error here: see [`Self::is_found`].
    pub fn load() -> Result<Self, ConfigurationError> {
        Self::load_from(&folders_of_environment(|name| std::env::var_os(name).map(PathBuf::from)))
    }

    /// Reads each of the files from the first of the folders that has it.
    pub fn load_from(folders: &[PathBuf]) -> Result<Self, ConfigurationError> {
        let mut configuration = Self::new();
        configuration.folders = folders.to_vec();
        for name in FILES {
            if let Some(path) = folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file()) {
                configuration.add_file(&path)?;
            }
        }
        Ok(configuration)
    }

    /// Merges a file: its values win over what is there, unless that is final.
    pub fn add_file(&mut self, path: &Path) -> Result<(), ConfigurationError> {
        let properties = xml::read_file(path)?;
        self.merge(properties, &Origin::File(path.to_owned()));
        self.files.push(path.to_owned());
        Ok(())
    }

    /// Merges the text of a file, under a name for messages. `xi:include` is not followed.
    pub fn add_text(&mut self, name: &str, text: &str) -> Result<(), ConfigurationError> {
        let properties = xml::parse(name, text)?.into_properties()?;
        self.merge(properties, &Origin::File(PathBuf::from(name)));
        Ok(())
    }

    fn merge(&mut self, properties: Vec<Property>, origin: &Origin) {
        for Property { key, value, is_final } in properties {
            let key = defaults::current_name(&key).to_owned();
            if self.finals.contains(&key) {
                continue;
            }
            if is_final {
                self.finals.insert(key.clone());
            }
            self.entries.insert(key, Entry { value, origin: origin.clone() });
        }
    }

    /// Sets a value over every file, finals included.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        let key = defaults::current_name(key).to_owned();
        self.entries.insert(key, Entry { value: value.into(), origin: Origin::Override });
    }

    /// The files that were read.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Whether any file was found: without one there is no Hadoop cluster to speak of.
    #[must_use]
    pub fn is_found(&self) -> bool {
        !self.files.is_empty()
    }

    /// Where a value was set; none when the key is unknown.
    #[must_use]
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.entry(key).map(|entry| &entry.origin)
    }

    /// A value with its variables replaced.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<String> {
        self.entry(key).map(|entry| self.substitute(&entry.value))
    }

    /// A value that is set and not blank, without white space around it.
    #[must_use]
    pub fn get_trimmed(&self, key: &str) -> Option<String> {
        self.get(key).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// A value, which must be there.
    pub fn require(&self, key: &str, purpose: &str) -> Result<String, ConfigurationError> {
        self.get_trimmed(key).ok_or_else(|| self.missing(key, purpose))
    }

    /// A whole number.
    pub fn get_i64(&self, key: &str) -> Result<Option<i64>, ConfigurationError> {
        self.parsed(key, "expected a whole number", values::parse_integer)
    }

    /// `true` or `false`; anything else is an error.
    pub fn get_bool(&self, key: &str) -> Result<Option<bool>, ConfigurationError> {
        self.parsed(key, "expected true or false", values::parse_bool)
    }

    /// A duration: a number in milliseconds, or with one of the units ns, us, ms, s, m, h, d.
    pub fn get_duration(&self, key: &str) -> Result<Option<Duration>, ConfigurationError> {
        let expected = "expected a number of milliseconds, or one with a unit (ms, s, m, h, d)";
        self.parsed(key, expected, |text| parse_duration(text, Duration::from_millis(1)))
    }

    /// The same, where a number without unit means seconds.
    pub fn get_seconds(&self, key: &str) -> Result<Option<Duration>, ConfigurationError> {
        let expected = "expected a number of seconds, or one with a unit (ms, s, m, h, d)";
        self.parsed(key, expected, |text| parse_duration(text, Duration::from_secs(1)))
    }

    /// A list, separated by commas; blanks are left out.
    #[must_use]
    pub fn get_list(&self, key: &str) -> Vec<String> {
        let value = self.get(key).unwrap_or_default();
        value.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    /// Every key with its value, variables replaced.
    pub fn iter(&self) -> impl Iterator<Item = (&str, String)> {
        self.entries.iter().map(|(key, entry)| (key.as_str(), self.substitute(&entry.value)))
    }

    /// An error about the value of a key.
    #[must_use]
    pub fn invalid(&self, key: &str, expected: impl Into<String>) -> ConfigurationError {
        let origin = self.origin(key).map_or_else(|| "no file".to_owned(), ToString::to_string);
        let value = self.get(key).unwrap_or_default();
        ConfigurationError::Invalid { key: key.to_owned(), value, origin, expected: expected.into() }
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.get(defaults::current_name(key))
    }

    fn substitute(&self, value: &str) -> String {
        substitution::substitute(value, &|name| self.entry(name).map(|entry| entry.value.clone()))
    }

    fn parsed<T>(
        &self,
        key: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigurationError> {
        let Some(value) = self.get_trimmed(key) else { return Ok(None) };
        parse(&value).map(Some).ok_or_else(|| self.invalid(key, expected))
    }

    fn missing(&self, key: &str, purpose: &str) -> ConfigurationError {
        ConfigurationError::Missing { key: key.to_owned(), purpose: purpose.to_owned(), hint: self.hint() }
    }

    fn hint(&self) -> String {
        let list = |paths: &[PathBuf]| paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ");
        match (self.files.is_empty(), self.folders.is_empty()) {
            (false, _) => format!("set it in one of {}", list(&self.files)),
            (true, false) => format!("no core-site.xml, hdfs-site.xml or yarn-site.xml is in {}", list(&self.folders)),
            (true, true) => "set HADOOP_CONF_DIR to the folder with the cluster's core-site.xml".to_owned(),
        }
    }
}

fn folders_of_environment(variable: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for name in ["HADOOP_CONF_DIR", "YARN_CONF_DIR"] {
        if let Some(folder) = variable(name).filter(|folder| !folder.as_os_str().is_empty())
            && !folders.contains(&folder)
        {
            folders.push(folder);
        }
    }
    if folders.is_empty() {
        let homes = ["HADOOP_HOME", "HADOOP_PREFIX"].into_iter().filter_map(variable);
        folders.extend(homes.map(|home| home.join("etc/hadoop")).take(1));
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORE: &str = "<configuration>
        <property><name>fs.default.name</name><value>hdfs://a:8020</value></property>
        <property><name>a</name><value>1</value><final>true</final></property>
        <property><name>time</name><value>5s</value></property>
        <property><name>list</name><value> x, y ,,z</value></property></configuration>";

    fn folder(content: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in content {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn later_files_win_unless_a_value_is_final() {
        let yarn = "<configuration><property><name>a</name><value>2</value></property>
            <property><name>time</name><value>6000</value></property></configuration>";
        let folder = folder(&[("core-site.xml", CORE), ("yarn-site.xml", yarn)]);
        let mut configuration = Configuration::load_from(&[folder.path().to_owned()]).unwrap();
        assert!(configuration.is_found() && configuration.files().len() == 2);
        assert_eq!(configuration.get("a").as_deref(), Some("1"));
        assert_eq!(configuration.get_duration("time").unwrap(), Some(Duration::from_secs(6)));
        assert_eq!(configuration.get("fs.defaultFS").as_deref(), Some("hdfs://a:8020"));
        assert_eq!(configuration.get_list("list"), ["x", "y", "z"]);
        configuration.set("a", "3");
        assert_eq!(configuration.get_i64("a").unwrap(), Some(3));
        assert_eq!(configuration.origin("a"), Some(&Origin::Override));
    }

    #[test]
    fn an_error_says_where_and_what() {
        let folder = folder(&[("core-site.xml", CORE)]);
        let configuration = Configuration::load_from(&[folder.path().to_owned()]).unwrap();
        let message = configuration.get_bool("time").unwrap_err().to_string();
        assert!(message.contains("time is `5s`") && message.contains("core-site.xml"), "{message}");
        let message = configuration.require("no.such", "where it is").unwrap_err().to_string();
        assert!(message.contains("no.such is not set (where it is); set it in one of"), "{message}");
        let message = Configuration::new().require("no.such", "it").unwrap_err().to_string();
        assert!(message.contains("HADOOP_CONF_DIR"), "{message}");
    }

    #[test]
    fn folders_come_from_the_environment() {
        let environment = |names: &[(&str, &str)]| {
            let names: Vec<(String, String)> = names.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            folders_of_environment(move |name| names.iter().find(|(n, _)| n == name).map(|(_, v)| PathBuf::from(v)))
        };
        assert_eq!(environment(&[("HADOOP_CONF_DIR", "/a"), ("YARN_CONF_DIR", "/b")]).len(), 2);
        assert_eq!(environment(&[("HADOOP_CONF_DIR", "/a"), ("YARN_CONF_DIR", "/a")]).len(), 1);
        assert_eq!(environment(&[("HADOOP_HOME", "/h")]), [PathBuf::from("/h/etc/hadoop")]);
        assert!(environment(&[]).is_empty());
    }
}
