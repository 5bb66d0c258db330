use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::Arc;

use flink_files::file_system::{
    BlockLocation, Existing, FileKind, FileStatus, FileSystem, FileVersion, OpenOptions, ReadHandle, WriteHandle,
};
use flink_files::{FileError, FileUri, file_system};
use hadoop_rpc::Configuration;

use crate::connections::Connections;
use crate::failure::Attempt;
use crate::settings::{HdfsOptions, default_file_system};

/// Kinds of links that Hadoop has and this does not.
const UNSUPPORTED: [&str; 4] = ["linkMerge.", "linkNfly", "linkRegex", "linkMergeSlash"];

/// Where a path of a view leads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// To a path of another file system.
    Mounted(FileUri),
    /// To a folder that there is only because mounts are below it: these names, and what the fallback has.
    Above(BTreeSet<String>, Option<FileUri>),
    /// Nowhere.
    Nowhere,
}

/// The mounts of one view (`fs.viewfs.mounttable.<name>.…`).
#[derive(Debug)]
pub(crate) struct MountTable {
    /// Path and target; longer paths first.
    links: Vec<(String, FileUri)>,
    fallback: Option<FileUri>,
}

impl MountTable {
    /// The table of a view's authority; that of the default file system without one.
    pub(crate) fn find(authority: &str, configuration: &Configuration) -> Result<Self, FileError> {
        let default = default_file_system(configuration).filter(|uri| uri.scheme() == "viewfs");
        let name = match (authority, &default) {
            ("", Some(uri)) if !uri.authority().is_empty() => uri.authority(),
            ("", _) => "default",
            (authority, _) => authority,
        };
        let prefix = format!("fs.viewfs.mounttable.{name}.");
        let invalid =
            |key: &str, reason: &str| FileError::InvalidInput { input: key.to_owned(), reason: reason.to_owned() };
        let mut table = Self { links: Vec::new(), fallback: None };
        for (key, value) in configuration.iter() {
            let Some(rest) = key.strip_prefix(&prefix) else { continue };
            if UNSUPPORTED.iter().any(|kind| rest.starts_with(kind)) {
                return Err(invalid(key, "this kind of mount is not supported; use link and linkFallback"));
            }
            let target = || FileUri::parse(value.trim());
            if let Some(path) = rest.strip_prefix("link.") {
                table.links.push((FileUri::parse(path)?.path().to_owned(), target()?));
            } else if rest == "linkFallback" {
                table.fallback = Some(target()?);
            }
        }
        if table.links.is_empty() && table.fallback.is_none() {
            return Err(invalid(&format!("{prefix}link./PATH"), "it is not set, so that the view has no mounts"));
        }
        table.links.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        Ok(table)
    }

    pub(crate) fn resolve(&self, path: &str) -> Target {
        for (mount, target) in &self.links {
            if let Some(rest) = below(mount, path) {
                return Target::Mounted(target.join(rest));
            }
        }
        let below_it = self.links.iter().filter_map(|(mount, _)| below(path, mount));
        let names: BTreeSet<String> = below_it.filter_map(|rest| rest.split('/').next()).map(str::to_owned).collect();
        let fallback = self.fallback.as_ref().map(|target| target.join(path));
        match (names.is_empty(), fallback) {
            (false, fallback) => Target::Above(names, fallback),
            (true, Some(fallback)) => Target::Mounted(fallback),
            (true, None) => Target::Nowhere,
        }
    }
}

/// What `path` has behind `folder`, if it is the folder or within it.
fn below<'a>(folder: &str, path: &'a str) -> Option<&'a str> {
    if folder == "/" {
        return Some(&path[1..]);
    }
    let rest = path.strip_prefix(folder)?;
    if rest.is_empty() { Some("") } else { rest.strip_prefix('/') }
}

/// viewfs: each path leads to a path of another file system, mostly HDFS.
pub struct ViewFileSystem {
    connections: Arc<Connections>,
}

impl ViewFileSystem {
    pub(crate) fn new(connections: Arc<Connections>) -> Self {
        Self { connections }
    }

    /// With a configuration that was read already.
    #[must_use]
    pub fn with_configuration(configuration: Configuration) -> Self {
        Self::new(Arc::new(Connections::with_configuration(HdfsOptions::default(), configuration)))
    }

    fn resolve(&self, uri: &FileUri) -> Result<Target, FileError> {
        let configuration = self.connections.configuration()?;
        Ok(MountTable::find(uri.authority(), &configuration)?.resolve(uri.path()))
    }

    /// The path that a file or folder has in its own file system, with that file system.
    fn mounted(&self, action: &'static str, uri: &FileUri) -> Result<(Arc<dyn FileSystem>, FileUri), FileError> {
        let attempt = Attempt { action, uri };
        match self.resolve(uri)? {
            Target::Mounted(target) => Ok((file_system::of(&target)?, target)),
            Target::Above(..) => Err(attempt
                .error("it is a part of the mount table, not a folder of any file system", ErrorKind::IsADirectory)),
            Target::Nowhere => Err(nowhere(attempt)),
        }
    }
}

fn nowhere(attempt: Attempt<'_>) -> FileError {
    attempt.error("nothing is mounted there (fs.viewfs.mounttable.…)", ErrorKind::NotFound)
}

fn folder(uri: FileUri) -> FileStatus {
    FileStatus { uri, kind: FileKind::Folder, version: FileVersion { length: 0, modified_nanos: 0 } }
}

impl FileSystem for ViewFileSystem {
    fn status(&self, uri: &FileUri) -> Result<FileStatus, FileError> {
        if let Target::Above(..) = self.resolve(uri)? {
            return Ok(folder(uri.clone()));
        }
        let (files, target) = self.mounted("look at", uri)?;
        Ok(FileStatus { uri: uri.clone(), ..files.status(&target)? })
    }

    fn list(&self, uri: &FileUri, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<FileStatus>, FileError> {
        let (names, target) = match self.resolve(uri)? {
            Target::Mounted(target) => (BTreeSet::new(), Some(target)),
            Target::Above(names, fallback) => (names, fallback),
            Target::Nowhere => return Err(nowhere(Attempt { action: "list", uri })),
        };
        let found = match target {
            None => Vec::new(),
            Some(target) => match file_system::of(&target)?.list(&target, wanted) {
                Err(error) if error.is_not_found() && !names.is_empty() => Vec::new(),
                found => found?,
            },
        };
        // A mount hides what the fallback has under its name.
        let own = found.into_iter().filter(|entry| !names.contains(entry.uri.name()));
        let renamed = own.map(|entry| FileStatus { uri: uri.join(entry.uri.name()), ..entry });
        let mounts = names.iter().filter(|name| wanted(name)).map(|name| folder(uri.join(name)));
        let mut entries: Vec<FileStatus> = renamed.chain(mounts).collect();
        entries.sort_by(|a, b| a.uri.cmp(&b.uri));
        Ok(entries)
    }

    fn block_locations(&self, file: &FileStatus) -> Result<Vec<BlockLocation>, FileError> {
        let (files, target) = self.mounted("find the blocks of", &file.uri)?;
        files.block_locations(&FileStatus { uri: target, ..file.clone() })
    }

    fn open(&self, uri: &FileUri, options: OpenOptions) -> Result<Box<dyn ReadHandle>, FileError> {
        let (files, target) = self.mounted("open", uri)?;
        files.open(&target, options)
    }

    fn create(&self, uri: &FileUri, existing: Existing) -> Result<Box<dyn WriteHandle>, FileError> {
        let (files, target) = self.mounted("create", uri)?;
        files.create(&target, existing)
    }

    fn rename(&self, from: &FileUri, to: &FileUri, existing: Existing) -> Result<(), FileError> {
        let (files, source) = self.mounted("rename", from)?;
        let (_, target) = self.mounted("give the final name to", to)?;
        if (source.scheme(), source.authority()) != (target.scheme(), target.authority()) {
            let reason =
                format!("it is on {}, and {to} on {}: both must be on one file system", source.root(), target.root());
            return Err(Attempt { action: "rename", uri: from }.error(reason, ErrorKind::CrossesDevices));
        }
        files.rename(&source, &target, existing)
    }

    fn delete(&self, uri: &FileUri) -> Result<bool, FileError> {
        let (files, target) = self.mounted("delete", uri)?;
        files.delete(&target)
    }

    fn create_folders(&self, uri: &FileUri) -> Result<(), FileError> {
        if let Target::Above(..) = self.resolve(uri)? {
            return Ok(());
        }
        let (files, target) = self.mounted("create the folder", uri)?;
        files.create_folders(&target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(pairs: &[(&str, &str)]) -> Configuration {
        let mut configuration = Configuration::new();
        for (key, value) in pairs {
            configuration.set(&format!("fs.viewfs.mounttable.{key}"), *value);
        }
        configuration
    }

    #[test]
    fn paths_lead_to_mounts() {
        let configuration = configuration(&[
            ("c.link./data", "hdfs://a:1/warehouse"),
            ("c.link./data/hot", "hdfs://b:2/"),
            ("c.link./user", "hdfs://a:1/user"),
            ("other.link./x", "hdfs://z/"),
        ]);
        let table = MountTable::find("c", &configuration).unwrap();
        let check = |path: &str, expected: &str| match table.resolve(path) {
            Target::Mounted(target) => assert_eq!(target.to_string(), expected, "{path}"),
            Target::Above(names, None) => {
                assert_eq!(names.into_iter().collect::<Vec<_>>().join(","), expected, "{path}")
            }
            other => assert_eq!(format!("{other:?}"), expected, "{path}"),
        };
        check("/data", "hdfs://a:1/warehouse");
        check("/data/t/f", "hdfs://a:1/warehouse/t/f");
        check("/data/hot/f", "hdfs://b:2/f");
        check("/database", "Nowhere");
        check("/", "data,user");
        check("/x", "Nowhere");
    }

    #[test]
    fn a_fallback_takes_what_no_mount_has() {
        let configuration = configuration(&[("c.link./a/b", "hdfs://x/"), ("c.linkFallback", "hdfs://y/root")]);
        let table = MountTable::find("c", &configuration).unwrap();
        let mounted = |text: &str| Target::Mounted(FileUri::parse(text).unwrap());
        assert_eq!(table.resolve("/c/d"), mounted("hdfs://y/root/c/d"));
        assert_eq!(table.resolve("/a/b/c"), mounted("hdfs://x/c"));
        let Target::Above(names, Some(fallback)) = table.resolve("/a") else { panic!() };
        assert_eq!((names.len(), fallback.to_string().as_str()), (1, "hdfs://y/root/a"));
    }

    #[test]
    fn a_view_without_mounts_and_one_that_is_too_clever_are_refused() {
        let error = MountTable::find("c", &Configuration::new()).unwrap_err().to_string();
        assert!(error.contains("fs.viewfs.mounttable.c.link./PATH"), "{error}");
        let error =
            MountTable::find("c", &configuration(&[("c.linkMergeSlash", "hdfs://x/")])).unwrap_err().to_string();
        assert!(error.contains("linkMergeSlash"), "{error}");
    }

    #[test]
    fn local_folders_can_be_mounted() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("f"), "text").unwrap();
        let target = format!("file://{}", folder.path().display());
        let view = ViewFileSystem::with_configuration(configuration(&[("c.link./m/n", &target)]));
        let uri = |path: &str| FileUri::parse(&format!("viewfs://c{path}")).unwrap();
        let names = |path: &str| {
            let found = view.list(&uri(path), &|_| true).unwrap();
            found.into_iter().map(|entry| entry.uri.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names("/"), ["viewfs://c/m"]);
        assert_eq!(names("/m"), ["viewfs://c/m/n"]);
        assert_eq!(names("/m/n"), ["viewfs://c/m/n/f"]);
        assert_eq!(view.status(&uri("/m/n/f")).unwrap().version.length, 4);
        assert!(view.status(&uri("/x")).unwrap_err().is_not_found());
        view.rename(&uri("/m/n/f"), &uri("/m/n/g"), Existing::Refuse).unwrap();
        assert!(view.delete(&uri("/m/n/g")).unwrap());
        assert!(view.delete(&uri("/m")).is_err());
        view.create_folders(&uri("/m")).unwrap();
    }
}
