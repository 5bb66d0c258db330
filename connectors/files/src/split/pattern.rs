//! One pattern, matched component by component, so that only folders that can match are listed.

use std::collections::{BTreeMap, HashSet};

use globset::{GlobBuilder, GlobMatcher};

use super::is_visible;
use crate::file_system::{FileError, FileKind, FileStatus, FileSystem, FileUri};

/// Alternatives that span components (`{a/b,c}`) are written out, up to so many.
const MAX_ALTERNATIVES: usize = 1024;

/// Whether a path has signs that patterns are made of.
pub(super) fn has_wildcards(path: &str) -> bool {
    path.contains(['*', '?', '[', '{', '\\'])
}

/// The files and folders that match a pattern, each once.
pub(super) fn matches(
    input: &str,
    pattern: &FileUri,
    file_system: &dyn FileSystem,
) -> Result<Vec<FileStatus>, FileError> {
    let mut paths = Vec::new();
    write_out(input, pattern.path().to_owned(), &mut paths)?;
    let mut found = BTreeMap::new();
    for path in paths {
        let components = components(input, &path)?;
        let mut search = Search { file_system, components: &components, found: &mut found, seen: HashSet::new() };
        search.below(&pattern.root(), 0)?;
    }
    Ok(found.into_values().collect())
}

/// One component of a pattern.
enum Component {
    /// A name.
    Name(String),
    /// Names that match; with those that are hidden when the pattern begins as they do.
    Names { matcher: GlobMatcher, hidden: bool },
    /// `**`: any number of folders.
    Folders,
}

fn components(input: &str, path: &str) -> Result<Vec<Component>, FileError> {
    let mut components = Vec::new();
    for text in path.split('/').filter(|text| !text.is_empty()) {
        match text {
            // Two in a row mean the same as one.
            "**" if matches!(components.last(), Some(Component::Folders)) => {}
            "**" => components.push(Component::Folders),
            _ if has_wildcards(text) => components.push(names(input, text)?),
            _ => components.push(Component::Name(text.to_owned())),
        }
    }
    Ok(components)
}

fn names(input: &str, text: &str) -> Result<Component, FileError> {
    let glob = GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build().map_err(|error| {
        let reason =
            format!("`{text}` is not a pattern: {}. Write \\ before signs that are meant literally", error.kind());
        FileError::InvalidInput { input: input.to_owned(), reason }
    })?;
    Ok(Component::Names { matcher: glob.compile_matcher(), hidden: text.starts_with(['.', '_']) })
}

/// Where a search is: it descends from the root, one component at a time.
struct Search<'a> {
    file_system: &'a dyn FileSystem,
    components: &'a [Component],
    found: &'a mut BTreeMap<FileUri, FileStatus>,
    /// Folders with the component that was searched below them: with `**` one is reached in several ways.
    seen: HashSet<(FileUri, usize)>,
}

impl Search<'_> {
    fn below(&mut self, folder: &FileUri, index: usize) -> Result<(), FileError> {
        let components = self.components;
        match components.get(index) {
            None => self.take_existing(folder),
            Some(Component::Name(name)) => self.below(&folder.join(name), index + 1),
            Some(Component::Names { matcher, hidden }) => {
                let wanted = |name: &str| matcher.is_match(name) && (*hidden || is_visible(name));
                self.each_in(folder, &wanted, index + 1)
            }
            Some(Component::Folders) => self.any_depth(folder, index),
        }
    }

    /// The components behind `**` match below the folder itself and below all folders in it.
    fn any_depth(&mut self, folder: &FileUri, index: usize) -> Result<(), FileError> {
        let Some(canonical) = tolerant(self.file_system.canonical(folder))? else { return Ok(()) };
        if !self.seen.insert((canonical, index)) {
            return Ok(());
        }
        if index + 1 == self.components.len() {
            return self.each_in(folder, &is_visible, index + 1);
        }
        self.below(folder, index + 1)?;
        for entry in self.list(folder, &is_visible)? {
            if entry.kind == FileKind::Folder {
                self.any_depth(&entry.uri, index)?;
            }
        }
        Ok(())
    }

    fn each_in(&mut self, folder: &FileUri, wanted: &dyn Fn(&str) -> bool, next: usize) -> Result<(), FileError> {
        for entry in self.list(folder, wanted)? {
            if next == self.components.len() {
                self.found.insert(entry.uri.clone(), entry);
            } else if entry.kind == FileKind::Folder {
                self.below(&entry.uri, next)?;
            }
        }
        Ok(())
    }

    fn take_existing(&mut self, uri: &FileUri) -> Result<(), FileError> {
        let status = tolerant(self.file_system.status(uri))?;
        self.found.extend(status.map(|status| (status.uri.clone(), status)));
        Ok(())
    }

    fn list(&self, folder: &FileUri, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<FileStatus>, FileError> {
        Ok(tolerant(self.file_system.list(folder, wanted))?.unwrap_or_default())
    }
}

/// What does not exist does not match; all else that goes wrong is an error.
fn tolerant<T>(result: Result<T, FileError>) -> Result<Option<T>, FileError> {
    match result {
        Err(error) if error.is_not_found() => Ok(None),
        result => result.map(Some),
    }
}

/// Writes out the first braces that contain a `/`, and so on, until there are none.
fn write_out(input: &str, path: String, paths: &mut Vec<String>) -> Result<(), FileError> {
    let Some((begin, end)) = braces_with_slash(&path) else {
        if paths.len() >= MAX_ALTERNATIVES {
            let reason = format!("its braces stand for more than {MAX_ALTERNATIVES} paths");
            return Err(FileError::InvalidInput { input: input.to_owned(), reason });
        }
        paths.push(path);
        return Ok(());
    };
    for alternative in alternatives(&path[begin + 1..end]) {
        write_out(input, format!("{}{alternative}{}", &path[..begin], &path[end + 1..]), paths)?;
    }
    Ok(())
}

/// Positions of an opening brace and of the one that closes it.
fn braces_with_slash(path: &str) -> Option<(usize, usize)> {
    let mut open = Vec::new();
    let mut outermost = None;
    for (at, byte, _) in unescaped(path) {
        match byte {
            b'{' => open.push(at),
            b'}' => {
                let begin = open.pop()?;
                if path[begin..at].contains('/') {
                    outermost = Some((begin, at));
                }
            }
            _ => {}
        }
        if open.is_empty() && outermost.is_some() {
            return outermost;
        }
    }
    None
}

/// The texts between the commas that are not within inner braces.
fn alternatives(inner: &str) -> Vec<&str> {
    let (mut found, mut begin) = (Vec::new(), 0);
    for (at, byte, depth) in unescaped(inner) {
        if byte == b',' && depth == 0 {
            found.push(&inner[begin..at]);
            begin = at + 1;
        }
    }
    found.push(&inner[begin..]);
    found
}

/// Position, sign and depth of braces before it, without what a backslash escapes.
fn unescaped(text: &str) -> impl Iterator<Item = (usize, u8, usize)> + '_ {
    let (mut depth, mut escaped) = (0_usize, false);
    text.bytes().enumerate().filter_map(move |(at, byte)| {
        if std::mem::take(&mut escaped) {
            return None;
        }
        let before = depth;
        match byte {
            b'\\' => escaped = true,
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        Some((at, byte, before))
    })
}
