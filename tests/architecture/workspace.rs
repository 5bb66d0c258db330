use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The crates of the workspace.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) packages: Vec<Package>,
}

/// One crate.
#[derive(Clone)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Its folder from the root, with slashes.
    pub(crate) folder: String,
    pub(crate) description: String,
    /// Folders of the crates of this workspace that it depends on.
    pub(crate) dependencies: Vec<Dependency>,
    /// Names of the crates from outside that it depends on, and whether only its tests do.
    pub(crate) foreign: Vec<(String, bool)>,
}

/// One crate that another depends on.
#[derive(Clone)]
pub(crate) struct Dependency {
    pub(crate) folder: String,
    /// True when only its tests need it.
    pub(crate) dev: bool,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn load() -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
            .current_dir(here)
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
        let root = PathBuf::from(text(&metadata["workspace_root"]));
        let packages = list(&metadata["packages"]).iter().map(|package| Package::of(package, &root)).collect();
        Self { root, packages }
    }

    /// All files with an ending that belong to a crate, and not to one in a folder below it.
    pub(crate) fn files(&self, package: &Package, ending: &str) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.root.join(&package.folder)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("folders of the workspace can be read").flatten() {
                let path = entry.path();
                let hidden = entry.file_name().to_string_lossy().starts_with('.');
                let foreign = path.join("Cargo.toml").exists() || path.join("CACHEDIR.TAG").exists();
                if path.is_dir() && !hidden && !foreign {
                    folders.push(path);
                } else if path.extension().is_some_and(|found| found == ending) {
                    files.push(path);
                }
            }
        }
        files.sort();
        files
    }

    /// A path as the messages show it.
    pub(crate) fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).to_string_lossy().replace('\\', "/")
    }
}

impl Package {
    fn of(package: &Value, root: &Path) -> Self {
        let folder = |path: &Path| path.strip_prefix(root).ok().map(|path| path.to_string_lossy().replace('\\', "/"));
        let manifest = PathBuf::from(text(&package["manifest_path"]));
        let dependency = |dependency: &Value| {
            let folder = folder(Path::new(dependency["path"].as_str()?))?;
            Some(Dependency { folder, dev: dependency["kind"] == "dev" })
        };
        let foreign = |dependency: &Value| {
            dependency["path"].is_null().then(|| (text(&dependency["name"]).to_owned(), dependency["kind"] == "dev"))
        };
        Self {
            name: text(&package["name"]).to_owned(),
            folder: manifest.parent().and_then(folder).expect("members are below the root"),
            description: package["description"].as_str().unwrap_or_default().to_owned(),
            dependencies: list(&package["dependencies"]).iter().filter_map(dependency).collect(),
            foreign: list(&package["dependencies"]).iter().filter_map(foreign).collect(),
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("cargo metadata has this text")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("cargo metadata has this list")
}
