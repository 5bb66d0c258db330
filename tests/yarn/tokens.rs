use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flink_test_hadoop::{Cluster, Role, Variant};

use crate::application::Application;
use crate::daemons::{Copying, put_lines};
use crate::kerberos::{SECURE, count_words, endless_job, keytab, start_session};
use crate::process::{Ended, Running, eventually, signal};
use crate::programs::program;
use crate::user::{User, application_in, expected};

/// How long a token of the variant `kerberos,tokens` is good unless it is renewed, and how long at most.
const RENEW_INTERVAL: Duration = Duration::from_secs(30);
const MAX_LIFE: Duration = Duration::from_secs(150);

/// By then YARN has replaced the keys of its own tokens twice: for ApplicationMasters, NodeManagers and containers.
const ROLLED: Duration = Duration::from_secs(70);

/// Longest time until a mistake is told.
const MAX_DELAY: Duration = Duration::from_secs(10);

/// Time has to pass: the tokens of the application's start must be out of use.
fn wait_until(began: Instant, age: Duration) {
    std::thread::sleep(age.saturating_sub(began.elapsed()));
}

/// Ends the newest TaskManager, and waits until another one has taken its place.
#[track_caller]
fn replace_one(session: &Application<'_>, job: &str) {
    let lost = session.task_managers().pop().unwrap();
    signal("KILL", lost.pid);
    session.wait_for_failure(job, &[&lost.container]);
    eventually("it runs again", || session.runs(job) && session.task_managers().len() == 2);
}

/// With a keytab; without one while the tokens of the other grow old.
#[test]
fn applications_outlive_their_tokens() {
    let cluster = Cluster::exclusive(Variant::KerberosTokens);
    let user = User::new(&cluster, "krb-outlives");
    put_lines(&user);
    let login = keytab(&cluster);
    let session = Application::session(&user, &login.each_ref().map(String::as_str));
    let began = Instant::now();
    let copying = Copying::start(&user, &session, "copied");
    let of_the_start = session.task_managers().remove(0);
    the_resource_manager_renews_tokens(&cluster);

    wait_until(began, ROLLED);
    replace_one(&session, &copying.job);
    cluster.kill(Role::ResourceManager);
    cluster.restart(Role::ResourceManager);
    replace_one(&session, &copying.job);

    // From here on all that is done is done with newer tokens: what YARN hands to the second attempt, too, has ended long ago.
    wait_until(began, MAX_LIFE + Duration::from_secs(5));
    replace_one(&session, &copying.job);
    session.kill_master();
    session.wait_for_attempt(2);
    eventually("it runs again", || session.runs(&copying.job));
    assert_eq!(session.task_managers()[0], of_the_start, "it is done by who had the tokens of the start");
    let log = user.call(&["logs", "--application-id", &session.id]).expect(0, &[]).stdout;
    assert!(log.contains("new tokens for file systems"), "{log}");

    // Who is connected already is not asked again. (A ResourceManager that wants to renew its own token just now gives it up:
    // no container is started, and no log is kept, after this.)
    let failures = session.failures(&copying.job);
    cluster.kill(Role::NameNode);
    copying.gate.wait_for_silence();
    cluster.restart(Role::NameNode);
    copying.gate.wait_for_lines(200);
    assert_eq!(session.failures(&copying.job), failures, "newer tokens were not taken");
    copying.end();
    session.end();
}

/// Without a keytab.
#[track_caller]
fn the_resource_manager_renews_tokens(cluster: &Cluster) {
    let user = User::new(cluster, "krb-renewed");
    let id = start_session(&user, &[]);
    let began = Instant::now();
    endless_job(&user);
    let application = Application::new(&user, &id);
    eventually("a TaskManager comes", || !application.task_managers().is_empty());
    let of_the_start = application.task_managers();
    wait_until(began, RENEW_INTERVAL + Duration::from_secs(5));
    count_words(&user, &["-p", "2"], 5, "counts");
    assert_eq!(application.task_managers(), of_the_start);
    application.end();
}

/// A file with a token of the ResourceManager, in one of Hadoop's two formats and written by Hadoop itself.
fn token_file(user: &User<'_>, name: &str, format: &str) -> PathBuf {
    let file = user.local(name);
    let token = user.cluster.yarn().delegation_token("yarn");
    let service = user.cluster.address(Role::ResourceManager, "client").replace("localhost", "127.0.0.1");
    let words = ["hadoop", "dtutil", "import", &token, "-alias", &service, "-format", format];
    user.cluster.command(&[&words[..], &[&file.display().to_string()]].concat());
    file
}

/// The same with a token of the NameNode.
fn full_token_file(user: &User<'_>, format: &str) -> PathBuf {
    let file = token_file(user, format, format);
    let name_node = user.cluster.hdfs().uri("/");
    let words = ["hadoop", "dtutil", "get", &name_node, "-renewer", "yarn", "-format", format];
    user.cluster.command(&[&words[..], &[&file.display().to_string()]].concat());
    file
}

/// Runs a command of somebody who has tokens in a file.
fn call_with(user: &User<'_>, file: &Path, words: &[&str]) -> Ended {
    Running::start(user.prepared(words).env("HADOOP_TOKEN_FILE_LOCATION", file)).wait()
}

/// So do schedulers of workflows start what others have written.
#[test]
fn tokens_in_a_file_do_without_a_ticket() {
    let cluster = Cluster::shared(SECURE);
    let user = User::new(&cluster, "krb-file").with_tickets(Path::new("/no/such/tickets"));
    let input = user.put_text("text", 5);
    for format in ["java", "protobuf"] {
        let file = full_token_file(&user, format);
        let output = user.uri(format);
        let program = program("wordcount");
        let words = ["run", "-t", "yarn-application", "-p", "2", &program, "--input", &input, "--output", &output];
        let ended = call_with(&user, &file, &words).expect(0, &[]);
        assert_eq!(user.lines(format), expected(5));
        user.assert_tidy(&application_in(&ended.stderr));
        let ended = call_with(&user, &file, &["session", "-d"]).expect(0, &[]);
        let id = application_in(&format!("{}{}", ended.stdout, ended.stderr));
        // It says so when its successors can find it, a moment after clients can.
        eventually("its log tells that it leads", || {
            call_with(&user, &file, &["logs", "--application-id", &id]).expect(0, &[]).stdout.contains("leading")
        });
        call_with(&user, &file, &["kill", &id]).expect(0, &[]);
        user.assert_tidy(&id);
    }
    // Without a token of the NameNode there is nothing to be had, and the reason is told.
    let file = token_file(&user, "no-name-node", "java");
    let begun = Instant::now();
    let ended = call_with(&user, &file, &["session", "-d"]);
    assert_ne!(ended.code, Some(0), "{}", ended.stdout);
    let name_node = cluster.address(Role::NameNode, "rpc");
    for part in ["token", name_node] {
        assert!(ended.stderr.contains(part), "`{part}` is missing in:\n{}", ended.stderr);
    }
    assert!(begun.elapsed() < MAX_DELAY, "told after {:?} only", begun.elapsed());
}
