use std::fs;

use flink_api::Data;
use flink_files::file_system::{Existing, FileError, FileKind, FileSystem, LocalFileSystem, OpenOptions};
use flink_files::{FileSplit, FileUri};
use tempfile::tempdir;

const FILES: LocalFileSystem = LocalFileSystem;

fn refused<T>(result: Result<T, FileError>, expected: &str) {
    let error = result.err().unwrap().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn files_are_created_renamed_and_deleted() {
    let folder = tempdir().unwrap();
    let at = |name: &str| FileUri::parse(folder.path().to_str().unwrap()).unwrap().join(name);
    FILES.create_folders(&at("x/y")).unwrap();
    FILES.create_folders(&at("x/y")).unwrap();
    let mut handle = FILES.create(&at("x/a"), Existing::Refuse).unwrap();
    handle.write_all(b"content").unwrap();
    handle.finish().unwrap();
    refused(FILES.create(&at("x/a"), Existing::Refuse), "Delete what is there or choose another path");
    refused(FILES.create(&at("z/a"), Existing::Refuse), "cannot create file:");
    refused(FILES.create(&at("x/a/b"), Existing::Refuse), "A part of the path is a file, not a folder");
    refused(FILES.create_folders(&at("x/a")), "cannot create the folder");
    refused(FILES.create(&at("x/y"), Existing::Replace), "It is a folder, not a file");
    drop(FILES.create(&at("b"), Existing::Replace).unwrap());
    refused(FILES.rename(&at("x/a"), &at("b"), Existing::Refuse), "File exists");
    refused(FILES.rename(&at("missing"), &at("c"), Existing::Refuse), "/missing: No such file");
    FILES.rename(&at("x/a"), &at("b"), Existing::Replace).unwrap();
    assert_eq!(fs::read(at("b").path()).unwrap(), b"content");
    FILES.rename(&at("x"), &at("c"), Existing::Refuse).unwrap();
    let listed = FILES.list(&at(""), &|_| true).unwrap();
    let listed: Vec<_> = listed.iter().map(|status| (status.uri.name(), status.kind)).collect();
    assert_eq!(listed, [("b", FileKind::File), ("c", FileKind::Folder)]);
    assert!(FILES.delete(&at("c")).unwrap() && FILES.delete(&at("b")).unwrap());
    assert!(!FILES.delete(&at("b")).unwrap());
    refused(FILES.open(&at("b"), OpenOptions::default()), "Check the path for typing errors");
    refused(FILES.open(&FileUri::parse("/dev/full").unwrap(), OpenOptions::default()), "it is a pipe");
}

#[test]
fn a_link_is_deleted_and_not_what_it_leads_to() {
    let folder = tempdir().unwrap();
    let at = |name: &str| FileUri::parse(folder.path().to_str().unwrap()).unwrap().join(name);
    fs::create_dir(at("a").path()).unwrap();
    fs::write(at("a/x").path(), "x").unwrap();
    std::os::unix::fs::symlink(at("a").path(), at("b").path()).unwrap();
    assert!(FILES.delete(&at("b")).unwrap());
    assert_eq!(fs::read(at("a/x").path()).unwrap(), b"x");
}

#[test]
fn splits_travel_encoded() {
    let split = FileSplit {
        uri: "hdfs://nn/ä".into(),
        offset: 1,
        length: u64::MAX - 7,
        file_length: u64::MAX,
        modified_nanos: -3,
    };
    let mut bytes = Vec::new();
    split.encode(&mut bytes);
    assert_eq!(FileSplit::decode(&mut bytes.as_slice()).unwrap(), split);
    for length in 0..bytes.len() {
        assert!(FileSplit::decode(&mut &bytes[..length]).is_err());
    }
}
