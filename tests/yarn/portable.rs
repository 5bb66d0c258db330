use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use flink_test_hadoop::{Cluster, Variant};

use crate::elf::Needs;
use crate::programs::repository;
use crate::user::{User, application_in, expected};

/// What docs/yarn.md promises of `scripts/build-portable`.
const OLDEST_GLIBC: (u32, u32) = (2, 17);

/// The parts of glibc.
const GLIBC: &[&str] = &[
    "libc.so.6",
    "libm.so.6",
    "libdl.so.2",
    "libpthread.so.0",
    "librt.so.1",
    "libutil.so.1",
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
];

/// The path of `flink-yarn` or of an example as `scripts/build-portable` builds it: where the variable says, or built here.
fn portable(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let set = || std::env::var_os("FLINK_YARN_PORTABLE_DIR").filter(|folder| !folder.is_empty());
    FOLDER.get_or_init(|| set().map_or_else(build, PathBuf::from)).join(name)
}

fn build() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let target = own.ancestors().nth(3).expect("tests lie in `<target>/<profile>/deps`");
    let script = Path::new(repository()).join("scripts/build-portable");
    let mut build = Command::new(script);
    build.args(["--quiet", "-p", "flink-yarn", "-p", "flink-examples"]).current_dir(repository());
    assert!(build.env("CARGO_TARGET_DIR", target).status().unwrap().success(), "the programs cannot be built");
    target.join(format!("{}-unknown-linux-gnu/release", std::env::consts::ARCH))
}

#[track_caller]
fn assert_portable(what: &str, needs: &Needs) {
    let newest = needs.newest_glibc();
    println!("{what} needs glibc {}.{} and {:?}", newest.0, newest.1, needs.libraries);
    assert!(newest <= OLDEST_GLIBC, "{what} needs a newer glibc: {:?}", needs.versions);
    assert!(needs.libraries.contains("libc.so.6"), "{what} is linked statically: it could not load GSSAPI");
    let foreign: Vec<&String> = needs.libraries.iter().filter(|name| !GLIBC.contains(&name.as_str())).collect();
    assert!(foreign.is_empty(), "{what} needs {foreign:?}");
}

#[test]
fn portable_programs_need_an_old_glibc_and_nothing_else() {
    for name in ["flink-yarn", "wordcount"] {
        assert_portable(name, &Needs::of(&std::fs::read(portable(name)).unwrap()));
    }
}

#[test]
fn portable_programs_run_on_yarn() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "portable").with_command(portable("flink-yarn"));
    let input = user.put_text("text", 50);
    // A folder of its own, to see what is brought to the nodes.
    let staging = format!("yarn.staging-directory={}", user.uri("staging"));
    let word_count = portable("wordcount").display().to_string();
    let words = ["run", "-t", "yarn-application", "-D", &staging, "-p", "2", &word_count, "--input", &input];
    let ended = user.call(&[&words[..], &["--output", &user.uri("counts")]].concat()).expect(0, &[]);
    assert_eq!(user.lines("counts"), expected(50));
    let (status, diagnostics) = user.end_of(&application_in(&format!("{}{}", ended.stdout, ended.stderr)));
    assert_eq!(status, "SUCCEEDED", "{diagnostics}");
    let artifacts = user.path("staging/.flink-yarn/artifacts");
    let folders = cluster.hdfs().list(&artifacts);
    assert_eq!(folders.len(), 2, "the command and the program: {folders:?}");
    for folder in folders {
        let folder = format!("{artifacts}/{}", folder.name);
        for file in cluster.hdfs().list(&folder) {
            let needs = Needs::of(&cluster.hdfs().get(&format!("{folder}/{}", file.name)));
            assert_portable(&file.name, &needs);
            assert!(!needs.has_sections, "{} is brought with symbols", file.name);
        }
    }
}
