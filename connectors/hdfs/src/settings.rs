use std::time::Duration;

use flink_files::{FileError, FileUri};
use hadoop_rpc::configuration::Origin;
use hadoop_rpc::{Configuration, KerberosLogin};
use hdfs_native::WriteOptions;

/// Keys of the engine's configuration that begin so set the Hadoop key behind it.
const OVERRIDE_PREFIX: &str = "flink.hadoop.";

/// How this process uses HDFS.
#[derive(Debug, Clone)]
pub struct HdfsOptions {
    /// Hadoop keys that replace what the files say.
    pub overrides: Vec<(String, String)>,
    /// Whom to act as without Kerberos; else HADOOP_USER_NAME or the user of the process.
    pub user: Option<String>,
    /// The login to use with Kerberos, where no token is given; else the tickets that `kinit` has obtained.
    pub login: Option<KerberosLogin>,
    /// How long to try to reach a NameNode that was never reached. Short where a person waits for the answer.
    pub first_contact: Duration,
    /// How long to wait for a NameNode that was reached before: it may be restarting, or another one take over.
    pub patience: Duration,
}

impl Default for HdfsOptions {
    fn default() -> Self {
        Self {
            overrides: Vec::new(),
            user: None,
            login: None,
            first_contact: Duration::from_secs(6),
            patience: Duration::from_secs(90),
        }
    }
}

impl HdfsOptions {
    /// Takes the `flink.hadoop.<key>` of the engine's configuration as overrides.
    #[must_use]
    pub fn with_overrides<'a>(mut self, configuration: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        let stripped =
            configuration.into_iter().filter_map(|(key, value)| Some((key.strip_prefix(OVERRIDE_PREFIX)?, value)));
        self.overrides.extend(stripped.map(|(key, value)| (key.to_owned(), value.clone())));
        self
    }

    /// Logs in as a principal from its keytab, where both are named.
    #[must_use]
    pub fn with_keytab(mut self, principal: Option<String>, file: Option<String>) -> Self {
        let named = |text: Option<String>| text.filter(|text| !text.is_empty());
        let both = named(principal).zip(named(file));
        self.login = both.map(|(principal, file)| KerberosLogin::Keytab { principal, file: file.into() });
        self
    }

    /// For a process that others have started on a cluster: it waits for a NameNode that is just restarting.
    #[must_use]
    pub fn patient(mut self) -> Self {
        self.first_contact = self.patience;
        self
    }

    /// The Hadoop configuration from the files that the environment names, with the overrides.
    pub(crate) fn load(&self) -> Result<Configuration, FileError> {
        let loaded = Configuration::load();
        let mut configuration = loaded.map_err(|error| FileError::InvalidInput {
            input: "the Hadoop configuration".to_owned(),
            reason: error.to_string(),
        })?;
        for (key, value) in &self.overrides {
            configuration.set(key, value.clone());
        }
        Ok(configuration)
    }
}

/// The file system that `fs.defaultFS` names, if it is not the local one.
pub(crate) fn default_file_system(configuration: &Configuration) -> Option<FileUri> {
    let uri = FileUri::parse(&configuration.get_trimmed("fs.defaultFS")?).ok()?;
    (uri.scheme() != "file").then(|| uri.root())
}

/// Bits that new files and folders do not get.
pub(crate) fn umask(configuration: &Configuration) -> u32 {
    configuration.get_trimmed("fs.permissions.umask-mode").and_then(|text| parse_umask(&text)).unwrap_or(0o022)
}

/// How new files are made: `dfs.replication` and `dfs.blocksize` where the cluster's files set them, else as the NameNode has it.
pub(crate) fn write_options(configuration: &Configuration) -> WriteOptions {
    let set = |key: &str| match configuration.origin(key) {
        None | Some(Origin::Default) => None,
        Some(_) => configuration.get_trimmed(key).and_then(|text| parse_size(&text)),
    };
    WriteOptions {
        block_size: set("dfs.blocksize"),
        replication: set("dfs.replication").and_then(|copies| u32::try_from(copies).ok()),
        permission: 0o666 & !umask(configuration),
        ..WriteOptions::default()
    }
}

/// `134217728` or `128m`.
fn parse_size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift).filter(|&size| size > 0)
}

/// `022`, or `u=rwx,g=rx,o=`: what is *not* taken away.
fn parse_umask(text: &str) -> Option<u32> {
    if let Ok(octal) = u32::from_str_radix(text, 8) {
        return (octal <= 0o777).then_some(octal);
    }
    let mut allowed = 0;
    for clause in text.split(',') {
        let (who, what) = clause.trim().split_once('=')?;
        let mut bits = 0;
        for letter in what.chars() {
            bits |= match letter {
                'r' => 4,
                'w' => 2,
                'x' => 1,
                _ => return None,
            };
        }
        for letter in who.chars() {
            allowed |= match letter {
                'u' => bits << 6,
                'g' => bits << 3,
                'o' => bits,
                'a' => bits << 6 | bits << 3 | bits,
                _ => return None,
            };
        }
    }
    Some(0o777 & !allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn umasks_are_read_in_both_forms() {
        let check = |text, expected| assert_eq!(parse_umask(text), expected, "{text}");
        check("022", Some(0o022));
        check("0077", Some(0o077));
        check("u=rwx,g=rx,o=rx", Some(0o022));
        check("u=rwx,g=,o=", Some(0o077));
        check("a=rwx", Some(0));
        check("7777", None);
        check("g+w", None);
        check("", None);
    }

    #[test]
    fn sizes_have_units() {
        let check = |text, expected| assert_eq!(parse_size(text), expected, "{text}");
        check("1048576", Some(1 << 20));
        check("128m", Some(128 << 20));
        check("2G", Some(2 << 30));
        check("0", None);
        check("1x", None);
        check("m", None);
        check("99999999999t", None);
    }

    #[test]
    fn new_files_are_as_the_configuration_says() {
        let mut configuration = Configuration::new();
        let options = write_options(&configuration);
        assert_eq!((options.block_size, options.replication, options.permission), (None, None, 0o644));
        configuration.set("dfs.blocksize", "1m");
        configuration.set("dfs.replication", "2");
        configuration.set("fs.permissions.umask-mode", "077");
        let options = write_options(&configuration);
        assert_eq!((options.block_size, options.replication, options.permission), (Some(1 << 20), Some(2), 0o600));
    }

    #[test]
    fn overrides_are_the_keys_with_the_prefix() {
        let pairs = [("flink.hadoop.dfs.replication".to_owned(), "2".to_owned()), ("other".to_owned(), "1".to_owned())];
        let options = HdfsOptions::default().with_overrides(pairs.iter().map(|(k, v)| (k, v)));
        assert_eq!(options.overrides, [("dfs.replication".to_owned(), "2".to_owned())]);
    }

    #[test]
    fn the_default_file_system_is_never_the_local_one() {
        let of = |value: &str| {
            let mut configuration = Configuration::new();
            configuration.set("fs.defaultFS", value);
            default_file_system(&configuration).map(|uri| uri.to_string())
        };
        assert_eq!(of(" hdfs://nn:9000/x "), Some("hdfs://nn:9000/".to_owned()));
        assert_eq!(of("viewfs://c"), Some("viewfs://c/".to_owned()));
        assert_eq!(of("file:///"), None);
        assert_eq!(of(""), None);
    }
}
