use std::io::{self, Write};

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::output::Format;

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

impl StandardOutput {
    /// Where it goes beside results of ours in this format.
    pub(crate) fn beside(format: Format) -> Self {
        if format == Format::Json { Self::Error } else { Self::Own }
    }
}

/// Passes a stream on to its end; gives back the last words.
pub(super) async fn pass_on(mut from: impl AsyncRead + Unpin, to: Target) -> Vec<u8> {
    let mut last = Vec::new();
    let mut buffer = vec![0; 16 << 10];
    let mut open = true;
    while let Ok(size @ 1..) = from.read(&mut buffer).await {
        keep_last(&mut last, &buffer[..size]);
        // A stream that nobody reads any more is still drained, so that the program is not stopped in the middle.
        open = open && to.write(&buffer[..size]).is_ok();
    }
    last
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

    #[test]
    fn last_words_are_bounded() {
        let mut last = Vec::new();
        keep_last(&mut last, &[b'x'; 3 * KEPT]);
        keep_last(&mut last, b"end");
        assert_eq!(last.len(), KEPT);
        assert!(last.ends_with(b"xend"));
    }
}
