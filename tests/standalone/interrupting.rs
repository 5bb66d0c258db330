use std::process::Command;

use crate::cluster::{Cluster, lines, visible};
use crate::misbehaving::MISBEHAVE;
use crate::process::{Running, eventually, signal};

/// Runs the program in its own process, through the command.
const LOCAL: [&str; 5] = ["run", "-t", "local", "-p", "2"];

/// A result that takes minutes to come about.
const SLOW: [&str; 2] = ["200000", "1000"];

/// All that is in a folder, hidden files too.
fn listing(folder: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Files that are being written.
fn parts_of(output: &str) -> usize {
    let temporary = listing(output).into_iter().filter(|name| name.ends_with("-0"));
    temporary.flat_map(|name| listing(&format!("{output}/{name}"))).count()
}

/// Runs the slow program in its own process until it writes to `output`.
fn writing(cluster: &Cluster, by_command: bool, output: &str) -> Running {
    let before = parts_of(output);
    let program = [MISBEHAVE, "counts", output, SLOW[0], SLOW[1]];
    let running = if by_command {
        cluster.spawn(&[&LOCAL[..], &program].concat())
    } else {
        Running::start(Command::new(program[0]).args(&program[1..]).env_remove("FLINK_CONF_DIR"))
    };
    eventually("the job writes", || parts_of(output) >= before + 2);
    running
}

#[test]
fn an_interrupted_program_cancels_its_jobs_and_leaves_nothing() {
    let cluster = Cluster::none();
    for (by_command, by) in [(true, "INT"), (true, "TERM"), (false, "INT"), (false, "TERM")] {
        let output = cluster.place(&format!("{by}-{by_command}"));
        let running = writing(&cluster, by_command, &output);
        signal(by, running.pid());
        let ended = running.wait();
        assert_eq!(ended.stdout, "", "nobody is asked");
        ended.expect(130, &["Canceling job counts (", "was canceled"]);
        assert!(listing(&output).is_empty(), "{by}: {:?}", listing(&output));
    }
}

#[test]
fn a_second_signal_leaves_at_once() {
    let cluster = Cluster::none();
    let running = cluster.spawn(&[&LOCAL[..], &[MISBEHAVE, "nap", "600000"]].concat());
    eventually("the job runs", || running.said().contains("is RUNNING"));
    signal("INT", running.pid());
    eventually("it is being canceled", || running.said().contains("Canceling job nap ("));
    signal("INT", running.pid());
    running.wait().expect(130, &["had not ended when its process did"]);
}

#[test]
fn what_a_killed_program_has_left_goes_with_the_next_result() {
    let cluster = Cluster::none();
    let output = cluster.place("out");
    let running = writing(&cluster, true, &output);
    // One that lives keeps what it has.
    let quick = [&LOCAL[..], &[MISBEHAVE, "counts", &output, "100", "100000"]].concat();
    let other = writing(&cluster, true, &output);
    signal("KILL", running.pid());
    drop(running);
    let left = listing(&output).len();
    assert!(left >= 4, "two jobs have a folder and a lock each: {:?}", listing(&output));
    cluster.call(&quick).expect(0, &["finished in"]);
    assert_eq!(listing(&output).len() - visible(&output).len(), left - 2, "{:?}", listing(&output));
    signal("INT", other.pid());
    other.wait().expect(130, &["was canceled"]);
    assert_eq!(listing(&output).len(), visible(&output).len(), "{:?}", listing(&output));
    assert_eq!(lines(&output).len(), 97);
}

#[test]
fn a_local_job_is_told_about_as_one_on_a_cluster() {
    let cluster = Cluster::none();
    let ended = cluster.call(&[&LOCAL[..], &[MISBEHAVE, "says"]].concat());
    let ended = ended.expect(0, &["Job says (", ") is RUNNING", ") finished in "]);
    assert_eq!(ended.stdout.lines().count(), 20);
    // What a program writes that was started by itself is its own affair.
    let alone = Running::start(Command::new(MISBEHAVE).arg("says").env_remove("FLINK_CONF_DIR")).wait();
    assert_eq!(alone.expect(0, &[]).stderr, "");
}

/// Pictures that replace the one before.
fn pictures(running: &Running) -> usize {
    running.shown().matches("\x1b[J").count()
}

/// Ctrl-C on a terminal asks; the job goes on after `n`, ends after `answer`.
fn asks(cluster: &Cluster, options: &[&str], answer: &str) {
    let mut running = cluster.spawn_at_terminal(&[options, &[MISBEHAVE, "endless"]].concat());
    eventually("pictures are drawn", || pictures(&running) > 2 && running.shown().contains("Job endless ("));
    eventually("records are counted", || running.shown().contains(" k out"));
    running.types("\x03");
    eventually("it asks", || running.shown().contains("Cancel job endless ("));
    let before = pictures(&running);
    running.types("n\n");
    eventually("pictures are drawn again", || pictures(&running) > before + 2);
    running.types("\x03");
    eventually("it asks again", || running.shown().matches("? [y/N] ").count() == 2);
    running.types(answer);
    let ended = running.wait();
    assert_eq!(ended.code, Some(130), "{}", ended.stdout);
    assert!(ended.stdout.contains("Canceling job endless ("), "{}", ended.stdout);
    assert!(ended.stdout.contains("was canceled"), "{}", ended.stdout);
    let widest = ended.stdout.lines().filter(|line| line.contains(" out")).map(|line| line.trim_end().chars().count());
    assert!(widest.max().unwrap() <= 80 + 12, "a line and the codes before it: {}", ended.stdout);
}

#[test]
fn a_terminal_shows_a_local_job_and_asks_before_it_is_canceled() {
    let cluster = Cluster::none();
    asks(&cluster, &LOCAL, "y\n");
    asks(&cluster, &LOCAL, "\x03");
}

#[test]
fn a_terminal_shows_a_remote_job_and_asks_before_it_is_canceled() {
    let cluster = Cluster::start(1, 2, &[]);
    asks(&cluster, &["run", "-p", "2"], "y\n");
    asks(&cluster, &["run", "-p", "2"], "\x03");
}
