use std::time::{Duration, Instant};

use flink_files::file_system::{Existing, FileSystem, OpenOptions};
use flink_hdfs::{HdfsFileSystem, HdfsOptions};
use hadoop_rpc::Configuration;

use crate::cluster::{Cluster, read, uri, wait_for, write};

/// The message, which must come soon and have all these words.
#[track_caller]
fn check<T>(result: Result<T, impl ToString>, begun: Instant, words: &[&str]) {
    let Err(error) = result.map_err(|error| error.to_string()) else { panic!("it was allowed") };
    assert!(begun.elapsed() < Duration::from_secs(10), "after {:?}: {error}", begun.elapsed());
    for word in words {
        assert!(error.contains(word), "`{word}` in: {error}");
    }
    assert!(!error.contains("org.apache") && !error.contains("\tat "), "{error}");
}

#[test]
fn a_name_node_that_is_not_there_is_named() {
    let status = |default: &str| {
        let mut configuration = Configuration::new();
        configuration.set("fs.defaultFS", default);
        let files = HdfsFileSystem::with_configuration(HdfsOptions::default(), configuration);
        files.status(&uri("hdfs:///x"))
    };
    let begun = Instant::now();
    let words = ["the NameNode at 127.0.0.1:9 (fs.defaultFS) cannot be reached", "Connection refused"];
    check(status("hdfs://127.0.0.1:9"), begun, &words);
    let begun = Instant::now();
    check(status("hdfs://no-such-host.invalid"), begun, &["no-such-host.invalid:8020", "Check the host's name"]);
    // It takes the connection, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let begun = Instant::now();
    check(status(&format!("hdfs://{address}")), begun, &[&address, "did not answer within"]);
}

#[test]
fn somebody_elses_port_is_an_error_too() {
    let cluster = Cluster::shared();
    let mut configuration = cluster.configuration();
    let web = configuration.get("dfs.namenode.http-address").unwrap();
    configuration.set("fs.defaultFS", format!("hdfs://{web}"));
    let files = HdfsFileSystem::with_configuration(HdfsOptions::default(), configuration);
    let begun = Instant::now();
    check(files.status(&uri("hdfs:///x")), begun, &[&web]);
}

#[test]
fn a_missing_right_says_whose_and_where() {
    let cluster = Cluster::shared();
    let (root, alice) = (cluster.files(), cluster.files_as("alice"));
    let home = uri("hdfs:///user/bob");
    let begun = Instant::now();
    let words = ["the user `alice` may not write to /user/bob", "bob:staff", "rwxr-xr-x"];
    check(alice.create(&home.join("x"), Existing::Refuse).map(drop), begun, &words);
    check(alice.create_folders(&home.join("x")), begun, &words);
    let folder = cluster.folder("rights");
    write(&root, &folder.join("secret"), b"x");
    let hdfs = cluster.client(cluster.0.user());
    wait_for(hdfs.set_permission(folder.join("secret").path(), 0o600)).unwrap();
    let secret = read(&alice, &folder.join("secret"), OpenOptions::default(), 1);
    check(secret, begun, &["the user `alice` may not read", "secret", "rw-------"]);
    wait_for(hdfs.set_permission(folder.path(), 0o700)).unwrap();
    check(alice.list(&folder, &|_| true), begun, &["the user `alice` may not"]);
    check(alice.status(&folder.join("secret")), begun, &["the user `alice` may not look into"]);
    root.delete(&folder).unwrap();
}

#[test]
fn a_quota_that_is_used_up_is_explained() {
    let cluster = Cluster::shared();
    let (files, folder) = (cluster.files(), cluster.folder("quota"));
    cluster.administer(&["dfsadmin", "-setSpaceQuota", "1m", folder.path()]);
    let begun = Instant::now();
    let mut handle = files.create(&folder.join("large"), Existing::Refuse).unwrap();
    let written = handle.write_all(&vec![0; 1000]).and_then(|()| handle.finish());
    check(written, begun, &["a quota is used up", folder.path(), "setSpaceQuota"]);
    drop(handle);
    cluster.administer(&["dfsadmin", "-clrSpaceQuota", folder.path()]);
    cluster.administer(&["dfsadmin", "-setQuota", "2", folder.path()]);
    files.delete(&folder.join("large")).unwrap();
    write(&files, &folder.join("one"), b"");
    let begun = Instant::now();
    check(files.create(&folder.join("two"), Existing::Refuse).map(drop), begun, &["a quota is used up", "-setQuota"]);
    files.delete(&folder).unwrap();
}

#[test]
fn two_writers_of_one_file_are_told_apart() {
    let cluster = Cluster::shared();
    let (first, second) = (cluster.files(), cluster.files());
    let folder = cluster.folder("lease");
    let file = folder.join("file");
    let mut open = first.create(&file, Existing::Refuse).unwrap();
    open.write_all(b"first").unwrap();
    let begun = Instant::now();
    check(second.create(&file, Existing::Refuse).map(drop), begun, &["another program is writing this file"]);
    // Replacing it takes it away from the first.
    write(&second, &file, b"second");
    let begun = Instant::now();
    check(open.finish(), begun, &["somebody else", "Two jobs must not write to one place"]);
    assert_eq!(read(&second, &file, OpenOptions::default(), 10).unwrap(), b"second");
    second.delete(&folder).unwrap();
}
