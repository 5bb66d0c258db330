//! URIs of files.

use std::fmt;

use super::FileError;

/// Where a file is: scheme, authority and absolute path. Shown as `file:/data/a.txt` or `hdfs://name/data/a.txt`.
///
/// As in Hadoop nothing is percent-decoded: the path is what is written. `//` and `/./` are taken as `/`; `..` is left to
/// the file system, which knows the links.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileUri {
    scheme: String,
    authority: String,
    path: String,
}

impl FileUri {
    /// Reads `file:///x`, `file:/x`, `/x`, `x` or `hdfs://host:port/x`. A path without a scheme is a local file; a
    /// relative one is taken from this process's working directory.
    ///
    /// # Errors
    /// The text is empty or malformed.
    pub fn parse(text: &str) -> Result<Self, FileError> {
        Self::parse_in(text, None)
    }

    /// As [`parse`](Self::parse), with relative paths taken from `folder`, itself a URI or an absolute path.
    ///
    /// # Errors
    /// The text is empty or malformed, or so is the folder.
    pub fn parse_in(text: &str, folder: Option<&str>) -> Result<Self, FileError> {
        let invalid = |reason: &str| FileError::InvalidUri { text: text.to_owned(), reason: reason.to_owned() };
        if text.trim().is_empty() {
            return Err(invalid("it is empty"));
        }
        if text.contains('\0') {
            return Err(invalid("it contains a NUL character"));
        }
        match split_scheme(text) {
            Some((scheme, rest)) => Self::absolute(scheme, rest).map_err(|reason| invalid(&reason)),
            None if text.starts_with('/') => Ok(Self::local(text)),
            None => Self::relative(text, folder),
        }
    }

    fn absolute(scheme: &str, rest: &str) -> Result<Self, String> {
        let scheme = scheme.to_ascii_lowercase();
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
            None => ("", rest),
        };
        if scheme == "file" && !(authority.is_empty() || authority == "localhost") {
            return Err(format!("a local file has no host; write file:///{authority}{path} for an absolute path"));
        }
        let authority = if scheme == "file" { "" } else { authority };
        Ok(Self { scheme, authority: authority.to_owned(), path: normalized(path) })
    }

    fn local(path: &str) -> Self {
        Self { scheme: "file".to_owned(), authority: String::new(), path: normalized(path) }
    }

    fn relative(text: &str, folder: Option<&str>) -> Result<Self, FileError> {
        let invalid = |reason: String| FileError::InvalidUri { text: text.to_owned(), reason };
        if let Some(folder) = folder {
            if split_scheme(folder).is_none() && !folder.starts_with('/') {
                return Err(invalid(format!("it is relative, and the folder `{folder}` that it is taken from is too")));
            }
            return Ok(Self::parse_in(folder, None)?.join(text));
        }
        let current = std::env::current_dir()
            .map_err(|error| invalid(format!("it is relative, and the working directory is not known: {error}")))?;
        let current = current.to_str().ok_or_else(|| {
            invalid("it is relative, and the working directory's name is not UTF-8; use an absolute path".to_owned())
        })?;
        Ok(Self::local(current).join(text))
    }

    /// Whether it is on a disk of this host.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.scheme == "file"
    }

    /// The scheme, in lower case: `file`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Host and port, or a name for them; empty for local files.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The path, from the root.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The last part of the path; empty for the root.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// The folder that holds it; none for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (parent, name) = self.path.rsplit_once('/')?;
        let path = if parent.is_empty() { "/" } else { parent };
        (!name.is_empty()).then(|| Self { path: path.to_owned(), ..self.clone() })
    }

    /// The URI of `path` within this folder.
    #[must_use]
    pub fn join(&self, path: &str) -> Self {
        Self { path: normalized(&format!("{}/{path}", self.path)), ..self.clone() }
    }

    /// The root of the same file system.
    #[must_use]
    pub fn root(&self) -> Self {
        Self { path: "/".to_owned(), ..self.clone() }
    }
}

impl fmt::Display for FileUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scheme)?;
        if !self.authority.is_empty() {
            write!(f, "//{}", self.authority)?;
        }
        f.write_str(&self.path)
    }
}

/// A scheme counts only with `:/` behind it, so that a file named `a:b` can be read.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let mut letters = scheme.bytes();
    let begins = letters.next().is_some_and(|b| b.is_ascii_alphabetic());
    let goes_on = letters.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    (begins && goes_on && rest.starts_with('/')).then_some((scheme, rest))
}

fn normalized(path: &str) -> String {
    let mut result = String::with_capacity(path.len() + 1);
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        result.push('/');
        result.push_str(part);
    }
    if result.is_empty() {
        result.push('/');
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_read_and_shown() {
        let check = |text: &str, expected: &str| {
            assert_eq!(FileUri::parse_in(text, Some("/home/me")).unwrap().to_string(), expected, "{text}");
        };
        check("file:///x/a b.txt", "file:/x/a b.txt");
        check("file:/x", "file:/x");
        check("FILE://localhost/x", "file:/x");
        check("/x//y/./z/", "file:/x/y/z");
        check("/", "file:/");
        check("x", "file:/home/me/x");
        check("./x/../y", "file:/home/me/x/../y");
        check("a:b.txt", "file:/home/me/a:b.txt");
        check("hdfs://nn:8020/x", "hdfs://nn:8020/x");
        check("hdfs://nn", "hdfs://nn/");
        check("hdfs:/x", "hdfs:/x");
        check("/a%20b", "file:/a%20b");
    }

    #[test]
    fn malformed_uris_are_refused_with_the_reason() {
        let check = |text: &str, expected: &str| {
            let error = FileUri::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("", "empty");
        check("a\0b", "NUL");
        check("file://data/x", "write file:///data/x");
    }

    #[test]
    fn parts_of_a_uri() {
        let uri = FileUri::parse("hdfs://nn/a/b").unwrap();
        assert_eq!((uri.scheme(), uri.authority(), uri.path(), uri.name()), ("hdfs", "nn", "/a/b", "b"));
        assert_eq!(uri.parent().unwrap().to_string(), "hdfs://nn/a");
        assert_eq!(uri.parent().unwrap().parent().unwrap().to_string(), "hdfs://nn/");
        assert_eq!(uri.root().parent(), None);
        assert_eq!(uri.root().join("c").to_string(), "hdfs://nn/c");
    }
}
