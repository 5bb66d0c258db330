use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flink_files::FileUri;
use flink_files::file_system::{Existing, FileKind, FileSystem};
use flink_hdfs::{Hdfs, Upload};

use crate::cluster::{Cluster, bytes, wait_for};

#[test]
fn files_are_staged() {
    let cluster = Cluster::shared();
    let folder = cluster.folder("staging");
    wait_for(stage_files(&cluster.client("alice"), &folder));
    cluster.files().delete(&folder).unwrap();
}

async fn stage_files(hdfs: &Hdfs, folder: &FileUri) {
    assert!(hdfs.home().unwrap().path().ends_with("/user/alice"));
    let at = |name: &str| format!("{}/{name}", folder.path());

    hdfs.create_folder(&at("private/deep"), 0o700).await.unwrap();
    let status = hdfs.status(&at("private/deep")).await.unwrap();
    assert_eq!((status.kind, status.mode & 0o777, status.owner.as_str()), (FileKind::Folder, 0o700, "alice"));
    hdfs.create_folder(&at("private/deep"), 0o750).await.unwrap();
    assert_eq!(hdfs.status(&at("private/deep")).await.unwrap().mode & 0o777, 0o750);

    let written = hdfs.write(&at("private/small"), "content", 0o600).await.unwrap();
    assert_eq!((written.length, written.mode & 0o777), (7, 0o600));
    assert_eq!(hdfs.read(&at("private/small"), 7).await.unwrap(), b"content");
    let error = hdfs.read(&at("private/small"), 6).await.unwrap_err().to_string();
    assert!(error.contains("it has 7 bytes, and 6 are the most"), "{error}");
    hdfs.write(&at("private/small"), "", 0o600).await.unwrap();
    assert!(hdfs.read(&at("private/small"), 0).await.unwrap().is_empty());

    hdfs.rename(&at("private/small"), &at("private/other"), Existing::Refuse).await.unwrap();
    hdfs.set_permission(&at("private/other"), 0o640).await.unwrap();
    let listed = hdfs.list(&at("private")).await.unwrap();
    let names: Vec<(&str, u32)> = listed.iter().map(|status| (status.uri.name(), status.mode & 0o777)).collect();
    assert_eq!(names, [("deep", 0o750), ("other", 0o640)]);
    assert!(hdfs.usage(&at("private")).await.unwrap().names >= 3);
    let elsewhere = hdfs.clone().without_new_folders().write(&at("nowhere/x"), "x", 0o600).await.unwrap_err();
    assert!(elsewhere.is_not_found() && hdfs.status(&at("nowhere")).await.is_err(), "{elsewhere}");
    assert!(hdfs.delete(&at("private")).await.unwrap());
    assert!(!hdfs.delete(&at("private")).await.unwrap());
    assert!(hdfs.status(&at("private")).await.unwrap_err().is_not_found());
}

#[test]
fn uploads_tell_how_far_they_are_and_appear_when_complete() {
    let cluster = Cluster::shared();
    let folder = cluster.folder("uploads");
    wait_for(upload_files(&cluster.client("bob"), &folder));
    cluster.files().delete(&folder).unwrap();
}

async fn upload_files(hdfs: &Hdfs, folder: &FileUri) {
    let content = bytes(9_000_001);
    let local = tempfile::tempdir().unwrap();
    let file = local.path().join("program");
    std::fs::write(&file, &content).unwrap();
    let sent = Arc::new(AtomicU64::new(0));
    let told = sent.clone();
    let target = format!("{}/artifacts/abc/program", folder.path());
    let upload = Upload { replication: Some(1), mode: 0o755, existing: Existing::Refuse };
    let status = hdfs.upload(&file, &target, upload, move |bytes| told.store(bytes, Ordering::Relaxed)).await.unwrap();
    assert_eq!(sent.load(Ordering::Relaxed), content.len() as u64);
    assert_eq!((status.length, status.replication, status.mode & 0o777), (content.len() as u64, 1, 0o755));
    assert_eq!(hdfs.status(&target).await.unwrap(), status, "size and time stamp are those of a local resource");
    assert!(hdfs.read(&target, content.len()).await.unwrap() == content);
    let again = hdfs.upload(&file, &target, upload, |_| ()).await.unwrap_err();
    assert!(again.is_already_there(), "{again}");
    let missing = hdfs.upload(&local.path().join("none"), &target, Upload::default(), |_| ()).await.unwrap_err();
    assert!(missing.to_string().contains("none: "), "{missing}");
    let listed = hdfs.list(&format!("{}/artifacts/abc", folder.path())).await.unwrap();
    assert_eq!(listed.len(), 1, "nothing temporary is left: {listed:?}");
}
