use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use flink_protocol::program::LOG_VARIABLE;
use tracing_subscriber::EnvFilter;

/// Size at which a log is put aside as `.1`, so that a daemon never fills its disk.
const MAX_LOG_BYTES: u64 = 64 << 20;

/// Logs to standard error; `log` is the file behind it, when it is one.
pub(crate) fn start(log: Option<&Path>) {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = log.is_none() && io::stderr().is_terminal();
    let writer = Mutex::new(BoundedStderr::new(log, MAX_LOG_BYTES));
    // Fails only when there is a logger already, which is as good.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(writer).try_init();
}

/// Standard error, the file of which is replaced by an empty one when it has grown too large. Panics go the same way as
/// the log, since it is the descriptor itself that is replaced.
struct BoundedStderr {
    path: Option<PathBuf>,
    written: u64,
    limit: u64,
}

impl BoundedStderr {
    fn new(path: Option<&Path>, limit: u64) -> Self {
        let written = path.and_then(|path| fs::metadata(path).ok()).map_or(0, |metadata| metadata.len());
        Self { path: path.map(Path::to_owned), written, limit }
    }

    fn put_aside(&mut self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        // Counted anew also when this fails: it is tried again only after as much has been written.
        self.written = 0;
        fs::rename(path, path.with_extension("log.1"))?;
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        rustix::stdio::dup2_stderr(&file)?;
        Ok(())
    }
}

impl Write for BoundedStderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.written > self.limit {
            self.put_aside()?;
        }
        let count = io::stderr().lock().write(bytes)?;
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}
