use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::{Cluster, visible};
use crate::misbehaving::MISBEHAVE;

/// A small disk, unmounted at the end.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path, bytes: u64) -> Self {
        Self::try_mount(at, bytes).expect("a small disk can be mounted here")
    }

    fn try_mount(at: &Path, bytes: u64) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let size = format!("size={bytes}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output();
        mounted.is_ok_and(|done| done.status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Set for a test that runs in a namespace of its own.
const INSIDE: &str = "FLINK_YARN_TEST_INSIDE";

/// Set by whoever wants to go without these tests.
const WITHOUT: &str = "FLINK_YARN_TEST_WITHOUT_SMALL_DISKS";

/// Runs the body of a test of this file where small disks can be mounted: here, where that is allowed, or else in another
/// process of this test, in a user and mount namespace of its own. It never passes without having run.
#[track_caller]
fn where_disks_can_be_mounted(test: &str, body: impl FnOnce()) {
    let place = tempfile::tempdir().unwrap();
    if Disk::try_mount(place.path(), 4096).is_some() {
        return body();
    }
    if std::env::var_os(WITHOUT).is_some() {
        println!("NOT TRIED: {test} ({WITHOUT} is set)");
        return;
    }
    assert!(std::env::var_os(INSIDE).is_none(), "no disk can be mounted in a namespace either");
    let own = std::env::current_exe().unwrap();
    let name = format!("disks::{test}");
    let inside =
        Command::new("unshare").arg("-rm").arg(own).args(["--exact", &name]).env(INSIDE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&inside.stdout);
    assert!(
        inside.status.success() && said.contains("1 passed"),
        "in a namespace (`unshare -rm`; where there is none, run as root, or set {WITHOUT}):\n{said}\n{}",
        String::from_utf8_lossy(&inside.stderr)
    );
}

/// 16 MB, twice what fits.
const LINES: &str = "160000";
const SMALL: u64 = 8 << 20;

fn program_size() -> u64 {
    std::fs::metadata(MISBEHAVE).unwrap().len()
}

#[test]
fn a_full_disk_under_the_output_publishes_nothing() {
    where_disks_can_be_mounted("a_full_disk_under_the_output_publishes_nothing", || {
        let cluster = Cluster::start(2, 1, &[]);
        let disk = Disk::mount(&cluster.path().join("small"), SMALL);
        let output = disk.0.join("out").display().to_string();
        for options in [&["-t", "local", "-p", "2"][..], &["-p", "2"]] {
            let ended = cluster.misbehave(options, &["lines", &output, LINES]).expect(1, &["o space left"]);
            assert!(ended.stderr.contains("small/out"), "{}", ended.stderr);
            assert!(visible(&output).is_empty(), "half a result was published");
            let used = Command::new("du").args(["-sk", &output]).output().unwrap();
            let used = String::from_utf8(used.stdout).unwrap();
            let kilobytes: u64 = used.split_whitespace().next().map_or(0, |number| number.parse().unwrap());
            assert!(kilobytes < 64, "hidden parts are left: {kilobytes} KB");
        }
        cluster.misbehave(&["-p", "2"], &["lines", &output, "1000"]).expect(0, &[]);
        assert_eq!(visible(&output).len(), 2);
    });
}

#[test]
fn a_full_disk_under_a_blocking_shuffle_says_which_setting() {
    where_disks_can_be_mounted("a_full_disk_under_a_blocking_shuffle_says_which_setting", || {
        let folder = tempfile::tempdir().unwrap();
        let small = folder.path().join("small");
        // Room for the program itself, which JobManager and TaskManager keep there, too.
        let _disk = Disk::mount(&small, 2 * program_size() + SMALL);
        let cluster = Cluster::start(1, 2, &[&format!("io.tmp.dirs={}", small.display())]);
        let blocking = ["-p", "2", "-D", "execution.batch-shuffle-mode=ALL_EXCHANGES_BLOCKING"];
        cluster.misbehave(&blocking, &["shuffle", LINES]).expect(1, &["no space left", "io.tmp.dirs"]);
        cluster.misbehave(&blocking, &["shuffle", "1000"]).expect(0, &[]);
    });
}

#[test]
fn a_disk_too_small_for_the_program_says_so() {
    where_disks_can_be_mounted("a_disk_too_small_for_the_program_says_so", || {
        let folder = tempfile::tempdir().unwrap();
        let small = folder.path().join("small");
        let _disk = Disk::mount(&small, SMALL);
        let cluster = Cluster::start(1, 1, &[&format!("io.tmp.dirs={}", small.display())]);
        let ended = cluster.misbehave(&[], &["trivial"]).expect(1, &["o space left"]);
        assert!(ended.stderr.contains("io.tmp.dirs"), "{}", ended.stderr);
    });
}
