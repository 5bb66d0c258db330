use flink_test_hadoop::{Cluster, Variant};

use crate::application::Application;
use crate::process::{Running, eventually};
use crate::user::{Gate, TROUBLED, User, expected, id_in};

/// Lines enough for a minute with a closed gate.
pub(crate) const COPIES: usize = 200;

/// What a job says that waits for one more container.
const AWAITED: &str = "waiting for 1 container of 3072 MB";

/// Why: the queue, which may have the whole cluster, is full.
const BUSY: &str = "queue default may have 8 GB of the cluster and has ";

/// Two containers of this size, and two ApplicationMasters beside them, fill a node.
const HALF_A_NODE: &str = "1920m";

/// Fills the part of a queue that ApplicationMasters may have, a half; what does so.
pub(crate) fn fill_with_masters<'u>(user: &'u User<'u>) -> [Application<'u>; 2] {
    [(); 2].map(|()| Application::session(user, &["-jm", "2g"]))
}

/// Starts a slow job that counts words; `name` is also the folder of its output.
pub(crate) fn count(user: &User<'_>, name: &str, options: &[&str]) -> (Running, Gate) {
    let gate = user.gate(name);
    let program = [TROUBLED, "count", &user.uri("text"), &user.uri(name), gate.path()];
    (user.spawn(&[&["run"], options, &program].concat()), gate)
}

#[track_caller]
pub(crate) fn assert_counted(user: &User<'_>, running: Running, name: &str) {
    running.wait().expect(0, &["finished in"]);
    assert_eq!(user.lines(name), expected(COPIES as u64), "{name}");
}

#[test]
fn an_application_waits_for_room_in_its_queue() {
    let cluster = Cluster::exclusive(Variant::Plain);
    let user = User::new(&cluster, "full");
    user.put_text("text", COPIES);
    let fillers = fill_with_masters(&user);
    let options = ["-t", "yarn-application", "-ynm", &user.name("full"), "-D", "yarn.client.deployment-notice=1 s"];
    let (running, gate) = count(&user, "no-master", &options);
    gate.open();
    let application = Application::named(&user, &user.name("full"));
    let told = ["has not started yet (ACCEPTED)", "ApplicationMasters", "flink-yarn doctor"];
    eventually("it says what it waits for", || told.iter().all(|part| running.said().contains(part)));
    assert_eq!(cluster.yarn().application(&application.id)["state"], "ACCEPTED");
    // Where it points to, the same is found, with room on nodes or not.
    let doctor = user.call(&["doctor"]).expect(0, &[]).stdout;
    let limited = "no room for an ApplicationMaster (512 MB and 1 core): the ApplicationMasters";
    assert!(doctor.lines().any(|line| line.starts_with("warning resources") && line.contains(limited)), "{doctor}");
    fillers.into_iter().for_each(Application::end);
    assert_counted(&user, running, "no-master");
    user.assert_tidy(&application.id);
}

#[test]
fn a_job_waits_for_room_for_its_containers() {
    let cluster = Cluster::exclusive(Variant::Plain);
    let user = User::new(&cluster, "no-room");
    user.put_text("text", COPIES);
    let first = ["-t", "yarn-application", "-ynm", &user.name("first"), "-p", "2", "-ytm", "3584m"];
    let first = [&first[..], &["-D", "resourcemanager.taskmanager-timeout=1 s"]].concat();
    let (holds, gate) = count(&user, "first", &first);
    Application::named(&user, &user.name("first")).wait_until_runs("count");
    let (waits, other) =
        count(&user, "second", &["-t", "yarn-application", "-ynm", &user.name("second"), "-ytm", "3g"]);
    other.open();
    let second = Application::named(&user, &user.name("second"));
    second.wait_for_attempt(1);
    let told =
        [AWAITED, "more: flink-yarn doctor", "may get no more than", "no container of 3 GB and 1 core comes", BUSY];
    eventually("it says what it waits for, and why", || told.iter().all(|part| waits.said().contains(part)));
    assert!(second.task_managers().is_empty());
    gate.open();
    assert_counted(&user, holds, "first");
    assert_counted(&user, waits, "second");
    user.assert_tidy(&second.id);
}

#[test]
fn a_queue_above_its_share_gives_containers_back() {
    let cluster = Cluster::exclusive(Variant::Preemption);
    // That is what shared clusters do: it takes no restart strategy to bear it.
    let user = User::new(&cluster, "preempted").without_strategy();
    user.put_text("text", COPIES);
    // What is taken away is not counted as a failure: one would be too many.
    let options =
        ["-t", "yarn-application", "-ynm", &user.name("taken"), "-yqu", "other", "-p", "4", "-ytm", HALF_A_NODE];
    let options = [&options[..], &["-D", "resourcemanager.start-worker.max-failure-rate=0"]].concat();
    let (taken, gate) = count(&user, "taken", &options);
    let from = Application::named(&user, &user.name("taken"));
    let job = from.wait_until_runs("count");
    let (takes, other) =
        count(&user, "takes", &["-t", "yarn-application", "-ynm", &user.name("takes"), "-p", "1", "-ytm", HALF_A_NODE]);
    let to = Application::named(&user, &user.name("takes"));
    from.wait_for_failure(&job, &["it was preempted: its place was given to another application or queue"]);
    to.wait_until_runs("count");
    other.open();
    assert_counted(&user, takes, "takes");
    from.wait_until_runs("count");
    gate.open();
    assert_counted(&user, taken, "taken");
    user.assert_tidy(&from.id);
    user.assert_tidy(&to.id);
}

#[test]
fn whoever_takes_too_much_memory_is_ended_in_words() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "too-much-memory");
    user.put_text("text", COPIES);
    let session = Application::session(&user, &[]);
    let (beside, gate) = count(&user, "beside", &["-p", "2"]);
    let neighbour = session.wait_until_runs("count");
    let run = |program: &str| user.call(&["run", "-D", "restart-strategy.type=none", TROUBLED, program]);
    // The TaskManager sees its workers, and is quicker than YARN as a rule.
    run("hoard").expect(1, &["taskmanager.memory.process.size"]);
    // YARN sees all that runs in a container.
    let told =
        ["YARN killed it because it went over its physical memory of 256 MB by ", "taskmanager.memory.process.size"];
    assert_shows_its_container(&run("lets-hoard").expect(1, &told).stderr);
    // Others do not suffer, at the same time or later.
    gate.open();
    assert_counted(&user, beside, "beside");
    assert_eq!(session.failures(&neighbour), Vec::<String>::new());
    let (later, gate) = count(&user, "later", &["-p", "2"]);
    gate.open();
    assert_counted(&user, later, "later");
    session.end();
    // Once the application has ended, what the container had written is there, and not only what its master had.
    for target in ["yarn-application", "yarn-per-job"] {
        let words = ["run", "-t", target, "-D", "restart-strategy.type=none", TROUBLED, "lets-hoard"];
        assert_shows_its_container(&user.call(&words).expect(1, &told).stderr);
    }
}

/// The cause comes first, then what the container that it names has written.
#[track_caller]
fn assert_shows_its_container(told: &str) {
    let failure = &told[told.find("container container_").expect("the container that is lost")..];
    let lost = id_in(failure, "container_");
    assert!(!lost.ends_with("_000001"), "{told}");
    assert!(failure.contains(&format!("the last lines of {lost}")), "{lost}:\n{told}");
}

/// Hadoop's default: what a container has of addresses is limited, too.
#[test]
fn whoever_takes_too_many_addresses_is_ended_in_words() {
    let cluster = Cluster::shared(Variant::Strict);
    let user = User::new(&cluster, "virtual-memory");
    user.put_text("text", COPIES);
    let session = Application::session(&user, &[]);
    let (beside, gate) = count(&user, "beside", &["-p", "2"]);
    let neighbour = session.wait_until_runs("count");
    let told =
        ["YARN killed it because it went over its virtual memory of 537.6 MB by ", "yarn.nodemanager.vmem-pmem-ratio"];
    user.call(&["run", "-D", "restart-strategy.type=none", TROUBLED, "reserve"]).expect(1, &told);
    // Processes of ours stay below it.
    gate.open();
    assert_counted(&user, beside, "beside");
    assert_eq!(session.failures(&neighbour), Vec::<String>::new());
    session.end();
}
