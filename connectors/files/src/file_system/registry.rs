//! File systems by scheme.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use super::{FileError, FileSystem, FileUri, LocalFileSystem};

type ByScheme = BTreeMap<String, Arc<dyn FileSystem>>;

/// One registry for the process, because sources and sinks are plain descriptions that a user's `main` builds before
/// anything runs. Local files are always there.
static REGISTRY: LazyLock<RwLock<ByScheme>> = LazyLock::new(|| {
    let local: Arc<dyn FileSystem> = Arc::new(LocalFileSystem);
    RwLock::new(BTreeMap::from([("file".to_owned(), local)]))
});

/// Has `file_system` serve all URIs of a scheme, in place of what served it before. Called while the program starts.
pub fn register(scheme: &str, file_system: Arc<dyn FileSystem>) {
    let mut registry = REGISTRY.write().unwrap_or_else(PoisonError::into_inner);
    registry.insert(scheme.to_ascii_lowercase(), file_system);
}

/// The file system that serves a URI.
///
/// # Errors
/// None does.
pub fn of(uri: &FileUri) -> Result<Arc<dyn FileSystem>, FileError> {
    let registry = REGISTRY.read().unwrap_or_else(PoisonError::into_inner);
    registry.get(uri.scheme()).cloned().ok_or_else(|| FileError::UnknownScheme {
        uri: uri.to_string(),
        known: registry.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_scheme_is_named_with_those_that_are_known() {
        let uri = FileUri::parse("gopher://host/x").unwrap();
        let error = of(&uri).err().unwrap().to_string();
        assert!(error.contains("gopher://host/x") && error.contains("file"), "{error}");
    }
}
