//! The file that remembers the last session, as Flink's `/tmp/.yarn-properties-USER` does, in the same form. It has a name
//! of its own, so that a session of Apache Flink on the same host is neither taken for ours nor forgotten.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use flink_graph::Configuration;
use flink_graph::configuration::options;

use crate::error::{ClientError, Result};
use crate::settings;

/// A file of this size is none.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// Key of the application's id.
const APPLICATION: &str = "applicationID";

/// Where the last session is remembered.
#[derive(Debug, Clone)]
pub(crate) struct PropertiesFile {
    path: PathBuf,
}

impl PropertiesFile {
    /// The file of this user.
    pub(crate) fn of(configuration: &Configuration) -> Result<Self> {
        let folder = settings::get(configuration, &options::YARN_PROPERTIES_LOCATION)?;
        let folder = folder.filter(|text| !text.is_empty()).map_or_else(std::env::temp_dir, PathBuf::from);
        // The number, not the name: an environment variable must not lead to the file of somebody else.
        let user = rustix::process::getuid().as_raw();
        Ok(Self { path: folder.join(format!(".flink-yarn-properties-{user}")) })
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The session that is remembered.
    pub(crate) fn read(&self) -> Result<Option<String>> {
        let metadata = match fs::symlink_metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.error("cannot be read").because(&error)),
        };
        // Everybody may write to the folder for temporary files; a file of somebody else's would lead us astray.
        if !metadata.is_file() || metadata.uid() != rustix::process::getuid().as_raw() {
            return Err(self.error("belongs to somebody else, or is not a file").hint(
                "remove it, or set yarn.properties-file.location to a folder of your own; --application-id names a session",
            ));
        }
        if metadata.len() > MAX_FILE_BYTES {
            return Err(self.error("is too large"));
        }
        let text = fs::read_to_string(&self.path).map_err(|error| self.error("cannot be read").because(&error))?;
        Ok(value(&text, APPLICATION))
    }

    /// Remembers a session.
    pub(crate) fn write(&self, application: &str) -> Result<()> {
        let failed = |error: &std::io::Error| {
            self.error("cannot be written")
                .because(error)
                .hint("set yarn.properties-file.location to a folder that can be written to")
        };
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|error| failed(&error))?;
        file.write_all(text(application).as_bytes()).map_err(|error| failed(&error))?;
        file.persist(&self.path).map_err(|error| failed(&error.error))?;
        Ok(())
    }

    /// Forgets the session, if it is the one that is remembered.
    pub(crate) fn forget(&self, application: &str) {
        if matches!(self.read(), Ok(Some(remembered)) if remembered == application) {
            // When it stays, the next command finds that the session has ended.
            let _ = fs::remove_file(&self.path);
        }
    }

    fn error(&self, what: &str) -> ClientError {
        ClientError::usage(format!("the file that remembers the session, {}, {what}", self.path.display()))
    }
}

fn text(application: &str) -> String {
    format!("#Written by flink-yarn session; read by run, list, cancel and logs\n{APPLICATION}={application}\n")
}

/// A value of a Java properties file, in the forms that such files have in practice.
fn value(text: &str, key: &str) -> Option<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', '!']));
    let pairs = lines.filter_map(|line| line.split_once(['=', ':']));
    let found = pairs.filter(|(name, _)| name.trim() == key).map(|(_, value)| value.trim().to_owned()).next_back();
    found.filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn file(folder: &Path) -> PropertiesFile {
        let mut configuration = Configuration::default();
        configuration.set("yarn.properties-file.location", folder.to_str().unwrap());
        PropertiesFile::of(&configuration).unwrap()
    }

    #[test]
    fn a_session_is_remembered_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        assert_eq!(file.read().unwrap(), None);
        file.write("application_1_0002").unwrap();
        assert_eq!(file.read().unwrap().as_deref(), Some("application_1_0002"));
        assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
        file.forget("application_1_0001");
        assert!(file.read().unwrap().is_some());
        file.forget("application_1_0002");
        assert_eq!(file.read().unwrap(), None);
    }

    #[test]
    fn files_of_flink_are_understood() {
        let text = "#Generated YARN properties file\n#Sat Nov 21\ndynamicPropertiesString=a\\=b\napplicationID=application_1_2\n";
        assert_eq!(value(text, APPLICATION).as_deref(), Some("application_1_2"));
        assert_eq!(value("applicationID=\n", APPLICATION), None);
        assert_eq!(value("applicationID : x\n", APPLICATION).as_deref(), Some("x"));
    }

    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        std::os::unix::fs::symlink("/etc/passwd", file.path()).unwrap();
        assert!(file.read().unwrap_err().to_string().contains("not a file"));
        let missing = self::file(&folder.path().join("none"));
        assert!(missing.write("application_1_2").unwrap_err().to_string().contains("yarn.properties-file.location"));
    }
}
