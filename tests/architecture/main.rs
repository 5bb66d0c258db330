//! The rules of the workspace, checked. A failure says what to do about it.
#![allow(clippy::expect_used, clippy::panic)] // a test may

/// What `cargo metadata` and the folders say.
mod workspace;

/// Which crate may depend on which.
mod edges;

/// What every manifest must say.
mod manifests;

/// Names and contents of source files.
mod sources;

use workspace::Workspace;

fn hold(rule: &str, violations: &[String]) {
    assert!(violations.is_empty(), "{rule}:\n  {}\n", violations.join("\n  "));
}

#[test]
fn dependencies_point_along_a_records_way() {
    hold("dependencies between crates", &edges::violations(&Workspace::load().packages));
}

#[test]
fn manifests_are_complete() {
    hold("manifests", &manifests::violations(&Workspace::load()));
}

#[test]
fn names_say_what_is_inside() {
    hold("names of crates and modules", &sources::bad_names(&Workspace::load()));
}

#[test]
fn operators_have_no_clock_but_their_contexts() {
    hold("clocks", &sources::other_clocks(&Workspace::load()));
}

#[test]
fn files_are_short_and_finished() {
    hold("source files", &sources::bad_contents(&Workspace::load()));
}
