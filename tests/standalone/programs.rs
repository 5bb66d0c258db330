use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The root of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("a test crate lies two folders below the root")
}

/// The path of `flink-yarn` or of an example.
pub(crate) fn program(name: &str) -> String {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let path = FOLDER.get_or_init(folder).join(name);
    assert!(path.is_file(), "{} is missing", path.display());
    path.display().to_string()
}

fn folder() -> PathBuf {
    match std::env::var_os("FLINK_YARN_BIN_DIR").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => build(),
    }
}

/// Builds what is out of date, with the profile of this test, which lies in `<target>/<profile>/deps`.
fn build() -> PathBuf {
    let own = std::env::current_exe().expect("a process knows its program");
    let folder = own.ancestors().nth(2).expect("tests lie three folders deep").to_owned();
    let release: &[&str] = if folder.ends_with("release") { &["--release"] } else { &[] };
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", "flink-yarn", "-p", "flink-examples", "--bins"])
        .args(release)
        .current_dir(repository())
        .env("CARGO_TARGET_DIR", folder.parent().expect("a profile has its folder"))
        .status()
        .expect("cargo runs");
    assert!(built.success(), "the programs cannot be built");
    folder
}
