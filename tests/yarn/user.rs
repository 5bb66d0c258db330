use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use flink_test_hadoop::{Cluster, ContainerProcess};
use serde_json::Value;

use crate::process::{Ended, Running};
use crate::programs::{program, repository};

/// Somebody with the command, a folder of their own on this host and one in HDFS.
pub(crate) struct User<'c> {
    pub(crate) cluster: &'c Cluster,
    folder: tempfile::TempDir,
    /// In HDFS.
    pub(crate) home: String,
}

/// Faults are noticed soon, and a test's cluster is small.
const SETTINGS: &[&str] = &[
    "heartbeat.interval=200 ms",
    "heartbeat.timeout=3 s",
    "restart-strategy.type=fixed-delay",
    "restart-strategy.fixed-delay.delay=100 ms",
    "restart-strategy.fixed-delay.attempts=20",
    "jobmanager.memory.process.size=128 mb",
    "taskmanager.memory.process.size=256 mb",
];

impl<'c> User<'c> {
    /// `name` is the folder in HDFS, one for each test.
    #[track_caller]
    pub(crate) fn new(cluster: &'c Cluster, name: &str) -> Self {
        let home = format!("{}/{name}", cluster.hdfs().home());
        cluster.hdfs().delete(&home);
        cluster.hdfs().create_folder(&home, "755");
        Self { cluster, folder: tempfile::tempdir().unwrap(), home }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program("flink-yarn"));
        command.args(words).env("XDG_STATE_HOME", self.folder.path()).env_remove("FLINK_CONF_DIR");
        command.env("TMPDIR", self.folder.path()).envs(self.cluster.environment()).current_dir(self.folder.path());
        command
    }

    /// Starts `flink-yarn` with these words.
    pub(crate) fn spawn(&self, words: &[&str]) -> Running {
        let mut all = vec![words[0]];
        if ["run", "session"].contains(&words[0]) {
            SETTINGS.iter().for_each(|setting| all.extend(["-D", setting]));
            let remembered = format!("yarn.properties-file.location={}", self.folder.path().display());
            let all: Vec<&str> = all.into_iter().chain(["-D", &remembered]).chain(words[1..].iter().copied()).collect();
            return Running::start(&mut self.command(&all));
        }
        Running::start(&mut self.command(words))
    }

    /// Runs `flink-yarn` to its end.
    #[track_caller]
    pub(crate) fn call(&self, words: &[&str]) -> Ended {
        self.spawn(words).wait()
    }

    /// The last line of what a command says as JSON.
    #[track_caller]
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let ended = self.call(words).expect(0, &[]);
        serde_json::from_str(ended.stdout.trim()).unwrap_or_else(|error| panic!("{error}: {}", ended.stdout))
    }

    /// A path in the user's folder of this host.
    pub(crate) fn local(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A URI in the user's folder in HDFS.
    pub(crate) fn uri(&self, name: &str) -> String {
        self.cluster.hdfs().uri(&self.path(name))
    }

    /// A path in the user's folder in HDFS.
    pub(crate) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.home)
    }

    /// The lines of a job's output, sorted.
    #[track_caller]
    pub(crate) fn lines(&self, folder: &str) -> Vec<String> {
        let (hdfs, folder) = (self.cluster.hdfs(), self.path(folder));
        let files = hdfs.list(&folder);
        // Beside them lies the hidden mark by which a job knows its own result again.
        let files: Vec<_> = files.into_iter().filter(|file| !file.name.starts_with('.')).collect();
        assert!(files.iter().all(|file| !file.is_folder && file.name.starts_with("part-")), "{files:?}");
        let texts = files.iter().map(|file| hdfs.get(&format!("{folder}/{}", file.name)));
        let mut lines: Vec<String> = texts
            .flat_map(|text| String::from_utf8(text).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        lines.sort();
        lines
    }

    /// Puts the text that comes with the repository into HDFS, as a file with that many copies of it and small blocks.
    pub(crate) fn put_text(&self, name: &str, copies: usize) -> String {
        let text = std::fs::read(text()).unwrap().repeat(copies);
        let layout = flink_test_hadoop::Layout { block_size: Some(1 << 20), replication: None };
        self.cluster.hdfs().put_laid_out(&self.path(name), &text, layout);
        self.uri(name)
    }

    /// Containers of an application that run.
    pub(crate) fn containers(&self, application: &str) -> Vec<ContainerProcess> {
        let suffix = application.trim_start_matches("application_");
        let mut all = self.cluster.container_processes();
        all.retain(|process| process.container.contains(suffix));
        all
    }

    /// Waits until an application has ended; its final state and diagnostics.
    #[track_caller]
    pub(crate) fn end_of(&self, application: &str) -> (String, String) {
        let ended = self.cluster.yarn().wait(application, Duration::from_secs(60));
        let text = |key: &str| ended[key].as_str().unwrap_or_default().to_owned();
        (text("finalStatus"), text("diagnostics"))
    }

    /// Nothing of an application is left: no process, no staging folder, no half-written output.
    #[track_caller]
    pub(crate) fn assert_tidy(&self, application: &str) {
        crate::process::eventually("containers end", || self.containers(application).is_empty());
        let staging = format!("{}/.flink-yarn/{application}", self.cluster.hdfs().home());
        crate::process::eventually("the staging folder goes", || self.cluster.hdfs().status(&staging).is_none());
        let left = self.cluster.hdfs().list(&self.home);
        let hidden: Vec<_> = left.iter().filter(|file| file.name.starts_with('.')).collect();
        assert!(hidden.is_empty(), "{hidden:?}");
    }
}

/// The text that comes with the repository.
pub(crate) fn text() -> PathBuf {
    Path::new(repository()).join("examples/data/hamlet.txt")
}

/// What WordCount finds in that many copies of the text.
pub(crate) fn expected(copies: u64) -> Vec<String> {
    let text = std::fs::read_to_string(text()).unwrap();
    let mut words = BTreeMap::<&str, u64>::new();
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        *words.entry(word).or_default() += copies;
    }
    let mut lines: Vec<String> = words.iter().map(|(word, count)| format!("{word} {count}")).collect();
    lines.sort();
    lines
}

/// The id of the application that a command has told.
#[track_caller]
pub(crate) fn application_in(text: &str) -> String {
    let start = text.find("application_").unwrap_or_else(|| panic!("no application in:\n{text}"));
    text[start..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}
