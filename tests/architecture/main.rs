//! The rules of the workspace, checked. A failure says what to do about it.
#![allow(clippy::expect_used, clippy::panic)] // a test may

/// What `cargo metadata` and the folders say.
mod workspace;

/// Which crate may depend on which.
mod edges;

/// Which crates from outside are whose.
mod foreign;

/// What every manifest must say.
mod manifests;

/// Names and contents of source files.
mod sources;

/// How long source files are.
mod lengths;

/// What documents point at.
mod documents;

use workspace::Workspace;

fn hold(rule: &str, violations: &[String]) {
    assert!(violations.is_empty(), "{rule}:\n  {}\n", violations.join("\n  "));
}

#[test]
fn dependencies_point_along_a_records_way() {
    hold("dependencies between crates", &edges::violations(&Workspace::load().packages));
}

#[test]
fn crates_from_outside_are_where_they_belong() {
    hold("dependencies from outside", &foreign::violations(&Workspace::load().packages));
}

#[test]
fn what_is_handed_over_has_no_io() {
    hold("input and output", &foreign::io(&Workspace::load()));
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
fn files_are_finished() {
    hold("source files", &sources::unfinished(&Workspace::load()));
}

#[test]
fn files_are_short() {
    hold("lengths of source files", &lengths::violations(&Workspace::load()));
}

#[test]
fn documents_name_what_is_there() {
    hold("documents", &documents::dead_ends(&Workspace::load()));
}
