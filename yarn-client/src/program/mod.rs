//! The user's program.

/// Starts the program in plan mode.
mod plan;

/// What is told of a program that has crashed.
mod crash;

/// Files without a name, for what a program is told and what it answers.
mod inherited;

/// Passes on what a program prints.
mod output_relay;

/// A child that does not outlive its parent.
mod parent_death_signal;

/// The program's file as the cluster knows it: hash and upload.
mod artifact;

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Subcommand;

use crate::error::{ClientError, Exit, Result};

pub(crate) use artifact::{describe, upload};
pub(crate) use inherited::InheritedFile;
pub(crate) use output_relay::StandardOutput;
pub use parent_death_signal::kill_with_parent;
pub(crate) use plan::{DrivenProgram, Planned, Planner, ProgramEvent, cannot_start};

/// PROGRAM and everything behind it, untouched: an external subcommand takes all arguments that follow it as they are.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ProgramArguments {
    /// The program and its arguments.
    #[command(external_subcommand)]
    Program(Vec<OsString>),
}

/// A program that can be started.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// Its file.
    pub(crate) path: PathBuf,
    /// Its arguments.
    pub(crate) arguments: Vec<OsString>,
}

impl Program {
    /// Looks for the program.
    pub(crate) fn find(given: Option<&ProgramArguments>, command: &str) -> Result<Self> {
        let Some((name, arguments)) = given.and_then(|ProgramArguments::Program(all)| all.split_first()) else {
            return Err(ClientError::usage("no PROGRAM is given").hint(format!(
                "flink-yarn {command} [OPTIONS] PROGRAM [ARGS]..., for example: flink-yarn {command} -p 2 \
                 ./target/release/wordcount --input text.txt --output counts"
            )));
        };
        let path = if name.as_encoded_bytes().contains(&b'/') { existing(Path::new(name))? } else { by_name(name)? };
        Ok(Self { path, arguments: arguments.to_vec() })
    }

    /// The name of its file.
    pub(crate) fn name(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }

    pub(crate) fn error(message: impl Into<String>) -> ClientError {
        ClientError::new(Exit::Program, message)
    }
}

fn existing(path: &Path) -> Result<PathBuf> {
    let wrong = |what: &str| ClientError::usage(format!("the program {} {what}", path.display()));
    match path.metadata() {
        Err(error) => Err(wrong("cannot be used").because(&error).hint(
            "give the path of the program's file, from here or from the root; `cargo build --release` puts it into \
             target/release",
        )),
        Ok(metadata) if metadata.is_dir() => {
            Err(wrong("is a folder")
                .hint("give the path of the program's file, for example ./target/release/wordcount"))
        }
        Ok(metadata) if !is_executable(&metadata) => {
            Err(wrong("is not executable").hint(format!("if it is a program: chmod +x {}", path.display())))
        }
        Ok(_) => std::path::absolute(path).map_err(|error| wrong("has no absolute path").because(&error)),
    }
}

fn is_executable(metadata: &std::fs::Metadata) -> bool {
    metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
}

/// A name without a folder is looked for in PATH and beside this command.
fn by_name(name: &OsStr) -> Result<PathBuf> {
    let places = search_places();
    let found =
        places.iter().map(|place| place.join(name)).find(|path| path.metadata().is_ok_and(|m| is_executable(&m)));
    found.map_or_else(|| Err(not_found(name)), |path| existing(&path))
}

fn search_places() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).filter(|place| place.is_absolute()).collect();
    places.extend(std::env::current_exe().ok().and_then(|own| own.parent().map(Path::to_owned)));
    places
}

fn not_found(name: &OsStr) -> ClientError {
    let name = name.to_string_lossy();
    let error = ClientError::usage(format!("no program `{name}` in the folders of PATH, or beside flink-yarn"));
    if Path::new(name.as_ref()).is_file() {
        return error.hint(format!("there is a file of that name here: did you mean ./{name}?"));
    }
    error.hint("give the path of the program's file, for example ./target/release/wordcount")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(words: &[&str]) -> Result<Program> {
        let given = ProgramArguments::Program(words.iter().map(OsString::from).collect());
        Program::find(Some(&given), "run")
    }

    #[test]
    fn programs_are_found_by_path_and_by_name() {
        assert_eq!(find(&["/bin/sh", "-p", "x"]).unwrap().arguments, ["-p", "x"]);
        assert_eq!(find(&["sh"]).unwrap().name(), "sh");
    }

    #[test]
    fn a_missing_program_says_where_was_looked() {
        let error = find(&["no-such-program"]).unwrap_err().to_string();
        assert!(error.contains("no program `no-such-program` in the folders of PATH"), "{error}");
        let error = find(&["./no-such-program"]).unwrap_err().to_string();
        assert!(error.contains("No such file") && error.contains("hint: give the path"), "{error}");
        assert!(find(&["/"]).unwrap_err().to_string().contains("is a folder\nhint: give the path"));
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = find(&[file.path().to_str().unwrap()]).unwrap_err().to_string();
        assert!(error.contains("not executable") && error.contains("chmod +x"), "{error}");
        assert!(Program::find(None, "run").unwrap_err().to_string().contains("no PROGRAM is given"));
    }
}
