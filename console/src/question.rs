use std::fs::File;
use std::io::{ErrorKind, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::fs::OFlags;

/// Longest answer that is looked at.
const MAX_ANSWER_LENGTH: usize = 256;

/// Pause between two looks for an answer, which a person types.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Whether a question stands on the terminal, of which a process has one at most: nothing is drawn over it.
static STANDS: AtomicBool = AtomicBool::new(false);

/// Questions so far: behind each, a picture begins anew below it.
static ASKED: AtomicUsize = AtomicUsize::new(0);

/// What came of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Yes,
    No,
    /// There is no terminal on which somebody could be asked.
    NobodyThere,
}

/// Whether nothing may be drawn now.
pub(crate) fn stands() -> bool {
    STANDS.load(Ordering::Relaxed)
}

/// The number of questions so far.
pub(crate) fn asked() -> usize {
    ASKED.load(Ordering::Relaxed)
}

/// A question on the terminal, until it is answered or withdrawn.
struct Standing {
    answered: bool,
}

impl Standing {
    fn new(text: &str) -> Self {
        STANDS.store(true, Ordering::Relaxed);
        ASKED.fetch_add(1, Ordering::Relaxed);
        // Ctrl-C has left its trace on the line.
        let _ = write!(std::io::stderr().lock(), "\n{text} [y/N] ");
        Self { answered: false }
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        if !self.answered {
            let _ = writeln!(std::io::stderr().lock());
        }
        STANDS.store(false, Ordering::Relaxed);
    }
}

/// Asks a question on the terminal, and waits for a line. The terminal is opened anew: standard input belongs to the program.
pub(crate) async fn ask(text: &str) -> Answer {
    let Some(terminal) = terminal() else { return Answer::NobodyThere };
    let mut standing = Standing::new(text);
    let mut line = Vec::new();
    loop {
        let mut piece = [0; MAX_ANSWER_LENGTH];
        match (&terminal).read(&mut piece) {
            Ok(0) => return Answer::No,
            Ok(count) => line.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => tokio::time::sleep(POLL_INTERVAL).await,
            Err(_) => return Answer::NobodyThere,
        }
        if line.contains(&b'\n') || line.len() > MAX_ANSWER_LENGTH {
            standing.answered = true;
            return meaning(&line);
        }
    }
}

fn meaning(line: &[u8]) -> Answer {
    match String::from_utf8_lossy(line).trim().to_lowercase().as_str() {
        "y" | "yes" => Answer::Yes,
        _ => Answer::No,
    }
}

/// The terminal, if the user sees what is told and this process may read from it: one in the background would be stopped.
fn terminal() -> Option<File> {
    if !std::io::stderr().is_terminal() {
        return None;
    }
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).ok()?;
    let terminal = File::options().read(true).custom_flags(nonblocking).open("/dev/tty").ok()?;
    let in_front = rustix::termios::tcgetpgrp(&terminal).ok()? == rustix::process::getpgrp();
    in_front.then_some(terminal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        for (line, expect) in [
            ("y\n", Answer::Yes),
            (" YES \n", Answer::Yes),
            ("\n", Answer::No),
            ("n\n", Answer::No),
            ("yn\n", Answer::No),
        ] {
            assert_eq!(meaning(line.as_bytes()), expect, "{line:?}");
        }
    }
}
