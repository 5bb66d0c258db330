//! The writer of one subtask.

use std::fmt::{self, Display, Write};
use std::sync::Arc;

use flink_api::BoxError;
use flink_api::sink::SinkWriter;

use super::part::{Part, part_name};
use crate::file_system::{Existing, FileError, FileSystem, FileUri, WriteHandle};

/// Bytes that are written at once.
const BUFFER_SIZE: usize = 128 << 10;

/// Writes the lines of one subtask into a temporary file, which goes away with the writer unless it was finished.
pub struct TextFileWriter {
    files: Arc<dyn FileSystem>,
    lines: Lines,
    temporary: FileUri,
    finished: bool,
}

impl TextFileWriter {
    pub(super) fn create(files: Arc<dyn FileSystem>, folder: &FileUri, subtask: u32) -> Result<Self, FileError> {
        files.create_folders(folder)?;
        let temporary = folder.join(&part_name(subtask));
        // A file that is there already was left by a process that died in this very attempt.
        let handle = files.create(&temporary, Existing::Replace)?;
        let lines = Lines { handle, buffer: Vec::with_capacity(BUFFER_SIZE), error: None };
        Ok(Self { files, lines, temporary, finished: false })
    }

    fn finish_part(&mut self) -> Result<Vec<u8>, FileError> {
        self.lines.flush()?;
        self.lines.handle.finish()?;
        let version = self.files.status(&self.temporary)?.version;
        self.finished = true;
        Ok(Part { temporary: self.temporary.clone(), version }.encode())
    }

    /// Removes the file, and the folder of the attempt with the last of its files: the abort removes both, but a writer that
    /// is made while its job is canceled may come after it.
    fn remove(&self) -> Result<(), FileError> {
        self.files.delete(&self.temporary)?;
        match self.temporary.parent() {
            Some(folder) if self.files.list(&folder, &|_| true)?.is_empty() => self.files.delete(&folder).map(drop),
            _ => Ok(()),
        }
    }
}

// The records that are still in the buffer when a task is idle are left there: nobody sees the file before it is published.
impl<T: Display> SinkWriter<T> for TextFileWriter {
    fn write(&mut self, record: T) -> Result<(), BoxError> {
        match writeln!(self.lines, "{record}") {
            Ok(()) => Ok(()),
            Err(fmt::Error) => Err(self.lines.error.take().map_or_else(not_displayed, BoxError::from)),
        }
    }

    fn finish(&mut self) -> Result<Vec<u8>, BoxError> {
        Ok(self.finish_part()?)
    }
}

impl Drop for TextFileWriter {
    fn drop(&mut self) {
        if !self.finished {
            let _ = self.remove();
        }
    }
}

/// The lines on their way to the file.
struct Lines {
    handle: Box<dyn WriteHandle>,
    buffer: Vec<u8>,
    /// Why writing failed: [`fmt::Error`] cannot say it.
    error: Option<FileError>,
}

impl Lines {
    fn flush(&mut self) -> Result<(), FileError> {
        let written = self.handle.write_all(&self.buffer);
        self.buffer.clear();
        written
    }

    /// The buffer never grows: what does not fit goes to the file as it is.
    #[cold]
    fn write_around(&mut self, text: &[u8]) -> Result<(), FileError> {
        self.flush()?;
        if text.len() >= BUFFER_SIZE {
            return self.handle.write_all(text);
        }
        self.buffer.extend_from_slice(text);
        Ok(())
    }
}

impl Write for Lines {
    #[inline]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.len() < BUFFER_SIZE - self.buffer.len() {
            self.buffer.extend_from_slice(text.as_bytes());
            return Ok(());
        }
        self.write_around(text.as_bytes()).map_err(|error| {
            self.error = Some(error);
            fmt::Error
        })
    }
}

fn not_displayed() -> BoxError {
    "a record cannot be written as text: its Display implementation returned an error".into()
}
