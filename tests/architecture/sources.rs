use std::fs;
use std::path::Path;

use crate::workspace::{Package, Workspace};

/// Names that say nothing: such a crate or module becomes the drawer for everything.
const BANNED_NAMES: &[&str] = &["common", "core", "util", "utils", "helper", "helpers", "misc", "v2"];
/// Marks of unfinished work; put together here, so that this file has none.
const BANNED_WORDS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
/// Crates whose code runs in tasks.
const RUN_IN_TASKS: &[&str] = &["flink-api", "flink-files", "flink-examples", "flink-graph", "flink-taskmanager"];
/// Where they stand around tasks instead: threads, processes, sockets, and the clock itself.
const AROUND_TASKS: &[&str] = &[
    "taskmanager/src/clock.rs",
    "taskmanager/src/network/connection.rs",
    "taskmanager/src/network/tests/",
    "taskmanager/src/slot.rs",
    "taskmanager/src/task_manager/",
    "taskmanager/src/worker/",
];
/// What another run does not repeat.
const NOT_REPEATED: &[&str] = &["SystemTime::now", "Instant::now", "UNIX_EPOCH.elapsed", "RandomState", "getrandom"];

/// Crates and modules with names that say nothing.
pub(crate) fn bad_names(workspace: &Workspace) -> Vec<String> {
    let mut found = Vec::new();
    for package in &workspace.packages {
        found.extend(bad_package_name(package));
        for file in workspace.files(package, "rs") {
            let shown = workspace.shown(&file);
            let below = shown.strip_prefix(&format!("{}/src/", package.folder)).unwrap_or_default();
            found.extend(bad_parts(below).map(|name| rename(&shown, name)));
            let content = fs::read_to_string(&file).unwrap_or_default();
            found.extend(content.lines().filter_map(inline_module).filter(is_banned).map(|name| rename(&shown, name)));
        }
    }
    found
}

/// Files that are not finished.
pub(crate) fn unfinished(workspace: &Workspace) -> Vec<String> {
    let mut found = Vec::new();
    for file in workspace.packages.iter().flat_map(|package| workspace.files(package, "rs")) {
        let content = fs::read_to_string(&file).unwrap_or_default();
        let shown = workspace.shown(&file);
        for (number, line) in (1..).zip(content.lines()) {
            if let Some(word) = banned_word(line) {
                found.push(format!("{shown}:{number}: `{word}`: do it, or write an issue and remove the mark"));
            }
        }
    }
    found
}

/// Operators, sources and sinks, and what runs them, that ask the operating system for the time or for random numbers, which a
/// simulation could not repeat.
pub(crate) fn other_clocks(workspace: &Workspace) -> Vec<String> {
    let mut found = Vec::new();
    for package in workspace.packages.iter().filter(|package| RUN_IN_TASKS.contains(&package.name.as_str())) {
        for file in workspace.files(package, "rs") {
            let shown = workspace.shown(&file);
            if !is_in_src(&shown) || AROUND_TASKS.iter().any(|place| shown.starts_with(place)) {
                continue;
            }
            let content = fs::read_to_string(&file).unwrap_or_default();
            let asks = |line: &str| NOT_REPEATED.iter().any(|word| line.contains(word));
            let without_tests = content.lines().take_while(|line| line.trim() != "#[cfg(test)]");
            let lines = (1..).zip(without_tests).filter(|(_, line)| asks(line));
            found.extend(
                lines.map(|(number, _)| {
                    format!("{shown}:{number}: take the time, or a seed, from the operator's context")
                }),
            );
        }
    }
    found
}

fn bad_package_name(package: &Package) -> Option<String> {
    let parts = package.name.split(['-', '_']).chain(package.folder.split('/'));
    let bad = parts.into_iter().find(is_banned)?;
    Some(format!("the crate `{}` in {} is named `{bad}`: name it by what it does", package.name, package.folder))
}

fn bad_parts(path: &str) -> impl Iterator<Item = &str> {
    let stem = |part| Path::new(part).file_stem().and_then(|stem| stem.to_str());
    path.split('/').filter_map(stem).filter(is_banned)
}

fn rename(file: &str, name: &str) -> String {
    format!("{file}: a module named `{name}` says nothing: name it by what it does, or move its parts to their users")
}

/// The name in `mod name {` or `pub(crate) mod name;`.
fn inline_module(line: &str) -> Option<&str> {
    let words: Vec<&str> = line.split([' ', ';', '{']).filter(|word| !word.is_empty()).collect();
    match words.as_slice() {
        ["mod", name, ..] => Some(name),
        [visibility, "mod", name, ..] if visibility.starts_with("pub") => Some(name),
        _ => None,
    }
}

fn is_banned(name: &&str) -> bool {
    BANNED_NAMES.contains(name)
}

fn is_in_src(path: &str) -> bool {
    path.split('/').any(|part| part == "src")
}

/// A mark that stands by itself: `FOO_` before it, or more letters behind it, make it another word.
fn banned_word(line: &str) -> Option<&'static str> {
    let words = || line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    BANNED_WORDS.iter().copied().find(|banned| words().any(|word| word == *banned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_say_nothing_are_found() {
        let bad = |path| bad_parts(path).collect::<Vec<_>>();
        assert_eq!(bad("network/utils.rs"), ["utils"]);
        assert_eq!(bad("core/mod.rs"), ["core"]);
        assert!(bad("network/utility_room.rs").is_empty());
        assert_eq!(inline_module("    pub(crate) mod misc;"), Some("misc"));
        assert_eq!(inline_module("mod helper {"), Some("helper"));
        assert_eq!(inline_module("let modern = 1;"), None);
    }

    #[test]
    fn marks_are_found_as_words() {
        let [mark, ..] = BANNED_WORDS else { panic!() };
        assert_eq!(banned_word(&format!("// {mark}: later")), Some(*mark));
        assert_eq!(banned_word(&format!("let a = MASTO{mark}NS;")), None);
    }
}
