use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use flink_protocol::deployment::{AUTHORITY_SECRET, CONTAINER_SECRET};
use flink_test_hadoop::{Cluster, ContainerProcess, Role, RpcProtection, Variant};
use hadoop_rpc::Credentials;
use hadoop_rpc::credentials::{AMRM_TOKEN_KIND, HDFS_DELEGATION_TOKEN_KIND};

use crate::application::Application;
use crate::kerberos::keytab;
use crate::process::eventually;
use crate::programs::program;
use crate::recorder::Recorder;
use crate::rest::Rest;
use crate::secret_scanner::{Secrets, line_of_key};
use crate::user::{TROUBLED, User};

/// Values of keys that are secrets by their names.
const CANARIES: [(&str, &str); 3] = [
    ("s3.secret-key", "canary-3f81a2"),
    ("fs.azure.account.key.store", "canary-77c0de"),
    ("my.service.password", "canary-b52e90"),
];

/// A folder with secrets in its configuration.
fn configuration(user: &User<'_>) -> String {
    let folder = user.local("conf");
    std::fs::create_dir(&folder).unwrap();
    let lines: String = CANARIES.iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
    std::fs::write(folder.join("config.yaml"), lines).unwrap();
    folder.display().to_string()
}

/// An application with a job that runs, and secrets in its configuration.
struct Marked<'c> {
    user: User<'c>,
    application: String,
    job: String,
}

impl<'c> Marked<'c> {
    /// A session with a job that runs for ever.
    fn start(cluster: &'c Cluster, name: &str) -> Self {
        let user = User::new(cluster, name);
        let session = user.json(&["session", "-d", "--config-dir", &configuration(&user), "--output", "json"]);
        let application = session["application-id"].as_str().unwrap().to_owned();
        let keyed = ["--output", "json", &program("keyed_count"), "--events", "1000000000000", "--rate", "1000"];
        let job = user.json(&[&["run", "--detached"], &keyed[..]].concat());
        let marked = Self { user, application, job: job["job-id"].as_str().unwrap().to_owned() };
        eventually("a worker runs", || marked.process("--events").is_some());
        marked
    }

    fn process(&self, command: &str) -> Option<ContainerProcess> {
        self.user.containers(&self.application).into_iter().find(|process| process.command.contains(command))
    }

    /// The folder of the container that a process is in.
    #[track_caller]
    fn folder(&self, command: &str) -> PathBuf {
        let process = self.process(command).unwrap_or_else(|| panic!("no process `{command}`"));
        std::fs::read_link(format!("/proc/{}/cwd", process.pid)).unwrap()
    }

    /// What a container was given by YARN.
    #[track_caller]
    fn credentials(&self, command: &str) -> Credentials {
        Credentials::read(&self.folder(command).join("container_tokens")).unwrap()
    }

    fn end(&self) {
        self.user.call(&["kill", &self.application]).expect(0, &[]);
        self.user.assert_tidy(&self.application);
    }
}

/// What every application has that must be seen nowhere.
fn secrets(marked: &Marked<'_>, rest: &Rest) -> Secrets {
    let mut secrets = Secrets::default();
    CANARIES.iter().for_each(|(key, value)| secrets.add_text(key, value));
    secrets.add_text("the token of REST", &rest.token);
    let master = marked.credentials("appmaster");
    secrets.add_key("the authority's key", master.secret(AUTHORITY_SECRET).unwrap().expose());
    let worker = marked.credentials("taskmanager --yarn");
    let keys: Vec<_> = worker.secrets().filter(|(name, _)| name.ends_with("tls")).collect();
    assert_eq!(keys.len(), 2, "one of the TaskManager, one of its workers");
    keys.iter().for_each(|(name, key)| secrets.add_key(name, key.expose()));
    let tokens = secrets.add_tokens("the ApplicationMaster", &master);
    assert!(tokens.iter().any(|kind| kind == AMRM_TOKEN_KIND), "{tokens:?}");
    let handed = secrets.add_tokens("the TaskManager", &worker);
    if marked.user.cluster.variant().is_secure() {
        for tokens in [tokens, handed] {
            assert!(tokens.iter().any(|kind| kind == HDFS_DELEGATION_TOKEN_KIND), "{tokens:?}");
        }
    }
    secrets
}

/// What everybody can see of an application that runs: its processes and, with the token, what its JobManager answers.
fn assert_hidden_while_it_runs(marked: &Marked<'_>, secrets: &Secrets, rest: &Rest) {
    for process in marked.user.containers(&marked.application) {
        let environment = std::fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        let text = format!("{} {}", process.command, String::from_utf8_lossy(&environment));
        secrets.assert_hidden(&process.command, &text);
    }
    let job = &marked.job;
    for path in [
        "/v1/config",
        "/v1/overview",
        "/v1/jobmanager/config",
        "/v1/jobmanager/metrics",
        "/v1/jobs/overview",
        "/v1/taskmanagers",
        &format!("/v1/jobs/{job}"),
        &format!("/v1/jobs/{job}/config"),
        &format!("/v1/jobs/{job}/exceptions"),
        &format!("/v1/jobs/{job}/plan"),
    ] {
        let answer = rest.ask(&format!("{}{path}", rest.url), &["--header", &rest.authorization()]);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        secrets.assert_hidden(path, &answer.body);
    }
    let config = rest.get("/v1/jobmanager/config").to_string();
    assert!(CANARIES.iter().all(|(key, _)| config.contains(key)), "the keys are shown: {config}");
    let logs = marked.user.call(&["logs", "--application-id", &marked.application]).expect(0, &[]).stdout;
    assert!(logs.contains("registered"), "{logs}");
    secrets.assert_hidden("the running containers' logs", &logs);
}

/// What is left of an application that has ended: at YARN, in HDFS, in the daemons' logs.
fn assert_hidden_afterwards(marked: &Marked<'_>, secrets: &Secrets) {
    let (cluster, id) = (marked.user.cluster, marked.application.as_str());
    secrets.assert_hidden("the aggregated logs", &cluster.yarn().logs(id));
    secrets.assert_hidden("what YARN says", &cluster.yarn().application(id).to_string());
    let attempts = cluster.yarn().get(&format!("apps/{id}/appattempts"));
    assert!(attempts.to_string().contains("containerId"), "{attempts}");
    secrets.assert_hidden("what YARN says of the attempts", &attempts.to_string());
    for role in Role::all(cluster.variant()) {
        secrets.assert_hidden(&format!("the log of {role}"), &cluster.log(role));
    }
}

#[test]
fn no_secret_is_seen_anywhere() {
    let cluster = Cluster::shared(Variant::Plain);
    let marked = Marked::start(&cluster, "secrets");
    let rest = Rest::of(&marked.user, &marked.application);
    let secrets = secrets(&marked, &rest);
    let processes = marked.user.containers(&marked.application);
    assert!(processes.len() >= 3, "an ApplicationMaster, a TaskManager, a worker: {processes:?}");
    assert_hidden_while_it_runs(&marked, &secrets, &rest);
    marked.end();
    assert_hidden_afterwards(&marked, &secrets);
}

#[test]
fn a_program_that_fails_tells_no_secret() {
    fail_and_search(Variant::Plain);
}

#[test]
fn a_program_that_fails_tells_no_secret_with_kerberos() {
    fail_and_search(Variant::Kerberos(RpcProtection::Any));
}

/// In application mode `main` runs in the ApplicationMaster's container, and what it says last is told to YARN.
fn fail_and_search(variant: Variant) {
    let cluster = Cluster::shared(variant);
    let user = User::new(&cluster, "secrets-failing");
    let (conf, gate, name) = (configuration(&user), user.gate("failing"), user.name("secrets-failing"));
    let words = ["run", "-t", "yarn-application", "-ynm", &name, "--config-dir", &conf, "-p", "2"];
    let settings = ["-D", "restart-strategy.type=none", "-D", "yarn.application-attempts=1"];
    // With a keytab there is one secret more, and tokens that the ApplicationMaster has fetched.
    let login = variant.is_secure().then(|| keytab(&cluster));
    let login: Vec<&str> = login.iter().flatten().map(String::as_str).collect();
    // What the ResourceManager gives to the ApplicationMaster alone passes here, where it is not encrypted.
    let recorder =
        (!variant.is_secure()).then(|| Recorder::before(cluster.address(Role::ResourceManager, "scheduler")));
    let address = recorder.as_ref().map(|recorder| recorder.address.to_string());
    let scheduler = address.map(|address| format!("flink.hadoop.yarn.resourcemanager.scheduler.address={address}"));
    let scheduler: Vec<&str> = scheduler.iter().flat_map(|setting| ["-D", setting]).collect();
    let running = user.spawn(&[&words[..], &settings, &login, &scheduler, &[TROUBLED, "fail", gate.path()]].concat());
    let application = Application::named(&user, &name);
    let job = application.wait_until_runs("fail");
    let id = application.id;
    let marked = Marked { user, application: id.clone(), job };
    let rest = Rest::of(&marked.user, &id);
    let mut secrets = secrets(&marked, &rest);
    let main = marked.folder("--target remote").join("program-client");
    let keys = secrets.add_keys_below(&main);
    for kind in ["NMToken", "ContainerToken"] {
        let given = recorder.as_ref().map(|recorder| recorder.passwords(kind));
        assert!(given.as_ref().is_none_or(|passwords| !passwords.is_empty()), "no {kind} was seen");
        given.iter().flatten().for_each(|password| secrets.add_bytes(kind, password));
    }
    if variant.is_secure() {
        secrets.add_keytab(&cluster.keytab(cluster.user()));
        for command in ["appmaster", "taskmanager --yarn"] {
            let handed = Credentials::read(&marked.folder(command).join(".flink-yarn-tokens")).unwrap();
            let kinds = secrets.add_tokens(&format!("the program below {command}"), &handed);
            assert!(kinds.iter().any(|kind| kind == HDFS_DELEGATION_TOKEN_KIND), "{command}: {kinds:?}");
        }
    }
    assert!(keys > 0, "`main` is a client with a key in {}", main.display());
    assert_hidden_while_it_runs(&marked, &secrets, &rest);
    gate.open();
    let ended = running.wait();
    assert_ne!(ended.code, Some(0), "{}", ended.stdout);
    let (status, diagnostics) = marked.user.end_of(&id);
    assert_eq!(status, "FAILED", "{diagnostics}");
    for text in [&diagnostics, &ended.stderr] {
        assert!(text.contains("LOG_DIRS"), "the end of what `main` knows is told: {text}");
    }
    secrets.assert_hidden("what the client says", &format!("{}{}", ended.stdout, ended.stderr));
    assert_hidden_afterwards(&marked, &secrets);
    let logs = cluster.yarn().logs(&id);
    assert!(logs.contains("a task knows") && logs.contains("main knows"), "{logs}");
    let logs = marked.user.call(&["logs", "--application-id", &id]).expect(0, &[]).stdout;
    secrets.assert_hidden("the logs that the command shows", &logs);
    marked.user.assert_tidy(&id);
}

/// True when the file or a folder on its way, below the cluster's, lets nobody in but its owner and its group.
fn is_closed(path: &Path, above: &Path) -> bool {
    let on_the_way = path.ancestors().take_while(|folder| *folder != above);
    // What has gone since it was found lets in nobody.
    on_the_way.into_iter().any(|place| std::fs::metadata(place).map_or(true, |found| found.mode() & 0o007 == 0))
}

#[test]
fn files_with_secrets_are_closed_to_others() {
    let cluster = Cluster::shared(Variant::Plain);
    let marked = Marked::start(&cluster, "secret-files");
    let id = marked.application.as_str();
    let secrets = secrets(&marked, &Rest::of(&marked.user, id));
    let nodes = cluster.folder().join("yarn");
    // The ResourceManager keeps what it must give to a second attempt; where it does so is the cluster's business.
    let folders = ["nodemanager1", "nodemanager2"].map(|node| nodes.join(node));
    let found: Vec<_> = folders.iter().flat_map(|folder| secrets.files_below(folder)).collect();
    let tokens = found.iter().filter(|path| path.ends_with("container_tokens")).count();
    assert!(tokens >= 2, "the keys of both containers are found where they must be: {found:?}");
    let open: Vec<_> = found.iter().filter(|path| !is_closed(path, &nodes)).collect();
    assert!(open.is_empty(), "{open:?}");
    // In HDFS: the application's folder, and everything in it, is the user's alone.
    let hdfs = cluster.hdfs();
    let folder = format!("{}/.flink-yarn/{id}", hdfs.home());
    assert_eq!(hdfs.status(&folder).unwrap().permission, "700");
    assert_eq!(hdfs.status(&format!("{folder}/client.credentials")).unwrap().permission, "600");
    let somebody = cluster.hdfs_as("alice");
    let read = std::panic::AssertUnwindSafe(|| somebody.get(&format!("{folder}/client.credentials")));
    let refused = std::panic::catch_unwind(read);
    assert!(refused.is_err(), "alice reads what is not hers");
    marked.end();
}

/// Who can submit jobs runs code in these containers; who runs code there must not become the application.
#[test]
fn tokens_and_keys_of_the_application_stay_with_its_master() {
    let cluster = Cluster::shared(Variant::Plain);
    let marked = Marked::start(&cluster, "token-files");
    let master = marked.credentials("appmaster");
    let amrm = master.token_of_kind(AMRM_TOKEN_KIND).expect("YARN gives it to the ApplicationMaster");
    let authority = master.secret(AUTHORITY_SECRET).unwrap();
    let task_manager = marked.credentials("taskmanager --yarn");
    assert!(task_manager.secret(CONTAINER_SECRET).is_some(), "this is the TaskManager's file");
    assert!(task_manager.token_of_kind(AMRM_TOKEN_KIND).is_none());
    assert!(task_manager.secret(AUTHORITY_SECRET).is_none());
    // Wherever the user's program could find them: its environment and the files around it.
    let worker = marked.process("--events").unwrap();
    let environment = std::fs::read(format!("/proc/{}/environ", worker.pid)).unwrap();
    let folder = marked.folder("taskmanager --yarn");
    let mut places = vec![("the worker's environment".to_owned(), environment)];
    for entry in std::fs::read_dir(&folder).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        if entry.metadata().is_ok_and(|data| data.len() < 1 << 20) {
            places.push((entry.path().display().to_string(), std::fs::read(entry.path()).unwrap()));
        }
    }
    let contains = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    let key = line_of_key(&String::from_utf8_lossy(authority.expose()).replace("\\n", "\n"));
    for (place, bytes) in &places {
        assert!(!contains(bytes, amrm.password.expose()), "the token of the ApplicationMaster is in {place}");
        assert!(!contains(bytes, key.as_bytes()), "the authority's key is in {place}");
    }
    assert!(places.len() > 2, "{places:?}");
    marked.end();
}
