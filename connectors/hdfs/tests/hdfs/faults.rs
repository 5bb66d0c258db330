use std::time::{Duration, Instant};

use flink_files::file_system::{Existing, FileSystem, OpenOptions, ReadPoll};
use flink_test_hadoop::{Role, Variant};

use crate::cluster::{Cluster, bytes, read, uri, waker, write};

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
fn a_data_node_dies_or_stalls_while_a_file_is_read() {
    let cluster = Cluster::exclusive(Variant::Plain);
    let files = cluster.files();
    let folder = cluster.folder("dies-reading");
    let content = bytes(64 << 20);
    write(&files, &folder.join("f"), &content);
    // One of the two serves the reader, which has fetched some megabytes when its node goes.
    for pauses in [false, true] {
        for node in [Role::DataNode1, Role::DataNode2] {
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
                    if pauses { cluster.0.pause(node) } else { cluster.0.kill(node) }
                }
            }
            eprintln!("{node} {}: read in {:?}", if pauses { "paused" } else { "killed" }, begun.elapsed());
            cluster.0.heal();
            assert!(disturbed && found == content, "{node}");
        }
    }
    files.delete(&folder).unwrap();
}

#[test]
fn a_data_node_dies_while_a_file_is_written() {
    let cluster = Cluster::exclusive(Variant::Plain);
    let files = cluster.files();
    let folder = cluster.folder("dies-writing");
    // What is kept for writing it once more is less than the first file, and more than the second.
    for (number, node) in [Role::DataNode1, Role::DataNode2].into_iter().enumerate() {
        let content = bytes([48 << 20, 9 << 20][number]);
        let file = folder.join(&format!("f{number}"));
        let disturb = |cluster: &Cluster| {
            std::thread::sleep(Duration::from_millis(300));
            cluster.0.kill(node);
        };
        while_disturbed(&cluster, disturb, || {
            let mut handle = files.create(&file, Existing::Refuse).unwrap();
            for piece in content.chunks(content.len() / 48) {
                handle.write_all(piece).unwrap();
                std::thread::sleep(Duration::from_millis(40));
            }
            handle.finish().unwrap();
        });
        cluster.0.heal();
        assert!(read(&files, &file, OpenOptions::default(), 1 << 20).unwrap() == content, "{node}");
    }
    files.delete(&folder).unwrap();
}

#[test]
fn the_name_node_restarts_while_files_are_read_and_written() {
    let cluster = Cluster::exclusive(Variant::Plain);
    let files = cluster.files();
    let folder = cluster.folder("restart");
    let content = bytes(8 << 20);
    let disturb = |cluster: &Cluster| {
        cluster.0.kill(Role::NameNode);
        std::thread::sleep(Duration::from_secs(3));
        cluster.0.restart(Role::NameNode);
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
fn safe_mode_turned_on_by_hand_is_told_at_once() {
    let cluster = Cluster::exclusive(Variant::Plain);
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
fn the_other_name_node_takes_over() {
    let cluster = Cluster::exclusive(Variant::HighAvailability);
    let files = cluster.files();
    let folder = cluster.folder("failover");
    let content = bytes(4 << 20);
    let mut open = files.create(&folder.join("open"), Existing::Refuse).unwrap();
    open.write_all(&content[..1 << 20]).unwrap();
    let disturb = |cluster: &Cluster| _ = cluster.0.fail_over_name_node();
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
