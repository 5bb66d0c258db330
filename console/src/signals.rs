use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::question::{self, Answer};

/// A signal that asks a process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndSignal {
    /// SIGINT: Ctrl-C, by somebody at the terminal.
    Interrupt,
    /// SIGTERM, by another process.
    Terminate,
}

/// Ctrl-C and SIGTERM, taken from the moment that this is made.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes them for this process. To be called within a runtime.
    ///
    /// # Errors
    /// The system does not allow it.
    pub fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> EndSignal {
        tokio::select! {
            _ = self.interrupt.recv() => EndSignal::Interrupt,
            _ = self.terminate.recv() => EndSignal::Terminate,
        }
    }

    /// Waits until the user wants the end of what runs. Ctrl-C on a terminal is answered with a question, to which `y` or a second
    /// Ctrl-C says yes; SIGTERM, and Ctrl-C where nobody can be asked, say it by themselves. Where `question` gives none, there
    /// is nothing to lose.
    pub async fn end_wanted(&mut self, question: impl Fn() -> Option<String>) {
        loop {
            let signal = self.next().await;
            let (EndSignal::Interrupt, Some(text)) = (signal, question()) else { return };
            let answer = tokio::select! {
                answer = question::ask(&text) => answer,
                _ = self.next() => Answer::Yes,
            };
            match answer {
                Answer::Yes | Answer::NobodyThere => return,
                Answer::No => {}
            }
        }
    }
}
