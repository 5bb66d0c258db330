/// The folder as JobManagers hand it on.
mod folder;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flink_protocol::Epoch;

use super::store::{JobStore, JobStoreError, Stored};
use folder::Folder;

/// Ending of files that are being written.
const PARTIAL: &str = ".part";

/// A store in a folder of this host, or of a file system that all hosts share.
#[derive(Debug, Clone)]
pub struct LocalJobStore {
    folder: Arc<Folder>,
}

impl LocalJobStore {
    /// Takes over the store in a folder, which is made when there is none. `now` is the epoch of the JobManager; where one of
    /// before had a later one, it is one beyond that: see [`epoch`](Self::epoch).
    ///
    /// # Errors
    /// Another JobManager uses it, or it cannot be made.
    pub fn take_over(folder: &Path, now: Epoch) -> Result<Self, JobStoreError> {
        let taken = Folder::take_over(folder, now).map_err(|error| JobStoreError {
            doing: "use",
            name: "the folder".to_owned(),
            place: folder.display().to_string(),
            cause: error.to_string(),
            is_taken_over: false,
        })?;
        Ok(Self { folder: Arc::new(taken) })
    }

    /// The epoch under which the JobManager that has the store leads.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.folder.epoch()
    }

    /// Says where the JobManager is that has the store, to one that wants it, too.
    pub fn say_who(&self, address: &str) {
        self.folder.say_who(address);
    }

    fn error(&self, doing: &'static str, name: &str, error: &io::Error) -> JobStoreError {
        let place = self.folder.jobs().display().to_string();
        let is_taken_over = self.folder.is_taken_over();
        JobStoreError { doing, name: name.to_owned(), place, cause: error.to_string(), is_taken_over }
    }

    /// Runs something that may wait for the disk on a thread of its own.
    fn off<'a, T: Send + 'static>(
        &'a self,
        doing: &'static str,
        name: &str,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Stored<'a, T> {
        let (path, name) = (self.folder.jobs().join(name), name.to_owned());
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || work(&path)).await;
            let done = done.unwrap_or_else(|error| Err(io::Error::other(error.to_string())));
            done.map_err(|error| self.error(doing, &name, &error))
        })
    }
}

impl JobStore for LocalJobStore {
    fn write<'a>(&'a self, name: &'a str, bytes: Vec<u8>) -> Stored<'a, ()> {
        self.off("write", name, move |path| publish(path, |file| file.write_all(&bytes)))
    }

    fn read<'a>(&'a self, name: &'a str, limit: u64) -> Stored<'a, Option<Vec<u8>>> {
        self.off("read", name, move |path| {
            let Some(file) = existing(File::open(path))? else { return Ok(None) };
            if file.metadata()?.len() > limit {
                return Err(io::Error::other(format!("it is longer than {limit} bytes")));
            }
            let mut bytes = Vec::new();
            file.take(limit).read_to_end(&mut bytes)?;
            Ok(Some(bytes))
        })
    }

    fn upload<'a>(&'a self, name: &'a str, from: &'a Path) -> Stored<'a, ()> {
        let from = from.to_owned();
        self.off("write", name, move |path| {
            if path.exists() {
                return Ok(());
            }
            let mut source = File::open(from)?;
            publish(path, |file| io::copy(&mut source, file).map(drop))
        })
    }

    fn download<'a>(&'a self, name: &'a str, to: &'a Path) -> Stored<'a, bool> {
        let to = to.to_owned();
        self.off("read", name, move |path| Ok(existing(fs::copy(path, to))?.is_some()))
    }

    fn list(&self) -> Stored<'_, Vec<String>> {
        self.off("list", "", |path| {
            let names = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
            let names = names.collect::<io::Result<Vec<String>>>()?;
            Ok(names.into_iter().filter(|name| !name.ends_with(PARTIAL)).collect())
        })
    }

    fn remove<'a>(&'a self, name: &'a str) -> Stored<'a, ()> {
        self.off("remove", name, |path| existing(fs::remove_file(path)).map(drop))
    }
}

fn existing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file under another name, makes it durable, and gives it its name.
fn publish(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(PARTIAL);
    let partial = PathBuf::from(partial);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    let written = write(&mut file).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&partial, path));
    if written.is_err() {
        let _ = fs::remove_file(&partial);
    } else if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    written
}
