use flink_test_hadoop::{Cluster, Variant};
use hadoop_rpc::credentials::{Credentials, Token};
use hadoop_rpc::secret::Secret;
use serde_json::Value;

use crate::process::Running;
use crate::user::User;

/// What `doctor` finds with these words; whether it calls that a problem.
fn findings(user: &User<'_>, words: &[&str]) -> (bool, Vec<Value>) {
    let ended = user.call(&[&["doctor", "--output", "json"], words].concat());
    told(&ended.stdout, ended.code)
}

fn told(stdout: &str, code: Option<i32>) -> (bool, Vec<Value>) {
    let found: Value = serde_json::from_str(stdout.trim()).unwrap_or_else(|error| panic!("{error}: {stdout}"));
    let all = found["findings"].as_array().unwrap().clone();
    assert_eq!(code, Some(i32::from(found["problems"] != 0)), "{found:#}");
    (found["problems"] != 0, all)
}

/// The finding of a check at a grade, with a part of its text, and advice.
#[track_caller]
fn assert_found(all: &[Value], check: &str, grade: &str, part: &str, advice: &str) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let fits = |finding: &&Value| {
        finding["check"] == check
            && finding["grade"] == grade
            && text(&finding["finding"]).contains(part)
            && text(&finding["advice"]).contains(advice)
    };
    assert!(all.iter().any(|finding| fits(&finding)), "no {grade} of {check} with `{part}` and `{advice}` in {all:#?}");
}

#[test]
fn the_doctor_finds_nothing_on_a_healthy_cluster() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "healthy");
    let (problems, all) = findings(&user, &[]);
    assert!(!problems, "{all:#?}");
    for (check, part) in [
        ("configuration", "core-site.xml"),
        ("names", "127.0.0.1"),
        ("resourcemanager", "answers"),
        ("nodes", "2 with 8 GB"),
        ("queue", "default"),
        ("resources", "ApplicationMaster"),
        ("ports", "2 of 2"),
        ("hdfs", "can be written to"),
        ("clock", "differs by"),
        ("quota", "/user/"),
        ("logs", "/app-logs"),
        ("binary", "glibc"),
    ] {
        assert_found(&all, check, "good", part, "");
    }
    // For people it is one line a finding.
    let shown = user.call(&["doctor"]).expect(0, &[]).stdout;
    assert!(
        shown.lines().all(|line| line.starts_with("ok ") || line.starts_with("warning") || line.starts_with(' ')),
        "{shown}"
    );
}

#[test]
fn the_doctor_says_what_keeps_an_application_from_running() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "sick");
    let hadoop = |key: &str, value: &str| format!("flink.hadoop.{key}={value}");
    let check = |words: &[&str], check: &str, grade: &str, part: &str, advice: &str| {
        let (problems, all) = findings(&user, words);
        assert_eq!(problems, grade == "problem", "{all:#?}");
        assert_found(&all, check, grade, part, advice);
    };
    check(&["-qu", "nowhere"], "queue", "problem", "no queue `nowhere`", "default, other");
    check(&["-tm", "100g"], "resources", "problem", "100 GB", "ask for less");
    check(&["-s", "9"], "resources", "problem", "9 cores", "ask for less");
    check(&["-D", &hadoop("fs.defaultFS", "hdfs://127.0.0.1:1")], "hdfs", "problem", "127.0.0.1:1", "fs.defaultFS");
    check(&["-D", &hadoop("fs.defaultFS", "file:///")], "configuration", "problem", "not HDFS", "core-site.xml");
    let address = hadoop("yarn.resourcemanager.address", "127.0.0.1:1");
    check(&["-D", &address], "resourcemanager", "problem", "127.0.0.1:1", "yarn.resourcemanager.address");
    let name = hadoop("fs.defaultFS", "hdfs://no-such-host.invalid:8020");
    check(&["-D", &name], "names", "problem", "no-such-host.invalid", "/etc/hosts");
    let logs = hadoop("yarn.log-aggregation-enable", "false");
    check(&["-D", &logs], "logs", "warning", "does not collect logs", "yarn.log-aggregation-enable");
    // What is asked for, and what YARN makes of it.
    let step = hadoop("yarn.scheduler.minimum-allocation-mb", "1000");
    check(&["-jm", "512", "-D", &step], "sizes", "good", "1000 MB and 1 core (asked for 512 MB)", "");
}

#[test]
fn the_doctor_looks_at_rights_and_room_in_hdfs() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "rights");
    let administrator = cluster.hdfs_as("hdfs");
    let closed = user.path("closed");
    cluster.hdfs().create_folder(&closed, "755");
    administrator.set_owner(&closed, "hdfs", "supergroup");
    let at = |path: &str| format!("yarn.staging-directory={}", cluster.hdfs().uri(path));
    let (_, all) = findings(&user, &["-D", &at(&closed)]);
    assert_found(&all, "hdfs", "problem", "may not write to", "you may write there");
    let full = user.path("full");
    cluster.hdfs().create_folder(&full, "755");
    administrator.set_quota(&full, 1000, 10 << 20);
    let (_, all) = findings(&user, &["-D", &at(&full)]);
    assert_found(&all, "quota", "problem", "room for", "yarn.file-replication=1");
    administrator.set_quota(&full, 5, 1 << 40);
    let (_, all) = findings(&user, &["-D", &at(&full)]);
    assert_found(&all, "quota", "problem", "more files or folders", "quota of names");
}

/// A number as Hadoop writes it.
fn number(value: u64) -> Vec<u8> {
    let bytes: Vec<u8> = value.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
    match value {
        0..128 => vec![value.to_be_bytes()[7]],
        _ => [&[0x90 - bytes.len() as u8], &bytes[..]].concat(),
    }
}

/// What a token of HDFS says of itself: version, owner, renewer, real user, issued, end, number, key.
fn identifier(end_ms: u64) -> Vec<u8> {
    let text = |text: &str| [&number(text.len() as u64), text.as_bytes()].concat();
    [vec![0], text("alice"), text("yarn"), text(""), number(1000), number(end_ms), number(1), number(2)].concat()
}

#[test]
fn the_doctor_looks_at_tokens() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "old-tokens");
    let token = |end: u64| Token {
        identifier: identifier(end),
        password: Secret::new(*b"p"),
        kind: "HDFS_DELEGATION_TOKEN".to_owned(),
        service: "127.0.0.1:8020".to_owned(),
    };
    let now =
        u64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()).unwrap();
    for (end, grade, part) in [(now - 1000, "problem", "has ended"), (now + 3_600_000, "warning", "ends in")] {
        let mut credentials = Credentials::new();
        credentials.add_token("a", token(end));
        let file = user.local("tokens");
        std::fs::write(&file, credentials.encode().expose()).unwrap();
        let mut command = user.prepared(&["doctor", "--output", "json"]);
        let ended = Running::start(command.env("HADOOP_TOKEN_FILE_LOCATION", &file)).wait();
        let (_, all) = told(&ended.stdout, ended.code);
        assert_found(&all, "tokens", grade, part, "");
    }
}
