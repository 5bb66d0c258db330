use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use flink_protocol::deployment::{AUTHORITY_SECRET, CONTAINER_SECRET};
use flink_test_hadoop::{Cluster, ContainerProcess, Role, Variant};
use hadoop_rpc::Credentials;
use hadoop_rpc::credentials::AMRM_TOKEN_KIND;

use crate::process::eventually;
use crate::programs::program;
use crate::rest::Rest;
use crate::user::User;

/// Values of keys that are secrets by their names.
const CANARIES: [(&str, &str); 3] = [
    ("s3.secret-key", "canary-3f81a2"),
    ("fs.azure.account.key.store", "canary-77c0de"),
    ("my.service.password", "canary-b52e90"),
];

/// A session with a job that runs for ever, and secrets in its configuration.
struct Marked<'c> {
    user: User<'c>,
    application: String,
    job: String,
}

impl<'c> Marked<'c> {
    fn start(cluster: &'c Cluster, name: &str) -> Self {
        let user = User::new(cluster, name);
        let folder = user.local("conf");
        std::fs::create_dir(&folder).unwrap();
        let lines: String = CANARIES.iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
        std::fs::write(folder.join("config.yaml"), lines).unwrap();
        let conf = folder.to_str().unwrap();
        let session = user.json(&["session", "-d", "--config-dir", conf, "--output", "json"]);
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

/// A line of the key in PEM: what would be seen of it anywhere, whatever it stands in.
fn line_of_key(text: &str) -> String {
    let mut lines = text.lines().skip_while(|line| !line.contains("PRIVATE KEY"));
    lines.nth(1).unwrap_or_else(|| panic!("no key")).to_owned()
}

/// All that must be seen nowhere, each as it is written in text.
fn secrets(marked: &Marked<'_>, rest: &Rest) -> Vec<String> {
    let mut found: Vec<String> = CANARIES.iter().map(|(_, value)| (*value).to_owned()).collect();
    found.push(rest.token.clone());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("\\n", "\n");
    let master = marked.credentials("appmaster");
    found.push(line_of_key(&text(master.secret(AUTHORITY_SECRET).unwrap().expose())));
    let worker = marked.credentials("taskmanager --yarn");
    let keys: Vec<String> = worker
        .secrets()
        .filter(|(name, _)| name.ends_with("tls"))
        .map(|(_, secret)| line_of_key(&text(secret.expose())))
        .collect();
    assert_eq!(keys.len(), 2, "one of the TaskManager, one of its workers");
    found.extend(keys);
    assert!(found.iter().all(|secret| secret.len() > 10), "{found:?}");
    found
}

#[track_caller]
fn assert_hidden(secrets: &[String], place: &str, text: &str) {
    let seen = secrets.iter().find(|secret| text.contains(secret.as_str()));
    assert!(seen.is_none(), "{} is seen in {place}:\n{text}", seen.unwrap());
    // As hexadecimal digits it is no better hidden.
    let hex = |secret: &String| secret.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let seen = secrets.iter().find(|secret| text.to_lowercase().contains(&hex(secret)));
    assert!(seen.is_none(), "{} is seen in {place} as digits", seen.unwrap());
}

#[test]
fn no_secret_is_seen_anywhere() {
    let cluster = Cluster::shared(Variant::Plain);
    let marked = Marked::start(&cluster, "secrets");
    let (user, id) = (&marked.user, marked.application.as_str());
    let rest = Rest::of(user, id);
    let secrets = secrets(&marked, &rest);
    let processes = user.containers(id);
    assert!(processes.len() >= 3, "an ApplicationMaster, a TaskManager, a worker: {processes:?}");
    for process in &processes {
        let environment = std::fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        assert_hidden(
            &secrets,
            &process.command,
            &format!("{} {}", process.command, String::from_utf8_lossy(&environment)),
        );
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
        assert_hidden(&secrets, path, &answer.body);
    }
    let config = rest.get("/v1/jobmanager/config").to_string();
    assert!(CANARIES.iter().all(|(key, _)| config.contains(key)), "the keys are shown: {config}");
    let logs = user.call(&["logs", "--application-id", id]).expect(0, &[]).stdout;
    assert!(logs.contains("registered"), "{logs}");
    assert_hidden(&secrets, "the running containers' logs", &logs);
    marked.end();
    assert_hidden(&secrets, "the aggregated logs", &cluster.yarn().logs(id));
    assert_hidden(&secrets, "what YARN says", &cluster.yarn().application(id).to_string());
    for role in [Role::ResourceManager, Role::NodeManager1, Role::NodeManager2, Role::NameNode] {
        assert_hidden(&secrets, &format!("the log of {role}"), &cluster.log(role));
    }
}

/// Files below a folder in which one of the secrets is.
fn files_with(secrets: &[String], folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, kind) = (entry.path(), entry.file_type());
        if kind.as_ref().is_ok_and(std::fs::FileType::is_dir) {
            files_with(secrets, &path, found);
        } else if kind.is_ok_and(|kind| kind.is_file()) && entry.metadata().is_ok_and(|data| data.len() < 1 << 20) {
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).into_owned();
            if secrets.iter().any(|secret| text.contains(secret.as_str())) {
                found.push(path);
            }
        }
    }
}

/// True when the file or a folder on its way, below the cluster's, lets nobody in but its owner and its group.
fn is_closed(path: &Path, above: &Path) -> bool {
    let on_the_way = path.ancestors().take_while(|folder| *folder != above);
    on_the_way.into_iter().any(|place| std::fs::metadata(place).unwrap().mode() & 0o007 == 0)
}

#[test]
fn files_with_secrets_are_closed_to_others() {
    let cluster = Cluster::shared(Variant::Plain);
    let marked = Marked::start(&cluster, "secret-files");
    let id = marked.application.as_str();
    let secrets = secrets(&marked, &Rest::of(&marked.user, id));
    let nodes = cluster.folder().join("yarn");
    let mut found = Vec::new();
    // The ResourceManager keeps what it must give to a second attempt; where it does so is the cluster's business.
    for node in ["nodemanager1", "nodemanager2"] {
        files_with(&secrets, &nodes.join(node), &mut found);
    }
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
