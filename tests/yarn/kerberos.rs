use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use flink_test_hadoop::{Cluster, Role, RpcProtection, Variant};

use crate::process::{Ended, eventually};
use crate::programs::program;
use crate::user::{User, application_in, expected};

pub(crate) const SECURE: Variant = Variant::Kerberos(RpcProtection::Any);

/// Longest time until a mistake is told.
const MAX_DELAY: Duration = Duration::from_secs(10);

/// The user of the tests, as Flink's keys name a login.
pub(crate) fn keytab(cluster: &Cluster) -> [String; 4] {
    let principal = format!("security.kerberos.login.principal={}", cluster.user());
    let file = format!("security.kerberos.login.keytab={}", cluster.keytab(cluster.user()).display());
    ["-D".to_owned(), principal, "-D".to_owned(), file]
}

/// Runs WordCount and compares what it has written.
#[track_caller]
pub(crate) fn count_words(user: &User<'_>, options: &[&str], copies: usize, output: &str) -> Ended {
    let input = user.put_text(&format!("text-{output}"), copies);
    let output_uri = user.uri(output);
    let program = program("wordcount");
    let words = [&["run"], options, &[&program, "--input", &input, "--output", &output_uri]].concat();
    let ended = user.call(&words).expect(0, &[]);
    assert_eq!(user.lines(output), expected(copies as u64));
    ended
}

#[track_caller]
pub(crate) fn start_session(user: &User<'_>, options: &[&str]) -> String {
    let session = user.json(&[&["session", "-d", "-s", "4", "--output", "json"], options].concat());
    session["application-id"].as_str().unwrap().to_owned()
}

#[test]
fn a_ticket_is_enough_for_an_application() {
    let cluster = Cluster::shared(SECURE);
    let user = User::new(&cluster, "krb-application");
    let ended = count_words(&user, &["-t", "yarn-application", "-p", "2"], 50, "counts");
    let application = application_in(&format!("{}{}", ended.stdout, ended.stderr));
    let (status, diagnostics) = user.end_of(&application);
    assert_eq!(status, "SUCCEEDED", "{diagnostics}");
    user.assert_tidy(&application);
    cluster.yarn().logs(&application);
    let logs = user.call(&["logs", "--application-id", &application]).expect(0, &[]);
    assert!(logs.stdout.contains("the application ends"), "{}", logs.stdout);
}

#[test]
fn a_ticket_is_enough_for_one_job() {
    let cluster = Cluster::shared(SECURE);
    let user = User::new(&cluster, "krb-per-job");
    let ended = count_words(&user, &["-t", "yarn-per-job"], 1, "counts");
    let application = application_in(&format!("{}{}", ended.stdout, ended.stderr));
    assert_eq!(user.end_of(&application).0, "SUCCEEDED");
    user.assert_tidy(&application);
}

#[test]
fn every_command_works_with_a_ticket() {
    let cluster = Cluster::shared(SECURE);
    let user = User::new(&cluster, "krb-session");
    let id = start_session(&user, &[]);
    for output in ["first", "second"] {
        count_words(&user, &["-p", "2"], 5, output);
    }
    let job = endless_job(&user);
    let listed = user.call(&["list", "-a", "--application-id", &id]).expect(0, &[]).stdout;
    assert_eq!((listed.matches("FINISHED").count(), listed.matches(&job).count()), (2, 1), "{listed}");
    user.call(&["cancel", "--application-id", &id, &job]).expect(0, &[]);
    let log = user.call(&["logs", "--application-id", &id]).expect(0, &[]);
    assert!(log.stdout.contains("leading"), "{}", log.stdout);
    let shown = user.call(&["doctor"]).expect(0, &[]).stdout;
    assert!(shown.contains("whose ticket lasts"), "{shown}");
    assert!(user.call(&["session", "-q"]).expect(0, &[]).stdout.contains("127.0.0.2"));
    user.call(&["kill", &id]).expect(0, &[]);
    user.assert_tidy(&id);
    eventually("YARN has collected the logs", || {
        let kept = user.call(&["logs", "--application-id", &id]);
        kept.code == Some(0) && kept.stdout.contains("leading") && kept.stdout.contains("taskmanager")
    });
}

/// Starts a job that does not end, and gives its id.
#[track_caller]
pub(crate) fn endless_job(user: &User<'_>) -> String {
    let events = ["--events", "1000000000000", "--rate", "1000"];
    let program = program("keyed_count");
    let words = [&["run", "--detached", "-p", "2", &program], &events[..]].concat();
    let ended = user.call(&words).expect(0, &[]);
    ended.stdout.split_whitespace().last().unwrap().to_owned()
}

#[test]
fn a_keytab_is_enough_without_a_ticket() {
    let cluster = Cluster::shared(SECURE);
    let user = User::new(&cluster, "krb-keytab").with_tickets(Path::new("/no/such/tickets"));
    let login = keytab(&cluster);
    let login: Vec<&str> = login.iter().map(String::as_str).collect();
    let options = [&["-t", "yarn-application"], login.as_slice()].concat();
    count_words(&user, &options, 1, "counts");
    // `main` runs on this host, and looks at files in HDFS.
    let options = [&["-t", "yarn-per-job"], login.as_slice()].concat();
    count_words(&user, &options, 1, "per-job");
}

/// The same file on every node, for those who may not have it in HDFS.
#[test]
fn a_keytab_may_be_on_the_nodes() {
    let cluster = Cluster::shared(SECURE);
    let user = User::new(&cluster, "krb-local-keytab").with_tickets(Path::new("/no/such/tickets"));
    let login = keytab(&cluster);
    let there = format!("yarn.security.kerberos.localized-keytab-path={}", cluster.keytab(cluster.user()).display());
    let options = ["-D", "yarn.security.kerberos.ship-local-keytab=false", "-D", &there];
    let options: Vec<&str> = login.iter().map(String::as_str).chain(options).collect();
    let id = start_session(&user, &options);
    let staging = format!("{}/.flink-yarn/{id}", cluster.hdfs().home());
    assert!(cluster.hdfs().status(&format!("{staging}/application.json")).is_some());
    assert_eq!(cluster.hdfs().status(&format!("{staging}/krb5.keytab")), None);
    count_words(&user, &login.each_ref().map(String::as_str), 1, "counts");
    let log = user.call(&[&["logs", "--application-id", &id], &login.each_ref().map(String::as_str)[..]].concat());
    assert!(log.expect(0, &[]).stdout.contains("new tokens for file systems"), "it has logged in");
    user.call(&[&["kill", &id], &login.each_ref().map(String::as_str)[..]].concat()).expect(0, &[]);
    user.assert_tidy(&id);
}

#[test]
fn the_keytab_is_the_application_masters_alone() {
    let cluster = Cluster::shared(SECURE);
    let user = User::new(&cluster, "krb-secrets");
    let login = keytab(&cluster);
    let id = start_session(&user, &login.each_ref().map(String::as_str));
    count_words(&user, &[], 1, "counts");
    let staging = format!("{}/.flink-yarn/{id}", cluster.hdfs().home());
    assert_eq!(cluster.hdfs().status(&staging).unwrap().permission, "700");
    assert_eq!(cluster.hdfs().status(&format!("{staging}/krb5.keytab")).unwrap().permission, "600");
    let containers = user.containers(&id);
    let [master, workers] = ["appmaster", "taskmanager"].map(|role| {
        let found = containers.iter().filter(|process| process.command.contains(role));
        found.map(|process| std::fs::read_link(format!("/proc/{}/cwd", process.pid)).unwrap()).collect::<Vec<_>>()
    });
    let master = master.first().unwrap();
    assert!(master.join("krb5.keytab").exists());
    assert!(!workers.is_empty());
    for folder in &workers {
        assert!(!folder.join("krb5.keytab").exists(), "{}", folder.display());
        let given = String::from_utf8_lossy(&std::fs::read(folder.join("container_tokens")).unwrap()).into_owned();
        assert!(
            given.contains("flink-yarn.container") && !given.contains("krb5.keytab"),
            "TaskManagers know nothing of it"
        );
    }
    for folder in workers.iter().chain([master]) {
        let programs = folder.join(".flink-yarn-tokens");
        assert_eq!(mode(&programs), 0o600);
        let tokens = String::from_utf8_lossy(&std::fs::read(&programs).unwrap()).into_owned();
        assert!(tokens.contains("HDFS_DELEGATION_TOKEN"));
        for foreign in ["YARN_AM_RM_TOKEN", "flink-yarn.", "PRIVATE KEY"] {
            assert!(!tokens.contains(foreign), "{foreign} in {}", programs.display());
        }
    }
    user.call(&["kill", &id]).expect(0, &[]);
    user.assert_tidy(&id);
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[track_caller]
fn refused(user: &User<'_>, options: &[&str], told: &[&str]) {
    let begun = Instant::now();
    let program = program("wordcount");
    let words = [&["run", "-t", "yarn-application"], options, &[&program, "--input", "/in", "--output", "/out"]];
    let ended = user.call(&words.concat());
    assert_ne!(ended.code, Some(0), "{}", ended.stderr);
    for part in told {
        assert!(ended.stderr.contains(part), "`{part}` is missing in:\n{}", ended.stderr);
    }
    assert!(begun.elapsed() < MAX_DELAY, "told after {:?} only", begun.elapsed());
}

#[test]
fn a_login_that_does_not_work_is_told_soon() {
    let cluster = Cluster::shared(SECURE);
    let user = User::new(&cluster, "krb-mistakes");
    let principal = |name: &str| format!("security.kerberos.login.principal={name}");
    let file = |path: &Path| format!("security.kerberos.login.keytab={}", path.display());
    let own = cluster.keytab("alice");
    let wrong = ["-D", &principal("nobody"), "-D", &file(&own)];
    refused(&user, &wrong, &["nobody", "alice.keytab"]);
    let missing = ["-D", &principal("alice"), "-D", &file(Path::new("/no/such/keytab"))];
    refused(&user, &missing, &["/no/such/keytab"]);
    refused(&user, &["-D", &principal("alice")], &["security.kerberos.login.keytab"]);
    refused(&user, &["-D", &file(&own)], &["security.kerberos.login.principal"]);
    let other = ["-D", "flink.hadoop.yarn.resourcemanager.principal=evil/_HOST@ELSEWHERE"];
    refused(&user, &other, &["yarn.resourcemanager.principal", "evil"]);
    let other = ["-D", "flink.hadoop.dfs.namenode.kerberos.principal=evil/_HOST@ELSEWHERE"];
    refused(&user, &other, &["dfs.namenode.kerberos.principal", "evil"]);

    let user = user.with_tickets(Path::new("/no/such/tickets"));
    refused(&user, &[], &["ticket", "kinit", "security.kerberos.login.keytab"]);
    let shown = user.call(&["doctor"]);
    assert_eq!(shown.code, Some(1));
    assert!(shown.stdout.contains("neither a ticket") && shown.stdout.contains("kinit"), "{}", shown.stdout);

    let tickets = short_ticket(&user);
    let user = user.with_tickets(&tickets);
    eventually("the ticket ends", || {
        let ended = Command::new("klist").arg("-s").envs(cluster.environment()).env("KRB5CCNAME", &tickets).status();
        !ended.unwrap().success()
    });
    refused(&user, &[], &["kinit"]);
}

/// A ticket that lasts for seconds.
fn short_ticket(user: &User<'_>) -> PathBuf {
    let path = user.local("short.tickets");
    let cache = format!("FILE:{}", path.display());
    let keytab = user.cluster.keytab("alice");
    let made = Command::new("kinit")
        .args(["-l", "2s", "-c", &cache, "-k", "-t"])
        .arg(keytab)
        .arg("alice")
        .envs(user.cluster.environment())
        .status();
    assert!(made.unwrap().success());
    path
}

#[test]
fn somebody_elses_ticket_opens_nothing() {
    let cluster = Cluster::shared(SECURE);
    let user = User::new(&cluster, "krb-stranger");
    let id = start_session(&user, &["-D", "yarn.view.acls=alice"]);
    let job = endless_job(&user);
    let bob = User::new(&cluster, "krb-stranger-bob").with_tickets(&cluster.tickets("bob"));
    let program = program("keyed_count");
    let application = ["--application-id", id.as_str()];
    for words in [
        [&["list"], &application[..]].concat(),
        [&["cancel"], &application[..], &[&job]].concat(),
        [&["run", "-t", "yarn-session"], &application[..], &[&program, "--events", "1"]].concat(),
        [&["logs"], &application[..]].concat(),
        vec!["kill", &id],
    ] {
        let ended = bob.call(&words);
        assert_ne!(ended.code, Some(0), "{words:?}: {}", ended.stdout);
        assert!(!ended.stdout.contains(&job), "{words:?}: {}", ended.stdout);
        assert!(ended.stderr.contains("bob"), "{words:?} does not say who may not: {}", ended.stderr);
    }
    let staging = format!("{}/.flink-yarn/{id}", cluster.hdfs().home());
    let read = std::panic::catch_unwind(|| cluster.hdfs_as("bob").list(&staging));
    assert!(read.is_err(), "bob has seen {read:?}");

    // Through YARN's web proxy, which lets everybody pass who says so.
    let through_proxy = |name: &str| {
        let web = cluster.address(Role::ResourceManager, "web");
        let url = format!("http://{web}/proxy/{id}/v1/jobs?proxyapproved=true");
        curl(&cluster, name, &url, &[])
    };
    let (status, body) = through_proxy(cluster.user());
    assert!(status == "200" && body.contains(&job), "{status}: {body}");
    let (status, body) = through_proxy("alice");
    assert!(status == "200" && body.contains(&job), "she may see it: {status}: {body}");
    let (status, body) = through_proxy("bob");
    assert!(status == "403" && body.contains("yarn.view.acls"), "{status}: {body}");
    // Nor without it: a ticket is nothing that this API asks for.
    let direct = crate::rest::Rest::of(&user, &id).url;
    for method in ["GET", "PATCH"] {
        let (status, body) = curl(&cluster, "bob", &format!("{direct}/v1/jobs/{job}"), &["--request", method]);
        assert!(["302", "401", "403"].contains(&status.as_str()) && !body.contains(&job), "{status}: {body}");
    }

    let listed = user.call(&[&["list"], &application[..]].concat()).expect(0, &[]).stdout;
    assert!(listed.contains(&job), "it still runs: {listed}");
    user.call(&["kill", &id]).expect(0, &[]);
}

/// Status and body of a request with somebody's ticket; redirects are followed within YARN.
fn curl(cluster: &Cluster, user: &str, url: &str, options: &[&str]) -> (String, String) {
    let output = Command::new("curl")
        .args(["--silent", "--negotiate", "--user", ":", "--max-time", "30", "--write-out", "\n%{http_code}"])
        .args(options)
        .arg(url)
        .envs(cluster.environment())
        .env("KRB5CCNAME", format!("FILE:{}", cluster.tickets(user).display()))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.to_owned(), body.to_owned())
}

/// Neither the login with a keytab nor what a ticket needs waits for long.
#[test]
fn a_kerberos_server_that_is_silent_is_named_soon() {
    let cluster = Cluster::shared(SECURE);
    let user = User::new(&cluster, "krb-silent");
    // They take what is sent, and say nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let _socket = std::net::UdpSocket::bind(address).unwrap();
    let (_, original) = cluster.environment().find(|(name, _)| *name == "KRB5_CONFIG").unwrap();
    let original = std::fs::read_to_string(original).unwrap();
    let is_address = |line: &str| line.trim().starts_with("kdc = ") && line.contains(':');
    assert_eq!(original.lines().filter(|line| is_address(line)).count(), 1, "{original}");
    let lines =
        original.lines().map(|line| if is_address(line) { format!("  kdc = {address}") } else { line.to_owned() });
    let silent = user.local("krb5.conf");
    std::fs::write(&silent, lines.collect::<Vec<_>>().join("\n")).unwrap();

    // A ticket to get others with, and none for a service.
    let tickets = user.local("tickets");
    let kinit = Command::new("kinit")
        .args(["-k", "-t", &cluster.keytab(cluster.user()).display().to_string(), "-c"])
        .arg(&tickets)
        .arg(cluster.user())
        .envs(cluster.environment())
        .status();
    assert!(kinit.unwrap().success());
    let login = keytab(&cluster);
    let login: Vec<&str> = login.iter().map(String::as_str).collect();
    for (options, tickets) in [(&login[..], Path::new("/no/such/tickets")), (&[], &tickets)] {
        let program = program("wordcount");
        let words =
            [&["run", "-t", "yarn-application"], options, &[&program, "--input", "/in", "--output", "/out"]].concat();
        let mut command = user.prepared(&words);
        command.env("KRB5_CONFIG", &silent).env("KRB5CCNAME", format!("FILE:{}", tickets.display()));
        let begun = Instant::now();
        let ended = crate::process::Running::start(&mut command).wait();
        assert!(begun.elapsed() < MAX_DELAY, "told after {:?} only: {}", begun.elapsed(), ended.stderr);
        assert_ne!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.stderr.contains("the Kerberos server does not answer"), "{}", ended.stderr);
    }
}
