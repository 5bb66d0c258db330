use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use flink_test_hadoop::{Cluster, Variant};

use crate::process::{eventually, signal};
use crate::programs::program;
use crate::user::{User, application_in};

/// `flink-yarn session` with somebody at its prompt.
struct Attached {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    said: String,
}

impl Attached {
    fn start(user: &User<'_>, words: &[&str]) -> Self {
        let mut command = user.prepared(words);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let streams: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        Self { input: child.stdin.take(), child, lines, said: String::new() }
    }

    /// Waits until a part of a line is said; the line.
    #[track_caller]
    fn hears(&mut self, part: &str) -> String {
        loop {
            match self.lines.recv_timeout(Duration::from_secs(60)) {
                Ok(line) => {
                    self.said.push_str(&format!("{line}\n"));
                    if line.contains(part) {
                        return line;
                    }
                }
                Err(_) => panic!("`{part}` is not said:\n{}", self.said),
            }
        }
    }

    fn types(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Waits for its end; its code and everything that it has said.
    fn end(mut self) -> (Option<i32>, String) {
        drop(self.input.take());
        let status = self.child.wait().unwrap();
        self.said.extend(self.lines.iter().map(|line| line + "\n"));
        (status.code(), self.said.clone())
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn somebody_at_the_prompt_gets_help_and_stops_the_session() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "prompt");
    let mut session = Attached::start(&user, &["session"]);
    let id = application_in(&session.hears("is RUNNING"));
    session.types("help");
    session.hears("stop    end the session");
    session.types("stpo");
    session.hears("`stpo` is no command");
    let keyed = [&program("keyed_count"), "--events", "1000000000000", "--rate", "1000"];
    user.call(&[&["run", "--detached"], &keyed[..]].concat()).expect(0, &[]);
    session.types("stop");
    let (code, said) = session.end();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(user.end_of(&id).0, "SUCCEEDED");
    user.assert_tidy(&id);
    // It is forgotten: there is nothing to run in.
    let lost = user.call(&["run", "-t", "yarn-session", &program("keyed_count"), "--events", "1"]);
    assert_ne!(lost.code, Some(0));
    assert!(lost.stderr.contains("flink-yarn session"), "says how to start one: {}", lost.stderr);
}

#[test]
fn an_interrupt_ends_an_own_session_and_leaves_another_ones() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "interrupts");
    let mut own = Attached::start(&user, &["session"]);
    let id = application_in(&own.hears("is RUNNING"));
    let mut guest = Attached::start(&user, &["session", "-id", &id]);
    guest.hears("is RUNNING");
    signal("INT", guest.child.id());
    let (code, said) = guest.end();
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("runs on"), "{said}");
    assert_eq!(cluster.yarn().application(&id)["state"], "RUNNING");
    signal("INT", own.child.id());
    let (code, said) = own.end();
    assert_eq!(code, Some(130), "{said}");
    assert_eq!(user.end_of(&id).0, "SUCCEEDED");
    user.assert_tidy(&id);
}

#[test]
fn a_session_is_stopped_through_a_pipe() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "pipe");
    let session = user.json(&["session", "-d", "--output", "json"]);
    let id = session["application-id"].as_str().unwrap();
    let mut attached = Attached::start(&user, &["session", "-id", id]);
    attached.types("stop");
    let (code, said) = attached.end();
    assert_eq!(code, Some(0), "{said}");
    eventually("it ends", || cluster.yarn().application(id)["state"] == "FINISHED");
    let gone = user.call(&["session", "-id", id]);
    assert_ne!(gone.code, Some(0));
    assert!(gone.stderr.contains("FINISHED") || gone.stderr.contains("ended"), "{}", gone.stderr);
}

/// The letters of Flink that are not these, and what to write instead.
#[test]
fn slips_are_told_with_what_to_write() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "slips");
    let program = program("keyed_count");
    for (words, told) in [
        (vec!["session", "-t", "yarn-session"], "flink-yarn run -t yarn-session"),
        (vec!["session", "-q", "-d", "--quue", "x"], "--queue"),
        (vec!["session", "-id", "application_1"], "application_"),
        (vec!["session", "-d", "-jm", "lots"], "512m"),
        (vec!["run", "-t", "yarn-aplication", &program], "yarn-application"),
        (vec!["run", "-t", "kubernetes-application", &program], "targets are local"),
        (vec!["run", "-yq", &program], "flink-yarn session -q"),
        (vec!["run", "-t", "yarn-application", "-s", "2", &program], "--slots"),
        (vec!["run", "-t", "yarn-application", "-c", "Main", &program], "leave -c out"),
        (vec!["run", "-t", "yarn-application", "-D", "yarn.aplication.queue=x", &program], "yarn.application.queue"),
        (vec!["run", "-t", "yarn-application", "./no-such-program"], "no-such-program"),
        (vec!["run", "-m", "yarn-cluster", "-yj", "/opt/flink/lib/flink-dist.jar", &program], "leave it out"),
        (vec!["kill", "job_1"], "application_"),
    ] {
        let ended = user.call(&words);
        assert_ne!(ended.code, Some(0), "{words:?}");
        assert!(ended.stderr.contains(told), "{words:?} does not say `{told}`:\n{}", ended.stderr);
    }
}
