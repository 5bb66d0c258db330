use std::collections::BTreeMap;

use flink_test_hadoop::{Cluster, Variant};

use crate::process::{Ended, eventually};
use crate::rest::Rest;
use crate::user::{TROUBLED, User};

/// A session whose job prints lines in each of its two subtasks, on a TaskManager each.
struct Speakers<'u> {
    user: &'u User<'u>,
    id: String,
    job: String,
    /// The TaskManager of each subtask.
    places: BTreeMap<u64, String>,
}

impl<'u> Speakers<'u> {
    /// `gate` lets the job end.
    #[track_caller]
    fn start(user: &'u User<'u>, gate: &str, settings: &[&str]) -> Self {
        let session = user.json(&[&["session", "-d", "-s", "1", "--output", "json"], settings].concat());
        let id = session["application-id"].as_str().unwrap().to_owned();
        let job = user.json(&["run", "-d", "-p", "2", "--output", "json", TROUBLED, "say", gate]);
        let job = job["job-id"].as_str().unwrap().to_owned();
        let rest = Rest::of(user, &id);
        eventually("it runs", || rest.get(&format!("/v1/jobs/{job}/status"))["status"] == "RUNNING");
        let mut speakers = Self { user, id, job, places: BTreeMap::new() };
        eventually("both subtasks have begun", || {
            let shown = speakers.logs(&[]);
            shown.code == Some(0) && [0, 1].iter().all(|subtask| shown.stdout.contains(&begun(*subtask)))
        });
        speakers.places = speakers.places(&rest);
        speakers
    }

    /// Where REST says that the subtasks are.
    fn places(&self, rest: &Rest) -> BTreeMap<u64, String> {
        let details = rest.get(&format!("/v1/jobs/{}", self.job));
        let vertices = details["vertices"].as_array().unwrap();
        let speak = vertices.iter().find(|vertex| vertex["name"].as_str().unwrap().starts_with("Speak")).unwrap();
        let path = format!("/v1/jobs/{}/vertices/{}", self.job, speak["id"].as_str().unwrap());
        let vertex = rest.get(&path);
        let subtasks = vertex["subtasks"].as_array().unwrap().iter();
        let place = |subtask: &serde_json::Value| {
            (subtask["subtask"].as_u64().unwrap(), subtask["taskmanager-id"].as_str().unwrap().to_owned())
        };
        subtasks.map(place).collect()
    }

    /// `logs --job` with these words.
    fn logs(&self, words: &[&str]) -> Ended {
        self.user.call(&[&["logs", "-id", &self.id, "--job", &self.job], words].concat())
    }

    /// The logs of the job and of its tasks have what they should, and nothing twice.
    #[track_caller]
    fn check(&self, when: &str, printed: impl Fn(u64) -> String) {
        let whole = self.logs(&[]).expect(0, &[]).stdout;
        for (subtask, place) in &self.places {
            let (own, other) = (printed(*subtask), printed(1 - subtask));
            assert_eq!(whole.matches(&own).count(), 1, "{when}: `{own}` once in\n{whole}");
            assert!(whole.contains(place), "{when}: it is said where it comes from, {place}:\n{whole}");
            let task = self.logs(&["--task", &format!("Speak/{subtask}")]).expect(0, &[]).stdout;
            assert_eq!(task.matches(&own).count(), 1, "{when}: `{own}` once in\n{task}");
            assert!(!task.contains(&other), "{when}: {other} was printed elsewhere:\n{task}");
        }
        let both = self.logs(&["--task", "Speak"]).expect(0, &[]).stdout;
        assert!([0, 1].iter().all(|subtask| both.contains(&printed(*subtask))), "{when}: both in\n{both}");
        let none = self.logs(&["--task", "Speak/2"]);
        assert_ne!(none.code, Some(0), "{when}: there is no such subtask:\n{}", none.stdout);
    }
}

fn begun(subtask: u64) -> String {
    format!("Speak {subtask} has begun")
}

fn ended(subtask: u64) -> String {
    format!("Speak {subtask} has ended")
}

#[test]
fn logs_of_a_job_and_of_its_tasks_running_and_ended() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "job-logs");
    let gate = user.gate("say");
    let speakers = Speakers::start(&user, gate.path(), &[]);
    assert_ne!(speakers.places[&0], speakers.places[&1], "a slot on each");
    speakers.check("the job runs", begun);
    // Followed, the logs come to their end with the job.
    let followed = user.spawn(&["logs", "-id", &speakers.id, "--job", &speakers.job, "--follow"]);
    gate.open();
    let followed = followed.wait().expect(0, &[]).stdout;
    for line in [begun(0), begun(1), ended(0), ended(1)] {
        assert_eq!(followed.matches(&line).count(), 1, "`{line}` once in\n{followed}");
    }
    speakers.check("the job has ended", ended);
    user.call(&["kill", &speakers.id]).expect(0, &[]);
    cluster.yarn().logs(&speakers.id);
    speakers.check("the application has ended", begun);
    speakers.check("the application has ended", ended);
    user.assert_tidy(&speakers.id);
}

/// A container that was given back has no TaskManager that could be asked, and YARN collects its logs with the application's:
/// until then its node has them.
#[test]
fn logs_of_containers_that_were_given_back() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "given-back");
    let gate = user.gate("say");
    let speakers = Speakers::start(&user, gate.path(), &["-D", "resourcemanager.taskmanager-timeout=1 s"]);
    let places: Vec<&String> = speakers.places.values().collect();
    gate.open();
    eventually("they are given back", || {
        user.containers(&speakers.id).iter().all(|process| !places.contains(&&process.container))
    });
    speakers.check("they were given back", begun);
    speakers.check("they were given back", ended);
    let followed = speakers.logs(&["--follow"]).expect(0, &[]).stdout;
    let whole = user.call(&["logs", "--container", places[0]]).expect(0, &[]).stdout;
    assert!(followed.contains(&ended(0)) && followed.contains(&ended(1)), "{followed}");
    assert!(whole.contains(&format!("{} on ", places[0])) && whole.contains("taskmanager.err"), "{whole}");
    let unknown = format!("{}_000099", places[0].rsplit_once('_').unwrap().0);
    user.call(&["logs", "--container", &unknown]).expect(1, &[&unknown, "is not registered"]);
    user.call(&["kill", &speakers.id]).expect(0, &[]);
    cluster.yarn().logs(&speakers.id);
    speakers.check("the application has ended", ended);
}

/// The `main` of an application ends it: its job's logs are found by the application's id, the job's, and a task's name.
#[test]
fn logs_of_an_application_of_its_own() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "own-logs");
    let gate = user.gate("say");
    gate.open();
    let ran = user.call(&["run", "-t", "yarn-application", "-p", "2", TROUBLED, "say", gate.path()]).expect(0, &[]);
    let id = crate::user::application_in(&format!("{}{}", ran.stdout, ran.stderr));
    cluster.yarn().logs(&id);
    let whole = user.call(&["logs", "-id", &id]).expect(0, &[]).stdout;
    for line in [begun(0), begun(1), ended(0), ended(1)] {
        assert_eq!(whole.matches(&line).count(), 1, "`{line}` once in\n{whole}");
    }
    let job = whole.split("worker-").nth(1).and_then(|rest| rest.split(".log").next()).expect("the log of a worker");
    let task = user.call(&["logs", "-id", &id, "--job", job, "--task", "Speak/1"]).expect(0, &[]).stdout;
    assert!(task.contains(&ended(1)), "{task}");
}
