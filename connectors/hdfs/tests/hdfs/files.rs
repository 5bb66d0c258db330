use flink_files::file_system::{Existing, FileKind, FileSystem, OpenOptions};
use flink_files::split::expand;

use crate::cluster::{Cluster, bytes, read, serve, uri, write};

#[test]
fn files_and_folders_come_and_go() {
    let cluster = Cluster::shared();
    let (files, folder) = (cluster.files(), cluster.folder("files"));
    let (a, b) = (folder.join("a"), folder.join("deep/er/b"));
    files.create_folders(&folder.join("deep/er")).unwrap();
    files.create_folders(&folder.join("deep/er")).unwrap();
    write(&files, &a, b"text");
    let status = files.status(&a).unwrap();
    assert_eq!((status.kind, status.version.length, &status.uri), (FileKind::File, 4, &a));
    assert!(status.version.modified_nanos > 0 && status.version.modified_nanos % 1_000_000 == 0);
    assert_eq!(files.status(&folder.join("deep")).unwrap().kind, FileKind::Folder);

    let names =
        |uri| files.list(uri, &|_| true).unwrap().into_iter().map(|s| s.uri.name().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&folder), ["a", "deep"]);
    assert!(names(&folder.join("deep/er")).is_empty());
    assert_eq!(files.list(&folder, &|name| name == "a").unwrap(), std::slice::from_ref(&status));

    files.rename(&a, &b, Existing::Refuse).unwrap();
    assert_eq!(files.status(&b).unwrap().version, status.version, "renaming keeps the version");
    assert!(files.status(&a).unwrap_err().is_not_found());
    assert!(files.delete(&folder.join("deep")).unwrap());
    assert!(!files.delete(&b).unwrap());
    files.delete(&folder).unwrap();
}

#[test]
fn existing_files_are_replaced_only_on_request() {
    let cluster = Cluster::shared();
    let (files, folder) = (cluster.files(), cluster.folder("existing"));
    let (a, b) = (folder.join("a"), folder.join("b"));
    write(&files, &a, b"one");
    write(&files, &b, b"two");
    let refused = files.create(&a, Existing::Refuse).err().unwrap();
    assert!(refused.is_already_there(), "{refused}");
    let refused = files.rename(&a, &b, Existing::Refuse).unwrap_err();
    assert!(refused.is_already_there() && refused.to_string().contains("/b: it exists already"), "{refused}");
    files.rename(&a, &b, Existing::Replace).unwrap();
    assert_eq!(read(&files, &b, OpenOptions::default(), 10).unwrap(), b"one");
    write(&files, &b, b"three");
    assert_eq!(read(&files, &b, OpenOptions::default(), 10).unwrap(), b"three");
    let missing = files.rename(&a, &b, Existing::Replace).unwrap_err();
    assert!(missing.is_not_found(), "{missing}");
    let missing = files.create(&folder.join("no/such"), Existing::Refuse).err().unwrap();
    assert!(missing.is_not_found(), "{missing}");
    files.delete(&folder).unwrap();
}

#[test]
fn content_is_what_was_written_from_every_offset() {
    let cluster = Cluster::shared();
    let (files, folder) = (cluster.files(), cluster.folder("content"));
    for (name, length) in [("empty", 0), ("one", 1), ("packet", 65_536), ("large", 3_000_017)] {
        let (uri, content) = (folder.join(name), bytes(length));
        write(&files, &uri, &content);
        for offset in [0, 1, length / 2, length.saturating_sub(1), length] {
            for expected in [None, Some(0), Some(1), Some(100_000), Some(u64::MAX)] {
                let options = OpenOptions { offset: offset as u64, expected, ..OpenOptions::default() };
                let found = read(&files, &uri, options, 50_000).unwrap();
                assert!(found == content[offset.min(length)..], "{name} from {offset}, {expected:?}");
            }
        }
    }
    files.delete(&folder).unwrap();
}

#[test]
fn a_folder_is_no_file_and_a_file_no_folder() {
    let cluster = Cluster::shared();
    let (files, folder) = (cluster.files(), cluster.folder("kinds"));
    write(&files, &folder.join("f"), b"x");
    let error = read(&files, &folder, OpenOptions::default(), 1).unwrap_err();
    assert!(error.contains("it is a folder"), "{error}");
    let error = files.list(&folder.join("f"), &|_| true).unwrap_err();
    assert!(error.to_string().contains("it is a file"), "{error}");
    let error = files.create_folders(&folder.join("f/g")).unwrap_err();
    assert!(error.to_string().contains("a file, not a folder"), "{error}");
    files.delete(&folder).unwrap();
}

#[test]
fn patterns_and_hidden_files_work_as_for_local_files() {
    let cluster = Cluster::shared();
    serve(&cluster);
    let (files, folder) = (cluster.files(), cluster.folder("patterns"));
    for name in [
        "day=1/a.txt",
        "day=2/b.txt",
        "day=2/b.csv",
        "day=2/_SUCCESS",
        "day=2/.hidden",
        "day=3/x._COPYING_",
        "e{1}.txt",
    ] {
        let uri = folder.join(name);
        files.create_folders(&uri.parent().unwrap()).unwrap();
        write(&files, &uri, b"1");
    }
    let check = |input: &str, expected: &[&str]| {
        let found = expand(&format!("{folder}/{input}"), None).unwrap();
        let found: Vec<&str> = found.iter().map(|status| &status.uri.path()[folder.path().len() + 1..]).collect();
        assert_eq!(found, expected, "{input}");
    };
    check("day=2", &["day=2/b.csv", "day=2/b.txt"]);
    check("day=*/*.txt", &["day=1/a.txt", "day=2/b.txt"]);
    check("day=[12]/[ab].*", &["day=1/a.txt", "day=2/b.csv", "day=2/b.txt"]);
    check("{day=1/a.txt,day=2/*.csv}", &["day=1/a.txt", "day=2/b.csv"]);
    check("**/*.csv", &["day=2/b.csv"]);
    check("e{1}.txt", &["e{1}.txt"]);
    check("day=2/_SUCCESS", &["day=2/_SUCCESS"]);
    let error = expand(&format!("{folder}/no*"), None).unwrap_err().to_string();
    assert!(error.contains("matches the pattern"), "{error}");
    let error = expand(&uri("hdfs:///no/such").to_string(), None).unwrap_err().to_string();
    assert!(error.contains("no such file"), "{error}");
    files.delete(&folder).unwrap();
}
