//! Does what the README says, block by block, and compares what it prints with what the README shows.
//!
//! The blocks of a section run as one shell script in a folder outside of the repository, which holds a link to it under
//! the name of a clone. In a block of output, `…` stands for anything.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may

/// The README as blocks.
mod blocks;

/// Blocks as a script, and what it printed.
mod script;

use script::Script;

#[test]
fn words_are_counted_with_one_command() {
    let script = Script::of_section("Count words", script::repository());
    script.run_and_compare();
}

#[test]
fn a_first_job_runs_in_every_mode() {
    let folder = tempfile::tempdir().unwrap();
    let clone = folder.path().join("flink-yarn");
    std::os::unix::fs::symlink(script::repository(), clone).unwrap();
    let script = Script::of_section("A first job in five minutes", folder.path());
    script.run_and_compare();
}

#[test]
fn the_command_for_the_tests_is_there() {
    let section = blocks::of_section("Run the tests");
    assert_eq!(section.len(), 1);
    assert_eq!(section[0].text, "$ scripts/test\n");
    assert!(script::repository().join("scripts/test").is_file());
}
