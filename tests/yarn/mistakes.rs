use std::process::Command;
use std::time::{Duration, Instant};

use flink_test_hadoop::{Cluster, Role, Variant};

use crate::application::Application;
use crate::process::{Running, eventually};
use crate::programs::program;
use crate::user::User;

/// Longest time until a mistake is told.
const MAX_DELAY: Duration = Duration::from_secs(10);

/// Runs a command that cannot succeed; what is wrong with it is told soon.
#[track_caller]
fn refused(command: &mut Command, told: &[&str]) {
    all_refused(std::slice::from_mut(command), told);
}

/// The same for several at once.
#[track_caller]
pub(crate) fn all_refused(commands: &mut [Command], told: &[&str]) {
    let begun = Instant::now();
    let running: Vec<Running> = commands.iter_mut().map(Running::start).collect();
    for (command, running) in commands.iter().zip(running) {
        let ended = running.wait();
        assert_ne!(ended.code, Some(0), "{command:?}: {}", ended.stderr);
        for part in told {
            // What `doctor` finds is its result.
            let found = ended.stderr.contains(part) || ended.stdout.contains(part);
            assert!(found, "`{part}` is missing in what {command:?} says:\n{}{}", ended.stdout, ended.stderr);
        }
        assert!(begun.elapsed() < MAX_DELAY, "{command:?} told after {:?} only", begun.elapsed());
    }
}

#[test]
fn mistakes_are_told_soon() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "mistakes");
    let program = program("wordcount");
    let check = |words: &[&str], told: &[&str]| {
        let run =
            [&["run", "-t", "yarn-application"], words, &[&program, "--input", "/in", "--output", "/out"]].concat();
        refused(&mut user.prepared(&run), told);
    };
    check(&["-D", "yarn.application.queue=nowhere"], &["nowhere", "default"]);
    check(&["-D", "taskmanager.memory.process.size=100 gb"], &["100"]);
    check(&["-D", "yarn.ship-files=/no/such/file"], &["/no/such/file"]);
    check(&["-D", "flink.hadoop.yarn.resourcemanager.address=127.0.0.1:1"], &["127.0.0.1:1"]);
    check(&["-D", "flink.hadoop.fs.defaultFS=hdfs://127.0.0.1:1"], &["127.0.0.1:1"]);
    // Other services answer there: one that speaks HTTP, and one that speaks RPC of another protocol.
    let (web, rpc) = (cluster.address(Role::ResourceManager, "web"), cluster.address(Role::NameNode, "rpc"));
    for other in [web, rpc] {
        let address = format!("flink.hadoop.yarn.resourcemanager.address={other}");
        check(&["-D", &address], &[other, "yarn.resourcemanager.address"]);
    }
    let (web, rpc) = (cluster.address(Role::NameNode, "http"), cluster.address(Role::ResourceManager, "client"));
    for other in [web, rpc] {
        check(&["-D", &format!("flink.hadoop.fs.defaultFS=hdfs://{other}")], &[other, "fs.defaultFS"]);
    }
}

/// Commands that look for this application, and those that start one.
fn commands(user: &User<'_>, application: &str) -> Vec<Command> {
    let program = program("wordcount");
    let (input, output) = (user.uri("text"), user.uri("out"));
    let run =
        |target| ["run", "-t", target, &program, "--input", &input, "--output", &output].map(str::to_owned).to_vec();
    let looking = COMMANDS.iter().map(|words| words.iter().map(|word| word.replace(SOME, application)).collect());
    let starting = [vec!["session".to_owned(), "-d".to_owned()], run("yarn-application"), run("yarn-per-job")];
    let all = looking.chain(starting).chain([vec!["doctor".to_owned()]]);
    // So many at once take their time to start: it is the limit that each of them is to heed.
    let limit = ["-D", "yarn.client.timeout=4 s"];
    let all = all.map(|words: Vec<String>| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        user.prepared(&[&words[..1], &limit, &words[1..]].concat())
    });
    all.collect()
}

/// They take what is sent, and say nothing.
#[test]
fn silent_masters_are_told_soon() {
    let cluster = Cluster::exclusive(Variant::Plain);
    let user = User::new(&cluster, "silent");
    user.put_text("text", 1);
    cluster.pause(Role::ResourceManager);
    all_refused(&mut commands(&user, SOME), &["ResourceManager", "no answer within 4 s"]);
    cluster.resume(Role::ResourceManager);
    let session = Application::session(&user, &[]);
    cluster.pause(Role::NameNode);
    let has =
        |command: &Command, others: &[&str]| command.get_args().any(|word| others.iter().any(|other| word == *other));
    let mut needing: Vec<Command> = commands(&user, &session.id);
    // One asks YARN alone, one has more to do than to complain.
    needing.retain(|command| !has(command, &["-q", "kill"]));
    // Here it is `main` that looks for its input, and has a limit of its own.
    let (mut looking, mut needing): (Vec<_>, Vec<_>) =
        needing.into_iter().partition(|command| has(command, &["yarn-per-job"]));
    all_refused(&mut needing, &[cluster.address(Role::NameNode, "rpc"), "did not answer within 4 s"]);
    all_refused(&mut looking, &[cluster.address(Role::NameNode, "rpc"), "did not answer within"]);
    user.call(&["session", "-q"]).expect(0, &[]);
    let killed = user.call(&["kill", &session.id]);
    assert_eq!(cluster.yarn().application(&session.id)["state"], "KILLED", "{}", killed.stderr);
    cluster.resume(Role::NameNode);
    session.end();
}

/// Commands that look for an application.
const COMMANDS: &[&[&str]] = &[
    &["kill", SOME],
    &["list", "--application-id", SOME],
    &["logs", "--application-id", SOME],
    &["cancel", "--application-id", SOME, "00000000000000000000000000000001"],
    &["session", "-q"],
    &["session", "-id", SOME],
];

/// An application that there is not.
const SOME: &str = "application_1000000000000_0007";

#[test]
fn mistakes_are_told_soon_by_every_command() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "mistaken");
    let nobody = "flink.hadoop.yarn.resourcemanager.address=127.0.0.1:1";
    let program = program("wordcount");
    let deployments: [&[&str]; 2] =
        [&["session", "-d"], &["run", "-t", "yarn-application", &program, "--input", "/in", "--output", "/out"]];
    for command in COMMANDS.iter().copied().chain(deployments) {
        // Behind the command: what follows a program is the program's.
        let wrong_port = [&command[..1], &["-D", nobody], &command[1..]].concat();
        refused(&mut user.prepared(&wrong_port), &["127.0.0.1:1", "yarn.resourcemanager.address"]);
        let mut nowhere = user.prepared(command);
        refused(
            nowhere.env_remove("HADOOP_CONF_DIR").env_remove("YARN_CONF_DIR").env_remove("HADOOP_HOME"),
            &["HADOOP_CONF_DIR"],
        );
        let mut missing = user.prepared(command);
        refused(
            missing.env("HADOOP_CONF_DIR", "/no/such/folder").env_remove("YARN_CONF_DIR").env_remove("HADOOP_HOME"),
            &["HADOOP_CONF_DIR", "/no/such/folder"],
        );
    }
    for command in COMMANDS.iter().filter(|command| command.contains(&SOME)) {
        refused(&mut user.prepared(command), &[SOME, "the ResourceManager knows no application"]);
    }
}

#[test]
fn missing_programs_and_inputs_are_told_soon() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "missing");
    for target in ["yarn-application", "yarn-per-job", "yarn-session"] {
        refused(&mut user.prepared(&["run", "-t", target, "/no/such/program"]), &["/no/such/program"]);
    }
    let (program, input, output) = (program("wordcount"), user.uri("no-such-input"), user.uri("out"));
    let session = Application::session(&user, &[]);
    let run = ["run", "-D", "restart-strategy.type=none", &program, "--input", &input, "--output", &output];
    refused(&mut user.prepared(&run), &["no-such-input"]);
    session.end();
}

#[test]
fn free_resources_are_shown() {
    let cluster = Cluster::shared(Variant::Plain);
    let user = User::new(&cluster, "query");
    let shown = user.call(&["session", "-q"]).expect(0, &[]).stdout;
    for part in ["127.0.0.2", "127.0.0.3", "default", "other"] {
        assert!(shown.contains(part), "`{part}` is missing in:\n{shown}");
    }
}

/// In figures: what the nodes have, and what a container takes of one.
#[test]
fn free_resources_are_counted() {
    let cluster = Cluster::exclusive(Variant::Plain);
    let user = User::new(&cluster, "counted");
    let look = || user.json(&["session", "-q", "--output", "json"]);
    let figures = |shown: &serde_json::Value, keys: [&str; 2]| keys.map(|key| shown[key].as_u64().unwrap());
    let (has, free) = (["memory-mb", "vcores"], ["free-memory-mb", "free-vcores"]);
    // What others have left may be on its way out.
    let mut before = look();
    eventually("nothing changes", || {
        std::thread::sleep(Duration::from_secs(3));
        let now = look();
        std::mem::replace(&mut before, now.clone()) == now
    });
    let session = Application::session(&user, &["-jm", "1g", "-D", "yarn.appmaster.vcores=3"]);
    let after = look();
    assert_eq!(figures(&after, ["total-memory-mb", "total-vcores"]), [2 * 4096, 16], "{after}");
    let [memory, cores] = figures(&before, free);
    assert_eq!(figures(&after, free), [memory - 1024, cores - 3], "{before} {after}");
    let nodes = |shown: &serde_json::Value| shown["nodes"].as_array().unwrap().clone();
    assert!(nodes(&after).iter().all(|node| figures(node, has) == [4096, 8]), "{after}");
    let pairs: Vec<_> = nodes(&before).into_iter().zip(nodes(&after)).collect();
    let takes = |(before, after): &&(serde_json::Value, serde_json::Value)| {
        let ([memory, cores], containers) = (figures(before, free), before["containers"].as_u64().unwrap());
        figures(after, free) == [memory - 1024, cores - 3] && after["containers"] == containers + 1
    };
    assert_eq!(pairs.iter().filter(takes).count(), 1, "{before} {after}");
    assert_eq!(pairs.iter().filter(|(before, after)| before == after).count(), 1, "{before} {after}");
    let text = user.call(&["session", "-q"]).expect(0, &[]).stdout;
    let free = format!("and {} cores", cores - 3);
    assert!(text.contains("2 nodes with 8 GB and 16 cores; free are ") && text.trim_end().ends_with(&free), "{text}");
    session.end();
}
