use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flink_test_hadoop::{Cluster, Variant};

use crate::programs::program;
use crate::user::{User, expected};

/// The file that each node's containers of an application run, and its inode.
fn binaries(user: &User<'_>, application: &str) -> BTreeMap<String, (PathBuf, u64)> {
    let containers = user.containers(application);
    let of = |part: &str| containers.iter().filter(|process| process.command.contains(part)).collect::<Vec<_>>();
    let ours = [of("flink-yarn appmaster"), of("flink-yarn taskmanager")].concat();
    let binary = ours.into_iter().map(|process| {
        let path = std::fs::read_link(format!("/proc/{}/exe", process.pid)).unwrap();
        let inode = std::fs::metadata(&path).unwrap().ino();
        (process.host.clone(), (path, inode))
    });
    binary.collect()
}

/// A node copies the binary from HDFS once for a user, and not once for an application.
#[test]
fn a_node_fetches_the_binary_once() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "localised");
    let mut seen: BTreeMap<String, (PathBuf, u64)> = BTreeMap::new();
    let mut again = 0;
    // With two nodes, the third application at the latest is on one that an earlier one was on.
    for _ in 0..3 {
        let session = user.json(&["session", "-d", "--output", "json"]);
        let id = session["application-id"].as_str().unwrap();
        for (host, found) in binaries(&user, id) {
            assert!(found.0.display().to_string().contains("/filecache/"), "{}", found.0.display());
            assert!(!found.0.display().to_string().contains("/appcache/"), "{}", found.0.display());
            match seen.get(&host) {
                Some(before) => {
                    again += 1;
                    assert_eq!(*before, found, "{host} has fetched it again");
                }
                None => drop(seen.insert(host, found)),
            }
        }
        user.call(&["kill", id]).expect(0, &[]);
    }
    assert!(again > 0, "{seen:?}");
}

/// Peak resident memory of the processes of each container, megabytes, while something runs.
fn peaks(user: &User<'_>, application: &str, work: impl FnOnce()) -> BTreeMap<String, (String, u64)> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut peaks: BTreeMap<String, (String, u64)> = BTreeMap::new();
            while !done.load(Ordering::Relaxed) {
                let mut now: BTreeMap<String, (String, u64)> = BTreeMap::new();
                for process in user.containers(application) {
                    let kilobytes = resident_kilobytes(process.pid);
                    let sum = now.entry(process.container).or_default();
                    sum.1 += kilobytes;
                    if process.command.contains("flink-yarn") {
                        sum.0 = process.command;
                    }
                }
                for (container, (command, kilobytes)) in now {
                    let peak = peaks.entry(container).or_default();
                    peak.0 = command;
                    peak.1 = peak.1.max(kilobytes);
                }
                std::thread::sleep(Duration::from_millis(30));
            }
            peaks
        });
        work();
        done.store(true, Ordering::Relaxed);
        watching.join().unwrap()
    })
}

fn resident_kilobytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// In containers of 128 and 256 MB, whose memory the nodes check: every test of this crate does so, this one looks.
#[test]
fn small_containers_are_large_enough() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "memory");
    let copies = 40_000;
    let input = user.put_text("text", copies);
    let session = user.json(&["session", "-d", "-s", "1", "--output", "json"]);
    let id = session["application-id"].as_str().unwrap();
    let peaks = peaks(&user, id, || {
        let words = ["run", "-p", "2", &program("wordcount"), "--input", &input, "--output", &user.uri("counts")];
        user.call(&words).expect(0, &[]);
    });
    assert_eq!(user.lines("counts"), expected(copies as u64));
    println!("{peaks:#?}");
    assert_eq!(peaks.len(), 3, "no container was replaced: {peaks:?}");
    for (container, (command, kilobytes)) in peaks {
        let most = if command.contains("appmaster") { 60 } else { 150 };
        assert!(kilobytes < most * 1000, "{container} ({command}) had {kilobytes} kB resident, of at most {most} MB");
    }
    user.call(&["kill", id]).expect(0, &[]);
    user.assert_tidy(id);
}

/// Clients that bring the same files at the same time: what is there stays, since containers rely on its time stamp.
#[test]
fn two_clients_upload_the_same_files_at_once() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "at-once");
    let place = format!("yarn.staging-directory={}", user.uri("stage"));
    let input = user.put_text("text", 1);
    let start = |output: &str| {
        let words = ["run", "-t", "yarn-application", "-D", &place, &program("wordcount"), "--input", &input];
        user.spawn(&[&words[..], &["--output", &user.uri(output)]].concat())
    };
    let running: Vec<_> = ["one", "two", "three"].map(start).into_iter().collect();
    running.into_iter().for_each(|running| drop(running.wait().expect(0, &[])));
    for output in ["one", "two", "three"] {
        assert_eq!(user.lines(output), expected(1));
    }
    let artifacts = user.path("stage/.flink-yarn/artifacts");
    let folders = cluster.hdfs().list(&artifacts);
    assert_eq!(folders.len(), 2, "the command and the program: {folders:?}");
    for folder in folders {
        let files = cluster.hdfs().list(&format!("{artifacts}/{}", folder.name));
        assert!(files.len() == 1 && !files[0].name.starts_with('.'), "nothing half-uploaded is left: {files:?}");
    }
}
