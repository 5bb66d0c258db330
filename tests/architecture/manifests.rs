use std::fs;

use crate::workspace::Workspace;

/// Crates without the workspace's lints, or without a description.
pub(crate) fn violations(workspace: &Workspace) -> Vec<String> {
    let mut found = Vec::new();
    for package in &workspace.packages {
        let manifest = workspace.root.join(&package.folder).join("Cargo.toml");
        let shown = workspace.shown(&manifest);
        if !takes_lints(&fs::read_to_string(manifest).unwrap_or_default()) {
            found.push(format!("{shown}: add the lines `[lints]` and `workspace = true`"));
        }
        if package.description.trim().is_empty() {
            found.push(format!("{shown}: add `description = \"…\"`, one line on what the crate is for"));
        }
    }
    found
}

fn takes_lints(manifest: &str) -> bool {
    let mut section = "";
    manifest.lines().map(str::trim).any(|line| {
        if line.starts_with('[') {
            section = line;
        }
        section == "[lints]" && line.replace(' ', "") == "workspace=true"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lints_are_found_in_their_section_only() {
        assert!(takes_lints("[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"));
        assert!(!takes_lints("[lints]\n\n[dependencies]\nworkspace = true\n"));
        assert!(!takes_lints("[package]\nname = \"a\"\n"));
    }
}
