//! The sink that writes records as lines, and publishes them when the job has finished.

/// What a writer has prepared, as it travels to the committer.
mod part;

/// Publishing all parts together, and taking it back.
mod publication;

/// What killed jobs have left.
mod leftovers;

/// The writer of one subtask.
mod writer;

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flink_api::BoxError;
use flink_api::sink::{Sink, SinkContext};
use flink_graph::{Configuration, ConfigurationError, options};

use crate::file_system::{self, FileError, FileKind, FileSystem, FileUri};
pub use leftovers::jobs_end_with_this_process;
use part::Part;
use publication::Publication;
pub use writer::TextFileWriter;

/// Whether the tasks of the jobs that this process submits run on this host.
static TASKS_ARE_HERE: AtomicBool = AtomicBool::new(false);

/// Says that the tasks of all jobs that this process submits run on this host, so that what they cannot write to shows here.
pub fn tasks_run_on_this_host() {
    TASKS_ARE_HERE.store(true, Ordering::Relaxed);
}

/// What the names of all hidden files and folders in a target begin with.
const TEMPORARY: &str = ".flink-yarn-";

/// Writes each record as a line, by its [`Display`], into a folder of text files.
///
/// The target is always a folder: subtask 0 writes `part-00000`, subtask 1 `part-00001`, and so on, at parallelism 1 too,
/// and also where a subtask has no records. (Flink writes a single file at parallelism 1; here the shape of the result
/// does not depend on the parallelism.)
///
/// Until the job has finished the parts lie in hidden folders within the target, named `.flink-yarn-<job>-<attempt>`; then
/// they get their names. A job that fails leaves no part behind, and with [`overwrite`](Self::overwrite) leaves the old
/// result as it was. A small hidden file, `.flink-yarn-<job>-published`, lies beside the parts until the job's client has heard
/// that it finished: by it the job knows its own result again when it has to be run again because nobody heard of that. It
/// stays where no client waits for the job (`flink-yarn run --detached`), until the next job writes there.
///
/// A job in the program's own process that is killed leaves its hidden folders in a local target; the next job for the target
/// removes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextFileSink {
    target: String,
    overwrite: bool,
}

impl TextFileSink {
    /// Writes to a folder, which must not exist, or be empty. Nothing is created yet.
    #[must_use]
    pub fn new(target: impl Into<String>) -> Self {
        Self { target: target.into(), overwrite: false }
    }

    /// Whether a result that exists is replaced: everything in the target folder that is not hidden, and only when the
    /// new result is complete.
    #[must_use]
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// The target, as given.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    fn uri(&self, configuration: &Configuration) -> Result<FileUri, FileError> {
        let folder = configuration.get(&options::CLIENT_WORKING_DIRECTORY).map_err(misconfigured)?;
        FileUri::parse_in(&self.target, folder.as_deref())
    }

    fn place(&self, context: &SinkContext) -> Result<Place, FileError> {
        let target = self.uri(&context.configuration)?;
        Ok(Place { files: file_system::of(&target)?, target, job: format!("{TEMPORARY}{}-", context.job) })
    }

    fn check_target(&self, place: &Place) -> Result<(), FileError> {
        let refuse = |reason: &str| Err(FileError::Target { uri: place.target.to_string(), reason: reason.to_owned() });
        if place.target.parent().is_none() {
            return refuse("it is the root folder; name a folder for the result");
        }
        match place.files.status(&place.target) {
            Err(error) if error.is_not_found() => return place.check_parents(),
            Err(error) => return Err(error),
            Ok(status) if status.kind != FileKind::Folder => {
                return refuse("it is a file, and the result is a folder of files; delete it or choose another name");
            }
            Ok(_) => {}
        }
        place.check_creation(&place.target)?;
        if !self.overwrite && !place.results()?.is_empty() {
            return refuse(
                "the folder exists and is not empty. Choose another one, delete it, or have it overwritten \
                 (TextFileSink::overwrite)",
            );
        }
        Ok(())
    }
}

impl<T: Display + Send + 'static> Sink<T> for TextFileSink {
    type Writer = TextFileWriter;

    const COMMITS: bool = true;

    fn prepare(&self, context: &SinkContext) -> Result<(), BoxError> {
        let place = self.place(context)?;
        // As far as that is possible: what cannot be removed stays hidden.
        let _ = leftovers::remove(&place);
        Ok(self.check_target(&place)?)
    }

    /// Local files are not waited for: their writes go to the page cache, and only a disk that is slower than the job, or the
    /// last one, which makes the part durable, takes longer.
    fn blocks(&self, configuration: &Configuration) -> bool {
        self.uri(configuration).is_ok_and(|target| !target.is_local())
    }

    fn create_writer(&self, context: &SinkContext) -> Result<TextFileWriter, BoxError> {
        let place = self.place(context)?;
        let folder = place.attempt_folder(context.attempt);
        leftovers::hold(&place);
        Ok(TextFileWriter::create(place.files, &folder, context.subtask)?)
    }

    fn commit(&self, context: &SinkContext, committables: Vec<Vec<u8>>) -> Result<(), BoxError> {
        let place = self.place(context)?;
        let parts = Part::decode_all(&committables, &place)?;
        Ok(Publication::new(&place, parts, self.overwrite).publish()?)
    }

    fn settle(&self, context: &SinkContext) {
        let _ = self.place(context).and_then(|place| publication::settle(&place));
    }

    fn abort(&self, context: &SinkContext) {
        // As far as that is possible: there is nobody left who could do anything about an error.
        let _ = self.place(context).and_then(|place| publication::abort(&place, context.attempt));
    }
}

/// Where a job writes.
pub(crate) struct Place {
    files: Arc<dyn FileSystem>,
    target: FileUri,
    /// What the names of all temporary folders of the job begin with.
    job: String,
}

impl Place {
    /// The folder in which the writers of one attempt work.
    fn attempt_folder(&self, attempt: u32) -> FileUri {
        self.target.join(&format!("{}{attempt}", self.job))
    }

    /// The attempt to which a temporary folder of this job belongs.
    fn attempt_of(&self, folder_name: &str) -> Option<u32> {
        let digits = folder_name.strip_prefix(&self.job)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
    }

    /// What is in the target and counts as a result: all that is not hidden, and the checksums that Hadoop hides beside
    /// its files, which would be wrong for new ones.
    fn results(&self) -> Result<Vec<FileUri>, FileError> {
        let counts = |name: &str| !name.starts_with('.') || name.ends_with(".crc");
        Ok(self.files.list(&self.target, &counts)?.into_iter().map(|status| status.uri).collect())
    }

    /// Where tasks write to the same disks, what cannot be made in a folder is refused before anything runs.
    fn check_creation(&self, folder: &FileUri) -> Result<(), FileError> {
        if !TASKS_ARE_HERE.load(Ordering::Relaxed) {
            return Ok(());
        }
        let refused = |error: FileError| FileError::Target {
            uri: self.target.to_string(),
            reason: format!("nothing can be written there: {error}"),
        };
        self.files.try_creation(folder, &format!("{TEMPORARY}{}-try", std::process::id())).map_err(refused)
    }

    /// The nearest folder that exists above the target must be a folder, in which the target can be made.
    fn check_parents(&self) -> Result<(), FileError> {
        let mut folder = self.target.parent();
        while let Some(uri) = folder {
            match self.files.status(&uri) {
                Err(error) if error.is_not_found() => folder = uri.parent(),
                Err(error) => return Err(error),
                Ok(status) if status.kind == FileKind::Folder => return self.check_creation(&uri),
                Ok(_) => {
                    let reason = format!("{uri} is a file, not a folder");
                    return Err(FileError::Target { uri: self.target.to_string(), reason });
                }
            }
        }
        Ok(())
    }
}

fn misconfigured(error: ConfigurationError) -> FileError {
    FileError::InvalidInput { input: error.key.clone(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_on_a_local_disk_is_waited_for() {
        let check = |target: &str, folder: Option<&str>, expect: bool| {
            let mut configuration = Configuration::default();
            if let Some(folder) = folder {
                configuration.set(options::CLIENT_WORKING_DIRECTORY.key, folder);
            }
            let blocks = Sink::<String>::blocks(&TextFileSink::new(target), &configuration);
            assert_eq!(blocks, expect, "{target} in {folder:?}");
        };
        check("/tmp/out", None, false);
        check("file:///tmp/out", None, false);
        check("hdfs:///out", None, true);
        check("viewfs://cluster/out", None, true);
        check("out", Some("/tmp"), false);
        check("out", Some("hdfs://host/home"), true);
    }
}
