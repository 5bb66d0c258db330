use std::fs;

use crate::workspace::Workspace;

/// A longer file has more than one subject.
const MAX_LINES: usize = 400;

/// Files that were longer when the rule came, with what they may have. Only less is added to this list: whoever shortens a file
/// lowers its number, or takes it off.
const LONGER: &[(&str, usize)] = &[
    ("api/src/functions.rs", 430),
    ("api/src/keyed.rs", 440),
    ("api/src/task_builder.rs", 430),
    ("api/src/translation.rs", 420),
    ("api/tests/job_graph.rs", 460),
    ("appmaster/src/yarn/driver/machine.rs", 460),
    ("appmaster/src/yarn/service.rs", 440),
    ("appmaster/tests/simulation/world.rs", 450),
    ("appmaster/tests/yarn/driver_scenarios.rs", 470),
    ("appmaster/tests/yarn/world.rs", 450),
    ("connectors/files/tests/files/sink.rs", 470),
    ("connectors/hdfs/src/failure.rs", 490),
    ("connectors/hdfs/src/staging.rs", 420),
    ("connectors/hdfs/src/write.rs", 420),
    ("dist/flink/tests/pipelines.rs", 510),
    ("graph/src/configuration.rs", 570),
    ("graph/src/job_graph.rs", 430),
    ("graph/src/plan.rs", 490),
    ("hadoop-rpc/src/proto/yarn.rs", 560),
    ("taskmanager/src/network/connection.rs", 450),
    ("taskmanager/src/network/frame.rs", 450),
    ("taskmanager/src/network/server.rs", 410),
    ("taskmanager/src/operator.rs", 410),
    ("taskmanager/src/task.rs", 410),
    ("taskmanager/src/task_manager/shell.rs", 560),
    ("taskmanager/src/task_manager/tests.rs", 610),
    ("tests/data-plane-simulation/pipelines.rs", 430),
    ("yarn-client/src/yarn/logs/tfile.rs", 420),
];

/// Lines that a file may be below its number, before that has to be lowered.
const SLACK: usize = 30;

/// Files that are too long, and numbers that are too high.
pub(crate) fn violations(workspace: &Workspace) -> Vec<String> {
    let files = workspace.packages.iter().flat_map(|package| workspace.files(package, "rs"));
    let lengths = files.map(|file| {
        let lines = fs::read_to_string(&file).unwrap_or_default().lines().count();
        (workspace.shown(&file), lines)
    });
    let lengths: Vec<(String, usize)> = lengths.collect();
    let gone = LONGER.iter().filter(|(file, _)| !lengths.iter().any(|(found, _)| found == file));
    let gone = gone.map(|(file, _)| format!("{file} is gone: take it off LONGER in tests/architecture/lengths.rs"));
    lengths.iter().filter_map(|(file, lines)| check(file, *lines, LONGER)).chain(gone).collect()
}

fn check(file: &str, lines: usize, longer: &[(&str, usize)]) -> Option<String> {
    let listed = longer.iter().find(|(name, _)| *name == file).map(|(_, most)| *most);
    let most = listed.unwrap_or(MAX_LINES);
    if lines > most {
        return Some(format!(
            "{file} has {lines} lines: split it where its parts meet, below {MAX_LINES} (it may have {most})"
        ));
    }
    let here = "LONGER in tests/architecture/lengths.rs";
    match listed {
        Some(_) if lines <= MAX_LINES => Some(format!("{file} has {lines} lines: take it off {here}")),
        Some(most) if lines + SLACK < most => Some(format!("{file} has {lines} lines: lower its {most} in {here}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_only_become_shorter() {
        let longer = [("long.rs", 500)];
        let check = |file: &str, lines: usize, expect: &str| {
            let found = check(file, lines, &longer).unwrap_or_default();
            assert!(
                if expect.is_empty() { found.is_empty() } else { found.contains(expect) },
                "{file} {lines}: {found}"
            );
        };
        check("new.rs", 400, "");
        check("new.rs", 401, "split it where its parts meet");
        check("long.rs", 500, "");
        check("long.rs", 501, "split it where its parts meet");
        check("long.rs", 480, "");
        check("long.rs", 460, "lower its 500");
        check("long.rs", 390, "take it off");
    }
}
