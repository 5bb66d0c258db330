use flink_console::EndSignal;

use crate::error::{ClientError, Exit, Result};

/// What is told where Ctrl-C comes before anything runs.
pub(super) const BEFORE_SUBMISSION: &str = "interrupted before the job was submitted";

/// What is told where it comes later, and no job is waited for.
pub(super) const WHILE_PROGRAM_RAN: &str = "interrupted while the program ran";

/// Ctrl-C and SIGTERM, taken from the moment that this is made.
pub(crate) struct Signals(flink_console::Signals);

impl Signals {
    pub(crate) fn new() -> Result<Self> {
        let taken = flink_console::Signals::new();
        taken.map(Self).map_err(|error| ClientError::failed("cannot watch for Ctrl-C").because(&error))
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        let (EndSignal::Interrupt | EndSignal::Terminate) = self.0.next().await;
    }

    /// Waits until the user wants the end of what runs; on a terminal Ctrl-C alone is answered with a question.
    pub(crate) async fn end_wanted(&mut self, question: impl Fn() -> Option<String>) {
        self.0.end_wanted(question).await;
    }

    /// Does the work unless a signal comes first, which is an error with this message.
    pub(super) async fn unless_interrupted<T>(&mut self, message: &str, work: impl Future<Output = T>) -> Result<T> {
        tokio::select! {
            done = work => Ok(done),
            () = self.next() => Err(interrupted(message)),
        }
    }
}

pub(crate) fn interrupted(message: &str) -> ClientError {
    ClientError::new(Exit::Interrupted, message)
}
