use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::blocks::{self, Block};

/// Stands in the output in front of what block number … has printed.
const MARK: &str = "@@@ block ";

/// What runs before the blocks. The ports that the README names may be taken on the machine that runs this, so the
/// cluster takes free ones.
const BEGIN: &str = r#"set -eu -o pipefail
exec 2>&1
rest_api() { flink-yarn standalone status --output json | grep -o 'http://[^"]*'; }
"#;

/// The root of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("tests/readme lies two folders below the root")
}

/// The blocks of a section, and where they run.
pub(crate) struct Script {
    blocks: Vec<Block>,
    folder: PathBuf,
}

impl Script {
    /// Runs in `folder`.
    pub(crate) fn of_section(heading: &str, folder: &Path) -> Self {
        Self { blocks: blocks::of_section(heading), folder: folder.to_owned() }
    }

    /// Runs all blocks, and asserts that each block of output is what the one before it has printed.
    pub(crate) fn run_and_compare(&self) {
        let printed = self.run();
        for (number, block) in self.blocks.iter().enumerate().filter(|(_, block)| block.language == "text") {
            let output = printed_by(&printed, number - 1);
            for line in block.text.lines() {
                let shown = output.lines().any(|printed| blocks::shows(line, printed) || shows_subtask(line, printed));
                assert!(shown, "the README shows `{line}`, but this was printed:\n{output}");
            }
        }
    }

    /// Everything that was printed, with marks.
    fn run(&self) -> String {
        let state = tempfile::tempdir().unwrap();
        fs::write(state.path().join("config.yaml"), "jobmanager.rpc.port: 0\nrest.port: 0\n").unwrap();
        let done = Command::new("bash")
            .args(["-c", &self.text()])
            .current_dir(&self.folder)
            .envs(profile())
            .env("CARGO_TARGET_DIR", target())
            .env("XDG_STATE_HOME", state.path())
            .env("FLINK_CONF_DIR", state.path())
            .stdin(Stdio::null())
            .output()
            .expect("bash runs");
        let printed = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "the README's commands ended with {}:\n{printed}", done.status);
        printed
    }

    fn text(&self) -> String {
        let mut text = BEGIN.to_owned();
        let lock = repository().join("Cargo.lock");
        for (number, block) in self.blocks.iter().enumerate() {
            writeln!(text, "echo; echo '{MARK}{number}'").unwrap();
            match block.language.as_str() {
                "sh" => text.push_str(&adapted(&block.text)),
                "toml" => text.push_str(&file("Cargo.toml", &in_place(&block.text))),
                "rust" => text.push_str(&file("src/main.rs", &block.text)),
                "text" => {}
                other => panic!("nobody knows what to do with a block of `{other}`"),
            }
            if block.language == "toml" {
                // The versions that the repository was built with, which are here, whatever newer ones there are elsewhere.
                writeln!(text, "cp '{}' Cargo.lock", lock.display()).unwrap();
            }
            if block.text.contains("standalone start") {
                text.push_str("trap 'flink-yarn standalone stop >/dev/null' EXIT\n");
            }
        }
        text
    }
}

/// What stands between the mark of a block and the next mark.
fn printed_by(printed: &str, number: usize) -> &str {
    let mark = format!("{MARK}{number}\n");
    let (_, behind) = printed.split_once(&mark).expect("every block that ran has its mark");
    behind.split(MARK).next().unwrap_or_default()
}

/// A record that was printed with the number of its subtask, `2> ` for example, which depends on the machine's processors.
fn shows_subtask(pattern: &str, line: &str) -> bool {
    line.split_once("> ")
        .is_some_and(|(subtask, record)| subtask.parse::<u32>().is_ok() && blocks::shows(pattern, record))
}

/// A block of commands for the folders and ports here.
fn adapted(commands: &str) -> String {
    let target = target().display().to_string();
    commands
        .replace("$PWD/flink-yarn/target", &target)
        .replace(" target/", &format!(" {target}/"))
        .replace("http://127.0.0.1:8081", "$(rest_api)")
}

fn in_place(manifest: &str) -> String {
    manifest.replace("../flink-yarn", &repository().display().to_string())
}

fn file(name: &str, content: &str) -> String {
    format!("cat > {name} <<'END OF THE BLOCK'\n{content}END OF THE BLOCK\n")
}

/// The build folder that this test was built in: `<target>/debug/deps/readme-…`.
fn target() -> PathBuf {
    let own = std::env::current_exe().expect("a process knows its program");
    own.ancestors().nth(3).expect("tests lie three folders deep").to_owned()
}

/// The repository's release profile as variables of cargo, so that the crate outside of it shares what is built here.
fn profile() -> Vec<(String, String)> {
    let manifest = fs::read_to_string(repository().join("Cargo.toml")).expect("the workspace has a manifest");
    let section = manifest.lines().skip_while(|line| *line != "[profile.release]").skip(1);
    let settings = section.take_while(|line| !line.starts_with('[')).filter_map(|line| line.split_once(" = "));
    let variable = |key: &str| format!("CARGO_PROFILE_RELEASE_{}", key.to_uppercase().replace('-', "_"));
    settings.map(|(key, value)| (variable(key), value.trim_matches('"').to_owned())).collect()
}
