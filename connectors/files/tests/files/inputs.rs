use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use flink_files::split::{expand, is_visible};
use tempfile::{TempDir, tempdir};

use super::write;

/// A folder with one file for each path.
fn tree(paths: &[&str]) -> TempDir {
    let folder = tempdir().unwrap();
    paths.iter().for_each(|path| write(&folder.path().join(path), "x\n"));
    folder
}

/// The files of an input, relative to the folder, in order; the message of the error.
fn files(folder: &Path, input: &str) -> String {
    let root = format!("file:{}/", folder.to_str().unwrap());
    match expand(input, folder.to_str()) {
        Ok(files) => {
            let names = files.iter().map(|file| file.uri.to_string().strip_prefix(&root).unwrap().to_owned());
            names.collect::<Vec<_>>().join(" ")
        }
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn folders_and_patterns() {
    let folder = tree(&[
        "a.txt",
        "b.txt",
        "c.log",
        ".hidden",
        "_SUCCESS",
        "_logs/x.txt",
        ".git/x.txt",
        "d/e.txt",
        "d/f/g.txt",
        "d/f/h.log",
        "d/x.inprogress",
        "d/y._COPYING_",
        "d/part-0.inprogress.1",
        "d/z.tmp",
        "e/e.txt",
        "1/a",
        "2/a",
        "2/b",
    ]);
    let check = |input: &str, expected: &str| assert_eq!(files(folder.path(), input), expected, "{input}");
    check("", "error: `` is not a path or URI of a file: it is empty");
    check(".", "1/a 2/a 2/b a.txt b.txt c.log d/e.txt d/f/g.txt d/f/h.log e/e.txt");
    check("a.txt", "a.txt");
    check("./a.txt", "a.txt");
    check(".hidden", ".hidden");
    check("_logs", "_logs/x.txt");
    check("d", "d/e.txt d/f/g.txt d/f/h.log");
    check("d/x.inprogress", "d/x.inprogress");
    check("*.txt", "a.txt b.txt");
    check("?.txt", "a.txt b.txt");
    check("[b-z].*", "b.txt c.log");
    check("[!a].txt", "b.txt");
    check("{a,c}.*", "a.txt c.log");
    check("*/e.txt", "d/e.txt e/e.txt");
    check("d/*", "d/e.txt d/f/g.txt d/f/h.log");
    check("[12]", "1/a 2/a 2/b");
    check("{d/f,e}/*.txt", "d/f/g.txt e/e.txt");
    check("{d/{f,x},1}/*", "1/a d/f/g.txt d/f/h.log");
    check("**/*.txt", "a.txt b.txt d/e.txt d/f/g.txt e/e.txt");
    check("**/**/g.txt", "d/f/g.txt");
    check("d/**", "d/e.txt d/f/g.txt d/f/h.log");
    check("**/f/**/*.log", "d/f/h.log");
    check(".hid*", ".hidden");
    check("_*/x.txt", "_logs/x.txt");
    check("a.txt,b.txt", "a.txt b.txt");
    check("a.txt, {b,c}.*, e", "a.txt b.txt c.log e/e.txt");
    check("a.txt,*.txt", "a.txt b.txt");
    check(&["a.txt"; 2000].join(","), "a.txt");
}

#[test]
fn what_gives_no_file_is_an_error() {
    let folder = tree(&["a.txt", "hidden-only/.x"]);
    fs::create_dir(folder.path().join("empty")).unwrap();
    let check = |input: &str, expected: &str| {
        let found = files(folder.path(), input);
        assert!(found.starts_with("error: ") && found.contains(expected), "{input}: {found}");
    };
    check("missing", "cannot look at file:");
    check("missing", "/missing: No such file or directory (os error 2). Check the path");
    check("a.txt/x", "Not a directory");
    check("*.csv", "no file or folder matches the pattern");
    check("missing/*.csv", "no file or folder matches the pattern");
    check("a.txt,missing", "/missing");
    check("a.txt,*.csv", "`*.csv` gives no file to read");
    check("a.txt,,a.txt", "nothing before or behind a comma");
    check(&"x".repeat(300), "File name too long (os error 36). Use a shorter path");
    check("empty", "the folder holds no files");
    check("hidden-only", "the folder holds no files");
    check("[z-a]*", "is not a pattern");
    check("a[", "is not a pattern");
    check("{a,b", "is not a pattern");
    let many = "{a,b/}".repeat(20);
    check(&many, "more than 1024 paths");
}

#[test]
fn a_path_that_exists_is_taken_as_it_is_written() {
    let folder = tree(&["a[1].txt", "a1.txt", "b,c.txt", "d{e}.txt", "x*y.txt", "xzy.txt"]);
    let check = |input: &str, expected: &str| assert_eq!(files(folder.path(), input), expected, "{input}");
    check("a[1].txt", "a[1].txt");
    check("b,c.txt", "b,c.txt");
    check("d{e}.txt", "d{e}.txt");
    check("x*y.txt", "x*y.txt");
    check("x\\*?.txt", "x*y.txt");
    check("b\\,c*", "b,c.txt");
}

#[test]
fn links_are_followed_unless_they_lead_back() {
    let folder = tree(&["a/x.txt", "b/y.txt"]);
    let path = folder.path();
    symlink(path.join("b"), path.join("a/to-b")).unwrap();
    assert_eq!(files(path, "a"), "a/to-b/y.txt a/x.txt");
    symlink(path.join("a"), path.join("b/to-a")).unwrap();
    let found = files(path, "a");
    assert!(found.contains("a symbolic link leads back to"), "{found}");
    assert_eq!(files(path, "**/x.txt"), "a/x.txt");
    symlink(path.join("nowhere"), path.join("c")).unwrap();
    assert!(files(path, "c").contains("No such file"));
    assert!(files(path, ".").contains("cannot look at file:"));
}

#[test]
fn names_that_are_not_utf8_are_refused_and_pipes_too() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tree(&["a/x"]);
    fs::write(folder.path().join("a").join(std::ffi::OsStr::from_bytes(b"b\xff")), "").unwrap();
    assert!(files(folder.path(), "a").contains("is not UTF-8; rename it"));
    let listener = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    assert!(files(folder.path(), "socket").contains("it is a pipe, a socket or a device"));
    drop(listener);
    assert!(files(folder.path(), "/dev/full").contains("it is a pipe, a socket or a device"));
}

#[test]
fn hidden_and_unfinished_names() {
    let hidden = [".a", "_a", "a.inprogress", "a.inprogress.7", "a._COPYING_", "a.tmp"];
    assert!(hidden.iter().all(|name| !is_visible(name)));
    assert!(["a", "a.txt", "a_b", "inprogress", "tmp"].iter().all(|name| is_visible(name)));
}
