//! From inputs to files: folders, patterns, lists.

use std::collections::BTreeMap;

use super::pattern::{self, has_wildcards};
use crate::file_system::{self, FileError, FileKind, FileStatus, FileSystem, FileUri};

/// More files than this are a mistake in the input, or need an input that is listed in parts.
const MAX_FILES: usize = 1_000_000;

/// The files of an input, each once, in order of their URIs.
///
/// An input is the path of a file, of a folder (with all that it holds at any depth), or a pattern of `*`, `?`, `[a-z]`,
/// `{a,b}` and `**`, in any component; or several of these separated by commas. A path that exists as it is written is
/// taken literally, whatever signs it contains. Within folders and patterns, files and folders whose names begin with `.`
/// or `_` are left out, and so are files that somebody is still writing (`*.inprogress`, `*._COPYING_`, `*.tmp`); a path
/// or pattern that spells such a name out reads it. Relative paths are taken from `folder`, or from the working directory.
///
/// # Errors
/// A part of the input gives no file at all, is malformed, or cannot be listed.
pub fn expand(input: &str, folder: Option<&str>) -> Result<Vec<FileStatus>, FileError> {
    let mut files = Files::default();
    if !files.take_literally(input, folder)? {
        for part in at_commas(input) {
            expand_part(input, part.trim(), folder, &mut files)?;
        }
    }
    Ok(files.found.into_values().collect())
}

/// Whether a name is neither hidden nor that of a file which is still being written.
#[must_use]
pub fn is_visible(name: &str) -> bool {
    let hidden = name.starts_with(['.', '_']);
    let unfinished = [".inprogress", "._COPYING_", ".tmp"].iter().any(|ending| name.ends_with(ending));
    !hidden && !unfinished && !name.contains(".inprogress.")
}

fn expand_part(input: &str, part: &str, folder: Option<&str>, files: &mut Files) -> Result<(), FileError> {
    if part.is_empty() {
        let reason = "there is nothing before or behind a comma".to_owned();
        return Err(FileError::InvalidInput { input: input.to_owned(), reason });
    }
    if files.take_literally(part, folder)? {
        return Ok(());
    }
    let uri = FileUri::parse_in(part, folder)?;
    if has_wildcards(uri.path()) {
        return expand_pattern(part, &uri, files);
    }
    // Says what there is not, or cannot be looked at.
    file_system::of(&uri)?.status(&uri).map(|_| ())
}

fn expand_pattern(part: &str, uri: &FileUri, files: &mut Files) -> Result<(), FileError> {
    let file_system = file_system::of(uri)?;
    let matched = pattern::matches(part, uri, &*file_system)?;
    let count = files.found.len();
    let some_matched = !matched.is_empty();
    for status in matched {
        files.take(&*file_system, status)?;
    }
    if files.found.len() == count && !some_matched {
        let reason =
            "no file or folder matches the pattern. Check it, and that the files exist on this host".to_owned();
        return Err(FileError::NothingToRead { input: part.to_owned(), reason });
    }
    Ok(())
}

/// Splits at commas outside of braces; a backslash takes the sign behind it literally.
fn at_commas(input: &str) -> Vec<&str> {
    let (mut parts, mut begin, mut depth, mut escaped) = (Vec::new(), 0, 0_u32, false);
    for (at, byte) in input.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                parts.push(&input[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&input[begin..]);
    parts
}

/// Whether the file system could not be asked, so that asking for a part of the same input would take as long, in vain.
fn is_silent(error: &FileError) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut};
    let kinds = [ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut];
    matches!(error, FileError::Remote { kind, .. } if kinds.contains(kind))
}

/// The files found so far.
#[derive(Default)]
struct Files {
    found: BTreeMap<FileUri, FileStatus>,
    /// The folders from the input down to the one that is being listed, by their canonical names.
    ancestors: Vec<FileUri>,
}

impl Files {
    /// Takes a path that exists as it is written; tells whether it does.
    fn take_literally(&mut self, path: &str, folder: Option<&str>) -> Result<bool, FileError> {
        let uri = FileUri::parse_in(path, folder)?;
        let file_system = file_system::of(&uri)?;
        match file_system.status(&uri) {
            Ok(status) => self.take(&*file_system, status).map(|()| true),
            Err(error) if is_silent(&error) => Err(error),
            // No answer: a list can be too long for a name, or have signs that names may not have.
            Err(_) => Ok(false),
        }
    }

    /// Takes a file, or all files of a folder.
    fn take(&mut self, file_system: &dyn FileSystem, status: FileStatus) -> Result<(), FileError> {
        if status.kind != FileKind::Folder {
            return self.take_file(status);
        }
        let taken = self.take_folder(file_system, &status.uri)?;
        if taken == 0 {
            let reason =
                "the folder holds no files (hidden ones, which begin with `.` or `_`, and those that are still \
                          being written are left out)"
                    .to_owned();
            return Err(FileError::NothingToRead { input: status.uri.to_string(), reason });
        }
        Ok(())
    }

    fn take_file(&mut self, status: FileStatus) -> Result<(), FileError> {
        let refuse = |reason: String| Err(FileError::InvalidInput { input: status.uri.to_string(), reason });
        if status.kind == FileKind::Special {
            return refuse(
                "it is a pipe, a socket or a device, not a file; name the files that are to be read".to_owned(),
            );
        }
        if self.found.len() >= MAX_FILES {
            return refuse(format!("there are more than {MAX_FILES} files; read them in several jobs, or pack them"));
        }
        self.found.insert(status.uri.clone(), status);
        Ok(())
    }

    /// Gives back how many files there are, counting those that had been found before.
    fn take_folder(&mut self, file_system: &dyn FileSystem, folder: &FileUri) -> Result<u64, FileError> {
        let canonical = file_system.canonical(folder)?;
        if self.ancestors.contains(&canonical) {
            let reason = format!("a symbolic link leads back to {canonical}, so that the folder contains itself");
            return Err(FileError::InvalidInput { input: folder.to_string(), reason });
        }
        self.ancestors.push(canonical);
        let mut taken = 0;
        for entry in file_system.list(folder, &is_visible)? {
            if entry.kind == FileKind::Folder {
                taken += self.take_folder(file_system, &entry.uri)?;
            } else {
                self.take_file(entry)?;
                taken += 1;
            }
        }
        self.ancestors.pop();
        Ok(taken)
    }
}
