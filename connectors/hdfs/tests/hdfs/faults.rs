use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use flink_files::file_system::{Existing, FileSystem, OpenOptions, ReadPoll};

use crate::cluster::{Cluster, bytes, read, uri, waker, write};

/// One test at a time disturbs the cluster.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> (MutexGuard<'static, ()>, Cluster) {
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    (guard, Cluster::of("hdfs-faults", "plain"))
}

/// Does something while a thread disturbs the cluster, which is whole again afterwards.
fn while_disturbed<T>(cluster: &Cluster, disturb: impl Fn(&Cluster) + Sync, work: impl FnOnce() -> T) -> T {
    std::thread::scope(|scope| {
        let disturbing = scope.spawn(|| disturb(cluster));
        let result = work();
        disturbing.join().unwrap();
        result
    })
}

#[test]
#[ignore = "disturbs a cluster of its own; minutes"]
fn a_data_node_dies_or_stalls_while_a_file_is_read() {
    let (_guard, cluster) = alone();
    let files = cluster.files();
    let folder = cluster.folder("dies-reading");
    let content = bytes(64 << 20);
    write(&files, &folder.join("f"), &content);
    // One of the two serves the reader, which has fetched some megabytes when its node goes.
    for (fault, end) in [("kill", "restart"), ("pause", "resume")] {
        for name in ["datanode1", "datanode2"] {
            let (waker, wakes) = waker();
            let mut handle = files.open(&folder.join("f"), OpenOptions::default()).unwrap();
            let (mut found, mut buffer, mut disturbed) = (Vec::new(), vec![0; 100_000], false);
            let begun = Instant::now();
            loop {
                match handle.poll_read(&mut buffer, &waker).unwrap() {
                    ReadPoll::Read(count) => found.extend_from_slice(&buffer[..count]),
                    ReadPoll::End => break,
                    ReadPoll::Pending => wakes.recv_timeout(Duration::from_secs(100)).unwrap(),
                }
                if found.len() > 8 << 20 && !std::mem::replace(&mut disturbed, true) {
                    cluster.run(&[fault, name]);
                }
            }
            eprintln!("{fault} {name}: read in {:?}", begun.elapsed());
            cluster.run(&[end, name]);
            assert!(disturbed && found == content, "{fault} {name}");
        }
    }
    files.delete(&folder).unwrap();
}

#[test]
#[ignore = "disturbs a cluster of its own; minutes"]
fn a_data_node_dies_while_a_file_is_written() {
    let (_guard, cluster) = alone();
    let files = cluster.files();
    let folder = cluster.folder("dies-writing");
    let content = bytes(48 << 20);
    for (number, name) in ["datanode1", "datanode2"].into_iter().enumerate() {
        let file = folder.join(&format!("f{number}"));
        let disturb = |cluster: &Cluster| {
            std::thread::sleep(Duration::from_millis(300));
            cluster.run(&["kill", name]);
        };
        while_disturbed(&cluster, disturb, || {
            let mut handle = files.create(&file, Existing::Refuse).unwrap();
            for piece in content.chunks(1 << 20) {
                handle.write_all(piece).unwrap();
                std::thread::sleep(Duration::from_millis(40));
            }
            handle.finish().unwrap();
        });
        cluster.run(&["restart", name]);
        assert!(read(&files, &file, OpenOptions::default(), 1 << 20).unwrap() == content, "{name}");
    }
    files.delete(&folder).unwrap();
}

#[test]
#[ignore = "disturbs a cluster of its own; minutes"]
fn the_name_node_restarts_while_files_are_read_and_written() {
    let (_guard, cluster) = alone();
    let files = cluster.files();
    let folder = cluster.folder("restart");
    let content = bytes(8 << 20);
    let disturb = |cluster: &Cluster| {
        cluster.run(&["kill", "namenode"]);
        std::thread::sleep(Duration::from_secs(3));
        cluster.run(&["restart", "namenode"]);
    };
    write(&files, &folder.join("before"), &content);
    let mut open = files.create(&folder.join("open"), Existing::Refuse).unwrap();
    open.write_all(&content[..1 << 20]).unwrap();
    let begun = Instant::now();
    while_disturbed(&cluster, disturb, || {
        std::thread::sleep(Duration::from_secs(1));
        assert!(read(&files, &folder.join("before"), OpenOptions::default(), 1 << 20).unwrap() == content);
        files.create_folders(&folder.join("new")).unwrap();
        write(&files, &folder.join("new/file"), b"x");
        files.rename(&folder.join("new/file"), &folder.join("new/renamed"), Existing::Refuse).unwrap();
        assert!(files.delete(&folder.join("new")).unwrap());
    });
    eprintln!("went on after {:?}", begun.elapsed());
    open.write_all(&content[1 << 20..]).unwrap();
    open.finish().unwrap();
    assert!(read(&files, &folder.join("open"), OpenOptions::default(), 1 << 20).unwrap() == content);
    files.delete(&folder).unwrap();
}

#[test]
#[ignore = "disturbs a cluster of its own; minutes"]
fn safe_mode_turned_on_by_hand_is_told_at_once() {
    let (_guard, cluster) = alone();
    let files = cluster.files();
    let folder = cluster.folder("safe");
    cluster.administer(&["dfsadmin", "-safemode", "enter"]);
    let begun = Instant::now();
    let error = files.create_folders(&folder.join("x")).unwrap_err().to_string();
    let took = begun.elapsed();
    cluster.administer(&["dfsadmin", "-safemode", "leave"]);
    assert!(error.contains("safe mode") && error.contains("an administrator turned it on"), "{error}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    files.delete(&folder).unwrap();
}

#[test]
#[ignore = "starts a cluster with two NameNodes; minutes"]
fn the_other_name_node_takes_over() {
    let _guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let cluster = Cluster::of("hdfs-ha", "ha");
    let files = cluster.files();
    let folder = cluster.folder("failover");
    let content = bytes(4 << 20);
    let mut open = files.create(&folder.join("open"), Existing::Refuse).unwrap();
    open.write_all(&content[..1 << 20]).unwrap();
    let disturb = |cluster: &Cluster| drop(cluster.run(&["failover", "namenode"]));
    while_disturbed(&cluster, disturb, || {
        for number in 0..40 {
            let file = folder.join(&format!("f{number}"));
            write(&files, &file, &content[..number * 1000]);
            assert!(read(&files, &file, OpenOptions::default(), 1 << 20).unwrap() == content[..number * 1000]);
        }
    });
    open.write_all(&content[1 << 20..]).unwrap();
    open.finish().unwrap();
    assert!(read(&files, &folder.join("open"), OpenOptions::default(), 1 << 20).unwrap() == content);
    assert_eq!(files.list(&uri("hdfs:///tmp"), &|name| name == folder.name()).unwrap().len(), 1);
    files.delete(&folder).unwrap();
}
