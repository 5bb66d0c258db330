use std::fs;

use crate::workspace::{Package, Workspace};

/// Crates from outside, who may have them, and why nobody else. Each one is built by everybody who builds what is above it, so a
/// new one needs a line here.
struct Rule {
    crates: &'static [&'static str],
    /// `*` at an end stands for every folder below.
    folders: &'static [&'static str],
    why: &'static str,
}

const fn rule(crates: &'static [&'static str], folders: &'static [&'static str], why: &'static str) -> Rule {
    Rule { crates, folders, why }
}

/// Folders whose code is measured or tested from outside, and may use what it drives.
const OUTSIDE: &[&str] = &["benches", "benches/*", "tests/*"];

const RULES: &[Rule] = &[
    rule(&["serde", "thiserror"], &["*"], "small, and everywhere"),
    rule(
        &["serde_bytes"],
        &["graph", "protocol", "taskmanager"],
        "byte strings are in messages, and in what they hold",
    ),
    rule(&["compact_str"], &["api", "taskmanager"], "it is a type of records"),
    rule(&["bytes"], &["connectors/hdfs", "hadoop-rpc", "taskmanager"], "buffers are shared where sockets are read"),
    rule(
        &["tokio"],
        &["appmaster", "connectors/hdfs", "console", "dist/*", "hadoop-rpc", "taskmanager", "transport", "yarn-client"],
        "async is for the shells that own sockets, timers and files: what decides, and what runs in tasks, knows nothing of it",
    ),
    rule(
        &["tracing"],
        &["appmaster", "connectors/hdfs", "dist/*", "hadoop-rpc", "taskmanager", "transport"],
        "what has no I/O has nothing to log",
    ),
    rule(&["tracing-subscriber"], &["dist/*"], "where a log goes is decided by the process"),
    rule(
        &["rustix"],
        &["appmaster", "connectors/files", "console", "dist/*", "hadoop-rpc", "taskmanager", "yarn-client"],
        "the system is called where files, processes and terminals are",
    ),
    rule(&["libc"], &["dist/flink-yarn"], "one call that rustix does not have"),
    rule(&["rmp-serde"], &["protocol"], "the wire form of messages is the protocol's alone"),
    rule(&["rcgen", "rustls-webpki"], &["transport"], "certificates are made and read in one place"),
    rule(&["rustls", "tokio-rustls"], &["taskmanager", "transport"], "TLS is for connections of the engine"),
    rule(&["sha2"], &["appmaster", "taskmanager", "yarn-client"], "artifacts are known by their hash"),
    rule(&["crc32fast"], &["taskmanager"], "blocks of blocking shuffles are checked"),
    rule(&["axum"], &["appmaster"], "REST is the JobManager's, and out of every program"),
    rule(
        &["hyper", "hyper-util"],
        &["appmaster", "hadoop-rpc"],
        "REST again, and NodeManagers tell their logs over HTTP",
    ),
    rule(&["http-body-util"], &["hadoop-rpc"], "NodeManagers tell their logs over HTTP"),
    rule(&["fastrand"], &["api", "appmaster", "taskmanager"], "chance has a seed, of the job or of a simulation"),
    rule(&["clap", "clap_complete"], &["examples", "yarn-client"], "a command line is no affair of a library's"),
    rule(
        &["serde_json"],
        &["appmaster", "dist/flink-yarn", "yarn-client"],
        "JSON is for REST and for the command; programs do without",
    ),
    rule(&["serde_norway"], &["graph", "yarn-client"], "YAML is for the configuration file"),
    rule(&["tempfile"], &["yarn-client"], "elsewhere it is for tests"),
    rule(
        &["bzip2", "flate2", "zstd", "globset", "memchr", "simdutf8"],
        &["connectors/files"],
        "files are unpacked, searched and checked by their connector",
    ),
    rule(&["flate2"], &["yarn-client"], "YARN's logs are packed"),
    rule(&["hdfs-native", "futures-core"], &["connectors/hdfs"], "only the connector reads and writes blocks of HDFS"),
    rule(
        &["base64", "des", "getrandom", "libloading", "md-5", "prost", "quick-xml", "regex-lite"],
        &["hadoop-rpc"],
        "only this crate knows Hadoop's wire, its files and its security",
    ),
    rule(&["proc-macro2", "quote", "syn"], &["api/derive"], "they are for derives"),
];

/// For tests of any crate.
const IN_TESTS: &[&str] = &["fastrand", "proptest", "serde_json", "tempfile", "tokio"];

/// Crates without I/O, and what they would do it with.
const WITHOUT_IO: &[&str] = &["flink-graph", "flink-protocol"];
const IO: &[&str] = &["std::fs", "std::net", "std::process", "std::thread", "async fn"];

const HERE: &str = "RULES in tests/architecture/foreign.rs";

/// Dependencies on crates from outside that no rule allows.
pub(crate) fn violations(packages: &[Package]) -> Vec<String> {
    packages.iter().filter(|package| !is_among(OUTSIDE, &package.folder)).flat_map(check).collect()
}

fn check(package: &Package) -> Vec<String> {
    let forbidden = package.foreign.iter().filter(|(name, dev)| {
        let allowed =
            RULES.iter().any(|rule| rule.crates.contains(&name.as_str()) && is_among(rule.folders, &package.folder));
        !(allowed || *dev && IN_TESTS.contains(&name.as_str()))
    });
    forbidden.map(|(name, _)| message(package, name)).collect()
}

fn message(package: &Package, name: &str) -> String {
    let why: Vec<&str> = RULES.iter().filter(|rule| rule.crates.contains(&name)).map(|rule| rule.why).collect();
    match why[..] {
        [] => format!(
            "{} depends on `{name}`, which has no rule: say who may have it, and why, in {HERE}",
            package.folder
        ),
        _ => format!("{} must not depend on `{name}`: {} ({HERE})", package.folder, why.join("; ")),
    }
}

/// Lines of crates without I/O that do some.
pub(crate) fn io(workspace: &Workspace) -> Vec<String> {
    let mut found = Vec::new();
    for package in workspace.packages.iter().filter(|package| WITHOUT_IO.contains(&package.name.as_str())) {
        let files = workspace.files(package, "rs");
        for (file, shown) in files.iter().map(|file| (file, workspace.shown(file))) {
            let content = fs::read_to_string(file).unwrap_or_default();
            let in_src = shown.starts_with(&format!("{}/src/", package.folder));
            let lines =
                (1..).zip(content.lines()).filter(|(_, line)| in_src && IO.iter().any(|word| line.contains(word)));
            found.extend(
                lines.map(|(number, _)| format!("{shown}:{number}: `{}` has no I/O and no async", package.name)),
            );
        }
    }
    found
}

fn is_among(patterns: &[&str], folder: &str) -> bool {
    let matches =
        |pattern: &&str| pattern.strip_suffix('*').map_or(*pattern == folder, |begin| folder.starts_with(begin));
    patterns.iter().any(matches)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(folder: &str, name: &str, dev: bool) -> Package {
        Package {
            name: folder.to_owned(),
            folder: folder.to_owned(),
            description: String::new(),
            dependencies: Vec::new(),
            foreign: vec![(name.to_owned(), dev)],
        }
    }

    #[test]
    fn crates_from_outside_are_where_they_belong() {
        let check = |folder: &str, name: &str, dev: bool, expect: &str| {
            let found = violations(&[package(folder, name, dev)]).join("");
            assert!(
                if expect.is_empty() { found.is_empty() } else { found.contains(expect) },
                "{folder} {name}: {found}"
            );
        };
        check("graph", "serde", false, "");
        check("graph", "tokio", false, "async is for the shells");
        check("api", "tokio", false, "async is for the shells");
        check("api", "tokio", true, "");
        check("appmaster", "hdfs-native", false, "only the connector");
        check("hadoop-rpc", "prost", false, "");
        check("yarn-client", "prost", false, "only this crate knows Hadoop's wire");
        check("yarn-client", "flate2", false, "");
        check("graph", "left-pad", true, "has no rule");
        check("benches/peers", "left-pad", false, "");
    }
}
