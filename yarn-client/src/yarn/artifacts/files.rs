use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flink_protocol::deployment::{BINARY_FILE, ContainerFileKind};

use crate::error::{ClientError, Result};
use crate::yarn::plan::Plan;

/// More files than this are not shipped one by one: every container would fetch every one of them.
const MAX_FILES: usize = 2_000;

/// The binary that runs: its path may be that of a newer one by now.
const OWN: &str = "/proc/self/exe";

/// Nesting beyond this is refused rather than followed.
const DEEPEST: usize = 32;

/// A file that every container needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// Its name in the container's folder; may hold slashes.
    pub(crate) name: String,
    /// Where it comes from.
    pub(crate) source: Source,
    /// Whether it is unpacked.
    pub(crate) kind: ContainerFileKind,
}

/// Where a file comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A file of this host that is uploaded.
    Local {
        /// The file.
        path: PathBuf,
        /// Whether it is a program, which is stored without its symbols.
        executable: bool,
    },
    /// A file that is there already.
    Stored(String),
    /// A folder that is there already, with all files in it.
    StoredFolder(String),
}

/// The user's program.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// Its file.
    pub(crate) path: PathBuf,
    /// The name of its file.
    pub(crate) name: String,
}

/// What every container needs.
pub(crate) fn items(plan: &Plan, program: Option<&Program>) -> Result<Vec<Item>> {
    let mut items = vec![binary(plan)?];
    if let Some(program) = program {
        let source = Source::Local { path: program.path.clone(), executable: true };
        items.push(Item { name: program.name.clone(), source, kind: ContainerFileKind::File });
    }
    for path in &plan.ship_files {
        ship(path, &mut items)?;
    }
    for path in &plan.ship_archives {
        items.push(Item { name: name_of(path)?, source: source(path), kind: ContainerFileKind::Archive });
    }
    for folder in &plan.provided {
        items.push(provided(folder, "")?);
    }
    if let Some(folder) = &plan.provided_usrlib {
        items.push(provided(folder, "usrlib")?);
    }
    check_names(&items)?;
    Ok(items)
}

/// The binary of the containers: this one, unless the configuration names another.
fn binary(plan: &Plan) -> Result<Item> {
    let own = || Source::Local { path: PathBuf::from(OWN), executable: true };
    let source = match &plan.binary {
        None => own(),
        Some(path) => runnable(path)?,
    };
    Ok(Item { name: BINARY_FILE.to_owned(), source, kind: ContainerFileKind::File })
}

/// What is there already is not looked into; a jar is one by its name.
fn runnable(path: &str) -> Result<Source> {
    let not_ours = |what: &str| {
        ClientError::usage(format!("`{path}` (yarn.flink-dist-jar, -yj) is {what}, and containers run flink-yarn"))
            .hint("leave it out: the binary that you call is used. Only another build of it is to be named")
    };
    if path.to_ascii_lowercase().ends_with(".jar") {
        return Err(not_ours("a jar"));
    }
    match source(path) {
        Source::Local { path, .. } => match is_elf(&path) {
            Some(false) => Err(not_ours("no executable of Linux")),
            // A missing file is told where files are read.
            Some(true) | None => Ok(Source::Local { path, executable: true }),
        },
        stored => Ok(stored),
    }
}

fn is_elf(path: &Path) -> Option<bool> {
    let mut magic = [0; 4];
    let read = std::fs::File::open(path).and_then(|mut file| std::io::Read::read(&mut file, &mut magic));
    read.ok().map(|count| magic[..count] == *b"\x7fELF")
}

/// `hdfs://…` is there already, everything else is here.
fn source(path: &str) -> Source {
    match path.split_once("://") {
        Some(("file", rest)) => Source::Local { path: PathBuf::from(rest), executable: false },
        Some(_) => Source::Stored(path.to_owned()),
        None => Source::Local { path: PathBuf::from(path), executable: false },
    }
}

/// A folder is shipped under its name, as Flink does it; a file under its own.
fn ship(path: &str, items: &mut Vec<Item>) -> Result<()> {
    let name = name_of(path)?;
    match source(path) {
        Source::Local { path, .. } if path.is_dir() => folder(&path, &name, 0, items),
        source => {
            items.push(Item { name, source, kind: ContainerFileKind::File });
            Ok(())
        }
    }
}

fn folder(path: &Path, name: &str, depth: usize, items: &mut Vec<Item>) -> Result<()> {
    let failed = |error: &std::io::Error| {
        ClientError::usage(format!("cannot list the folder {}", path.display())).because(error)
    };
    if depth > DEEPEST {
        return Err(ClientError::usage(format!("the folder {} to ship is nested too deeply", path.display())));
    }
    let mut entries = std::fs::read_dir(path)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .map_err(|error| failed(&error))?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let inner = format!("{name}/{}", text_of(&entry.file_name())?);
        let found = entry.path();
        if found.is_dir() {
            folder(&found, &inner, depth + 1, items)?;
            continue;
        }
        items.push(Item {
            name: inner,
            source: Source::Local { path: found, executable: false },
            kind: ContainerFileKind::File,
        });
        if items.len() > MAX_FILES {
            return Err(ClientError::usage(format!("more than {MAX_FILES} files are to be shipped"))
                .hint("put them into an archive, which containers unpack: --ship-archive FILE.tar.gz"));
        }
    }
    Ok(())
}

fn provided(folder: &str, name: &str) -> Result<Item> {
    if !folder.contains("://") && !folder.starts_with('/') {
        return Err(ClientError::usage(format!("the provided folder `{folder}` is not a path in HDFS"))
            .hint("give it with its file system, for example hdfs:///shared/flink-yarn"));
    }
    let source = Source::StoredFolder(folder.to_owned());
    Ok(Item { name: name.to_owned(), source, kind: ContainerFileKind::File })
}

fn name_of(path: &str) -> Result<String> {
    let name = Path::new(path.trim_end_matches('/')).file_name();
    let name =
        name.ok_or_else(|| ClientError::usage(format!("`{path}` has no name that it could have in a container")))?;
    text_of(name)
}

/// Names become parts of a shell script on the nodes.
fn text_of(name: &std::ffi::OsStr) -> Result<String> {
    let text = name.to_str().filter(|text| !text.contains(['"', '\\', '$', '`', '\n', '\0', '\'']));
    text.map(str::to_owned).ok_or_else(|| {
        ClientError::usage(format!("`{}` cannot be the name of a file in a container", name.to_string_lossy()))
            .hint("YARN links it with a shell script: use letters, digits, dots, dashes and underscores")
    })
}

fn check_names(items: &[Item]) -> Result<()> {
    let mut seen: BTreeMap<&str, &Source> = BTreeMap::new();
    for item in items.iter().filter(|item| !matches!(item.source, Source::StoredFolder(_))) {
        match seen.insert(&item.name, &item.source) {
            Some(other) if *other != item.source => {
                return Err(ClientError::usage(format!("two files would be `{}` in a container", item.name))
                    .because_text(format!("{} and {}", other.text(), item.source.text()))
                    .hint("give one of them another name"));
            }
            _ => {}
        }
    }
    Ok(())
}

impl Item {
    /// Whether it is the binary that runs here, since no other was asked for.
    pub(crate) fn is_own_binary(&self) -> bool {
        matches!(&self.source, Source::Local { path, .. } if self.name == BINARY_FILE && path.as_path() == Path::new(OWN))
    }
}

impl Source {
    /// For people.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Local { path, .. } => path.display().to_string(),
            Self::Stored(uri) | Self::StoredFolder(uri) => uri.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yarn::plan::Kind;
    use flink_graph::Configuration;

    fn names(settings: &[(&str, &str)], program: Option<&str>) -> Result<Vec<String>> {
        let mut configuration = Configuration::default();
        for (key, value) in settings {
            configuration.set(*key, *value);
        }
        let plan = Plan::new(Kind::Session, &configuration, None)?;
        let program = program.map(|name| Program { path: PathBuf::from(format!("/p/{name}")), name: name.to_owned() });
        let items = items(&plan, program.as_ref())?;
        Ok(items.iter().map(|item| format!("{} <- {}", item.name, item.source.text())).collect())
    }

    #[test]
    fn folders_are_shipped_under_their_name() {
        let folder = tempfile::tempdir().unwrap();
        let lib = folder.path().join("lib");
        std::fs::create_dir_all(lib.join("deep")).unwrap();
        std::fs::write(lib.join("a"), "").unwrap();
        std::fs::write(lib.join("deep/b"), "").unwrap();
        let path = lib.to_str().unwrap();
        let shipped =
            names(&[("yarn.ship-files", path), ("yarn.ship-archives", "hdfs://nn/x.tgz")], Some("prog")).unwrap();
        assert_eq!(
            shipped,
            [
                "flink-yarn <- /proc/self/exe".to_owned(),
                "prog <- /p/prog".to_owned(),
                format!("lib/a <- {path}/a"),
                format!("lib/deep/b <- {path}/deep/b"),
                "x.tgz <- hdfs://nn/x.tgz".to_owned(),
            ]
        );
    }

    #[test]
    fn names_that_clash_or_break_a_script_are_refused() {
        let error = names(&[("yarn.ship-files", "/a/x;/b/x")], None).unwrap_err().to_string();
        assert!(error.contains("two files would be `x`") && error.contains("/a/x and /b/x"), "{error}");
        assert!(names(&[("yarn.ship-files", "/a/$x")], None).unwrap_err().to_string().contains("cannot be the name"));
        assert!(names(&[("yarn.ship-files", "/")], None).unwrap_err().to_string().contains("has no name"));
        assert!(names(&[("yarn.ship-files", "/a/x;/a/x")], None).is_ok());
        assert!(names(&[], Some("flink-yarn")).unwrap_err().to_string().contains("two files"));
        assert!(
            names(&[("yarn.provided.lib.dirs", "lib")], None).unwrap_err().to_string().contains("not a path in HDFS")
        );
    }

    #[test]
    fn the_binary_may_be_another_one() {
        assert_eq!(names(&[("yarn.flink-dist-jar", "hdfs:///f")], None).unwrap(), ["flink-yarn <- hdfs:///f"]);
        assert_eq!(names(&[("yarn.flink-dist-jar", "/no/f")], None).unwrap(), ["flink-yarn <- /no/f"]);
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &[u8]| {
            std::fs::write(folder.path().join(name), content).unwrap();
            folder.path().join(name).display().to_string()
        };
        let (build, script) = (file("build", b"\x7fELF..."), file("script", b"#!"));
        assert_eq!(names(&[("yarn.flink-dist-jar", &build)], None).unwrap(), [format!("flink-yarn <- {build}")]);
        for (other, what) in [
            ("/opt/flink/lib/flink-dist-2.3.jar", "is a jar"),
            ("hdfs:///flink-dist.JAR", "is a jar"),
            (script.as_str(), "no executable of Linux"),
        ] {
            let error = names(&[("yarn.flink-dist-jar", other)], None).unwrap_err().to_string();
            assert!(error.contains(what) && error.contains("leave it out"), "{error}");
        }
    }
}
