use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use flink_test_hadoop::{Cluster, ContainerProcess};
use serde_json::Value;

use crate::process::{Ended, Running, eventually};
use crate::programs::{program, repository};

/// The program of this crate that takes its time, or brings trouble.
pub(crate) const TROUBLED: &str = env!("CARGO_BIN_EXE_troubled");

/// Somebody with the command, a folder of their own on this host and one in HDFS.
pub(crate) struct User<'c> {
    pub(crate) cluster: &'c Cluster,
    folder: tempfile::TempDir,
    /// In HDFS.
    pub(crate) home: String,
    /// Kerberos tickets, where they are not the cluster's user's.
    tickets: Option<PathBuf>,
    /// The command.
    command: PathBuf,
    /// Whether the tests' restart strategy is left out.
    has_no_strategy: bool,
}

/// Faults are noticed soon, and a test's cluster is small.
const SETTINGS: &[&str] = &[
    "heartbeat.interval=200 ms",
    "heartbeat.timeout=10 s",
    "restart-strategy.type=fixed-delay",
    "restart-strategy.fixed-delay.delay=100 ms",
    "restart-strategy.fixed-delay.attempts=20",
    "task.cancellation.timeout=1 s",
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
        let command = program("flink-yarn").into();
        Self { cluster, folder: tempfile::tempdir().unwrap(), home, tickets: None, command, has_no_strategy: false }
    }

    /// The same with a file of other Kerberos tickets.
    pub(crate) fn with_tickets(mut self, tickets: &Path) -> Self {
        self.tickets = Some(tickets.to_owned());
        self
    }

    /// The same, and no restart strategy is set.
    pub(crate) fn without_strategy(mut self) -> Self {
        self.has_no_strategy = true;
        self
    }

    /// The same with another build of the command.
    pub(crate) fn with_command(mut self, command: PathBuf) -> Self {
        self.command = command;
        self
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.command);
        command.args(words).env("XDG_STATE_HOME", self.folder.path()).env_remove("FLINK_CONF_DIR");
        command.env("TMPDIR", self.folder.path()).envs(self.cluster.environment()).current_dir(self.folder.path());
        if let Some(tickets) = &self.tickets {
            command.env("KRB5CCNAME", format!("FILE:{}", tickets.display()));
        }
        command
    }

    /// `flink-yarn` with these words.
    pub(crate) fn prepared(&self, words: &[&str]) -> Command {
        let is_alone = words.iter().any(|word| ["-q", "-id"].contains(word));
        if !["run", "session"].contains(&words[0]) || (words[0] == "session" && is_alone) {
            return self.command(words);
        }
        let remembered = format!("yarn.properties-file.location={}", self.folder.path().display());
        let known = SETTINGS.iter().filter(|text| !(self.has_no_strategy && text.starts_with("restart-strategy")));
        let settings = known.copied().chain([remembered.as_str()]).flat_map(|setting| ["-D", setting]);
        let all: Vec<&str> = [words[0]].into_iter().chain(settings).chain(words[1..].iter().copied()).collect();
        self.command(&all)
    }

    /// Starts `flink-yarn` with these words.
    pub(crate) fn spawn(&self, words: &[&str]) -> Running {
        Running::start(&mut self.prepared(words))
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

    /// A name for an application that no other has, of an earlier run neither.
    pub(crate) fn name(&self, name: &str) -> String {
        let own = self.folder.path().file_name().unwrap().to_string_lossy().replace('.', "");
        format!("{name}-{own}")
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
        // Where nobody was told that the job has finished, the mark by which it knows its own result again lies beside them.
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
        let layout = flink_test_hadoop::Layout { block_size: Some(1 << 20), ..flink_test_hadoop::Layout::default() };
        self.cluster.hdfs().put_laid_out(&self.path(name), &text, layout);
        self.uri(name)
    }

    /// The lines of a file, sorted.
    #[track_caller]
    pub(crate) fn lines_of(&self, file: &str) -> Vec<String> {
        let text = String::from_utf8(self.cluster.hdfs().get(&self.path(file))).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// What a slow job waits for.
    pub(crate) fn gate(&self, name: &str) -> Gate {
        Gate(self.local(&format!("{name}.gate")).display().to_string())
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
        let ended = self.cluster.yarn().wait(application, Duration::from_secs(180));
        let text = |key: &str| ended[key].as_str().unwrap_or_default().to_owned();
        (text("finalStatus"), text("diagnostics"))
    }

    /// Nothing of an application is left: no process, no staging folder, no half-written output.
    #[track_caller]
    pub(crate) fn assert_tidy(&self, application: &str) {
        eventually("containers end", || self.containers(application).is_empty());
        let staging = format!("{}/.flink-yarn/{application}", self.cluster.hdfs().home());
        eventually("the staging folder goes", || self.cluster.hdfs().status(&staging).is_none());
        assert_eq!(self.half_written(), Vec::<String>::new());
    }

    /// What lies hidden in the user's folder in HDFS, at any depth. A file with the mark by which a job knows its own
    /// result again may stay where nobody was told that the job has finished.
    pub(crate) fn half_written(&self) -> Vec<String> {
        let mut hidden = Vec::new();
        let mut folders = vec![self.home.clone()];
        while let Some(folder) = folders.pop() {
            for file in self.cluster.hdfs().list(&folder) {
                let path = format!("{folder}/{}", file.name);
                match file.name.starts_with('.') {
                    // What was uploaded with another staging folder stays for the next application.
                    true if file.name.ends_with("-published") || file.name == ".flink-yarn" => {}
                    true => hidden.push(path),
                    false if file.is_folder => folders.push(path),
                    false => {}
                }
            }
        }
        hidden
    }
}

/// Longest silence of a slow job that goes on: each of its tasks has a line every 20 ms.
const SILENCE: Duration = Duration::from_secs(3);

/// A file for which a slow job waits: with it, the job goes on as fast as it can.
pub(crate) struct Gate(String);

impl Gate {
    /// For the program.
    pub(crate) fn path(&self) -> &str {
        &self.0
    }

    /// Lets the job go on.
    pub(crate) fn open(&self) {
        std::fs::write(&self.0, b"").unwrap();
    }

    /// How many lines the job has read so far, those of failed attempts included.
    fn lines(&self) -> u64 {
        std::fs::metadata(format!("{}.lines", self.0)).map_or(0, |file| file.len())
    }

    /// Waits until the job has read so many lines more.
    #[track_caller]
    pub(crate) fn wait_for_lines(&self, more: u64) {
        let enough = self.lines() + more;
        eventually("the job goes on", || self.lines() >= enough);
    }

    /// Waits until the job cannot go on: a fault is felt.
    #[track_caller]
    pub(crate) fn wait_for_silence(&self) {
        let mut last = (self.lines(), Instant::now());
        eventually("the job stands still", || {
            if self.lines() > last.0 {
                last = (self.lines(), Instant::now());
            }
            last.1.elapsed() > SILENCE
        });
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
    id_in(text, "application_")
}

/// The first id in a text that begins so.
#[track_caller]
pub(crate) fn id_in(text: &str, beginning: &str) -> String {
    let start = text.find(beginning).unwrap_or_else(|| panic!("no {beginning} in:\n{text}"));
    text[start..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}
