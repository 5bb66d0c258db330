//! Cutting a region into lines.

use std::ops::ControlFlow;

use super::{InvalidUtf8, TextOptions};

/// What is known of the bytes of a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checked {
    /// They are UTF-8.
    Utf8,
    /// Some are not; lines are looked at one by one.
    Mixed,
}

/// Why cutting stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// There are no further lines in the region.
    Consumed,
    /// No further lines are wanted now.
    Wanted,
    /// The next line is longer than allowed.
    TooLong,
}

/// Whole lines; only the last one of a file may lack its line end.
pub(super) struct Region<'a> {
    bytes: &'a [u8],
    checked: Checked,
    max_line_length: usize,
    invalid_utf8: InvalidUtf8,
    /// Bytes of the lines that were handed out.
    pub(super) consumed: usize,
    /// Lines left out.
    pub(super) skipped: u64,
}

impl<'a> Region<'a> {
    #[inline]
    pub(super) fn new(bytes: &'a [u8], checked: Checked, options: &TextOptions) -> Self {
        Self {
            bytes,
            checked,
            max_line_length: options.max_line_length,
            invalid_utf8: options.invalid_utf8,
            consumed: 0,
            skipped: 0,
        }
    }

    /// Hands out lines until `left` of them were, or `f` breaks.
    #[inline]
    pub(super) fn lines(&mut self, left: &mut usize, f: &mut impl FnMut(&str) -> ControlFlow<()>) -> Stop {
        match self.checked {
            // SAFETY: the caller has checked the region to be UTF-8, and it begins and ends at line ends, which are
            // ASCII and so never within a character; so is each line.
            Checked::Utf8 => self.each(left, |line, _| f(unsafe { std::str::from_utf8_unchecked(line) })),
            Checked::Mixed => self.mixed(left, f),
        }
    }

    #[cold]
    fn mixed(&mut self, left: &mut usize, f: &mut impl FnMut(&str) -> ControlFlow<()>) -> Stop {
        let policy = self.invalid_utf8;
        let mut repaired = String::new();
        self.each(left, |line, skipped| match simdutf8::basic::from_utf8(line) {
            Ok(line) => f(line),
            Err(_) if policy == InvalidUtf8::SkipAndCount => {
                *skipped += 1;
                ControlFlow::Continue(())
            }
            Err(_) => {
                repair(line, &mut repaired);
                f(&repaired)
            }
        })
    }

    #[inline(always)]
    fn each(&mut self, left: &mut usize, mut f: impl FnMut(&[u8], &mut u64) -> ControlFlow<()>) -> Stop {
        let (bytes, mut begin, mut skipped) = (self.bytes, 0, 0);
        let mut budget = *left;
        let mut stop = Stop::Consumed;
        for line_end in memchr::memchr_iter(b'\n', bytes) {
            if budget == 0 {
                stop = Stop::Wanted;
                break;
            }
            let line = without_return(&bytes[begin..line_end]);
            if line.len() > self.max_line_length {
                stop = Stop::TooLong;
                break;
            }
            begin = line_end + 1;
            budget -= 1;
            if f(line, &mut skipped).is_break() {
                stop = Stop::Wanted;
                break;
            }
        }
        if stop == Stop::Consumed && begin < bytes.len() {
            (stop, begin) = self.unfinished(begin, &mut budget, &mut skipped, &mut f);
        }
        (*left, self.consumed, self.skipped) = (budget, begin, skipped);
        stop
    }

    /// The last line of a file that does not end with a line end.
    #[cold]
    fn unfinished(
        &self,
        begin: usize,
        budget: &mut usize,
        skipped: &mut u64,
        f: &mut impl FnMut(&[u8], &mut u64) -> ControlFlow<()>,
    ) -> (Stop, usize) {
        let line = &self.bytes[begin..];
        if *budget == 0 {
            return (Stop::Wanted, begin);
        }
        if line.len() > self.max_line_length {
            return (Stop::TooLong, begin);
        }
        *budget -= 1;
        let stop = if f(line, skipped).is_break() { Stop::Wanted } else { Stop::Consumed };
        (stop, self.bytes.len())
    }
}

/// `\r\n` is one line end; a `\r` elsewhere is a character as any other.
#[inline(always)]
fn without_return(line: &[u8]) -> &[u8] {
    match line {
        [line @ .., b'\r'] => line,
        line => line,
    }
}

/// Puts the replacement character in place of each wrong sequence.
fn repair(line: &[u8], repaired: &mut String) {
    repaired.clear();
    for chunk in line.utf8_chunks() {
        repaired.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            repaired.push(char::REPLACEMENT_CHARACTER);
        }
    }
}
