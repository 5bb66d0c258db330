use std::fmt::Debug;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;

/// Something of the store does not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {doing} {name} in the store of jobs {place}: {cause}")]
pub struct JobStoreError {
    /// `read`, `write` …
    pub doing: &'static str,
    /// The file.
    pub name: String,
    /// The folder.
    pub place: String,
    /// Why.
    pub cause: String,
    /// True when a later JobManager has taken the store over: nothing counts any more that this one does.
    pub is_taken_over: bool,
}

/// What a store gives back.
pub type Stored<'a, T> = Pin<Box<dyn Future<Output = Result<T, JobStoreError>> + Send + 'a>>;

/// A folder of small files, and of programs. A file is there whole or not at all, whenever its writer dies, and is
/// durable once the writing has ended.
pub trait JobStore: Debug + Send + Sync + 'static {
    /// Writes a file, in place of the one that has the name.
    fn write<'a>(&'a self, name: &'a str, bytes: Vec<u8>) -> Stored<'a, ()>;

    /// Reads a file; `None` when there is none. One that is longer than `limit` is an error.
    fn read<'a>(&'a self, name: &'a str, limit: u64) -> Stored<'a, Option<Vec<u8>>>;

    /// Copies a local file in, unless there is one of this name.
    fn upload<'a>(&'a self, name: &'a str, from: &'a Path) -> Stored<'a, ()>;

    /// Copies a file out; false when there is none.
    fn download<'a>(&'a self, name: &'a str, to: &'a Path) -> Stored<'a, bool>;

    /// The names of all files.
    fn list(&self) -> Stored<'_, Vec<String>>;

    /// Removes a file, if it is there.
    fn remove<'a>(&'a self, name: &'a str) -> Stored<'a, ()>;
}
