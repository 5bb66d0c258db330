use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

use crate::error::{ClientError, Result};

/// How results are written to standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a result.
    Json,
}

/// Writes text and a line break to standard output.
///
/// # Errors
/// Nobody reads it, or the disk behind it is full.
pub(crate) fn line(text: impl AsRef<str>) -> Result<()> {
    raw(&format!("{}\n", text.as_ref()))
}

/// Writes text as it is to standard output.
pub(crate) fn raw(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| failure(&error))
}

/// Writes a value as one line of JSON to standard output.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    line(json_text(value)?)
}

/// A value as one line of JSON.
pub(crate) fn json_text(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| ClientError::failed("the result has no JSON form").because(&error))
}

/// Says something that is not the result, on standard error. It is lost when nobody reads that.
pub(crate) fn notice(text: impl AsRef<str>) {
    let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
}

/// What a failed write to standard output means.
pub(crate) fn failure(error: &io::Error) -> ClientError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => ClientError::output_closed(),
        _ => ClientError::failed("cannot write to standard output")
            .because(error)
            .hint("if it goes to a file: is the disk full?"),
    }
}

/// Rows as text in columns, as wide as their widest cell.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_without_trailing_blanks() {
        let rows = [vec!["id".to_owned(), "name".to_owned()], vec!["12345".to_owned(), "a".to_owned()]];
        assert_eq!(table(&rows), "id     name\n12345  a");
    }
}
