use clap::Args;
use clap_complete::Shell;

use crate::error::Result;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  cd ~/.local/share/bash-completion/completions
  flink-yarn completions bash > flink-yarn
  flink-yarn completions zsh > \"${fpath[1]}/_flink-yarn\"
  flink-yarn completions fish > ~/.config/fish/completions/flink-yarn.fish";

/// Options of `completions`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionsOptions {
    /// The shell
    shell: Shell,
}

/// Runs the command.
pub(crate) fn execute(options: &CompletionsOptions, command: &mut clap::Command) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, command, "flink-yarn", &mut script);
    output::raw(&mended(&String::from_utf8_lossy(&script)))
}

/// The script for bash builds the name of a command's arm from the words of the line, with `__` for a hyphen; clap_complete names
/// the arms with `__subcmd__` for it, so that nothing would be completed behind a command of `flink-yarn`.
fn mended(script: &str) -> String {
    script.replace("flink__subcmd__yarn", "flink__yarn")
}
