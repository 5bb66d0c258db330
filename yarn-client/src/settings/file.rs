use std::fs;
use std::path::{Path, PathBuf};

use flink_graph::Configuration;
use flink_graph::configuration_file::{FILE_NAMES, MAX_FILE_BYTES, is_old_form, parse};

use crate::error::{ClientError, Result};

/// The folder of the configuration file, when there is one: the option, `FLINK_CONF_DIR`, `./conf`.
pub(crate) fn directory(option: Option<&Path>) -> Result<Option<PathBuf>> {
    if let Some(folder) = option {
        return existing(folder, "--config-dir").map(Some);
    }
    if let Some(folder) = std::env::var_os("FLINK_CONF_DIR").filter(|folder| !folder.is_empty()) {
        return existing(Path::new(&folder), "FLINK_CONF_DIR").map(Some);
    }
    Ok(Some(PathBuf::from("conf")).filter(|folder| file_in(folder).is_some()))
}

/// Reads the configuration file; nothing is read when there is none.
pub(super) fn read(option: Option<&Path>) -> Result<Configuration> {
    let Some(folder) = directory(option)? else { return Ok(Configuration::default()) };
    match file_in(&folder) {
        Some(path) => read_file(&path),
        None if option.is_some() => {
            Err(ClientError::usage(format!("no config.yaml in {} (--config-dir)", folder.display()))
                .hint("name the folder that holds config.yaml, not the file"))
        }
        None => Ok(Configuration::default()),
    }
}

fn existing(folder: &Path, origin: &str) -> Result<PathBuf> {
    if folder.is_dir() {
        return Ok(folder.to_owned());
    }
    Err(ClientError::usage(format!("the configuration folder {} does not exist ({origin})", folder.display())))
}

/// Flink 2's file, or the one of Flink 1.
fn file_in(folder: &Path) -> Option<PathBuf> {
    FILE_NAMES.into_iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

fn read_file(path: &Path) -> Result<Configuration> {
    let wrong = |what: String| {
        ClientError::usage(format!("cannot read the configuration file {}", path.display())).because_text(what)
    };
    let size = fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if size > MAX_FILE_BYTES {
        return Err(wrong(format!("it has {size} bytes; {MAX_FILE_BYTES} is the most that is read")));
    }
    let bytes = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let text = String::from_utf8(bytes)
        .map_err(|error| wrong(format!("it is not a text in UTF-8: see byte {}", error.utf8_error().valid_up_to())))?;
    parse(&text, is_old_form(path)).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_folder_must_hold_a_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(Some(folder.path())).unwrap_err().to_string().contains("no config.yaml"));
        let missing = folder.path().join("none");
        assert!(read(Some(&missing)).unwrap_err().to_string().contains("does not exist"));
        fs::write(folder.path().join("config.yaml"), b"a: \xff").unwrap();
        assert!(read(Some(folder.path())).unwrap_err().to_string().contains("not a text in UTF-8: see byte 3"));
    }
}
