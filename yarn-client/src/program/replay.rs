use std::io::{self, Write};

use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes of a program's last words that are kept for error messages.
const KEPT: usize = 8 << 10;

/// Where a program's standard output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StandardOutput {
    /// To ours.
    Own,
    /// To our standard error, when ours is for a result of our own.
    Error,
}

/// What a program has printed on one of its streams over all its runs.
///
/// A program with several actions is started once for each of them, and `main` prints again what it printed before
/// the earlier ones. That is left out, by counting lines: a line may differ between the runs (it may hold a time).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Printed {
    lines: u64,
    /// Bytes of the line that is not ended yet.
    column: u64,
}

impl Printed {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' {
                self.lines += 1;
                self.column = 0;
            } else {
                self.column += 1;
            }
        }
    }

    fn reaches(self, other: Self) -> bool {
        (self.lines, self.column) >= (other.lines, other.column)
    }
}

/// Passes a stream on from the place where the run before ended; gives back the place where this one ended, and the
/// last words.
pub(super) async fn pass_on(mut from: impl AsyncRead + Unpin, to: Target, before: Printed) -> (Printed, Vec<u8>) {
    let mut printed = Printed::default();
    let mut last = Vec::new();
    let mut buffer = vec![0; 16 << 10];
    let mut open = true;
    while let Ok(size @ 1..) = from.read(&mut buffer).await {
        let fresh = skip(&buffer[..size], &mut printed, before);
        keep_last(&mut last, fresh);
        // A stream that nobody reads any more is still drained, so that the program is not stopped in the middle.
        open = open && to.write(fresh).is_ok();
    }
    (if printed.reaches(before) { printed } else { before }, last)
}

/// The part of `bytes` that no earlier run printed.
fn skip<'a>(bytes: &'a [u8], printed: &mut Printed, before: Printed) -> &'a [u8] {
    if printed.reaches(before) {
        printed.add(bytes);
        return bytes;
    }
    for (index, byte) in bytes.iter().enumerate() {
        if printed.reaches(before) {
            printed.add(&bytes[index..]);
            return &bytes[index..];
        }
        printed.add(std::slice::from_ref(byte));
    }
    &[]
}

fn keep_last(last: &mut Vec<u8>, fresh: &[u8]) {
    last.extend_from_slice(&fresh[fresh.len().saturating_sub(KEPT)..]);
    last.drain(..last.len().saturating_sub(KEPT));
}

/// One of our own streams.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    Output,
    Error,
}

impl Target {
    fn write(self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Output => {
                let mut stream = io::stdout().lock();
                stream.write_all(bytes).and_then(|()| stream.flush())
            }
            Self::Error => io::stderr().lock().write_all(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(runs: &[&str]) -> Vec<String> {
        let mut before = Printed::default();
        let mut out = Vec::new();
        for run in runs {
            let mut printed = Printed::default();
            let mut text = Vec::new();
            // In pieces of three bytes: borders must not matter.
            for piece in run.as_bytes().chunks(3) {
                text.extend_from_slice(skip(piece, &mut printed, before));
            }
            before = if printed.reaches(before) { printed } else { before };
            out.push(String::from_utf8(text).unwrap());
        }
        out
    }

    #[test]
    fn what_an_earlier_run_printed_is_left_out() {
        assert_eq!(shown(&["a\n", "a\nb\n", "a\nb\nc\n"]), ["a\n", "b\n", "c\n"]);
        assert_eq!(shown(&["took 9 ms\n", "took 12 ms\nend\n"]), ["took 9 ms\n", "end\n"]);
        assert_eq!(shown(&["working ... ", "working ... done\n"]), ["working ... ", "done\n"]);
        assert_eq!(shown(&["", "x"]), ["", "x"]);
        assert_eq!(shown(&["a\nb\n", "a\n", "a\nb\nc\n"]), ["a\nb\n", "", "c\n"]);
    }

    #[test]
    fn last_words_are_bounded() {
        let mut last = Vec::new();
        keep_last(&mut last, &[b'x'; 3 * KEPT]);
        keep_last(&mut last, b"end");
        assert_eq!(last.len(), KEPT);
        assert!(last.ends_with(b"xend"));
    }
}
