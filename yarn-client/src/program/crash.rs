use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use super::Program;
use crate::error::{ClientError, Exit};

/// The program has ended before it was due.
pub(super) fn crashed(program: &Program, status: ExitStatus, last_words: &str, submitted: bool) -> ClientError {
    let name = program.name();
    const INTERRUPT: i32 = 2;
    const KILL: i32 = 9;
    if status.signal() == Some(INTERRUPT) {
        return ClientError::new(Exit::Interrupted, format!("{name} was interrupted"));
    }
    let how = match (status.signal(), status.code()) {
        (Some(KILL), _) => "was killed (signal 9; by the system when memory ran out?)".to_owned(),
        (Some(signal), _) => format!("was ended by signal {signal} ({})", signal_name(signal)),
        (None, Some(code)) => format!("ended with exit code {code}"),
        (None, None) => "ended".to_owned(),
    };
    let further = if submitted { "further " } else { "" };
    let error = Program::error(format!("{name} {how}"))
        .because_text(panic_text(last_words))
        .hint(format!("no {further}job was submitted; what the program printed stands above"));
    match program.arguments.iter().find(|word| status.code() == Some(USAGE) && is_ours(word)) {
        Some(word) => error.hint(format!(
            "`{}` behind the program is the program's own: options of flink-yarn stand before it",
            word.to_string_lossy()
        )),
        None => error,
    }
}

/// With this exit code programs say as a rule that they do not know an option.
const USAGE: i32 = 2;

/// Whether a word may be meant for `run` or `info`.
fn is_ours(word: &std::ffi::OsStr) -> bool {
    const OURS: [&str; 11] = [
        "-p",
        "--parallelism",
        "-t",
        "--target",
        "-m",
        "--jobmanager",
        "-d",
        "--detached",
        "-D",
        "--config-dir",
        "--plan-timeout",
    ];
    let word = word.to_string_lossy();
    let name = word.split('=').next().unwrap_or_default();
    OURS.contains(&name) || name.starts_with("-D")
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        1 => "hangup",
        4 => "illegal instruction",
        6 => "abort",
        7 => "bus error",
        8 => "arithmetic exception",
        11 => "segmentation fault",
        13 => "broken pipe",
        15 => "termination",
        25 => "file too large",
        _ => "unusual",
    }
}

/// The message of a panic in what a program printed last: the lines from `panicked at` to the note about backtraces.
fn panic_text(last_words: &str) -> String {
    let Some(start) = last_words.rfind("panicked at ") else { return String::new() };
    let lines = last_words[start..].lines().take_while(|line| !line.starts_with("note: "));
    lines.take(5).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_panic_is_cut_out_of_the_last_words() {
        let words =
            "hello\nthread 'main' (7) panicked at src/main.rs:3:5:\nno input\nnote: run with `RUST_BACKTRACE=1`\n";
        assert_eq!(panic_text(words), "panicked at src/main.rs:3:5:\nno input");
        assert_eq!(panic_text("all well"), "");
    }
}
