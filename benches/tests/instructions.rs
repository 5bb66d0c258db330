//! Holds the instruction counts of the hot paths: as many as recorded in `benches/instructions.txt`, or the change is
//! looked at and recorded: `UPDATE_INSTRUCTIONS=1 cargo test -p flink-benches --test instructions`.
//!
//! Each piece of work is done once and twice under valgrind; the difference has no start-up in it. Instructions do not
//! depend on how busy the machine is. The program is the optimised one; it is built unless `INSTRUCTIONS_PROGRAM` names it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use flink_benches::work::{self, Work};

/// By how much a count may differ from the recorded one: builds in different folders differ a little.
const TOLERANCE: f64 = 0.03;

/// The same with another compiler than the recorded one.
const TOLERANCE_OF_COMPILERS: f64 = 0.25;

const UPDATE: &str = "UPDATE_INSTRUCTIONS";

#[test]
fn instructions_are_as_recorded() {
    let program = program();
    let counted: Vec<(&Work, f64)> = work::ALL.iter().map(|work| (work, per_unit(&program, work))).collect();
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(record_file(), record(&counted)).unwrap();
        return;
    }
    let recorded = std::fs::read_to_string(record_file()).unwrap_or_default();
    let tolerance = if recorded.contains(&compiler()) { TOLERANCE } else { TOLERANCE_OF_COMPILERS };
    let figures = figures(&recorded);
    let wrong: Vec<String> = counted
        .iter()
        .filter_map(|(work, now)| judge(work, figures.get(work.name).copied(), *now, tolerance))
        .collect();
    assert!(
        wrong.is_empty(),
        "{}\nWhere that is meant, record it: {UPDATE}=1 cargo test -p flink-benches --test instructions",
        wrong.join("\n")
    );
}

fn record_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.txt")
}

/// What is wrong with a count.
fn judge(work: &Work, recorded: Option<f64>, now: f64, tolerance: f64) -> Option<String> {
    let (name, unit) = (work.name, work.unit);
    let Some(before) = recorded else {
        return Some(format!("{name}: {now:.1} instructions a {unit}, and none recorded"));
    };
    let change = now / before - 1.0;
    let direction = if change > 0.0 { "more" } else { "fewer: well done, but then hold it" };
    (change.abs() > tolerance).then(|| {
        let percent = change.abs() * 100.0;
        format!("{name}: {now:.1} instructions a {unit}, {before:.1} recorded: {percent:.1} % {direction}")
    })
}

fn record(counted: &[(&Work, f64)]) -> String {
    let mut text = format!(
        "# Instructions by unit of work, as the test `instructions` counts them. Written by:\n\
         # {UPDATE}=1 cargo test -p flink-benches --test instructions\n# {}\n",
        compiler()
    );
    for (work, now) in counted {
        writeln!(text, "{:<24} {now:>10.1}   a {}", work.name, work.unit).unwrap();
    }
    text
}

fn figures(recorded: &str) -> BTreeMap<&str, f64> {
    let lines = recorded.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.next()?.parse().ok()?))
        })
        .collect()
}

fn compiler() -> String {
    let version = Command::new("rustc").arg("--version").output().expect("rustc runs").stdout;
    let version = String::from_utf8_lossy(&version);
    let number = version.split_whitespace().nth(1).unwrap_or("unknown");
    format!("rustc {number}, {}", std::env::consts::ARCH)
}

fn per_unit(program: &Path, work: &Work) -> f64 {
    let (once, twice) = (count(program, work.name, work.units), count(program, work.name, 2 * work.units));
    #[allow(clippy::cast_precision_loss)] // far below 2^53
    let difference = twice.saturating_sub(once) as f64;
    #[allow(clippy::cast_precision_loss)]
    let units = work.units as f64;
    difference / units
}

/// Instructions of one run.
fn count(program: &Path, name: &str, units: u64) -> u64 {
    let run = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(program)
        .args([name, &units.to_string()])
        .output();
    let run = run.unwrap_or_else(|error| {
        panic!("valgrind, which counts instructions, cannot be run ({error}); install it: apt-get install valgrind")
    });
    let told = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{name} failed under valgrind:\n{told}");
    total(&told).unwrap_or_else(|| panic!("valgrind gives no count of instructions:\n{told}"))
}

/// The number in a line like `==1== I   refs:      1,234`.
fn total(told: &str) -> Option<u64> {
    let line = told.lines().find(|line| line.contains("refs:"))?;
    line.rsplit(':').next()?.trim().replace(',', "").parse().ok()
}

fn program() -> PathBuf {
    std::env::var_os("INSTRUCTIONS_PROGRAM").filter(|path| !path.is_empty()).map_or_else(build, PathBuf::from)
}

/// Beginnings of the variables that cargo sets for a test of a package.
const OF_PACKAGE: &[&str] = &["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];

/// Builds what is out of date, in the target folder of this test, which lies in `<target>/<profile>/deps`.
fn build() -> PathBuf {
    let own = std::env::current_exe().expect("a process knows its program");
    let target = own.ancestors().nth(3).expect("tests lie three folders deep");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--release", "--bin", "instructions"]);
    // The default members are named for their features: so the libraries of a default build are used as they are.
    cargo.args(["-p", "flink-benches", "-p", "flink-yarn", "-p", "flink-examples"]);
    // What cargo tells this test of its package would look like a change to build scripts (that of `ring`), and with them
    // almost everything would be built again.
    let of_package = |name: &String| OF_PACKAGE.iter().any(|prefix| name.starts_with(prefix));
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in names.filter(of_package) {
        cargo.env_remove(name);
    }
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).env("CARGO_TARGET_DIR", target);
    let built = cargo.status().expect("cargo runs");
    assert!(built.success(), "the program `instructions` cannot be built");
    target.join("release/instructions")
}

#[test]
fn counts_are_read_and_judged() {
    assert_eq!(total("==7== \n==7== I   refs:      12,345,678\n"), Some(12_345_678));
    let recorded = "# rustc\nwordcount   100.0   a word\n";
    let work = work::ALL.iter().find(|work| work.name == "wordcount").unwrap();
    let judged = |now| judge(work, figures(recorded).get("wordcount").copied(), now, TOLERANCE);
    assert_eq!(judged(102.9), None);
    assert_eq!(judged(97.1), None);
    assert!(judged(104.0).unwrap().contains("4.0 % more"));
    assert!(judged(90.0).unwrap().contains("10.0 % fewer"));
    assert!(judge(work, None, 1.0, TOLERANCE).unwrap().contains("none recorded"));
}
