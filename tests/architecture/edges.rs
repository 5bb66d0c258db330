use crate::workspace::{Dependency, Package};

/// What the crate in a folder may depend on; `*` at an end stands for every folder below.
struct Rule {
    folder: &'static str,
    may: &'static [&'static str],
    /// What its tests may need on top.
    tests_may: &'static [&'static str],
}

const fn rule(folder: &'static str, may: &'static [&'static str]) -> Rule {
    Rule { folder, may, tests_may: &[] }
}

/// In the order of a record's way: what is written, what is handed over, what runs, what brings it all together.
const RULES: &[Rule] = &[
    rule("api/derive", &[]),
    rule("api", &["api/derive", "graph", "protocol", "taskmanager"]),
    Rule {
        folder: "connectors/hdfs",
        may: &["api", "api/derive", "connectors/files", "graph", "hadoop-rpc", "taskmanager"],
        tests_may: &["tests/hadoop"],
    },
    rule("connectors/*", &["api", "api/derive", "graph", "taskmanager"]),
    rule("graph", &[]),
    Rule { folder: "hadoop-rpc", may: &[], tests_may: &["tests/hadoop"] },
    rule("protocol", &["graph"]),
    rule("transport", &["graph", "protocol"]),
    rule("taskmanager", &["graph", "protocol", "transport"]),
    Rule { folder: "appmaster", may: &["graph", "hadoop-rpc", "protocol", "transport"], tests_may: &["taskmanager"] },
    rule("console", &["graph", "protocol"]),
    rule(
        "yarn-client",
        &["connectors/files", "connectors/hdfs", "console", "graph", "hadoop-rpc", "protocol", "transport"],
    ),
    rule(
        "dist/flink",
        &["api", "api/derive", "appmaster", "connectors/*", "console", "graph", "protocol", "taskmanager", "transport"],
    ),
    rule("dist/flink-yarn", &["*"]),
    rule("examples", &["dist/flink"]),
    rule("tests/*", &["*"]),
    rule("benches", &["*"]),
    rule("benches/*", &["*"]),
];

const HERE: &str = "RULES in tests/architecture/edges.rs";

/// Dependencies that no rule allows.
pub(crate) fn violations(packages: &[Package]) -> Vec<String> {
    packages.iter().flat_map(check).collect()
}

fn check(package: &Package) -> Vec<String> {
    let Some(rule) = RULES.iter().find(|rule| matches(rule.folder, &package.folder)) else {
        return vec![format!(
            "`{}` in {} has no rule: decide what it may know, and add it to {HERE}",
            package.name, package.folder
        )];
    };
    let forbidden = package.dependencies.iter().filter(|dependency| !allows(rule, dependency));
    forbidden.map(|dependency| message(package, dependency, rule)).collect()
}

fn allows(rule: &Rule, dependency: &Dependency) -> bool {
    let among = |folders: &[&str]| folders.iter().any(|pattern| matches(pattern, &dependency.folder));
    among(rule.may) || (dependency.dev && among(rule.tests_may))
}

fn message(package: &Package, dependency: &Dependency, rule: &Rule) -> String {
    let only = if dependency.dev { "the tests of " } else { "" };
    let may = if rule.may.is_empty() { "no other crate".to_owned() } else { rule.may.join(", ") };
    format!(
        "{only}{} must not depend on {} (it may depend on {may}): move what is needed to a crate that both may know, or \
         hand it in from dist; change {HERE} only together with ARCHITECTURE.md",
        package.folder, dependency.folder
    )
}

fn matches(pattern: &str, folder: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == folder, |begin| folder.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(folder: &str, dependencies: &[(&str, bool)]) -> Package {
        let dependency = |(folder, dev): &(&str, bool)| Dependency { folder: (*folder).to_owned(), dev: *dev };
        Package {
            name: folder.to_owned(),
            folder: folder.to_owned(),
            description: String::new(),
            dependencies: dependencies.iter().map(dependency).collect(),
            foreign: Vec::new(),
        }
    }

    #[test]
    fn an_edge_against_the_way_is_found() {
        let check = |folder: &str, dependency: &str, dev: bool, allowed: bool| {
            let found = violations(&[package(folder, &[(dependency, dev)])]);
            assert_eq!(found.is_empty(), allowed, "{folder} on {dependency}: {found:?}");
        };
        check("taskmanager", "graph", false, true);
        check("taskmanager", "connectors/files", false, false);
        check("graph", "protocol", false, false);
        check("graph", "protocol", true, false);
        check("appmaster", "taskmanager", false, false);
        check("appmaster", "taskmanager", true, true);
        check("connectors/files", "connectors/kafka", false, false);
        check("connectors/files", "hadoop-rpc", false, false);
        check("connectors/hdfs", "connectors/files", false, true);
        check("dist/flink", "yarn-client", false, false);
        check("dist/flink", "connectors/files", false, true);
        check("api", "dist/flink", true, false);
        check("examples", "api", false, false);
        check("tests/end-to-end", "dist/flink-yarn", true, true);
        let new = violations(&[package("sql", &[])]);
        assert!(new[0].contains("`sql` in sql has no rule"), "{new:?}");
    }
}
