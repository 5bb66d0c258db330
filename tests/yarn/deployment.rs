use flink_test_hadoop::{Cluster, Variant};

use crate::application::Application;
use crate::programs::program;
use crate::user::{TROUBLED, User, application_in, expected, id_in};

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
    let (input, gate, name) = (user.put_text("text", 20), user.gate("it"), user.name("old"));
    let shipped = user.local("lib");
    std::fs::create_dir(&shipped).unwrap();
    std::fs::write(shipped.join("dictionary.txt"), "one").unwrap();
    let shipped = shipped.display().to_string();
    let of_yarn =
        ["run", "-m", "yarn-cluster", "-yd", "-ynm", &name, "-yat", "old type", "-yqu", "other", "-yt", &shipped];
    let sizes = ["-yjm", "128", "-ytm", "256", "-ys", "2", "-yD", "yarn.tags=old", "-p", "2"];
    let output = user.uri("counts");
    let ended = user.call(&[&of_yarn[..], &sizes, &[TROUBLED, "count", &input, &output, gate.path()]].concat());
    let id = application_in(&ended.expect(0, &[]).stdout);
    let application = Application::new(&user, &id);
    let job = application.wait_until_runs("count");
    let told = cluster.yarn().application(&id);
    let expected_of_yarn =
        [("name", &*name), ("queue", "root.other"), ("applicationType", "old type"), ("applicationTags", "old")];
    for (key, value) in expected_of_yarn {
        assert_eq!(told[key], value, "{key}: {told}");
    }
    // Two slots are one container's.
    let [task_manager] = &application.task_managers()[..] else { panic!("{:?}", application.task_managers()) };
    for process in [task_manager, &application.master()] {
        let folder = std::fs::read_link(format!("/proc/{}/cwd", process.pid)).unwrap();
        assert_eq!(std::fs::read_to_string(folder.join("lib/dictionary.txt")).unwrap(), "one", "{}", process.command);
    }
    let listed = user.call(&["list", "-m", "yarn-cluster", "-yid", &id]).expect(0, &[]).stdout;
    assert!(listed.contains(&job), "{listed}");
    gate.open();
    assert_eq!(user.end_of(&id).0, "SUCCEEDED");
    assert_eq!(user.lines("counts"), expected(20));
    user.assert_tidy(&id);
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
    // A folder of its own: others upload what they need at the same time.
    let staging = format!("yarn.staging-directory={}", user.uri("staging"));
    let artifacts = user.path("staging/.flink-yarn/artifacts");
    let run = |output: &str| {
        let options = ["run", "-t", "yarn-application", "-D", &staging];
        let words: [&str; 5] = [&program("wordcount"), "--input", &input, "--output", &user.uri(output)];
        user.call(&[&options[..], &words].concat()).expect(0, &[]);
        let folders = cluster.hdfs().list(&artifacts);
        let files = folders.iter().flat_map(|folder| cluster.hdfs().list(&format!("{artifacts}/{}", folder.name)));
        files.map(|file| (file.name, file.modification_time)).collect::<Vec<_>>()
    };
    let first = run("first");
    assert!(first.len() >= 2, "the command and the program: {first:?}");
    assert_eq!(run("second"), first);
}

#[test]
fn patterns_and_mounted_file_systems_are_read_and_written() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "mounted");
    for name in ["in/a.txt", "in/b.txt", "in/c.csv"] {
        user.put_text(name, 3);
    }
    cluster.hdfs().create_folder(&user.path("results"), "755");
    let link = |name: &str, folder: &str| {
        format!("flink.hadoop.fs.viewfs.mounttable.tables.link./{name}={}", user.uri(folder))
    };
    let (input, output) = (link("texts", "in"), link("out", "results"));
    let words = ["run", "-t", "yarn-application", "-D", &input, "-D", &output, &program("wordcount")];
    let paths = ["--input", "viewfs://tables/texts/*.txt", "--output", "viewfs://tables/out/counts"];
    user.call(&[&words[..], &paths].concat()).expect(0, &[]);
    assert_eq!(user.lines("results/counts"), expected(6), "two of the three files");
}

#[test]
fn a_job_is_listed_and_canceled() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "canceled");
    let session = user.json(&["session", "-d", "--output", "json"]);
    let id = session["application-id"].as_str().unwrap();
    let keyed = ["--output", "json", &program("keyed_count"), "--events", "1000000000000", "--rate", "1000"];
    let job = user.json(&[&["run", "-d"], &keyed[..]].concat());
    let job = job["job-id"].as_str().unwrap();
    let listed = |words: &[&str]| user.call(&[&["list", "-id", id], words].concat()).expect(0, &[]).stdout;
    crate::process::eventually("it runs", || {
        listed(&["-r"]).contains(&format!("{job} ")) && listed(&["-r"]).contains("RUNNING")
    });
    user.call(&["cancel", "-id", id, job]).expect(0, &[]);
    crate::process::eventually("it is canceled", || listed(&["-a"]).contains("CANCELED"));
    assert!(!listed(&["-r"]).contains(job));
    user.call(&["kill", id]).expect(0, &[]);
    user.assert_tidy(id);
}

/// The container lives on in a session, and has ended with its application otherwise.
#[test]
fn a_failed_task_shows_what_its_container_wrote() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "failed-task");
    let gate = user.gate("fail");
    gate.open();
    let session = user.json(&["session", "-d", "--output", "json"]);
    for target in ["yarn-session", "yarn-per-job", "yarn-application"] {
        let words = ["run", "-t", target, "-D", "restart-strategy.type=none", TROUBLED, "fail", gate.path()];
        let told = user.call(&words).expect(1, &["it was to fail", "in operator `Fail`"]).stderr;
        let failure = &told[told.find("failed on TaskManager").expect("where it failed")..];
        let place = id_in(failure, "container_");
        let lines = failure.find(&format!("the last lines of {place}"));
        let lines = &failure[lines.unwrap_or_else(|| panic!("{target}: no lines of {place} in:\n{told}"))..];
        assert!(target == "yarn-application" || lines.contains("the gate is open"), "{target}:\n{told}");
    }
    user.call(&["kill", session["application-id"].as_str().unwrap()]).expect(0, &[]);
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
    // The cause comes first, then what the containers wrote.
    let at =
        |part: &str| ended.stderr.find(part).unwrap_or_else(|| panic!("`{part}` is missing in:\n{}", ended.stderr));
    assert!(at("missing") < at("the last lines of container_"), "{}", ended.stderr);
    let application = application_in(&format!("{}{}", ended.stdout, ended.stderr));
    assert_eq!(user.end_of(&application).0, "FAILED");
    user.assert_tidy(&application);
    cluster.yarn().logs(&application);
    let logs = user.call(&["logs", "--application-id", &application]).expect(0, &[]);
    assert!(logs.stdout.contains("missing"), "{}", logs.stdout);
}

/// By full URIs.
#[test]
fn files_may_be_in_the_hdfs_of_another_cluster() {
    let (cluster, other) = (Cluster::shared(Variant::Plain), Cluster::shared(Variant::Strict));
    let (user, elsewhere) = (User::new(&cluster, "two-hdfs"), User::new(&other, "two-hdfs"));
    let input = elsewhere.put_text("text", 20);
    for (writer, output) in [(&user, user.uri("counts")), (&elsewhere, elsewhere.uri("counts"))] {
        let words = ["run", "-t", "yarn-application", "-p", "2", &program("wordcount"), "--input", &input];
        user.call(&[&words[..], &["--output", &output]].concat()).expect(0, &[]);
        assert_eq!(writer.lines("counts"), expected(20));
    }
}
