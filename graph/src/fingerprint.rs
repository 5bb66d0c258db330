use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::stable_hash;

/// What makes two graphs the same program with the same arguments: one line of text for each operator and setting.
/// The lines are kept, not only their hash, so that a difference can be shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    lines: Vec<String>,
}

/// A worker built another graph than the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FingerprintMismatch {
    place: usize,
    submitted: Option<String>,
    built: Option<String>,
}

impl fmt::Display for FingerprintMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |text: &Option<String>| text.clone().unwrap_or_else(|| "nothing".to_owned());
        write!(
            f,
            "the program built another graph on the worker than on the client. They differ at line {}: the client \
             submitted `{}`, the worker built `{}`. Build the graph from the arguments alone, not from the clock, random \
             numbers, environment variables or files that differ between hosts",
            self.place + 1,
            line(&self.submitted),
            line(&self.built)
        )
    }
}

impl std::error::Error for FingerprintMismatch {}

impl Fingerprint {
    /// Adds one line.
    pub fn push(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    /// A short form for logs.
    #[must_use]
    pub fn digest(&self) -> u128 {
        stable_hash(self.lines.join("\n").as_bytes())
    }

    /// Compares the graph a worker `built` with the submitted one (`self`).
    ///
    /// # Errors
    /// They differ; the error shows the first place.
    pub fn check(&self, built: &Self) -> Result<(), FingerprintMismatch> {
        let longest = self.lines.len().max(built.lines.len());
        match (0..longest).find(|place| self.lines.get(*place) != built.lines.get(*place)) {
            None => Ok(()),
            Some(place) => Err(FingerprintMismatch {
                place,
                submitted: self.lines.get(place).cloned(),
                built: built.lines.get(place).cloned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_shown() {
        let of = |lines: &[&str]| Fingerprint { lines: lines.iter().map(|l| (*l).to_owned()).collect() };
        assert!(of(&["a", "b"]).check(&of(&["a", "b"])).is_ok());
        let error = of(&["a", "b"]).check(&of(&["a", "c"])).unwrap_err().to_string();
        assert!(error.contains("line 2: the client submitted `b`, the worker built `c`"), "{error}");
        let error = of(&["a"]).check(&of(&[])).unwrap_err().to_string();
        assert!(error.contains("submitted `a`, the worker built `nothing`"), "{error}");
    }
}
