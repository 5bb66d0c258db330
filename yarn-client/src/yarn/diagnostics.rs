//! What YARN says of an application or a container that failed, without what helps nobody.

use hadoop_rpc::yarn::ContainerId;

/// Lines beyond this are left out: the log has them all.
const MAX_LINES: usize = 30;

/// Longest line.
const MAX_LINE_LENGTH: usize = 1_000;

/// Beginnings of lines that say nothing that is not said elsewhere.
const NOISE: &[&str] = &[
    "For more detailed output, check the application tracking page",
    "Then click on links to logs of each attempt",
    "Failing this attempt",
    "Failing the application",
    "Exception from container-launch",
    "Container id:",
    "Error file: prelaunch.err",
    "Last 4096 bytes of prelaunch.err",
    ". Failing the application",
];

/// The cause in the diagnostics of an application, to be read by people.
pub(crate) fn cause(diagnostics: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in diagnostics.replace("Failing this attempt.Diagnostics: ", "\n").lines() {
        let line = without_time(line.trim());
        let line = line.strip_prefix("Diagnostics: ").unwrap_or(line).trim();
        let line = line.split("For more detailed output").next().unwrap_or_default().trim();
        if line.is_empty() || NOISE.iter().any(|noise| line.starts_with(noise)) {
            continue;
        }
        let cleaned: String =
            line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_LINE_LENGTH).collect();
        if lines.last() != Some(&cleaned) {
            lines.push(cleaned);
        }
    }
    if let Some(words) = exit_code(diagnostics).and_then(meaning) {
        lines.insert(0, words);
    }
    if lines.len() > MAX_LINES {
        let more = lines.len() - MAX_LINES;
        lines.truncate(MAX_LINES);
        lines.push(format!("… and {more} more lines"));
    }
    lines.join("\n")
}

/// The container that a text names first.
pub(crate) fn container_in(text: &str) -> Option<ContainerId> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("container_")).find_map(|word| word.parse().ok())
}

/// `[2026-11-21 05:50:31.123]` in front of a line.
fn without_time(line: &str) -> &str {
    match line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((time, rest)) if time.len() >= 19 && time.as_bytes().first().is_some_and(u8::is_ascii_digit) => {
            rest.trim()
        }
        _ => line,
    }
}

/// The exit code of the ApplicationMaster's container.
fn exit_code(diagnostics: &str) -> Option<i32> {
    let rest = diagnostics.rsplit_once("exitCode:")?.1.trim_start();
    let end = rest.char_indices().find(|(index, c)| !(c.is_ascii_digit() || (*index == 0 && *c == '-')));
    rest[..end.map_or(rest.len(), |(index, _)| index)].parse().ok()
}

/// Codes that say more than that something went wrong.
fn meaning(code: i32) -> Option<String> {
    let words = match code {
        -104 => {
            "the ApplicationMaster's container used more memory than it has: ask for more with --jobmanager-memory (-jm)"
        }
        -103 => {
            "the ApplicationMaster's container used more virtual memory than the NodeManager allows \
             (yarn.nodemanager.vmem-check-enabled)"
        }
        -102 => "YARN has taken the ApplicationMaster's container for another queue (preemption)",
        -1000 => "the node could not fetch the files of the ApplicationMaster's container",
        -101 => "the disks of the node failed",
        -100 => "the node was lost",
        126 | 127 => {
            "the binary flink-yarn could not be started on the node: does it need a newer system than the node has?"
        }
        137 => "the ApplicationMaster was killed (signal 9): by the operating system when memory ran out, or by hand",
        _ => return None,
    };
    Some(words.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_found_in_what_is_said_of_them() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(container_in(text).map(|id| id.to_string()).as_deref(), expect, "{text}");
        };
        check("lost container_1700000000000_0001_01_000002: killed", Some("container_1700000000000_0001_01_000002"));
        check(
            "(container_x, container_e17_1700000000000_0001_01_000003)",
            Some("container_e17_1700000000000_0001_01_000003"),
        );
        check("the container is gone", None);
    }

    #[test]
    fn the_cause_comes_first_and_noise_is_left_out() {
        let text = "Application application_1_0001 failed 1 times (global limit =2; local limit is =1) due to AM Container for \
                    appattempt_1_0001_000001 exited with  exitCode: 127\nFailing this attempt.Diagnostics: [2026-11-21 \
                    05:50:31.123]Exception from container-launch.\nContainer id: container_1\nExit code: 127\n\n[2026-11-21 \
                    05:50:31.124]Container exited with a non-zero exit code 127. Error file: prelaunch.err.\nLast 4096 bytes of \
                    prelaunch.err :\n/bin/bash: ./flink-yarn: not found\n\n\nFor more detailed output, check the application \
                    tracking page: http://x Then click on links to logs of each attempt.\n. Failing the application.";
        let found = cause(text);
        let lines: Vec<&str> = found.lines().collect();
        assert!(lines[0].starts_with("the binary flink-yarn could not be started"), "{found}");
        assert!(lines.contains(&"/bin/bash: ./flink-yarn: not found"), "{found}");
        assert!(!found.contains("tracking page") && !found.contains("Container id"), "{found}");
    }

    #[test]
    fn codes_are_read_where_they_stand() {
        assert_eq!(exit_code("exited with  exitCode: -104 due to"), Some(-104));
        assert_eq!(exit_code("exitCode: 1"), Some(1));
        assert_eq!(exit_code("nothing"), None);
        assert!(cause("exited with  exitCode: -104 x").contains("--jobmanager-memory"));
        assert_eq!(cause(""), "");
        assert_eq!(cause("a\n\nb\nb"), "a\nb");
    }

    #[test]
    fn long_texts_are_cut() {
        let text = (0..100).map(|line| format!("line {line}\n")).collect::<String>();
        assert!(cause(&text).ends_with("… and 70 more lines"));
    }
}
