use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use flink_console::human;

/// What the user sees of an upload: on a terminal a line that is drawn again, elsewhere nothing before its end.
#[derive(Debug)]
pub(super) struct Progress {
    total: u64,
    done: AtomicU64,
    /// Milliseconds since the start at which the line was drawn last.
    drawn: AtomicU64,
    shown: AtomicBool,
    started: Instant,
    terminal: bool,
}

impl Progress {
    pub(super) fn new(total: u64) -> Self {
        Self {
            total,
            done: AtomicU64::new(0),
            drawn: AtomicU64::new(0),
            shown: AtomicBool::new(false),
            started: Instant::now(),
            terminal: std::io::stderr().is_terminal(),
        }
    }

    /// So many bytes more have gone.
    pub(super) fn add(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if !self.terminal {
            return;
        }
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let last = self.drawn.load(Ordering::Relaxed);
        let due = now >= last + 100;
        if due && self.drawn.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.shown.store(true, Ordering::Relaxed);
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K{}", line(done, self.total));
        }
    }

    /// Takes the line away.
    pub(super) fn clear(&self) {
        if self.shown.swap(false, Ordering::Relaxed) {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

fn line(done: u64, total: u64) -> String {
    let percent = done.min(total).saturating_mul(100).checked_div(total).unwrap_or(100);
    format!("Uploading {} of {} bytes ({percent} %)", human::count(done), human::count(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is() {
        assert_eq!(line(1_500_000, 6_000_000), "Uploading 1.50 M of 6.00 M bytes (25 %)");
        assert_eq!(line(0, 0), "Uploading 0 of 0 bytes (100 %)");
    }
}
