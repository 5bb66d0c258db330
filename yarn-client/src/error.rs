use std::error::Error;
use std::fmt;

use serde::Serialize;

/// Why a command did not end well: the exit codes of `flink-yarn`, for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The job failed, or the command did not succeed.
    Failed = 1,
    /// A wrong option, a wrong configuration, a missing file: nothing was started.
    Usage = 2,
    /// No JobManager answers.
    Unreachable = 3,
    /// The program could not be started, crashed or was refused while its plan was made.
    Program = 4,
    /// The job was canceled, but not from here.
    Canceled = 5,
    /// Ended by Ctrl-C or SIGTERM.
    Interrupted = 130,
    /// Nobody reads the output any more: `flink-yarn logs | head`.
    OutputClosed = 141,
}

/// One clear message: what is wrong, why, and what to do.
#[derive(Debug)]
pub struct ClientError {
    exit: Exit,
    message: String,
    causes: Vec<String>,
    /// Where a log comes from, and its last lines.
    log: Option<Box<(String, String)>>,
    hint: Option<String>,
    /// People have read what happened already: only what they can do is left to say.
    told: bool,
}

/// The result of a command.
pub(crate) type Result<T, E = ClientError> = std::result::Result<T, E>;

impl ClientError {
    /// An error with an exit code.
    #[must_use]
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), causes: Vec::new(), log: None, hint: None, told: false }
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    pub(crate) fn output_closed() -> Self {
        Self::new(Exit::OutputClosed, "")
    }

    /// Adds a cause and the causes below it.
    #[must_use]
    pub fn because(mut self, cause: &dyn Error) -> Self {
        let mut next = Some(cause);
        while let Some(error) = next {
            self = self.because_text(error.to_string());
            next = error.source();
        }
        self
    }

    /// Adds a cause that is known as text only. A cause that the text before it contains already is left out.
    #[must_use]
    pub fn because_text(mut self, cause: impl Into<String>) -> Self {
        let cause = cause.into();
        let last = self.causes.last().unwrap_or(&self.message);
        if !cause.is_empty() && !last.contains(&cause) {
            self.causes.push(cause);
        }
        self
    }

    /// Does not say again what the user has read: the program has printed the failure that it was told.
    #[must_use]
    pub(crate) fn told_in(mut self, shown: &str) -> Self {
        self.told = !self.causes.is_empty() && self.causes.iter().all(|cause| shown.contains(cause.trim_end()));
        self
    }

    /// Shows the end of a log behind the causes.
    #[must_use]
    pub(crate) fn with_log(mut self, title: String, lines: String) -> Self {
        self.log = Some(Box::new((title, lines)));
        self
    }

    /// Says what the user can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The exit code.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// Message and causes, as text.
    pub(crate) fn causes(&self) -> String {
        [&self.message].into_iter().chain(&self.causes).map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// The error as one line of JSON, for commands with `--output json`.
    pub(crate) fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Told<'a> {
            error: Content<'a>,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "kebab-case")]
        struct Content<'a> {
            message: &'a str,
            causes: &'a [String],
            #[serde(skip_serializing_if = "Option::is_none")]
            log: Option<Log<'a>>,
            hint: Option<&'a str>,
            exit_code: u8,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "kebab-case")]
        struct Log<'a> {
            of: &'a str,
            last_lines: &'a str,
        }
        let Self { exit, message, causes, log, hint, told: _ } = self;
        let log = log.as_deref().map(|(of, last_lines)| Log { of, last_lines });
        let content = Content { message, causes, log, hint: hint.as_deref(), exit_code: *exit as u8 };
        serde_json::to_string(&Told { error: content }).unwrap_or_else(|_| self.to_string())
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        if !self.told {
            lines.push(format!("error: {}", self.message));
            lines.extend(self.causes.iter().map(|cause| format!("  caused by: {}", indented(cause))));
        }
        let log = self.log.as_deref().map(|(of, lines)| format!("  the last lines of {of}:\n    {}", indented(lines)));
        lines.extend(log);
        lines.extend(self.hint.iter().map(|hint| format!("hint: {}", indented(hint))));
        f.write_str(&lines.join("\n"))
    }
}

impl Error for ClientError {}

fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n    ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_causes_and_hint_are_lines() {
        let error = ClientError::usage("no file `a`").because_text("not found").because_text("found").hint("look");
        assert_eq!(error.to_string(), "error: no file `a`\n  caused by: not found\nhint: look");
        assert_eq!(error.exit(), Exit::Usage);
        let expected = r#"{"error":{"message":"no file `a`","causes":["not found"],"hint":"look","exit-code":2}}"#;
        assert_eq!(error.to_json(), expected);
        let error = error.told_in("Error: found");
        assert!(error.to_string().starts_with("error: no file"), "the other cause is not known yet");
        let error = error.told_in("Error: not found, found");
        assert_eq!(error.to_string(), "hint: look");
        assert_eq!(error.to_json(), expected);
        let error = error.with_log("worker-1.log".to_owned(), "one\ntwo\n".to_owned());
        assert_eq!(error.to_string(), "  the last lines of worker-1.log:\n    one\n    two\nhint: look");
        let log = r#""log":{"of":"worker-1.log","last-lines":"one\ntwo\n"}"#;
        assert!(error.to_json().contains(log), "{}", error.to_json());
    }
}
