use std::process::Child;

use flink_graph::{JobGraph, JobStatus};
use flink_protocol::program::EarlierAction;
use flink_protocol::wire;
use rustix::process::{Pid, Signal, kill_process};

use crate::cluster;
use crate::harness::{Ended, Test, command, end, eventually, flink_yarn, has_children, program};

pub(crate) const TESTS: &[Test] = &[
    ("run_local_becomes_the_program", local_becomes_the_program),
    ("run_remote_runs_action_after_action", remote_runs_action_after_action),
    ("run_remote_uploads_once", remote_uploads_once),
    ("run_json_leaves_standard_output_to_results", json_leaves_standard_output_to_results),
    ("run_main_goes_on_while_a_job_runs", main_goes_on_while_a_job_runs),
    ("run_main_handles_failures", main_handles_failures),
    ("run_detached_ends_after_the_first_job", detached_ends_after_the_first_job),
    ("run_failures_have_their_exit_codes", failures_have_their_exit_codes),
    ("run_interrupt_cancels", interrupt_cancels),
    ("run_that_ends_badly_leaves_no_job", run_that_ends_badly_leaves_no_job),
    ("run_cancel_from_elsewhere", cancel_from_elsewhere),
    ("run_survives_a_lost_connection", survives_a_lost_connection),
    ("run_interrupt_while_planning", interrupt_while_planning),
    ("info_shows_the_plan", info_shows_the_plan),
    ("run_and_info_leave_no_files", run_and_info_leave_no_files),
];

/// Runs the program on a cluster without TLS.
fn remote(address: &str, options: &[&str], arguments: &[&str]) -> Ended {
    end(spawn_remote(address, options, arguments))
}

fn spawn_remote(address: &str, options: &[&str], arguments: &[&str]) -> Child {
    let folder = tempfile::tempdir().unwrap();
    let program = program();
    let mut words = vec!["run", "-m", address, "-D", "security.ssl.internal.enabled=false"];
    words.extend(options);
    words.push(&program);
    words.extend(arguments);
    command(folder.path(), &words).spawn().unwrap()
}

fn local_becomes_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let program = program();
    flink_yarn(folder.path(), &["run", "-p", "3", "--name", "n", &program, "print", "-p", "--help"])
        .expect(0, "")
        .prints("parallelism.default=3\npipeline.name=n\n-p --help\n");
    flink_yarn(folder.path(), &["run", "-t", "local", &program, "exit", "9"]).expect(9, "");
    flink_yarn(folder.path(), &["run", "-t", "local", &program, "panic"]).expect(101, "no input");
    flink_yarn(folder.path(), &["run", "-t", "local", "-d", &program, "print"]).expect(2, "cannot be detached");
}

fn remote_runs_action_after_action() {
    let (address, state) = cluster::start();
    let ended = remote(&address, &["-p", "4"], &["actions", "2", "--flag"]);
    let ended = ended.expect(0, "finished in 7 ms\n  records: 43");
    ended.prints("begin\naction 0: FINISHED 42\naction 1: FINISHED 43\nend\n");
    let state = state.lock().unwrap();
    let mut graphs: Vec<_> = state.jobs.values().map(|(graph, _)| graph).collect();
    graphs.sort_by_key(|graph| graph.action);
    assert_eq!(graphs.len(), 2);
    assert_ne!(graphs[0].job_id, graphs[1].job_id);
    assert_eq!([graphs[0].earlier_results.len(), graphs[1].earlier_results.len()], [0, 1]);
    assert!(matches!(&earlier(graphs[1])[..], [EarlierAction::Ended(result)] if result.status == JobStatus::Finished));
    assert_eq!(graphs[1].arguments, ["actions", "2", "--flag"]);
    assert_eq!(graphs[1].vertices[0].parallelism, 4);
    remote(&address, &[], &["exit", "0"]).expect(0, "ended without executing a job");
}

fn remote_uploads_once() {
    let (address, state) = cluster::start();
    remote(&address, &[], &["actions", "1"]).expect(0, "");
    remote(&address, &[], &["actions", "1"]).expect(0, "");
    let state = state.lock().unwrap();
    let artifact = state.jobs.values().next().unwrap().0.program.clone().unwrap();
    assert_eq!(artifact.size, std::fs::metadata(program()).unwrap().len());
    // A second upload would have grown it.
    assert_eq!(state.artifacts.get(&artifact.sha256), Some(&artifact.size));
}

fn json_leaves_standard_output_to_results() {
    let (address, _state) = cluster::start();
    let ended = remote(&address, &["--output", "json"], &["actions", "2"]).expect(0, "begin");
    let lines: Vec<serde_json::Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["status"], "FINISHED");
    assert_eq!(lines[1]["accumulator-results"][0]["value"], "43");
}

fn earlier(graph: &JobGraph) -> Vec<EarlierAction> {
    graph.earlier_results.iter().map(|earlier| wire::decode(earlier).unwrap()).collect()
}

fn graphs(state: &cluster::Shared) -> Vec<JobGraph> {
    let state = state.lock().unwrap();
    let mut graphs: Vec<_> = state.jobs.values().map(|(graph, _)| graph.clone()).collect();
    graphs.sort_by_key(|graph| graph.action);
    graphs
}

fn main_goes_on_while_a_job_runs() {
    let (address, state) = cluster::start();
    let child = spawn_remote(&address, &["--name", "endless"], &["async"]);
    eventually("both jobs run", || state.lock().unwrap().jobs.len() == 2);
    let graphs = graphs(&state);
    let (job, status) = (graphs[0].job_id, JobStatus::Running);
    assert_eq!(earlier(&graphs[1]), [EarlierAction::Submitted { job, status }]);
    eventually("the first job is canceled", || state.lock().unwrap().jobs[&job].1 == JobStatus::Canceled);
    state.lock().unwrap().jobs.values_mut().for_each(|(_, status)| *status = JobStatus::Canceled);
    let ended = end(child).expect(0, "was canceled after");
    ended.prints("RUNNING false\nCANCELED CANCELED\n");
    // What `main` does not wait for is waited for when it has ended.
    remote(&address, &[], &["leaves"]).expect(0, "finished in").prints("true\n");
    remote(&address, &["--name", "failing"], &["leaves"]).expect(1, "no such word");
}

fn main_handles_failures() {
    let (address, state) = cluster::start();
    let ended =
        remote(&address, &["--name", "failing"], &["handles", "2"]).expect(0, "caused by: Map (1/2): no such word");
    ended.prints("begin\naction 0: FAILED\naction 1: FAILED\nend\n");
    let earlier = earlier(&graphs(&state)[1]);
    assert!(
        matches!(&earlier[..], [EarlierAction::Ended(result)] if result.status == JobStatus::Failed),
        "{earlier:?}"
    );
    let ended = remote(&address, &["--name", "refused"], &["handles", "1"]).expect(0, "the cluster refused the job");
    ended.prints("begin\naction 0: not enough of everything\nend\n");
}

fn detached_ends_after_the_first_job() {
    let (address, state) = cluster::start();
    let ended = remote(&address, &["-d", "--name", "endless"], &["actions", "2"]).expect(0, "detached:");
    assert!(ended.stdout.contains("Job has been submitted with JobID "), "{}", ended.stdout);
    assert_eq!(state.lock().unwrap().jobs.len(), 1);
}

fn failures_have_their_exit_codes() {
    let (address, _state) = cluster::start();
    remote(&address, &["--name", "failing"], &["actions", "1"]).expect(1, "caused by: Map (1/2): no such word");
    remote(&address, &["--name", "refused"], &["actions", "1"]).expect(1, "not enough of everything");
    remote(&address, &[], &["exit", "3"]).expect(4, "ended with exit code 3");
    remote(&address, &[], &["panic"]).expect(4, "no input");
    remote(&address, &["--plan-timeout", "200 ms"], &["sleep"]).expect(4, "made no plan within 200 ms");
    remote(&address, &["-D", "rest.prot=1"], &["actions", "1"]).expect(2, "did you mean `rest.port`?");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    remote(&closed, &[], &["actions", "1"]).expect(3, &format!("no JobManager answers at {closed} (from -m)"));
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

fn interrupt_cancels() {
    for by in [Signal::INT, Signal::TERM] {
        let (address, state) = cluster::start();
        let child = spawn_remote(&address, &["--name", "endless"], &["actions", "1"]);
        eventually("the job runs", || !state.lock().unwrap().jobs.is_empty());
        signal(&child, by);
        let ended = end(child).expect(130, "job endless (");
        // Where the signal comes before the program has asked for the result, the client cancels what the program has left.
        let told = ["Canceling job endless", "Canceled job endless"];
        assert!(told.iter().any(|text| ended.stderr.contains(text)), "{}", ended.stderr);
        let canceled = state.lock().unwrap().jobs.values().all(|(_, status)| *status == JobStatus::Canceled);
        assert!(canceled);
    }
}

/// The job that is waited for, and the other one.
fn run_that_ends_badly_leaves_no_job() {
    let start = || {
        let (address, state) = cluster::start();
        let child = spawn_remote(&address, &["--name", "endless"], &["both"]);
        eventually("both jobs run", || state.lock().unwrap().jobs.len() == 2);
        state.lock().unwrap().hang_up = true;
        eventually("the first one is waited for", || !state.lock().unwrap().hang_up);
        (child, state)
    };
    let canceled = |state: &cluster::Shared, number: usize| {
        let all = state.lock().unwrap().jobs.values().filter(|(_, status)| *status == JobStatus::Canceled).count();
        assert_eq!(all, number);
    };
    let (child, state) = start();
    signal(&child, Signal::INT);
    let ended = end(child).expect(130, "Canceling job endless (").expect(130, "Canceled job endless (");
    assert!(ended.stdout.contains("one environment"), "{}", ended.stdout);
    assert_eq!(ended.stderr.matches("Canceled job").count(), 1, "{}", ended.stderr);
    canceled(&state, 2);
    // Where one is lost, the other is not left behind.
    let (child, state) = start();
    let first = graphs(&state)[0].job_id;
    state.lock().unwrap().jobs.remove(&first);
    end(child).expect(1, "Canceled job endless (").expect(1, "unknown job");
    canceled(&state, 1);
}

fn cancel_from_elsewhere() {
    let (address, state) = cluster::start();
    let child = spawn_remote(&address, &["--name", "endless"], &["actions", "1"]);
    eventually("the job runs", || !state.lock().unwrap().jobs.is_empty());
    state.lock().unwrap().jobs.values_mut().for_each(|(_, status)| *status = JobStatus::Canceled);
    end(child).expect(5, "was canceled after");
}

fn survives_a_lost_connection() {
    let (address, state) = cluster::start();
    let child = spawn_remote(&address, &["--name", "endless"], &["actions", "1"]);
    eventually("the job runs", || !state.lock().unwrap().jobs.is_empty());
    state.lock().unwrap().hang_up = true;
    eventually("the connection is closed", || !state.lock().unwrap().hang_up);
    state.lock().unwrap().jobs.values_mut().for_each(|(_, status)| *status = JobStatus::Finished);
    end(child).expect(0, "trying to reach it again").expect(0, "finished in");
}

fn interrupt_while_planning() {
    let (address, _state) = cluster::start();
    let child = spawn_remote(&address, &[], &["sleep"]);
    eventually("the program runs", || has_children(&child));
    signal(&child, Signal::INT);
    end(child).expect(130, "interrupted before the job was submitted");
}

fn info_shows_the_plan() {
    let folder = tempfile::tempdir().unwrap();
    let program = program();
    let info = |format: &str| {
        flink_yarn(folder.path(), &["info", "-p", "2", "--output", format, &program, "actions", "1"]).expect(0, "begin")
    };
    assert!(info("text").stdout.contains("Source -> Sink"));
    assert!(info("dot").stdout.starts_with("digraph"));
    let json: serde_json::Value = serde_json::from_str(&info("json").stdout).unwrap();
    assert_eq!(json["nodes"][0]["parallelism"], 2);
    flink_yarn(folder.path(), &["info", &program, "exit", "0"]).expect(4, "ended without executing a job");
}

/// What a program is told lies nowhere when it is read, however command and program end.
fn run_and_info_leave_no_files() {
    let (address, _state) = cluster::start();
    let remote = ["run", "-m", &address, "-D", "security.ssl.internal.enabled=false"];
    for by in [Signal::INT, Signal::TERM, Signal::KILL] {
        for words in [&["info"][..], &remote] {
            let folder = tempfile::tempdir().unwrap();
            let child = command(folder.path(), &[words, &[&program(), "sleep"]].concat())
                .env("TMPDIR", folder.path())
                .spawn()
                .unwrap();
            eventually("the program runs", || has_children(&child));
            signal(&child, by);
            assert_ne!(end(child).code, Some(0));
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{words:?} {by:?}");
        }
    }
}
