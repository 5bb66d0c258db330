use std::fs;
use std::path::{Path, PathBuf};

use crate::workspace::Workspace;

/// What documents name and what is not there: source files in backticks, by the end of their paths, and targets of links.
pub(crate) fn dead_ends(workspace: &Workspace) -> Vec<String> {
    let sources: Vec<String> = workspace
        .packages
        .iter()
        .flat_map(|package| workspace.files(package, "rs"))
        .map(|file| format!("/{}", workspace.shown(&file)))
        .collect();
    let mut dead = Vec::new();
    for document in documents(workspace) {
        let text = fs::read_to_string(&document).unwrap_or_default();
        let folder = document.parent().unwrap_or(&workspace.root);
        let unknown = named_sources(&text)
            .into_iter()
            .filter(|named| !sources.iter().any(|source| source.ends_with(&format!("/{named}"))));
        let gone = links(&text).into_iter().filter(|link| !folder.join(link).exists()).map(str::to_owned);
        let shown = workspace.shown(&document);
        dead.extend(unknown.chain(gone).map(|named| format!("{shown} names {named}, which is not there")));
    }
    dead
}

/// The Markdown files of the root, of `docs` and of the crates.
fn documents(workspace: &Workspace) -> Vec<PathBuf> {
    let crates = workspace.packages.iter().map(|package| workspace.root.join(&package.folder));
    let folders = crates.chain([workspace.root.clone(), workspace.root.join("docs")]);
    let files = folders.flat_map(|folder| fs::read_dir(folder).expect("folders can be read").flatten());
    files.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|found| found == "md")).collect()
}

/// Source files with a folder, between backticks; `{a,b}` stands for each.
fn named_sources(text: &str) -> Vec<String> {
    let inside = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let files = inside.filter(|name| {
        name.ends_with(".rs") && name.contains('/') && Path::new(name).is_relative() && !name.contains([' ', '…'])
    });
    files.flat_map(expanded).collect()
}

fn expanded(name: &str) -> Vec<String> {
    let parts = name.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)));
    match parts {
        Some((before, (words, behind))) => words.split(',').map(|word| format!("{before}{word}{behind}")).collect(),
        None => vec![name.to_owned()],
    }
}

/// Targets of links within the repository, without their anchors.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    let files = targets.filter_map(|target| target.split('#').next());
    files.filter(|file| !file.is_empty() && !file.contains(':')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_links_are_found() {
        let text = "`a/b.rs` and `src/{c,d}.rs`: `e.rs`, [f](docs/f.md#g), [h](#i), [j](https://k.l)";
        assert_eq!(named_sources(text), ["a/b.rs", "src/c.rs", "src/d.rs"]);
        assert_eq!(links(text), ["docs/f.md"]);
    }
}
