use std::io::Read;
use std::path::Path;

use flink_api::{Configuration, ExecuteError};
use flink_graph::configuration_file::{FILE_NAMES, MAX_FILE_BYTES, is_old_form, parse};
use flink_graph::keys::{check_keys, check_values, remove_without_effect};

/// Environment variable with the folder of the configuration file.
const CONF_DIR_VARIABLE: &str = "FLINK_CONF_DIR";

/// A configuration from a file.
pub trait LoadConfiguration: Sized {
    /// Reads a file in the form of Flink's `config.yaml` (one of the name `flink-conf.yaml` in that of Flink 1), and checks it
    /// as `flink-yarn` does: a misspelt key is refused, one that only means something to Flink is left out with a warning.
    ///
    /// # Errors
    /// The file cannot be read, or says something wrong.
    fn from_file(path: impl AsRef<Path>) -> Result<Self, ExecuteError>;
}

impl LoadConfiguration for Configuration {
    fn from_file(path: impl AsRef<Path>) -> Result<Self, ExecuteError> {
        let path = path.as_ref();
        let wrong = |what: &dyn std::fmt::Display| {
            ExecuteError::Environment(format!("the configuration file {}: {what}", path.display()))
        };
        let text = read(path).map_err(|error| wrong(&error))?;
        let mut configuration = parse(&text, is_old_form(path)).map_err(|error| wrong(&error))?;
        for warning in remove_without_effect(&mut configuration) {
            eprintln!("warning: {}: {warning}", path.display());
        }
        check_keys(&configuration).map_err(|error| wrong(&error))?;
        check_values(&configuration).map_err(|error| wrong(&error))?;
        Ok(configuration)
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let size = std::fs::File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)? as u64;
    if size > MAX_FILE_BYTES {
        return Err(std::io::Error::other(format!("it is larger than {MAX_FILE_BYTES} bytes, the most that is read")));
    }
    Ok(text)
}

/// The configuration for a program that nobody but its user has started: that of `$FLINK_CONF_DIR/config.yaml`, if the variable
/// is set.
pub(crate) fn of_user() -> Result<Configuration, ExecuteError> {
    match std::env::var_os(CONF_DIR_VARIABLE).filter(|folder| !folder.is_empty()) {
        Some(folder) => in_folder(Path::new(&folder)),
        None => Ok(Configuration::default()),
    }
}

fn in_folder(folder: &Path) -> Result<Configuration, ExecuteError> {
    if !folder.is_dir() {
        let text = format!("the configuration folder {} does not exist ({CONF_DIR_VARIABLE})", folder.display());
        return Err(ExecuteError::Environment(text));
    }
    let file = FILE_NAMES.into_iter().map(|name| folder.join(name)).find(|path| path.is_file());
    file.map_or_else(|| Ok(Configuration::default()), Configuration::from_file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_and_checked() {
        let folder = std::env::temp_dir().join(format!("flink-configuration-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let read = |text: &str| {
            std::fs::write(folder.join("config.yaml"), text).unwrap();
            in_folder(&folder).map_err(|error| error.to_string())
        };
        let good = read("parallelism:\n  default: 3\nmy.key: x\ntaskmanager.memory.managed.fraction: 0.4\n").unwrap();
        assert_eq!((good.raw("parallelism.default"), good.raw("my.key"), good.0.len()), (Some("3"), Some("x"), 2));
        let table = [
            ("parallelism.defualt: 3\n", "did you mean `parallelism.default`?"),
            ("rest.port: many\n", "`many` is not"),
            ("rest.port: [\n", "line"),
        ];
        for (text, expect) in table {
            let error = read(text).unwrap_err();
            assert!(error.contains(expect) && error.contains("config.yaml"), "{error}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
        let missing = in_folder(&folder).unwrap_err().to_string();
        assert!(missing.contains("does not exist (FLINK_CONF_DIR)"), "{missing}");
    }
}
