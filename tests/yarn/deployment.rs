use flink_test_hadoop::{Cluster, Variant};

use crate::programs::program;
use crate::user::{User, application_in, expected};

fn word_count(target: &str, name: &str) {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, name);
    let input = user.put_text("text", 200);
    let run =
        ["run", "-t", target, "-p", "2", &program("wordcount"), "--input", &input, "--output", &user.uri("counts")];
    let ended = user.call(&run).expect(0, &[]);
    assert_eq!(user.lines("counts"), expected(200));
    let application = application_in(&format!("{}{}", ended.stdout, ended.stderr));
    let (status, diagnostics) = user.end_of(&application);
    assert_eq!(status, "SUCCEEDED", "{diagnostics}");
    user.assert_tidy(&application);
}

#[test]
fn an_application_of_its_own_runs_main_in_the_cluster() {
    word_count("yarn-application", "application");
}

#[test]
fn an_application_for_one_job() {
    word_count("yarn-per-job", "per-job");
}

#[test]
fn the_options_of_flink_1_mean_the_same() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "old-options");
    let input = user.put_text("text", 1);
    let options = [
        "run",
        "-m",
        "yarn-cluster",
        "-ynm",
        "old",
        "-yjm",
        "128",
        "-ytm",
        "256",
        "-ys",
        "2",
        "-yqu",
        "other",
        "-p",
        "2",
    ];
    let program = program("wordcount");
    let ended = user.call(&[&options[..], &[&program, "--input", &input, "--output", &user.uri("counts")]].concat());
    let ended = ended.expect(0, &[]);
    assert_eq!(user.lines("counts"), expected(1));
    let id = application_in(&format!("{}{}", ended.stdout, ended.stderr));
    let application = cluster.yarn().application(&id);
    assert_eq!((&application["name"], &application["queue"]), (&"old".into(), &"root.other".into()), "{application}");
}

#[test]
fn a_session_runs_jobs_until_it_is_stopped() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "session");
    let session = user.json(&["session", "-d", "-s", "2", "--output", "json"]);
    let id = session["application-id"].as_str().unwrap().to_owned();
    let input = user.put_text("text", 20);
    // The session is remembered: `run` needs no target.
    for output in ["first", "second"] {
        let words = ["run", "-p", "2", &program("wordcount"), "--input", &input, "--output", &user.uri(output)];
        user.call(&words).expect(0, &[]);
        assert_eq!(user.lines(output), expected(20));
    }
    let location = format!("yarn.properties-file.location={}", user.local("").display());
    let listed = user.call(&["list", "-a", "-D", &location]).expect(0, &[]);
    assert_eq!(listed.stdout.matches("FINISHED").count(), 2, "{}", listed.stdout);
    user.call(&["kill", &id]).expect(0, &[]);
    user.assert_tidy(&id);
}

#[test]
fn what_is_in_hdfs_is_not_uploaded_again() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "upload");
    let input = user.put_text("text", 1);
    let artifacts = format!("{}/.flink-yarn/artifacts", cluster.hdfs().home());
    let run = |output: &str| {
        let words =
            ["run", "-t", "yarn-application", &program("wordcount"), "--input", &input, "--output", &user.uri(output)];
        user.call(&words).expect(0, &[]);
        let folders = cluster.hdfs().list(&artifacts);
        let files = folders.iter().flat_map(|folder| cluster.hdfs().list(&format!("{artifacts}/{}", folder.name)));
        files.map(|file| (file.name, file.modification_time)).collect::<Vec<_>>()
    };
    let first = run("first");
    assert!(first.len() >= 2, "the command and the program: {first:?}");
    assert_eq!(run("second"), first);
}

#[test]
fn splits_are_read_where_their_blocks_are() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "local-reads");
    // One replica of each block: every second split is on the other host.
    let text = std::fs::read(crate::user::text()).unwrap().repeat(2000);
    let layout = flink_test_hadoop::Layout { block_size: Some(256 << 10), replication: Some(1) };
    cluster.hdfs().put_laid_out(&user.path("text"), &text, layout);
    let input = user.uri("text");
    let setting = "source.file.split-size=256 kb";
    let words = ["run", "-t", "yarn-application", "-p", "2", "-D", setting, &program("wordcount"), "--input", &input];
    user.call(&[&words[..], &["--output", &user.uri("counts")]].concat()).expect(0, &[]);
    assert_eq!(user.lines("counts"), expected(2000));
}

#[test]
fn a_failed_job_tells_its_cause_and_its_logs_are_found() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "failed");
    let none = ["run", "-t", "yarn-application", "-D", "restart-strategy.type=none"];
    let program = program("wordcount");
    let missing = user.uri("missing");
    let ended = user.call(&[&none[..], &[&program, "--input", &missing, "--output", &user.uri("counts")]].concat());
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains("missing"), "{}", ended.stderr);
    let application = application_in(&format!("{}{}", ended.stdout, ended.stderr));
    assert_eq!(user.end_of(&application).0, "FAILED");
    user.assert_tidy(&application);
    let logs = user.call(&["logs", "--application-id", &application]).expect(0, &[]);
    assert!(logs.stdout.contains("missing"), "{}", logs.stdout);
}

#[test]
fn the_binary_needs_no_new_library() {
    let symbols =
        std::process::Command::new("readelf").args(["-V", "--wide", &program("flink-yarn")]).output().unwrap();
    let text = String::from_utf8(symbols.stdout).unwrap();
    let versions = text.split("GLIBC_").skip(1).filter_map(|rest| {
        let version = rest.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
        let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
        Some((numbers.next()??, numbers.next()??))
    });
    let newest = versions.max().expect("it needs the C library");
    // Debian 12 and its contemporaries; a build for older nodes is described in CONTRIBUTING.md.
    assert!(newest <= (2, 36), "glibc {}.{} is needed", newest.0, newest.1);
}
