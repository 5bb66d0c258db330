use flink_test_hadoop::{Cluster, Role, Variant};

use crate::application::Application;
use crate::process::{Ended, eventually, signal};
use crate::user::{Gate, TROUBLED, User};

/// Lines of a kilobyte: enough for minutes with a closed gate, in files of many blocks.
pub(crate) const LINES: usize = 16_000;

/// Each task begins a split and a block every few seconds.
const OFTEN: [&str; 4] = ["-D", "source.file.split-size=128 kb", "-D", "flink.hadoop.dfs.blocksize=262144"];

/// A slow job in a session that copies a file of HDFS: it reads and writes all the time.
pub(crate) struct Copying<'s, 'u> {
    user: &'u User<'u>,
    session: &'s Application<'u>,
    running: crate::process::Running,
    output: String,
    pub(crate) job: String,
    pub(crate) gate: Gate,
}

impl<'s, 'u> Copying<'s, 'u> {
    /// Starts it and waits until it runs.
    #[track_caller]
    pub(crate) fn start(user: &'u User<'u>, session: &'s Application<'u>, output: &str) -> Self {
        let gate = user.gate(output);
        let words = ["-p", "2", TROUBLED, "copy", &user.uri("lines"), &user.uri(output), gate.path()];
        let running = user.spawn(&[&["run"], &OFTEN[..], &words].concat());
        let job = session.wait_until_runs("copy");
        gate.wait_for_lines(10);
        Self { user, session, running, output: output.to_owned(), job, gate }
    }

    /// Lets it end, and compares what it has written. Gives why it has failed meanwhile.
    #[track_caller]
    pub(crate) fn end(self) -> Vec<String> {
        assert!(self.session.runs(&self.job), "it did not last until here: {:?}", self.session.jobs());
        self.gate.open();
        let _: Ended = self.running.wait().expect(0, &["finished in"]);
        assert!(self.user.lines(&self.output) == self.user.lines_of("lines"), "{} is another text", self.output);
        self.session.failures(&self.job)
    }

    /// The same for one that must not have felt anything.
    #[track_caller]
    pub(crate) fn end_unharmed(self) {
        let failures = self.end();
        assert!(failures.is_empty(), "{failures:#?}");
    }
}

/// Puts the text that [`Copying`] copies into HDFS.
pub(crate) fn put_lines(user: &User<'_>) {
    let text: String = (0..LINES).map(|number| format!("{number:0>1023}\n")).collect();
    let layout = flink_test_hadoop::Layout { block_size: Some(1 << 20), ..flink_test_hadoop::Layout::default() };
    user.cluster.hdfs().put_laid_out(&user.path("lines"), text.as_bytes(), layout);
}

#[test]
fn node_managers_and_the_resource_manager_go_and_come_back() {
    let cluster = Cluster::exclusive(Variant::Plain);
    let user = User::new(&cluster, "nodes");
    put_lines(&user);
    let session = Application::session(&user, &[]);

    let copying = Copying::start(&user, &session, "node-manager");
    let containers = session.task_managers();
    for node in [Role::NodeManager1, Role::NodeManager2] {
        cluster.kill(node);
        copying.gate.wait_for_lines(50);
        cluster.restart(node);
    }
    assert_eq!(session.task_managers(), containers, "a NodeManager has taken its containers along");
    copying.end_unharmed();

    // It is restarted while a container is wanted, of which it must be told again.
    let copying = Copying::start(&user, &session, "resource-manager");
    cluster.kill(Role::ResourceManager);
    let lost = &session.task_managers()[0];
    signal("KILL", lost.pid);
    session.wait_for_failure(&copying.job, &[&lost.container]);
    cluster.restart(Role::ResourceManager);
    eventually("it runs again", || session.runs(&copying.job) && session.task_managers().len() == 2);
    copying.gate.wait_for_lines(50);
    copying.end();

    // A node that is lost takes along what is on it.
    let copying = Copying::start(&user, &session, "machine");
    let lost = session.task_managers().into_iter().find(|process| process.host != session.master().host);
    let lost = lost.unwrap_or_else(|| session.task_managers().remove(0));
    let node = if lost.host == "127.0.0.2" { Role::NodeManager1 } else { Role::NodeManager2 };
    cluster.kill_with_containers(node);
    eventually("it runs elsewhere", || {
        let left = session.task_managers();
        !session.failures(&copying.job).is_empty() && session.runs(&copying.job) && !left.contains(&lost)
    });
    copying.gate.wait_for_lines(50);
    cluster.restart(node);
    copying.end();
    session.end();
}

#[test]
fn name_node_and_data_nodes_go_and_come_back() {
    let cluster = Cluster::exclusive(Variant::Plain);
    let user = User::new(&cluster, "files");
    put_lines(&user);
    let session = Application::session(&user, &[]);

    let copying = Copying::start(&user, &session, "name-node");
    cluster.kill(Role::NameNode);
    copying.gate.wait_for_silence();
    cluster.restart(Role::NameNode);
    copying.gate.wait_for_lines(200);
    copying.end_unharmed();

    let copying = Copying::start(&user, &session, "data-nodes");
    for node in [Role::DataNode1, Role::DataNode2] {
        cluster.kill(node);
        // More than a block of each file, and a split of each task.
        copying.gate.wait_for_lines(600);
        cluster.restart(node);
    }
    copying.end_unharmed();
    session.end();
}
